/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One copy from guest to guest: a packet whose first bytes are a private copy in an mbuf, for the bridge and its ports to look at, and whose other bytes still
 * are in the sender's own pages (static grants), named in the mbuf's private area. The sender can write there at any time: they are only ever moved, once,
 * into the page of a receiver, and nothing in them is looked at. Whoever needs more than that makes the packet its own first (lent_own).
 *
 * pkt_len is that of the whole packet, data_len of the private bytes, nb_segs is 1: no function of DPDK's knows of the rest, so none but freeing is to be used.
 * The pages are lent until the burst is answered: netback_tx.c hands such packets to the bridge, flushes it, and answers then. No port keeps one.
 */
#ifndef SLUICE_LENT_H
#define SLUICE_LENT_H

#include <rte_mbuf.h>

#define LENT_HEADER 128u /* private bytes of a packet that asks for nothing */
#define LENT_LEAST 512u  /* shorter packets are copied whole: that is cheaper */
#define LENT_PIECES 21u  /* as many slots as the longest packet has */

struct lent_piece {
	const uint8_t *bytes;
	uint32_t len;
};

struct lent {
	uint32_t nr;
	struct lent_piece piece[LENT_PIECES];
};

#define LENT_PRIVATE RTE_ALIGN(sizeof(struct lent), RTE_MBUF_PRIV_ALIGN) /* size of the private area in a pool of such packets */

extern uint64_t lent_flag; /* in ol_flags */

/* Once DPDK has started, before the first lend; again is fine. 0 or -errno. */
int lent_init(void);

static inline bool lent_is(const struct rte_mbuf *m)
{
	return m->ol_flags & lent_flag;
}

static inline struct lent *lent_of(struct rte_mbuf *m)
{
	return rte_mbuf_to_priv(m);
}

/* The packet goes on with len bytes in a guest's page; at most LENT_PIECES times. Leaves pkt_len to the caller. */
static inline void lent_append(struct rte_mbuf *m, const uint8_t *bytes, uint32_t len)
{
	struct lent *l = lent_of(m);

	if (!lent_is(m)) {
		m->ol_flags |= lent_flag;
		l->nr = 0;
	}
	l->piece[l->nr++] = (struct lent_piece){ bytes, len };
}

/* A private copy in place of a lent packet, which is given back; others are returned as they are. NULL when the pool is empty. */
struct rte_mbuf *lent_own(struct rte_mbuf *m, struct rte_mempool *pool);

#endif
