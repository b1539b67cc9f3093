/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for the DMA of NICs where DPDK cannot find out a device's addresses by itself: a PV domain on Xen (hv.h, dma_memory). It becomes a heap of DPDK's with the addresses that
 * the hypervisor told, and a pool of packet buffers on it; the rings of drivers follow the pool's socket. Called by main.c.
 */
#include "eal.h"
#include "log.h"
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <string.h>

#define HEAP "sluice-dma"
#define CHUNKS 8u
#define DMA_MBUFS 4095u /* the rings' 512 each way, packets that are being sent, and the pool's cache */
#define CACHE_MBUFS 64u

static_assert(CHUNKS *HV_DMA_CHUNK / 4 * 3 > (DMA_MBUFS + 1) * 2400ul, "a quarter is left for rings");

static void *dma_va;
static rte_iova_t dma_addr[CHUNKS];

/*
 * DPDK's own, before ours: without huge pages it says no, EAL then insists on virtual addresses as I/O addresses, and the PCI bus attaches no device that has no IOMMU.
 * All that such a device is told of lies in our heap, whose addresses we know: say yes.
 */
int rte_eal_using_phys_addrs(void)
{
	int (*real)(void) = (int (*)(void))dlsym(RTLD_NEXT, "rte_eal_using_phys_addrs");

	return dma_va ? 1 : real();
}

int eal_dma_prepare(struct hv *hv)
{
	int rc = hv->ops->dma_memory ? hv->ops->dma_memory(hv, CHUNKS, &dma_va, dma_addr) : -ENOTSUP;

	return rc == -ENOTSUP ? 0 : rc;
}

bool eal_dma_wanted(void)
{
	return dma_va;
}

static int make_heap(void)
{
	if (rte_malloc_heap_create(HEAP) || rte_malloc_heap_memory_add(HEAP, dma_va, CHUNKS * HV_DMA_CHUNK, dma_addr, CHUNKS, HV_DMA_CHUNK))
		return -rte_errno;
	return rte_malloc_heap_get_socket(HEAP);
}

int eal_dma_pool_create(struct rte_mempool **pool)
{
	int socket;

	*pool = NULL;
	if (!dma_va)
		return 0;
	socket = make_heap();
	if (socket >= 0)
		*pool = rte_pktmbuf_pool_create("sluice-dma", DMA_MBUFS, CACHE_MBUFS, 0, RTE_MBUF_DEFAULT_BUF_SIZE, socket);
	if (*pool)
		return 0;
	backend_error("DPDK does not take the memory for network cards: %s", rte_strerror(socket < 0 ? -socket : rte_errno));
	return -ENOMEM;
}
