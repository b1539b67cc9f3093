/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The short way from bridge to guest, for packets of one slot: into static grants at once, and else in one batch of grant copies. The long way, and who calls this, is
 * netback_rx.c.
 */
#include "netback_rx_requests.h"

/* NETRXF_* of a packet that wishes or has something; -1: it needs the long way. */
static __attribute__((noinline)) int flags_of(const struct netback_vif *vif, const struct rte_mbuf *m)
{
	uint64_t wishes = m->ol_flags & OFFLOAD_WISHES;

	if (!wishes)
		return (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD ? (int)NETRXF_data_validated : 0;
	if (wishes & (RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM) || !netback_rx_abilities(vif, m))
		return -1;
	return (int)(NETRXF_csum_blank | NETRXF_data_validated);
}

/* NETRXF_* of a packet that goes to this guest as it is and alone; -1: it needs the long way. */
static inline int plain_flags(const struct netback_vif *vif, const struct rte_mbuf *m, uint32_t most)
{
	if (m->pkt_len - NET_ETH_HLEN > most - NET_ETH_HLEN)
		return -1;
	return m->ol_flags & (OFFLOAD_WISHES | RTE_MBUF_F_RX_L4_CKSUM_MASK) ? flags_of(vif, m) : 0;
}

/* A packet whose bytes are in several places. */
static __attribute__((noinline)) void copy_pieces(uint8_t *to, struct rte_mbuf *m)
{
	const struct lent *l = lent_of(m);

	for (struct rte_mbuf *s = m; s; to += s->data_len, s = s->next)
		shm_copy_bulk(to, rte_pktmbuf_mtod(s, const void *), s->data_len);
	for (uint32_t i = 0; lent_is(m) && i < l->nr; to += l->piece[i++].len)
		shm_copy_bulk(to, l->piece[i].bytes, l->piece[i].len);
}

static inline void copy_all(uint8_t *to, struct rte_mbuf *m)
{
	if (m->data_len == m->pkt_len)
		shm_copy_bulk(to, rte_pktmbuf_mtod(m, const void *), m->data_len);
	else
		copy_pieces(to, m);
}

/* The packet's bytes go to the page of gref when the batch is run. False: they are in several places, or the batch is full. */
static inline bool send_copy(struct netback_queue *q, struct netback_rx_burst *b, const struct rte_mbuf *m, gref_t gref, uint16_t place, unsigned number)
{
	if (m->data_len != m->pkt_len || b->copies.n == NETBACK_BURST)
		return false;
	b->number_of_op[b->copies.n] = (uint8_t)number;
	copy_batch_out(&b->copies, q->vif->domid, gref, place, rte_pktmbuf_mtod(m, const void *), m->data_len);
	return true;
}

/* Run the batch. What could not be copied says so in its slot; the requests are those from q->ahead_head on, the answers from q->rx.rsp_prod on. */
static void run_copies(struct netback_queue *q, struct netback_rx_burst *b)
{
	copy_batch_run(&b->copies, q->vif->nb->hv);
	for (unsigned i = 0; i < b->copies.n; i++) {
		uint32_t number = b->number_of_op[i];
		struct netif_rx_response rsp = {.id = q->ahead[(q->ahead_head + number) % NETBACK_RX_AHEAD].id, .status = NETIF_RSP_ERROR};

		if (b->copies.op[i].status == GNTST_okay)
			continue;
		back_ring_amend(&q->rx, q->rx.rsp_prod + number, &rsp, sizeof(rsp));
		q->stats.rx_bad++;
	}
}

unsigned netback_rx_plain(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n)
{
	const struct static_grants grants = q->grants; /* copies stay in registers, whatever is stored meanwhile */
	struct netback_rx_burst *b = netback_lcore(q->vif->nb)->rx;
	uint32_t most = rx_plain_most(q->vif), head = q->ahead_head;
	uint16_t spread = q->spread;
	struct back_ring ring;
	unsigned done;

	if (rx_requests(q) < n)
		rx_look_ahead(q, NETBACK_RX_AHEAD); /* the long way finds out what is wrong with the index */
	n = RTE_MIN(n, rx_requests(q));
	ring = q->rx;
	ring.slot_size = sizeof(net_rx_slot); /* as it is: the compiler knows now */
	b->copies.n = 0;
	for (done = 0; done < n; done++, head++) {
		struct rte_mbuf *m = pkts[done];
		const struct netif_rx_request req = q->ahead[head % NETBACK_RX_AHEAD];
		int flags = plain_flags(q->vif, m, most);
		uint8_t *page = static_grants_write(&grants, req.gref);
		uint16_t next = spread, place;
		uint64_t rsp;

		if (flags < 0)
			break;
		place = rx_place(&next, m->pkt_len);
		rsp = rx_response(req.id, place, (uint16_t)flags, (uint16_t)m->pkt_len);
		if (page)
			copy_all(page + place, m);
		else if (!send_copy(q, b, m, req.gref, place, done))
			break;
		spread = next;
		back_ring_put(&ring, &rsp, sizeof(rsp));
	}
	if (done == 0)
		return 0;
	if (b->copies.n)
		run_copies(q, b);
	q->ahead_head = head;
	q->spread = spread;
	q->rx.rsp_prod = ring.rsp_prod;
	if (back_ring_push(&q->rx))
		poller_notify(q->lcore->poller, q->rx_port);
	q->stats.rx_packets += done;
	return done;
}
