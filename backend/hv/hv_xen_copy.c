/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grant copies on Xen, in batches: one system call and one hypercall for many, with Xen's own status for each. There are two ways. Of an end that is ours, Xen wants the
 * machine's frame number. We know that of the memory for devices (hv_xen_dma.c) and of no other: copies between it and a guest, or between two guests, are hypercalls of our
 * own (privcmd). All others go through gntdev, which pins our pages one by one to find out their frames. It cannot do that with memory for devices.
 */
#include "hv_xen_private.h"

#include <errno.h>
#include <string.h>
#include <xencall.h>

#include "backend/log.h"

/* What one call does: segments for gntdev, pieces for Xen, and for each which operation it belongs to. */
struct batch {
	unsigned nr_segs, nr_pieces;
	uint16_t op_of_seg[XEN_COPY_BATCH], op_of_piece[XEN_COPY_PIECES];
	xengnttab_grant_copy_segment_t seg[XEN_COPY_BATCH];
	struct gnttab_copy *piece;
};

/* ---- memory for hypercalls ---- */

int hv_xen_copy_init(struct hv_xen *x)
{
	x->xcall = xencall_open(&hv_xen_quiet, 0);
	if (!x->xcall)
		return errno ? -errno : -EIO;
	for (unsigned i = 0; i < XEN_COPIERS; i++) {
		x->copier[i].piece = xencall_alloc_buffer(x->xcall, XEN_COPY_PIECES * sizeof(struct gnttab_copy));
		if (!x->copier[i].piece)
			return -ENOMEM;
	}
	return 0;
}

void hv_xen_copy_fini(struct hv_xen *x)
{
	for (unsigned i = 0; i < XEN_COPIERS; i++) {
		if (x->copier[i].piece)
			xencall_free_buffer(x->xcall, x->copier[i].piece);
		x->copier[i].piece = NULL;
	}
	if (x->xcall)
		xencall_close(x->xcall);
	x->xcall = NULL;
}

/* One that no other thread uses now; there are as many as a back end has threads, as a rule. */
static struct xen_copier *take_copier(struct hv_xen *x)
{
	for (unsigned i = 0; i < XEN_COPIERS; i++)
		if (pthread_mutex_trylock(&x->copier[i].lock) == 0)
			return &x->copier[i];
	pthread_mutex_lock(&x->copier[0].lock);
	return &x->copier[0];
}

/* ---- one operation ---- */

static int16_t end_status(const struct hv_xen *x, const struct hv_copy_end *end, uint16_t len)
{
	if (end->local)
		return GNTST_okay;
	if (end->offset + len > SLUICE_PAGE_SIZE)
		return GNTST_bad_copy_arg;
	return hv_xen_foreign(x, end->domid) ? GNTST_okay : GNTST_bad_domain;
}

static uint16_t copy_flags(const struct hv_copy_op *op)
{
	return (uint16_t)((op->src.local ? 0 : GNTCOPY_source_gref) | (op->dst.local ? 0 : GNTCOPY_dest_gref));
}

static void put_seg_end(union xengnttab_copy_ptr *to, const struct hv_copy_end *end)
{
	if (end->local) {
		to->virt = end->local;
		return;
	}
	to->foreign.ref = end->gref;
	to->foreign.offset = end->offset;
	to->foreign.domid = end->domid;
}

static void put_seg(struct batch *b, const struct hv_copy_op *op, unsigned number)
{
	xengnttab_grant_copy_segment_t *seg = &b->seg[b->nr_segs];

	*seg = (xengnttab_grant_copy_segment_t){.len = op->len, .flags = copy_flags(op), .status = GNTST_general_error};
	put_seg_end(&seg->source, &op->src);
	put_seg_end(&seg->dest, &op->dst);
	b->op_of_seg[b->nr_segs++] = (uint16_t)number;
}

/* The end of a piece that begins `done` bytes into the operation. */
static inline void put_piece_end(const struct hv_xen *x, struct gnttab_copy_ptr *to, const struct hv_copy_end *end, uint16_t done)
{
	uintptr_t at = (uintptr_t)end->local + done;

	if (end->local) {
		to->u.gmfn = hv_xen_dma_frame(x, at);
		to->domid = DOMID_SELF;
		to->offset = (uint16_t)(at % SLUICE_PAGE_SIZE);
		return;
	}
	to->u.ref = end->gref;
	to->domid = end->domid;
	to->offset = (uint16_t)(end->offset + done);
}

/* So many bytes of the operation, from `done` on. */
static inline void put_piece(const struct hv_xen *x, struct batch *b, const struct hv_copy_op *op, unsigned number, uint16_t done, uint16_t len, uint16_t flags)
{
	struct gnttab_copy *piece = &b->piece[b->nr_pieces];

	put_piece_end(x, &piece->source, &op->src, done);
	put_piece_end(x, &piece->dest, &op->dst, done);
	piece->len = len;
	piece->flags = flags;
	piece->status = GNTST_general_error;
	b->op_of_piece[b->nr_pieces++] = (uint16_t)number;
}

/* Xen copies within a page at either end. A granted end is in one, ours may cross into a second. */
static void put_pieces(const struct hv_xen *x, struct batch *b, const struct hv_copy_op *op, unsigned number)
{
	const void *local = op->src.local ? op->src.local : op->dst.local;
	uint16_t done = 0, len;

	do {
		len = (uint16_t)(op->len - done);
		if (local && len > SLUICE_PAGE_SIZE - ((uintptr_t)local + done) % SLUICE_PAGE_SIZE)
			len = (uint16_t)(SLUICE_PAGE_SIZE - ((uintptr_t)local + done) % SLUICE_PAGE_SIZE);
		put_piece(x, b, op, number, done, len, copy_flags(op));
		done = (uint16_t)(done + len);
	} while (done < op->len);
}

/* May Xen do it without Linux? */
static bool is_direct(const struct hv_xen *x, const struct hv_copy_op *op)
{
	const void *local = op->src.local ? op->src.local : op->dst.local;

	return x->xcall && (!local || hv_xen_in_dma(x, local, op->len));
}

/* What a netback does for each page: all of it within a page at either end, from the one domain's to ours for devices. False: it is not that, or not in order, and nothing was done. */
static inline bool put_page(const struct hv_xen *x, struct batch *b, struct hv_copy_op *op, unsigned number)
{
	if (op->src.local || !x->xcall || !hv_xen_in_dma(x, op->dst.local, op->len) || (uintptr_t)op->dst.local % SLUICE_PAGE_SIZE + op->len > SLUICE_PAGE_SIZE ||
	    op->src.offset + op->len > SLUICE_PAGE_SIZE || !hv_xen_foreign(x, op->src.domid))
		return false;
	op->status = GNTST_okay;
	put_piece(x, b, op, number, 0, op->len, GNTCOPY_source_gref);
	return true;
}

/* Into the batch, unless its status is final already. gntdev drops a whole batch for one segment that leaves its page or has no granted end. */
static void prepare(const struct hv_xen *x, struct batch *b, struct hv_copy_op *op, unsigned number)
{
	if (put_page(x, b, op, number))
		return;
	op->status = end_status(x, &op->src, op->len);
	if (op->status == GNTST_okay)
		op->status = end_status(x, &op->dst, op->len);
	if (op->status != GNTST_okay)
		return;
	if (op->src.local && op->dst.local)
		memmove(op->dst.local, op->src.local, op->len);
	else if (is_direct(x, op))
		put_pieces(x, b, op, number);
	else
		put_seg(b, op, number);
}

/* ---- a batch ---- */

/* Operations begin as GNTST_okay: the first piece that is not says what became of the whole. */
static int run_pieces(struct hv_xen *x, const struct batch *b, struct hv_copy_op *ops)
{
	int16_t any = GNTST_okay;
	int rc = 0;

	errno = 0;
	if (b->nr_pieces && xencall3(x->xcall, __HYPERVISOR_grant_table_op, GNTTABOP_copy, (uintptr_t)b->piece, b->nr_pieces))
		rc = errno ? -errno : -EIO;
	for (unsigned i = 0; i < b->nr_pieces; i++)
		any = (int16_t)(any | b->piece[i].status);
	for (unsigned i = 0; (rc || any != GNTST_okay) && i < b->nr_pieces; i++)
		if (ops[b->op_of_piece[i]].status == GNTST_okay)
			ops[b->op_of_piece[i]].status = rc ? GNTST_general_error : b->piece[i].status;
	return rc;
}

static int run_segs(struct hv_xen *x, struct batch *b, struct hv_copy_op *ops)
{
	int rc = 0;

	errno = 0;
	if (b->nr_segs && xengnttab_grant_copy(x->gnttab, b->nr_segs, b->seg))
		rc = errno ? -errno : -EIO;
	for (unsigned i = 0; i < b->nr_segs; i++)
		ops[b->op_of_seg[i]].status = rc ? GNTST_general_error : b->seg[i].status;
	return rc;
}

static int copy_batch(struct hv_xen *x, struct hv_copy_op *ops, unsigned n)
{
	struct xen_copier *copier = x->xcall ? take_copier(x) : NULL;
	struct batch b;
	int rc, other;

	b.nr_segs = b.nr_pieces = 0;
	b.piece = copier ? copier->piece : NULL;
	for (unsigned i = 0; i < n; i++)
		prepare(x, &b, &ops[i], i);
	rc = run_pieces(x, &b, ops);
	if (copier)
		pthread_mutex_unlock(&copier->lock);
	other = run_segs(x, &b, ops);
	return rc ? rc : other;
}

int hv_xen_copy(struct hv *hv, struct hv_copy_op *ops, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; i < n; i += XEN_COPY_BATCH) {
		int one = copy_batch(hv_xen_of(hv), &ops[i], n - i < XEN_COPY_BATCH ? n - i : XEN_COPY_BATCH);

		rc = rc ? rc : one;
	}
	return rc;
}
