/* SPDX-License-Identifier: BSD-3-Clause */
/* The rx requests of a queue, read ahead of being used, each once. Between netback_rx.c and netback_rx_plain.c. */
#ifndef BACKEND_NETBACK_RX_REQUESTS_H
#define BACKEND_NETBACK_RX_REQUESTS_H

#include "netback.h"

static inline uint32_t rx_requests(const struct netback_queue *q)
{
	return q->ahead_tail - q->ahead_head;
}

/* The line of a page where the packet after `ahead` others will start. The page is the guest's to name: a wrong one is found out when it is used. */
static inline void rx_prefetch(const struct netback_queue *q, gref_t gref, uint32_t ahead)
{
	const uint8_t *page = static_grants_write(&q->grants, gref);

	if (page)
		shm_prefetch_write(page + (q->spread + ahead * RTE_CACHE_LINE_SIZE) % SLUICE_PAGE_SIZE);
}

/* Read requests as far as they fit. How many there are now, or -EPROTO. */
static inline int rx_look_ahead(struct netback_queue *q)
{
	int pending = back_ring_pending(&q->rx);
	uint32_t left, run;

	if (pending < 0)
		return pending;
	left = RTE_MIN((uint32_t)pending, NETBACK_RX_AHEAD - rx_requests(q));
	for (; left > 0; left -= run) { /* up to where the array of them ends */
		struct netif_rx_request *req = &q->ahead[q->ahead_tail % NETBACK_RX_AHEAD];

		run = RTE_MIN(left, NETBACK_RX_AHEAD - q->ahead_tail % NETBACK_RX_AHEAD);
		back_ring_take(&q->rx, req, run, sizeof(*req));
		for (uint32_t i = 0; i < run; i++)
			rx_prefetch(q, req[i].gref, rx_requests(q) + i);
		q->ahead_tail += run;
	}
	return (int)rx_requests(q);
}

/* The next one; it is taken with ahead_head++. */
static inline const struct netif_rx_request *rx_first_request(const struct netback_queue *q)
{
	return &q->ahead[q->ahead_head % NETBACK_RX_AHEAD];
}

/* Where in its page the packet starts: one that leaves room moves on by a cache line each time. */
static inline uint16_t rx_place(struct netback_queue *q, uint32_t len)
{
	uint16_t at = q->spread;

	q->spread = (q->spread + RTE_CACHE_LINE_SIZE) % SLUICE_PAGE_SIZE;
	if (at + len > SLUICE_PAGE_SIZE)
		at %= SLUICE_PAGE_SIZE / 4;
	return at + len <= SLUICE_PAGE_SIZE ? at : 0;
}

#endif
