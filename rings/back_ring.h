/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back end's view of a shared ring: takes requests, puts responses. Called by netback and blkback, and by their tests.
 *
 *	n = back_ring_pending(r);                          what waits (bounded), or -EPROTO: disable the device
 *	back_ring_read(r, i, &req, sizeof(req));           i = 0 .. n-1: private copy, each byte read once
 *	back_ring_consume(r, n);                           or both for a run of them: back_ring_take(r, reqs, n, sizeof(a slot))
 *	back_ring_put(r, &rsp, sizeof(rsp));               as many as were consumed, in any order of ids
 *	if (back_ring_push(r)) notify;                     once a burst
 *	if (back_ring_arm(r) == 0) sleep;                  when there is nothing to do
 *
 * Responses take the slots of requests that were consumed: never put more responses than requests were consumed. The request and response
 * sizes are compile-time constants at each call, so that the copies inline; slot_size is sizeof(union netif_tx_sring_entry) or the like.
 */
#ifndef RINGS_BACK_RING_H
#define RINGS_BACK_RING_H

#include <rings/ring_indices.h>

struct back_ring {
	struct ring_indices *shared;
	volatile uint8_t *slots;
	uint32_t nr, mask; /* slots, a power of two */
	uint32_t slot_size;
	uint32_t req_cons;  /* requests that we took */
	uint32_t rsp_prod;  /* responses that we wrote, published or not */
	uint32_t rsp_shown; /* responses that the front end was told of */
};

/*
 * Attach to a ring that may be fresh or in use (a back end that was started again): goes on after the last response that was published.
 * -EINVAL when no slot fits or the front end's index is absurd.
 */
static inline int back_ring_attach(struct back_ring *r, void *shared, unsigned pages, size_t slot_size)
{
	uint32_t nr = ring_slots(pages, slot_size), prod;

	if (!nr)
		return -EINVAL;
	r->shared = shared;
	r->slots = (volatile uint8_t *)shared + SLUICE_RING_HEADER;
	r->nr = nr;
	r->mask = nr - 1;
	r->slot_size = (uint32_t)slot_size;
	r->rsp_prod = r->rsp_shown = r->req_cons = shm_load(&r->shared->rsp_prod);
	prod = shm_load_acquire(&r->shared->req_prod);
	return prod - r->rsp_prod > nr ? -EINVAL : 0;
}

/*
 * Where request i after the last consumed one lies: for prefetching, or for reading parts. Wraps around the ring.
 * Addresses are computed from private fields only.
 */
static inline volatile void *back_ring_slot(const struct back_ring *r, uint32_t i)
{
	return r->slots + (size_t)((r->req_cons + i) & r->mask) * r->slot_size;
}

/* Requests that wait: 0..nr, or -EPROTO when the front end claims more than the ring holds or took some back (XSA-39, XSA-155). */
static inline int back_ring_pending(const struct back_ring *r)
{
	uint32_t prod = shm_load_acquire(&r->shared->req_prod);
	uint32_t n = prod - r->req_cons;

	if (__builtin_expect(n > r->nr || prod - r->rsp_prod > r->nr, 0))
		return -EPROTO;
	return (int)n;
}

/* Private copy of n bytes of request i after the last consumed one. */
static inline __attribute__((always_inline)) void back_ring_read(const struct back_ring *r, uint32_t i, void *dst, size_t n)
{
	shm_copy_in(dst, back_ring_slot(r, i), n);
}

/*
 * Private copies of the next n requests, n at most what back_ring_pending said, and consume them. Each byte is read once. The lines are taken for writing, as the
 * responses go there.
 */
static inline __attribute__((always_inline)) void back_ring_take(struct back_ring *r, void *dst, uint32_t n, size_t slot_size)
{
	uint8_t *d = dst;

	while (n > 0) {
		uint32_t at = r->req_cons & r->mask, run = n < r->nr - at ? n : r->nr - at;
		const volatile uint8_t *from = r->slots + at * slot_size, *end = from + run * slot_size;

		for (const volatile uint8_t *line = from; line < end; line += 64)
			shm_prefetch_write(line);
		for (; from < end; from += slot_size, d += slot_size)
			shm_copy_in(d, from, slot_size);
		r->req_cons += run;
		n -= run;
	}
}

static inline void back_ring_consume(struct back_ring *r, uint32_t n)
{
	r->req_cons += n;
}

/* Requests taken and not answered yet. */
static inline uint32_t back_ring_unanswered(const struct back_ring *r)
{
	return r->req_cons - r->rsp_prod;
}

/* Write the next response; the front end sees it at the next push. What the slot held after n bytes stays the front end's own. */
static inline __attribute__((always_inline)) void back_ring_put(struct back_ring *r, const void *src, size_t n)
{
	shm_copy_out(r->slots + (size_t)(r->rsp_prod & r->mask) * r->slot_size, src, n);
	r->rsp_prod++;
}

/* Write response `index` (as rsp_prod was before it was put) again; it must not have been pushed yet. */
static inline __attribute__((always_inline)) void back_ring_amend(const struct back_ring *r, uint32_t index, const void *src, size_t n)
{
	shm_copy_out(r->slots + (size_t)(index & r->mask) * r->slot_size, src, n);
}

/* Publish what was put since the last time, with no look at whether the front end wants to be told: back_ring_event does that, after shm_mb(). */
static inline void back_ring_publish(struct back_ring *r)
{
	if (r->rsp_prod != r->rsp_shown)
		shm_store_release(&r->shared->rsp_prod, r->rsp_prod);
	r->rsp_shown = r->rsp_prod;
}

/* Does the front end want to be notified of the responses published since rsp_shown was `old`? */
static inline bool back_ring_event(const struct back_ring *r, uint32_t old)
{
	return old != r->rsp_shown && ring_crossed(old, r->rsp_shown, shm_load(&r->shared->rsp_event));
}

/* Publish what was put since the last push. True when the front end wants to be notified of it. */
static inline bool back_ring_push(struct back_ring *r)
{
	uint32_t old = r->rsp_shown;

	if (old == r->rsp_prod)
		return false;
	back_ring_publish(r);
	shm_mb(); /* our rsp_prod before our look at rsp_event: the front end does it the other way round */
	return back_ring_event(r, old);
}

/*
 * Ask to be notified of the next request. Returns what back_ring_pending returns: sleep only when it is 0.
 */
static inline int back_ring_arm(struct back_ring *r)
{
	shm_store(&r->shared->req_event, r->req_cons + 1);
	shm_mb(); /* our req_event before our look at req_prod: the front end does it the other way round */
	return back_ring_pending(r);
}

/*
 * Ask to be notified when n more requests than were consumed have arrived (a receive ring that needs several slots); n >= 1.
 * Returns what back_ring_pending returns.
 */
static inline int back_ring_arm_for(struct back_ring *r, uint32_t n)
{
	shm_store(&r->shared->req_event, r->req_cons + n);
	shm_mb(); /* as in back_ring_arm */
	return back_ring_pending(r);
}

#endif
