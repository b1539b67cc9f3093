/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short way from guest to bridge: packets of one slot that ask for nothing, in static grants. Nearly all packets are so. The long way, and who calls
 * this, is netback_tx.c.
 */
#include "netback.h"
#include <string.h>

#define SMALL 64u /* a copy of so many bytes is four moves */

/* Where the bytes of such a packet are; NULL: it has to go the long way. */
static const uint8_t *plain_bytes(const struct netback_queue *q, const struct netif_tx_request *req)
{
	const uint8_t *page;

	if ((req->flags & ~NETTXF_data_validated) || req->size < NET_ETH_HLEN || (uint32_t)req->offset + req->size > SLUICE_PAGE_SIZE)
		return NULL;
	page = static_grants_read(&q->grants, req->gref);
	return page ? page + req->offset : NULL;
}

/* The packet's first n bytes. What is copied beyond them is the guest's own and counts for nothing. */
static void copy_head(struct rte_mbuf *m, const uint8_t *bytes, uint16_t n)
{
	if (n <= SMALL && ((uintptr_t)bytes & (SLUICE_PAGE_SIZE - 1)) <= SLUICE_PAGE_SIZE - SMALL)
		shm_copy_bulk(rte_pktmbuf_mtod(m, void *), bytes, SMALL);
	else
		shm_copy_bulk(rte_pktmbuf_mtod(m, void *), bytes, n);
	m->data_len = n;
}

/* m becomes the packet. */
static void fill(struct netback_tx_burst *b, struct rte_mbuf *m, const struct netif_tx_request *req, const uint8_t *bytes)
{
	m->pkt_len = req->size;
	if (req->flags & NETTXF_data_validated)
		m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	if (req->size < LENT_LEAST) {
		copy_head(m, bytes, req->size);
		return;
	}
	copy_head(m, bytes, LENT_HEADER);
	lent_append(m, bytes + LENT_HEADER, req->size - LENT_HEADER);
	b->lent = true;
}

unsigned netback_tx_plain(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf **pkts)
{
	const net_tx_slot *slot = &q->window[q->window_at];
	unsigned most = RTE_MIN(q->window_nr, NETBACK_BURST), n = 0;
	const uint8_t *bytes[NETBACK_BURST];

	if (!q->grants.nr)
		return 0;
	while (n < most && (bytes[n] = plain_bytes(q, &slot[n].req)))
		n++;
	if (n == 0 || rte_pktmbuf_alloc_bulk(q->vif->nb->pool, pkts, n))
		return 0;
	for (unsigned i = 0; i < n; i++) {
		fill(b, pkts[i], &slot[i].req, bytes[i]);
		b->rsp[i] = (struct netif_tx_response){.id = slot[i].req.id, .status = NETIF_RSP_OKAY};
	}
	b->nr_rsp = n;
	netback_tx_window_drop(q, n);
	return n;
}
