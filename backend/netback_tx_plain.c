/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short ways from guest to bridge, for packets of one slot that ask for nothing, as nearly all are: in static grants, or each as one grant copy. The long way,
 * and who calls these, is netback_tx.c.
 */
#include "netback.h"
#include <bridge/packet.h>

static bool plain(const struct netif_tx_request *req)
{
	return !(req->flags & ~NETTXF_data_validated) && req->size >= NET_ETH_HLEN && (uint32_t)req->offset + req->size <= SLUICE_PAGE_SIZE;
}

/* Where the bytes of such a packet are; NULL: it has to go another way. */
static const uint8_t *plain_bytes(const struct netback_queue *q, const struct netif_tx_request *req)
{
	const uint8_t *page = plain(req) ? static_grants_read(&q->grants, req->gref) : NULL;

	return page ? page + req->offset : NULL;
}

/* Bytes of the packet that are made private: all, or those that the bridge looks at. */
static uint16_t private_bytes(uint16_t size)
{
	return size < LENT_LEAST ? size : LENT_HEADER;
}

/* m becomes the packet. */
static inline void fill(struct netback_tx_burst *b, struct rte_mbuf *m, const struct netif_tx_request *req, const uint8_t *bytes)
{
	uint16_t n = private_bytes(req->size);

	packet_start(m, req->size, n, req->flags & NETTXF_data_validated ? RTE_MBUF_F_RX_L4_CKSUM_GOOD : 0);
	shm_copy_bulk(rte_pktmbuf_mtod(m, void *), bytes, n);
	if (n < req->size) {
		lent_append(m, bytes + n, req->size - n);
		b->lent = true;
	}
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
	if (n == 0 || packets_take(q->vif->nb->pool, pkts, n))
		return 0;
	for (unsigned i = 0; i < n; i++) {
		fill(b, pkts[i], &slot[i].req, bytes[i]);
		b->rsp[i] = (struct netif_tx_response){.id = slot[i].req.id, .status = NETIF_RSP_OKAY};
	}
	b->nr_rsp = n;
	netback_tx_window_drop(q, n);
	return n;
}

bool netback_tx_plain_copy(struct netback_queue *q, struct netback_tx_burst *b, const struct netif_tx_request *req)
{
	struct netback_tx_packet *t = &b->packet[b->nr];
	struct rte_mbuf *m;

	if (!plain(req) || req->size > RTE_MBUF_DEFAULT_DATAROOM || static_grants_read(&q->grants, req->gref))
		return false;
	m = rte_pktmbuf_alloc(q->vif->nb->pool);
	if (!m)
		return false;
	m->pkt_len = m->data_len = req->size;
	*t = (struct netback_tx_packet){.m = m, .first_op = (uint16_t)b->copies.n, .nr_ops = 1, .first_rsp = (uint16_t)b->nr_rsp, .nr_rsp = 1,
					.gso_type = XEN_NETIF_GSO_TYPE_NONE, .data_validated = req->flags & NETTXF_data_validated};
	b->rsp[b->nr_rsp++] = (struct netif_tx_response){.id = req->id, .status = NETIF_RSP_OKAY};
	copy_batch_in(&b->copies, q->vif->domid, req->gref, req->offset, rte_pktmbuf_mtod(m, void *), req->size);
	b->nr++;
	return true;
}
