/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/kernel/printf.c against the C library's own, and its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "guest-drivers/kernel/printf.c"

#define SAME(...)                                                          \
	do {                                                               \
		char ours[128], theirs[128];                               \
		size_t n = format_to(ours, sizeof(ours), __VA_ARGS__);     \
		int want = snprintf(theirs, sizeof(theirs), __VA_ARGS__);  \
                                                                           \
		assert_string_equal(ours, theirs);                         \
		assert_int_equal(n, want);                                 \
	} while (0)

static void test_as_the_c_library(void **state)
{
	(void)state;
	SAME("plain");
	SAME("%s and %s", "one", "another");
	SAME("%c%c", 'a', 'b');
	SAME("%d %d %d", 0, -1, INT32_MIN);
	SAME("%i %u %x", 12, 4000000000u, 0xdeadbeef);
	SAME("%ld %lu %lx", INT64_MIN, UINT64_MAX, UINT64_MAX);
	SAME("%lld %llu %llx", (long long)INT64_MIN, 1ull, 0x123456789abcdefull);
	SAME("%zu", (size_t)77);
	SAME("[%5d] [%05d] [%2d]", 42, 42, 12345);
	SAME("[%5d] [%05d]", -42, -42);
	SAME("[%8s] [%2s]", "right", "long");
	SAME("%02x:%02x %016lx", 0xa, 0xbc, 0x1234ul);
	SAME("%p", (void *)0x401000);
	SAME("100%%");
}

static void test_bounds(void **state)
{
	char out[8];

	(void)state;
	memset(out, 'z', sizeof(out));
	assert_int_equal(format_to(out, 4, "%s", "abcdefgh"), 3);
	assert_memory_equal(out, "abc\0zzzz", 8);
	assert_int_equal(format_to(out, 1, "%d", 5), 0);
	assert_int_equal(out[0], 0);
	assert_int_equal(format_to(out, sizeof(out), "%099d", 5), 7);
	assert_int_equal(format_to(out, sizeof(out), "%lu", UINT64_MAX), 7);
	assert_string_equal(out, "1844674");
}

/* Not through the checked prototype: these are mistakes on purpose. */
static void test_unknown_conversions(void **state)
{
	size_t (*unchecked)(char *, size_t, const char *, ...) = format_to;
	const char *volatile none = NULL;
	char out[64];

	(void)state;
	unchecked(out, sizeof(out), "%q %d", 5);
	assert_string_equal(out, "%q 5");
	unchecked(out, sizeof(out), "end %");
	assert_string_equal(out, "end %");
	unchecked(out, sizeof(out), "end %05l");
	assert_string_equal(out, "end %05l");
	unchecked(out, sizeof(out), "%s", none);
	assert_string_equal(out, "(null)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_c_library), cmocka_unit_test(test_bounds), cmocka_unit_test(test_unknown_conversions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
