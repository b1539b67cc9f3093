/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From guest to guest past mbufs and bridge_input: packets of one slot, in static grants at both ends, that all go from one address to another. Their addresses are
 * looked at in registers and the bridge is asked once for the whole run; each byte is moved once, from the sender's page to the receiver's. Whatever is not so plain
 * is left where it is, for netback_tx.c, which calls this.
 */
#include "netback.h"
#include "netback_rx_requests.h"
#include "netback_tx_plain.h"
#include <smmintrin.h>

#define SHORTEST 32u /* bytes, of which two loads of 16 begin at either end */
#define HEAD 64u     /* bytes that are in registers before any is written */

/* The first bytes of packets from one address to another. */
union addresses {
	__m128i wide;
	struct rte_ether_hdr eth;
};

static bool same(__m128i a, __m128i b)
{
	return _mm_testz_si128(_mm_xor_si128(a, b), _mm_setr_epi32(-1, -1, -1, 0));
}

static union addresses addresses_at(const uint8_t *bytes)
{
	return (union addresses){.wide = (__m128i)shm_load_wide(bytes)};
}

/* Where the bytes are of a packet that may go this way; NULL: it may not. */
static inline const uint8_t *direct_bytes(const struct static_grants *grants, const struct netif_tx_request *req, uint32_t most)
{
	const uint8_t *page = static_grants_read(grants, req->gref);

	return page && plain(req) && req->size - SHORTEST <= most - SHORTEST ? page + req->offset : NULL;
}

/*
 * The addresses of the packets at the head of the window, as far as the first and the last of the burst tell: only a hint, for each packet's own are looked at when it
 * is moved. False: not of one kind.
 */
static bool burst_addresses(const struct netback_queue *q, union addresses *out)
{
	const net_tx_slot *first = &q->window[q->window_at], *last = first + RTE_MIN(q->window_nr, NETBACK_BURST) - 1;
	const uint8_t *bytes = direct_bytes(&q->grants, &first->req, SLUICE_PAGE_SIZE), *other = direct_bytes(&q->grants, &last->req, SLUICE_PAGE_SIZE);

	if (!bytes || !other)
		return false;
	*out = addresses_at(bytes);
	return same(out->wide, addresses_at(other).wide);
}

/* Moves the packet unless its addresses are others. */
static inline bool move(uint8_t *to, const uint8_t *from, uint32_t size, __m128i addresses)
{
	uint32_t tail = (size <= HEAD ? size : HEAD) - 32;
	__m128i a = (__m128i)shm_load_wide(from), b, c, d;

	if (!same(a, addresses))
		return false;
	b = (__m128i)shm_load_wide(from + 16);
	c = (__m128i)shm_load_wide(from + tail);
	d = (__m128i)shm_load_wide(from + tail + 16);
	_mm_storeu_si128((__m128i *)(to + tail), c);
	_mm_storeu_si128((__m128i *)(to + tail + 16), d);
	_mm_storeu_si128((__m128i *)to, a); /* last: in a short packet c has address bytes again, which nobody has looked at */
	_mm_storeu_si128((__m128i *)(to + 16), b);
	if (size > HEAD)
		shm_copy_bulk(to + HEAD, from + HEAD, size - HEAD);
	return true;
}

/* Where the bytes are of the burst's packets, from the first on while they may go this way. How many. */
static unsigned find_bytes(const struct netback_queue *q, uint32_t most, const uint8_t **bytes, unsigned n)
{
	const struct static_grants grants = q->grants; /* in registers, whatever is stored meanwhile; and so below */
	const net_tx_slot *slot = &q->window[q->window_at];
	unsigned i = 0;

	while (i < n && (bytes[i] = direct_bytes(&grants, &slot[i].req, most)))
		i++;
	return i;
}

/* The lines of a long packet but the first, which came before. One packet ahead, since the hardware finds out in each page anew that they are read in turn. */
static inline void fetch_long(const uint8_t *bytes, uint32_t size)
{
	for (uint32_t at = RTE_CACHE_LINE_SIZE; at < size; at += RTE_CACHE_LINE_SIZE)
		shm_prefetch(bytes + at);
}

/* Moves packets into the receiver's pages, while these are static grants, and puts its slots. How many. */
static unsigned move_run(const struct netback_queue *q, struct netback_queue *to, const uint8_t *const *bytes, unsigned n, __m128i addresses)
{
	const struct static_grants grants = to->grants, from = q->grants;
	const net_tx_slot *slot = &q->window[q->window_at];
	uint32_t head = to->ahead_head, i;
	uint16_t spread = to->spread, place;
	struct back_ring ring = to->rx;

	ring.slot_size = sizeof(net_rx_slot); /* as it is: the compiler knows now */
	for (i = 0; i < n; i++) {
		const struct netif_tx_request *req = &slot[i].req;
		const struct netif_rx_request *want = &to->ahead[(head + i) % NETBACK_RX_AHEAD];
		uint8_t *page = static_grants_write(&grants, want->gref);
		uint16_t next = spread;
		uint64_t got;

		if (!page)
			break;
		place = rx_place(&next, req->size);
		rx_prefetch(to, &grants, head + i + NETBACK_RX_PREFETCH, spread, NETBACK_RX_PREFETCH);
		netback_tx_prefetch(&from, slot, i + NETBACK_TX_PREFETCH, q->window_nr);
		if (req->size > HEAD && i + 1 < n)
			fetch_long(bytes[i + 1], slot[i + 1].req.size);
		if (!move(page + place, bytes[i], req->size, addresses))
			break;
		spread = next;
		got = rx_response(want->id, place, req->flags & NETTXF_data_validated ? NETRXF_data_validated : 0, req->size);
		back_ring_put(&ring, &got, sizeof(got));
	}
	to->ahead_head = head + i;
	to->spread = spread;
	to->rx.rsp_prod = ring.rsp_prod;
	return i;
}

/* Puts the answers to the first n packets of the window, which are done. How many bytes they had. */
static uint64_t answer_run(struct netback_queue *q, unsigned n)
{
	const net_tx_slot *slot = &q->window[q->window_at];
	struct back_ring ring = q->tx;
	uint64_t bytes = 0;

	ring.slot_size = sizeof(net_tx_slot); /* as it is: the compiler knows now */
	for (unsigned i = 0; i < n; i++) {
		struct netif_tx_response done = {.id = slot[i].req.id, .status = NETIF_RSP_OKAY};

		back_ring_put(&ring, &done, sizeof(done));
		bytes += slot[i].req.size;
	}
	q->tx.rsp_prod = ring.rsp_prod;
	netback_tx_window_drop(q, n);
	return bytes;
}

/* To this queue, whose rx_lock is held. How many packets. */
static unsigned move_to(const struct netback_queue *q, struct netback_queue *to, uint32_t most, __m128i addresses)
{
	unsigned n = RTE_MIN(q->window_nr, NETBACK_BURST);
	const uint8_t *bytes[NETBACK_BURST];

	if (!to->live || to->stalled || netback_rx_waiting(to) > 0 || !to->grants.nr)
		return 0;
	if (rx_requests(to) < n)
		rx_look_ahead(to, NETBACK_RX_PREFETCH); /* netback_rx.c finds out what is wrong with the index */
	n = move_run(q, to, bytes, find_bytes(q, most, bytes, RTE_MIN(n, rx_requests(to))), addresses);
	to->stats.rx_packets += n;
	return n;
}

/* Tell both ends of n packets: one full barrier for the two. The receiver's rx_lock is held. */
static void publish(struct netback_queue *q, struct netback_queue *to)
{
	uint32_t rx_old = to->rx.rsp_shown, tx_old = q->tx.rsp_shown;

	back_ring_publish(&to->rx);
	back_ring_publish(&q->tx);
	shm_mb(); /* both rsp_prod before our look at both rsp_event: the front ends do it the other way round */
	if (back_ring_event(&to->rx, rx_old))
		poller_notify(to->lcore->poller, to->rx_port);
	if (back_ring_event(&q->tx, tx_old))
		poller_notify(q->lcore->poller, q->tx_port);
}

unsigned netback_direct(struct netback_queue *q)
{
	struct bridge_port *port;
	union addresses addresses;
	struct netback_queue *to;
	struct netback_vif *vif;
	uint64_t bytes = 0;
	unsigned n;

	if (!q->grants.nr || !q->window_nr || !burst_addresses(q, &addresses))
		return 0;
	port = bridge_way(&q->vif->port, &addresses.eth);
	if (!port || port->tx != netback_rx_port_tx)
		return 0;
	vif = (struct netback_vif *)port;
	if (vif->nr_queues != 1)
		return 0; /* each packet has its own queue */
	to = &vif->queue[0];
	bridge_lock(&to->rx_lock);
	n = move_to(q, to, rx_plain_most(vif), addresses.wide);
	if (n > 0) {
		bytes = answer_run(q, n);
		publish(q, to);
	}
	bridge_unlock(&to->rx_lock);
	bridge_passed(&q->vif->port, port, n, bytes);
	q->stats.tx_packets += n;
	return n;
}
