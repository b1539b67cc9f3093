/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/mmu_grant.c: never more entries than pins, whatever happens to the tables in between. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>

static struct domain *granter;
static mfn_t granted[2];

static int setup(void **state)
{
	fake_machine_start(32);
	*state = fake_guest("one", 1024);
	granter = fake_guest("two", 1024);
	granted[0] = fake_frame(granter, 100);
	granted[1] = SLUICE_INVALID_MFN;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static void test_map_and_unmap(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	struct mmu_walk w;

	assert_int_equal(mmu_map_grant(v, fake_va(40), GNTMAP_host_map | 5u << 16, granted[0]), GNTST_okay);
	assert_int_equal(mmu_walk(v, fake_va(40), &w), 0);
	assert_int_equal(w.mfn, granted[0]);
	assert_true(w.write);
	assert_false(w.exec);
	assert_int_equal(w.l1e >> 9 & 7, 5);
	assert_int_equal(page_of(fake_frame(d, 40))->refs, 0);
	fake_audit_counts(d, granted);
	assert_int_equal(tlb_fill(v, fake_va(40)), 0);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, granted[0], 0), GNTST_okay);
	tlb_sync(v);
	assert_null(fake_engine_at(d, fake_va(40)));
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, granted[0], 0), GNTST_general_error);
	fake_audit_counts(d, NULL);
}

static void test_unmap_must_match(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(mmu_map_grant(v, fake_va(40), GNTMAP_host_map, granted[0]), GNTST_okay);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map | GNTMAP_readonly, granted[0], 0), GNTST_general_error);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, granted[0] + 1, 0), GNTST_general_error);
	assert_int_equal(mmu_unmap_grant(v, fake_va(41), GNTMAP_host_map, granted[0], 0), GNTST_general_error);
	assert_int_equal(mmu_unmap_grant(v, 1ull << 40, GNTMAP_host_map, granted[0], 0), GNTST_bad_virt_addr);
	fake_audit_counts(d, granted);
}

static void test_contains_pte(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint32_t flags = GNTMAP_host_map | GNTMAP_contains_pte | GNTMAP_readonly;
	uint64_t at = fake_entry_maddr(d, FAKE_L1, 44);

	assert_int_equal(mmu_map_grant(v, at, flags, granted[0]), GNTST_okay);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[44] & (PTE_MFN_MASK | PTE_RW), granted[0] << SLUICE_PAGE_SHIFT);
	assert_int_equal(mmu_unmap_grant(v, at, flags, granted[0], 0), GNTST_okay);
	assert_int_equal(mmu_map_grant(v, at + 4, flags, granted[0]), GNTST_general_error);
	assert_int_equal(mmu_map_grant(v, fake_entry_maddr(d, FAKE_L2, 4), flags, granted[0]), GNTST_general_error);
	assert_int_equal(mmu_map_grant(v, fake_entry_maddr(d, 5, 4), flags, granted[0]), GNTST_general_error);
	assert_int_equal(mmu_map_grant(v, fake_entry_maddr(granter, FAKE_L1, 4), flags, granted[0]), GNTST_general_error);
	assert_int_equal(mmu_map_grant(v, ~0ull << 3, flags, granted[0]), GNTST_general_error);
	fake_audit_counts(d, NULL);
}

static void test_own_frame_is_counted(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(mmu_map_grant(v, fake_va(40), GNTMAP_host_map, fake_frame(d, 700)), GNTST_okay);
	fake_audit_counts(d, NULL);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, fake_frame(d, 700), 0), GNTST_okay);
	assert_int_equal(mmu_map_grant(v, fake_va(40), GNTMAP_host_map, fake_frame(d, FAKE_L1)), GNTST_general_error);
	fake_audit_counts(d, NULL);
}

static void test_unmap_and_replace(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t own = fake_pte(fake_frame(d, 700), FAKE_RW);

	assert_int_equal(mmu_map_grant(v, fake_va(40), GNTMAP_host_map, granted[0]), GNTST_okay);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, granted[0], fake_pte(3, FAKE_RW)), GNTST_general_error);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, granted[0], fake_pte(granted[0], FAKE_RW)), GNTST_general_error);
	fake_audit_counts(d, granted);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map, granted[0], own), GNTST_okay);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[40], own);
	fake_audit_counts(d, NULL);
}

/* The guest may overwrite the entry, which only loses it the handle; it cannot make another entry, or a writable one, out of it. */
static void test_guest_plays_with_the_entry(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t *l1 = fake_page(d, FAKE_L1);

	assert_int_equal(mmu_map_grant(v, fake_va(40), GNTMAP_host_map | GNTMAP_readonly, granted[0]), GNTST_okay);
	assert_int_equal(do_update_va_mapping(v, fake_va(40), l1[40] | PTE_RW, 0), -EPERM);
	assert_int_equal(do_update_va_mapping(v, fake_va(41), l1[40], 0), -EPERM);
	assert_int_equal(do_update_va_mapping(v, fake_va(40), l1[40] & ~PTE_NX, 0), 0); /* no right that the page is guarded by */
	assert_int_equal(do_update_va_mapping(v, fake_va(40), fake_pte(fake_frame(d, 40), FAKE_RW), 0), 0);
	assert_int_equal(mmu_unmap_grant(v, fake_va(40), GNTMAP_host_map | GNTMAP_readonly, granted[0], 0), GNTST_general_error);
	fake_audit_counts(d, NULL);
}

/* A table that holds a grant's entry goes out of use and comes back: the entry is not accepted again. */
static void test_entry_does_not_survive_its_table(void **state)
{
	struct domain *d = *state;
	uint64_t *l1 = fake_page(d, 600);
	uint64_t at = fake_entry_maddr(d, 600, 0);

	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE, fake_frame(d, 600)), 0);
	assert_int_equal(mmu_map_grant(&d->vcpu[0], at, GNTMAP_host_map | GNTMAP_contains_pte, granted[0]), GNTST_okay);
	fake_audit_counts(d, granted);
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, fake_frame(d, 600)), 0);
	assert_int_equal(pte_mfn(l1[0]), granted[0]);
	assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE, fake_frame(d, 600)), -EPERM);
	assert_int_equal(mmu_unmap_grant(&d->vcpu[0], at, GNTMAP_host_map | GNTMAP_contains_pte, granted[0], 0), GNTST_general_error);
	fake_audit_counts(d, NULL);
	fake_audit_counts(granter, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_map_and_unmap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_must_match, setup, teardown),
		cmocka_unit_test_setup_teardown(test_contains_pte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_frame_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmap_and_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_plays_with_the_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entry_does_not_survive_its_table, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
