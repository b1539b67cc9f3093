/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

static void who_may(void **state)
{
	const struct store_perm perms[] = { { 1, PERM_READ }, { 2, PERM_READ | PERM_WRITE }, { 3, 0 }, { 4, PERM_WRITE } };
	const struct node_data data = { .value = "", .perms = perms, .nr_perms = 4 };
	static const unsigned want[] = { 3, 3, 3, 0, 2, 1 }; /* by domid: 0 is privileged, 1 owns, 5 is not named */
	struct actor stub = { .domid = 3, .target = 1 };

	(void)state;
	for (domid_t d = 0; d < 6; d++) {
		struct actor who = { .domid = d, .target = DOMID_INVALID, .privileged = d == 0 };

		assert_int_equal(perms_allow(&data, &who), want[d]);
		assert_int_equal(perms_owner(&data, &who), d <= 1);
	}
	assert_int_equal(perms_allow(&data, &stub), 3);
	assert_true(perms_owner(&data, &stub));
}

static void text(void **state)
{
	static const char *const good[] = { "n0", "r3", "w4", "b65535" }, *const bad[] = { "", "n", "x1", "r-1", "r65536", "r1x", "r 1", "1", "r999999999999" };
	struct store_perm p;
	char out[PERM_TEXT];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(perm_parse(good[i], &p), 0);
		perm_format(&p, out);
		assert_string_equal(out, good[i]);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(perm_parse(bad[i], &p), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(who_may), cmocka_unit_test(text) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
