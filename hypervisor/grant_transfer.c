/* SPDX-License-Identifier: BSD-3-Clause */
/* GNTTABOP_transfer: a guest gives a page of its own to a domain that has an entry which accepts one. */
#include "grant_private.h"

#include "mmu.h"

/* Under the receiver's lock: commit its entry to us. *pfn is where it says that the page shall be. */
static int16_t entry_commit(const struct hvshare_view *w, struct hvshare_domain *to, gref_t gref, domid_t giver, pfn_t *pfn)
{
	uint32_t *word, seen;

	if (!to->alive)
		return GNTST_bad_domain;
	if (!hvshare_gref_valid(to, gref))
		return GNTST_bad_gntref;
	word = hvshare_grant_word(w, to, gref);
	seen = shm_load_acquire(word);
	for (unsigned tries = 0; tries < 5; tries++) {
		if ((seen & 0xffff) != GTF_accept_transfer || seen >> 16 != giver)
			return GNTST_general_error;
		if (__atomic_compare_exchange_n(word, &seen, seen | GTF_transfer_committed, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
			*pfn = shm_load(word + 1);
			return GNTST_okay;
		}
	}
	return GNTST_general_error;
}

/* Orders: the frame number before the flag that says that it is there. mfn SLUICE_INVALID_MFN: nothing came, the entry is open again. */
static void entry_finish(const struct hvshare_view *w, struct hvshare_domain *to, gref_t gref, mfn_t mfn)
{
	uint32_t *word = hvshare_grant_word(w, to, gref);

	if (mfn == SLUICE_INVALID_MFN) {
		__atomic_fetch_and(word, ~GTF_transfer_committed, __ATOMIC_RELEASE);
		return;
	}
	shm_store(word + 1, (uint32_t)mfn);
	__atomic_fetch_or(word, GTF_transfer_completed, __ATOMIC_RELEASE);
}

/* mmu takes the receiver's lock itself, so it is not held across the move: hv_lock keeps both domains from ending. */
static int16_t move(struct domain *from, struct domain *to, gref_t gref, mfn_t mfn)
{
	const struct hvshare_view w = grant_view();
	pfn_t old_pfn = machine.m2p[mfn], pfn = 0;
	bool given = false;
	int16_t status;

	hvshare_grant_lock(&w, to->domid);
	status = entry_commit(&w, to->share, gref, from->domid, &pfn);
	hvshare_grant_unlock(&w, to->domid);
	if (status != GNTST_okay)
		return status;
	if (mmu_steal_page(from, mfn))
		status = GNTST_bad_page;
	else if (!(given = !mmu_give_page(to, mfn, pfn))) {
		status = GNTST_general_error;
		if (mmu_give_page(from, mfn, old_pfn))
			machine_free(mfn); /* it fits nowhere: better lost to both than owned by none */
	}
	hvshare_grant_lock(&w, to->domid);
	entry_finish(&w, to->share, gref, given ? mfn : SLUICE_INVALID_MFN);
	hvshare_grant_unlock(&w, to->domid);
	return status;
}

static int16_t transfer_one(struct vcpu *v, const struct gnttab_transfer *op)
{
	struct domain *to = domain_find(op->domid);

	if (machine_owner(op->mfn) != v->domain->domid)
		return GNTST_bad_page;
	if (!to || to == v->domain)
		return GNTST_bad_domain;
	if (to->nr_pages >= to->max_pages)
		return GNTST_general_error;
	return move(v->domain, to, op->ref, op->mfn);
}

long grant_op_transfer(struct vcpu *v, gva_t uop)
{
	struct gnttab_transfer op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	op.status = transfer_one(v, &op);
	return put_guest(v, uop, op) ? -EFAULT : 0;
}
