/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/hosted/vbd_client.c: names of disks. Its io is what tests/system/test_fio.py is about. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <guest-drivers/hosted/vbd_client.h>

static void numbers(void **state)
{
	(void)state;
	assert_int_equal(vbd_number("51712"), 51712);
	assert_int_equal(vbd_number("xvda"), 51712);
	assert_int_equal(vbd_number("xvda1"), 51713);
	assert_int_equal(vbd_number("xvdb"), 51728);
	assert_int_equal(vbd_number("xvdp15"), 202 << 8 | 15 << 4 | 15);
	assert_int_equal(vbd_number("xvdq"), 1 << 28 | 16 << 8);
	assert_int_equal(vbd_number("xvda16"), 1 << 28 | 16);
	assert_int_equal(vbd_number("xvdaa"), 1 << 28 | 26 << 8);
}

static void what_is_none(void **state)
{
	const char *const bad[] = { "", "sda", "xvd", "xvdA", "xvda1x", "xvda256", "xvda-1", "xvdzzzzzzzz", "12x", "99999999999", "-1", "xvd1" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(vbd_number(bad[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
