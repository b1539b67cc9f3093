/* SPDX-License-Identifier: BSD-3-Clause */
/* Patterns of sectors and of journal blocks. Called by blk_rw.c and blk_journal.c; also compiled hosted, for its test. */
#include "blk_pattern.h"

/* One step of splitmix64. */
uint64_t blk_noise(uint64_t seed, uint64_t i)
{
	uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static uint64_t pattern_word(uint64_t sector, uint64_t seed, unsigned i)
{
	return i == 0 ? sector : i == 1 ? seed : blk_noise(seed, sector * BLK_WORDS + i);
}

void blk_pattern_fill(uint64_t *words, uint64_t sector, uint64_t seed)
{
	for (unsigned i = 0; i < BLK_WORDS; i++)
		words[i] = pattern_word(sector, seed, i);
}

unsigned blk_pattern_check(const uint64_t *words, uint64_t sector, uint64_t seed)
{
	unsigned i = 0;

	while (i < BLK_WORDS && words[i] == pattern_word(sector, seed, i))
		i++;
	return i;
}

/* FNV-1a by words, over all but the sum itself. */
static uint64_t journal_sum(const uint64_t *words)
{
	uint64_t sum = 0xcbf29ce484222325ull;

	for (unsigned i = 0; i < BLK_JOURNAL_WORDS; i++)
		if (i != BLK_JOURNAL_AT_SUM)
			sum = (sum ^ words[i]) * 0x100000001b3ull;
	return sum;
}

void blk_journal_fill(uint64_t *words, uint64_t number, uint64_t seed)
{
	words[BLK_JOURNAL_AT_MAGIC] = BLK_JOURNAL_MAGIC;
	words[BLK_JOURNAL_AT_NUMBER] = number;
	words[BLK_JOURNAL_AT_SEED] = seed;
	for (unsigned i = BLK_JOURNAL_AT_NOISE; i < BLK_JOURNAL_WORDS; i++)
		words[i] = blk_noise(seed, number * BLK_JOURNAL_WORDS + i);
	words[BLK_JOURNAL_AT_SUM] = journal_sum(words);
}

const char *blk_journal_check(const uint64_t *words, uint64_t number, uint64_t seed)
{
	if (words[BLK_JOURNAL_AT_MAGIC] != BLK_JOURNAL_MAGIC)
		return "no block of a journal";
	if (words[BLK_JOURNAL_AT_SEED] != seed)
		return "a block of another journal";
	if (words[BLK_JOURNAL_AT_NUMBER] != number)
		return "another block of this journal";
	if (words[BLK_JOURNAL_AT_SUM] != journal_sum(words))
		return "torn: the sum is wrong";
	return NULL;
}
