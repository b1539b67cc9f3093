/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What each machine frame is used as, and how often (see mmu.h for the rules). Private to the memory side of the hypervisor: machine.c
 * keeps the array, mmu*.c, tlb.c, memory.c and descriptor.c use it. Callers hold hv_lock.
 */
#ifndef SLUICE_PAGE_TYPES_H
#define SLUICE_PAGE_TYPES_H

#include <sluice/shm.h>

#include "domain.h"
#include "machine.h"

#define PTE_PRESENT (1ull << 0)
#define PTE_RW (1ull << 1)
#define PTE_USER (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY (1ull << 6)
#define PTE_LARGE (1ull << 7) /* in L2 and L3; in L1 it is a cache attribute */
#define PTE_GLOBAL (1ull << 8)
#define PTE_NX (1ull << 63)
#define PTE_MFN_MASK 0x000ffffffffff000ull
#define PTE_ENTRIES 512u

/* L4 slots of the addresses that are Xen's: 0xffff800000000000 to 0xffff87ffffffffff. */
#define L4_XEN_FIRST 256u
#define L4_XEN_LAST 271u

/* A table's type is its level. */
enum page_type { PAGE_NONE, PAGE_L1, PAGE_L2, PAGE_L3, PAGE_L4, PAGE_WRITABLE, PAGE_DESCRIPTORS };

#define PAGE_ALLOCATED 1u
#define PAGE_XENHEAP 2u   /* shared_info or grant table: its domain may map it, nobody may use it as anything else */
#define PAGE_VALIDATED 4u /* a table whose content is checked and counted */
#define PAGE_PINNED 8u    /* MMUEXT_PIN_*: one of its uses */

/* No count reaches this by honest means; it keeps 32 bits from wrapping. */
#define PAGE_COUNT_MAX 0x7fffffffu

struct page {
	uint32_t refs; /* L1 entries that name it, and holders outside page tables (grants) */
	uint32_t uses; /* as `type`: writable mappings, upper-level entries, pins, roots in use, GDT slots */
	uint8_t type;  /* enum page_type; PAGE_NONE when uses is 0 */
	uint8_t flags; /* PAGE_* above */
	domid_t owner;
	uint32_t link;      /* L1: the 2 MiB that it was last seen to map (tlb.c). A free xenheap frame: the next one */
	uint64_t tlb_epoch; /* L1: when that was */
};

static inline struct page *page_of(mfn_t mfn)
{
	return &machine.page[mfn];
}

static inline mfn_t pte_mfn(uint64_t pte)
{
	return (pte & PTE_MFN_MASK) >> SLUICE_PAGE_SHIFT;
}

static inline bool l4_slot_is_xen(unsigned index)
{
	return index >= L4_XEN_FIRST && index <= L4_XEN_LAST;
}

/* Is it d's own memory? Its xenheap frames are not. */
static inline bool page_is_own(const struct domain *d, mfn_t mfn)
{
	return machine_owner(mfn) == d->domid;
}

/* Is it a table of d whose content is checked? Then its level, else 0. */
static inline unsigned page_table_level(const struct domain *d, mfn_t mfn)
{
	if (!page_is_own(d, mfn) || !(page_of(mfn)->flags & PAGE_VALIDATED) || page_of(mfn)->type > PAGE_L4)
		return 0;
	return page_of(mfn)->type;
}

/* Count one more holder of a frame of d. -EPERM: not its own; -EBUSY: too many. */
int page_get_ref(struct domain *d, mfn_t mfn);
void page_put_ref(mfn_t mfn);

/* Count one more use as type; the first makes it that type, checking a table's content. -EPERM: not d's own frame; -EBUSY: too many, or
 * a grant of it is in use; -EINVAL: it is of another type, or what it holds is not allowed. */
int page_get_type(struct domain *d, mfn_t mfn, enum page_type type);
void page_put_type(struct domain *d, mfn_t mfn);

/* Make a guest's entry for a table of this level fit to be stored: flags that mean nothing here are put right, others refused (-EINVAL). */
int pte_adjust(unsigned level, uint64_t *pte);
/* Count, or stop to count, what a present entry names. */
int pte_get(struct domain *d, unsigned level, uint64_t pte);
void pte_put(struct domain *d, unsigned level, uint64_t pte);

/* descriptor.c: check and put right what a page of descriptors holds. */
int descriptors_check_page(uint64_t *page);

#endif
