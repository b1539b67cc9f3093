/* SPDX-License-Identifier: BSD-3-Clause */
/* A batch of grant copies: gathered for a whole burst, done in one call, looked at one by one. Used by netback. */
#ifndef BACKEND_GRANTS_H
#define BACKEND_GRANTS_H

#include <sluice/hv.h>

#define COPY_BATCH_OPS 512u

struct copy_batch {
	unsigned n;
	struct hv_copy_op op[COPY_BATCH_OPS];
};

static inline unsigned copy_batch_room(const struct copy_batch *b)
{
	return COPY_BATCH_OPS - b->n;
}

/* From a guest's page. The caller has made sure of the room, and that offset + len stays within the page. */
static inline void copy_batch_in(struct copy_batch *b, domid_t domid, gref_t gref, uint16_t offset, void *dst, uint16_t len)
{
	struct hv_copy_op *op = &b->op[b->n++];

	op->src.local = NULL;
	op->src.domid = domid;
	op->src.gref = gref;
	op->src.offset = offset;
	op->dst.local = dst; /* its other fields count for nothing then */
	op->len = len;
}

/* Into a guest's page; as above. The source is only read. */
static inline void copy_batch_out(struct copy_batch *b, domid_t domid, gref_t gref, uint16_t offset, const void *src, uint16_t len)
{
	struct hv_copy_op *op = &b->op[b->n++];

	op->src.local = (void *)(uintptr_t)src;
	op->dst.local = NULL;
	op->dst.domid = domid;
	op->dst.gref = gref;
	op->dst.offset = offset;
	op->len = len;
}

/* Do them all; afterwards each has its status. When the call as a whole fails, each has failed. */
void copy_batch_run(struct copy_batch *b, struct hv *hv);

/* Did the n operations from `first` on all succeed? */
static inline bool copy_batch_ok(const struct copy_batch *b, unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++)
		if (b->op[i].status != GNTST_okay)
			return false;
	return true;
}

#endif
