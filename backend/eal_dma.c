/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for the DMA of NICs where DPDK cannot find out a device's addresses by itself: a PV domain on Xen (hv.h, dma_memory). It becomes a heap of DPDK's with the addresses that
 * the hypervisor told; all packets and the rings of drivers lie in it. Called by main.c, eal.c and eal_pool.c.
 */
#include "eal.h"
#include "log.h"
#include <bridge/lent.h>
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_memzone.h>
#include <string.h>

#define HEAP "sluice-dma"
#define CHUNKS 15u
#define POOL_CHUNKS 12u
#define DMA_MBUFS 3071u /* the rings' 512 each way, bursts of packets of 64 KiB, what waits for guests, and the pool's cache */
/* Two pages each: the mbuf and room for a short packet in the first, and a second where a whole page of a guest comes with one copy (netback_tx.c). */
#define MBUF_BYTES (2 * SLUICE_PAGE_SIZE)
#define DATA_ROOM ((uint16_t)(MBUF_BYTES - RTE_CACHE_LINE_SIZE - sizeof(struct rte_mbuf) - LENT_PRIVATE)) /* the mempool has a line of its own before each */

static_assert(sizeof(struct rte_mempool_objhdr) <= RTE_CACHE_LINE_SIZE, "");
static_assert(POOL_CHUNKS * HV_DMA_CHUNK >= DMA_MBUFS * MBUF_BYTES, "the other chunks are for rings, and for what DPDK loses at the ends of its pieces");

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

/* Made when it is first needed, since drivers of PCI devices take their rings before EAL's start returns. The heap's socket, or -errno. */
static int heap_socket(void)
{
	static int socket = -1;

	if (socket >= 0)
		return socket;
	if (rte_malloc_heap_create(HEAP) || rte_malloc_heap_memory_add(HEAP, dma_va, CHUNKS * HV_DMA_CHUNK, dma_addr, CHUNKS, HV_DMA_CHUNK))
		return -rte_errno;
	return socket = rte_malloc_heap_get_socket(HEAP);
}

/*
 * DPDK's own, before ours: what is to be contiguous for a device must lie in our heap, whatever socket is asked for. Some drivers (net_virtio) take their rings from
 * the device's NUMA node instead of the socket that they are told.
 */
const struct rte_memzone *rte_memzone_reserve_aligned(const char *name, size_t len, int socket, unsigned flags, unsigned align)
{
	const struct rte_memzone *(*real)(const char *, size_t, int, unsigned, unsigned) = dlsym(RTLD_NEXT, "rte_memzone_reserve_aligned");

	if (dma_va && (flags & RTE_MEMZONE_IOVA_CONTIG))
		socket = heap_socket();
	return real(name, len, socket, flags, align);
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

/* Chunks of memory, each full of buffers that begin with a page (rte_mempool_populate_default begins anywhere). */
static int populate(struct rte_mempool *pool)
{
	const struct rte_memzone *zone = rte_memzone_reserve_aligned("sluice-mbufs", POOL_CHUNKS * HV_DMA_CHUNK, heap_socket(), 0, HV_DMA_CHUNK);

	return zone ? rte_mempool_populate_virt(pool, zone->addr, zone->len, HV_DMA_CHUNK, eal_pool_zone_free, (void *)(uintptr_t)zone) : -rte_errno;
}

struct rte_mempool *eal_dma_pool_create(void)
{
	int socket = heap_socket();
	struct rte_mempool *pool = socket >= 0 ? eal_pool_make("sluice-dma", DMA_MBUFS, DATA_ROOM, socket, RTE_MEMPOOL_F_NO_SPREAD, populate) : NULL;

	if (!pool)
		backend_error("DPDK does not take the memory for network cards: %s", rte_strerror(socket < 0 ? -socket : rte_errno));
	return pool;
}
