/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One copy from guest to guest: a packet whose first bytes are a private copy, for the bridge and its ports to look at, and whose other segments are external
 * buffers in the sender's own pages (static grants). The sender can still write there: such a segment is only ever moved, once, into the page of a receiver, and
 * nothing in it is looked at. What needs more than that makes the packet its own first (lent_own).
 *
 * The pages are lent until the burst is answered: netback_tx.c hands such packets to the bridge, flushes it, and answers then. No port keeps one.
 */
#ifndef BACKEND_LENT_H
#define BACKEND_LENT_H

#include <rte_mbuf.h>

#define LENT_HEADER 128u /* private bytes of a packet that asks for nothing */
#define LENT_LEAST 512u  /* shorter packets are copied whole: that is cheaper than a second mbuf */

/* What all lent segments of a back end share; `lenders` of struct netback. */
void lent_init(struct rte_mbuf_ext_shared_info *lenders);

/* Append len bytes at `bytes` in a guest's page to the packet whose last segment is `last`. The new last one, or NULL when the pool is empty. */
struct rte_mbuf *lent_append(struct rte_mbuf *head, struct rte_mbuf *last, struct rte_mempool *pool, struct rte_mbuf_ext_shared_info *lenders,
			     uint8_t *bytes, uint16_t len);

static inline bool lent_is(const struct rte_mbuf *m)
{
	return m->next && RTE_MBUF_HAS_EXTBUF(m->next);
}

/* A private copy in place of a lent packet, which is given back; others are returned as they are. NULL when the pool is empty. */
struct rte_mbuf *lent_own(struct rte_mbuf *m, struct rte_mempool *pool);

#endif
