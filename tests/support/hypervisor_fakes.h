/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of the hypervisor's core: machine memory, guests that exist but do not run, an engine that only remembers what it was told to
 * map, and an auditor that counts everything again from the page tables. The caller holds hv_lock from
 * fake_machine_start to fake_machine_stop, as those who call the code under test do.
 *
 * A fake guest has the first 512 of its pages mapped at FAKE_VA; its tables are the last four of them, mapped read-only.
 */
#ifndef SLUICE_HYPERVISOR_FAKES_H
#define SLUICE_HYPERVISOR_FAKES_H

#include <hypervisor/mmu_state.h>

#define FAKE_VA 0x400000ull
#define FAKE_MAPPED 512u
#define FAKE_L1 508u /* pfns of its tables */
#define FAKE_L2 509u
#define FAKE_L3 510u
#define FAKE_L4 511u
#define FAKE_RO (PTE_PRESENT | PTE_USER | PTE_ACCESSED)
#define FAKE_RW (FAKE_RO | PTE_RW | PTE_DIRTY)

void fake_machine_start(unsigned mib);
void fake_machine_stop(void); /* destroys what domains are left; every frame must be free then */

/* A guest with this many pages (at least 512), its vCPU on the fake engine. Fails the test when there is none. */
struct domain *fake_guest(const char *name, unsigned pages);

static inline gva_t fake_va(pfn_t pfn)
{
	return FAKE_VA + (pfn << SLUICE_PAGE_SHIFT);
}

static inline mfn_t fake_frame(const struct domain *d, pfn_t pfn)
{
	return d->p2m[pfn];
}

static inline uint64_t fake_pte(mfn_t mfn, uint64_t flags)
{
	return mfn << SLUICE_PAGE_SHIFT | flags;
}

static inline uint64_t fake_entry_maddr(const struct domain *d, pfn_t table, unsigned index)
{
	return (fake_frame(d, table) << SLUICE_PAGE_SHIFT) + index * sizeof(uint64_t);
}

static inline void *fake_page(const struct domain *d, pfn_t pfn)
{
	return machine_ptr(fake_frame(d, pfn));
}

/* One mmu_update request (through the guest's page 0), one mmuext_op on a frame. */
long fake_mmu_update(struct domain *d, uint64_t ptr, uint64_t val);
long fake_mmuext(struct domain *d, unsigned cmd, mfn_t mfn);

/* ---- the engine ---- */
struct fake_engine {
	unsigned maps, flushes, flush_alls; /* calls */
	unsigned fail_maps;                 /* so many map calls to come say -ENOMEM */
	int fail_flush;                     /* what each flush returns instead of forgetting */
	unsigned nr;
	struct fake_mapping {
		gva_t va;
		mfn_t mfn;
		unsigned prot;
	} mapping[8192];
};
extern const struct engine_ops fake_engine_ops;
struct fake_engine *fake_engine_of(struct domain *d);
/* What the engine has at va, NULL for nothing. */
const struct fake_mapping *fake_engine_at(struct domain *d, gva_t va);

/* ---- the auditor: fails the test ---- */
/* All counts of d's frames are what its tables, roots, pins and GDT add up to; no table is mapped writable; no entry names a frame that is
 * neither d's nor in `granted` (which ends with SLUICE_INVALID_MFN; NULL: none). */
void fake_audit_counts(struct domain *d, const mfn_t *granted);
/* After tlb_sync: the engine holds nothing that the tables do not say. */
void fake_audit_tlb(struct domain *d);

#endif
