/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packet buffers by the burst: a run of fresh ones of one segment out of a pool, and back into it. What rte_pktmbuf_alloc_bulk and rte_pktmbuf_free_bulk do one by
 * one, with the knowledge that a buffer in a pool has one segment, one reference and no successor. Called by netback's short ways and whoever delivers.
 */
#ifndef SLUICE_PACKET_H
#define SLUICE_PACKET_H

#include <rte_mbuf.h>

/* data_off, refcnt, nb_segs and port of a fresh packet, as they lie in one word. */
#define PACKET_REARM ((uint64_t)RTE_PKTMBUF_HEADROOM | 1ull << 16 | 1ull << 32 | (uint64_t)RTE_MBUF_PORT_INVALID << 48)
#define PACKET_ALONE_MASK 0x0000ffffffff0000ull /* refcnt and nb_segs of that */

_Static_assert(offsetof(struct rte_mbuf, packet_type) == offsetof(struct rte_mbuf, rx_descriptor_fields1) && offsetof(struct rte_mbuf, pkt_len) == offsetof(struct rte_mbuf, packet_type) + 4,
	       "packet_type and pkt_len are one word");
_Static_assert(offsetof(struct rte_mbuf, refcnt) == offsetof(struct rte_mbuf, rearm_data) + 2 && offsetof(struct rte_mbuf, nb_segs) == offsetof(struct rte_mbuf, rearm_data) + 4 &&
	       offsetof(struct rte_mbuf, port) == offsetof(struct rte_mbuf, rearm_data) + 6, "PACKET_REARM is the rearm word");

typedef uint64_t packet_word __attribute__((may_alias));

/* n buffers, or none: -ENOENT. Each still has to be made a packet. */
static inline int packets_take(struct rte_mempool *pool, struct rte_mbuf **pkts, unsigned n)
{
	return rte_mempool_get_bulk(pool, (void **)pkts, n);
}

/* Those of them that were not needed. */
static inline void packets_untake(struct rte_mempool *pool, struct rte_mbuf **pkts, unsigned n)
{
	if (n)
		rte_mempool_put_bulk(pool, (void **)pkts, n);
}

/* Where the bytes of a packet begin that packet_start has just made. */
static inline uint8_t *packet_bytes(struct rte_mbuf *m)
{
	return (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;
}

/* One of them becomes a packet of len bytes, data_len of them in it (lent.h). Its second cache line stays untouched: no wish is in it, so nobody looks at tx_offload. */
static inline void packet_start(struct rte_mbuf *m, uint32_t len, uint16_t data_len, uint64_t flags)
{
	*(packet_word *)m->rearm_data = PACKET_REARM;
	m->ol_flags = flags;
	*(packet_word *)m->rx_descriptor_fields1 = (uint64_t)len << 32; /* no packet_type, pkt_len */
	m->data_len = data_len;
}

/* Done with n packets. Those that are of the pool, of one segment and nobody else's go back together, and nearly always that is all of them. */
static inline void packets_give_back(struct rte_mempool *pool, struct rte_mbuf **pkts, unsigned n)
{
	uint64_t odd = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct rte_mbuf *m = pkts[i];

		odd |= (uint64_t)((uintptr_t)m->pool ^ (uintptr_t)pool) | ((*(const packet_word *)m->rearm_data ^ PACKET_REARM) & PACKET_ALONE_MASK) |
		       (m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL));
	}
	if (odd)
		rte_pktmbuf_free_bulk(pkts, n);
	else if (n)
		rte_mempool_put_bulk(pool, (void **)pkts, n);
}

#endif
