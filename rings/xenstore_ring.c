/* SPDX-License-Identifier: BSD-3-Clause */
/* The XenStore byte ring (xenstore_ring.h): compiled for the hypervisor and, freestanding, for guests. */
#include <rings/xenstore_ring.h>
#include <sluice/shm.h>

SLUICE_ABI_AT(struct xenstore_domain_interface, rsp, XENSTORE_RING_SIZE);
SLUICE_ABI_AT(struct xenstore_domain_interface, req_cons, 2 * XENSTORE_RING_SIZE);

/* One direction, as the caller's side sees it. */
struct stream {
	volatile uint8_t *bytes;
	uint32_t *prod, *cons;
};

static struct stream stream_of(const struct xenstore_ring *r, bool requests)
{
	struct xenstore_domain_interface *s = r->shared;

	if (requests)
		return (struct stream){ (volatile uint8_t *)s->req, &s->req_prod, &s->req_cons };
	return (struct stream){ (volatile uint8_t *)s->rsp, &s->rsp_prod, &s->rsp_cons };
}

void xenstore_ring_attach(struct xenstore_ring *r, struct xenstore_domain_interface *shared, enum xenstore_ring_side side)
{
	r->shared = shared;
	r->side = side;
	r->out_prod = shm_load(stream_of(r, side == XENSTORE_RING_GUEST).prod);
	r->in_cons = shm_load(stream_of(r, side == XENSTORE_RING_STORE).cons);
}

/* Bytes from index `at` to the end of the ring, at most n. */
static size_t run_at(uint32_t at, size_t n)
{
	size_t run = XENSTORE_RING_SIZE - MASK_XENSTORE_IDX(at);

	return n < run ? n : run;
}

int xenstore_ring_read(struct xenstore_ring *r, void *buf, size_t n)
{
	struct stream s = stream_of(r, r->side == XENSTORE_RING_STORE);
	uint32_t wait = shm_load_acquire(s.prod) - r->in_cons;
	size_t first;

	if (wait > XENSTORE_RING_SIZE)
		return -EPROTO;
	if (n > wait)
		n = wait;
	first = run_at(r->in_cons, n);
	shm_copy_in(buf, s.bytes + MASK_XENSTORE_IDX(r->in_cons), first);
	shm_copy_in((uint8_t *)buf + first, s.bytes, n - first);
	r->in_cons += (uint32_t)n;
	if (n)
		shm_store_release(s.cons, r->in_cons); /* our loads of the bytes before the peer may overwrite them */
	return (int)n;
}

int xenstore_ring_write(struct xenstore_ring *r, const void *buf, size_t n)
{
	struct stream s = stream_of(r, r->side == XENSTORE_RING_GUEST);
	uint32_t used = r->out_prod - shm_load_acquire(s.cons);
	size_t first;

	if (used > XENSTORE_RING_SIZE)
		return -EPROTO;
	if (n > XENSTORE_RING_SIZE - used)
		n = XENSTORE_RING_SIZE - used;
	first = run_at(r->out_prod, n);
	shm_copy_out(s.bytes + MASK_XENSTORE_IDX(r->out_prod), buf, first);
	shm_copy_out(s.bytes, (const uint8_t *)buf + first, n - first);
	r->out_prod += (uint32_t)n;
	if (n)
		shm_store_release(s.prod, r->out_prod);
	return (int)n;
}
