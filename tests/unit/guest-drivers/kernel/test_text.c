/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/kernel/text.c: command lines, words, numbers, addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "guest-drivers/kernel/text.c"

static void test_values(void **state)
{
	const char *line = "  ip=10.0.0.2/24 gateway=10.0.0.1  app=send dst=10.0.0.3 size=64";
	char out[16];
	uint64_t v;

	(void)state;
	assert_true(text_value(line, "ip", out, sizeof(out)));
	assert_string_equal(out, "10.0.0.2/24");
	assert_true(text_value(line, "gateway", out, sizeof(out)));
	assert_string_equal(out, "10.0.0.1");
	assert_false(text_value(line, "way", out, sizeof(out)));
	assert_false(text_value(line, "mac", out, sizeof(out)));
	assert_false(text_value(line, "ip", out, 11)); /* no room for the NUL */
	assert_false(text_value("ip= x", "ip", out, sizeof(out)));
	assert_string_equal(text_rest(line, "app"), "send dst=10.0.0.3 size=64");
	assert_null(text_rest(line, "ap"));
	assert_true(text_number(line, "size", 1, &v));
	assert_int_equal(v, 64);
	assert_true(text_number(line, "rate", 7, &v));
	assert_int_equal(v, 7);
	assert_false(text_number(line, "dst", 7, &v));
}

static void test_words(void **state)
{
	const char *at = "poke  3 0x10\t255 ";
	char word[8];
	uint64_t v;

	(void)state;
	assert_true(text_word(&at, word, sizeof(word)));
	assert_string_equal(word, "poke");
	assert_true(text_take(&at, &v));
	assert_int_equal(v, 3);
	assert_true(text_take(&at, &v));
	assert_int_equal(v, 16);
	assert_true(text_take(&at, &v));
	assert_int_equal(v, 255);
	assert_false(text_take(&at, &v));
	assert_string_equal(text_command("send dst=1", "send"), "dst=1");
	assert_string_equal(text_command("  send", "send"), "");
	assert_null(text_command("sender", "send"));
	assert_null(text_command("sen", "send"));
}

static void test_numbers(void **state)
{
	static const char *const bad[] = { "", "x", "-1", "1x", "0x", "0xg", "18446744073709551616", "0x10000000000000000", "99999999999999999999" };
	uint64_t v;

	(void)state;
	assert_true(text_parse_number("18446744073709551615", &v));
	assert_true(v == UINT64_MAX);
	assert_true(text_parse_number("0xffffffffffffffff", &v));
	assert_true(v == UINT64_MAX);
	assert_true(text_parse_number("0", &v));
	assert_int_equal(v, 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_parse_number(bad[i], &v));
}

static void test_addresses(void **state)
{
	static const char *const bad[] = { "", "10", "10.0.0", "10.0.0.", "10.0.0.256", "10.0.0.1/33", "10.0.0.1/", "10.0.0.1x", "10..0.1", "1000.0.0.1", "10.0.0.1/24x" };
	unsigned prefix;
	uint32_t ip;

	(void)state;
	assert_true(text_parse_ip("10.77.0.12/16", &ip, &prefix));
	assert_int_equal(ip, 0x0a4d000c);
	assert_int_equal(prefix, 16);
	assert_true(text_parse_ip("255.255.255.255", &ip, &prefix));
	assert_int_equal(ip, 0xffffffff);
	assert_int_equal(prefix, 24);
	assert_true(text_parse_ip("1.2.3.4/0", &ip, &prefix));
	assert_int_equal(prefix, 0);
	assert_true(text_parse_ip("1.2.3.4", &ip, NULL));
	assert_false(text_parse_ip("1.2.3.4/24", &ip, NULL));
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_parse_ip(bad[i], &ip, &prefix));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values), cmocka_unit_test(test_words), cmocka_unit_test(test_numbers), cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
