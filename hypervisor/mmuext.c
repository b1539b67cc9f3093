/* SPDX-License-Identifier: BSD-3-Clause */
/* mmuext_op: pinning tables, changing roots, flushes, whole-page operations (hypercall.c calls in). */
#include <errno.h>
#include <string.h>

#include "guest_access.h"
#include "mmu_state.h"

#define MMUEXT_COUNT_MAX 65536u
#define LDT_ENTRIES_MAX 8192u

static int pin(struct domain *d, mfn_t mfn, unsigned level)
{
	int rc = page_get_type(d, mfn, (enum page_type)level);

	if (rc)
		return rc;
	if (page_of(mfn)->flags & PAGE_PINNED) {
		page_put_type(d, mfn);
		return -EINVAL;
	}
	page_of(mfn)->flags |= PAGE_PINNED;
	return 0;
}

static int unpin(struct domain *d, mfn_t mfn)
{
	if (!page_is_own(d, mfn))
		return -EPERM;
	if (!(page_of(mfn)->flags & PAGE_PINNED))
		return -EINVAL;
	page_of(mfn)->flags &= ~PAGE_PINNED;
	page_put_type(d, mfn);
	return 0;
}

static int new_root(struct vcpu *v, mfn_t mfn)
{
	mfn_t old = v->cr3;
	int rc = page_get_type(v->domain, mfn, PAGE_L4);

	if (rc)
		return rc;
	v->cr3 = mfn;
	if (mfn != old)
		tlb_flush_all(v);
	page_put_type(v->domain, old);
	return 0;
}

/* The root for user mode, which Xen switches to when the kernel returns there; 0 takes it away. */
static int new_user_root(struct domain *d, mfn_t mfn)
{
	mfn_t old = d->mmu->user_root;
	int rc = mfn ? page_get_type(d, mfn, PAGE_L4) : 0;

	if (rc)
		return rc;
	d->mmu->user_root = mfn;
	if (old)
		page_put_type(d, old);
	return 0;
}

/* Write a whole page of the guest's. src: 0 to clear it. */
static int fill_page(struct domain *d, mfn_t dst, mfn_t src)
{
	int rc = src && !page_is_own(d, src) ? -EPERM : page_get_type(d, dst, PAGE_WRITABLE);

	if (rc)
		return rc;
	if (src)
		memmove(machine_ptr(dst), machine_ptr(src), SLUICE_PAGE_SIZE);
	else
		memset(machine_ptr(dst), 0, SLUICE_PAGE_SIZE);
	page_put_type(d, dst);
	return 0;
}

/* The process engine loads no LDT: selectors of one fault there, as those of an empty LDT do. So it is only checked, not kept. */
static int set_ldt(gva_t base, unsigned entries)
{
	return base % SLUICE_PAGE_SIZE || entries > LDT_ENTRIES_MAX ? -EINVAL : 0;
}

static int ext_one(struct vcpu *v, const struct mmuext_op *op)
{
	struct domain *d = v->domain;

	switch (op->cmd) {
	case MMUEXT_PIN_L1_TABLE:
	case MMUEXT_PIN_L2_TABLE:
	case MMUEXT_PIN_L3_TABLE:
	case MMUEXT_PIN_L4_TABLE:
		return pin(d, op->arg1.mfn, op->cmd - MMUEXT_PIN_L1_TABLE + 1);
	case MMUEXT_UNPIN_TABLE:
		return unpin(d, op->arg1.mfn);
	case MMUEXT_NEW_BASEPTR:
		return new_root(v, op->arg1.mfn);
	case MMUEXT_NEW_USER_BASEPTR:
		return new_user_root(d, op->arg1.mfn);
	case MMUEXT_TLB_FLUSH_LOCAL: /* the TLB is never stale (tlb.c), and memory is coherent */
	case MMUEXT_INVLPG_LOCAL:
	case MMUEXT_TLB_FLUSH_MULTI:
	case MMUEXT_INVLPG_MULTI:
	case MMUEXT_TLB_FLUSH_ALL:
	case MMUEXT_INVLPG_ALL:
	case MMUEXT_FLUSH_CACHE:
		return 0;
	case MMUEXT_SET_LDT:
		return set_ldt(op->arg1.linear_addr, op->arg2.nr_ents);
	case MMUEXT_CLEAR_PAGE:
		return fill_page(d, op->arg1.mfn, 0);
	case MMUEXT_COPY_PAGE:
		return op->arg2.src_mfn ? fill_page(d, op->arg1.mfn, op->arg2.src_mfn) : -EPERM;
	default:
		return -ENOSYS;
	}
}

long do_mmuext_op(struct vcpu *v, gva_t ops, unsigned count, gva_t done, domid_t domid)
{
	unsigned ndone = 0;
	int rc = 0;

	if (domid != DOMID_SELF && domid != v->domain->domid)
		return -EPERM;
	if (count > MMUEXT_COUNT_MAX)
		return -EINVAL;
	while (ndone < count && !rc) {
		struct mmuext_op op;

		if (v->domain->run != DOMAIN_RUNNING)
			rc = -EINTR; /* it is being destroyed and need not wait for us */
		else
			rc = get_guest(v, op, ops + (gva_t)ndone * sizeof(op));
		if (!rc)
			rc = ext_one(v, &op);
		ndone += !rc;
		hv_lock_breathe();
	}
	if (done && put_guest(v, done, ndone) && !rc)
		rc = -EFAULT;
	return rc;
}
