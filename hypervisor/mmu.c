/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A domain's page tables as a whole: walking them, taking over the builder's, and frames that come and go (mmu.h). The rules for each
 * frame are in page_types.c, changes of entries in mmu_update.c.
 */
#include "mmu.h"

#include <errno.h>
#include <sluice/hvshare_grant.h>
#include <stdlib.h>

#include "hosted_memory.h"
#include "mmu_state.h"

/* What vm_assist may switch on: the first is always on (mmu_emulate_pte_write), the others change nothing that this hypervisor does. */
#define VM_ASSISTS (1ull << VMASST_TYPE_writable_pagetables | 1ull << VMASST_TYPE_4gb_segments | \
		    1ull << VMASST_TYPE_pae_extended_cr3 | 1ull << VMASST_TYPE_m2p_strict)

int mmu_domain_init(struct domain *d)
{
	d->mmu = calloc(1, sizeof(*d->mmu));
	if (!d->mmu)
		return -ENOMEM;
	d->mmu->epoch = 1; /* pages that were never filled have 0 */
	return 0;
}

/* The domain is dead and so are its mappings: there is nothing to unwind, each frame is just no longer used. */
void mmu_domain_fini(struct domain *d)
{
	struct hvshare_view w = { machine.share, machine.base };

	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++) {
		struct page *p = page_of(mfn);

		if (!page_is_own(d, mfn))
			continue;
		if (p->type != PAGE_NONE && p->type != PAGE_WRITABLE)
			hvshare_frame_unseal(&w, mfn);
		p->refs = p->uses = 0;
		p->type = PAGE_NONE;
		p->flags &= ~(PAGE_VALIDATED | PAGE_PINNED);
	}
	free(d->mmu);
	d->mmu = NULL;
}

int mmu_adopt_tables(struct vcpu *v, mfn_t root)
{
	int rc = page_get_type(v->domain, root, PAGE_L4);

	if (rc)
		return -EINVAL;
	page_of(root)->uses++; /* one for the pin, one for being in use */
	page_of(root)->flags |= PAGE_PINNED;
	v->cr3 = root;
	return 0;
}

int mmu_find_l1(struct vcpu *v, gva_t va, mfn_t *l1, bool *write, bool *exec)
{
	mfn_t table = v->cr3;
	uint64_t all = PTE_RW, any = 0;

	if (!table || (gva_t)((int64_t)(va << 16) >> 16) != va)
		return -EFAULT;
	for (unsigned level = 4; level > 1; level--) {
		uint64_t pte = shm_load((uint64_t *)machine_ptr(table) + mmu_index(va, level));

		if (!(pte & PTE_PRESENT))
			return -EFAULT;
		all &= pte;
		any |= pte;
		table = pte_mfn(pte);
	}
	*l1 = table;
	if (write)
		*write = all & PTE_RW;
	if (exec)
		*exec = !(any & PTE_NX);
	return 0;
}

int mmu_walk(struct vcpu *v, gva_t va, struct mmu_walk *w)
{
	int rc = mmu_find_l1(v, va, &w->l1_mfn, &w->write, &w->exec);

	if (rc)
		return rc;
	w->l1_index = mmu_index(va, 1);
	w->l1e = shm_load((uint64_t *)machine_ptr(w->l1_mfn) + w->l1_index);
	if (!(w->l1e & PTE_PRESENT))
		return -EFAULT;
	w->mfn = pte_mfn(w->l1e);
	w->write = w->write && (w->l1e & PTE_RW);
	w->exec = w->exec && !(w->l1e & PTE_NX);
	return 0;
}

/* A domain that lied about where the frame is (MMU_MACHPHYS_UPDATE) keeps a wrong entry in its map, which is for its own use only: a search
 * would cost all others the time. */
static void punch_p2m(struct domain *d, mfn_t mfn)
{
	pfn_t pfn = machine.m2p[mfn];

	if (pfn < d->max_pages && d->p2m[pfn] == mfn)
		d->p2m[pfn] = SLUICE_INVALID_MFN;
	machine.m2p[mfn] = ~0ull;
}

int mmu_steal_page(struct domain *d, mfn_t mfn)
{
	struct hvshare_view w = { machine.share, machine.base };
	int rc;

	if (!page_is_own(d, mfn))
		return -EPERM;
	if (page_of(mfn)->refs || page_of(mfn)->uses)
		return -EBUSY;
	rc = hvshare_frame_take(&w, mfn);
	if (rc)
		return rc;
	machine_set_owner(mfn, DOMID_INVALID);
	punch_p2m(d, mfn);
	d->nr_pages--;
	return 0;
}

int mmu_give_page(struct domain *d, mfn_t mfn, pfn_t pfn)
{
	if (d->nr_pages >= d->max_pages)
		return -ENOMEM;
	machine_set_owner(mfn, d->domid);
	if (pfn < d->max_pages)
		d->p2m[pfn] = mfn;
	machine.m2p[mfn] = pfn;
	d->nr_pages++;
	return 0;
}

int mmu_get_granted(struct domain *d, mfn_t mfn, bool writable)
{
	int rc;

	if (d->hosted) /* its frames never change their use, nor go before it does */
		return hosted_memory_owns(d, mfn) ? 0 : -EPERM;
	rc = page_get_ref(d, mfn);
	if (rc)
		return rc;
	if (writable)
		rc = page_get_type(d, mfn, PAGE_WRITABLE);
	if (rc)
		page_put_ref(mfn);
	return rc;
}

/* The counts of a dead domain's frames are gone already. */
void mmu_put_granted(struct domain *d, mfn_t mfn, bool writable)
{
	if (mfn >= machine.nr_frames || !page_of(mfn)->refs)
		return;
	if (writable)
		page_put_type(d, mfn);
	page_put_ref(mfn);
}

long do_vm_assist(struct vcpu *v, unsigned cmd, unsigned type)
{
	if (type >= 64 || !(VM_ASSISTS >> type & 1))
		return -EINVAL;
	if (cmd == VMASST_CMD_enable)
		v->domain->vm_assist |= 1ull << type;
	else if (cmd == VMASST_CMD_disable)
		v->domain->vm_assist &= ~(1ull << type);
	else
		return -ENOSYS;
	return 0;
}
