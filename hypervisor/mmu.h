/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Page tables as Xen rules them: a guest changes its tables only through us, and no guest ever has a writable mapping of a page-table
 * page, of a descriptor table, or of a frame that is neither its own nor granted to it. Each frame has a type (none, L1..L4, writable,
 * GDT/LDT) with a count of uses as that type, and a count of references; a frame changes type only at count 0. An L1 entry with RW
 * counts the frame as writable; an entry of level n counts the frame as a level n-1 table, which is validated first.
 * The engine's mappings are a TLB (engine.h): tlb_* keep it honest.
 */
#ifndef SLUICE_MMU_H
#define SLUICE_MMU_H

#include "domain.h"

int mmu_domain_init(struct domain *d);
void mmu_domain_fini(struct domain *d); /* drops all types and references of its frames */

/* Builder: the tables at root (filled in by hand) become the vCPU's: validated, counted, pinned as L4. -EINVAL. */
int mmu_adopt_tables(struct vcpu *v, mfn_t root);

/* What the guest's own tables say about va. */
struct mmu_walk {
	uint64_t l1e;     /* the leaf entry */
	mfn_t mfn;        /* the page it names */
	mfn_t l1_mfn;     /* the L1 table that it is in */
	unsigned l1_index;
	bool write, exec; /* allowed at every level */
};
/* 0, or -EFAULT when va is not mapped. The page named is readable by this domain (its own, or granted). */
int mmu_walk(struct vcpu *v, gva_t va, struct mmu_walk *w);

/* Hypercalls. */
long do_mmu_update(struct vcpu *v, gva_t reqs, unsigned count, gva_t done, domid_t domid);
long do_update_va_mapping(struct vcpu *v, gva_t va, uint64_t val, uint64_t flags);
long do_mmuext_op(struct vcpu *v, gva_t ops, unsigned count, gva_t done, domid_t domid);
long do_set_gdt(struct vcpu *v, gva_t frames, unsigned entries);
long do_update_descriptor(struct vcpu *v, uint64_t maddr, uint64_t desc);
long do_memory_op(struct vcpu *v, unsigned cmd, gva_t arg); /* memory.c */
long do_vm_assist(struct vcpu *v, unsigned cmd, unsigned type);

/* A guest stored 8 bytes into one of its own page-table pages (seen as a write fault): do it as mmu_update would. -errno: the fault is real. */
int mmu_emulate_pte_write(struct vcpu *v, gva_t va, uint64_t val);

/* Grant mappings (grant.c). host_addr is a virtual address (GNTMAP_host_map) or, with GNTMAP_contains_pte, the machine address of an L1 entry.
 * Returns GNTST_*. The foreign frame is not counted in mmu: grant.c pins it. clear puts new_pte (0 for none) and flushes. */
int mmu_map_grant(struct vcpu *v, uint64_t host_addr, uint32_t gntmap_flags, mfn_t mfn);
int mmu_unmap_grant(struct vcpu *v, uint64_t host_addr, uint32_t gntmap_flags, mfn_t mfn, uint64_t new_pte);

/* Take a frame from a domain for good (transfer, decrease_reservation): -EBUSY unless it is an ordinary page with no use left. p2m hole after. */
int mmu_steal_page(struct domain *d, mfn_t mfn);
/* Give a frame to a domain at pfn (transfer, increase_reservation); m2p and p2m are updated. */
int mmu_give_page(struct domain *d, mfn_t mfn, pfn_t pfn);

/* Does domain d own mfn as an ordinary page that others may be granted? get takes a reference (and a writable use), put drops it. */
int mmu_get_granted(struct domain *d, mfn_t mfn, bool writable);
void mmu_put_granted(struct domain *d, mfn_t mfn, bool writable);

/* Fill the engine's TLB for a miss at va, widened to a run of pages. 0: retry the instruction. -EFAULT: the guest's own fault. */
int tlb_fill(struct vcpu *v, gva_t va);
/* Changes are noted here and applied by tlb_sync, before the vCPU enters the guest again. */
void tlb_flush_page(struct vcpu *v, gva_t va);
void tlb_flush_all(struct vcpu *v);
void tlb_sync(struct vcpu *v);

#endif
