/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/mmuext.c: pins, roots, whole pages, and the flushes that need nothing. */
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

static void test_pin_and_unpin(void **state)
{
	struct domain *d = *state;
	mfn_t mfn = fake_frame(d, 600);

	for (unsigned level = 1; level <= 4; level++) {
		assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE + level - 1, mfn), 0);
		assert_int_equal(page_table_level(d, mfn), level);
		assert_int_equal(fake_mmuext(d, MMUEXT_PIN_L1_TABLE + level - 1, mfn), -EINVAL);
		fake_audit_counts(d, NULL);
		assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, mfn), 0);
		assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, mfn), -EINVAL);
		assert_int_equal(page_of(mfn)->type, PAGE_NONE);
	}
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, 9), -EPERM);
	fake_audit_counts(d, NULL);
}

static void test_a_new_root(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	mfn_t old = v->cr3, fresh = fake_frame(d, 600);

	memcpy(fake_page(d, 600), fake_page(d, FAKE_L4), SLUICE_PAGE_SIZE);
	assert_int_equal(tlb_fill(v, fake_va(9)), 0);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, fake_frame(d, FAKE_L3)), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, 0), -EPERM);
	assert_int_equal(v->cr3, old);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, fresh), 0);
	assert_int_equal(v->cr3, fresh);
	tlb_sync(v);
	assert_int_equal(fake_engine_of(d)->nr, 0);
	fake_audit_counts(d, NULL);
	assert_int_equal(fake_mmuext(d, MMUEXT_UNPIN_TABLE, old), 0); /* of no use to anybody now */
	assert_int_equal(page_of(old)->type, PAGE_NONE);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_BASEPTR, fresh), 0);
	fake_audit_counts(d, NULL);
}

static void test_user_root(void **state)
{
	struct domain *d = *state;
	mfn_t root = fake_frame(d, 600);

	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_USER_BASEPTR, root), 0);
	assert_int_equal(page_table_level(d, root), 4);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_USER_BASEPTR, fake_frame(d, FAKE_L1)), -EINVAL);
	fake_audit_counts(d, NULL);
	assert_int_equal(fake_mmuext(d, MMUEXT_NEW_USER_BASEPTR, 0), 0);
	assert_int_equal(page_of(root)->type, PAGE_NONE);
}

static void test_whole_pages(void **state)
{
	struct domain *d = *state;
	struct mmuext_op *op = fake_page(d, 0);

	memset(fake_page(d, 20), 0x33, SLUICE_PAGE_SIZE);
	*op = (struct mmuext_op){ .cmd = MMUEXT_COPY_PAGE, .arg1.mfn = fake_frame(d, 21), .arg2.src_mfn = fake_frame(d, 20) };
	assert_int_equal(do_mmuext_op(&d->vcpu[0], fake_va(0), 1, 0, DOMID_SELF), 0);
	assert_memory_equal(fake_page(d, 21), fake_page(d, 20), SLUICE_PAGE_SIZE);
	assert_int_equal(fake_mmuext(d, MMUEXT_CLEAR_PAGE, fake_frame(d, 21)), 0);
	assert_int_equal(*(uint64_t *)fake_page(d, 21), 0);
	assert_int_equal(fake_mmuext(d, MMUEXT_CLEAR_PAGE, fake_frame(d, FAKE_L1)), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_CLEAR_PAGE, d->shared_info_mfn), -EPERM);
	*op = (struct mmuext_op){ .cmd = MMUEXT_COPY_PAGE, .arg1.mfn = fake_frame(d, 21), .arg2.src_mfn = d->shared_info_mfn };
	assert_int_equal(do_mmuext_op(&d->vcpu[0], fake_va(0), 1, 0, DOMID_SELF), -EPERM);
	op->arg2.src_mfn = 0;
	assert_int_equal(do_mmuext_op(&d->vcpu[0], fake_va(0), 1, 0, DOMID_SELF), -EPERM);
	fake_audit_counts(d, NULL);
}

static void test_flushes_and_the_rest(void **state)
{
	static const unsigned fine[] = { MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL, MMUEXT_TLB_FLUSH_MULTI, MMUEXT_INVLPG_MULTI,
					 MMUEXT_TLB_FLUSH_ALL, MMUEXT_INVLPG_ALL, MMUEXT_FLUSH_CACHE, MMUEXT_SET_LDT };
	struct domain *d = *state;

	for (unsigned i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
		assert_int_equal(fake_mmuext(d, fine[i], 0), 0);
	assert_int_equal(fake_mmuext(d, MMUEXT_SET_LDT, 0x123), -EINVAL);
	assert_int_equal(fake_mmuext(d, MMUEXT_MARK_SUPER, fake_frame(d, 5)), -ENOSYS);
	assert_int_equal(fake_mmuext(d, 14, 0), -ENOSYS);
	assert_int_equal(fake_mmuext(d, 1000, 0), -ENOSYS);
}

static void test_how_many_were_done(void **state)
{
	struct domain *d = *state;
	struct mmuext_op *op = fake_page(d, 0);
	uint32_t *done = fake_page(d, 1);

	memset(op, 0, SLUICE_PAGE_SIZE);
	for (unsigned i = 0; i < 10; i++)
		op[i].cmd = i == 7 ? MMUEXT_UNPIN_TABLE : MMUEXT_TLB_FLUSH_LOCAL;
	assert_int_equal(do_mmuext_op(&d->vcpu[0], fake_va(0), 10, fake_va(1), DOMID_SELF), -EPERM);
	assert_int_equal(*done, 7);
	assert_int_equal(do_mmuext_op(&d->vcpu[0], fake_va(0), 10, 0, 0), -EPERM);
	assert_int_equal(do_mmuext_op(&d->vcpu[0], fake_va(0), ~0u, 0, DOMID_SELF), -EINVAL);
	assert_int_equal(do_mmuext_op(&d->vcpu[0], 0, 1, 0, DOMID_SELF), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pin_and_unpin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_new_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flushes_and_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(test_how_many_were_done, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
