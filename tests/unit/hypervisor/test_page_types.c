/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/page_types.c: what may become a table, counts, and that a refusal undoes all that it did. */
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

static void test_initial_tables_add_up(void **state)
{
	struct domain *d = *state;

	assert_int_equal(page_table_level(d, fake_frame(d, FAKE_L1)), 1);
	assert_int_equal(page_table_level(d, fake_frame(d, FAKE_L4)), 4);
	assert_int_equal(page_table_level(d, fake_frame(d, 0)), 0);
	fake_audit_counts(d, NULL);
}

static void test_type_changes_only_when_unused(void **state)
{
	struct domain *d = *state;
	mfn_t mfn = fake_frame(d, 600); /* mapped nowhere */

	assert_int_equal(page_get_type(d, mfn, PAGE_WRITABLE), 0);
	assert_int_equal(page_get_type(d, mfn, PAGE_L1), -EINVAL);
	page_put_type(d, mfn);
	assert_int_equal(page_get_type(d, mfn, PAGE_L1), 0);
	assert_int_equal(page_get_type(d, mfn, PAGE_WRITABLE), -EINVAL);
	assert_int_equal(page_get_type(d, mfn, PAGE_L2), -EINVAL);
	assert_int_equal(page_get_type(d, mfn, PAGE_L1), 0);
	page_put_type(d, mfn);
	assert_int_equal(page_of(mfn)->type, PAGE_L1);
	page_put_type(d, mfn);
	assert_int_equal(page_of(mfn)->type, PAGE_NONE);
	fake_audit_counts(d, NULL);
}

static void test_refusal_undoes_everything(void **state)
{
	struct domain *d = *state;
	uint64_t *l1 = fake_page(d, 600);

	for (unsigned i = 0; i < 511; i++)
		l1[i] = fake_pte(fake_frame(d, i % 500), i % 2 ? FAKE_RW : FAKE_RO);
	l1[511] = fake_pte(fake_frame(d, FAKE_L4), FAKE_RW);
	assert_int_equal(page_get_type(d, fake_frame(d, 600), PAGE_L1), -EINVAL);
	fake_audit_counts(d, NULL);
	l1[511] = fake_pte(fake_frame(d, FAKE_L4), FAKE_RO);
	assert_int_equal(page_get_type(d, fake_frame(d, 600), PAGE_L1), 0);
	page_put_type(d, fake_frame(d, 600));
	fake_audit_counts(d, NULL);
}

static void test_refusal_deep_down_undoes_every_level(void **state)
{
	struct domain *d = *state;
	uint64_t *l1 = fake_page(d, 600), *l2 = fake_page(d, 601), *l3 = fake_page(d, 602);

	l1[7] = fake_pte(MACHINE_FIRST_FRAME - 1, FAKE_RO);
	l2[0] = fake_pte(fake_frame(d, FAKE_L1), FAKE_RW);
	l2[9] = fake_pte(fake_frame(d, 600), FAKE_RW);
	l3[0] = fake_pte(fake_frame(d, FAKE_L2), FAKE_RW);
	l3[5] = fake_pte(fake_frame(d, 601), FAKE_RW);
	assert_int_equal(page_get_type(d, fake_frame(d, 602), PAGE_L3), -EPERM);
	fake_audit_counts(d, NULL);
}

static void test_table_of_itself(void **state)
{
	struct domain *d = *state;
	uint64_t *l4 = fake_page(d, 600);

	l4[3] = fake_pte(fake_frame(d, 600), FAKE_RO);
	for (enum page_type level = PAGE_L2; level <= PAGE_L4; level++)
		assert_int_equal(page_get_type(d, fake_frame(d, 600), level), -EINVAL);
	assert_int_equal(page_get_type(d, fake_frame(d, 600), PAGE_L1), 0); /* an L1 may name itself read-only */
	page_put_type(d, fake_frame(d, 600));
	fake_audit_counts(d, NULL);
}

static void test_counts_do_not_wrap(void **state)
{
	struct domain *d = *state;
	struct page *p = page_of(fake_frame(d, 600));

	p->uses = PAGE_COUNT_MAX;
	p->type = PAGE_WRITABLE;
	assert_int_equal(page_get_type(d, fake_frame(d, 600), PAGE_WRITABLE), -EBUSY);
	p->uses = 0;
	p->type = PAGE_NONE;
	p->refs = PAGE_COUNT_MAX;
	assert_int_equal(page_get_ref(d, fake_frame(d, 600)), -EBUSY);
	p->refs = 0;
}

static void test_flags(void **state)
{
	uint64_t pte = fake_pte(1, PTE_PRESENT | PTE_GLOBAL), absent = PTE_LARGE | PTE_GLOBAL;

	(void)state;
	assert_int_equal(pte_adjust(1, &pte), 0);
	assert_int_equal(pte, fake_pte(1, PTE_PRESENT | PTE_USER));
	for (unsigned level = 2; level <= 4; level++) {
		pte = fake_pte(1, PTE_PRESENT | PTE_LARGE);
		assert_int_equal(pte_adjust(level, &pte), -EINVAL);
		pte = fake_pte(1, PTE_PRESENT | PTE_GLOBAL);
		assert_int_equal(pte_adjust(level, &pte), -EINVAL);
	}
	assert_int_equal(pte_adjust(4, &absent), 0);
}

static void test_xen_slots_are_emptied(void **state)
{
	struct domain *d = *state;
	uint64_t *l4 = fake_page(d, 600);

	l4[L4_XEN_FIRST] = fake_pte(fake_frame(d, FAKE_L3), FAKE_RW);
	l4[L4_XEN_LAST] = fake_pte(0x12345678, FAKE_RW);
	assert_int_equal(page_get_type(d, fake_frame(d, 600), PAGE_L4), 0);
	assert_int_equal(l4[L4_XEN_FIRST], 0);
	assert_int_equal(l4[L4_XEN_LAST], 0);
	page_put_type(d, fake_frame(d, 600));
	fake_audit_counts(d, NULL);
}

static void test_page_that_domain_0_writes_to_is_no_table(void **state)
{
	struct domain *d = *state;
	mfn_t mfn = fake_frame(d, 600);

	machine.share->frame_use[mfn] = HVSHARE_PIN_READ + HVSHARE_PIN_WRITE;
	assert_int_equal(page_get_type(d, mfn, PAGE_L1), -EBUSY);
	assert_int_equal(page_of(mfn)->type, PAGE_NONE);
	machine.share->frame_use[mfn] = HVSHARE_PIN_READ;
	assert_int_equal(page_get_type(d, mfn, PAGE_L1), 0);
	assert_true(machine.share->frame_use[mfn] & HVSHARE_FRAME_SEALED);
	page_put_type(d, mfn);
	assert_int_equal(machine.share->frame_use[mfn], HVSHARE_PIN_READ);
	machine.share->frame_use[mfn] = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_initial_tables_add_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_type_changes_only_when_unused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusal_undoes_everything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusal_deep_down_undoes_every_level, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_of_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts_do_not_wrap, setup, teardown),
		cmocka_unit_test(test_flags),
		cmocka_unit_test_setup_teardown(test_xen_slots_are_emptied, setup, teardown),
		cmocka_unit_test_setup_teardown(test_page_that_domain_0_writes_to_is_no_table, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
