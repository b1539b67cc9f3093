/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

static void valid_and_not(void **state)
{
	static const char *const bad[] = { "", "//", "/a//b", "/a/", "a/", "/a b", "/a\tb", "/é", "@releaseDomain", "/a:b", "/a.b", "/..", "/a\\b" };
	char out[STORE_PATH_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(path_resolve(3, bad[i], out), -EINVAL);
	assert_int_equal(path_resolve(3, "/", out), 0);
	assert_string_equal(out, "/");
	assert_int_equal(path_resolve(3, "/A-z_09/x@y", out), 0);
	assert_int_equal(path_resolve(3, "device/vif/0", out), 0);
	assert_string_equal(out, "/local/domain/3/device/vif/0");
}

static void lengths(void **state)
{
	char given[XENSTORE_ABS_PATH_MAX + 3], out[STORE_PATH_SIZE];

	(void)state;
	memset(given, 'a', sizeof(given));
	given[XENSTORE_REL_PATH_MAX] = '\0';
	assert_int_equal(path_resolve(65535, given, out), 0);
	given[XENSTORE_REL_PATH_MAX] = 'a';
	given[XENSTORE_REL_PATH_MAX + 1] = '\0';
	assert_int_equal(path_resolve(65535, given, out), -EINVAL);
	given[XENSTORE_REL_PATH_MAX + 1] = 'a';
	given[0] = '/';
	given[XENSTORE_ABS_PATH_MAX] = '\0';
	assert_int_equal(path_resolve(0, given, out), 0);
	assert_int_equal(strlen(out), XENSTORE_ABS_PATH_MAX);
	given[XENSTORE_ABS_PATH_MAX] = 'a';
	given[XENSTORE_ABS_PATH_MAX + 1] = '\0';
	assert_int_equal(path_resolve(0, given, out), -EINVAL);
}

static void below(void **state)
{
	unsigned levels = 99;

	(void)state;
	assert_true(path_is_below("/a/b/c", "/a", &levels));
	assert_int_equal(levels, 2);
	assert_true(path_is_below("/a", "/a", &levels));
	assert_int_equal(levels, 0);
	assert_true(path_is_below("/a/b", "/", &levels));
	assert_int_equal(levels, 2);
	assert_true(path_is_below("/", "/", &levels));
	assert_int_equal(levels, 0);
	assert_false(path_is_below("/ab", "/a", &levels));
	assert_false(path_is_below("/a", "/a/b", &levels));
	assert_false(path_is_below("@releaseDomain", "/", &levels));
}

static void parent(void **state)
{
	char path[] = "/a/b";

	(void)state;
	path_to_parent(path);
	assert_string_equal(path, "/a");
	path_to_parent(path);
	assert_string_equal(path, "/");
	assert_int_equal(path_base_length(12), strlen("/local/domain/12/"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(valid_and_not), cmocka_unit_test(lengths), cmocka_unit_test(below),
					    cmocka_unit_test(parent) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
