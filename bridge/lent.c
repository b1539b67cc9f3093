/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets whose payload is in a guest's pages: see lent.h. */
#include "lent.h"
#include <rte_errno.h>
#include <rte_mbuf_dyn.h>
#include <sluice/shm.h>

uint64_t lent_flag;

int lent_init(void)
{
	static const struct rte_mbuf_dynflag flag = { .name = "sluice_lent" };
	int bit = rte_mbuf_dynflag_register(&flag);

	if (bit < 0)
		return -rte_errno;
	lent_flag = 1ull << bit;
	return 0;
}

/* Append n bytes that may be in a guest's page. The new last segment, or NULL. */
static struct rte_mbuf *append_copy(struct rte_mbuf *head, struct rte_mbuf *last, struct rte_mempool *pool, const uint8_t *from, uint32_t n)
{
	while (n > 0) {
		uint16_t part = (uint16_t)RTE_MIN(n, rte_pktmbuf_tailroom(last));

		if (part == 0) {
			last->next = rte_pktmbuf_alloc(pool);
			if (!last->next)
				return NULL;
			last = last->next;
			head->nb_segs++;
			continue;
		}
		shm_copy_bulk(rte_pktmbuf_mtod_offset(last, void *, last->data_len), from, part);
		last->data_len = (uint16_t)(last->data_len + part);
		from += part;
		n -= part;
	}
	return last;
}

struct rte_mbuf *lent_own(struct rte_mbuf *m, struct rte_mempool *pool)
{
	const struct lent *l;
	struct rte_mbuf *head, *last;

	if (!lent_is(m))
		return m;
	l = lent_of(m);
	head = last = rte_pktmbuf_alloc(pool);
	if (last)
		last = append_copy(head, last, pool, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
	for (uint32_t i = 0; last && i < l->nr; i++)
		last = append_copy(head, last, pool, l->piece[i].bytes, l->piece[i].len);
	if (last) {
		head->pkt_len = m->pkt_len;
		head->ol_flags = m->ol_flags & ~lent_flag;
		head->tx_offload = m->tx_offload;
	} else {
		rte_pktmbuf_free(head);
		head = NULL;
	}
	rte_pktmbuf_free(m);
	return head;
}
