/* SPDX-License-Identifier: BSD-3-Clause */
/* Starts DPDK for a back end: no configuration shared with other processes, no PCI unless an uplink is a PCI device, huge pages when there are some. */
#ifndef BACKEND_EAL_H
#define BACKEND_EAL_H

#include <rte_mbuf.h>
#include <sluice/hv.h>
#include <stdbool.h>

#define EAL_MBUFS 16383u /* 2 KiB each; best as a power of two less one */

#define EAL_CORES 8u /* lcores at most; their ids are 0, 1, ... in the order of the cores given */

struct eal_cores {
	unsigned nr; /* 0: one lcore, which runs where the scheduler puts it */
	unsigned core[EAL_CORES];
};

/* "2", "1,3", "0-3": -EINVAL when it is not such a list, names a core twice, or more than EAL_CORES. */
int eal_parse_cores(const char *text, struct eal_cores *out);

/* 0 or -errno after one line on the log. */
int eal_start(const struct eal_cores *cores, char *const *uplinks, unsigned nr_uplinks);

/* DPDK's net_virtio gives the whole process access to I/O ports as soon as it is loaded. Does the driver of any of these uplinks need it? */
bool eal_needs_ports(char *const *uplinks, unsigned nr_uplinks);

/* The pool that every packet of the back end comes from; NULL after one line on the log. */
struct rte_mempool *eal_pool_create(void);

/* n packet buffers with room bytes each, on memory that populate gives the pool (what it returns is what rte_mempool_populate_default does). NULL and rte_errno. */
struct rte_mempool *eal_pool_make(const char *name, unsigned n, uint16_t room, int socket, unsigned flags, int (*populate)(struct rte_mempool *pool));

/* For rte_mempool_populate_*: the zone that the pool was made of goes with it. */
void eal_pool_zone_free(struct rte_mempool_memhdr *hdr, void *zone);

/* Before eal_start, when an uplink is a PCI device: get memory for its DMA from the hypervisor, where that is needed. 0 or -errno after one line on the log. */
int eal_dma_prepare(struct hv *hv);

/* Did it get any? */
bool eal_dma_wanted(void);

/* eal_pool_create on that memory. */
struct rte_mempool *eal_dma_pool_create(void);

/* Is this uplink's name a PCI address ("0000:03:00.0" or "03:00.0", with arguments or not)? */
bool eal_is_pci(const char *devargs);

#endif
