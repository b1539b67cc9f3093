/* SPDX-License-Identifier: BSD-3-Clause */
/* What mmu*.c, tlb.c and descriptor.c keep of a domain, and what they ask of each other. Callers hold hv_lock. */
#ifndef SLUICE_MMU_STATE_H
#define SLUICE_MMU_STATE_H

#include "mmu.h"
#include "page_types.h"

#define TLB_RANGES 32u

struct tlb_range {
	gva_t va;
	size_t n; /* pages */
};

struct mmu_state {
	mfn_t user_root; /* MMUEXT_NEW_USER_BASEPTR; 0: none */
	mfn_t gdt[FIRST_RESERVED_GDT_PAGE];
	unsigned gdt_frames;
	/* tlb.c: changes that the engine has not heard of, and the number of the last time that everything was forgotten */
	uint64_t epoch;
	bool flush_everything;
	unsigned nr_ranges;
	struct tlb_range range[TLB_RANGES];
};

/* The L1 table that the guest's own tables have for va. -EFAULT: none. write, exec: what the levels above allow; may be NULL. */
int mmu_find_l1(struct vcpu *v, gva_t va, mfn_t *l1, bool *write, bool *exec);

static inline unsigned mmu_index(gva_t va, unsigned level)
{
	return (va >> (SLUICE_PAGE_SHIFT + 9 * (level - 1))) & (PTE_ENTRIES - 1);
}

/* Replace an entry of a validated table of v's domain: checked, counted, flushed. */
int mmu_set_entry(struct vcpu *v, mfn_t table, unsigned index, uint64_t val);

/* An entry of this L1 table no longer says what the engine may have cached. */
void tlb_l1_changed(struct vcpu *v, mfn_t l1, unsigned index);

#endif
