/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes of page-table entries: mmu_update, update_va_mapping, and a store into a table that the guest did itself. hypercall.c and
 * emulate.c call in.
 */
#include <errno.h>

#include "guest_access.h"
#include "mmu_state.h"

#define MMU_COUNT_MAX 65536u /* requests in one call; guests send up to a few hundred */
#define MMU_BATCH 64u

/* Does a present entry stand for the same counted thing as another? */
static bool same_target(unsigned level, uint64_t a, uint64_t b)
{
	uint64_t counted = PTE_PRESENT | PTE_MFN_MASK | (level == 1 ? PTE_RW : 0);

	return !((a ^ b) & counted);
}

int mmu_set_entry(struct vcpu *v, mfn_t table, unsigned index, uint64_t val)
{
	uint64_t *slot = (uint64_t *)machine_ptr(table) + index, old = shm_load(slot);
	struct domain *d = v->domain;
	unsigned level = page_of(table)->type;
	bool same;
	int rc;

	if (level == 4 && l4_slot_is_xen(index))
		return -EINVAL;
	rc = pte_adjust(level, &val);
	if (rc)
		return rc;
	same = (old & PTE_PRESENT) && same_target(level, old, val);
	if (!same && (val & PTE_PRESENT))
		rc = pte_get(d, level, val);
	if (rc)
		return rc;
	shm_store(slot, val);
	if (!(old & PTE_PRESENT))
		return 0;
	if (!same || ((old ^ val) & (PTE_RW | PTE_NX))) {
		if (level == 1)
			tlb_l1_changed(v, table, index);
		else
			tlb_flush_all(v);
	}
	if (!same)
		pte_put(d, level, old);
	return 0;
}

/* A page that is no table may be written to in this way too, as on Xen, if the guest could have mapped it writable. */
static int store_plain(struct domain *d, mfn_t mfn, unsigned index, uint64_t val)
{
	int rc = page_get_type(d, mfn, PAGE_WRITABLE);

	if (rc)
		return rc;
	shm_store((uint64_t *)machine_ptr(mfn) + index, val);
	page_put_type(d, mfn);
	return 0;
}

static int update_pt(struct vcpu *v, uint64_t maddr, uint64_t val, bool preserve_ad)
{
	mfn_t mfn = maddr >> SLUICE_PAGE_SHIFT;
	unsigned index = (maddr % SLUICE_PAGE_SIZE) / sizeof(uint64_t);

	if (!page_is_own(v->domain, mfn))
		return -EPERM;
	if (preserve_ad)
		val |= shm_load((uint64_t *)machine_ptr(mfn) + index) & (PTE_ACCESSED | PTE_DIRTY);
	if (page_table_level(v->domain, mfn))
		return mmu_set_entry(v, mfn, index, val);
	return store_plain(v->domain, mfn, index, val);
}

static int update_m2p(struct domain *d, uint64_t maddr, uint64_t val)
{
	mfn_t mfn = maddr >> SLUICE_PAGE_SHIFT;

	if (!page_is_own(d, mfn))
		return -EPERM;
	machine.m2p[mfn] = val;
	return 0;
}

static int update_one(struct vcpu *v, const struct mmu_update *u)
{
	uint64_t cmd = u->ptr % sizeof(uint64_t), maddr = u->ptr - cmd;

	switch (cmd) {
	case MMU_NORMAL_PT_UPDATE:
	case MMU_PT_UPDATE_NO_TRANSLATE:
		return update_pt(v, maddr, u->val, false);
	case MMU_PT_UPDATE_PRESERVE_AD:
		return update_pt(v, maddr, u->val, true);
	case MMU_MACHPHYS_UPDATE:
		return update_m2p(v->domain, maddr, u->val);
	default:
		return -ENOSYS;
	}
}

/* Does up to a batch of requests from reqs. How many is added to *done. */
static int update_batch(struct vcpu *v, gva_t reqs, unsigned n, unsigned *done)
{
	struct mmu_update u[MMU_BATCH];
	int rc = copy_from_guest(v, u, reqs, n * sizeof(u[0]));

	for (unsigned i = 0; i < n && !rc; i++) {
		if (v->domain->run != DOMAIN_RUNNING)
			rc = -EINTR; /* it is being destroyed and need not wait for us */
		else
			rc = update_one(v, &u[i]);
		*done += !rc;
	}
	return rc;
}

long do_mmu_update(struct vcpu *v, gva_t reqs, unsigned count, gva_t done, domid_t domid)
{
	unsigned ndone = 0;
	int rc = 0;

	if (domid != DOMID_SELF && domid != v->domain->domid)
		return -EPERM;
	if (count > MMU_COUNT_MAX)
		return -EINVAL;
	while (ndone < count && !rc) {
		unsigned left = count - ndone;

		rc = update_batch(v, reqs + (gva_t)ndone * sizeof(struct mmu_update), left < MMU_BATCH ? left : MMU_BATCH, &ndone);
		hv_lock_breathe();
	}
	if (done && put_guest(v, done, ndone) && !rc)
		rc = -EFAULT;
	return rc;
}

/* flags ask for a flush; tlb.c keeps the TLB true without being asked. */
long do_update_va_mapping(struct vcpu *v, gva_t va, uint64_t val, uint64_t flags)
{
	mfn_t l1;

	(void)flags;
	if (mmu_find_l1(v, va, &l1, NULL, NULL))
		return -EINVAL;
	return mmu_set_entry(v, l1, mmu_index(va, 1), val);
}

int mmu_emulate_pte_write(struct vcpu *v, gva_t va, uint64_t val)
{
	struct mmu_walk w;

	if (va % sizeof(uint64_t) || mmu_walk(v, va, &w) || !page_table_level(v->domain, w.mfn))
		return -EFAULT;
	return mmu_set_entry(v, w.mfn, (va % SLUICE_PAGE_SIZE) / sizeof(uint64_t), val);
}
