/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page-table entries of grant mappings, for grant.c. It pins the foreign frame once for each mapping that is made here, and lets a pin go
 * only when the entry is cleared here: whatever the guest does to its tables, there are never more such entries than pins.
 * A frame of the domain itself is counted like any other of its entries.
 */
#include "mmu_state.h"

#define GNTMAP_AVAIL_TO_PTE 9 /* three bits that the guest may use as it likes */

/* The L1 entry that a grant operation names. */
static int find_entry(struct vcpu *v, uint64_t host_addr, uint32_t flags, mfn_t *l1, unsigned *index)
{
	if (!(flags & GNTMAP_contains_pte)) {
		*index = mmu_index(host_addr, 1);
		return mmu_find_l1(v, host_addr, l1, NULL, NULL) ? GNTST_bad_virt_addr : GNTST_okay;
	}
	*l1 = host_addr >> SLUICE_PAGE_SHIFT;
	*index = (host_addr % SLUICE_PAGE_SIZE) / sizeof(uint64_t);
	if (host_addr % sizeof(uint64_t) || page_table_level(v->domain, *l1) != 1)
		return GNTST_general_error;
	return GNTST_okay;
}

static uint64_t entry_for(uint32_t flags, mfn_t mfn)
{
	uint64_t pte = mfn << SLUICE_PAGE_SHIFT | PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_NX;

	if (!(flags & GNTMAP_readonly))
		pte |= PTE_RW | PTE_DIRTY;
	return pte | (uint64_t)(flags >> _GNTMAP_guest_avail0 & 7) << GNTMAP_AVAIL_TO_PTE;
}

int mmu_map_grant(struct vcpu *v, uint64_t host_addr, uint32_t gntmap_flags, mfn_t mfn)
{
	uint64_t *slot, old;
	unsigned index;
	mfn_t l1;
	int status = find_entry(v, host_addr, gntmap_flags, &l1, &index);

	if (status != GNTST_okay)
		return status;
	if (page_is_own(v->domain, mfn))
		return mmu_set_entry(v, l1, index, entry_for(gntmap_flags, mfn)) ? GNTST_general_error : GNTST_okay;
	slot = (uint64_t *)machine_ptr(l1) + index;
	old = shm_load(slot);
	shm_store(slot, entry_for(gntmap_flags, mfn));
	if (old & PTE_PRESENT) {
		tlb_l1_changed(v, l1, index);
		pte_put(v->domain, 1, old);
	}
	return GNTST_okay;
}

/* The entry must be the mapping that the caller means to end, with the same right to write: its pin stands for that. */
int mmu_unmap_grant(struct vcpu *v, uint64_t host_addr, uint32_t gntmap_flags, mfn_t mfn, uint64_t new_pte)
{
	uint64_t pte, expected = PTE_PRESENT | (gntmap_flags & GNTMAP_readonly ? 0 : PTE_RW);
	unsigned index;
	mfn_t l1;
	int status = find_entry(v, host_addr, gntmap_flags, &l1, &index);

	if (status != GNTST_okay)
		return status;
	pte = shm_load((uint64_t *)machine_ptr(l1) + index);
	if ((pte & (PTE_PRESENT | PTE_RW)) != expected || pte_mfn(pte) != mfn)
		return GNTST_general_error;
	if ((new_pte & PTE_PRESENT) && pte_mfn(new_pte) == mfn)
		return GNTST_general_error; /* it would stay mapped without a pin */
	return mmu_set_entry(v, l1, index, new_pte) ? GNTST_general_error : GNTST_okay;
}
