/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts of what each frame is used as, and the check of a table before it becomes one (page_types.h). Called by mmu*.c and descriptor.c.
 * Depth is bounded by the levels: a table of level n only ever brings in tables of level n - 1. A table that names itself is refused.
 */
#include "page_types.h"

#include <errno.h>
#include <sluice/hvshare_grant.h>

#define TABLES_PER_BREATH 16u /* some 20 us of checking */

static void breathe_now_and_then(void)
{
	static unsigned tables; /* under hv_lock */

	if (++tables % TABLES_PER_BREATH == 0)
		hv_lock_breathe();
}

int page_get_ref(struct domain *d, mfn_t mfn)
{
	if (!page_is_own(d, mfn))
		return -EPERM;
	if (page_of(mfn)->refs >= PAGE_COUNT_MAX)
		return -EBUSY;
	page_of(mfn)->refs++;
	return 0;
}

void page_put_ref(mfn_t mfn)
{
	page_of(mfn)->refs--;
}

int pte_adjust(unsigned level, uint64_t *pte)
{
	if (!(*pte & PTE_PRESENT))
		return 0;
	if (level > 1 && (*pte & (PTE_LARGE | PTE_GLOBAL)))
		return -EINVAL;
	*pte = (*pte & ~PTE_GLOBAL) | PTE_USER; /* a PV kernel runs in ring 3, so each of its mappings is a user one */
	return 0;
}

/* Shared_info and grant tables are not counted: they belong to their domain for its whole life. A page granted by another domain is
 * never named by a new entry of the guest's own making (mmu_grant.c does that). */
static int l1e_get(struct domain *d, uint64_t pte)
{
	mfn_t mfn = pte_mfn(pte);
	int rc;

	if (mfn < machine.nr_frames && (page_of(mfn)->flags & PAGE_XENHEAP))
		return page_of(mfn)->owner == d->domid ? 0 : -EPERM;
	rc = page_get_ref(d, mfn);
	if (!rc && (pte & PTE_RW)) {
		rc = page_get_type(d, mfn, PAGE_WRITABLE);
		if (rc)
			page_put_ref(mfn);
	}
	return rc;
}

/* An entry that names a foreign frame is a grant mapping: the pin in grant.c counts it. */
static void l1e_put(struct domain *d, uint64_t pte)
{
	mfn_t mfn = pte_mfn(pte);

	if (!page_is_own(d, mfn))
		return;
	if (pte & PTE_RW)
		page_put_type(d, mfn);
	page_put_ref(mfn);
}

int pte_get(struct domain *d, unsigned level, uint64_t pte)
{
	if (level == 1)
		return l1e_get(d, pte);
	return page_get_type(d, pte_mfn(pte), (enum page_type)(level - 1));
}

void pte_put(struct domain *d, unsigned level, uint64_t pte)
{
	if (level == 1)
		l1e_put(d, pte);
	else
		page_put_type(d, pte_mfn(pte));
}

static void put_entries(struct domain *d, const uint64_t *table, unsigned level, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t pte = shm_load(&table[i]);

		if ((pte & PTE_PRESENT) && !(level == 4 && l4_slot_is_xen(i)))
			pte_put(d, level, pte);
	}
}

/* What a guest left in Xen's own L4 slots has no meaning, as on Xen, which overwrites them. */
static int get_entries(struct domain *d, uint64_t *table, unsigned level)
{
	for (unsigned i = 0; i < PTE_ENTRIES; i++) {
		uint64_t pte = shm_load(&table[i]), fit = pte;
		int rc;

		if (level == 4 && l4_slot_is_xen(i)) {
			shm_store(&table[i], 0);
			continue;
		}
		if (!(pte & PTE_PRESENT))
			continue;
		rc = pte_adjust(level, &fit);
		if (!rc)
			rc = pte_get(d, level, fit);
		if (rc) {
			put_entries(d, table, level, i);
			return rc;
		}
		if (fit != pte)
			shm_store(&table[i], fit);
	}
	return 0;
}

static struct hvshare_view view(void)
{
	return (struct hvshare_view){ machine.share, machine.base };
}

/* The frame holds what the hypervisor relies on from here on: no writable mapping of it exists (its type says so) and none may come to
 * exist through a grant that domain 0 uses on its own (the seal). */
static int promote(struct domain *d, mfn_t mfn, enum page_type type)
{
	struct hvshare_view w = view();
	int rc = hvshare_frame_seal(&w, mfn);

	if (rc)
		return rc;
	rc = type == PAGE_DESCRIPTORS ? descriptors_check_page(machine_ptr(mfn)) : get_entries(d, machine_ptr(mfn), type);
	if (rc)
		hvshare_frame_unseal(&w, mfn);
	else
		page_of(mfn)->flags |= PAGE_VALIDATED;
	breathe_now_and_then();
	return rc;
}

int page_get_type(struct domain *d, mfn_t mfn, enum page_type type)
{
	struct page *p;
	int rc = 0;

	if (!page_is_own(d, mfn))
		return -EPERM;
	p = page_of(mfn);
	if (p->uses >= PAGE_COUNT_MAX)
		return -EBUSY;
	if (p->uses) { /* a table that is not validated is being checked just now: it would contain itself */
		if (p->type != type || (type != PAGE_WRITABLE && !(p->flags & PAGE_VALIDATED)))
			return -EINVAL;
		p->uses++;
		return 0;
	}
	p->type = type;
	p->uses = 1;
	if (type != PAGE_WRITABLE)
		rc = promote(d, mfn, type);
	if (rc) {
		p->uses = 0;
		p->type = PAGE_NONE;
	}
	return rc;
}

/* The last use goes: until all that it names is put, the table keeps its type, so that nobody writes to it meanwhile. */
static void demote(struct domain *d, mfn_t mfn)
{
	struct hvshare_view w = view();
	struct page *p = page_of(mfn);

	p->flags &= ~PAGE_VALIDATED;
	if (p->type <= PAGE_L4)
		put_entries(d, machine_ptr(mfn), p->type, PTE_ENTRIES);
	hvshare_frame_unseal(&w, mfn);
	breathe_now_and_then();
}

void page_put_type(struct domain *d, mfn_t mfn)
{
	struct page *p = page_of(mfn);

	if (p->uses == 1) {
		if (p->type != PAGE_WRITABLE)
			demote(d, mfn);
		p->type = PAGE_NONE;
	}
	p->uses--;
}
