/* SPDX-License-Identifier: BSD-3-Clause */
/* The pool of packets: what rte_pktmbuf_pool_create does, with a say in where the buffers lie. Called by main.c, and by eal_dma.c for its own memory. */
#include "eal.h"
#include "log.h"
#include <bridge/lent.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#define CACHE_MBUFS 256u

struct rte_mempool *eal_pool_make(const char *name, unsigned n, uint16_t room, int socket, unsigned flags, int (*populate)(struct rte_mempool *pool))
{
	struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = room, .mbuf_priv_size = LENT_PRIVATE};
	struct rte_mempool *pool = rte_mempool_create_empty(name, n, sizeof(struct rte_mbuf) + LENT_PRIVATE + room, CACHE_MBUFS, sizeof(priv), socket, flags);

	if (!pool)
		return NULL;
	rte_pktmbuf_pool_init(pool, &priv);
	if (rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL) || populate(pool) < 0) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

/*
 * Without huge pages DPDK thinks that no buffer may cross the end of a page, and so puts each at the start of one, where all of them fall into the same sets of a cache: a burst pushed
 * itself out of the first-level cache. But addresses for I/O are virtual ones then, so that buffers may lie anywhere.
 */
static unsigned anywhere(void)
{
	return rte_eal_has_hugepages() ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
}

struct rte_mempool *eal_pool_create(void)
{
	struct rte_mempool *pool;

	if (eal_dma_wanted())
		return eal_dma_pool_create();
	pool = eal_pool_make("sluice", EAL_MBUFS, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY, anywhere(), rte_mempool_populate_default);
	if (!pool)
		backend_error("no memory for %u packet buffers: %s; give DPDK more", EAL_MBUFS, rte_strerror(rte_errno));
	return pool;
}
