/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that lies about its page tables (mmu_update.c, mmuext.c, page_types.c, mmu_grant.c, descriptor.c): each way to a writable mapping
 * of a table, or to a frame that is not its own, is tried and refused; then a long random walk, after which an independent count of
 * all tables must agree with the hypervisor's. Rows of the security history: XSA-217, 240, 284, 286, 401.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>

#define RANDOM_STEPS 60000u
#define AUDIT_EVERY 500u

static struct domain *other;

static int setup(void **state)
{
	fake_machine_start(32);
	*state = fake_guest("liar", 1024);
	other = fake_guest("victim", 600);
	return 0;
}

static int teardown(void **state)
{
	struct domain *d = *state;

	if (d->mmu)
		fake_audit_counts(d, NULL);
	fake_audit_counts(other, NULL);
	fake_machine_stop();
	return 0;
}

static long map_at(struct domain *d, pfn_t at, mfn_t mfn, uint64_t flags)
{
	return do_update_va_mapping(&d->vcpu[0], fake_va(at), fake_pte(mfn, flags), UVMF_INVLPG);
}

static void test_writable_mapping_of_a_table(void **state)
{
	struct domain *d = *state;

	for (pfn_t table = FAKE_L1; table <= FAKE_L4; table++) {
		assert_int_equal(map_at(d, table, fake_frame(d, table), FAKE_RW), -EINVAL);
		assert_int_equal(map_at(d, 20, fake_frame(d, table), FAKE_RW), -EINVAL);
		assert_int_equal(map_at(d, 20, fake_frame(d, table), FAKE_RO), 0);
		assert_int_equal(map_at(d, 20, fake_frame(d, table), FAKE_RW), -EINVAL);
		assert_int_equal(mmu_emulate_pte_write(&d->vcpu[0], fake_va(FAKE_L1) + 20 * 8, fake_pte(fake_frame(d, table), FAKE_RW)), -EINVAL);
	}
}

static void test_frames_of_others(void **state)
{
	struct domain *d = *state;
	mfn_t grant = other->share->grant_mfn[0];
	const mfn_t foreign[] = { fake_frame(other, 3), fake_frame(other, FAKE_L1), other->shared_info_mfn, grant, 0, 1,
				  MACHINE_FIRST_FRAME - 1, machine.nr_frames, machine.nr_frames - 1, PTE_MFN_MASK >> SLUICE_PAGE_SHIFT };

	for (unsigned i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
		if (foreign[i] == d->shared_info_mfn || foreign[i] == d->share->grant_mfn[0])
			continue;
		assert_int_equal(map_at(d, 20, foreign[i], FAKE_RO), -EPERM);
		assert_int_equal(map_at(d, 20, foreign[i], FAKE_RW), -EPERM);
		assert_int_equal(fake_mmu_update(d, foreign[i] << SLUICE_PAGE_SHIFT, 0), -EPERM);
		assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, 9), fake_pte(foreign[i], FAKE_RW)), -EPERM);
		assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE, foreign[i]), -EPERM);
		assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, foreign[i]), -EPERM);
		assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, foreign[i]), -EPERM);
		assert_int_equal(fake_mmuext(d, MMUEXT_CLEAR_PAGE, foreign[i]), -EPERM);
		assert_int_equal(do_update_descriptor(&d->vcpu[0], foreign[i] << SLUICE_PAGE_SHIFT, 0), -EPERM);
	}
}

/* Its own shared_info and grant table it may map, and that is all. */
static void test_hypervisor_frames_as_tables(void **state)
{
	struct domain *d = *state;
	const mfn_t heap[] = { d->shared_info_mfn, d->share->grant_mfn[0] };

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(map_at(d, 20, heap[i], FAKE_RW), 0);
		for (unsigned cmd = MMUEXT_PIN_L1_TABLE; cmd <= MMUEXT_PIN_L4_TABLE; cmd++)
			assert_int_equal(fake_mmuext(d, cmd, heap[i]), -EPERM);
		assert_int_equal(fake_mmu_update(d, heap[i] << SLUICE_PAGE_SHIFT, 1), -EPERM);
		assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, 9), fake_pte(heap[i], FAKE_RW)), -EPERM);
		assert_int_equal(mmu_get_granted(d, heap[i], true), -EPERM);
		assert_int_equal(mmu_steal_page(d, heap[i]), -EPERM);
	}
}

static void test_upper_entries_to_pages_in_use(void **state)
{
	struct domain *d = *state;

	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, 9), fake_pte(fake_frame(d, 3), FAKE_RW)), -EINVAL); /* writable */
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, 9), fake_pte(fake_frame(d, FAKE_L3), FAKE_RW)), -EINVAL);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L3, 9), fake_pte(fake_frame(d, FAKE_L1), FAKE_RW)), -EINVAL);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L4, 9), fake_pte(fake_frame(d, FAKE_L4), FAKE_RO)), -EINVAL);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, 9), fake_pte(fake_frame(d, 600), FAKE_RW | PTE_LARGE)), -EINVAL);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L4, L4_XEN_FIRST), 0), -EINVAL);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L4, L4_XEN_LAST), fake_pte(fake_frame(d, FAKE_L3), FAKE_RW)), -EINVAL);
}

static void test_roots_that_are_none(void **state)
{
	struct domain *d = *state;
	mfn_t cr3 = d->vcpu[0].cr3;

	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, fake_frame(d, 3)), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, fake_frame(d, FAKE_L3)), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, ~0ull), -EPERM);
	assert_int_equal(d->vcpu[0].cr3, cr3);
	/* taken out from under its own feet: the pin goes, the use as root does not */
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, cr3), 0);
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, cr3), -EINVAL);
	assert_int_equal(page_table_level(d, cr3), 4);
	assert_int_equal(map_at(d, FAKE_L4, cr3, FAKE_RW), -EINVAL);
}

/* XSA-286 and its like: a mapping that was writable must be gone from the engine when the page becomes a table. */
static void test_page_becomes_a_table_with_a_stale_mapping(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	gva_t second = FAKE_VA + (3 << 21);

	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, mmu_index(second, 2)), fake_pte(fake_frame(d, FAKE_L1), FAKE_RW)), 0);
	assert_int_equal(tlb_fill(v, fake_va(30)), 0);
	assert_int_equal(tlb_fill(v, second + (30 << 12)), 0);
	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE, fake_frame(d, 30)), -EINVAL);
	assert_int_equal(do_update_va_mapping(v, fake_va(30), fake_pte(fake_frame(d, 30), FAKE_RO), UVMF_NONE), 0); /* asks for no flush */
	memset(fake_page(d, 30), 0, SLUICE_PAGE_SIZE);
	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE, fake_frame(d, 30)), 0);
	tlb_sync(v);
	fake_audit_tlb(d);
	assert_null(fake_engine_at(d, second + (30 << 12)));
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, fake_frame(d, 30)), 0);
}

static void test_table_moved_or_written_behind_our_back(void **state)
{
	struct domain *d = *state;
	mfn_t l1 = fake_frame(d, 600);

	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE, l1), 0);
	assert_int_equal(mmu_steal_page(d, l1), -EBUSY); /* transfer, decrease_reservation: XSA-217 */
	assert_int_equal(mmu_get_granted(d, l1, true), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_CLEAR_PAGE, l1), -EINVAL);
	assert_int_equal(do_set_gdt(&d->vcpu[0], fake_va(1), 1), -EPERM); /* a list of zeroes */
	*(uint64_t *)fake_page(d, 1) = l1;
	assert_int_equal(do_set_gdt(&d->vcpu[0], fake_va(1), 1), -EINVAL);
	assert_int_equal(do_update_descriptor(&d->vcpu[0], l1 << SLUICE_PAGE_SHIFT, 0), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, l1), 0);
}

static void test_descriptors_mapped_writable(void **state)
{
	struct domain *d = *state;

	*(uint64_t *)fake_page(d, 1) = fake_frame(d, 600);
	assert_int_equal(do_set_gdt(&d->vcpu[0], fake_va(1), 1), 0);
	assert_int_equal(map_at(d, 20, fake_frame(d, 600), FAKE_RW), -EINVAL);
	assert_int_equal(map_at(d, 20, fake_frame(d, 600), FAKE_RO), 0);
	assert_int_equal(fake_mmu_update(d, fake_frame(d, 600) << SLUICE_PAGE_SHIFT, 0), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L2_TABLE, fake_frame(d, 600)), -EINVAL);
}

/* The counts of a frame are at their end: one more use is refused, none wraps to nothing. */
static void test_counts_at_their_end(void **state)
{
	struct domain *d = *state;
	struct page *p = page_of(fake_frame(d, 600));

	*p = (struct page){ .owner = d->domid, .flags = PAGE_ALLOCATED, .refs = PAGE_COUNT_MAX };
	assert_int_equal(map_at(d, 20, fake_frame(d, 600), FAKE_RO), -EBUSY);
	p->refs = 0;
	p->type = PAGE_WRITABLE;
	p->uses = PAGE_COUNT_MAX;
	assert_int_equal(map_at(d, 20, fake_frame(d, 600), FAKE_RW), -EBUSY);
	assert_int_equal(p->refs, 0);
	p->uses = 0;
	p->type = PAGE_NONE;
}

/* A tree as wide as the domain, pinned, dropped, and dropped again by the domain's end: no recursion, no count left (XSA-240). */
static void test_large_tree(void **state)
{
	struct domain *d = *state;

	for (unsigned i = 0; i < 300; i++) {
		uint64_t *l1 = fake_page(d, 600 + i);

		for (unsigned e = 0; e < PTE_ENTRIES; e++)
			l1[e] = fake_pte(fake_frame(d, e), FAKE_RO);
		((uint64_t *)fake_page(d, 901))[i] = fake_pte(fake_frame(d, 600 + i), FAKE_RW);
	}
	for (unsigned e = 0; e < PTE_ENTRIES; e++) {
		((uint64_t *)fake_page(d, 902))[e] = fake_pte(fake_frame(d, 901), FAKE_RW);
		((uint64_t *)fake_page(d, 903))[e] = fake_pte(fake_frame(d, 902), FAKE_RW);
	}
	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L4_TABLE, fake_frame(d, 903)), 0);
	fake_audit_counts(d, NULL);
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, fake_frame(d, 903)), 0);
	fake_audit_counts(d, NULL);
	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L4_TABLE, fake_frame(d, 903)), 0);
}

/* ---- the random walk ---- */

static uint64_t seed = 0x9e3779b97f4a7c15;

static unsigned rnd(unsigned below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 11) % below);
}

/* Few frames, so that they meet often: 16 pages, 24 that are candidates for tables, and now and then something wild. */
static mfn_t some_frame(struct domain *d)
{
	switch (rnd(20)) {
	case 0:
		return fake_frame(other, rnd(600));
	case 1:
		return rnd(2) ? d->shared_info_mfn : rnd((unsigned)machine.nr_frames + 100);
	case 2:
	case 3:
		return fake_frame(d, FAKE_L1 + rnd(4));
	case 4:
	case 5:
	case 6:
	case 7:
		return fake_frame(d, 4 + rnd(16));
	default:
		return fake_frame(d, 600 + rnd(24));
	}
}

static uint64_t some_entry(struct domain *d)
{
	static const uint64_t flags[] = { FAKE_RO, FAKE_RW, FAKE_RO | PTE_NX, FAKE_RW | PTE_NX, FAKE_RW, FAKE_RO | PTE_GLOBAL, 0, FAKE_RW | PTE_LARGE };

	return fake_pte(some_frame(d), flags[rnd(8)]);
}

/* Where a hostile guest would write: the first entries of a table, and the one that maps everything. Never the entries of the pages that this
 * test passes its arguments in, nor those above them. */
static uint64_t some_place(struct domain *d)
{
	mfn_t mfn = some_frame(d);
	unsigned index = rnd(8) ? 4 + rnd(16) : rnd(PTE_ENTRIES);

	if (mfn == fake_frame(d, FAKE_L1) && index < 4)
		index = 4;
	if (mfn >= fake_frame(d, FAKE_L2) && mfn <= fake_frame(d, FAKE_L4) && index == mmu_index(FAKE_VA, mfn - fake_frame(d, FAKE_L2) + 2))
		index = 20;
	return (mfn << SLUICE_PAGE_SHIFT) + index * sizeof(uint64_t) + (rnd(4) ? 0 : MMU_PT_UPDATE_PRESERVE_AD);
}

static void touch(struct domain *d)
{
	gva_t va = rnd(4) ? fake_va(rnd(24)) : ((gva_t)rnd(24) << 39 | (gva_t)rnd(24) << 30 | (gva_t)rnd(24) << 21 | (gva_t)rnd(24) << 12);

	tlb_sync(&d->vcpu[0]);
	tlb_fill(&d->vcpu[0], va);
}

/* What a guest can write with ordinary stores: pages that are no tables, through a mapping that the engine really has. */
static void scribble(struct domain *d)
{
	struct fake_engine *e = fake_engine_of(d);
	const struct fake_mapping *m;

	tlb_sync(&d->vcpu[0]);
	if (!e->nr)
		return;
	m = &e->mapping[rnd(e->nr)];
	if ((m->prot & ENGINE_PROT_WRITE) && m->mfn != fake_frame(d, 0))
		((uint64_t *)machine_ptr(m->mfn))[4 + rnd(16)] = some_entry(d);
}

static void new_root(struct domain *d)
{
	if (fake_mmuext(d, MMUEXT_NEW_BASEPTR, some_frame(d)))
		return;
	/* its argument page must stay where it is: back again */
	d->vcpu[0].regs.user.rax = 0;
	tlb_sync(&d->vcpu[0]);
	page_get_type(d, fake_frame(d, FAKE_L4), PAGE_L4);
	page_put_type(d, d->vcpu[0].cr3);
	d->vcpu[0].cr3 = fake_frame(d, FAKE_L4);
	tlb_flush_all(&d->vcpu[0]);
}

static unsigned random_step(struct domain *d)
{
	switch (rnd(12)) {
	case 0:
		return !fake_mmuext(d, MMUEXT_PIN_L1_TABLE + rnd(4), some_frame(d));
	case 1: {
		mfn_t mfn = some_frame(d);

		return mfn != fake_frame(d, FAKE_L4) && !fake_mmuext(d, MMUEXT_UNPIN_TABLE, mfn);
	}
	case 2:
		return !fake_mmuext(d, rnd(2) ? MMUEXT_CLEAR_PAGE : MMUEXT_NEW_USER_BASEPTR, some_frame(d));
	case 3:
		new_root(d);
		return 1;
	case 4:
	case 5:
		touch(d);
		return 1;
	case 6:
		scribble(d);
		return 1;
	case 7:
		*(uint64_t *)fake_page(d, 1) = some_frame(d);
		return !do_set_gdt(&d->vcpu[0], fake_va(1), rnd(2) * 5);
	case 8:
		return !do_update_va_mapping(&d->vcpu[0], fake_va(4 + rnd(16)), some_entry(d), rnd(3));
	default:
		return !fake_mmu_update(d, some_place(d), some_entry(d));
	}
}

static void test_random_walk(void **state)
{
	struct domain *d = *state;
	unsigned done = 0;

	for (unsigned i = 1; i <= RANDOM_STEPS; i++) {
		done += random_step(d);
		if (i % AUDIT_EVERY)
			continue;
		fake_audit_counts(d, NULL);
		tlb_sync(&d->vcpu[0]);
		fake_audit_tlb(d);
	}
	assert_int_equal(d->run, DOMAIN_RUNNING);
	assert_true(done > RANDOM_STEPS / 4); /* it did get somewhere */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_writable_mapping_of_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hypervisor_frames_as_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upper_entries_to_pages_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roots_that_are_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_becomes_a_table_with_a_stale_mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_moved_or_written_behind_our_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_descriptors_mapped_writable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts_at_their_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_tree, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_walk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
