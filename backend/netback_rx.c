/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bridge to guest. Packets are made fit for what the guest negotiated, wait in a small queue, and go out in bursts: rx requests are read, each once;
 * their bytes go to the guest's pages, static grants or one batch of grant copies; then the responses, one index and at most one event.
 * Packets may be shared with other ports: they are only read.
 *
 * A guest without room: a few packets wait (NETBACK_WAIT_*, and a share for all vifs together), for NETBACK_STALL_US at most; then all are dropped, and
 * whatever comes is dropped at once until the guest has room for the largest packet again (XSA-392).
 */
#include "netback_rx_requests.h"
#include <bridge/packet.h>
#include <errno.h>

#define SEGMENTS_MAX 128u /* packets that one packet is cut into for a guest that cannot do so itself */

static struct rte_mbuf *first_waiting(const struct netback_queue *q)
{
	return q->waiting[q->wait_head % NETBACK_WAIT_PACKETS];
}

/* Takes the packet: puts it in the queue or drops it. */
static bool enqueue(struct netback_queue *q, struct rte_mbuf *m)
{
	struct netback *nb = q->vif->nb;

	if (netback_rx_waiting(q) == NETBACK_WAIT_PACKETS || q->wait_segs + m->nb_segs > NETBACK_WAIT_SEGS ||
	    __atomic_load_n(&nb->waiting_segs, __ATOMIC_RELAXED) + m->nb_segs > nb->waiting_max) {
		q->stats.rx_dropped++;
		rte_pktmbuf_free(m);
		return false;
	}
	q->waiting[q->wait_tail++ % NETBACK_WAIT_PACKETS] = m;
	q->wait_segs += m->nb_segs;
	__atomic_fetch_add(&nb->waiting_segs, m->nb_segs, __ATOMIC_RELAXED);
	return true;
}

static struct rte_mbuf *dequeue(struct netback_queue *q)
{
	struct rte_mbuf *m = first_waiting(q);

	q->wait_head++;
	q->wait_segs -= m->nb_segs;
	__atomic_fetch_sub(&q->vif->nb->waiting_segs, m->nb_segs, __ATOMIC_RELAXED);
	return m;
}

static void drop_waiting(struct netback_queue *q)
{
	q->stats.rx_dropped += netback_rx_waiting(q);
	while (netback_rx_waiting(q) > 0)
		rte_pktmbuf_free(dequeue(q));
}

static bool wants_cut(const struct rte_mbuf *m)
{
	return m->ol_flags & RTE_MBUF_F_TX_TCP_SEG;
}

static unsigned slots_needed(const struct rte_mbuf *m)
{
	return (m->pkt_len + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE + wants_cut(m);
}

/* ---- one packet into slots and copies ---- */

/* The next one; it is taken with ahead_head++. */
static const struct netif_rx_request *rx_first_request(const struct netback_queue *q)
{
	return &q->ahead[q->ahead_head % NETBACK_RX_AHEAD];
}

/* Takes the rx requests that the packet needs, in order. */
static void take_requests(struct netback_queue *q, struct net_packet *p, uint32_t len)
{
	uint16_t at = rx_place(&q->spread, len);

	for (unsigned i = 0, frag = 0; i < net_packet_slots(p); i++) {
		const struct netif_rx_request *req = rx_first_request(q);

		q->ahead_head++;
		if (i == 1 && p->gso_type != XEN_NETIF_GSO_TYPE_NONE)
			continue; /* becomes the extra-info slot; its page is not used */
		p->frags[frag] = (struct net_frag){.gref = req->gref, .offset = at, .id = req->id};
		p->frags[frag].len = (uint16_t)RTE_MIN(len, SLUICE_PAGE_SIZE - at);
		len -= p->frags[frag++].len;
		at = 0;
	}
}

struct cursor {
	const struct net_packet *p;
	unsigned frag;
	uint16_t done; /* bytes of the fragment that have a source */
	unsigned first_slot;
};

/* Copy n bytes to where the cursor stands. */
static void copy_run(struct netback_queue *q, struct netback_rx_burst *b, struct cursor *c, const uint8_t *src, uint32_t n)
{
	while (n > 0) {
		const struct net_frag *f = &c->p->frags[c->frag];
		uint16_t part = (uint16_t)RTE_MIN(n, (uint32_t)f->len - c->done);

		uint8_t *page = static_grants_write(&q->grants, f->gref);

		if (page) {
			shm_copy_bulk(page + f->offset + c->done, src, part);
		} else {
			b->slot_of_op[b->copies.n] = (uint16_t)(c->first_slot + net_packet_slot_of(c->p, c->frag));
			copy_batch_out(&b->copies, q->vif->domid, f->gref, (uint16_t)(f->offset + c->done), src, part);
		}
		src += part;
		n -= part;
		c->done += part;
		if (c->done == f->len) {
			c->frag++;
			c->done = 0;
		}
	}
}

/* All bytes of the packet: its headers from `headers` when they had to be changed, the rest from where it lies. */
static void copy_packet(struct netback_queue *q, struct netback_rx_burst *b, struct cursor *c, struct rte_mbuf *m,
			const uint8_t *headers, uint32_t header_len)
{
	copy_run(q, b, c, headers, header_len);
	for (const struct rte_mbuf *s = m; s; s = s->next) {
		uint32_t skip = RTE_MIN(header_len, (uint32_t)s->data_len);

		header_len -= skip;
		copy_run(q, b, c, rte_pktmbuf_mtod_offset(s, const uint8_t *, skip), s->data_len - skip);
	}
	for (uint32_t i = 0; lent_is(m) && i < lent_of(m)->nr; i++)
		copy_run(q, b, c, lent_of(m)->piece[i].bytes, lent_of(m)->piece[i].len);
}

static void put_packet(struct netback_queue *q, struct netback_rx_burst *b, struct rte_mbuf *m)
{
	struct net_packet p = {.size = m->pkt_len};
	uint8_t *headers = b->headers[b->nr];
	struct cursor c = {.p = &p, .first_slot = b->nr_slots};
	uint32_t header_len = 0;

	if (wants_cut(m)) {
		header_len = headers_to_guest(m, headers);
		p.gso_type = m->ol_flags & RTE_MBUF_F_TX_IPV4 ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6;
		p.gso_size = m->tso_segsz;
	}
	p.csum_blank = m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG);
	p.data_validated = (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	p.nr_frags = (uint16_t)((m->pkt_len + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE);
	take_requests(q, &p, m->pkt_len);
	p.nr_extras = p.gso_type != XEN_NETIF_GSO_TYPE_NONE; /* tells net_packet_slot_of where the fragments are */
	copy_packet(q, b, &c, m, headers, header_len);
	b->nr_slots += net_rx_build(&p, &b->slots[b->nr_slots]);
	b->nr++;
}

/* ---- bursts ---- */

/* Copies that a packet takes at most: its mbufs, cut at each page, and its changed headers. */
static unsigned ops_needed(const struct rte_mbuf *m)
{
	return m->nb_segs + slots_needed(m) + 1;
}

unsigned netback_rx_abilities(const struct netback_vif *vif, const struct rte_mbuf *m)
{
	bool v6 = m->ol_flags & RTE_MBUF_F_TX_IPV6;

	if (!(v6 ? vif->csum6 : vif->csum4))
		return 0;
	return OFFLOAD_CSUM | (vif->gso4 ? OFFLOAD_TSO4 : 0) | (vif->gso6 ? OFFLOAD_TSO6 : 0);
}

/* A packet that is to be cut has its size checked when it is. */
static bool fits(const struct netback_vif *vif, const struct rte_mbuf *m)
{
	uint32_t most = vif->sg ? NET_PACKET_MAX : SLUICE_PAGE_SIZE;

	if (m->pkt_len < NET_ETH_HLEN || m->pkt_len > most || ops_needed(m) > COPY_BATCH_OPS)
		return false;
	if (wants_cut(m))
		return (unsigned)m->l2_len + m->l3_len + m->l4_len <= HEADERS_MAX;
	return m->pkt_len <= rx_frame_most(vif);
}

/* Can it go out as it is? */
static bool fits_now(const struct netback_queue *q, const struct rte_mbuf *m)
{
	return fits(q->vif, m) && !offload_needed(m, netback_rx_abilities(q->vif, m));
}

/* Are the pages of the next requests static grants? What is lent is moved from page to page, by nobody but us. */
static bool next_are_static(const struct netback_queue *q, unsigned slots)
{
	for (unsigned i = 0; i < slots; i++)
		if (!static_grants_write(&q->grants, q->ahead[(q->ahead_head + i) % NETBACK_RX_AHEAD].gref))
			return false;
	return true;
}

/* Packets from the first on, while there are requests for them. How many, or -EPROTO. */
static int gather(struct netback_queue *q, struct netback_rx_burst *b, struct rte_mbuf **pkts, unsigned n)
{
	int rc = rx_look_ahead(q, 0);

	while (rc >= 0 && b->nr < RTE_MIN(n, NETBACK_BURST)) {
		struct rte_mbuf *m = pkts[b->nr];
		unsigned slots;

		slots = slots_needed(m);
		if (slots > rx_requests(q))
			rc = rx_look_ahead(q, 0);
		if (rc < 0 || slots > rx_requests(q) || ops_needed(m) > copy_batch_room(&b->copies) || !fits_now(q, m) ||
		    (lent_is(m) && !next_are_static(q, slots)))
			break;
		put_packet(q, b, m);
	}
	return rc < 0 ? rc : (int)b->nr;
}

/* A fragment that could not be copied says so in its own slot; the flags that chain the packet stay. */
static void mark_failures(struct netback_queue *q, struct netback_rx_burst *b)
{
	for (unsigned i = 0; i < b->copies.n; i++) {
		if (b->copies.op[i].status == GNTST_okay)
			continue;
		b->slots[b->slot_of_op[i]].rsp.status = NETIF_RSP_ERROR;
		q->stats.rx_bad++;
	}
}

/* Deliver packets from the first on, of any kind that needs no change. How many; all stay the caller's to free. */
static unsigned deliver_long(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n)
{
	struct netback_rx_burst *b = netback_lcore(q->vif->nb)->rx;

	b->nr = b->nr_slots = b->copies.n = 0;
	if (gather(q, b, pkts, n) < 0) {
		netback_queue_broken(q, "the guest's rx index is out of range");
		return 0;
	}
	if (b->nr == 0)
		return 0;
	copy_batch_run(&b->copies, q->vif->nb->hv);
	mark_failures(q, b);
	for (unsigned i = 0; i < b->nr_slots; i++)
		back_ring_put(&q->rx, &b->slots[i], sizeof(b->slots[i]));
	if (back_ring_push(&q->rx))
		poller_notify(q->lcore->poller, q->rx_port);
	q->stats.rx_packets += b->nr;
	return b->nr;
}

/* The same in turns of the short way and the long one. */
static unsigned deliver_now(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned done = 0, k;

	do {
		k = netback_rx_plain(q, pkts + done, n - done);
		if (k == 0)
			k = deliver_long(q, pkts + done, n - done);
		done += k;
	} while (q->live && k > 0 && done < n);
	return done;
}

/* What waits, up to where the array of them ends. */
static unsigned deliver_waiting(struct netback_queue *q)
{
	unsigned at = q->wait_head % NETBACK_WAIT_PACKETS;
	unsigned n = deliver_now(q, &q->waiting[at], RTE_MIN(netback_rx_waiting(q), NETBACK_WAIT_PACKETS - at));

	for (unsigned i = 0; i < n; i++)
		dequeue(q);
	packets_give_back(q->vif->nb->pool, &q->waiting[at], n);
	return n;
}

/* Deliver what waits and now fits; how many packets. */
static unsigned drain(struct netback_queue *q)
{
	unsigned done = 0, n;

	while (q->live && netback_rx_waiting(q) > 0 && (n = deliver_waiting(q)) > 0)
		done += n;
	q->moved |= done > 0;
	if (netback_rx_waiting(q) == 0 && q->crowded_since) {
		bridge_relieve(q->vif->nb->bridge);
		q->crowded_since = 0;
	}
	return done;
}

unsigned netback_rx_poll(struct netback_queue *q)
{
	struct poller *poller = q->lcore->poller;
	unsigned done;

	if (__atomic_load_n(&q->wait_head, __ATOMIC_RELAXED) == __atomic_load_n(&q->wait_tail, __ATOMIC_RELAXED) && !q->stall.set)
		return 0;
	bridge_lock(&q->rx_lock);
	done = drain(q);
	if (netback_rx_waiting(q) == 0)
		poller_timer_cancel(poller, &q->stall);
	else if (q->moved || !q->stall.set)
		poller_timer_set(poller, &q->stall, NETBACK_STALL_US);
	q->moved = false;
	bridge_unlock(&q->rx_lock);
	return done;
}

/* True when the first of the waiting packets fits already. */
static bool arm_for_first(struct netback_queue *q)
{
	int need, pending;

	if (!q->live || netback_rx_waiting(q) == 0)
		return false;
	need = (int)slots_needed(first_waiting(q)) - (int)rx_requests(q);
	if (need <= 0)
		return true;
	pending = back_ring_arm_for(&q->rx, (uint32_t)need);
	if (pending < 0)
		netback_queue_broken(q, "the guest's rx index is out of range");
	return pending >= need;
}

bool netback_rx_arm(struct netback_queue *q)
{
	bool ready;

	bridge_lock(&q->rx_lock);
	ready = arm_for_first(q);
	bridge_unlock(&q->rx_lock);
	return ready;
}

static void stall_over(struct poll_timer *timer)
{
	struct netback_queue *q = (struct netback_queue *)((char *)timer - offsetof(struct netback_queue, stall));

	bridge_lock(&q->rx_lock);
	drop_waiting(q);
	q->stalled = true;
	bridge_unlock(&q->rx_lock);
}

/* A stalled guest is served again once it has room for any packet, not for one slot now and then. */
static bool still_stalled(struct netback_queue *q)
{
	int room = rx_look_ahead(q, 0);

	if (room < 0)
		netback_queue_broken(q, "the guest's rx index is out of range");
	q->stalled = room < (int)XEN_NETIF_NR_SLOTS_MIN;
	return q->stalled;
}

/* ---- the bridge's side ---- */

/* Takes one packet of the bridge's; how many came of it and wait now. */
static unsigned accept_packet(struct netback_queue *q, struct rte_mbuf *m)
{
	struct netback_vif *vif = q->vif;
	struct rte_mbuf *out[SEGMENTS_MAX];
	unsigned n = 1, accepted = 0;

	m = lent_own(m, vif->nb->pool); /* it may have to wait, or to be changed */
	if (!m) {
		q->stats.rx_dropped++;
		return 0;
	}
	out[0] = m;
	if (m->ol_flags & OFFLOAD_WISHES)
		n = offload_finish(m, netback_rx_abilities(vif, m), vif->nb->pool, out, SEGMENTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		if (fits(vif, out[i])) {
			accepted += enqueue(q, out[i]);
		} else {
			q->stats.rx_dropped++;
			rte_pktmbuf_free(out[i]);
		}
	}
	return accepted;
}

/* Whoever sent this burst is to wait for this guest (netback_tx.c), once until it has taken all. */
static void call_for_pause(struct netback_queue *q)
{
	uint64_t now = rte_rdtsc();

	if (!q->crowded_since)
		q->crowded_since = now;
	if (now - q->crowded_since < NETBACK_PAUSE_US * (rte_get_tsc_hz() / 1000000))
		bridge_crowd(q->vif->nb->bridge, NETBACK_PAUSE_US);
}

/* As many as there is room for wait, in order. How many did. */
static unsigned keep(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned kept = 0, i = 0;
	bool full = false;

	for (; i < n && netback_rx_waiting(q) < NETBACK_WAIT_PACKETS; i++) {
		if (!full && netback_rx_waiting(q) + SEGMENTS_MAX > NETBACK_WAIT_PACKETS)
			full = !drain(q); /* make room before a packet that may become many */
		kept += accept_packet(q, pkts[i]) > 0;
	}
	q->stats.rx_dropped += n - i;
	rte_pktmbuf_free_bulk(pkts + i, n - i);
	return kept;
}

static unsigned deliver_locked(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned delivered = 0;

	if (!q->live || (q->stalled && still_stalled(q))) {
		q->stats.rx_dropped += n;
		rte_pktmbuf_free_bulk(pkts, n);
		return 0;
	}
	if (netback_rx_waiting(q) > 0)
		drain(q);
	if (netback_rx_waiting(q) == 0) {
		delivered = deliver_now(q, pkts, n);
		packets_give_back(q->vif->nb->pool, pkts, delivered);
		if (delivered == n)
			return n;
	}
	delivered += keep(q, pkts + delivered, n - delivered);
	drain(q);
	if (q->live && netback_rx_waiting(q) > 0) {
		call_for_pause(q);
		poller_kick(q->lcore->poller, &q->item);
	}
	return delivered;
}

static unsigned deliver(struct netback_queue *q, struct rte_mbuf **pkts, unsigned n)
{
	unsigned delivered;

	bridge_lock(&q->rx_lock);
	delivered = deliver_locked(q, pkts, n);
	bridge_unlock(&q->rx_lock);
	return delivered;
}

/* Each packet to the queue of its flow, in order; a queue gets its packets as one burst. */
static unsigned spread(struct netback_vif *vif, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *sorted[BRIDGE_BURST];
	uint8_t queue[BRIDGE_BURST], count[NETBACK_QUEUES] = {0};
	unsigned at[NETBACK_QUEUES], start = 0, delivered = 0;

	for (unsigned i = 0; i < n; i++) {
		queue[i] = (uint8_t)netback_hash_queue(vif, pkts[i]);
		count[queue[i]]++;
	}
	for (unsigned k = 0; k < vif->nr_queues; k++) {
		at[k] = start;
		start += count[k];
	}
	for (unsigned i = 0; i < n; i++)
		sorted[at[queue[i]]++] = pkts[i];
	for (unsigned k = 0; k < vif->nr_queues; k++)
		if (count[k])
			delivered += deliver(&vif->queue[k], &sorted[at[k] - count[k]], count[k]);
	return delivered;
}

unsigned netback_rx_port_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n)
{
	struct netback_vif *vif = (struct netback_vif *)port;

	return vif->nr_queues == 1 ? deliver(&vif->queue[0], pkts, n) : spread(vif, pkts, n);
}

void netback_rx_init(struct netback_queue *q)
{
	q->stall.fire = stall_over;
	q->wait_head = q->wait_tail = q->wait_segs = 0;
	q->ahead_head = q->ahead_tail = 0;
	q->stalled = q->moved = false;
	q->crowded_since = 0;
	rte_spinlock_init(&q->rx_lock);
}

void netback_rx_fini(struct netback_queue *q)
{
	poller_timer_cancel(q->lcore->poller, &q->stall);
	drop_waiting(q);
}
