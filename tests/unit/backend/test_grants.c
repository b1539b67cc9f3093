/* SPDX-License-Identifier: BSD-3-Clause */
/* A batch of copies: each entry has its own status, and a batch that fails as a whole has failed in each. */
#include <backend/grants.h>
#include <backend/hv/hv_fake.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static struct copy_batch b;

static void batch(void **state)
{
	struct hv *hv;
	uint8_t *page, out[3] = {0};
	gref_t rw, ro;

	(void)state;
	assert_int_equal(hv_fake_open(&hv), 0);
	assert_int_equal(hv_fake_domain_create(hv, 1), 0);
	page = hv_fake_pages_alloc(hv, 1, 1);
	assert_int_equal(hv_fake_grant(hv, 1, 0, page, false, &rw), 0);
	assert_int_equal(hv_fake_grant(hv, 1, 0, page, true, &ro), 0);
	memcpy(page, "abc", 3);
	b.n = 0;
	copy_batch_in(&b, 1, ro, 1, &out[0], 2);
	copy_batch_out(&b, 1, ro, 8, "X", 1);
	copy_batch_out(&b, 1, rw, 9, "Y", 1);
	assert_int_equal(copy_batch_room(&b), COPY_BATCH_OPS - 3);
	copy_batch_run(&b, hv);
	assert_memory_equal(out, "bc", 2);
	assert_int_equal(page[8], 0);
	assert_int_equal(page[9], 'Y');
	assert_true(copy_batch_ok(&b, 0, 1));
	assert_false(copy_batch_ok(&b, 0, 2));
	assert_false(copy_batch_ok(&b, 1, 1));
	assert_true(copy_batch_ok(&b, 2, 1));
	assert_true(copy_batch_ok(&b, 1, 0));
	for (unsigned i = 0; i < b.n; i++)
		b.op[i].status = GNTST_okay;
	hv_fake_fail(hv, HV_FAKE_COPY_BATCH, 1, -ENOMEM);
	copy_batch_run(&b, hv);
	for (unsigned i = 0; i < b.n; i++)
		assert_false(copy_batch_ok(&b, i, 1));
	hv->ops->close(hv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(batch)};

	return cmocka_run_group_tests_name("grants", tests, NULL, NULL);
}
