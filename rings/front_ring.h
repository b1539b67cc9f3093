/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The front end's view of a shared ring: puts requests, takes responses. The mirror of back_ring.h; called by netfront and blkfront.
 * The back end is not trusted either: it may be a driver domain.
 *
 *	front_ring_init(r, pages, 1, sizeof(union netif_tx_sring_entry));
 *	if (front_ring_free(r) >= k) front_ring_put(r, &req, sizeof(req)) k times;
 *	if (front_ring_push(r)) notify;                    once a burst
 *	n = front_ring_pending(r);                         responses that wait (bounded), or -EPROTO: give the device up
 *	front_ring_read(r, i, &rsp, sizeof(rsp));          i = 0 .. n-1
 *	front_ring_consume(r, n);
 *	if (front_ring_arm(r) == 0) sleep;
 */
#ifndef RINGS_FRONT_RING_H
#define RINGS_FRONT_RING_H

#include <rings/ring_indices.h>

struct front_ring {
	struct ring_indices *shared;
	volatile uint8_t *slots;
	uint32_t nr, mask; /* slots, a power of two */
	uint32_t slot_size;
	uint32_t req_prod;  /* requests that we wrote, published or not */
	uint32_t req_shown; /* requests that the back end was told of */
	uint32_t rsp_cons;  /* responses that we took */
};

/* Make a fresh, empty ring of the pages (nobody else uses them yet). -EINVAL when no slot fits. */
static inline int front_ring_init(struct front_ring *r, void *shared, unsigned pages, size_t slot_size)
{
	static const uint8_t zero[64];
	uint32_t nr = ring_slots(pages, slot_size);

	if (!nr)
		return -EINVAL;
	for (size_t at = 0; at < (size_t)pages * SLUICE_PAGE_SIZE; at += sizeof(zero))
		shm_copy_out((uint8_t *)shared + at, zero, sizeof(zero)); /* nothing of ours leaks to the peer (XSA-403) */
	r->shared = shared;
	r->slots = (volatile uint8_t *)shared + SLUICE_RING_HEADER;
	r->nr = nr;
	r->mask = nr - 1;
	r->slot_size = (uint32_t)slot_size;
	r->req_prod = r->req_shown = r->rsp_cons = 0;
	shm_store(&r->shared->req_event, 1);
	shm_store(&r->shared->rsp_event, 1);
	return 0;
}

/* Requests that still fit. */
static inline uint32_t front_ring_free(const struct front_ring *r)
{
	return r->nr - (r->req_prod - r->rsp_cons);
}

/* The index within the ring that the next request takes: what Linux uses as the id on a receive ring. */
static inline uint32_t front_ring_next(const struct front_ring *r)
{
	return r->req_prod & r->mask;
}

/* Write the next request; the back end sees it at the next push. Only when front_ring_free() > 0. */
static inline __attribute__((always_inline)) void front_ring_put(struct front_ring *r, const void *src, size_t n)
{
	shm_copy_out(r->slots + (size_t)(r->req_prod & r->mask) * r->slot_size, src, n);
	r->req_prod++;
}

/* Publish what was put since the last push. True when the back end wants to be notified of it. */
static inline bool front_ring_push(struct front_ring *r)
{
	uint32_t old = r->req_shown, now = r->req_prod;

	if (old == now)
		return false;
	shm_store_release(&r->shared->req_prod, now);
	r->req_shown = now;
	shm_mb(); /* our req_prod before our look at req_event: the back end does it the other way round */
	return ring_crossed(old, now, shm_load(&r->shared->req_event));
}

/* Responses that wait: 0..nr, or -EPROTO when the back end claims to have answered more than was asked, or took some back. */
static inline int front_ring_pending(const struct front_ring *r)
{
	uint32_t n = shm_load_acquire(&r->shared->rsp_prod) - r->rsp_cons;

	return __builtin_expect(n > r->req_shown - r->rsp_cons, 0) ? -EPROTO : (int)n;
}

/* The index within the ring of response i after the last consumed one. */
static inline uint32_t front_ring_index(const struct front_ring *r, uint32_t i)
{
	return (r->rsp_cons + i) & r->mask;
}

/* Private copy of n bytes of response i after the last consumed one. */
static inline __attribute__((always_inline)) void front_ring_read(const struct front_ring *r, uint32_t i, void *dst, size_t n)
{
	shm_copy_in(dst, r->slots + (size_t)front_ring_index(r, i) * r->slot_size, n);
}

/*
 * Private copies of the next n responses, n at most what front_ring_pending said: the first `bytes` of each slot. Their lines are taken for writing, as the next requests
 * go there. Nothing is consumed.
 */
static inline __attribute__((always_inline)) void front_ring_peek(const struct front_ring *r, void *dst, uint32_t n, size_t bytes, size_t slot_size)
{
	uint8_t *d = dst;
	uint32_t at = front_ring_index(r, 0);

	while (n > 0) {
		uint32_t run = n < r->nr - at ? n : r->nr - at;
		const volatile uint8_t *from = r->slots + at * slot_size, *end = from + run * slot_size;

		for (const volatile uint8_t *line = from; line < end; line += 64)
			shm_prefetch_write(line);
		for (; from < end; from += slot_size, d += bytes)
			shm_copy_in(d, from, bytes);
		n -= run;
		at = 0;
	}
}

static inline void front_ring_consume(struct front_ring *r, uint32_t n)
{
	r->rsp_cons += n;
}

/* Ask to be notified of the next response. Returns what front_ring_pending returns: sleep only when it is 0. */
static inline int front_ring_arm(struct front_ring *r)
{
	shm_store(&r->shared->rsp_event, r->rsp_cons + 1);
	shm_mb(); /* our rsp_event before our look at rsp_prod: the back end does it the other way round */
	return front_ring_pending(r);
}

#endif
