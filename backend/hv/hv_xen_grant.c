/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Mappings of grants on Xen through /dev/xen/gntdev. A single page is a mapping of its own (an ioctl, an mmap and a hypercall), so that it can be unmapped by itself.
 * Copies are hv_xen_copy.c's.
 */
#include "hv_xen_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backend/log.h"

int hv_xen_grant_init(struct hv_xen *x)
{
	int rc;

	x->gnttab = xengnttab_open(&hv_xen_quiet, 0);
	if (!x->gnttab) {
		rc = errno ? -errno : -EIO;
		backend_error("cannot open /dev/xen/gntdev: %s; load the module xen-gntdev, and run as root", strerror(-rc));
		return rc;
	}
	/* Newer kernels have one limit for all (gntdev's parameter `limit`) and refuse this; older ones need it. */
	xengnttab_set_max_grants(x->gnttab, XEN_MAPS);
	return 0;
}

/* Linux unmaps what is mapped when the device is closed and the memory is gone, which munmap does. */
void hv_xen_grant_fini(struct hv_xen *x)
{
	for (uint32_t i = 0; i < x->nr_maps; i++)
		if (x->map[i].va)
			xengnttab_unmap(x->gnttab, x->map[i].va, x->map[i].pages);
	free(x->map);
	if (x->gnttab)
		xengnttab_close(x->gnttab);
}

/* ---- handles ---- */

static bool maps_grow(struct hv_xen *x)
{
	uint32_t nr = x->nr_maps ? x->nr_maps * 2 : 64;
	struct xen_map *map = nr <= XEN_MAPS ? realloc(x->map, nr * sizeof(*map)) : NULL;

	if (!map)
		return false;
	for (uint32_t i = x->nr_maps; i < nr; i++)
		map[i] = (struct xen_map){.next_free = i + 1};
	x->map = map;
	x->nr_maps = nr; /* first_free was the old one, and is now the first of the new */
	return true;
}

static int handle_new(struct hv_xen *x, void *va, uint32_t pages, uint32_t *handle)
{
	bool room;

	pthread_mutex_lock(&x->lock);
	room = x->first_free < x->nr_maps || maps_grow(x);
	if (room) {
		*handle = x->first_free;
		x->first_free = x->map[*handle].next_free;
		x->map[*handle] = (struct xen_map){.va = va, .pages = pages};
	}
	pthread_mutex_unlock(&x->lock);
	return room ? 0 : -ENOSPC;
}

/* True when `handle` named this mapping; from now on it names none. */
static bool handle_end(struct hv_xen *x, uint32_t handle, const void *va, uint32_t pages)
{
	bool found;

	pthread_mutex_lock(&x->lock);
	found = va && handle < x->nr_maps && x->map[handle].va == va && x->map[handle].pages == pages;
	if (found) {
		x->map[handle] = (struct xen_map){.next_free = x->first_free};
		x->first_free = handle;
	}
	pthread_mutex_unlock(&x->lock);
	return found;
}

/* ---- map and unmap ---- */

/* gntdev does not tell why a mapping failed, but it passes on why Xen refuses to copy from a page. */
static int16_t why_refused(struct hv_xen *x, domid_t domid, gref_t gref)
{
	uint8_t byte;
	xengnttab_grant_copy_segment_t seg = {
		.source.foreign = {.ref = gref, .domid = domid}, .dest.virt = &byte, .len = 1, .flags = GNTCOPY_source_gref};

	if (xengnttab_grant_copy(x->gnttab, 1, &seg) || seg.status == GNTST_okay)
		return GNTST_general_error;
	return seg.status;
}

static void map_one(struct hv_xen *x, struct hv_map_op *op)
{
	op->va = NULL;
	op->status = GNTST_bad_domain;
	if (!hv_xen_foreign(x, op->domid))
		return;
	op->va = xengnttab_map_grant_ref(x->gnttab, op->domid, op->gref, op->readonly ? PROT_READ : PROT_READ | PROT_WRITE);
	if (!op->va) {
		op->status = why_refused(x, op->domid, op->gref);
		return;
	}
	op->status = GNTST_okay;
	if (handle_new(x, op->va, 1, &op->handle)) {
		xengnttab_unmap(x->gnttab, op->va, 1);
		op->va = NULL;
		op->status = GNTST_no_space;
	}
}

int hv_xen_map(struct hv *hv, struct hv_map_op *ops, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		map_one(hv_xen_of(hv), &ops[i]);
	return 0;
}

int hv_xen_unmap(struct hv *hv, struct hv_unmap_op *ops, unsigned n)
{
	struct hv_xen *x = hv_xen_of(hv);

	for (unsigned i = 0; i < n; i++) {
		bool ours = handle_end(x, ops[i].handle, ops[i].va, 1);

		ops[i].status = ours && xengnttab_unmap(x->gnttab, ops[i].va, 1) == 0 ? GNTST_okay : GNTST_bad_handle;
	}
	return 0;
}

int hv_xen_map_ring(struct hv *hv, domid_t domid, const gref_t *grefs, unsigned n, void **va)
{
	struct hv_xen *x = hv_xen_of(hv);
	uint32_t refs[XEN_RING_PAGES], handle;
	void *at;

	if (!n || n > XEN_RING_PAGES || !hv_xen_foreign(x, domid))
		return -EINVAL;
	memcpy(refs, grefs, n * sizeof(refs[0])); /* the library's argument is not const */
	at = xengnttab_map_domain_grant_refs(x->gnttab, n, domid, refs, PROT_READ | PROT_WRITE);
	if (!at)
		return errno == ENOMEM ? -ENOMEM : -EINVAL;
	if (handle_new(x, at, n, &handle)) {
		xengnttab_unmap(x->gnttab, at, n);
		return -ENOMEM;
	}
	*va = at;
	return 0;
}

/* Rings are few and their end is rare: a search will do. */
static uint32_t handle_of(struct hv_xen *x, const void *va)
{
	uint32_t handle = 0;

	pthread_mutex_lock(&x->lock);
	while (handle < x->nr_maps && x->map[handle].va != va)
		handle++;
	pthread_mutex_unlock(&x->lock);
	return handle;
}

void hv_xen_unmap_ring(struct hv *hv, void *va, unsigned n)
{
	struct hv_xen *x = hv_xen_of(hv);

	if (handle_end(x, handle_of(x, va), va, n))
		xengnttab_unmap(x->gnttab, va, n);
}
