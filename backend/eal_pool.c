/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool of packets: what rte_pktmbuf_pool_create does, with a say in where the buffers lie. Called by main.c, and by eal_dma.c for its own memory. */
#include "eal.h"
#include "log.h"
#include <bridge/lent.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_memzone.h>

#define CACHE_MBUFS 256u

struct rte_mempool *eal_pool_make(const char *name, unsigned n, uint16_t room, int socket, unsigned flags, int (*populate)(struct rte_mempool *pool))
{
	struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = room, .mbuf_priv_size = LENT_PRIVATE};
	struct rte_mempool *pool = rte_mempool_create_empty(name, n, sizeof(struct rte_mbuf) + LENT_PRIVATE + room, CACHE_MBUFS, sizeof(priv), socket, flags);
	int rc;

	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, &priv);
	rc = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	if (!rc)
		rc = populate(pool);
	if (rc < 0) {
		rte_mempool_free(pool);
		rte_errno = -rc;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

void eal_pool_zone_free(struct rte_mempool_memhdr *hdr, void *zone)
{
	(void)hdr;
	rte_memzone_free(zone);
}

/*
 * Buffers one behind the other. Without huge pages DPDK thinks that none may cross the end of a page, and so rte_mempool_populate_default puts each at the start of one, where all of them fall
 * into the same sets of a cache: a burst pushed itself out of the first-level cache. But I/O addresses are the virtual ones then (--no-huge), so that any memory is contiguous to a device.
 */
static int populate_closely(struct rte_mempool *pool)
{
	size_t bytes = (size_t)pool->size * (pool->header_size + pool->elt_size + pool->trailer_size) + RTE_MEMPOOL_ALIGN;
	const struct rte_memzone *zone = rte_memzone_reserve("sluice-mbufs", bytes, SOCKET_ID_ANY, 0);
	int n;

	if (!zone)
		return -rte_errno;
	n = rte_mempool_populate_iova(pool, zone->addr, zone->iova, bytes, eal_pool_zone_free, (void *)(uintptr_t)zone);
	pool->flags &= ~(unsigned)RTE_MEMPOOL_F_NON_IO; /* it has I/O addresses, whatever rte_mempool concludes from the other flag */
	return n;
}

struct rte_mempool *eal_pool_create(void)
{
	struct rte_mempool *pool;

	if (eal_dma_wanted())
		return eal_dma_pool_create();
	if (rte_eal_has_hugepages())
		pool = eal_pool_make("sluice", EAL_MBUFS, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, 0, rte_mempool_populate_default);
	else
		pool = eal_pool_make("sluice", EAL_MBUFS, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG, populate_closely);
	if (!pool)
		backend_error("no memory for %u packet buffers: %s; give DPDK more", EAL_MBUFS, rte_strerror(rte_errno));
	return pool;
}
