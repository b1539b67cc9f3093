/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/guest_access.c: pages that are not neighbours, ends of ranges, rights, and all or nothing. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>
#include <hypervisor/guest_access.h>

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

static void test_across_pages_that_are_no_neighbours(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint8_t out[3 * SLUICE_PAGE_SIZE], in[3 * SLUICE_PAGE_SIZE];

	assert_int_equal(do_update_va_mapping(v, fake_va(11), fake_pte(fake_frame(d, 900), FAKE_RW), 0), 0);
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 7);
	assert_int_equal(copy_to_guest(v, fake_va(10) + 100, out, 2 * SLUICE_PAGE_SIZE), 0);
	assert_memory_equal((uint8_t *)fake_page(d, 10) + 100, out, SLUICE_PAGE_SIZE - 100);
	assert_memory_equal(fake_page(d, 900), out + SLUICE_PAGE_SIZE - 100, SLUICE_PAGE_SIZE);
	assert_memory_equal(fake_page(d, 12), out + 2 * SLUICE_PAGE_SIZE - 100, 100);
	assert_int_equal(copy_from_guest(v, in, fake_va(10) + 100, 2 * SLUICE_PAGE_SIZE), 0);
	assert_memory_equal(in, out, 2 * SLUICE_PAGE_SIZE);
}

static void test_nothing_half_done(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t two[2] = { 1, 2 }, *last = (uint64_t *)fake_page(d, FAKE_L1 - 1) + 511;

	*last = 77;
	assert_int_equal(copy_to_guest(v, fake_va(FAKE_L1) - 8, two, 16), -EFAULT); /* the second word is in a page table */
	assert_int_equal(*last, 77);
	assert_int_equal(copy_from_guest(v, two, fake_va(FAKE_MAPPED) - 8, 16), -EFAULT);
	assert_int_equal(two[0], 1);
}

static void test_read_only_is_readable(void **state)
{
	struct domain *d = *state;
	uint64_t e;

	assert_int_equal(get_guest(&d->vcpu[0], e, fake_va(FAKE_L1)), 0);
	assert_int_equal(e, fake_pte(fake_frame(d, 0), FAKE_RW));
	assert_int_equal(put_guest(&d->vcpu[0], fake_va(FAKE_L1), e), -EFAULT);
}

static void test_ends_of_the_address_space(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t x = 0;

	assert_int_equal(copy_from_guest(v, &x, ~0ull - 3, 8), -EFAULT);
	assert_int_equal(copy_from_guest(v, &x, fake_va(0), ~0ull), -EFAULT);
	assert_int_equal(copy_to_guest(v, 0xffff800000000000, &x, 8), -EFAULT);
	assert_int_equal(copy_to_guest(v, 0x7fffffffffff, &x, 8), -EFAULT);
	assert_int_equal(copy_from_guest(v, &x, 0x10, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_across_pages_that_are_no_neighbours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_half_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_only_is_readable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends_of_the_address_space, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
