/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers and flags that somebody else wrote. */
#include <backend/hv/hv_fake.h>
#include <backend/store.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void parse(void **state)
{
	static const char *const bad[] = {"", " ", "-1", "+1", "1 ", " 1", "0x1", "1a", "4294967296", "00000000001", "9999999999"};
	uint32_t n = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(store_parse_number(bad[i], strlen(bad[i]), UINT32_MAX, &n), -EINVAL);
	assert_int_equal(n, 7);
	assert_int_equal(store_parse_number("4294967295", 10, UINT32_MAX, &n), 0);
	assert_int_equal(n, UINT32_MAX);
	assert_int_equal(store_parse_number("0", 1, 0, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(store_parse_number("11", 2, 10, &n), -EINVAL);
	assert_int_equal(store_parse_number("123/456", 3, 1000, &n), 0);
	assert_int_equal(n, 123);
	assert_int_equal(store_parse_number("1\0002", 3, 1000, &n), -EINVAL);
}

static void keys(void **state)
{
	static char deep[300];
	struct hv *hv;
	uint32_t n = 7;
	bool flag;

	(void)state;
	assert_int_equal(hv_fake_open(&hv), 0);
	assert_int_equal(store_write_number(hv, HV_TXN_NONE, "a/b", "n", 42), 0);
	assert_int_equal(store_read_number(hv, "a/b", "n", 100, &n), 0);
	assert_int_equal(n, 42);
	assert_int_equal(store_read_number(hv, "a/b", "n", 41, &n), -EINVAL);
	assert_int_equal(store_read_number(hv, "a/b", "absent", 100, &n), -ENOENT);
	assert_int_equal(store_read_number_or(hv, "a/b", "absent", 100, 5, &n), 0);
	assert_int_equal(n, 5);
	assert_int_equal(store_read_flag(hv, "a/b", "absent", &flag), 0);
	assert_false(flag);
	assert_int_equal(store_read_flag(hv, "a/b", "n", &flag), -EINVAL);
	store_write_number(hv, HV_TXN_NONE, "a/b", "f", 1);
	assert_int_equal(store_read_flag(hv, "a/b", "f", &flag), 0);
	assert_true(flag);
	assert_true(store_is(hv, "a/b", "f", "1"));
	assert_false(store_is(hv, "a/b", "f", "11"));
	assert_false(store_is(hv, "a/b", "absent", ""));
	memset(deep, 'x', sizeof(deep) - 1);
	assert_int_equal(store_read_number(hv, deep, "n", 1, &n), -ENAMETOOLONG);
	assert_int_equal(store_write_number(hv, HV_TXN_NONE, deep, "n", 1), -ENAMETOOLONG);
	hv_fake_fail(hv, HV_FAKE_STORE_READ, 1, -EIO);
	assert_int_equal(store_read_number_or(hv, "a/b", "n", 100, 5, &n), -EIO);
	hv->ops->close(hv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(parse), cmocka_unit_test(keys)};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
