/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GNTTABOP_copy: each end is a granted page, or a frame of the caller's own. The grant_locks stay held over the operations of a batch that
 * need the same ones; hv_lock keeps the caller's own frames as they are meanwhile.
 */
#include "grant_private.h"

/* Which domain's lock an end needs; false: it names no domain that can be copied with. */
static bool end_domain(const struct vcpu *v, const struct gnttab_copy_ptr *end, bool by_gref, domid_t *domid)
{
	if (by_gref)
		return grant_granter(v, end->domid, domid);
	*domid = v->domain->domid;
	return grant_is_self(v, end->domid);
}

static int16_t end_begin(const struct hvshare_view *w, const struct vcpu *v, const struct gnttab_copy_ptr *end, domid_t domid,
                         bool by_gref, bool readonly, struct hvshare_use *use)
{
	if (by_gref)
		return hvshare_grant_begin(w, domid, end->u.ref, v->domain->domid, readonly, use);
	*use = (struct hvshare_use){.mfn = end->u.gmfn}; /* no entry that shows it */
	return end->u.gmfn < HVSHARE_ALL_FRAMES && hvshare_frame_grantable(w->share, domid, (uint32_t)end->u.gmfn, readonly) ? GNTST_okay
	                                                                                                             : GNTST_bad_page;
}

static int16_t copy_locked(const struct hvshare_view *w, const struct vcpu *v, const struct gnttab_copy *op, domid_t src, domid_t dst)
{
	bool src_gref = op->flags & GNTCOPY_source_gref, dst_gref = op->flags & GNTCOPY_dest_gref;
	struct hvshare_use from, to;
	int16_t status = end_begin(w, v, &op->source, src, src_gref, true, &from);

	if (status != GNTST_okay)
		return status;
	status = end_begin(w, v, &op->dest, dst, dst_gref, false, &to);
	if (status == GNTST_okay) {
		__builtin_memmove(hvshare_page(w, to.mfn) + op->dest.offset, hvshare_page(w, from.mfn) + op->source.offset, op->len);
		hvshare_grant_end(&to);
	}
	hvshare_grant_end(&from);
	return status;
}

static int16_t copy_one(const struct hvshare_view *w, struct hvshare_locks *locks, const struct vcpu *v, const struct gnttab_copy *op)
{
	domid_t src, dst;

	if (op->source.offset + op->len > SLUICE_PAGE_SIZE || op->dest.offset + op->len > SLUICE_PAGE_SIZE)
		return GNTST_bad_copy_arg;
	if (!end_domain(v, &op->source, op->flags & GNTCOPY_source_gref, &src))
		return op->flags & GNTCOPY_source_gref ? GNTST_bad_domain : GNTST_permission_denied;
	if (!end_domain(v, &op->dest, op->flags & GNTCOPY_dest_gref, &dst))
		return op->flags & GNTCOPY_dest_gref ? GNTST_bad_domain : GNTST_permission_denied;
	hvshare_locks_want(w, locks, src, dst);
	return copy_locked(w, v, op, src, dst);
}

long grant_op_copy(struct vcpu *v, gva_t uops, unsigned count)
{
	const struct hvshare_view w = grant_view();
	struct hvshare_locks locks = {.uses = 0};
	struct gnttab_copy op;
	long rc = 0;

	for (unsigned i = 0; i < count && !rc; i++, uops += sizeof(op)) {
		if (get_guest(v, op, uops)) {
			rc = -EFAULT;
			break;
		}
		op.status = copy_one(&w, &locks, v, &op);
		if (put_guest(v, uops + offsetof(struct gnttab_copy, status), op.status))
			rc = -EFAULT;
		if (i % GRANT_OPS_PER_BREATH == GRANT_OPS_PER_BREATH - 1) {
			hvshare_locks_drop(&w, &locks);
			hv_lock_breathe();
		}
	}
	hvshare_locks_drop(&w, &locks);
	return rc;
}
