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

#define SHORTEST 32u /* bytes; so that 16 at either end are within the packet twice */
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

/* Where the bytes are of a packet that may go this way. */
static inline const uint8_t *direct_bytes(const struct static_grants *grants, const struct netif_tx_request *req, uint32_t most)
{
	const uint8_t *page = static_grants_read(grants, req->gref);

	return page && plain(req) && req->size >= SHORTEST && req->size <= most ? page + req->offset : NULL;
}

/*
 * The addresses of the packets at the head of the window, as far as the first and the last of the burst tell: only a hint, for each packet's own are looked at when it
 * is moved. False: not of one kind.
 */
static bool burst_addresses(const struct netback_queue *q, uint32_t most, union addresses *out)
{
	const net_tx_slot *first = &q->window[q->window_at], *last = first + RTE_MIN(q->window_nr, NETBACK_BURST) - 1;
	const uint8_t *bytes = direct_bytes(&q->grants, &first->req, most), *other = direct_bytes(&q->grants, &last->req, most);

	if (!bytes || !other)
		return false;
	*out = addresses_at(bytes);
	return same(out->wide, addresses_at(other).wide);
}

/* Moves the packet unless its addresses are others. */
static inline bool move(uint8_t *to, const uint8_t *from, uint16_t size, __m128i addresses)
{
	uint32_t tail = RTE_MIN(size, HEAD) - 32;
	__m128i a = (__m128i)shm_load_wide(from), b, c, d;

	if (!same(a, addresses))
		return false;
	b = (__m128i)shm_load_wide(from + 16);
	c = (__m128i)shm_load_wide(from + tail);
	d = (__m128i)shm_load_wide(from + tail + 16);
	_mm_storeu_si128((__m128i *)to, a);
	_mm_storeu_si128((__m128i *)(to + 16), b);
	_mm_storeu_si128((__m128i *)(to + tail), c);
	_mm_storeu_si128((__m128i *)(to + tail + 16), d);
	if (size > HEAD)
		shm_copy_bulk(to + HEAD, from + HEAD, size - HEAD);
	return true;
}

/* Packets of the window, while they are such and the receiver has posted pages. How many; their answers and the receiver's slots are put, not pushed. */
static unsigned move_run(struct netback_queue *q, struct netback_queue *to, uint32_t most, __m128i addresses, uint64_t *bytes)
{
	const struct static_grants from_grants = q->grants, to_grants = to->grants; /* copies stay in registers, whatever is stored meanwhile */
	struct back_ring tx = q->tx, rx = to->rx;
	const net_tx_slot *slot = &q->window[q->window_at];
	uint32_t head = to->ahead_head, n = RTE_MIN(RTE_MIN(q->window_nr, NETBACK_BURST), rx_requests(to)), i;
	uint16_t spread = to->spread;

	tx.slot_size = sizeof(net_tx_slot); /* as they are: the compiler knows now */
	rx.slot_size = sizeof(net_rx_slot);
	for (i = 0; i < n; i++) {
		const struct netif_tx_request *req = &slot[i].req;
		const struct netif_rx_request want = to->ahead[(head + i) % NETBACK_RX_AHEAD];
		const uint8_t *from = direct_bytes(&from_grants, req, most);
		uint8_t *page = static_grants_write(&to_grants, want.gref);
		struct netif_tx_response done = {.id = req->id, .status = NETIF_RSP_OKAY};
		struct netif_rx_response got = {.id = want.id, .flags = req->flags & NETTXF_data_validated ? NETRXF_data_validated : 0, .status = (int16_t)req->size};
		uint16_t next = spread;

		if (!from || !page)
			break;
		got.offset = rx_place(&next, req->size);
		if (!move(page + got.offset, from, req->size, addresses))
			break;
		spread = next;
		*bytes += req->size;
		back_ring_put(&rx, &got, sizeof(got));
		back_ring_put(&tx, &done, sizeof(done));
	}
	to->ahead_head = head + i;
	to->spread = spread;
	to->rx.rsp_prod = rx.rsp_prod;
	q->tx.rsp_prod = tx.rsp_prod;
	netback_tx_window_drop(q, i);
	return i;
}

/* The same with the receiver's rx rings locked. */
static unsigned move_to(struct netback_queue *q, struct netback_queue *to, uint32_t most, __m128i addresses, uint64_t *bytes)
{
	unsigned n;

	if (!to->live || to->stalled || netback_rx_waiting(to) > 0 || !to->grants.nr)
		return 0;
	if (rx_requests(to) < RTE_MIN(q->window_nr, NETBACK_BURST))
		rx_look_ahead(to); /* netback_rx.c finds out what is wrong with the index */
	n = move_run(q, to, most, addresses, bytes);
	to->stats.rx_packets += n;
	if (n > 0 && back_ring_push(&to->rx))
		poller_notify(to->lcore->poller, to->rx_port);
	return n;
}

unsigned netback_direct(struct netback_queue *q)
{
	struct bridge_port *port;
	union addresses addresses;
	struct netback_vif *vif;
	uint64_t bytes = 0;
	uint32_t most = SLUICE_PAGE_SIZE;
	unsigned n;

	if (!q->grants.nr || !q->window_nr || !burst_addresses(q, most, &addresses))
		return 0;
	port = bridge_way(&q->vif->port, &addresses.eth);
	if (!port || port->tx != netback_rx_port_tx)
		return 0;
	vif = (struct netback_vif *)port;
	if (vif->nr_queues != 1)
		return 0; /* each packet has its own queue */
	bridge_lock(&vif->queue[0].rx_lock);
	n = move_to(q, &vif->queue[0], rx_plain_most(vif), addresses.wide, &bytes);
	bridge_unlock(&vif->queue[0].rx_lock);
	bridge_passed(&q->vif->port, port, n, bytes);
	q->stats.tx_packets += n;
	return n;
}
