/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of static grants: see static_grants.h. */
#include "static_grants.h"
#include <errno.h>
#include <stdlib.h>

/* Made at the first use: most of it is never touched. */
static int table_make(struct static_grants *s)
{
	if (s->read)
		return 0;
	s->read = calloc(STATIC_GRANTS_GREFS, sizeof(*s->read));
	s->write = calloc(STATIC_GRANTS_GREFS, sizeof(*s->write));
	s->handle = calloc(STATIC_GRANTS_GREFS, sizeof(*s->handle));
	if (s->read && s->write && s->handle)
		return 0;
	free(s->read);
	free(s->write);
	free(s->handle);
	*s = (struct static_grants){.nr = 0};
	return -ENOMEM;
}

static bool is_mapped(const struct static_grants *s, gref_t gref)
{
	return static_grants_read(s, gref) != NULL;
}

static int list_check(const struct static_grants *s, const struct xen_netif_gref *list, unsigned n)
{
	if (n > STATIC_GRANTS_MAX - s->nr)
		return -ENOSPC;
	for (unsigned i = 0; i < n; i++)
		if (list[i].ref >= STATIC_GRANTS_GREFS || list[i].flags & ~XEN_NETIF_CTRLF_GREF_readonly || is_mapped(s, list[i].ref))
			return -EINVAL;
	return 0;
}

static int map_all(struct hv *hv, domid_t domid, struct static_grants_batch *b, unsigned n)
{
	int rc;

	for (unsigned i = 0; i < n; i++)
		b->map[i] = (struct hv_map_op){.domid = domid, .gref = b->list[i].ref, .readonly = b->list[i].flags & XEN_NETIF_CTRLF_GREF_readonly,
					       .status = GNTST_general_error};
	rc = hv->ops->map(hv, b->map, n);
	for (unsigned i = 0; rc == 0 && i < n; i++)
		if (b->map[i].status != GNTST_okay)
			rc = -EINVAL;
	return rc;
}

static void unmap_all(struct hv *hv, struct static_grants_batch *b, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		if (b->map[i].status == GNTST_okay)
			b->unmap[k++] = (struct hv_unmap_op){.va = b->map[i].va, .handle = b->map[i].handle};
	if (k > 0)
		hv->ops->unmap(hv, b->unmap, k);
}

static void entry_clear(struct static_grants *s, gref_t gref)
{
	s->read[gref] = s->write[gref] = NULL;
	s->nr--;
}

/* Enter what was mapped. -EINVAL when the list names a page twice: then nothing of it is entered. */
static int enter_all(struct static_grants *s, const struct static_grants_batch *b, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		gref_t gref = b->list[i].ref;

		if (s->read[gref]) {
			while (i-- > 0)
				entry_clear(s, b->list[i].ref);
			return -EINVAL;
		}
		s->read[gref] = b->map[i].va;
		s->write[gref] = b->map[i].readonly ? NULL : b->map[i].va;
		s->handle[gref] = b->map[i].handle;
		s->nr++;
		if (gref >= s->limit)
			s->limit = gref + 1;
	}
	return 0;
}

int static_grants_add(struct static_grants *s, struct hv *hv, domid_t domid, struct static_grants_batch *b, unsigned n)
{
	int rc = list_check(s, b->list, n);

	if (rc == 0)
		rc = table_make(s);
	if (rc)
		return rc;
	rc = map_all(hv, domid, b, n);
	if (rc == 0)
		rc = enter_all(s, b, n);
	if (rc)
		unmap_all(hv, b, n);
	return rc;
}

/* Out of the table, and ready to be unmapped. */
static struct hv_unmap_op entry_take(struct static_grants *s, gref_t gref)
{
	struct hv_unmap_op op = {.va = static_grants_read(s, gref), .handle = s->handle[gref]};

	entry_clear(s, gref);
	return op;
}

unsigned static_grants_del(struct static_grants *s, struct hv *hv, struct static_grants_batch *b, unsigned n)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++) {
		bool mapped = is_mapped(s, b->list[i].ref);

		b->list[i].status = mapped ? XEN_NETIF_CTRL_STATUS_SUCCESS : XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
		if (mapped)
			b->unmap[k++] = entry_take(s, b->list[i].ref);
	}
	if (k > 0)
		hv->ops->unmap(hv, b->unmap, k);
	return k;
}

void static_grants_fini(struct static_grants *s, struct hv *hv, struct static_grants_batch *b)
{
	unsigned k = 0;

	for (gref_t gref = 0; gref < s->limit; gref++) {
		if (s->read[gref])
			b->unmap[k++] = entry_take(s, gref);
		if (k == NET_CTRL_GREFS_MAX || (k > 0 && s->nr == 0)) {
			hv->ops->unmap(hv, b->unmap, k);
			k = 0;
		}
	}
	free(s->read);
	free(s->write);
	free(s->handle);
	*s = (struct static_grants){.nr = 0};
}
