/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's mappings as a TLB (engine.h, mmu.h): filled when the guest misses (traps.c), told of each change of a page table before the
 * guest runs again (vcpu.c). So it is never stale when the guest looks, and the flushes that a guest asks for have nothing left to do.
 *
 * A table does not know where it is mapped. An L1 table remembers the 2 MiB that a fill last reached it at and in which epoch: with one
 * such place a changed entry costs the flush of one page, with several the flush of everything, which begins a new epoch.
 *
 * hv_lock is not held while the engine works: the guest's process may have to wait for its pCPU, and to forget everything can take some ms.
 * Nothing changes meanwhile that matters here: the tables are only changed by the vCPU's own thread, which is here, and what they name
 * stays (a frame of the domain's is counted, a granted one pinned).
 */
#include <errno.h>

#include "log.h"
#include "mmu_state.h"

#define L1_SHIFT 21
#define L1_AT_MANY 0xffffffffu
#define PTE_SAME (PTE_PRESENT | PTE_RW | PTE_NX)

static gva_t canonical(gva_t va)
{
	return (gva_t)((int64_t)(va << 16) >> 16);
}

void tlb_flush_all(struct vcpu *v)
{
	struct mmu_state *m = v->domain->mmu;

	m->flush_everything = true;
	m->nr_ranges = 0;
	m->epoch++;
}

void tlb_flush_page(struct vcpu *v, gva_t va)
{
	struct mmu_state *m = v->domain->mmu;
	struct tlb_range *last = m->nr_ranges ? &m->range[m->nr_ranges - 1] : NULL;

	va &= ~(gva_t)(SLUICE_PAGE_SIZE - 1);
	if (m->flush_everything)
		return;
	if (last && last->va + last->n * SLUICE_PAGE_SIZE == va) {
		last->n++;
		return;
	}
	if (m->nr_ranges == TLB_RANGES)
		tlb_flush_all(v);
	else
		m->range[m->nr_ranges++] = (struct tlb_range){ va, 1 };
}

void tlb_l1_changed(struct vcpu *v, mfn_t l1, unsigned index)
{
	struct page *p = page_of(l1);

	if (p->tlb_epoch != v->domain->mmu->epoch)
		return; /* nothing of it was filled since the last flush of everything */
	if (p->link == L1_AT_MANY)
		tlb_flush_all(v);
	else
		tlb_flush_page(v, canonical((gva_t)p->link << L1_SHIFT | (gva_t)index << SLUICE_PAGE_SHIFT));
}

static void l1_seen_at(struct vcpu *v, mfn_t l1, gva_t va)
{
	struct page *p = page_of(l1);
	uint32_t place = (uint32_t)(va >> L1_SHIFT) & 0x7ffffff;

	if (p->tlb_epoch == v->domain->mmu->epoch && p->link != place)
		place = L1_AT_MANY;
	p->link = place;
	p->tlb_epoch = v->domain->mmu->epoch;
}

void tlb_sync(struct vcpu *v)
{
	struct mmu_state *m = v->domain->mmu;
	unsigned n = m->nr_ranges;
	int rc = 0;

	if (!m->flush_everything && !n)
		return;
	hv_lock_release();
	if (v->ev && m->flush_everything)
		rc = v->engine->flush_all(v->ev);
	for (unsigned i = 0; v->ev && i < n && !rc; i++)
		rc = v->engine->flush(v->ev, m->range[i].va, m->range[i].n);
	hv_lock_acquire();
	m->flush_everything = false;
	m->nr_ranges = 0;
	if (rc)
		domain_crash(v->domain, "the engine cannot forget a mapping that the guest gave up");
}

struct run {
	gva_t va;
	mfn_t mfn;
	size_t n;
};

/* As far as the neighbours in the same table name the neighbouring frames with the same rights. */
static struct run widen(const struct mmu_walk *w, gva_t va)
{
	const uint64_t *l1 = machine_ptr(w->l1_mfn);
	unsigned first = w->l1_index, past = first + 1;
	uint64_t like = w->l1e & (PTE_MFN_MASK | PTE_SAME);

	while (first && (shm_load(&l1[first - 1]) & (PTE_MFN_MASK | PTE_SAME)) == like - ((uint64_t)(w->l1_index - first + 1) << SLUICE_PAGE_SHIFT))
		first--;
	while (past < PTE_ENTRIES && (shm_load(&l1[past]) & (PTE_MFN_MASK | PTE_SAME)) == like + ((uint64_t)(past - w->l1_index) << SLUICE_PAGE_SHIFT))
		past++;
	return (struct run){ va - ((gva_t)(w->l1_index - first) << SLUICE_PAGE_SHIFT), w->mfn - (w->l1_index - first), past - first };
}

static int engine_map(struct vcpu *v, const struct run *r, unsigned prot)
{
	int rc;

	hv_lock_release();
	rc = v->engine->map(v->ev, r->va, r->mfn, r->n, prot);
	hv_lock_acquire();
	return rc;
}

static int map_run(struct vcpu *v, const struct mmu_walk *w, gva_t va)
{
	unsigned prot = (w->write ? ENGINE_PROT_WRITE : 0) | (w->exec ? ENGINE_PROT_EXEC : 0);
	struct run r = widen(w, va);
	int rc = engine_map(v, &r, prot);

	if (rc == -ENOMEM) { /* no room for one more mapping: start afresh */
		tlb_flush_all(v);
		tlb_sync(v);
		rc = engine_map(v, &r, prot);
	}
	l1_seen_at(v, w->l1_mfn, va); /* also when it failed: part of it may be there */
	return rc;
}

int tlb_fill(struct vcpu *v, gva_t va)
{
	struct mmu_walk w;
	int rc;

	va &= ~(gva_t)(SLUICE_PAGE_SIZE - 1);
	if (mmu_walk(v, va, &w))
		return -EFAULT;
	rc = va >= v->engine->va_limit ? -EINVAL : 0;
	if (!rc) {
		tlb_sync(v);
		rc = map_run(v, &w, va);
	}
	if (rc) {
		log_domain_limited(v->domain, "0x%lx is mapped in its page tables, but the %s engine cannot map it: error %d", va, v->engine->name, -rc);
		return -EFAULT;
	}
	return 0;
}
