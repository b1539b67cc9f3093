/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfront's data path. What makes it fast (and measurable): the caller writes all packets of a burst before we write any slot; one index store and at
 * most one notification a burst; no grant operation at all; tx packets start at different offsets, or all of them would fall into the same few cache sets.
 */
#include "netfront_private.h"
#include <errno.h>
#include <string.h>

#define TX_OFFSETS 40u /* 40 * 64: a packet of 1536 bytes still fits behind the largest */
#define RX_DATA_FLAGS (NETRXF_more_data | NETRXF_extra_info)

_Static_assert(NETFRONT_RX_MIN >= NET_SLOTS_TOLERATED, "netfront_rx must be able to give any packet");

static uint16_t tx_offset(unsigned id)
{
	return (uint16_t)(id % TX_OFFSETS * 64);
}

/* Where the packet starts in its page: the caller may have moved it. */
static uint16_t data_offset(const struct netfront_buf *b)
{
	return (uint16_t)((uintptr_t)b->data % SLUICE_PAGE_SIZE);
}

/* The vif is given up: the next netfront_step closes it. */
static void broken(struct netfront *nf, const char *why)
{
	if (!nf->broken)
		nf->broken = why;
}

static bool usable(const struct netfront *nf)
{
	return nf->connected && !nf->broken;
}

static void tx_release(struct netfront *nf, unsigned id)
{
	nf->tx_pool.state[id] = BUF_FREE;
	nf->tx_free[nf->nr_tx_free++] = (uint16_t)id;
}

/* One response. Those of extra-info slots carry no id. */
static bool tx_complete(struct netfront *nf, const struct netif_tx_response *rsp)
{
	if (rsp->status == NETIF_RSP_NULL)
		return true;
	if (rsp->id >= NETFRONT_BUFS || nf->tx_pool.state[rsp->id] != BUF_POSTED)
		return false;
	if (rsp->status != NETIF_RSP_OKAY)
		nf->stats.tx_errors++;
	tx_release(nf, rsp->id);
	return true;
}

static void tx_reap(struct netfront *nf)
{
	int n = front_ring_pending(&nf->tx);
	struct netif_tx_response rsp;

	if (n < 0)
		return broken(nf, "its tx response index is out of range");
	for (int i = 0; i < n; i++) {
		front_ring_read(&nf->tx, (uint32_t)i, &rsp, sizeof(rsp));
		if (!tx_complete(nf, &rsp))
			return broken(nf, "it answered a tx request that was not made");
	}
	front_ring_consume(&nf->tx, (uint32_t)n);
}

unsigned netfront_tx_room(struct netfront *nf)
{
	if (!usable(nf) || nf->phase != PHASE_CONNECTED)
		return 0;
	tx_reap(nf);
	return nf->broken ? 0 : nf->nr_tx_free;
}

unsigned netfront_tx_alloc(struct netfront *nf, struct netfront_buf *bufs, unsigned n)
{
	unsigned room = netfront_tx_room(nf);

	if (n > room)
		n = room;
	for (unsigned i = 0; i < n; i++) {
		unsigned id = nf->tx_free[--nf->nr_tx_free];
		uint16_t offset = tx_offset(id);

		nf->tx_pool.state[id] = BUF_HELD;
		bufs[i] = (struct netfront_buf){
			.data = (uint8_t *)nf->tx_pool.page[id] + offset, .room = (uint16_t)(SLUICE_PAGE_SIZE - offset), .id = (uint16_t)id
		};
	}
	return n;
}

void netfront_tx_free(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (bufs[i].id < NETFRONT_BUFS && nf->tx_pool.state[bufs[i].id] == BUF_HELD)
			tx_release(nf, bufs[i].id);
}

/* A buffer that the caller may send as it is: held, and its bytes within its page. */
static bool sendable(const struct netfront *nf, const struct netfront_buf *b)
{
	return b->id < NETFRONT_BUFS && nf->tx_pool.state[b->id] == BUF_HELD && b->len && b->len <= SLUICE_PAGE_SIZE - data_offset(b);
}

static uint16_t tx_flags(const struct netfront_buf *b)
{
	uint16_t flags = 0;

	if (b->flags & NETFRONT_CSUM_BLANK)
		flags |= NETTXF_csum_blank | NETTXF_data_validated;
	if (b->flags & NETFRONT_DATA_VALIDATED)
		flags |= NETTXF_data_validated;
	return flags;
}

/* A packet of one fragment: nearly all of them. */
static bool tx_one(struct netfront *nf, const struct netfront_buf *b)
{
	struct netif_tx_request req;

	if (!sendable(nf, b) || b->len < NET_ETH_HLEN || !front_ring_free(&nf->tx))
		return false;
	req = (struct netif_tx_request){
		.gref = nf->tx_pool.gref[b->id], .offset = data_offset(b), .flags = tx_flags(b), .id = b->id, .size = b->len
	};
	front_ring_put(&nf->tx, &req, sizeof(req));
	nf->tx_pool.state[b->id] = BUF_POSTED;
	nf->stats.tx_bytes += b->len;
	return true;
}

/* A packet of several fragments, or one to be cut. */
static bool tx_many(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	struct net_packet p = { .nr_frags = (uint16_t)n, .csum_blank = bufs->flags & NETFRONT_CSUM_BLANK, .gso_type = bufs->gso_type,
				.data_validated = bufs->flags & (NETFRONT_CSUM_BLANK | NETFRONT_DATA_VALIDATED), .gso_size = bufs->gso_size };
	net_tx_slot slots[NET_SLOTS_MAX + NET_EXTRAS_MAX];
	unsigned nr;

	if (n > NET_SLOTS_MAX || (n > 1 && !nf->can_sg) || (p.gso_type && (p.gso_type != XEN_NETIF_GSO_TYPE_TCPV4 || !nf->can_gso4)))
		return false;
	for (unsigned i = 0; i < n; i++) {
		if (!sendable(nf, &bufs[i]))
			return false;
		p.frags[i] = (struct net_frag){ nf->tx_pool.gref[bufs[i].id], data_offset(&bufs[i]), bufs[i].len, bufs[i].id };
		p.size += bufs[i].len;
	}
	if (p.size > NET_PACKET_MAX || bufs->len < NET_ETH_HLEN || net_packet_slots(&p) > front_ring_free(&nf->tx))
		return false;
	nr = net_tx_build(&p, slots);
	for (unsigned i = 0; i < nr; i++)
		front_ring_put(&nf->tx, &slots[i], sizeof(slots[i]));
	for (unsigned i = 0; i < n; i++)
		nf->tx_pool.state[bufs[i].id] = BUF_POSTED;
	nf->stats.tx_bytes += p.size;
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

unsigned netfront_tx(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	unsigned sent = 0, frags;
	bool ok;

	for (; n; bufs += frags, n -= frags) {
		frags = packet_bufs(bufs, n);
		ok = usable(nf) && (frags == 1 && !bufs->gso_type ? tx_one(nf, bufs) : tx_many(nf, bufs, frags));
		sent += ok;
		if (!ok) {
			nf->stats.tx_dropped++;
			netfront_tx_free(nf, bufs, frags);
		}
	}
	nf->stats.tx_packets += sent;
	if (sent && front_ring_push(&nf->tx))
		port_evtchn_notify(nf->tx_port);
	return sent;
}

/* ---- rx ---- */

static void rx_post(struct netfront *nf, unsigned id)
{
	uint16_t index = (uint16_t)front_ring_next(&nf->rx);
	struct netif_rx_request req = { .id = index, .gref = nf->rx_pool.gref[id] };

	nf->rx_slot[index] = (uint16_t)id;
	nf->rx_pool.state[id] = BUF_POSTED;
	front_ring_put(&nf->rx, &req, sizeof(req));
}

/* Hand the buffer of the slot at the head of the ring to the user of the vif. */
static struct netfront_buf rx_take(struct netfront *nf, uint16_t offset, uint16_t len)
{
	uint16_t id = nf->rx_slot[front_ring_index(&nf->rx, 0)];

	nf->rx_pool.state[id] = BUF_HELD;
	front_ring_consume(&nf->rx, 1);
	return (struct netfront_buf){ .data = (uint8_t *)nf->rx_pool.page[id] + offset, .len = len, .id = id };
}

/* The slot at the head of the ring brought nothing: its buffer goes round again. */
static void rx_skip(struct netfront *nf)
{
	uint16_t id = nf->rx_slot[front_ring_index(&nf->rx, 0)];

	front_ring_consume(&nf->rx, 1);
	rx_post(nf, id);
}

static uint8_t rx_flags(uint16_t flags)
{
	return (uint8_t)((flags & NETRXF_csum_blank ? NETFRONT_CSUM_BLANK : 0) | (flags & NETRXF_data_validated ? NETFRONT_DATA_VALIDATED : 0));
}

/* A packet of one slot. Returns how many buffers it gave. */
static unsigned rx_one(struct netfront *nf, const struct netif_rx_response *rsp, struct netfront_buf *buf)
{
	if (rsp->id != front_ring_index(&nf->rx, 0) || rsp->offset > SLUICE_PAGE_SIZE || rsp->status > (int)(SLUICE_PAGE_SIZE - rsp->offset)) {
		broken(nf, "an rx response names another request, or bytes outside of its page");
		return 0;
	}
	if (rsp->status < (int)NET_ETH_HLEN) {
		nf->stats.rx_errors++;
		rx_skip(nf);
		return 0;
	}
	*buf = rx_take(nf, rsp->offset, (uint16_t)rsp->status);
	buf->flags = rx_flags(rsp->flags);
	__builtin_prefetch(buf->data);
	nf->stats.rx_bytes += buf->len;
	nf->stats.rx_packets++;
	return 1;
}

/* The ids of data slots must be those of their requests: buffers are found by place. */
static bool rx_in_order(const struct netfront *nf, const struct net_packet *p)
{
	for (unsigned i = 0; i < p->nr_frags; i++)
		if (p->frags[i].id != front_ring_index(&nf->rx, net_packet_slot_of(p, i)))
			return false;
	return true;
}

/* Hand out a parsed packet: extra-info slots follow the first one, and their buffers go round again. */
static void rx_gather(struct netfront *nf, const struct net_packet *p, struct netfront_buf *bufs)
{
	for (unsigned i = 0; i < p->nr_frags; i++) {
		bufs[i] = rx_take(nf, p->frags[i].offset, p->frags[i].len);
		bufs[i].flags = i + 1 < p->nr_frags ? NETFRONT_MORE : 0;
		for (unsigned extra = 0; !i && extra < p->nr_extras; extra++)
			rx_skip(nf);
	}
	bufs->flags |= (uint8_t)((p->csum_blank ? NETFRONT_CSUM_BLANK : 0) | (p->data_validated ? NETFRONT_DATA_VALIDATED : 0));
	bufs->gso_type = p->gso_type;
	bufs->gso_size = p->gso_size;
	nf->stats.rx_bytes += p->size;
	nf->stats.rx_packets++;
}

/*
 * A packet of several slots at the head of `waiting` ones. Returns how many buffers it gave, at most n; *taken: how many slots. Both 0 when it does not fit
 * in n, or the protocol is broken.
 */
static unsigned rx_many(struct netfront *nf, unsigned waiting, struct netfront_buf *bufs, unsigned n, unsigned *taken)
{
	net_rx_slot slots[NET_SLOTS_LOOK];
	struct net_packet p;
	int rc;

	*taken = 0;
	if (waiting > NET_SLOTS_LOOK)
		waiting = NET_SLOTS_LOOK;
	for (unsigned i = 0; i < waiting; i++)
		front_ring_read(&nf->rx, i, &slots[i], sizeof(slots[i]));
	rc = net_rx_parse(slots, waiting, &p);
	if (rc == -EPROTO || (rc > 0 && !rx_in_order(nf, &p))) {
		broken(nf, rc > 0 ? "an rx response names another request" : p.why);
		return 0;
	}
	if (rc > 0 && p.nr_frags > n)
		return 0;
	*taken = p.nr_slots;
	if (rc > 0) {
		rx_gather(nf, &p, bufs);
		return p.nr_frags;
	}
	nf->stats.rx_errors++;
	for (unsigned i = 0; i < p.nr_slots; i++)
		rx_skip(nf);
	return 0;
}

unsigned netfront_rx(struct netfront *nf, struct netfront_buf *bufs, unsigned n)
{
	unsigned given = 0, taken;
	struct netif_rx_response rsp;
	int waiting;

	if (!usable(nf))
		return 0;
	waiting = front_ring_pending(&nf->rx);
	if (waiting < 0)
		broken(nf, "its rx response index is out of range");
	while (waiting > 0 && given < n && !nf->broken) {
		front_ring_read(&nf->rx, 0, &rsp, sizeof(rsp));
		if (rsp.flags & RX_DATA_FLAGS) {
			given += rx_many(nf, (unsigned)waiting, bufs + given, n - given, &taken);
			if (!taken)
				break;
			waiting -= (int)taken;
		} else {
			given += rx_one(nf, &rsp, bufs + given);
			waiting--;
		}
	}
	return given;
}

void netfront_rx_done(struct netfront *nf, const struct netfront_buf *bufs, unsigned n)
{
	if (!nf->connected)
		return;
	for (unsigned i = 0; i < n; i++)
		if (bufs[i].id < NETFRONT_BUFS && nf->rx_pool.state[bufs[i].id] == BUF_HELD && front_ring_free(&nf->rx))
			rx_post(nf, bufs[i].id);
	if (front_ring_push(&nf->rx))
		port_evtchn_notify(nf->rx_port);
}

/* ---- sleeping, starting, stopping ---- */

/* Wake up when half of what is in flight has been answered: not for each packet. */
static bool tx_arm(struct netfront *nf)
{
	uint32_t in_flight = nf->tx.req_shown - nf->tx.rsp_cons, half = (in_flight + 1) / 2;
	int answered;

	if (!in_flight)
		return true;
	shm_store(&nf->tx.shared->rsp_event, nf->tx.rsp_cons + half);
	shm_mb(); /* our rsp_event before our look at rsp_prod: the back end does it the other way round */
	answered = front_ring_pending(&nf->tx);
	return answered >= 0 && (uint32_t)answered < half;
}

bool netfront_arm(struct netfront *nf, bool tx)
{
	if (nf->broken)
		return false;
	if (!nf->connected)
		return true;
	port_evtchn_take(nf->tx_port);
	port_evtchn_take(nf->rx_port);
	if (front_ring_arm(&nf->rx))
		return false;
	return !tx || tx_arm(nf);
}

void netfront_rings_start(struct netfront *nf)
{
	front_ring_init(&nf->tx, nf->tx_page, 1, sizeof(net_tx_slot));
	front_ring_init(&nf->rx, nf->rx_page, 1, sizeof(net_rx_slot));
	nf->nr_tx_free = 0;
	for (unsigned id = 0; id < NETFRONT_BUFS; id++)
		tx_release(nf, id);
	for (unsigned id = 0; id < NETFRONT_BUFS; id++)
		rx_post(nf, id);
	front_ring_push(&nf->rx); /* no notification: the back end looks when it connects */
	nf->broken = NULL;
	nf->connected = true;
	nf->stats.connections++;
}

void netfront_rings_stop(struct netfront *nf)
{
	for (unsigned id = 0; nf->connected && id < NETFRONT_BUFS; id++)
		nf->stats.tx_lost += nf->tx_pool.state[id] == BUF_POSTED;
	memset(nf->tx_pool.state, BUF_FREE, sizeof(nf->tx_pool.state));
	memset(nf->rx_pool.state, BUF_FREE, sizeof(nf->rx_pool.state));
	nf->connected = false;
}
