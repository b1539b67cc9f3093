/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short ways from guest to bridge, for packets of one slot that ask for nothing, as nearly all are: in static grants, or each as one grant copy. The long way,
 * and who calls these, is netback_tx.c.
 */
#include "netback.h"
#include "netback_tx_plain.h"
#include <bridge/packet.h>

/* m becomes the packet. Of a long one only what the bridge looks at is made private; true: the rest is lent. */
static inline bool fill(struct rte_mbuf *m, const struct netif_tx_request *req, const uint8_t *bytes)
{
	uint16_t n = req->size < LENT_LEAST ? req->size : LENT_HEADER;

	packet_start(m, req->size, n, (uint64_t)(req->flags & NETTXF_data_validated) * (RTE_MBUF_F_RX_L4_CKSUM_GOOD / NETTXF_data_validated));
	shm_copy_bulk(packet_bytes(m), bytes, n);
	if (n < req->size)
		lent_append(m, bytes + n, req->size - n);
	return n < req->size;
}

unsigned netback_tx_plain(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf **pkts)
{
	const struct static_grants grants = q->grants; /* copies stay in registers, whatever is stored meanwhile */
	struct back_ring ring = q->tx;
	struct rte_mempool *pool = q->vif->nb->pool;
	const net_tx_slot *slot = &q->window[q->window_at];
	unsigned most = RTE_MIN(q->window_nr, NETBACK_BURST), n;
	bool lent = false;

	if (!grants.nr || !most || !plain_bytes(&grants, &slot->req) || packets_take(pool, pkts, most))
		return 0;
	ring.slot_size = sizeof(*slot); /* as it is: the compiler knows now */
	for (n = 0; n < most; n++) {
		const struct netif_tx_request *req = &slot[n].req;
		const uint8_t *bytes = plain_bytes(&grants, req);
		struct netif_tx_response rsp = {.id = req->id, .status = NETIF_RSP_OKAY};

		if (!bytes)
			break;
		lent |= fill(pkts[n], req, bytes);
		back_ring_put(&ring, &rsp, sizeof(rsp));
	}
	packets_untake(pool, pkts + n, most - n);
	q->tx.rsp_prod = ring.rsp_prod;
	b->lent = lent;
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
