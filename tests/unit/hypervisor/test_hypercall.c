/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/hypercall.c: numbers to functions, multicall, and the hypercall page. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>
#include <hypervisor/hypercall.h>

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

static long call(struct domain *d, uint64_t nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4)
{
	struct cpu_user_regs *r = &d->vcpu[0].regs.user;

	r->rax = nr;
	r->rdi = a1;
	r->rsi = a2;
	r->rdx = a3;
	r->r10 = a4;
	hypercall(&d->vcpu[0]);
	return (long)r->rax;
}

static void test_arguments_arrive(void **state)
{
	struct domain *d = *state;

	assert_int_equal(call(d, __HYPERVISOR_xen_version, XENVER_version, 0, 0, 0), 4 << 16 | 17);
	assert_int_equal(call(d, __HYPERVISOR_update_va_mapping, fake_va(3), fake_pte(fake_frame(d, 3), FAKE_RO), 0, 0), 0);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[3] & PTE_RW, 0);
	assert_int_equal(call(d, __HYPERVISOR_mmuext_op, fake_va(0), 0, 0, 0), -EPERM);
	assert_int_equal(call(d, __HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0), 0);
}

/* The other half of mmu_update's last argument says whose tables. */
static void test_tables_of_others(void **state)
{
	struct domain *d = *state;

	assert_int_equal(call(d, __HYPERVISOR_mmu_update, fake_va(0), 0, 0, DOMID_SELF | 1u << 16), -EPERM); /* domain 0's */
	assert_int_equal(call(d, __HYPERVISOR_mmu_update, fake_va(0), 0, 0, DOMID_SELF | (d->domid + 1u) << 16), 0);
	assert_int_equal(call(d, __HYPERVISOR_mmu_update, fake_va(0), 0, 0, DOMID_SELF), 0);
}

static void test_unknown_ones_are_logged_once(void **state)
{
	static const uint64_t nr[] = { __HYPERVISOR_hvm_op, 63, 64, 1000, ~0ull, 1ull << 32 };
	struct domain *d = *state;

	assert_int_equal(call(d, __HYPERVISOR_xsm_op, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(d->log_lines, 1);
	assert_int_equal(call(d, __HYPERVISOR_xsm_op, 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(d->log_lines, 1);
	for (unsigned i = 0; i < sizeof(nr) / sizeof(nr[0]); i++)
		assert_int_equal(call(d, nr[i], 0, 0, 0, 0), -ENOSYS);
	assert_int_equal(d->log_lines, 3); /* all from 63 on count as one */
}

static void test_multicall(void **state)
{
	struct domain *d = *state;
	struct multicall_entry *m = fake_page(d, 2);

	memset(m, 0, SLUICE_PAGE_SIZE);
	m[0] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_pagesize } };
	m[1] = (struct multicall_entry){ .op = __HYPERVISOR_multicall, .args = { fake_va(2), 3 } };
	m[2] = (struct multicall_entry){ .op = __HYPERVISOR_iret };
	m[3] = (struct multicall_entry){ .op = 999 };
	m[4] = (struct multicall_entry){ .op = __HYPERVISOR_update_va_mapping, .args = { fake_va(9), 0, 0 } };
	assert_int_equal(call(d, __HYPERVISOR_multicall, fake_va(2), 5, 0, 0), 0);
	assert_int_equal(m[0].result, 4096);
	assert_int_equal((long)m[1].result, -EINVAL);
	assert_int_equal((long)m[2].result, -EINVAL);
	assert_int_equal((long)m[3].result, -ENOSYS);
	assert_int_equal((long)m[4].result, 0);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[9], 0);
}

static void test_multicall_lies(void **state)
{
	struct domain *d = *state;
	struct multicall_entry *m = fake_page(d, 2);

	assert_int_equal(call(d, __HYPERVISOR_multicall, fake_va(2), ~0u, 0, 0), -EINVAL);
	assert_int_equal(call(d, __HYPERVISOR_multicall, 0, 1, 0, 0), -EFAULT);
	assert_int_equal(call(d, __HYPERVISOR_multicall, fake_va(FAKE_L1), 1, 0, 0), -EFAULT); /* no room for the result */
	/* it takes the list away under our feet, then ends: nothing after that is done */
	m[0] = (struct multicall_entry){ .op = __HYPERVISOR_update_va_mapping, .args = { fake_va(2), 0, 0 } };
	assert_int_equal(call(d, __HYPERVISOR_multicall, fake_va(2), 2, 0, 0), -EFAULT);
	m = fake_page(d, 3);
	m[0] = (struct multicall_entry){ .op = __HYPERVISOR_sched_op_compat, .args = { SCHEDOP_shutdown, SHUTDOWN_poweroff } };
	m[1] = (struct multicall_entry){ .op = __HYPERVISOR_update_va_mapping, .args = { fake_va(9), 0, 0 } };
	assert_int_equal(call(d, __HYPERVISOR_multicall, fake_va(3), 2, 0, 0), 0);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_not_equal(((uint64_t *)fake_page(d, FAKE_L1))[9], 0);
}

static void test_page(void **state)
{
	static const uint8_t sched_op[] = { 0x51, 0x41, 0x53, 0xb8, 29, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3, 0xcc };
	static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, 23, 0, 0, 0, 0x0f, 0x05, 0xcc, 0xcc, 0xcc, 0xcc };
	static uint8_t page[SLUICE_PAGE_SIZE];

	(void)state;
	hypercall_page_fill(page);
	assert_memory_equal(page + 29 * 32, sched_op, sizeof(sched_op));
	assert_memory_equal(page + 23 * 32, iret, sizeof(iret));
	assert_int_equal(page[127 * 32 + 4], 127);
	assert_int_equal(page[4095], 0xcc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_arguments_arrive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tables_of_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown_ones_are_logged_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multicall, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multicall_lies, setup, teardown),
		cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
