/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/machine.c: who gets which frames, that they come empty, that what is shared with domain 0 agrees. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>

#define MIB 8u
#define FRAMES (MIB * 256u)

static int setup(void **state)
{
	(void)state;
	return machine_init((uint64_t)MIB << 20);
}

static int teardown(void **state)
{
	(void)state;
	machine_fini();
	return 0;
}

static void test_contiguous_zeroed_and_owned(void **state)
{
	static const uint8_t zero[SLUICE_PAGE_SIZE];
	mfn_t mfn[100];

	(void)state;
	assert_int_equal(machine_alloc(7, mfn, 100), 0);
	assert_int_equal(machine_free_frames(), FRAMES - 100);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(mfn[i], mfn[0] + i);
		assert_int_equal(machine_owner(mfn[i]), 7);
		assert_int_equal(machine.share->frame_owner[mfn[i]], 7);
		assert_memory_equal(machine_ptr(mfn[i]), zero, sizeof(zero));
	}
	assert_true(mfn[0] >= MACHINE_FIRST_FRAME);
}

static void test_freed_content_is_gone(void **state)
{
	mfn_t mfn, again;

	(void)state;
	assert_int_equal(machine_alloc(1, &mfn, 1), 0);
	memset(machine_ptr(mfn), 0x5a, SLUICE_PAGE_SIZE);
	machine.m2p[mfn] = 3;
	machine_free(mfn);
	assert_int_equal(machine_owner(mfn), DOMID_INVALID);
	assert_int_equal(machine.share->frame_owner[mfn], DOMID_INVALID);
	assert_true(machine.m2p[mfn] == ~0ull);
	assert_int_equal(machine_alloc(2, &again, 1), 0);
	assert_int_equal(again, mfn);
	assert_int_equal(*(uint64_t *)machine_ptr(again), 0);
}

static void test_all_or_nothing(void **state)
{
	static mfn_t mfn[FRAMES + 1];

	(void)state;
	assert_int_equal(machine_alloc(1, mfn, FRAMES + 1), -ENOMEM);
	assert_int_equal(machine_free_frames(), FRAMES);
	assert_int_equal(machine_alloc(1, mfn, FRAMES), 0);
	assert_int_equal(machine_alloc(1, mfn, 1), -ENOMEM);
}

static void test_scattered_when_it_must(void **state)
{
	static mfn_t all[FRAMES], some[FRAMES / 2];

	(void)state;
	assert_int_equal(machine_alloc(1, all, FRAMES), 0);
	for (unsigned i = 0; i < FRAMES; i += 2)
		machine_free(all[i]);
	assert_int_equal(machine_alloc(2, some, FRAMES / 2), 0);
	for (unsigned i = 0; i < FRAMES / 2; i++)
		assert_int_equal(some[i], all[2 * i]);
	assert_int_equal(machine_free_frames(), 0);
}

static void test_xenheap_is_reused_for_the_same_only(void **state)
{
	mfn_t info, grant, other;

	(void)state;
	assert_int_equal(machine_alloc_xenheap(XENHEAP_SHARED_INFO, 1, &info), 0);
	assert_int_equal(machine_owner(info), DOMID_INVALID);
	memset(machine_ptr(info), 0x5a, SLUICE_PAGE_SIZE);
	machine_free_xenheap(XENHEAP_SHARED_INFO, info);
	assert_int_equal(machine_alloc_xenheap(XENHEAP_GRANT, 2, &grant), 0);
	assert_int_not_equal(grant, info);
	assert_int_equal(machine_alloc_xenheap(XENHEAP_SHARED_INFO, 3, &other), 0);
	assert_int_equal(other, info);
	assert_int_equal(*(uint64_t *)machine_ptr(other), 0);
	assert_int_equal(page_of(other)->owner, 3);
}

static void test_share_is_ready_for_domain_0(void **state)
{
	(void)state;
	assert_int_equal(machine.share->magic, HVSHARE_MAGIC);
	assert_int_equal(machine.share->version, HVSHARE_VERSION);
	assert_int_equal(machine.share->machine_frames, machine.nr_frames);
	assert_int_equal(machine.share->frame_owner[machine.nr_frames - 1], DOMID_INVALID);
	assert_int_equal(pthread_mutex_trylock(&machine.share->domain[255].grant_lock), 0);
	pthread_mutex_unlock(&machine.share->domain[255].grant_lock);
}

static void test_impossible_sizes(void **state)
{
	(void)state;
	assert_int_equal(machine_init(0), -EINVAL);
	assert_int_equal(machine_init(1ull << 40), -EINVAL);
}

static void test_owner_out_of_range(void **state)
{
	(void)state;
	assert_int_equal(machine_owner(machine.nr_frames), DOMID_INVALID);
	assert_int_equal(machine_owner(~0ull), DOMID_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_contiguous_zeroed_and_owned, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freed_content_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scattered_when_it_must, setup, teardown),
		cmocka_unit_test_setup_teardown(test_xenheap_is_reused_for_the_same_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_share_is_ready_for_domain_0, setup, teardown),
		cmocka_unit_test(test_impossible_sizes),
		cmocka_unit_test_setup_teardown(test_owner_out_of_range, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
