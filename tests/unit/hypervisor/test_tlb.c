/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/tlb.c: what is filled, what is flushed, and that nothing stale is left (XSA-286 and its like). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>

static int setup(void **state)
{
	fake_machine_start(32);
	*state = fake_guest("one", 1024);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static void test_fill_takes_the_neighbours(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	const struct fake_mapping *m;

	assert_int_equal(tlb_fill(v, fake_va(77) + 5), 0);
	assert_int_equal(fake_engine_of(d)->maps, 1);
	assert_int_equal(fake_engine_of(d)->nr, FAKE_L1); /* the tables beyond are read-only */
	m = fake_engine_at(d, fake_va(0));
	assert_int_equal(m->mfn, fake_frame(d, 0));
	assert_int_equal(m->prot, ENGINE_PROT_WRITE | ENGINE_PROT_EXEC);
	assert_int_equal(tlb_fill(v, fake_va(FAKE_L4)), 0);
	assert_int_equal(fake_engine_at(d, fake_va(FAKE_L1))->prot, ENGINE_PROT_EXEC);
	fake_audit_tlb(d);
}

static void test_run_ends_where_frames_or_rights_change(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(do_update_va_mapping(v, fake_va(10), fake_pte(fake_frame(d, 600), FAKE_RW), 0), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(20), fake_pte(fake_frame(d, 20), FAKE_RO), 0), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(15), fake_pte(fake_frame(d, 15), FAKE_RW | PTE_NX), 0), 0);
	assert_int_equal(tlb_fill(v, fake_va(12)), 0);
	assert_int_equal(fake_engine_of(d)->nr, 4);
	assert_int_equal(tlb_fill(v, fake_va(17)), 0);
	assert_int_equal(fake_engine_of(d)->nr, 8);
	assert_int_equal(tlb_fill(v, fake_va(15)), 0);
	assert_int_equal(fake_engine_at(d, fake_va(15))->prot, ENGINE_PROT_WRITE);
	fake_audit_tlb(d);
}

static void test_guests_own_fault(void **state)
{
	struct domain *d = *state;

	assert_int_equal(tlb_fill(&d->vcpu[0], 0), -EFAULT);
	assert_int_equal(tlb_fill(&d->vcpu[0], 0xffff800000000000), -EFAULT);
	assert_int_equal(fake_engine_of(d)->maps, 0);
}

/* The upper half can be in the tables but not in a process. */
static void test_address_that_the_engine_cannot_map(void **state)
{
	struct domain *d = *state;
	gva_t high = 0xffffffff80000000;
	uint64_t *l3 = fake_page(d, 601), *l2 = fake_page(d, 602), *l1 = fake_page(d, 603);
	struct mmu_walk w;

	l1[0] = fake_pte(fake_frame(d, 604), FAKE_RW);
	l2[mmu_index(high, 2)] = fake_pte(fake_frame(d, 603), FAKE_RW);
	l3[mmu_index(high, 3)] = fake_pte(fake_frame(d, 602), FAKE_RW);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L4, 511), fake_pte(fake_frame(d, 601), FAKE_RW)), 0);
	assert_int_equal(mmu_walk(&d->vcpu[0], high, &w), 0);
	assert_int_equal(tlb_fill(&d->vcpu[0], high), -EFAULT);
	assert_int_equal(fake_engine_of(d)->maps, 0);
	fake_audit_counts(d, NULL);
}

static void test_one_page_for_one_entry(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(tlb_fill(v, fake_va(0)), 0);
	for (unsigned i = 100; i < 110; i++)
		assert_int_equal(do_update_va_mapping(v, fake_va(i), 0, 0), 0);
	assert_int_equal(fake_engine_of(d)->flushes, 0); /* not before the guest runs */
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->flushes, 1);
	assert_int_equal(fake_engine_of(d)->flush_alls, 0);
	assert_int_equal(fake_engine_of(d)->nr, FAKE_L1 - 10);
	fake_audit_tlb(d);
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->flushes, 1);
}

static void test_nothing_for_what_was_never_filled(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(do_update_va_mapping(v, fake_va(100), 0, 0), 0);
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->flushes + fake_engine_of(d)->flush_alls, 0);
	assert_int_equal(tlb_fill(v, fake_va(3)), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(100), fake_pte(fake_frame(d, 100), FAKE_RW), 0), 0); /* was absent */
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->flushes + fake_engine_of(d)->flush_alls, 0);
}

static void test_many_scattered_changes_flush_everything(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(tlb_fill(v, fake_va(0)), 0);
	for (unsigned i = 0; i < TLB_RANGES + 1; i++)
		assert_int_equal(do_update_va_mapping(v, fake_va(2 + 2 * i), 0, 0), 0);
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->flush_alls, 1);
	fake_audit_tlb(d);
}

/* The same L1 table at two addresses: a change shows at both. */
static void test_table_at_two_places(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	gva_t second = FAKE_VA + (8 << 21);

	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, mmu_index(second, 2)), fake_pte(fake_frame(d, FAKE_L1), FAKE_RW)), 0);
	assert_int_equal(tlb_fill(v, fake_va(3)), 0);
	assert_int_equal(tlb_fill(v, second + (3 << 12)), 0);
	assert_non_null(fake_engine_at(d, second + (3 << 12)));
	assert_int_equal(do_update_va_mapping(v, fake_va(3), 0, 0), 0);
	tlb_sync(v);
	fake_audit_tlb(d);
	assert_null(fake_engine_at(d, second + (3 << 12)));
}

static void test_what_was_flushed_is_not_flushed_again(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(tlb_fill(v, fake_va(3)), 0);
	tlb_flush_all(v);
	tlb_sync(v);
	assert_int_equal(do_update_va_mapping(v, fake_va(3), 0, 0), 0);
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->flushes, 0);
	assert_int_equal(fake_engine_of(d)->flush_alls, 1);
}

static void test_taking_away_the_right_to_write(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(tlb_fill(v, fake_va(3)), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(3), fake_pte(fake_frame(d, 3), FAKE_RO), 0), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(4), fake_pte(fake_frame(d, 4), FAKE_RW | PTE_NX), 0), 0);
	tlb_sync(v);
	fake_audit_tlb(d);
	assert_int_equal(do_update_va_mapping(v, fake_va(5), fake_pte(fake_frame(d, 5), PTE_PRESENT | PTE_RW), 0), 0); /* accessed, dirty only */
	assert_int_equal(v->domain->mmu->nr_ranges, 0);
}

static void test_no_room_in_the_engine(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(tlb_fill(v, fake_va(FAKE_L1)), 0);
	fake_engine_of(d)->fail_maps = 1;
	assert_int_equal(tlb_fill(v, fake_va(3)), 0);
	assert_int_equal(fake_engine_of(d)->flush_alls, 1);
	assert_null(fake_engine_at(d, fake_va(FAKE_L1)));
	assert_non_null(fake_engine_at(d, fake_va(3)));
	fake_engine_of(d)->fail_maps = 2;
	assert_int_equal(tlb_fill(v, fake_va(FAKE_L1)), -EFAULT);
}

static void test_engine_that_cannot_forget_ends_the_guest(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(tlb_fill(v, fake_va(3)), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(3), 0, 0), 0);
	fake_engine_of(d)->fail_flush = -EIO;
	tlb_sync(v);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_crash);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fill_takes_the_neighbours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run_ends_where_frames_or_rights_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guests_own_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(test_address_that_the_engine_cannot_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_page_for_one_entry, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_for_what_was_never_filled, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_scattered_changes_flush_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_at_two_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_was_flushed_is_not_flushed_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_taking_away_the_right_to_write, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room_in_the_engine, setup, teardown),
		cmocka_unit_test_setup_teardown(test_engine_that_cannot_forget_ends_the_guest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
