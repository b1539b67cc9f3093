/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest to bridge. One burst: slots are copied into the queue's private window, each once; parsed into checked packets; their bytes fetched, from static
 * grants where they lie and else in one batch of grant copies; answered; handed to the bridge. Called by the poller through netback_connect.c.
 * The short ways, for packets that need the least, are netback_direct.c and netback_tx_plain.c: they are tried first.
 */
#include "netback.h"
#include <errno.h>
#include <string.h>

/* Most copies of one packet: each fragment, cut wherever an mbuf ends. */
#define TX_PACKET_OPS (NET_SLOTS_TOLERATED + NET_PACKET_MAX / 2048u + 1u)

/* Senders use their buffers in turn, or the same one again and again: the next packet is probably as far from this one as this one from the one before. */
static inline void foresee(struct netback_queue *q, const struct netif_tx_request *req)
{
	uintptr_t at = (uintptr_t)static_grants_read(&q->grants, req->gref) + req->offset;

	q->foreseen = 2 * at - q->last_seen;
	q->last_seen = at;
}

/* Read ahead. 1 when the ring holds more than the window took, so that the last packet of the window may go on there; 0 when not; -EPROTO. */
static int fill_window(struct netback_queue *q)
{
	unsigned n, first;
	int pending;

	if (q->window_nr >= NET_SLOTS_LOOK + NETBACK_BURST)
		return 1; /* enough for now */
	shm_prefetch((const void *)q->foreseen); /* these two come while the index does: a single packet's way has one wait less */
	shm_prefetch(back_ring_slot(&q->tx, 0));
	pending = back_ring_pending(&q->tx);
	if (pending < 0)
		return pending;
	if (q->window_at > 0) {
		memmove(q->window, &q->window[q->window_at], q->window_nr * sizeof(q->window[0]));
		q->window_at = 0;
	}
	n = RTE_MIN((unsigned)pending, NETBACK_TX_WINDOW - q->window_nr);
	back_ring_take(&q->tx, &q->window[q->window_nr], n, sizeof(q->window[0]));
	first = q->window_nr;
	q->window_nr += n;
	for (unsigned i = first; i < q->window_nr && i < NETBACK_TX_PREFETCH; i++)
		netback_tx_prefetch(&q->grants, q->window, i, q->window_nr); /* the others' turn is when they are so near */
	if (n > 0)
		foresee(q, &q->window[q->window_nr - 1].req);
	return n < (unsigned)pending;
}

/* n bytes of a fragment, from `offset` of its page on: now from a static grant, or in the batch. */
static void fetch(struct netback_queue *q, struct copy_batch *copies, gref_t gref, uint16_t offset, void *dst, uint16_t n)
{
	const uint8_t *page = static_grants_read(&q->grants, gref);

	if (page)
		shm_copy_bulk(dst, page + offset, n);
	else
		copy_batch_in(copies, q->vif->domid, gref, offset, dst, n);
}

/* May the payload stay in the guest's pages until it is delivered? */
static bool may_lend(const struct netback_queue *q, const struct net_packet *p)
{
	if (p->size < LENT_LEAST)
		return false;
	for (unsigned i = 0; i < p->nr_frags; i++)
		if (!static_grants_read(&q->grants, p->frags[i].gref))
			return false;
	return true;
}

/* A packet with private headers and its payload in the guest's pages. NULL when the pool is empty. */
static struct rte_mbuf *lend(struct netback_queue *q, const struct net_packet *p)
{
	bool wishes = p->csum_blank || p->gso_type != XEN_NETIF_GSO_TYPE_NONE;
	uint16_t left = wishes ? HEADERS_MAX : LENT_HEADER; /* bytes still to be copied */
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->vif->nb->pool);

	for (unsigned i = 0; m && i < p->nr_frags; i++) {
		const struct net_frag *f = &p->frags[i];
		const uint8_t *bytes = static_grants_read(&q->grants, f->gref) + f->offset;
		uint16_t n = RTE_MIN(left, f->len);

		shm_copy_bulk(rte_pktmbuf_mtod_offset(m, void *, m->data_len), bytes, n);
		m->data_len = (uint16_t)(m->data_len + n);
		left = (uint16_t)(left - n);
		if (n < f->len)
			lent_append(m, bytes + n, f->len - n);
	}
	if (m)
		m->pkt_len = p->size;
	return m;
}

/* The chain goes on in a new mbuf. NULL when the pool is empty. */
static struct rte_mbuf *extend(struct netback_queue *q, struct rte_mbuf *head, struct rte_mbuf *tail)
{
	tail->next = rte_pktmbuf_alloc(q->vif->nb->pool);
	if (tail->next)
		head->nb_segs++;
	return tail->next;
}

/* Where the first whole page of an mbuf's buffer begins; 0 when it has none, as most pools' (eal_dma.c). */
static uint16_t page_of(const struct rte_mbuf *m)
{
	uintptr_t from = (uintptr_t)m->buf_addr, page = RTE_ALIGN_CEIL(from + 1, SLUICE_PAGE_SIZE);

	return page + SLUICE_PAGE_SIZE <= from + m->buf_len ? (uint16_t)(page - from) : 0;
}

/* A fragment that would cross from page to page is copied twice: it had better begin in a page of its own. The mbuf where it begins, or NULL. */
static struct rte_mbuf *begin_fragment(struct netback_queue *q, struct rte_mbuf *head, struct rte_mbuf *tail, uint16_t len)
{
	uintptr_t end = (uintptr_t)rte_pktmbuf_mtod_offset(tail, void *, tail->data_len);
	uint16_t page = page_of(tail);

	if (!page || !len || (end % SLUICE_PAGE_SIZE + len <= SLUICE_PAGE_SIZE && len <= rte_pktmbuf_tailroom(tail)))
		return tail;
	if (tail->data_len)
		tail = extend(q, head, tail);
	if (tail)
		tail->data_off = page_of(tail);
	return tail;
}

/* A fragment's bytes, at the end of the chain. Its last mbuf, or NULL. */
static struct rte_mbuf *gather_fragment(struct netback_queue *q, struct copy_batch *copies, struct rte_mbuf *head, struct rte_mbuf *tail, const struct net_frag *f)
{
	uint16_t done = 0;

	tail = begin_fragment(q, head, tail, f->len);
	while (tail && done < f->len) {
		uint16_t n = RTE_MIN((uint16_t)(f->len - done), rte_pktmbuf_tailroom(tail));

		if (n == 0) {
			tail = extend(q, head, tail);
			continue;
		}
		fetch(q, copies, f->gref, (uint16_t)(f->offset + done), rte_pktmbuf_mtod_offset(tail, void *, tail->data_len), n);
		tail->data_len += n;
		done += n;
	}
	return tail;
}

/* An mbuf chain of p's size whose bytes come from the fragments, one copy after the other. NULL when the pool is empty. */
static struct rte_mbuf *gather(struct netback_queue *q, struct copy_batch *copies, const struct net_packet *p)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(q->vif->nb->pool), *tail = head;
	unsigned first = copies->n;

	for (unsigned i = 0; tail && i < p->nr_frags; i++)
		tail = gather_fragment(q, copies, head, tail, &p->frags[i]);
	if (tail) {
		head->pkt_len = p->size;
		return head;
	}
	copies->n = first; /* they would write into mbufs that are freed now */
	rte_pktmbuf_free(head);
	return NULL;
}

/* Take one parsed packet, good or bad, into the burst. */
static void take_packet(struct netback_queue *q, struct netback_tx_burst *b, const struct net_packet *p, bool good)
{
	struct netback_tx_packet *t = &b->packet[b->nr++];

	t->first_op = (uint16_t)b->copies.n;
	t->m = !good ? NULL : may_lend(q, p) ? lend(q, p) : gather(q, &b->copies, p);
	b->lent |= t->m && lent_is(t->m);
	t->nr_ops = (uint16_t)(b->copies.n - t->first_op);
	t->gso_type = p->gso_type;
	t->gso_size = p->gso_size;
	t->csum_blank = p->csum_blank;
	t->data_validated = p->data_validated;
	t->first_rsp = (uint16_t)b->nr_rsp;
	t->nr_rsp = (uint16_t)net_tx_respond(p, t->m ? NETIF_RSP_OKAY : NETIF_RSP_ERROR, &b->rsp[b->nr_rsp]);
	b->nr_rsp += t->nr_rsp;
	if (!good)
		q->stats.tx_bad++;
	else if (!t->m)
		q->stats.tx_no_memory++;
}

/* Parse the burst's packets out of the window; `more` as fill_window says. Returns how many slots they take. */
static unsigned collect(struct netback_queue *q, struct netback_tx_burst *b, bool more)
{
	struct net_packet p;
	unsigned at = 0;

	while (b->nr < NETBACK_BURST && at < q->window_nr && copy_batch_room(&b->copies) >= TX_PACKET_OPS) {
		const net_tx_slot *slot = &q->window[q->window_at + at];
		int rc;

		if (more && q->window_nr - at < NET_SLOTS_LOOK)
			break;
		rc = net_tx_parse(slot, q->window_nr - at, &p);
		if (rc == -EPROTO) {
			netback_queue_broken(q, p.why);
			break;
		}
		take_packet(q, b, &p, rc > 0 && !p.mcast_op);
		at += p.nr_slots;
	}
	netback_tx_window_drop(q, at);
	return at;
}

/* Its headers may be in more than one slot, and then in several mbufs (begin_fragment): put what there is into as few as it takes. False: it is not so, or there is no memory. */
static bool headers_together(struct netback_tx_packet *t)
{
	struct rte_mbuf *m;

	if (t->m->nb_segs == 1 || t->m->data_len >= HEADERS_MAX)
		return false;
	m = rte_pktmbuf_copy(t->m, t->m->pool, 0, UINT32_MAX);
	if (!m)
		return false;
	rte_pktmbuf_free(t->m);
	t->m = m;
	return true;
}

static bool headers_ready(struct netback_tx_packet *t)
{
	if (headers_from_guest(t->m, t->gso_type, t->gso_size) == 0)
		return true;
	return headers_together(t) && headers_from_guest(t->m, t->gso_type, t->gso_size) == 0;
}

/* The packet is in private memory now. False: it is to be dropped. */
static bool packet_ready(struct netback_tx_burst *b, struct netback_tx_packet *t)
{
	if (!copy_batch_ok(&b->copies, t->first_op, t->nr_ops))
		return false;
	if (t->csum_blank || t->gso_type != XEN_NETIF_GSO_TYPE_NONE)
		return headers_ready(t);
	if (t->data_validated)
		t->m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	return true;
}

static void drop(struct netback_tx_burst *b, struct netback_tx_packet *t)
{
	for (unsigned i = 0; i < t->nr_rsp; i++)
		if (b->rsp[t->first_rsp + i].status == NETIF_RSP_OKAY)
			b->rsp[t->first_rsp + i].status = NETIF_RSP_ERROR;
	rte_pktmbuf_free(t->m);
	t->m = NULL;
}

/* Good packets of the burst, in order. */
static unsigned sort_out(struct netback_queue *q, struct netback_tx_burst *b, struct rte_mbuf **pkts)
{
	unsigned n = 0;

	for (unsigned i = 0; i < b->nr; i++) {
		struct netback_tx_packet *t = &b->packet[i];

		if (!t->m)
			continue;
		if (packet_ready(b, t)) {
			pkts[n++] = t->m;
		} else {
			q->stats.tx_bad++;
			drop(b, t);
		}
	}
	return n;
}

/* The answers of the long way; the short way has put its own. */
static void put_responses(struct netback_queue *q, const struct netback_tx_burst *b)
{
	for (unsigned i = 0; i < b->nr_rsp; i++)
		back_ring_put(&q->tx, &b->rsp[i], sizeof(b->rsp[i]));
}

static void push_responses(struct netback_queue *q)
{
	if (back_ring_push(&q->tx))
		poller_notify(q->lcore->poller, q->tx_port);
}

/*
 * A sender that is faster than its receiver would only produce packets to be dropped, and where both share a pCPU it would even keep the receiver from
 * running. So, like a switch that sends PAUSE frames (IEEE 802.3x), we leave its requests alone: its ring fills, it sleeps, and the receiver catches up. A
 * receiver has NETBACK_PAUSE_US to take all that waits for it; until it has done so it pauses nobody again, so no guest holds up its neighbours for long. A NIC without room has
 * longer (bridge/uplink_tx.c), since it is nobody's to hold up others with.
 */
static void pause_if_crowded(struct netback_queue *q, uint32_t relief)
{
	unsigned us = bridge_was_crowded(q->vif->nb->bridge);

	if (!us)
		return;
	q->pause_until = rte_rdtsc() + us * (rte_get_tsc_hz() / 1000000);
	q->pause_relief = relief; /* as it was before: the crowd may have gone already */
}

static bool paused(struct netback_queue *q)
{
	if (q->pause_until && (q->pause_relief != bridge_relief(q->vif->nb->bridge) || rte_rdtsc() >= q->pause_until))
		q->pause_until = 0;
	return q->pause_until;
}

/* The burst out of the window, any way but straight; `more` as fill_window says. Returns how many slots it took. */
static unsigned burst_through_bridge(struct netback_queue *q, bool more)
{
	struct netback_tx_burst *b = q->lcore->tx;
	struct rte_mbuf *pkts[NETBACK_BURST];
	uint32_t relief = bridge_relief(q->vif->nb->bridge);
	unsigned slots, n;

	b->nr = b->nr_rsp = b->copies.n = 0;
	b->lent = false;
	slots = netback_tx_plain(q, b, pkts, &n);
	if (slots == 0) {
		slots = collect(q, b, more);
		if (slots == 0)
			return 0;
		copy_batch_run(&b->copies, q->vif->nb->hv);
		n = sort_out(q, b, pkts);
		put_responses(q, b);
	}
	if (!b->lent)
		push_responses(q);
	q->stats.tx_packets += n;
	bridge_was_crowded(q->vif->nb->bridge); /* by others' packets */
	if (n > 0)
		bridge_input(&q->vif->port, pkts, n);
	bridge_flush(q->vif->nb->bridge); /* whoever gets them has copied them now: the guest may have its pages back */
	if (b->lent)
		push_responses(q);
	pause_if_crowded(q, relief);
	return slots;
}

/* As fill_window; a broken index ends the queue. */
static int read_ahead(struct netback_queue *q)
{
	int more = fill_window(q);

	if (more < 0)
		netback_queue_broken(q, "the guest's tx index is out of range");
	return more;
}

unsigned netback_tx_burst(struct netback_queue *q)
{
	unsigned slots;
	int more;

	if (!q->live || paused(q))
		return 0;
	more = read_ahead(q);
	if (more < 0 || !q->window_nr)
		return 0;
	slots = netback_direct(q);
	if (slots == 0)
		slots = burst_through_bridge(q, more);
	if (slots > 0 && q->live)
		read_ahead(q); /* while the line of the indices is still here: what we have just written to it */
	return slots;
}

bool netback_tx_arm(struct netback_queue *q)
{
	int pending;

	if (!q->live)
		return false;
	pending = back_ring_arm(&q->tx);
	if (pending < 0)
		netback_queue_broken(q, "the guest's tx index is out of range");
	return pending > 0 || (pending == 0 && q->window_nr > 0);
}
