/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/kernel/blk_pattern.c: any byte that changed, any block in the wrong place or of another run is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "guest-drivers/kernel/blk_pattern.c"

static uint64_t sector[BLK_WORDS], block[BLK_JOURNAL_WORDS];

static void test_sector_is_found_right(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 1000; n++) {
		blk_pattern_fill(sector, n * 0x123456789ull, n);
		assert_int_equal(blk_pattern_check(sector, n * 0x123456789ull, n), BLK_WORDS);
	}
}

static void test_each_bit_of_a_sector(void **state)
{
	(void)state;
	blk_pattern_fill(sector, 77, 5);
	for (unsigned bit = 0; bit < BLK_WORDS * 64; bit++) {
		sector[bit / 64] ^= 1ull << bit % 64;
		assert_int_equal(blk_pattern_check(sector, 77, 5), bit / 64);
		sector[bit / 64] ^= 1ull << bit % 64;
	}
	assert_int_equal(blk_pattern_check(sector, 77, 5), BLK_WORDS);
}

/* Also when a stretch of 8 bytes that came from elsewhere lies within a right sector. */
static void test_misplaced_words(void **state)
{
	uint64_t other[BLK_WORDS], mixed[BLK_WORDS];

	(void)state;
	for (uint64_t from = 0; from < 64; from++) {
		blk_pattern_fill(sector, 32, 5);
		blk_pattern_fill(other, from, from == 32 ? 6 : 5);
		assert_int_not_equal(blk_pattern_check(other, 32, 5), BLK_WORDS);
		for (unsigned i = 2; i < BLK_WORDS; i++) {
			memcpy(mixed, sector, sizeof(mixed));
			mixed[i] = other[i];
			assert_int_equal(blk_pattern_check(mixed, 32, 5), i);
		}
	}
}

static void test_journal(void **state)
{
	(void)state;
	blk_journal_fill(block, 1234, 9);
	assert_null(blk_journal_check(block, 1234, 9));
	assert_memory_equal(block, "SLJURNL1", 8);
	assert_string_equal(blk_journal_check(block, 1235, 9), "another block of this journal");
	assert_string_equal(blk_journal_check(block, 1234, 8), "a block of another journal");
	for (unsigned i = 0; i < BLK_JOURNAL_WORDS; i++) {
		block[i] ^= 1ull << i % 64;
		assert_non_null(blk_journal_check(block, 1234, 9));
		block[i] ^= 1ull << i % 64;
	}
	memset(block, 0, sizeof(block));
	assert_string_equal(blk_journal_check(block, 0, 0), "no block of a journal");
}

/* Half of a newer block over an older one. */
static void test_torn_block(void **state)
{
	uint64_t newer[BLK_JOURNAL_WORDS];

	(void)state;
	blk_journal_fill(block, 7, 1);
	blk_journal_fill(newer, 7, 2);
	memcpy(block, newer, sizeof(block) / 2);
	assert_string_equal(blk_journal_check(block, 7, 2), "torn: the sum is wrong");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sector_is_found_right), cmocka_unit_test(test_each_bit_of_a_sector), cmocka_unit_test(test_misplaced_words),
		cmocka_unit_test(test_journal),               cmocka_unit_test(test_torn_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
