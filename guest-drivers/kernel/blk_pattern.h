/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the block applications write, so that a reader knows for each byte what it must be, and for what it finds instead where it came from. All words are of
 * 64 bits, little endian.
 */
#ifndef GUEST_BLK_PATTERN_H
#define GUEST_BLK_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLK_WORDS 64u              /* of a sector: its number, the seed, then noise that follows from both */
#define BLK_JOURNAL_WORDS 512u     /* of a journal's block */
#define BLK_JOURNAL_SECTORS 8u
#define BLK_JOURNAL_MAGIC 0x314c4e52554a4c53ull /* "SLJURNL1" */

/* A journal's block: magic, number, seed, sum, then noise that follows from number and seed. */
enum { BLK_JOURNAL_AT_MAGIC, BLK_JOURNAL_AT_NUMBER, BLK_JOURNAL_AT_SEED, BLK_JOURNAL_AT_SUM, BLK_JOURNAL_AT_NOISE };

uint64_t blk_noise(uint64_t seed, uint64_t i);

void blk_pattern_fill(uint64_t *words, uint64_t sector, uint64_t seed);
/* The first word that is wrong, or BLK_WORDS. */
unsigned blk_pattern_check(const uint64_t *words, uint64_t sector, uint64_t seed);

void blk_journal_fill(uint64_t *words, uint64_t number, uint64_t seed);
/* NULL when it is right, else what is wrong, in a few words. */
const char *blk_journal_check(const uint64_t *words, uint64_t number, uint64_t seed);

#endif
