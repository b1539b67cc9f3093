/* SPDX-License-Identifier: BSD-3-Clause */
/* hv_fake's store as guests and the toolstack see it, and how it meets the back end's watches and transactions. */
#include <backend/hv/hv_fake.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct hv *hv;

static int setup(void **state)
{
	(void)state;
	return hv_fake_open(&hv) || hv_fake_domain_create(hv, 1) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	hv->ops->close(hv);
	return 0;
}

static void assert_event(const char *path)
{
	char *got, *token;

	if (!path) {
		assert_int_equal(hv->ops->store_event(hv, &got, &token), -EAGAIN);
		return;
	}
	assert_int_equal(hv->ops->store_event(hv, &got, &token), 0);
	assert_string_equal(got, path);
	assert_string_equal(token, "t");
	free(got);
	free(token);
}

static void a_guest_writes_below_its_own_path_only(void **state)
{
	char *value;

	(void)state;
	assert_int_equal(hv_fake_store_write(hv, 1, "device/x", "1"), 0);
	value = hv_fake_store_read(hv, 0, "/local/domain/1/device/x");
	assert_string_equal(value, "1");
	free(value);
	assert_int_equal(hv_fake_store_write(hv, 1, "/local/domain/0/x", "1"), -EACCES);
	assert_int_equal(hv_fake_store_write(hv, 1, "/local/domain/10/x", "1"), -EACCES);
	assert_int_equal(hv_fake_store_rm(hv, 1, "/local/domain/0"), -EACCES);
	assert_int_equal(hv_fake_store_write(hv, 1, "ends/", "1"), -EINVAL);
}

static void watches_see_guests(void **state)
{
	(void)state;
	assert_int_equal(hv->ops->store_watch(hv, "/local/domain/1/device", "t"), 0);
	assert_int_equal(hv->ops->store_watch(hv, "own", "t"), 0);
	assert_event("/local/domain/1/device");
	assert_event("own");
	assert_event(NULL);
	hv_fake_store_write(hv, 1, "device/state", "4");
	hv_fake_store_write(hv, 1, "devices", "4"); /* not below */
	hv_fake_store_write(hv, 0, "own/a", "4");
	assert_event("/local/domain/1/device/state");
	assert_event("own/a");
	assert_event(NULL);
	hv_fake_domain_destroy(hv, 1); /* what is watched goes with what is above it */
	assert_event("/local/domain/1/device");
	assert_event(NULL);
}

static void a_guest_breaks_into_a_transaction(void **state)
{
	hv_txn_t t;
	char *value;

	(void)state;
	hv_fake_store_write(hv, 1, "x", "1");
	assert_int_equal(hv->ops->txn_start(hv, &t), 0);
	free(hv->ops->store_read(hv, t, "/local/domain/1/x", NULL));
	assert_int_equal(hv->ops->store_write(hv, t, "seen", "1"), 0);
	hv_fake_store_write(hv, 1, "x", "2");
	assert_int_equal(hv->ops->txn_end(hv, t, false), -EAGAIN);
	assert_null(hv_fake_store_read(hv, 0, "seen"));
	assert_int_equal(hv->ops->txn_start(hv, &t), 0);
	assert_int_equal(hv->ops->store_write(hv, t, "seen", "2"), 0);
	hv_fake_store_write(hv, 1, "x", "3"); /* not read: no conflict */
	assert_int_equal(hv->ops->txn_end(hv, t, false), 0);
	value = hv_fake_store_read(hv, 0, "seen");
	assert_string_equal(value, "2");
	free(value);
	hv_fake_fail(hv, HV_FAKE_TXN_END, 1, -EAGAIN);
	assert_int_equal(hv->ops->txn_start(hv, &t), 0);
	assert_int_equal(hv->ops->txn_end(hv, t, false), -EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_guest_writes_below_its_own_path_only, setup, teardown),
		cmocka_unit_test_setup_teardown(watches_see_guests, setup, teardown),
		cmocka_unit_test_setup_teardown(a_guest_breaks_into_a_transaction, setup, teardown),
	};

	return cmocka_run_group_tests_name("hv_fake_store", tests, NULL, NULL);
}
