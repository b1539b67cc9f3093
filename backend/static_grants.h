/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data ring's static grants: pages that a guest has granted once and for good and that stay mapped here (XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
 * xen/io/netif.h). A table from gref to address, one for each queue of a vif: netback_ctrl.c changes it in a pause of the other lcores (poller_pause), the data paths look up in it.
 */
#ifndef BACKEND_STATIC_GRANTS_H
#define BACKEND_STATIC_GRANTS_H

#include <rings/net_ctrl.h>
#include <sluice/hv.h>

#define STATIC_GRANTS_MAX 1024u    /* pages mapped for a queue */
#define STATIC_GRANTS_GREFS 65536u /* higher references are not taken: the table is indexed by them */

struct static_grants {
	gref_t limit;     /* one above the highest reference that was ever added; 0: none */
	unsigned nr;
	uint8_t **read;   /* by gref: where the page is; NULL: not mapped */
	uint8_t **write;  /* the same of those that may be written */
	uint32_t *handle; /* by gref: the name of that mapping */
};

/* Scratch of one message, shared by all vifs. */
struct static_grants_batch {
	struct xen_netif_gref list[NET_CTRL_GREFS_MAX]; /* the private copy */
	struct hv_map_op map[NET_CTRL_GREFS_MAX];
	struct hv_unmap_op unmap[NET_CTRL_GREFS_MAX];
};

/* Map the first n of b->list, all or none. -EINVAL: one of them is there already, twice in the list, not granted to us or too high; -ENOSPC, -ENOMEM. */
int static_grants_add(struct static_grants *s, struct hv *hv, domid_t domid, struct static_grants_batch *b, unsigned n);

/* Unmap those of the first n that are mapped; each entry's status says whether it was. Returns how many. */
unsigned static_grants_del(struct static_grants *s, struct hv *hv, struct static_grants_batch *b, unsigned n);

/* Unmap everything. */
void static_grants_fini(struct static_grants *s, struct hv *hv, struct static_grants_batch *b);

/* Where the page is, to be read; NULL when it is not in the table: then a grant copy finds out what the reference is worth. */
static inline uint8_t *static_grants_read(const struct static_grants *s, gref_t gref)
{
	return gref < s->limit ? s->read[gref] : NULL;
}

/* The same, to be written. */
static inline uint8_t *static_grants_write(const struct static_grants *s, gref_t gref)
{
	return gref < s->limit ? s->write[gref] : NULL;
}

#endif
