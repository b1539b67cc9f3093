/* SPDX-License-Identifier: BSD-3-Clause */
/* What hv_fake adds to hv.h for tests (hv.h itself is in tests/contract/hv): mappings that fault like real ones, faults on demand, counters, dying domains. */
#include <backend/hv/hv_fake.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static struct hv *hv;
static uint8_t *page;

static int setup(void **state)
{
	(void)state;
	if (hv_fake_open(&hv) || hv_fake_domain_create(hv, 1))
		return -1;
	page = hv_fake_pages_alloc(hv, 1, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hv->ops->close(hv);
	return 0;
}

/* Can a byte be read from, or written to, this address? Asked of the kernel, so that nothing faults here. */
static bool reachable(void *va, bool write_to)
{
	int zero = open(write_to ? "/dev/zero" : "/dev/null", O_RDWR), fds[2];
	bool ok;

	assert_int_equal(pipe(fds), 0);
	ok = write_to ? read(zero, va, 1) == 1 : write(fds[1], va, 1) == 1;
	close(zero);
	close(fds[0]);
	close(fds[1]);
	return ok;
}

static void mappings_are_real(void **state)
{
	struct hv_map_op map = {.domid = 1, .readonly = true};
	struct hv_unmap_op unmap;

	(void)state;
	assert_int_equal(hv_fake_grant(hv, 1, 0, page, false, &map.gref), 0);
	hv->ops->map(hv, &map, 1);
	assert_int_equal(map.status, GNTST_okay);
	page[5] = 77;
	assert_int_equal(((uint8_t *)map.va)[5], 77);
	assert_true(reachable(map.va, false));
	assert_false(reachable(map.va, true));
	assert_int_equal(hv_fake_grant_busy(hv, 1, map.gref), 1);
	assert_int_equal(hv_fake_grant_end(hv, 1, map.gref), -EBUSY);
	assert_int_equal(hv_fake_mapped(hv), 1);
	unmap = (struct hv_unmap_op){.va = map.va, .handle = map.handle};
	hv->ops->unmap(hv, &unmap, 1);
	assert_int_equal(unmap.status, GNTST_okay);
	assert_false(reachable(map.va, false));
	assert_int_equal(hv_fake_grant_end(hv, 1, map.gref), 0);
	assert_int_equal(hv_fake_grant_end(hv, 1, map.gref), -ENOENT);
}

static void only_own_pages_are_granted(void **state)
{
	static uint8_t mine[4096];
	gref_t gref;

	(void)state;
	assert_int_equal(hv_fake_grant(hv, 1, 0, mine, false, &gref), -EINVAL);
	assert_int_equal(hv_fake_grant(hv, 1, 0, page + 1, false, &gref), -EINVAL);
	assert_int_equal(hv_fake_grant(hv, 9, 0, page, false, &gref), -EINVAL);
}

/* A domain dies while a page of it is mapped: the page stays until it is unmapped, nothing new is given. */
static void dying_domain(void **state)
{
	struct hv_map_op map[2] = {{.domid = 1}, {.domid = 1}};
	struct hv_unmap_op unmap;

	(void)state;
	assert_int_equal(hv_fake_grant(hv, 1, 0, page, false, &map[0].gref), 0);
	map[1].gref = map[0].gref;
	hv->ops->map(hv, map, 1);
	hv_fake_domain_destroy(hv, 1);
	((uint8_t *)map[0].va)[0] = 1;
	hv->ops->map(hv, &map[1], 1);
	assert_int_equal(map[1].status, GNTST_bad_domain);
	assert_null(map[1].va);
	assert_int_equal(hv_fake_domain_create(hv, 1), 0);
	unmap = (struct hv_unmap_op){.va = map[0].va, .handle = map[0].handle};
	hv->ops->unmap(hv, &unmap, 1);
	assert_int_equal(unmap.status, GNTST_okay);
	assert_int_equal(hv_fake_mapped(hv), 0);
}

static void faults_hit_the_nth(void **state)
{
	uint8_t local[3] = {0};
	struct hv_copy_op op[3];
	gref_t gref;

	(void)state;
	assert_int_equal(hv_fake_grant(hv, 1, 0, page, true, &gref), 0);
	page[0] = 9;
	for (unsigned i = 0; i < 3; i++)
		op[i] = (struct hv_copy_op){.src = {.domid = 1, .gref = gref}, .dst = {.local = &local[i]}, .len = 1};
	hv_fake_fail(hv, HV_FAKE_COPY, 2, GNTST_bad_page);
	assert_int_equal(hv->ops->copy(hv, op, 3), 0);
	assert_int_equal(op[0].status, GNTST_okay);
	assert_int_equal(op[1].status, GNTST_bad_page);
	assert_int_equal(op[2].status, GNTST_okay);
	assert_int_equal(local[1], 0);
	assert_int_equal(local[2], 9);
	assert_int_equal(hv_fake_count(hv, HV_FAKE_COPY), 3);
	assert_int_equal(hv_fake_count(hv, HV_FAKE_COPY_BATCH), 1);
	hv_fake_fail(hv, HV_FAKE_COPY, 1, GNTST_bad_page);
	hv_fake_fail(hv, HV_FAKE_COPY, 0, 0);
	hv->ops->copy(hv, op, 3);
	assert_int_equal(op[0].status, GNTST_okay);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mappings_are_real, setup, teardown),
		cmocka_unit_test_setup_teardown(only_own_pages_are_granted, setup, teardown),
		cmocka_unit_test_setup_teardown(dying_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(faults_hit_the_nth, setup, teardown),
	};

	return cmocka_run_group_tests_name("hv_fake", tests, NULL, NULL);
}
