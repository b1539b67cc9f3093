/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/mmu.c: walks, frames that come and go, vm_assist. */
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

static void test_walk_says_what_the_tables_say(void **state)
{
	struct domain *d = *state;
	struct mmu_walk w;

	assert_int_equal(mmu_walk(&d->vcpu[0], fake_va(3) + 0x123, &w), 0);
	assert_int_equal(w.mfn, fake_frame(d, 3));
	assert_int_equal(w.l1_mfn, fake_frame(d, FAKE_L1));
	assert_int_equal(w.l1_index, 3);
	assert_true(w.write && w.exec);
	assert_int_equal(mmu_walk(&d->vcpu[0], fake_va(FAKE_L4), &w), 0);
	assert_false(w.write);
}

static void test_walk_refuses_what_is_not_there(void **state)
{
	static const gva_t nowhere[] = { 0, FAKE_VA - 1, FAKE_VA + FAKE_MAPPED * 4096, 1ull << 40, 0x800000000000, ~0ull, 0xffff800000000000,
					 FAKE_VA | 1ull << 48 };
	struct domain *d = *state;
	struct mmu_walk w;

	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++)
		assert_int_equal(mmu_walk(&d->vcpu[0], nowhere[i], &w), -EFAULT);
}

static void test_rights_of_every_level_count(void **state)
{
	struct domain *d = *state;
	struct mmu_walk w;
	static const unsigned table[] = { FAKE_L2, FAKE_L3, FAKE_L4 };

	for (unsigned i = 0; i < 3; i++) {
		uint64_t *e = (uint64_t *)fake_page(d, table[i]) + mmu_index(FAKE_VA, i + 2), was = *e;

		assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, table[i], mmu_index(FAKE_VA, i + 2)), (was & ~PTE_RW) | PTE_NX), 0);
		assert_int_equal(mmu_walk(&d->vcpu[0], fake_va(3), &w), 0);
		assert_false(w.write || w.exec);
		assert_int_equal(fake_mmu_update(d, fake_entry_maddr(d, table[i], mmu_index(FAKE_VA, i + 2)), was), 0);
		assert_int_equal(mmu_walk(&d->vcpu[0], fake_va(3), &w), 0);
		assert_true(w.write && w.exec);
	}
}

static void test_steal_only_what_is_unused(void **state)
{
	struct domain *d = *state;
	mfn_t free_mfn = fake_frame(d, 700);

	assert_int_equal(mmu_steal_page(d, fake_frame(d, 3)), -EBUSY);
	assert_int_equal(mmu_steal_page(d, fake_frame(d, FAKE_L1)), -EBUSY);
	assert_int_equal(mmu_steal_page(d, d->shared_info_mfn), -EPERM);
	assert_int_equal(mmu_steal_page(d, 5), -EPERM);
	machine.share->frame_use[free_mfn] = HVSHARE_PIN_READ;
	assert_int_equal(mmu_steal_page(d, free_mfn), -EBUSY);
	assert_int_equal(machine_owner(free_mfn), d->domid);
	machine.share->frame_use[free_mfn] = 0;
	assert_int_equal(mmu_steal_page(d, free_mfn), 0);
	assert_int_equal(machine_owner(free_mfn), DOMID_INVALID);
	assert_int_equal(machine.share->frame_owner[free_mfn], DOMID_INVALID);
	assert_true(d->p2m[700] == SLUICE_INVALID_MFN);
	assert_int_equal(d->nr_pages, 1023);
	assert_int_equal(mmu_give_page(d, free_mfn, 700), 0);
	assert_int_equal(machine_owner(free_mfn), d->domid);
	assert_int_equal(d->p2m[700], free_mfn);
	assert_int_equal(mmu_give_page(d, free_mfn, 700), -ENOMEM); /* it is at its maximum */
}

/* It spoils its own map, and nobody searches that: with hv_lock held that would be at all others' cost. */
static void test_guest_that_lied_about_m2p(void **state)
{
	struct domain *d = *state;
	mfn_t mfn = fake_frame(d, 700);

	assert_int_equal(fake_mmu_update(d, mfn << SLUICE_PAGE_SHIFT | MMU_MACHPHYS_UPDATE, 3), 0);
	assert_int_equal(mmu_steal_page(d, mfn), 0);
	assert_int_equal(d->p2m[700], mfn);
	assert_int_not_equal(d->p2m[3], SLUICE_INVALID_MFN);
	assert_int_equal(machine.m2p[mfn], ~0ull);
	machine_free(mfn);
}

static void test_held_pages(void **state)
{
	struct domain *d = *state;
	mfn_t mfn = fake_frame(d, 700);

	assert_int_equal(mmu_get_granted(d, mfn, true), 0);
	assert_int_equal(mmu_steal_page(d, mfn), -EBUSY);
	assert_int_equal(page_get_type(d, mfn, PAGE_L1), -EINVAL);
	mmu_put_granted(d, mfn, true);
	assert_int_equal(mmu_get_granted(d, fake_frame(d, FAKE_L1), true), -EINVAL);
	assert_int_equal(mmu_get_granted(d, 7, false), -EPERM);
	fake_audit_counts(d, NULL);
}

static void test_adopts_no_bad_tables(void **state)
{
	struct domain *d = *state;
	struct vcpu other = { .domain = d };

	assert_int_equal(mmu_adopt_tables(&other, fake_frame(d, FAKE_L3)), -EINVAL);
	assert_int_equal(mmu_adopt_tables(&other, 17), -EINVAL);
	assert_int_equal(other.cr3, 0);
}

static void test_vm_assist(void **state)
{
	struct domain *d = *state;

	assert_int_equal(do_vm_assist(&d->vcpu[0], VMASST_CMD_enable, VMASST_TYPE_pae_extended_cr3), 0);
	assert_int_equal(d->vm_assist, 1ull << VMASST_TYPE_pae_extended_cr3);
	assert_int_equal(do_vm_assist(&d->vcpu[0], VMASST_CMD_disable, VMASST_TYPE_pae_extended_cr3), 0);
	assert_int_equal(d->vm_assist, 0);
	assert_int_equal(do_vm_assist(&d->vcpu[0], VMASST_CMD_enable, 64), -EINVAL);
	assert_int_equal(do_vm_assist(&d->vcpu[0], VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), -EINVAL);
	assert_int_equal(do_vm_assist(&d->vcpu[0], 2, VMASST_TYPE_pae_extended_cr3), -ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_walk_says_what_the_tables_say, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walk_refuses_what_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rights_of_every_level_count, setup, teardown),
		cmocka_unit_test_setup_teardown(test_steal_only_what_is_unused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guest_that_lied_about_m2p, setup, teardown),
		cmocka_unit_test_setup_teardown(test_held_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopts_no_bad_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vm_assist, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
