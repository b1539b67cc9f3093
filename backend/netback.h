/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netback: the back end of a vif (xen/io/netif.h). netback_connect.c does the handshake, netback_tx.c carries packets from the guest to the bridge,
 * netback_rx.c from the bridge to the guest, to the queue that netback_hash.c picks, netback_ctrl.c serves the control ring. This header is theirs, main.c's and the tests'.
 *
 * Two severities: a bad packet gets an error response and the vif goes on; a broken protocol (indices, chains of slots) fails the device
 * (device_fail), and only that one.
 */
#ifndef BACKEND_NETBACK_H
#define BACKEND_NETBACK_H

#include "device.h"
#include "grants.h"
#include "headers.h"
#include "poller.h"
#include "static_grants.h"
#include <bridge/bridge.h>
#include <bridge/lent.h>
#include <bridge/offload.h>
#include <rings/back_ring.h>
#include <rings/net_flow.h>
#include <rings/net_slots.h>

#define NETBACK_QUEUES 8u         /* of a vif, at most: what multi-queue-max-queues says */
#define NETBACK_BURST BRIDGE_BURST
#define NETBACK_TX_WINDOW 128u    /* tx slots read ahead of being parsed */
#define NETBACK_TX_PREFETCH 16u   /* slots ahead of the one that is taken whose packet is fetched: half or twice as many make no difference */
#define NETBACK_RX_AHEAD 128u     /* rx requests read ahead of being used; a power of two, more than a packet takes */
#define NETBACK_RX_PREFETCH 24u   /* the same of rx requests and their pages, where packets are moved from guest to guest: as many lines as a core has under way at a time. 22 and 26 are 2 % less */
#define NETBACK_WAIT_PACKETS 256u /* packets that may wait for a guest that has no room; a power of two */
#define NETBACK_WAIT_SEGS 512u    /* and their mbufs */
#define NETBACK_STALL_US 100000u  /* a guest that takes nothing for so long loses what waits (XSA-392) */
#define NETBACK_PAUSE_US 500u     /* how long a guest that sends faster than its receiver takes is not listened to */
#define NETBACK_MTU_DEFAULT 1500u
#define NETBACK_MTU_MIN 68u
#define NETBACK_MTU_MAX (NET_PACKET_MAX - 22u) /* an Ethernet header with two VLAN tags */

/* Scratch of one burst: private memory of one lcore, reused by all vifs. */
struct netback_tx_burst {
	struct copy_batch copies;
	unsigned nr, nr_rsp;
	bool lent; /* some packets have their payload in the guest's pages */
	uint8_t number_of_op[NETBACK_BURST]; /* on the short way: which packet a copy is for */
	struct netback_tx_packet {
		struct rte_mbuf *m; /* NULL: dropped already */
		uint16_t first_op, nr_ops, first_rsp, nr_rsp;
		uint16_t gso_size;
		uint8_t gso_type;
		bool csum_blank, data_validated;
	} packet[NETBACK_BURST];
	struct netif_tx_response rsp[NETBACK_BURST * (NET_SLOTS_TOLERATED + NET_EXTRAS_MAX)];
};

struct netback_rx_burst {
	struct copy_batch copies;
	unsigned nr, nr_slots;
	uint8_t headers[NETBACK_BURST][HEADERS_MAX];
	uint16_t slot_of_op[COPY_BATCH_OPS];
	uint8_t number_of_op[NETBACK_BURST]; /* on the short way: which packet a copy is for */
	net_rx_slot slots[256 + NET_SLOTS_MAX + NET_EXTRAS_MAX];
};

/* What an lcore has of its own. */
struct netback_lcore {
	struct poller *poller;
	unsigned nr_queues; /* that it polls */
	struct netback_tx_burst *tx;
	struct netback_rx_burst *rx;
} __rte_cache_aligned;

/*
 * What all vifs of a back end share. A queue belongs to one lcore, which polls it. What comes from its guest (tx) is touched by that lcore alone. Packets to its
 * guest (rx) are delivered by whichever lcore has them, under the queue's rx_lock, taken once for a burst: no packet is handed from thread to thread.
 * Handshakes and control messages are the first lcore's, in a pause of the others.
 */
struct netback {
	struct hv *hv;
	struct poller *poller; /* the first lcore's */
	unsigned nr_lcores;    /* 0 is taken as 1 */
	struct netback_lcore lcore[BRIDGE_LCORES]; /* by bridge_lcore(); the pollers but the first are set by the caller of netback_init */
	struct bridge *bridge;
	struct rte_mempool *pool;
	uint32_t waiting_segs, waiting_max; /* mbufs that wait for guests, of all vifs; atomic */
	struct static_grants_batch *ctrl;
	uint64_t ctrl_rest_until; /* TSC: no control message is looked at before */
};

static inline struct netback_lcore *netback_lcore(struct netback *nb)
{
	return &nb->lcore[bridge_lcore()];
}

struct netback_stats {
	uint64_t tx_packets, tx_bad, tx_no_memory; /* from the guest */
	uint64_t rx_packets, rx_bad, rx_dropped;   /* to the guest */
};

struct netback_queue {
	struct poll_item item;
	struct netback_vif *vif;
	struct netback_lcore *lcore; /* whose it is while it is connected */
	bool live;   /* connected and not failed */
	struct static_grants grants;
	void *tx_page, *rx_page;
	struct back_ring tx, rx;
	evtchn_t tx_port, rx_port; /* ours; the same when the guest does not split them */
	/* guest to bridge */
	unsigned window_at, window_nr; /* slots taken from the ring and not parsed yet: where they begin, how many */
	net_tx_slot window[NETBACK_TX_WINDOW];
	uintptr_t last_seen, foreseen; /* where the last packet was, and where the next one will probably be. Only ever prefetched */
	uint64_t pause_until; /* TSC; see netback_tx.c */
	uint32_t pause_relief;
	/* bridge to guest: with the rx ring, under the lock */
	rte_spinlock_t rx_lock;
	struct netif_rx_request ahead[NETBACK_RX_AHEAD];
	uint32_t ahead_head, ahead_tail; /* free-running */
	struct rte_mbuf *waiting[NETBACK_WAIT_PACKETS];
	uint32_t wait_head, wait_tail; /* free-running */
	uint32_t wait_segs;
	uint16_t spread; /* offset within the page of the next small packet: neighbours fall into different cache sets */
	uint64_t crowded_since; /* TSC: packets wait for this guest from then on; 0: none do */
	bool stalled;
	bool moved;  /* something was delivered since the stall timer was last looked at */
	struct poll_timer stall; /* the owner's */
	struct netback_stats stats;
};

/* The control ring; page is NULL for a guest that has none. */
struct netback_ctrl {
	struct poll_item item; /* first */
	void *page;
	struct back_ring ring;
	evtchn_t port;
	struct net_ctrl_hash hash;
};

struct netback_vif {
	struct bridge_port port;
	struct netback *nb;
	struct device *dev;
	domid_t domid;
	uint32_t mtu;
	/* what the guest takes from us */
	bool sg, gso4, gso6, csum4, csum6;
	unsigned nr_queues; /* that the guest has made; 0: not connected */
	struct poll_item fault; /* the first lcore's: a queue has failed */
	const char *why;        /* it did; NULL: none has */
	struct netback_queue queue[NETBACK_QUEUES];
	struct netback_ctrl ctrl;
};

extern const struct device_class netback_class; /* ctx is a struct netback */

/* hv, the pollers, nr_lcores, bridge and pool are set by the caller. 0, -ENOMEM. */
int netback_init(struct netback *nb);
void netback_fini(struct netback *nb);

/* netback_tx.c: one burst from the guest to the bridge; how many slots were taken. */
unsigned netback_tx_burst(struct netback_queue *q);
/* netback_tx_plain.c: one-slot packets from the head of the window, as far as the short way goes. Returns how many slots it took, and puts their answers into the ring, not pushed
 * yet; *nr: how many packets are good, in pkts. b->lent says whether some are lent. */
unsigned netback_tx_plain(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf **pkts, unsigned *nr);
/* netback_direct.c: packets from the head of the window straight to another guest, answered at both ends: how many. */
unsigned netback_direct(struct netback_queue *q);
/* The first line of what is probably a packet, slot i of nr. An extra-info slot looks like any other here: nothing is done with the address but this. */
static inline void netback_tx_prefetch(const struct static_grants *grants, const net_tx_slot *slots, unsigned i, unsigned nr)
{
	const struct netif_tx_request *req = &slots[i].req;

	if (i < nr)
		shm_prefetch((const void *)((uintptr_t)static_grants_read(grants, req->gref) + req->offset % SLUICE_PAGE_SIZE));
}
static inline void netback_tx_window_drop(struct netback_queue *q, unsigned n)
{
	q->window_at += n;
	q->window_nr -= n;
}
/* Ask for an event at the next tx request; true when some wait already. */
bool netback_tx_arm(struct netback_queue *q);

/* netback_rx.c: the bridge's tx of this port. */
unsigned netback_rx_port_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n);
/* The owner's part: deliver what waits and now fits, and look after the stall timer; how many packets. */
unsigned netback_rx_poll(struct netback_queue *q);
/* When packets wait, ask for an event when the first of them fits; true when it does already. */
bool netback_rx_arm(struct netback_queue *q);
/* What this guest takes of such a packet as it is (OFFLOAD_*). */
unsigned netback_rx_abilities(const struct netback_vif *vif, const struct rte_mbuf *m);
/* netback_rx_plain.c: deliver packets from the first on, as far as they go the short way and there is room. Returns how many; all stay the caller's to free. */
unsigned netback_rx_plain(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n);
/* Packets that wait for this guest. */
static inline uint32_t netback_rx_waiting(const struct netback_queue *q)
{
	return q->wait_tail - q->wait_head;
}
void netback_rx_init(struct netback_queue *q);
/* Frees what waits. */
void netback_rx_fini(struct netback_queue *q);

/* netback_hash.c: the queue of the guest that a packet for it goes to; packets of one flow always to the same. */
unsigned netback_hash_queue(const struct netback_vif *vif, const struct rte_mbuf *m);
/* The Toeplitz hash that a guest with this set-up asked for; 0 when it wants none of such a packet. */
uint32_t netback_hash_toeplitz(const struct net_ctrl_hash *h, const struct net_flow *f);

/* netback_ctrl.c: after the queues are connected. -errno: then the vif has no control ring, and nothing stays behind. */
int netback_ctrl_connect(struct netback_vif *vif, gref_t gref, evtchn_t remote);
/* Ends the static grants of all queues too; fine without a control ring. */
void netback_ctrl_disconnect(struct netback_vif *vif);

/* The queue's guest broke the protocol: no further burst, the device fails soon. From any lcore. */
void netback_queue_broken(struct netback_queue *q, const char *why);

#endif
