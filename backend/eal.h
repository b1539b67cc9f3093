/* SPDX-License-Identifier: BSD-3-Clause */
/* Starts DPDK for a back end: no configuration shared with other processes, no PCI unless an uplink is a PCI device, huge pages when there are some. */
#ifndef BACKEND_EAL_H
#define BACKEND_EAL_H

#include <rte_mbuf.h>
#include <sluice/hv.h>
#include <stdbool.h>

#define EAL_MBUFS 16383u /* 2 KiB each; best as a power of two less one */

/* core: the core to run on, or -1 to run where the scheduler puts it. 0 or -errno after one line on the log. */
int eal_start(int core, char *const *uplinks, unsigned nr_uplinks);

/* The pool that every packet of the back end comes from; NULL after one line on the log. */
struct rte_mempool *eal_pool_create(void);

/* Before eal_start, when an uplink is a PCI device: get memory for its DMA from the hypervisor, where that is needed. 0 or -errno after one line on the log. */
int eal_dma_prepare(struct hv *hv);

/* Did it get any? */
bool eal_dma_wanted(void);

/* After eal_start: the pool on that memory, which PCI uplinks receive into and send from; NULL where any memory will do. */
int eal_dma_pool_create(struct rte_mempool **pool);

/* Is this uplink's name a PCI address ("0000:03:00.0" or "03:00.0", with arguments or not)? */
bool eal_is_pci(const char *devargs);

#endif
