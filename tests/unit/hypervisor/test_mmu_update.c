/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/mmu_update.c: requests and what they leave; the lies are in tests/hostile/test_page_tables.c. */
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

static void test_entry_is_stored_counted_and_flushed(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t *l1 = fake_page(d, FAKE_L1);

	assert_int_equal(tlb_fill(v, fake_va(5)), 0);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L1, 5), fake_pte(fake_frame(d, 600), FAKE_RW | PTE_GLOBAL)), 0);
	assert_int_equal(l1[5], fake_pte(fake_frame(d, 600), FAKE_RW));
	assert_int_equal(page_of(fake_frame(d, 600))->type, PAGE_WRITABLE);
	assert_int_equal(page_of(fake_frame(d, 5))->refs, 0);
	tlb_sync(v);
	assert_null(fake_engine_at(d, fake_va(5)));
	assert_non_null(fake_engine_at(d, fake_va(6)));
	fake_audit_counts(d, NULL);
	fake_audit_tlb(d);
}

static void test_batch_stops_at_the_first_wrong_one(void **state)
{
	struct domain *d = *state;
	struct mmu_update *u = fake_page(d, 0);
	uint32_t *done = fake_page(d, 1);

	for (unsigned i = 0; i < 200; i++)
		u[i] = (struct mmu_update){ fake_entry_maddr(d, FAKE_L1, 2 + i), fake_pte(fake_frame(d, 2 + i), FAKE_RO) };
	u[150].val = fake_pte(1, FAKE_RO);
	assert_int_equal(do_mmu_update(&d->vcpu[0], fake_va(0), 200, fake_va(1), DOMID_SELF), -EPERM);
	assert_int_equal(*done, 150);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[151] & PTE_RW, 0);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[152] & PTE_RW, PTE_RW);
	assert_int_equal(do_mmu_update(&d->vcpu[0], fake_va(0), 150, fake_va(1), d->domid), 0);
	fake_audit_counts(d, NULL);
}

static void test_commands(void **state)
{
	struct domain *d = *state;
	uint64_t *l1 = fake_page(d, FAKE_L1), at = fake_entry_maddr(d, FAKE_L1, 9);

	l1[9] |= PTE_DIRTY;
	assert_int_equal(fake_mmu_update(d, at | MMU_PT_UPDATE_PRESERVE_AD, fake_pte(fake_frame(d, 9), PTE_PRESENT)), 0);
	assert_int_equal(l1[9], fake_pte(fake_frame(d, 9), PTE_PRESENT | PTE_USER | PTE_ACCESSED | PTE_DIRTY));
	assert_int_equal(fake_mmu_update(d, at | MMU_PT_UPDATE_NO_TRANSLATE, fake_pte(fake_frame(d, 9), PTE_PRESENT)), 0);
	assert_int_equal(l1[9], fake_pte(fake_frame(d, 9), PTE_PRESENT | PTE_USER));
	for (unsigned cmd = 4; cmd < 8; cmd++)
		assert_int_equal(fake_mmu_update(d, at | cmd, 0), -ENOSYS);
	assert_int_equal(fake_mmu_update(d, fake_frame(d, 9) << SLUICE_PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 77), 0);
	assert_int_equal(machine.m2p[fake_frame(d, 9)], 77);
	assert_int_equal(fake_mmu_update(d, 3ull << SLUICE_PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 77), -EPERM);
	assert_int_equal(fake_mmu_update(d, ~0ull << 13 | MMU_MACHPHYS_UPDATE, 77), -EPERM);
}

static void test_plain_page_is_just_written(void **state)
{
	struct domain *d = *state;

	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, 4, 3), 0x1122334455667788), 0);
	assert_true(((uint64_t *)fake_page(d, 4))[3] == 0x1122334455667788);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, 700, 3), 42), 0);
	assert_int_equal(page_of(fake_frame(d, 700))->type, PAGE_NONE);
	fake_audit_counts(d, NULL);
}

static void test_upper_entry_brings_a_table_in_and_out(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t *l1 = fake_page(d, 600);
	gva_t va = FAKE_VA + (1 << 21);
	struct mmu_walk w;

	l1[0] = fake_pte(fake_frame(d, 601), FAKE_RW);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, mmu_index(va, 2)), fake_pte(fake_frame(d, 600), FAKE_RW)), 0);
	assert_int_equal(page_table_level(d, fake_frame(d, 600)), 1);
	assert_int_equal(mmu_walk(v, va, &w), 0);
	assert_int_equal(tlb_fill(v, va), 0);
	fake_audit_counts(d, NULL);
	assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, FAKE_L2, mmu_index(va, 2)), 0), 0);
	assert_int_equal(page_of(fake_frame(d, 600))->type, PAGE_NONE);
	tlb_sync(v);
	assert_null(fake_engine_at(d, va));
	fake_audit_counts(d, NULL);
}

static void test_update_va_mapping(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(do_update_va_mapping(v, fake_va(20), fake_pte(d->shared_info_mfn, FAKE_RW), UVMF_INVLPG), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(20), fake_pte(fake_frame(d, 20), FAKE_RW), UVMF_INVLPG), 0);
	assert_int_equal(do_update_va_mapping(v, fake_va(20), 0, 0), 0);
	assert_int_equal(do_update_va_mapping(v, 1ull << 40, fake_pte(fake_frame(d, 20), FAKE_RW), 0), -EINVAL);
	assert_int_equal(do_update_va_mapping(v, 0xffff800000000000, fake_pte(fake_frame(d, 20), FAKE_RW), 0), -EINVAL);
	fake_audit_counts(d, NULL);
}

static void test_store_into_a_table(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	gva_t at = fake_va(FAKE_L1) + 30 * sizeof(uint64_t);

	assert_int_equal(mmu_emulate_pte_write(v, at, fake_pte(fake_frame(d, 30), FAKE_RO)), 0);
	assert_int_equal(((uint64_t *)fake_page(d, FAKE_L1))[30], fake_pte(fake_frame(d, 30), FAKE_RO));
	assert_int_equal(mmu_emulate_pte_write(v, at, fake_pte(2, FAKE_RO)), -EPERM);
	assert_int_equal(mmu_emulate_pte_write(v, at + 1, 0), -EFAULT);
	assert_int_equal(mmu_emulate_pte_write(v, fake_va(3), 0), -EFAULT);
	fake_audit_counts(d, NULL);
}

static void test_bad_arguments(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	assert_int_equal(do_mmu_update(v, fake_va(0), 1, 0, 0), -EPERM);
	assert_int_equal(do_mmu_update(v, fake_va(0), 1, 0, DOMID_IO), -EPERM);
	assert_int_equal(do_mmu_update(v, fake_va(0), ~0u, 0, DOMID_SELF), -EINVAL);
	assert_int_equal(do_mmu_update(v, 0x10, 1, 0, DOMID_SELF), -EFAULT);
	assert_int_equal(do_mmu_update(v, fake_va(0), 0, fake_va(FAKE_L1), DOMID_SELF), -EFAULT);
	assert_int_equal(do_mmu_update(v, 0, 0, 0, DOMID_SELF), 0);
	d->run = DOMAIN_DYING;
	assert_int_equal(do_mmu_update(v, fake_va(0), 1, 0, DOMID_SELF), -EINTR);
	d->run = DOMAIN_RUNNING;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_entry_is_stored_counted_and_flushed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batch_stops_at_the_first_wrong_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain_page_is_just_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_upper_entry_brings_a_table_in_and_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update_va_mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_store_into_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_arguments, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
