/* SPDX-License-Identifier: BSD-3-Clause */
/* The rx requests of a queue, read ahead of being used, each once. Between netback_rx.c and netback_rx_plain.c. */
#ifndef BACKEND_NETBACK_RX_REQUESTS_H
#define BACKEND_NETBACK_RX_REQUESTS_H

#include "netback.h"

/* A response as the one word that it is: put together in a register, for a wide load from narrow stores stalls. */
_Static_assert(sizeof(struct netif_rx_response) == sizeof(uint64_t) && offsetof(struct netif_rx_response, id) == 0 && offsetof(struct netif_rx_response, offset) == 2 &&
	       offsetof(struct netif_rx_response, flags) == 4 && offsetof(struct netif_rx_response, status) == 6, "rx_response makes an rx response");
static inline uint64_t rx_response(uint16_t id, uint16_t place, uint16_t flags, uint16_t len)
{
	return id | (uint64_t)place << 16 | (uint64_t)flags << 32 | (uint64_t)len << 48;
}

static inline uint32_t rx_requests(const struct netback_queue *q)
{
	return q->ahead_tail - q->ahead_head;
}

/*
 * The line where the packet that request `number` is for will start, n packets after the one that starts at `spread`, if those between are small: fetched for writing, when there
 * is such a request. The page is the guest's to name: a wrong one is found out when it is used.
 */
static inline void rx_prefetch(const struct netback_queue *q, const struct static_grants *grants, uint32_t number, uint32_t spread, uint32_t n)
{
	const uint8_t *page;

	if ((int32_t)(q->ahead_tail - number) <= 0)
		return;
	page = static_grants_write(grants, q->ahead[number % NETBACK_RX_AHEAD].gref);
	shm_prefetch_write((const void *)((uintptr_t)page + (spread + n * RTE_CACHE_LINE_SIZE) % SLUICE_PAGE_SIZE));
}

/* Read requests as far as they fit, and fetch the lines for the first `near` of all that there are now. How many these are, or -EPROTO. */
static inline int rx_look_ahead(struct netback_queue *q, uint32_t near)
{
	int pending = back_ring_pending(&q->rx);
	uint32_t had = rx_requests(q), left, run;

	if (pending < 0)
		return pending;
	left = RTE_MIN((uint32_t)pending, NETBACK_RX_AHEAD - had);
	for (; left > 0; left -= run) { /* up to where the array of them ends */
		run = RTE_MIN(left, NETBACK_RX_AHEAD - q->ahead_tail % NETBACK_RX_AHEAD);
		back_ring_take(&q->rx, &q->ahead[q->ahead_tail % NETBACK_RX_AHEAD], run, sizeof(q->ahead[0]));
		q->ahead_tail += run;
	}
	for (uint32_t i = had; i < RTE_MIN(near, rx_requests(q)); i++)
		rx_prefetch(q, &q->grants, q->ahead_head + i, q->spread, i);
	return (int)rx_requests(q);
}

/* Bytes of the longest frame, with an Ethernet header and two VLAN tags. */
static inline uint32_t rx_frame_most(const struct netback_vif *vif)
{
	return vif->mtu + NET_ETH_HLEN + 8;
}

/* The same of one that needs one slot. */
static inline uint32_t rx_plain_most(const struct netback_vif *vif)
{
	return RTE_MIN(rx_frame_most(vif), SLUICE_PAGE_SIZE);
}

/* Where in its page the packet starts: one that leaves room moves on by a cache line each time. */
static inline uint16_t rx_place(uint16_t *spread, uint32_t len)
{
	uint16_t at = *spread;

	*spread = (at + RTE_CACHE_LINE_SIZE) % SLUICE_PAGE_SIZE;
	if (at + len > SLUICE_PAGE_SIZE)
		at %= SLUICE_PAGE_SIZE / 4;
	return at + len <= SLUICE_PAGE_SIZE ? at : 0;
}

#endif
