/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hv_fake, the in-process provider of hv.h: domains, their memory and grants. Event channels are in hv_fake_event.c, the store in hv_fake_store.c.
 * Used by tests only. A domain's memory is a memfd, so that a mapping of the back end is a mapping of its own: a read-only one cannot be written, and
 * touching one after unmap faults, as on Xen.
 */
#include "hv_fake_private.h"
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FAKE_MEMORY ((size_t)HV_FAKE_PAGES * SLUICE_PAGE_SIZE)

/* The entry behind a reference that the back end (domain 0) may use so; a GNTST_* otherwise. */
static int16_t grant_lookup(struct hv_fake *f, domid_t domid, gref_t gref, bool write, struct fake_domain **owner,
			    struct fake_grant **grant)
{
	struct fake_domain *d = fake_domain(f, domid);

	if (!d)
		return GNTST_bad_domain;
	if (gref >= HV_FAKE_GRANTS)
		return GNTST_bad_gntref;
	if (!d->grant[gref].used || d->grant[gref].to != 0)
		return GNTST_general_error;
	if (write && d->grant[gref].readonly)
		return GNTST_general_error;
	*owner = d;
	*grant = &d->grant[gref];
	return GNTST_okay;
}

static struct fake_mapping *mapping_alloc(struct hv_fake *f)
{
	for (unsigned i = 0; i < FAKE_MAPTRACK; i++)
		if (!f->mapping[i].owner)
			return &f->mapping[i];
	return NULL;
}

/* at: where, with its room reserved, or NULL for anywhere. */
static int16_t map_one(struct hv_fake *f, struct hv_map_op *op, void *at)
{
	struct fake_mapping *m = mapping_alloc(f);
	struct fake_domain *d;
	struct fake_grant *g;
	int16_t status = grant_lookup(f, op->domid, op->gref, !op->readonly, &d, &g);

	if (status != GNTST_okay)
		return status;
	if (!m)
		return GNTST_no_device_space;
	op->va = mmap(at, SLUICE_PAGE_SIZE, op->readonly ? PROT_READ : PROT_READ | PROT_WRITE,
		      MAP_SHARED | (at ? MAP_FIXED : 0), d->memfd, (off_t)g->page * SLUICE_PAGE_SIZE);
	if (op->va == MAP_FAILED) {
		op->va = NULL;
		return GNTST_no_device_space;
	}
	g->pins++;
	*m = (struct fake_mapping){.owner = d, .gref = op->gref, .ring = at != NULL, .va = op->va};
	op->handle = (uint32_t)(m - f->mapping);
	return GNTST_okay;
}

static void mapping_free(struct fake_mapping *m)
{
	munmap(m->va, SLUICE_PAGE_SIZE);
	m->owner->grant[m->gref].pins--;
	*m = (struct fake_mapping){0};
}

static int fake_map(struct hv *hv, struct hv_map_op *ops, unsigned n)
{
	struct hv_fake *f = fake_lock(hv);

	for (unsigned i = 0; i < n; i++) {
		ops[i].va = NULL;
		ops[i].handle = 0;
		ops[i].status = (int16_t)fake_called(f, HV_FAKE_MAP);
		if (ops[i].status == GNTST_okay)
			ops[i].status = map_one(f, &ops[i], NULL);
	}
	fake_unlock(f);
	return 0;
}

static int fake_unmap(struct hv *hv, struct hv_unmap_op *ops, unsigned n)
{
	struct hv_fake *f = fake_lock(hv);

	for (unsigned i = 0; i < n; i++) {
		struct fake_mapping *m = ops[i].handle < FAKE_MAPTRACK ? &f->mapping[ops[i].handle] : NULL;

		ops[i].status = (int16_t)fake_called(f, HV_FAKE_UNMAP);
		if (ops[i].status != GNTST_okay)
			continue;
		if (m && m->owner && m->va == ops[i].va && !m->ring)
			mapping_free(m);
		else
			ops[i].status = GNTST_bad_handle;
	}
	fake_unlock(f);
	return 0;
}

static void ring_unmap(struct hv_fake *f, const uint8_t *va, unsigned n)
{
	for (unsigned i = 0; i < FAKE_MAPTRACK; i++) {
		struct fake_mapping *m = &f->mapping[i];

		if (m->owner && m->ring && (uint8_t *)m->va >= va && (uint8_t *)m->va < va + (size_t)n * SLUICE_PAGE_SIZE)
			mapping_free(m);
	}
}

static int fake_map_ring(struct hv *hv, domid_t domid, const gref_t *grefs, unsigned n, void **va)
{
	struct hv_fake *f = fake_lock(hv);
	size_t size = (size_t)n * SLUICE_PAGE_SIZE;
	uint8_t *base = MAP_FAILED;
	int rc = fake_called(f, HV_FAKE_MAP_RING);

	if (rc == 0 && n > 0)
		base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rc == 0 && base == MAP_FAILED)
		rc = n > 0 ? -ENOMEM : -EINVAL;
	for (unsigned i = 0; rc == 0 && i < n; i++) {
		struct hv_map_op op = {.domid = domid, .gref = grefs[i]};

		if (map_one(f, &op, base + (size_t)i * SLUICE_PAGE_SIZE) != GNTST_okay)
			rc = -EINVAL;
	}
	if (rc != 0 && base != MAP_FAILED) {
		ring_unmap(f, base, n);
		munmap(base, size);
	}
	fake_unlock(f);
	*va = rc == 0 ? base : NULL;
	return rc;
}

static void fake_unmap_ring(struct hv *hv, void *va, unsigned n)
{
	struct hv_fake *f = fake_lock(hv);

	fake_called(f, HV_FAKE_UNMAP_RING);
	ring_unmap(f, va, n);
	fake_unlock(f);
}

/* One end of a copy as a pointer, or why not. */
static int16_t copy_end(struct hv_fake *f, const struct hv_copy_end *end, uint16_t len, bool write, uint8_t **p)
{
	struct fake_domain *d;
	struct fake_grant *g;
	int16_t status;

	if (end->local) {
		*p = end->local;
		return GNTST_okay;
	}
	if ((uint32_t)end->offset + len > SLUICE_PAGE_SIZE)
		return GNTST_bad_copy_arg;
	status = grant_lookup(f, end->domid, end->gref, write, &d, &g);
	if (status == GNTST_okay)
		*p = d->memory + (size_t)g->page * SLUICE_PAGE_SIZE + end->offset;
	return status;
}

static void copy_one(struct hv_fake *f, struct hv_copy_op *op)
{
	uint8_t *src, *dst;

	op->status = (int16_t)fake_called(f, HV_FAKE_COPY);
	if (op->status == GNTST_okay)
		op->status = copy_end(f, &op->src, op->len, false, &src);
	if (op->status == GNTST_okay)
		op->status = copy_end(f, &op->dst, op->len, true, &dst);
	if (op->status == GNTST_okay)
		memmove(dst, src, op->len);
}

static int fake_copy(struct hv *hv, struct hv_copy_op *ops, unsigned n)
{
	struct hv_fake *f = fake_lock(hv);
	int rc = fake_called(f, HV_FAKE_COPY_BATCH);

	for (unsigned i = 0; rc == 0 && i < n; i++)
		copy_one(f, &ops[i]);
	fake_unlock(f);
	return rc;
}

/* ---- domains ---- */

static void domain_free(struct hv_fake *f, struct fake_domain *d)
{
	TAILQ_REMOVE(&f->domains, d, next);
	munmap(d->memory, FAKE_MEMORY);
	close(d->memfd);
	free(d);
}

int hv_fake_domain_create(struct hv *hv, domid_t domid)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = NULL;
	char path[64];
	int rc = domid == 0 || domid >= FAKE_DOMAINS ? -EINVAL : f->domain[domid] ? -EEXIST : 0;

	if (rc)
		goto out;
	rc = -ENOMEM;
	d = calloc(1, sizeof(*d));
	if (!d)
		goto out;
	d->domid = domid;
	d->memfd = memfd_create("hv_fake", MFD_CLOEXEC);
	if (d->memfd < 0 || ftruncate(d->memfd, (off_t)FAKE_MEMORY) != 0)
		goto undo;
	d->memory = mmap(NULL, FAKE_MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, d->memfd, 0);
	if (d->memory == MAP_FAILED)
		goto undo;
	f->domain[domid] = d;
	TAILQ_INSERT_TAIL(&f->domains, d, next);
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	rc = fake_store_set(&f->store, path, "");
	goto out;
undo:
	if (d->memfd >= 0)
		close(d->memfd);
	free(d);
out:
	fake_unlock(f);
	return rc;
}

void hv_fake_domain_destroy(struct hv *hv, domid_t domid)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = fake_domain(f, domid);
	char path[64];

	if (d) {
		f->domain[domid] = NULL;
		d->dead = true;
		fake_ports_of_domain_close(f, d);
		snprintf(path, sizeof(path), "/local/domain/%u", domid);
		fake_store_remove(&f->store, path);
	}
	fake_unlock(f);
}

void *hv_fake_pages_alloc(struct hv *hv, domid_t domid, unsigned n)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = fake_domain(f, domid);
	void *page = NULL;

	if (d && n <= HV_FAKE_PAGES - d->pages) {
		page = d->memory + (size_t)d->pages * SLUICE_PAGE_SIZE;
		d->pages += n;
	}
	fake_unlock(f);
	return page;
}

int hv_fake_grant(struct hv *hv, domid_t from, domid_t to, const void *page, bool readonly, gref_t *gref)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = fake_domain(f, from);
	size_t at = d ? (size_t)((const uint8_t *)page - d->memory) : 0;
	int rc = -EINVAL;

	if (!d || at >= FAKE_MEMORY || at % SLUICE_PAGE_SIZE)
		goto out;
	rc = -ENOSPC;
	for (gref_t i = HV_FAKE_FIRST_GREF; i < HV_FAKE_GRANTS; i++) {
		if (d->grant[i].used)
			continue;
		d->grant[i] = (struct fake_grant){.used = true, .readonly = readonly, .to = to,
						  .page = (unsigned)(at / SLUICE_PAGE_SIZE)};
		*gref = i;
		rc = 0;
		break;
	}
out:
	fake_unlock(f);
	return rc;
}

int hv_fake_grant_end(struct hv *hv, domid_t from, gref_t gref)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = fake_domain(f, from);
	int rc = -ENOENT;

	if (d && gref < HV_FAKE_GRANTS && d->grant[gref].used) {
		rc = d->grant[gref].pins ? -EBUSY : 0;
		if (rc == 0)
			d->grant[gref] = (struct fake_grant){0};
	}
	fake_unlock(f);
	return rc;
}

unsigned hv_fake_grant_busy(struct hv *hv, domid_t from, gref_t gref)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = fake_domain(f, from);
	unsigned pins = d && gref < HV_FAKE_GRANTS ? d->grant[gref].pins : 0;

	fake_unlock(f);
	return pins;
}

/* ---- faults and counters ---- */

void hv_fake_fail(struct hv *hv, enum hv_fake_call call, unsigned nth, int rc)
{
	struct hv_fake *f = fake_lock(hv);

	f->fault[call] = (struct fake_fault){.in = nth, .rc = rc};
	fake_unlock(f);
}

uint64_t hv_fake_count(struct hv *hv, enum hv_fake_call call)
{
	struct hv_fake *f = fake_lock(hv);
	uint64_t n = f->count[call];

	fake_unlock(f);
	return n;
}

unsigned hv_fake_mapped(struct hv *hv)
{
	struct hv_fake *f = fake_lock(hv);
	unsigned n = 0;

	for (unsigned i = 0; i < FAKE_MAPTRACK; i++)
		n += f->mapping[i].owner != NULL;
	fake_unlock(f);
	return n;
}

unsigned hv_fake_bound(struct hv *hv)
{
	struct hv_fake *f = fake_lock(hv);
	unsigned n = 0;

	for (unsigned i = 0; i < HV_FAKE_PORTS; i++)
		n += f->port[i].channel != NULL;
	fake_unlock(f);
	return n;
}

/* ---- open and close ---- */

static void fake_close(struct hv *hv)
{
	struct hv_fake *f = (struct hv_fake *)hv;

	if (!f)
		return;
	fake_lock(hv);
	for (unsigned i = 0; i < FAKE_MAPTRACK; i++)
		if (f->mapping[i].owner)
			mapping_free(&f->mapping[i]);
	fake_events_destroy(f);
	while (!TAILQ_EMPTY(&f->domains))
		domain_free(f, TAILQ_FIRST(&f->domains));
	fake_store_destroy(&f->store);
	fake_unlock(f);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static unsigned fake_caps(struct hv *hv)
{
	(void)hv;
	return HV_CAP_FAST_COPY;
}

static const struct hv_ops fake_ops = {
	.name = "fake",
	.close = fake_close,
	.caps = fake_caps,
	.map = fake_map,
	.unmap = fake_unmap,
	.map_ring = fake_map_ring,
	.unmap_ring = fake_unmap_ring,
	.copy = fake_copy,
	.evtchn_open = fake_evtchn_open,
	.evtchn_close = fake_evtchn_close,
	.evtchn_fd = fake_evtchn_fd,
	.evtchn_bind = fake_evtchn_bind,
	.evtchn_unbind = fake_evtchn_unbind,
	.evtchn_notify = fake_evtchn_notify,
	.evtchn_pending = fake_evtchn_pending,
	.store_read = fake_store_read,
	.store_write = fake_store_write,
	.store_rm = fake_store_rm,
	.store_directory = fake_store_directory,
	.txn_start = fake_txn_start,
	.txn_end = fake_txn_end,
	.store_watch = fake_store_watch,
	.store_unwatch = fake_store_unwatch,
	.store_fd = fake_store_fd,
	.store_event = fake_store_event,
};

int hv_fake_open(struct hv **out)
{
	struct hv_fake *f = calloc(1, sizeof(*f));
	int rc;

	if (!f)
		return -ENOMEM;
	f->base.ops = &fake_ops;
	pthread_mutex_init(&f->lock, NULL);
	TAILQ_INIT(&f->domains);
	TAILQ_INIT(&f->channels);
	rc = fake_store_init(&f->store);
	if (rc) {
		pthread_mutex_destroy(&f->lock);
		free(f);
		return rc;
	}
	*out = &f->base;
	return 0;
}
