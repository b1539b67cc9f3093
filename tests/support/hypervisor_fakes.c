/* SPDX-License-Identifier: BSD-3-Clause */
/* Fake guests, fake engine and auditor (hypervisor_fakes.h). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/time.h>

#include "hypervisor_fakes.h"

static uint64_t frames_at_start;

void fake_machine_start(unsigned mib)
{
	assert_int_equal(time_init(), 0);
	assert_int_equal(machine_init((uint64_t)mib << 20), 0);
	frames_at_start = machine_free_frames();
	hv_lock_acquire();
}

void fake_machine_stop(void)
{
	struct domain *d;
	uint64_t kept = 0;

	while ((d = domain_next(NULL)))
		domain_destroy(d);
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++)
		kept += !!(page_of(mfn)->flags & PAGE_XENHEAP);
	assert_int_equal(machine_free_frames() + kept, frames_at_start);
	machine_fini();
	hv_lock_release();
}

static void write_tables(struct domain *d)
{
	uint64_t *l1 = fake_page(d, FAKE_L1), *l2 = fake_page(d, FAKE_L2), *l3 = fake_page(d, FAKE_L3), *l4 = fake_page(d, FAKE_L4);

	for (unsigned i = 0; i < FAKE_MAPPED; i++)
		l1[i] = fake_pte(fake_frame(d, i), i < FAKE_L1 ? FAKE_RW : FAKE_RO);
	l2[mmu_index(FAKE_VA, 2)] = fake_pte(fake_frame(d, FAKE_L1), FAKE_RW);
	l3[mmu_index(FAKE_VA, 3)] = fake_pte(fake_frame(d, FAKE_L2), FAKE_RW);
	l4[mmu_index(FAKE_VA, 4)] = fake_pte(fake_frame(d, FAKE_L3), FAKE_RW);
}

struct domain *fake_guest(const char *name, unsigned pages)
{
	struct domain *d;
	char err[256];

	assert_int_equal(domain_create(name, pages, &d, err), 0);
	write_tables(d);
	assert_int_equal(mmu_adopt_tables(&d->vcpu[0], fake_frame(d, FAKE_L4)), 0);
	d->vcpu[0].engine = &fake_engine_ops;
	assert_int_equal(fake_engine_ops.create(machine.fd, -1, &d->vcpu[0].ev), 0);
	return d;
}

long fake_mmu_update(struct domain *d, uint64_t ptr, uint64_t val)
{
	struct mmu_update *u = fake_page(d, 0);

	*u = (struct mmu_update){ ptr, val };
	return do_mmu_update(&d->vcpu[0], fake_va(0), 1, 0, DOMID_SELF);
}

long fake_mmuext(struct domain *d, unsigned cmd, mfn_t mfn)
{
	struct mmuext_op *op = fake_page(d, 0);

	memset(op, 0, sizeof(*op));
	op->cmd = cmd;
	op->arg1.mfn = mfn;
	return do_mmuext_op(&d->vcpu[0], fake_va(0), 1, 0, DOMID_SELF);
}

/* ---- the engine ---- */

static struct fake_engine engines[4]; /* no test has more guests than that */
static unsigned next_engine;

static int engine_create(int machine_fd, int cpu, struct engine_vcpu **out)
{
	struct fake_engine *e = &engines[next_engine++ % (sizeof(engines) / sizeof(engines[0]))];

	(void)machine_fd;
	(void)cpu;
	memset(e, 0, sizeof(*e));
	*out = (struct engine_vcpu *)e;
	return 0;
}

static void forget(struct fake_engine *e, gva_t va, size_t n)
{
	for (unsigned i = 0; i < e->nr;) {
		if (e->mapping[i].va >= va && e->mapping[i].va < va + n * SLUICE_PAGE_SIZE)
			e->mapping[i] = e->mapping[--e->nr];
		else
			i++;
	}
}

/* A real engine may have to wait: the others must not. */
static void expect_unlocked(void)
{
	assert_int_equal(pthread_mutex_trylock(&hv_lock), 0);
	pthread_mutex_unlock(&hv_lock);
}

static int engine_map(struct engine_vcpu *v, gva_t va, mfn_t mfn, size_t n, unsigned prot)
{
	struct fake_engine *e = (struct fake_engine *)v;

	expect_unlocked();
	e->maps++;
	if (e->fail_maps) {
		e->fail_maps--;
		return -ENOMEM;
	}
	forget(e, va, n);
	if (e->nr + n > sizeof(e->mapping) / sizeof(e->mapping[0]))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		e->mapping[e->nr++] = (struct fake_mapping){ va + i * SLUICE_PAGE_SIZE, mfn + i, prot };
	return 0;
}

static int engine_flush(struct engine_vcpu *v, gva_t va, size_t n)
{
	struct fake_engine *e = (struct fake_engine *)v;

	expect_unlocked();
	e->flushes++;
	if (e->fail_flush)
		return e->fail_flush;
	forget(e, va, n);
	return 0;
}

static int engine_flush_all(struct engine_vcpu *v)
{
	struct fake_engine *e = (struct fake_engine *)v;

	expect_unlocked();
	e->flush_alls++;
	e->nr = 0;
	return 0;
}

static void engine_kick(struct engine_vcpu *v)
{
	(void)v;
}

const struct engine_ops fake_engine_ops = {
	.name = "fake",
	.create = engine_create,
	.kick = engine_kick,
	.map = engine_map,
	.flush = engine_flush,
	.flush_all = engine_flush_all,
	.va_limit = 0x7ffd00000000ull,
};

struct fake_engine *fake_engine_of(struct domain *d)
{
	return (struct fake_engine *)d->vcpu[0].ev;
}

const struct fake_mapping *fake_engine_at(struct domain *d, gva_t va)
{
	struct fake_engine *e = fake_engine_of(d);

	for (unsigned i = 0; i < e->nr; i++)
		if (e->mapping[i].va == va)
			return &e->mapping[i];
	return NULL;
}

/* ---- the auditor ---- */

struct tally {
	uint32_t refs, uses;
	uint8_t type; /* of the uses */
};

static void tally_use(struct tally *t, mfn_t mfn, enum page_type type)
{
	if (t[mfn].uses && t[mfn].type != type)
		fail_msg("frame 0x%lx is used both as type %u and as type %u", mfn, t[mfn].type, type);
	t[mfn].type = type;
	t[mfn].uses++;
}

static bool listed(const mfn_t *granted, mfn_t mfn)
{
	for (; granted && *granted != SLUICE_INVALID_MFN; granted++)
		if (*granted == mfn)
			return true;
	return false;
}

static void tally_l1e(const struct domain *d, struct tally *t, uint64_t pte, const mfn_t *granted)
{
	mfn_t mfn = pte_mfn(pte);

	if (mfn >= machine.nr_frames)
		fail_msg("an entry names frame 0x%lx, which does not exist", mfn);
	if (!page_is_own(d, mfn)) {
		if (!listed(granted, mfn) && !((page_of(mfn)->flags & PAGE_XENHEAP) && page_of(mfn)->owner == d->domid))
			fail_msg("domain %u maps frame 0x%lx of somebody else", d->domid, mfn);
		return;
	}
	t[mfn].refs++;
	if (pte & PTE_RW)
		tally_use(t, mfn, PAGE_WRITABLE);
}

static void tally_table(const struct domain *d, struct tally *t, mfn_t mfn, unsigned level, const mfn_t *granted)
{
	const uint64_t *table = machine_ptr(mfn);

	for (unsigned i = 0; i < PTE_ENTRIES; i++) {
		if (!(table[i] & PTE_PRESENT))
			continue;
		if (level == 1)
			tally_l1e(d, t, table[i], granted);
		else
			tally_use(t, pte_mfn(table[i]), (enum page_type)(level - 1));
	}
}

void fake_audit_counts(struct domain *d, const mfn_t *granted)
{
	struct tally *t = calloc(machine.nr_frames, sizeof(*t));

	assert_non_null(t);
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++) {
		if (page_table_level(d, mfn))
			tally_table(d, t, mfn, page_table_level(d, mfn), granted);
		if (page_is_own(d, mfn) && (page_of(mfn)->flags & PAGE_PINNED))
			tally_use(t, mfn, (enum page_type)page_of(mfn)->type);
	}
	tally_use(t, d->vcpu[0].cr3, PAGE_L4);
	if (d->mmu->user_root)
		tally_use(t, d->mmu->user_root, PAGE_L4);
	for (unsigned i = 0; i < d->mmu->gdt_frames; i++)
		tally_use(t, d->mmu->gdt[i], PAGE_DESCRIPTORS);
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++) {
		const struct page *p = page_of(mfn);
		bool sealed = machine.share->frame_use[mfn] & HVSHARE_FRAME_SEALED;

		if (!page_is_own(d, mfn))
			continue;
		if (p->refs != t[mfn].refs || p->uses != t[mfn].uses || p->type != (p->uses ? t[mfn].type : PAGE_NONE))
			fail_msg("frame 0x%lx: %u refs, %u uses as type %u; its tables say %u, %u, %u", mfn, p->refs, p->uses, p->type,
				 t[mfn].refs, t[mfn].uses, t[mfn].type);
		if (sealed != (p->type != PAGE_NONE && p->type != PAGE_WRITABLE))
			fail_msg("frame 0x%lx of type %u is %ssealed against grants", mfn, p->type, sealed ? "" : "not ");
	}
	free(t);
}

void fake_audit_tlb(struct domain *d)
{
	struct fake_engine *e = fake_engine_of(d);

	for (unsigned i = 0; i < e->nr; i++) {
		const struct fake_mapping *m = &e->mapping[i];
		struct mmu_walk w;

		if (mmu_walk(&d->vcpu[0], m->va, &w) || w.mfn != m->mfn || ((m->prot & ENGINE_PROT_WRITE) && !w.write) ||
		    ((m->prot & ENGINE_PROT_EXEC) && !w.exec))
			fail_msg("the engine still maps 0x%lx to frame 0x%lx with rights %u", m->va, m->mfn, m->prot);
	}
}
