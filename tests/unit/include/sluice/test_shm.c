/* SPDX-License-Identifier: BSD-3-Clause */
/* include/sluice/shm.h: copies of every small size and alignment are exact and touch nothing beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <sluice/shm.h>

enum { ROOM = 160, MOST = 130 };

static uint8_t src[ROOM], dst[ROOM], want[ROOM];

static void prepare(unsigned n, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < ROOM; i++)
		src[i] = (uint8_t)(i * 5 + 1);
	memset(dst, 0xee, ROOM);
	memset(want, 0xee, ROOM);
	memcpy(want + to, src + from, n);
}

static void test_copy_in(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= MOST; n++)
		for (unsigned k = 0; k < 16; k++) {
			prepare(n, k, 15 - k);
			shm_copy_in(dst + 15 - k, src + k, n);
			assert_memory_equal(dst, want, ROOM);
		}
}

static void test_copy_out(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= MOST; n++)
		for (unsigned k = 0; k < 16; k++) {
			prepare(n, k, 15 - k);
			shm_copy_out(dst + 15 - k, src + k, n);
			assert_memory_equal(dst, want, ROOM);
		}
}

static void test_copy_bulk(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= MOST; n++) {
		prepare(n, 3, 7);
		shm_copy_bulk(dst + 7, src + 3, n);
		assert_memory_equal(dst, want, ROOM);
	}
}

static void test_words(void **state)
{
	uint32_t word = 0;

	(void)state;
	shm_store(&word, 0x12345678u);
	assert_int_equal(shm_load(&word), 0x12345678u);
	shm_store_release(&word, 7u);
	assert_int_equal(shm_load_acquire(&word), 7u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy_in),
		cmocka_unit_test(test_copy_out),
		cmocka_unit_test(test_copy_bulk),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests_name("include/sluice/shm", tests, NULL, NULL);
}
