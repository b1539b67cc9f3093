/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfront's data path. What makes it fast (and measurable): the caller writes all packets of a burst before we write any slot; one index store and at
 * most one notification a burst; no grant operation at all; tx packets start at different offsets, or all of them would fall into the same few cache sets;
 * slots are put together in registers, because a wide load from narrow stores stalls. Everything up to "the vif" is about one queue.
 */
#include "netfront_private.h"
#include <errno.h>
#include <limits.h>
#include <rings/net_flow.h>
#include <stddef.h>
#include <string.h>

#define TX_OFFSETS 40u /* 40 * 64: a packet of 1536 bytes still fits behind the largest */
#define TX_REAP 128u    /* room, below which answers are looked for: each look takes the line of the indices from the back end's core */
#define TX_AHEAD 32u    /* buffers whose first line is fetched before their turn: writing a burst takes less time than its lines take to come */
#define RX_HOLD 16u     /* requests that the back end is told of together, as long as it has RX_PLENTY others */
#define RX_PLENTY 128u
#define RX_STEP 64u     /* our back end places each small packet one cache line further on in its page than the one before */
#define RX_DATA_FLAGS (NETRXF_more_data | NETRXF_extra_info)

_Static_assert(NETFRONT_RX_MIN >= NET_SLOTS_TOLERATED, "netfront_rx must be able to give any packet");
_Static_assert(NETFRONT_QUEUES <= UINT8_MAX, "netfront_buf names a queue in a byte");

/* Two slots as tx_run and rx_post write them. */
struct tx_words {
	uint64_t first;  /* gref, offset, flags */
	uint32_t second; /* id, size */
} __attribute__((packed));
_Static_assert(sizeof(struct netif_tx_request) == 12 && offsetof(struct netif_tx_request, gref) == 0 && offsetof(struct netif_tx_request, offset) == 4 &&
	       offsetof(struct netif_tx_request, flags) == 6 && offsetof(struct netif_tx_request, id) == 8 && offsetof(struct netif_tx_request, size) == 10,
	       "struct tx_words is a tx request");
_Static_assert(sizeof(struct netif_rx_request) == 8 && offsetof(struct netif_rx_request, id) == 0 && offsetof(struct netif_rx_request, gref) == 4,
	       "rx_post writes an rx request");

/* There are so many that rest: what is fetched early is not under way to the back end. */
_Static_assert(TX_AHEAD <= NETFRONT_TX_BUFS - NETFRONT_SLOTS - NETFRONT_BURST, "");

static uint16_t tx_offset(unsigned id)
{
	return (uint16_t)(id % TX_OFFSETS * 64);
}

/* Where the packet starts in its page: the caller may have moved it. */
static uint16_t data_offset(const struct netfront_buf *b)
{
	return (uint16_t)((uintptr_t)b->data % SLUICE_PAGE_SIZE);
}

static bool usable(const struct netfront *nf)
{
	return nf->connected && !nf->broken;
}

/* The buffers take turns: one that the back end has read just now is still in its core's cache, from where taking a line back costs more than from where all cores share. */
static void tx_release(struct netfront_queue *q, unsigned id)
{
	q->tx_pool.state[id] = BUF_FREE;
	q->tx_free[(q->tx_next + q->nr_tx_free++) % NETFRONT_TX_BUFS] = (uint16_t)id;
}

/* One response. Those of extra-info slots carry no id. */
static inline bool tx_complete(struct netfront_queue *q, struct netif_tx_response rsp)
{
	if (rsp.status == NETIF_RSP_NULL)
		return true;
	if (rsp.id >= NETFRONT_TX_BUFS || q->tx_pool.state[rsp.id] != BUF_POSTED)
		return false;
	if (rsp.status != NETIF_RSP_OKAY)
		q->stats.tx_errors++;
	tx_release(q, rsp.id);
	return true;
}

static void tx_reap(struct netfront_queue *q)
{
	struct netif_tx_response rsp[NETFRONT_SLOTS];
	int n = front_ring_pending(&q->tx);

	if (n < 0)
		return netfront_broken(q->nf, "its tx response index is out of range");
	front_ring_peek(&q->tx, rsp, (uint32_t)n, sizeof(rsp[0]), sizeof(net_tx_slot));
	for (int i = 0; i < n; i++)
		if (!tx_complete(q, rsp[i]))
			return netfront_broken(q->nf, "it answered a tx request that was not made");
	front_ring_consume(&q->tx, (uint32_t)n);
}

/* No more buffers are out than there are slots. */
static unsigned tx_free_now(const struct netfront_queue *q)
{
	return q->nr_tx_free - (NETFRONT_TX_BUFS - NETFRONT_SLOTS);
}

/* Looks for answers when fewer than `enough` buffers, or slots, are free. */
static unsigned tx_room(struct netfront_queue *q, unsigned enough)
{
	if (!usable(q->nf) || q->nf->phase != PHASE_CONNECTED)
		return 0;
	if (tx_free_now(q) < enough || front_ring_free(&q->tx) < enough)
		tx_reap(q);
	return q->nf->broken ? 0 : tx_free_now(q);
}

static unsigned tx_alloc(struct netfront_queue *q, struct netfront_buf *bufs, unsigned n)
{
	unsigned room = tx_room(q, 2 * n > TX_REAP ? 2 * n : TX_REAP); /* a buffer may need a second slot */

	if (n > room)
		n = room;
	for (unsigned i = 0; i < n; i++) {
		uint16_t id = q->tx_free[(q->tx_next + i) % NETFRONT_TX_BUFS];
		uint8_t *data = q->tx_start[id];

		q->tx_pool.state[id] = BUF_HELD;
		shm_prefetch_write(q->tx_start[q->tx_free[(q->tx_next + i + TX_AHEAD) % NETFRONT_TX_BUFS]]);
		bufs[i] = (struct netfront_buf){
			.data = data, .room = (uint16_t)(SLUICE_PAGE_SIZE - (uintptr_t)data % SLUICE_PAGE_SIZE), .id = id, .queue = (uint8_t)q->index
		};
	}
	q->tx_next += n;
	q->nr_tx_free -= n;
	return n;
}

/* A buffer that the caller may send as it is: held, and its bytes within its page. */
static bool sendable(const struct netfront_queue *q, const struct netfront_buf *b)
{
	return b->queue == q->index && b->id < NETFRONT_TX_BUFS && q->tx_pool.state[b->id] == BUF_HELD && b->len && b->len <= SLUICE_PAGE_SIZE - data_offset(b);
}

/* NETTXF_* of a packet whose flags are these, but for what net_tx_build adds. */
static uint16_t tx_flags(uint8_t flags)
{
	static const uint8_t of[8] = {
		[NETFRONT_CSUM_BLANK] = NETTXF_csum_blank | NETTXF_data_validated,
		[NETFRONT_DATA_VALIDATED] = NETTXF_data_validated,
		[NETFRONT_CSUM_BLANK | NETFRONT_DATA_VALIDATED] = NETTXF_csum_blank | NETTXF_data_validated,
	};

	return of[flags % 8];
}

/* Packets of one fragment that need nothing, as nearly all do, from the first of n buffers on: how many went. */
static unsigned tx_run(struct netfront_queue *q, const struct netfront_buf *bufs, unsigned n)
{
	struct front_ring ring = q->tx; /* a copy stays in registers, whatever is stored meanwhile */
	unsigned room = front_ring_free(&ring), i;
	uint64_t bytes = 0;

	if (n > room)
		n = room;
	ring.slot_size = sizeof(net_tx_slot); /* as it is: the compiler knows now */
	for (i = 0; i < n; i++) {
		const struct netfront_buf *b = &bufs[i];
		struct tx_words req;

		if (b->flags & NETFRONT_MORE || b->gso_type || b->len < NET_ETH_HLEN || !sendable(q, b))
			break;
		req.first = q->tx_pool.gref[b->id] | (uint64_t)data_offset(b) << 32 | (uint64_t)tx_flags(b->flags) << 48;
		req.second = b->id | (uint32_t)b->len << 16;
		front_ring_put(&ring, &req, sizeof(req));
		q->tx_pool.state[b->id] = BUF_POSTED;
		bytes += b->len;
	}
	q->tx.req_prod = ring.req_prod;
	q->stats.tx_bytes += bytes;
	return i;
}

/* A packet of several fragments, or one to be cut. */
static bool tx_many(struct netfront_queue *q, const struct netfront_buf *bufs, unsigned n)
{
	struct net_packet p = { .nr_frags = (uint16_t)n, .csum_blank = bufs->flags & NETFRONT_CSUM_BLANK, .gso_type = bufs->gso_type,
				.data_validated = bufs->flags & (NETFRONT_CSUM_BLANK | NETFRONT_DATA_VALIDATED), .gso_size = bufs->gso_size };
	net_tx_slot slots[NET_SLOTS_MAX + NET_EXTRAS_MAX];
	unsigned nr;

	if (n > NET_SLOTS_MAX || (n > 1 && !q->nf->can_sg) || (p.gso_type && (p.gso_type != XEN_NETIF_GSO_TYPE_TCPV4 || !q->nf->can_gso4)))
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (!sendable(q, &bufs[i]))
			return false;
		p.frags[i] = (struct net_frag){ q->tx_pool.gref[bufs[i].id], data_offset(&bufs[i]), bufs[i].len, bufs[i].id };
		p.size += bufs[i].len;
	}
	if (p.size > NET_PACKET_MAX || bufs->len < NET_ETH_HLEN || net_packet_slots(&p) > front_ring_free(&q->tx))
		return false;
	nr = net_tx_build(&p, slots);
	for (unsigned i = 0; i < nr; i++)
		front_ring_put(&q->tx, &slots[i], sizeof(slots[i]));
	for (unsigned i = 0; i < n; i++)
		q->tx_pool.state[bufs[i].id] = BUF_POSTED;
	q->stats.tx_bytes += p.size;
	return true;
}

/* Fragments of the packet at the head of n buffers. */
static unsigned packet_bufs(const struct netfront_buf *bufs, unsigned n)
{
	unsigned frags = 1;

	while (frags < n && bufs[frags - 1].flags & NETFRONT_MORE)
		frags++;
	return frags;
}

/* Packets, all of them of this queue. */
static unsigned tx_burst(struct netfront_queue *q, const struct netfront_buf *bufs, unsigned n)
{
	unsigned sent = 0, frags;
	bool use = usable(q->nf);

	while (n) {
		unsigned run = use ? tx_run(q, bufs, n) : 0;

		sent += run;
		bufs += run;
		n -= run;
		if (!n)
			break;
		frags = packet_bufs(bufs, n);
		if (use && tx_many(q, bufs, frags)) {
			sent++;
		} else {
			q->stats.tx_dropped++;
			netfront_tx_free(q->nf, bufs, frags);
		}
		bufs += frags;
		n -= frags;
	}
	q->stats.tx_packets += sent;
	if (sent && front_ring_push(&q->tx))
		port_evtchn_notify(q->tx_port);
	return sent;
}

/* ---- rx ---- */

static inline void rx_post(struct netfront_queue *q, struct front_ring *ring, unsigned id)
{
	uint16_t index = (uint16_t)front_ring_next(ring);
	uint64_t req = index | (uint64_t)q->rx_pool.gref[id] << 32;

	q->rx_slot[index] = (uint16_t)id;
	q->rx_pool.state[id] = BUF_POSTED;
	front_ring_put(ring, &req, sizeof(req));
}

/* Hand the buffer of the slot at the head of the ring to the user of the vif. */
static void rx_take(struct netfront_queue *q, struct netfront_buf *b, uint16_t offset, uint16_t len, uint8_t flags)
{
	uint16_t id = q->rx_slot[front_ring_index(&q->rx, 0)];

	q->rx_pool.state[id] = BUF_HELD;
	front_ring_consume(&q->rx, 1);
	*b = (struct netfront_buf){ .data = (uint8_t *)q->rx_pool.page[id] + offset, .len = len, .id = id, .queue = (uint8_t)q->index, .flags = flags };
}

/* The slot at the head of the ring brought nothing: its buffer goes round again. */
static void rx_skip(struct netfront_queue *q)
{
	uint16_t id = q->rx_slot[front_ring_index(&q->rx, 0)];

	front_ring_consume(&q->rx, 1);
	rx_post(q, &q->rx, id);
}

static uint8_t rx_flags(uint16_t flags)
{
	return (uint8_t)((flags & NETRXF_csum_blank ? NETFRONT_CSUM_BLANK : 0) | (flags & NETRXF_data_validated ? NETFRONT_DATA_VALIDATED : 0));
}

/* A packet of one slot. Returns how many buffers it gave. */
static unsigned rx_one(struct netfront_queue *q, const struct netif_rx_response *rsp, struct netfront_buf *buf)
{
	if (rsp->id != front_ring_index(&q->rx, 0) || rsp->offset > SLUICE_PAGE_SIZE || rsp->status > (int)(SLUICE_PAGE_SIZE - rsp->offset)) {
		netfront_broken(q->nf, "an rx response names another request, or bytes outside of its page");
		return 0;
	}
	if (rsp->status < (int)NET_ETH_HLEN) {
		q->stats.rx_errors++;
		rx_skip(q);
		return 0;
	}
	rx_take(q, buf, rsp->offset, (uint16_t)rsp->status, rx_flags(rsp->flags));
	q->stats.rx_bytes += buf->len;
	q->stats.rx_packets++;
	return 1;
}

/* The ids of data slots must be those of their requests: buffers are found by place. */
static bool rx_in_order(const struct netfront_queue *q, const struct net_packet *p)
{
	for (unsigned i = 0; i < p->nr_frags; i++)
		if (p->frags[i].id != front_ring_index(&q->rx, net_packet_slot_of(p, i)))
			return false;
	return true;
}

/* Hand out a parsed packet: extra-info slots follow the first one, and their buffers go round again. */
static void rx_gather(struct netfront_queue *q, const struct net_packet *p, struct netfront_buf *bufs)
{
	for (unsigned i = 0; i < p->nr_frags; i++) {
		rx_take(q, &bufs[i], p->frags[i].offset, p->frags[i].len, i + 1 < p->nr_frags ? NETFRONT_MORE : 0);
		for (unsigned extra = 0; !i && extra < p->nr_extras; extra++)
			rx_skip(q);
	}
	bufs->flags |= (uint8_t)((p->csum_blank ? NETFRONT_CSUM_BLANK : 0) | (p->data_validated ? NETFRONT_DATA_VALIDATED : 0));
	bufs->gso_type = p->gso_type;
	bufs->gso_size = p->gso_size;
	q->stats.rx_bytes += p->size;
	q->stats.rx_packets++;
}

/*
 * A packet of several slots at the head of `waiting` ones. Returns how many buffers it gave, at most n; *taken: how many slots. Both 0 when it does not fit
 * in n, or the protocol is broken.
 */
static unsigned rx_many(struct netfront_queue *q, unsigned waiting, struct netfront_buf *bufs, unsigned n, unsigned *taken)
{
	net_rx_slot slots[NET_SLOTS_LOOK];
	struct net_packet p;
	int rc;

	*taken = 0;
	if (waiting > NET_SLOTS_LOOK)
		waiting = NET_SLOTS_LOOK;
	for (unsigned i = 0; i < waiting; i++)
		front_ring_read(&q->rx, i, &slots[i], sizeof(slots[i]));
	rc = net_rx_parse(slots, waiting, &p);
	if (rc == -EPROTO || (rc > 0 && !rx_in_order(q, &p))) {
		netfront_broken(q->nf, rc > 0 ? "an rx response names another request" : p.why);
		return 0;
	}
	if (rc > 0 && p.nr_frags > n)
		return 0;
	*taken = p.nr_slots;
	if (rc > 0) {
		rx_gather(q, &p, bufs);
		return p.nr_frags;
	}
	q->stats.rx_errors++;
	for (unsigned i = 0; i < p.nr_slots; i++)
		rx_skip(q);
	return 0;
}

/* Good packets of one slot, as nearly all are, from the head of the ring on: how many. What is not so is left where it is. */
static unsigned rx_run(struct netfront_queue *q, struct netfront_buf *bufs, unsigned n)
{
	struct netif_rx_response rsp[NETFRONT_BURST];
	uint64_t bytes = 0;
	unsigned i;

	if (n > NETFRONT_BURST)
		n = NETFRONT_BURST;
	shm_prefetch((uint8_t *)q->rx_pool.page[q->rx_slot[front_ring_index(&q->rx, 0)]] + q->rx_foreseen); /* comes while the slots come */
	front_ring_peek(&q->rx, rsp, n, sizeof(rsp[0]), sizeof(net_rx_slot));
	for (i = 0; i < n; i++) {
		uint32_t index = front_ring_index(&q->rx, i), offset = rsp[i].offset, len = (uint16_t)rsp[i].status;
		uint16_t id = q->rx_slot[index];
		uint8_t *data = (uint8_t *)q->rx_pool.page[id] + offset;

		if (rsp[i].flags & RX_DATA_FLAGS || rsp[i].id != index || len < NET_ETH_HLEN || offset + len > SLUICE_PAGE_SIZE)
			break;
		shm_prefetch(data);
		q->rx_pool.state[id] = BUF_HELD;
		bufs[i] = (struct netfront_buf){ .data = data, .len = (uint16_t)len, .id = id, .queue = (uint8_t)q->index, .flags = rx_flags(rsp[i].flags) };
		bytes += len;
	}
	if (i > 0)
		q->rx_foreseen = (uint16_t)(rsp[i - 1].offset + RX_STEP) % SLUICE_PAGE_SIZE;
	front_ring_consume(&q->rx, i);
	q->stats.rx_bytes += bytes;
	q->stats.rx_packets += i;
	return i;
}

/* The packet at the head of `waiting` slots, of any kind, in at most n buffers: how many it gave. *taken: how many slots; 0: it does not fit, or the protocol is broken. */
static unsigned rx_packet(struct netfront_queue *q, unsigned waiting, struct netfront_buf *bufs, unsigned n, unsigned *taken)
{
	struct netif_rx_response rsp;

	front_ring_read(&q->rx, 0, &rsp, sizeof(rsp));
	if (rsp.flags & RX_DATA_FLAGS)
		return rx_many(q, waiting, bufs, n, taken);
	*taken = 1;
	return rx_one(q, &rsp, bufs);
}

static unsigned rx_burst(struct netfront_queue *q, struct netfront_buf *bufs, unsigned n)
{
	int waiting = front_ring_pending(&q->rx);
	unsigned left = (unsigned)waiting, given = 0, taken;

	if (waiting < 0) {
		netfront_broken(q->nf, "its rx response index is out of range");
		return 0;
	}
	while (left > 0 && given < n) {
		taken = rx_run(q, bufs + given, left < n - given ? left : n - given);
		given += taken;
		left -= taken;
		if (left == 0 || given == n)
			break;
		given += rx_packet(q, left, bufs + given, n - given, &taken);
		if (!taken || q->nf->broken)
			break;
		left -= taken;
	}
	return given;
}

static void rx_push(struct netfront_queue *q)
{
	if (front_ring_push(&q->rx))
		port_evtchn_notify(q->rx_port);
}

static void rx_done(struct netfront_queue *q, const struct netfront_buf *bufs, unsigned n)
{
	struct front_ring ring = q->rx;

	ring.slot_size = sizeof(net_rx_slot);
	for (unsigned i = 0; i < n; i++)
		if (bufs[i].id < NETFRONT_RX_BUFS && q->rx_pool.state[bufs[i].id] == BUF_HELD && front_ring_free(&ring))
			rx_post(q, &ring, bufs[i].id);
	q->rx.req_prod = ring.req_prod;
	if (ring.req_prod - ring.req_shown >= RX_HOLD || ring.req_shown - ring.rsp_cons < RX_PLENTY)
		rx_push(q);
}

/* ---- sleeping ---- */

/* Wake up when half of what is in flight has been answered: not for each packet. */
static bool tx_arm(struct netfront_queue *q)
{
	uint32_t in_flight, half;
	int answered;

	tx_reap(q);
	in_flight = q->tx.req_shown - q->tx.rsp_cons;
	half = (in_flight + 1) / 2;
	if (!in_flight)
		return true;
	shm_store(&q->tx.shared->rsp_event, q->tx.rsp_cons + half);
	shm_mb(); /* our rsp_event before our look at rsp_prod: the back end does it the other way round */
	answered = front_ring_pending(&q->tx);
	return answered >= 0 && (uint32_t)answered < half;
}

static bool queue_arm(struct netfront_queue *q, bool tx)
{
	port_evtchn_take(q->tx_port);
	port_evtchn_take(q->rx_port);
	rx_push(q);
	if (front_ring_arm(&q->rx))
		return false;
	return !tx || tx_arm(q);
}

/* ---- the vif: all its queues ---- */

static struct netfront_queue *queue_of(struct netfront *nf, uint32_t flow)
{
	return &nf->queue[net_flow_queue(flow, nf->nr_queues)];
}

unsigned netfront_tx_room_flow(struct netfront *nf, uint32_t flow)
{
	return tx_room(queue_of(nf, flow), UINT_MAX);
}

unsigned netfront_tx_room(struct netfront *nf)
{
	return tx_room(nf->queue, UINT_MAX);
}

unsigned netfront_tx_alloc_flow(struct netfront *nf, uint32_t flow, struct netfront_buf *bufs, unsigned n)
{
	return tx_alloc(queue_of(nf, flow), bufs, n);
}

unsigned netfront_tx_alloc(struct netfront *nf, struct netfront_buf *bufs, unsigned n)
{
	return tx_alloc(nf->queue, bufs, n);
}

void netfront_tx_free(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct netfront_queue *q = &nf->queue[bufs[i].queue];

		if (bufs[i].queue < nf->nr_queues && bufs[i].id < NETFRONT_TX_BUFS && q->tx_pool.state[bufs[i].id] == BUF_HELD)
			tx_release(q, bufs[i].id);
	}
}

/* A queue for buffers that say so; a lie ends up at the first one, which finds it out. */
static struct netfront_queue *queue_named(struct netfront *nf, const struct netfront_buf *b)
{
	return &nf->queue[b->queue < nf->nr_queues ? b->queue : 0];
}

/* How many of n buffers, in whole packets, go to the queue of the first. */
static unsigned run_of(const struct netfront_buf *bufs, unsigned n)
{
	unsigned run = packet_bufs(bufs, n);

	while (run < n && bufs[run].queue == bufs->queue)
		run += packet_bufs(bufs + run, n - run);
	return run;
}

unsigned netfront_tx(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	unsigned sent = 0, run;

	if (nf->nr_queues == 1)
		return tx_burst(nf->queue, bufs, n);
	for (; n; bufs += run, n -= run) {
		run = run_of(bufs, n);
		sent += tx_burst(queue_named(nf, bufs), bufs, run);
	}
	return sent;
}

unsigned netfront_rx(struct netfront *nf, struct netfront_buf *bufs, unsigned n)
{
	unsigned given = 0, first = nf->rx_first;

	if (!usable(nf))
		return 0;
	if (nf->nr_queues == 1)
		return rx_burst(nf->queue, bufs, n);
	nf->rx_first = first + 1 < nf->nr_queues ? first + 1 : 0;
	for (unsigned i = first; i < nf->nr_queues; i++)
		given += rx_burst(&nf->queue[i], bufs + given, n - given);
	for (unsigned i = 0; i < first; i++)
		given += rx_burst(&nf->queue[i], bufs + given, n - given);
	return given;
}

void netfront_rx_done(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	unsigned run;

	if (!nf->connected)
		return;
	if (nf->nr_queues == 1)
		return rx_done(nf->queue, bufs, n);
	for (; n; bufs += run, n -= run) {
		for (run = 1; run < n && bufs[run].queue == bufs->queue; run++)
			;
		if (bufs->queue < nf->nr_queues)
			rx_done(&nf->queue[bufs->queue], bufs, run);
	}
}

bool netfront_arm(struct netfront *nf, bool tx)
{
	bool sleep = true;

	if (nf->broken || !xenbus_arm(nf->xb))
		return false;
	for (unsigned i = 0; nf->connected && i < nf->nr_queues; i++)
		sleep &= queue_arm(&nf->queue[i], tx);
	return sleep;
}

unsigned netfront_queues(const struct netfront *nf)
{
	return nf->nr_queues;
}

const struct netfront_queue_stats *netfront_queue_stats(const struct netfront *nf, unsigned queue)
{
	return &nf->queue[queue].stats;
}

/* Of queues that this connection does not have, too: an earlier one had them. */
const struct netfront_stats *netfront_stats(struct netfront *nf)
{
	struct netfront_stats s = { .connections = nf->stats.connections, .static_pages = nf->stats.static_pages };

	for (unsigned i = 0; i < nf->max_queues; i++) {
		const struct netfront_queue_stats *q = &nf->queue[i].stats;

		s.tx_packets += q->tx_packets;
		s.tx_bytes += q->tx_bytes;
		s.rx_packets += q->rx_packets;
		s.rx_bytes += q->rx_bytes;
		s.tx_dropped += q->tx_dropped;
		s.tx_errors += q->tx_errors;
		s.tx_lost += q->tx_lost;
		s.rx_errors += q->rx_errors;
	}
	nf->stats = s;
	return &nf->stats;
}

/* ---- starting, stopping ---- */

static void queue_start(struct netfront_queue *q)
{
	front_ring_init(&q->tx, q->tx_page, 1, sizeof(net_tx_slot));
	front_ring_init(&q->rx, q->rx_page, 1, sizeof(net_rx_slot));
	q->nr_tx_free = 0;
	for (unsigned id = 0; id < NETFRONT_TX_BUFS; id++) {
		q->tx_start[id] = (uint8_t *)q->tx_pool.page[id] + tx_offset(id);
		tx_release(q, id);
	}
	for (unsigned id = 0; id < NETFRONT_RX_BUFS; id++)
		rx_post(q, &q->rx, id);
	front_ring_push(&q->rx); /* no notification: the back end looks when it connects */
}

void netfront_rings_start(struct netfront *nf)
{
	for (unsigned i = 0; i < nf->nr_queues; i++)
		queue_start(&nf->queue[i]);
	nf->rx_first = 0;
	nf->broken = NULL;
	nf->connected = true;
	nf->stats.connections++;
}

static void queue_stop(struct netfront_queue *q)
{
	if (!q->nf->broken) {
		tx_reap(q); /* what was answered is not lost */
		q->nf->broken = NULL; /* it is too late for lies: the connection has ended */
	}
	for (unsigned id = 0; id < NETFRONT_TX_BUFS; id++)
		q->stats.tx_lost += q->tx_pool.state[id] == BUF_POSTED;
	memset(q->tx_pool.state, BUF_FREE, sizeof(q->tx_pool.state));
	memset(q->rx_pool.state, BUF_FREE, sizeof(q->rx_pool.state));
}

void netfront_rings_stop(struct netfront *nf)
{
	for (unsigned i = 0; nf->connected && i < nf->nr_queues; i++)
		queue_stop(&nf->queue[i]);
	nf->connected = false;
}
