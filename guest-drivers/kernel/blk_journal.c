/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The jobs of the power-cut test. The first writes numbered blocks of 4 KiB, several at a time, and a flush after every few of them while further ones
 * are written; once a flush is answered, everything that had been answered before it was submitted must survive whatever happens, and it says so. The second
 * reads such blocks back. Run by blk_job.c.
 */
#include "blk.h"
#include "blk_pattern.h"
#include "kernel.h"
#include <errno.h>
#include <sluice/port.h>

#define DEPTH_DEFAULT 16u
#define FLUSH_TAG UINT64_MAX

static struct {
	uint64_t start, blocks, seed, every; /* the first sector; blocks in all; blocks to a flush */
	uint64_t next;      /* the next number to write */
	uint64_t low;       /* all below it are answered ... */
	uint64_t above[2];  /* ... and of those from it on, one bit each */
	uint64_t covered;   /* all below it: by the flush that is under way, or by the last one */
	uint64_t acked;     /* all below it are durable */
	bool flushing;
} journal;

_Static_assert(BLK_DEPTH_MAX <= 128, "a bit for each write that may be answered before the oldest one");

static int start_any(struct blk_job *job, const char *blocks_key)
{
	uint64_t sectors = blkfront_info(job->bf)->sectors, depth, fit;

	if (!blk_job_number(job, "start", 0, &journal.start) || !blk_job_number(job, "seed", 1, &journal.seed) ||
	    !blk_job_number(job, "depth", DEPTH_DEFAULT, &depth))
		return -EINVAL;
	fit = journal.start < sectors ? (sectors - journal.start) / BLK_JOURNAL_SECTORS : 0;
	if (!blk_job_number(job, blocks_key, fit, &journal.blocks))
		return -EINVAL;
	if (!fit || journal.blocks > fit || depth < 2 || depth > BLK_DEPTH_MAX) {
		blk_job_fail(job, "%lu blocks of 4096 bytes fit behind sector %lu; depth= 2 to %u", fit, journal.start, BLK_DEPTH_MAX);
		return -EINVAL;
	}
	journal.next = journal.low = journal.covered = journal.acked = journal.above[0] = journal.above[1] = 0;
	journal.flushing = false;
	job->depth = (unsigned)depth;
	job->size = SLUICE_PAGE_SIZE;
	return 0;
}

static void block_io(struct blk_io *b, enum blkfront_op op)
{
	b->tag = journal.next++;
	b->io.op = op;
	b->io.sector = journal.start + b->tag * BLK_JOURNAL_SECTORS;
	b->io.len = SLUICE_PAGE_SIZE;
}

/* ---- writing ---- */

static int start(struct blk_job *job)
{
	int rc = start_any(job, "blocks");

	if (rc || !blk_job_number(job, "flush", 16, &journal.every))
		return -EINVAL;
	if (journal.every)
		return 0;
	blk_job_fail(job, "flush= is how many blocks to a flush: 1 or more");
	return -EINVAL;
}

/* A flush is due when enough was answered since the last one, or when nothing else is left to do. */
static bool flush_due(void)
{
	if (journal.flushing || journal.low == journal.covered)
		return false;
	return journal.low - journal.covered >= journal.every || journal.low == journal.blocks;
}

static bool next(struct blk_job *job, struct blk_io *b)
{
	if (flush_due()) {
		journal.flushing = true;
		journal.covered = journal.low;
		b->tag = FLUSH_TAG;
		b->io.op = BLKFRONT_FLUSH;
		return true;
	}
	if (journal.next == journal.blocks || journal.next - journal.low >= job->depth)
		return false;
	block_io(b, BLKFRONT_WRITE);
	blk_journal_fill(b->bytes, b->tag, journal.seed);
	return true;
}

static void note_answered(uint64_t number)
{
	uint64_t ahead = number - journal.low;

	journal.above[ahead / 64] |= 1ull << ahead % 64;
	while (journal.above[0] & 1) {
		journal.above[0] = journal.above[0] >> 1 | journal.above[1] << 63;
		journal.above[1] >>= 1;
		journal.low++;
	}
}

static void answered(struct blk_job *job, struct blk_io *b)
{
	(void)job;
	if (b->tag != FLUSH_TAG)
		return note_answered(b->tag);
	journal.flushing = false;
	journal.acked = journal.covered;
	print_line("blk: journal acked=%lu", journal.acked - 1);
}

static void report(struct blk_job *job)
{
	print_line("blk: journal %s blocks=%lu durable=%lu ns=%lu", journal.acked == journal.blocks ? "done" : "stopped", journal.next, journal.acked,
		   port_now_ns() - job->started_ns);
}

struct blk_job blk_journal_job = { .name = "journal", .start = start, .next = next, .answered = answered, .report = report };

/* ---- checking ---- */

static int start_check(struct blk_job *job)
{
	uint64_t upto;

	if (start_any(job, "blocks") || !blk_job_number(job, "upto", journal.blocks - 1, &upto))
		return -EINVAL;
	if (upto < journal.blocks) {
		journal.blocks = upto + 1;
		return 0;
	}
	blk_job_fail(job, "only %lu blocks fit: upto= is too large", journal.blocks);
	return -EINVAL;
}

static bool next_check(struct blk_job *job, struct blk_io *b)
{
	(void)job;
	if (journal.next == journal.blocks)
		return false;
	block_io(b, BLKFRONT_READ);
	return true;
}

static void answered_check(struct blk_job *job, struct blk_io *b)
{
	const char *wrong = blk_journal_check(b->bytes, b->tag, journal.seed);

	if (wrong)
		blk_job_fail(job, "block %lu (sector %lu): %s; it says number=%lu seed=%lu", b->tag, b->io.sector, wrong, b->bytes[BLK_JOURNAL_AT_NUMBER],
			     b->bytes[BLK_JOURNAL_AT_SEED]);
}

static void report_check(struct blk_job *job)
{
	print_line("blk: journal %s upto=%lu ns=%lu", journal.next == journal.blocks ? "ok" : "stopped", journal.next - 1, port_now_ns() - job->started_ns);
}

struct blk_job blk_journal_check_job = {
	.name = "journal-check", .start = start_check, .next = next_check, .answered = answered_check, .report = report_check
};
