/* SPDX-License-Identifier: BSD-3-Clause */
/* What uplink.c (opening, closing), uplink_tx.c (to the wire) and uplink_rx.c (from the wire) share. */
#ifndef SLUICE_UPLINK_PRIVATE_H
#define SLUICE_UPLINK_PRIVATE_H

#include "lcore.h"
#include "uplink.h"
#include <rte_dev.h>
#include <rte_ethdev.h>

#define UPLINK_WAIT_PACKETS 256u /* that may wait for a queue of a driver without room; a power of two */

/* A queue each way. The one from the wire is its poller's alone; the one to the wire is for the lcores whose number it has, most often one. */
struct uplink_queue {
	unsigned empty_polls;
	int wake_fd;              /* packet socket, or -1 */
	int intr_fd;              /* the driver's receive interrupt, or -1; not ours to close */
	rte_spinlock_t tx_lock;   /* the queue to the wire; and what follows */
	uint32_t wait_head, wait_tail; /* free-running */
	uint32_t wait_segs;       /* mbufs of what waits */
	bool stalled;
	uint64_t moved;           /* TSC: the driver took something, or the first began to wait */
	struct rte_mbuf *waiting[UPLINK_WAIT_PACKETS];
	uint16_t segs[UPLINK_WAIT_PACKETS]; /* of each: a packet that the driver has taken may be gone */
} __rte_cache_aligned;

struct uplink {
	struct bridge_port port; /* first: uplink_tx gets it */
	struct rte_mempool *pool; /* of all packets, and its socket is where the driver's rings are to be */
	struct rte_device *device;
	uint16_t id;           /* DPDK's port id */
	bool running;
	bool many_segments;    /* the driver takes chained mbufs */
	bool kernel_interface; /* packets may come with a blank checksum */
	bool whole_packets;    /* and these may also be larger than frames; the driver says which */
	unsigned able;         /* OFFLOAD_* that the driver does */
	bool sums_no_ip;       /* but for the sum of an IPv4 header */
	uint32_t frame_max;    /* bytes of a frame, VLAN tag included */
	uint64_t cut;          /* packets from a kernel interface that were larger than the driver's frames; atomic */
	char name[RTE_ETH_NAME_MAX_LEN];
	uint16_t nr_queues;
	struct uplink_queue queue[BRIDGE_LCORES];
};

/* uplink_tx.c: the bridge's tx of this port. */
unsigned uplink_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n);
/* True while some wait for a queue of the driver: the poller is not to sleep then. */
bool uplink_send_waiting(struct uplink *u, unsigned queue);
void uplink_drop_waiting(struct uplink_queue *q);

#endif
