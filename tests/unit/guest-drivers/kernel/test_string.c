/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/kernel/string.c, under other names, against the C library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define memcpy guest_memcpy
#define memmove guest_memmove
#define memset guest_memset
#define memcmp guest_memcmp
#define strlen guest_strlen
#define strcmp guest_strcmp
#include "guest-drivers/kernel/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp

static uint8_t a[2048], b[2048];

static void fill(void)
{
	for (unsigned i = 0; i < sizeof(a); i++)
		a[i] = b[i] = (uint8_t)(i * 7 + i / 256);
}

static void test_copy_and_set(void **state)
{
	static uint8_t from[1024];

	(void)state;
	for (unsigned i = 0; i < sizeof(from); i++)
		from[i] = (uint8_t)(i * 13);
	for (unsigned n = 0; n < 600; n++) {
		fill();
		assert_ptr_equal(guest_memcpy(a + 5, from + n % 9, n), a + 5);
		memcpy(b + 5, from + n % 9, n);
		assert_memory_equal(a, b, sizeof(a));
		assert_ptr_equal(guest_memset(a + 3, 0x1ab, n), a + 3);
		memset(b + 3, 0xab, n);
		assert_memory_equal(a, b, sizeof(a));
	}
}

static void test_move(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 600; n += 7) {
		for (unsigned to = 0; to < 40; to++) {
			fill();
			assert_ptr_equal(guest_memmove(a + to, a + 20, n), a + to);
			memmove(b + to, b + 20, n);
			assert_memory_equal(a, b, sizeof(a));
		}
	}
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void test_compare(void **state)
{
	static const char *const words[] = { "", "a", "ab", "abc", "abd", "\xff", "b" };

	(void)state;
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(guest_strlen(words[i]), strlen(words[i]));
		for (unsigned j = 0; j < 7; j++)
			assert_int_equal(sign(guest_strcmp(words[i], words[j])), sign(strcmp(words[i], words[j])));
	}
	assert_int_equal(guest_memcmp("ab\0c", "ab\0d", 3), 0);
	assert_int_equal(guest_memcmp("ab\0c", "ab\0d", 4), -1);
	assert_int_equal(guest_memcmp("\x80", "\x7f", 1), 1);
	assert_int_equal(guest_memcmp("x", "y", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_copy_and_set), cmocka_unit_test(test_move), cmocka_unit_test(test_compare) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
