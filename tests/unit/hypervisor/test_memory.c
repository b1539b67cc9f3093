/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/memory.c: giving memory back and getting it again, and what the machine looks like. */
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

static long reserve(struct domain *d, unsigned op, unsigned n, unsigned order, domid_t domid)
{
	struct xen_memory_reservation *r = fake_page(d, 0);

	memset(r, 0, sizeof(*r));
	r->extent_start.p = (xen_pfn_t *)fake_va(1);
	r->nr_extents = n;
	r->extent_order = order;
	r->domid = domid;
	return do_memory_op(&d->vcpu[0], op, fake_va(0));
}

static void test_down_and_up_again(void **state)
{
	struct domain *d = *state;
	uint64_t *list = fake_page(d, 1), before = machine_free_frames();

	for (unsigned i = 0; i < 100; i++)
		list[i] = fake_frame(d, 600 + i);
	assert_int_equal(reserve(d, XENMEM_decrease_reservation, 100, 0, DOMID_SELF), 100);
	assert_int_equal(d->nr_pages, 924);
	assert_int_equal(machine_free_frames(), before + 100);
	assert_true(d->p2m[600] == SLUICE_INVALID_MFN);
	for (unsigned i = 0; i < 101; i++)
		list[i] = 600 + i;
	assert_int_equal(reserve(d, XENMEM_populate_physmap, 101, 0, d->domid), 100); /* its maximum is reached */
	assert_int_equal(d->nr_pages, 1024);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(d->p2m[600 + i], list[i]);
		assert_int_equal(machine_owner(list[i]), d->domid);
		assert_int_equal(machine.m2p[list[i]], 600 + i);
	}
	fake_audit_counts(d, NULL);
}

static void test_pages_in_use_stay(void **state)
{
	struct domain *d = *state;
	uint64_t *list = fake_page(d, 1);

	list[0] = fake_frame(d, 600);
	list[1] = fake_frame(d, FAKE_L1);
	list[2] = fake_frame(d, 601);
	assert_int_equal(reserve(d, XENMEM_decrease_reservation, 3, 0, DOMID_SELF), 1);
	assert_int_equal(machine_owner(fake_frame(d, FAKE_L1)), d->domid);
	assert_int_equal(machine_owner(fake_frame(d, 601)), d->domid);
	list[0] = d->shared_info_mfn;
	assert_int_equal(reserve(d, XENMEM_decrease_reservation, 1, 0, DOMID_SELF), 0);
	list[0] = ~0ull;
	assert_int_equal(reserve(d, XENMEM_decrease_reservation, 1, 0, DOMID_SELF), 0);
}

static void test_extents_of_several_pages(void **state)
{
	struct domain *d = *state;
	uint64_t *list = fake_page(d, 1);

	list[0] = fake_frame(d, 600); /* a fresh guest's frames are in a row */
	assert_int_equal(reserve(d, XENMEM_decrease_reservation, 1, 4, DOMID_SELF), 1);
	assert_int_equal(d->nr_pages, 1024 - 16);
	assert_int_equal(reserve(d, XENMEM_increase_reservation, 1, 4, DOMID_SELF), 1);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(machine_owner(list[0] + i), d->domid);
	assert_int_equal(reserve(d, XENMEM_increase_reservation, 1, 10, DOMID_SELF), 0);
	assert_int_equal(reserve(d, XENMEM_increase_reservation, 1, ~0u, DOMID_SELF), 0);
}

static void test_continued_call(void **state)
{
	struct domain *d = *state;
	uint64_t *list = fake_page(d, 1);

	list[0] = 3; /* done already */
	list[1] = fake_frame(d, 600);
	assert_int_equal(reserve(d, XENMEM_decrease_reservation | 1 << 6, 2, 0, DOMID_SELF), 2);
	assert_int_equal(d->nr_pages, 1023);
	assert_int_equal(reserve(d, XENMEM_decrease_reservation | 5 << 6, 2, 0, DOMID_SELF), 5);
}

static void test_what_is_told(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	domid_t *who = fake_page(d, 0);
	struct xen_machphys_mapping *m2p = fake_page(d, 2);
	struct xen_memory_map *map = fake_page(d, 3);
	uint64_t *e820 = fake_page(d, 4);

	*who = DOMID_SELF;
	assert_int_equal(do_memory_op(v, XENMEM_current_reservation, fake_va(0)), 1024);
	assert_int_equal(do_memory_op(v, XENMEM_maximum_reservation, fake_va(0)), 1024);
	*who = 0;
	assert_int_equal(do_memory_op(v, XENMEM_current_reservation, fake_va(0)), -EPERM);
	assert_int_equal(do_memory_op(v, XENMEM_current_reservation, 0), -EFAULT);
	assert_int_equal(do_memory_op(v, XENMEM_maximum_ram_page, 0), machine.nr_frames);
	assert_int_equal(do_memory_op(v, XENMEM_machphys_mapping, fake_va(2)), 0);
	assert_true(m2p->v_start == 0xffff800000000000 && m2p->max_mfn == machine.nr_frames - 1);
	map->nr_entries = 0;
	map->buffer.p = (void *)fake_va(4);
	assert_int_equal(do_memory_op(v, XENMEM_memory_map, fake_va(3)), -EINVAL);
	map->nr_entries = 9;
	assert_int_equal(do_memory_op(v, XENMEM_memory_map, fake_va(3)), 0);
	assert_int_equal(map->nr_entries, 1);
	assert_int_equal(e820[0], 0);
	assert_int_equal(e820[1], 1024 * 4096);
	assert_int_equal((uint32_t)e820[2], 1);
	assert_int_equal(do_memory_op(v, XENMEM_add_to_physmap, fake_va(0)), -ENOSYS);
	assert_int_equal(do_memory_op(v, XENMEM_machphys_mfn_list, fake_va(0)), -ENOSYS);
}

static void test_not_for_others(void **state)
{
	struct domain *d = *state;

	assert_int_equal(reserve(d, XENMEM_populate_physmap, 1, 0, 0), -EPERM);
	assert_int_equal(do_memory_op(&d->vcpu[0], XENMEM_decrease_reservation, 0), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_down_and_up_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_in_use_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_extents_of_several_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_continued_call, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_for_others, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
