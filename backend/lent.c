/* SPDX-License-Identifier: BSD-3-Clause */
/* Packets whose payload is in a guest's pages: see lent.h. */
#include "lent.h"
#include <sluice/shm.h>

/* DPDK counts the users of an external buffer, and asks for it to be freed at the last. These are freed by nobody: the count starts anew. */
static void given_back(void *bytes, void *opaque)
{
	(void)bytes;
	rte_mbuf_ext_refcnt_set(opaque, 1);
}

void lent_init(struct rte_mbuf_ext_shared_info *lenders)
{
	lenders->free_cb = given_back;
	lenders->fcb_opaque = lenders;
	rte_mbuf_ext_refcnt_set(lenders, 1);
}

struct rte_mbuf *lent_append(struct rte_mbuf *head, struct rte_mbuf *last, struct rte_mempool *pool, struct rte_mbuf_ext_shared_info *lenders,
			     uint8_t *bytes, uint16_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (!m)
		return NULL;
	rte_pktmbuf_attach_extbuf(m, bytes, RTE_BAD_IOVA, len, lenders);
	m->data_len = len;
	last->next = m;
	head->nb_segs++;
	return m;
}

/* Append n bytes that may be in a guest's page. The new last segment, or NULL. */
static struct rte_mbuf *append_copy(struct rte_mbuf *head, struct rte_mbuf *last, struct rte_mempool *pool, const uint8_t *from, uint16_t n)
{
	while (n > 0) {
		uint16_t part = RTE_MIN(n, rte_pktmbuf_tailroom(last));

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
		n = (uint16_t)(n - part);
	}
	return last;
}

struct rte_mbuf *lent_own(struct rte_mbuf *m, struct rte_mempool *pool)
{
	struct rte_mbuf *head, *last;

	if (!lent_is(m))
		return m;
	head = last = rte_pktmbuf_alloc(pool);
	for (const struct rte_mbuf *s = m; last && s; s = s->next)
		last = append_copy(head, last, pool, rte_pktmbuf_mtod(s, const uint8_t *), s->data_len);
	if (last) {
		head->pkt_len = m->pkt_len;
		head->ol_flags = m->ol_flags;
		head->tx_offload = m->tx_offload;
	} else {
		rte_pktmbuf_free(head);
		head = NULL;
	}
	rte_pktmbuf_free(m);
	return head;
}
