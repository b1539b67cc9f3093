/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short way from guest to bridge, for packets of one slot that ask for nothing, as nearly all are: one pass over the window's private copies. What lies in static
 * grants is taken from there, the rest in one batch of grant copies. The long way, and who calls this, is netback_tx.c.
 */
#include "netback.h"
#include "netback_tx_plain.h"
#include <bridge/packet.h>

static inline uint64_t packet_flags(const struct netif_tx_request *req)
{
	return (uint64_t)(req->flags & NETTXF_data_validated) * (RTE_MBUF_F_RX_L4_CKSUM_GOOD / NETTXF_data_validated);
}

/* m becomes the packet at these bytes. Of a long one only what the bridge looks at is made private; true: the rest is lent. */
static inline bool fill(struct rte_mbuf *m, const struct netif_tx_request *req, const uint8_t *bytes)
{
	uint16_t n = req->size < LENT_LEAST ? req->size : LENT_HEADER;

	packet_start(m, req->size, n, packet_flags(req));
	shm_copy_bulk(packet_bytes(m), bytes, n);
	if (n < req->size)
		lent_append(m, bytes + n, req->size - n);
	return n < req->size;
}

/* m becomes the packet when the batch is run. False: it does not fit. */
static inline bool fetch(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf *m, const struct netif_tx_request *req, unsigned number)
{
	if (req->size > RTE_MBUF_DEFAULT_DATAROOM)
		return false;
	packet_start(m, req->size, req->size, packet_flags(req));
	b->number_of_op[b->copies.n] = (uint8_t)number;
	copy_batch_in(&b->copies, q->vif->domid, req->gref, req->offset, packet_bytes(m), req->size);
	return true;
}

/* Run the batch: packets that could not be fetched are dropped and their answers amended. `first`: the number of packet 0's answer. Returns how many packets are left. */
static unsigned run_copies(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf **pkts, unsigned n, uint32_t first)
{
	const net_tx_slot *slot = &q->window[q->window_at];
	unsigned kept = 0;

	copy_batch_run(&b->copies, q->vif->nb->hv);
	if (copy_batch_ok(&b->copies, 0, b->copies.n))
		return n;
	for (unsigned i = 0; i < b->copies.n; i++) {
		unsigned number = b->number_of_op[i];
		struct netif_tx_response rsp = {.id = slot[number].req.id, .status = NETIF_RSP_ERROR};

		if (b->copies.op[i].status == GNTST_okay)
			continue;
		q->stats.tx_bad++;
		back_ring_amend(&q->tx, first + number, &rsp, sizeof(rsp));
		rte_pktmbuf_free(pkts[number]);
		pkts[number] = NULL;
	}
	for (unsigned i = 0; i < n; i++)
		if (pkts[i])
			pkts[kept++] = pkts[i];
	return kept;
}

unsigned netback_tx_plain(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf **pkts, unsigned *nr)
{
	const struct static_grants grants = q->grants; /* copies stay in registers, whatever is stored meanwhile */
	struct back_ring ring = q->tx;
	struct rte_mempool *pool = q->vif->nb->pool;
	const net_tx_slot *slot = &q->window[q->window_at];
	unsigned most = RTE_MIN(q->window_nr, NETBACK_BURST), n;

	if (!most || !plain(&slot->req) || packets_take(pool, pkts, most))
		return 0;
	ring.slot_size = sizeof(*slot); /* as it is: the compiler knows now */
	for (n = 0; n < most; n++) {
		const struct netif_tx_request *req = &slot[n].req;
		const uint8_t *page = static_grants_read(&grants, req->gref);
		struct netif_tx_response rsp = {.id = req->id, .status = NETIF_RSP_OKAY};

		if (!plain(req))
			break;
		netback_tx_prefetch(&grants, slot, n + NETBACK_TX_PREFETCH, q->window_nr);
		if (page)
			b->lent |= fill(pkts[n], req, page + req->offset);
		else if (!fetch(q, b, pkts[n], req, n))
			break;
		back_ring_put(&ring, &rsp, sizeof(rsp));
	}
	packets_untake(pool, pkts + n, most - n);
	*nr = b->copies.n ? run_copies(q, b, pkts, n, q->tx.rsp_prod) : n;
	q->tx.rsp_prod = ring.rsp_prod;
	netback_tx_window_drop(q, n);
	return n;
}
