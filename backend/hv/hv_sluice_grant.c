/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grants without a trap: entries are checked, marked and pinned in shared memory (hvshare_grant.h), and a page is used where it lies in the
 * machine memory. The grant_lock of a domain is held over the operations of a batch that need it.
 */
#include "hv_sluice_private.h"

#include <stdlib.h>
#include <sys/mman.h>

#define COPY_RUN HVSHARE_BATCH_UNDER_LOCK
#define LOCK_TRIES 4u

void hv_sluice_grant_init(struct hv_sluice *s)
{
	for (uint32_t i = 0; i < HVSHARE_MAPTRACK; i++)
		s->free_handle[i] = HVSHARE_MAPTRACK - 1 - i;
	s->nr_free = HVSHARE_MAPTRACK;
	LIST_INIT(&s->rings);
}

static bool within_reach(const struct hv_sluice *s, domid_t domid)
{
	/* Orders: alive before the generation, which does not change while it is. */
	return domid == HVSHARE_NO_DOMAIN || (hvshare_domain_usable(s->view.share, domid) && hv_sluice_memory_current(s, domid));
}

/*
 * Have the locks of a and b (or HVSHARE_NO_DOMAIN), with the memory of both mapped: looked at before, since who takes a lock may have to repair what
 * its dead holder left, and again after, since a domid may have changed hands. False: one of them is gone.
 */
static __attribute__((noinline)) bool lock_anew(struct hv_sluice *s, struct hvshare_locks *locks, domid_t a, domid_t b)
{
	for (unsigned tries = 0; tries < LOCK_TRIES; tries++) {
		if (within_reach(s, a) && within_reach(s, b)) {
			hvshare_locks_want(&s->view, locks, a, b);
			if (within_reach(s, a) && within_reach(s, b))
				return true;
		}
		hvshare_locks_drop(&s->view, locks);
		if (hv_sluice_memory_map(s, a) || hv_sluice_memory_map(s, b))
			return false;
	}
	return false;
}

/* The memory of a domain whose lock is held since we looked is still the same. */
static inline bool lock_domains(struct hv_sluice *s, struct hvshare_locks *locks, domid_t a, domid_t b)
{
	return hvshare_locks_have(locks, a, b) || lock_anew(s, locks, a, b);
}

/* ---- one page; map_lock held ---- */

static int16_t page_pin(struct hv_sluice *s, struct hvshare_locks *locks, domid_t domid, gref_t gref, bool readonly, uint32_t *handle)
{
	struct hvshare_map *map;
	int16_t status;

	if (!hvshare_domain_usable(s->view.share, domid))
		return GNTST_bad_domain;
	if (!s->nr_free)
		return GNTST_no_space;
	*handle = s->free_handle[s->nr_free - 1];
	map = &s->me->map[*handle];
	if (!lock_domains(s, locks, domid, HVSHARE_NO_DOMAIN))
		return GNTST_bad_domain;
	*map = (struct hvshare_map){.domid = domid, .gref = gref, .readonly = readonly};
	status = hvshare_grant_pin(&s->view, map, 0);
	if (status == GNTST_okay)
		s->nr_free--;
	return status;
}

/* True when it was the last of a dead domain. */
static bool page_unpin(struct hv_sluice *s, struct hvshare_locks *locks, uint32_t handle)
{
	struct hvshare_map *map = &s->me->map[handle];

	hvshare_locks_want(&s->view, locks, map->domid, HVSHARE_NO_DOMAIN);
	s->free_handle[s->nr_free++] = handle;
	return hvshare_grant_unpin(&s->view, map);
}

/* A dead domain's frames can be freed. No lock is held. */
static void tell_released(struct hv_sluice *s)
{
	struct hvsock_request req = {.op = HVSOCK_RELEASED};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];

	hv_sluice_call(s, &req, &reply, fds);
	hv_sluice_memory_trim(s);
}

/* Ends what took locks and map_lock. */
static void done(struct hv_sluice *s, struct hvshare_locks *locks, bool released)
{
	hvshare_locks_drop(&s->view, locks);
	pthread_mutex_unlock(&s->map_lock);
	if (released)
		tell_released(s);
}

/* ---- map and unmap ---- */

int hv_sluice_map(struct hv *hv, struct hv_map_op *ops, unsigned n)
{
	struct hv_sluice *s = hv_sluice_of(hv);
	struct hvshare_locks locks = {.uses = 0};

	pthread_mutex_lock(&s->map_lock);
	for (unsigned i = 0; i < n; i++) {
		struct hv_map_op *op = &ops[i];

		op->status = page_pin(s, &locks, op->domid, op->gref, op->readonly, &op->handle);
		op->va = op->status == GNTST_okay ? hvshare_page(&s->view, s->me->map[op->handle].mfn) : NULL;
	}
	done(s, &locks, false);
	return 0;
}

int hv_sluice_unmap(struct hv *hv, struct hv_unmap_op *ops, unsigned n)
{
	struct hv_sluice *s = hv_sluice_of(hv);
	struct hvshare_locks locks = {.uses = 0};
	bool released = false;

	pthread_mutex_lock(&s->map_lock);
	for (unsigned i = 0; i < n; i++) {
		const struct hvshare_map *map = ops[i].handle < HVSHARE_MAPTRACK ? &s->me->map[ops[i].handle] : NULL;

		ops[i].status = GNTST_bad_handle;
		if (map && map->used && hvshare_page(&s->view, map->mfn) == ops[i].va) {
			released |= page_unpin(s, &locks, ops[i].handle);
			ops[i].status = GNTST_okay;
		}
	}
	done(s, &locks, released);
	return 0;
}

/* ---- rings: pages that lie apart, mapped a second time in a row ---- */

static int ring_pin(struct hv_sluice *s, struct hvshare_locks *locks, struct sluice_ring *r, domid_t domid, const gref_t *grefs)
{
	for (unsigned i = 0; i < r->n; i++) {
		if (page_pin(s, locks, domid, grefs[i], false, &r->handle[i]) == GNTST_okay)
			continue;
		while (i-- > 0)
			page_unpin(s, locks, r->handle[i]);
		return -EINVAL;
	}
	return 0;
}

static int ring_map(struct hv_sluice *s, struct sluice_ring *r)
{
	size_t bytes = (size_t)r->n << SLUICE_PAGE_SHIFT;
	uint8_t *va = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (va == MAP_FAILED)
		return -ENOMEM;
	for (unsigned i = 0; i < r->n; i++) {
		const struct hvshare_map *map = &s->me->map[r->handle[i]];
		off_t at;
		int fd = hv_sluice_memory_fd(s, map->domid, map->mfn, &at);

		if (mmap(va + ((size_t)i << SLUICE_PAGE_SHIFT), SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
		         fd, at) == MAP_FAILED) {
			munmap(va, bytes);
			return -ENOMEM;
		}
	}
	r->va = va;
	return 0;
}

/* Takes it off the list as well; true when a dead domain has no page left. map_lock held. */
static bool ring_release(struct hv_sluice *s, struct hvshare_locks *locks, struct sluice_ring *r)
{
	bool released = false;

	munmap(r->va, (size_t)r->n << SLUICE_PAGE_SHIFT);
	for (unsigned i = 0; i < r->n; i++)
		released |= page_unpin(s, locks, r->handle[i]);
	LIST_REMOVE(r, next);
	free(r);
	return released;
}

int hv_sluice_map_ring(struct hv *hv, domid_t domid, const gref_t *grefs, unsigned n, void **va)
{
	struct hv_sluice *s = hv_sluice_of(hv);
	struct hvshare_locks locks = {.uses = 0};
	struct sluice_ring *r;
	bool released = false;
	int rc;

	if (!n || n > HVSHARE_MAPTRACK)
		return -EINVAL;
	r = malloc(sizeof(*r) + n * sizeof(r->handle[0]));
	if (!r)
		return -ENOMEM;
	r->n = n;
	pthread_mutex_lock(&s->map_lock);
	rc = ring_pin(s, &locks, r, domid, grefs);
	if (!rc) {
		rc = ring_map(s, r);
		for (unsigned i = 0; rc && i < n; i++)
			released |= page_unpin(s, &locks, r->handle[i]);
	}
	if (!rc) {
		LIST_INSERT_HEAD(&s->rings, r, next);
		*va = r->va;
	}
	done(s, &locks, released);
	if (rc)
		free(r);
	return rc;
}

void hv_sluice_unmap_ring(struct hv *hv, void *va, unsigned n)
{
	struct hv_sluice *s = hv_sluice_of(hv);
	struct hvshare_locks locks = {.uses = 0};
	struct sluice_ring *r;
	bool released = false;

	pthread_mutex_lock(&s->map_lock);
	LIST_FOREACH(r, &s->rings, next)
		if (r->va == va && r->n == n)
			break;
	if (r)
		released = ring_release(s, &locks, r);
	done(s, &locks, released);
}

void hv_sluice_grant_fini(struct hv_sluice *s)
{
	struct hvshare_locks locks = {.uses = 0};
	bool released = false;

	pthread_mutex_lock(&s->map_lock);
	while (!LIST_EMPTY(&s->rings))
		released |= ring_release(s, &locks, LIST_FIRST(&s->rings));
	for (uint32_t handle = 0; handle < HVSHARE_MAPTRACK; handle++)
		if (s->me->map[handle].used)
			released |= page_unpin(s, &locks, handle);
	done(s, &locks, released);
}

/* ---- copy ---- */

static inline bool in_page(const struct hv_copy_end *end, uint16_t len)
{
	return end->offset + len <= SLUICE_PAGE_SIZE;
}

static inline int16_t end_begin(const struct hv_sluice *s, const struct hv_copy_end *end, bool readonly, struct hvshare_use *use)
{
	return hvshare_grant_begin(&s->view, end->domid, end->gref, 0, readonly, use);
}

static inline uint8_t *end_at(const struct hv_sluice *s, const struct hv_copy_end *end, const struct hvshare_use *use)
{
	return hvshare_page(&s->view, use->mfn) + end->offset;
}

static inline const struct hv_copy_end *guest_end(const struct hv_copy_op *op)
{
	return op->src.local ? &op->dst : &op->src;
}

/* Is this copy between our memory and a page of that guest, in this direction? */
static inline bool is_alike(const struct hv_copy_op *op, domid_t domid, bool out)
{
	return !op->src.local == !out && !op->dst.local == out && guest_end(op)->domid == domid;
}

/*
 * From the first of n on while they are alike, its lock held: nearly every copy is in such a run. First all entries are checked and marked, then the bytes are moved, then the
 * marks taken off: a locked instruction waits for all stores before it, so none stands between two copies. How many.
 */
static inline __attribute__((always_inline)) unsigned copy_run(const struct hv_sluice *s, domid_t domid, struct hv_copy_op *ops, unsigned n, bool out)
{
	const struct hvshare_view view = s->view; /* a copy stays in registers, whatever is stored meanwhile */
	struct hvshare_use use[COPY_RUN];
	uint8_t *at[COPY_RUN];
	unsigned run;

	for (run = 0; run < n && is_alike(&ops[run], domid, out); run++) {
		const struct hv_copy_end *end = out ? &ops[run].dst : &ops[run].src;

		ops[run].status = in_page(end, ops[run].len) ? hvshare_grant_begin(&view, domid, end->gref, 0, !out, &use[run]) : GNTST_bad_copy_arg;
		if (ops[run].status != GNTST_okay)
			continue;
		at[run] = hvshare_page(&view, use[run].mfn) + end->offset;
		out ? shm_prefetch_write(at[run]) : shm_prefetch(at[run]);
	}
	for (unsigned i = 0; i < run; i++) {
		if (ops[i].status != GNTST_okay)
			continue;
		if (out)
			shm_copy_bulk(at[i], ops[i].src.local, ops[i].len);
		else
			shm_copy_bulk(ops[i].dst.local, at[i], ops[i].len);
	}
	for (unsigned i = 0; i < run; i++)
		if (ops[i].status == GNTST_okay)
			hvshare_grant_end(&use[i]);
	return run;
}

static unsigned refuse_run(domid_t domid, struct hv_copy_op *ops, unsigned n, bool out)
{
	unsigned run;

	for (run = 0; run < n && is_alike(&ops[run], domid, out); run++)
		ops[run].status = in_page(guest_end(&ops[run]), ops[run].len) ? GNTST_bad_domain : GNTST_bad_copy_arg;
	return run;
}

/* Copies between our memory and one guest's, from the first of n on. How many. */
static unsigned copy_with_guest(struct hv_sluice *s, struct hvshare_locks *locks, struct hv_copy_op *ops, unsigned n)
{
	bool out = ops->src.local;
	domid_t domid = guest_end(ops)->domid;
	unsigned run;

	if (locks->uses + n > HVSHARE_BATCH_UNDER_LOCK)
		hvshare_locks_drop(&s->view, locks);
	if (domid == HVSHARE_NO_DOMAIN || !lock_domains(s, locks, domid, HVSHARE_NO_DOMAIN))
		return refuse_run(domid, ops, n, out);
	run = out ? copy_run(s, domid, ops, n, true) : copy_run(s, domid, ops, n, false);
	locks->uses += run - 1;
	return run;
}

/* The two may be one page (a guest that talks to itself), so they may overlap. */
static int16_t copy_between_guests(struct hv_sluice *s, struct hvshare_locks *locks, const struct hv_copy_op *op)
{
	struct hvshare_use from, to;
	int16_t status;

	if (!in_page(&op->src, op->len) || !in_page(&op->dst, op->len))
		return GNTST_bad_copy_arg;
	if (op->src.domid == HVSHARE_NO_DOMAIN || op->dst.domid == HVSHARE_NO_DOMAIN || !lock_domains(s, locks, op->src.domid, op->dst.domid))
		return GNTST_bad_domain;
	status = end_begin(s, &op->src, true, &from);
	if (status != GNTST_okay)
		return status;
	status = end_begin(s, &op->dst, false, &to);
	if (status == GNTST_okay) {
		__builtin_memmove(end_at(s, &op->dst, &to), end_at(s, &op->src, &from), op->len);
		hvshare_grant_end(&to);
	}
	hvshare_grant_end(&from);
	return status;
}

/* A copy that is in no run. */
static int16_t copy_one(struct hv_sluice *s, struct hvshare_locks *locks, const struct hv_copy_op *op)
{
	if (!op->src.local)
		return copy_between_guests(s, locks, op);
	shm_copy_bulk(op->dst.local, op->src.local, op->len);
	return GNTST_okay;
}

int hv_sluice_copy(struct hv *hv, struct hv_copy_op *ops, unsigned n)
{
	struct hv_sluice *s = hv_sluice_of(hv);
	struct hvshare_locks locks = {.uses = 0};

	for (unsigned i = 0, run; i < n; i += run) {
		if (!ops[i].src.local != !ops[i].dst.local) {
			run = copy_with_guest(s, &locks, &ops[i], n - i < COPY_RUN ? n - i : COPY_RUN);
		} else {
			ops[i].status = copy_one(s, &locks, &ops[i]);
			run = 1;
		}
	}
	hvshare_locks_drop(&s->view, &locks);
	return 0;
}
