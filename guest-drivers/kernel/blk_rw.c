/* SPDX-License-Identifier: BSD-3-Clause */
/* The jobs that write a pattern, read it back and compare, flush, and discard. Run by blk_job.c. */
#include "blk.h"
#include "blk_pattern.h"
#include "kernel.h"
#include "text.h"
#include <errno.h>
#include <sluice/port.h>

#define SIZE_DEFAULT 65536u
#define DEPTH_DEFAULT 16u

static struct {
	uint64_t start, count, seed; /* sectors */
	uint64_t at;                 /* the next one */
	bool secure;
} rw;

static int range(struct blk_job *job)
{
	if (!blk_job_number(job, "start", 0, &rw.start) || !blk_job_number(job, "count", 0, &rw.count) || !blk_job_number(job, "seed", 1, &rw.seed))
		return -EINVAL;
	rw.at = rw.start;
	if (rw.count && !__builtin_add_overflow(rw.start, rw.count, &(uint64_t){ 0 }))
		return 0;
	blk_job_fail(job, "which sectors? say start=<sector> count=<sectors>");
	return -EINVAL;
}

static int start_rw(struct blk_job *job)
{
	uint64_t size, depth, sector_size = blkfront_info(job->bf)->sector_size;

	if (range(job) || !blk_job_number(job, "size", SIZE_DEFAULT, &size) || !blk_job_number(job, "depth", DEPTH_DEFAULT, &depth))
		return -EINVAL;
	if (size > BLKFRONT_IO_MAX || !size || size % sector_size || !depth || depth > BLK_DEPTH_MAX) {
		blk_job_fail(job, "size= is a multiple of %lu up to %u, depth= 1 to %u", sector_size, BLKFRONT_IO_MAX, BLK_DEPTH_MAX);
		return -EINVAL;
	}
	job->size = (uint32_t)size;
	job->depth = (unsigned)depth;
	return 0;
}

/* The next stretch; false when there is none left. */
static bool next_stretch(struct blk_job *job, struct blkfront_io *io)
{
	uint64_t left = rw.start + rw.count - rw.at, most = job->size / BLKFRONT_SECTOR;

	if (!left)
		return false;
	io->sector = rw.at;
	io->len = (left < most ? left : most) * BLKFRONT_SECTOR;
	rw.at += io->len / BLKFRONT_SECTOR;
	return true;
}

static bool next_write(struct blk_job *job, struct blk_io *b)
{
	if (!next_stretch(job, &b->io))
		return false;
	b->io.op = BLKFRONT_WRITE;
	for (uint64_t i = 0; i < b->io.len / BLKFRONT_SECTOR; i++)
		blk_pattern_fill(b->bytes + i * BLK_WORDS, b->io.sector + i, rw.seed);
	return true;
}

static bool next_verify(struct blk_job *job, struct blk_io *b)
{
	b->io.op = BLKFRONT_READ;
	return next_stretch(job, &b->io);
}

static void answered_verify(struct blk_job *job, struct blk_io *b)
{
	for (uint64_t i = 0; i < b->io.len / BLKFRONT_SECTOR; i++) {
		const uint64_t *words = b->bytes + i * BLK_WORDS;
		unsigned wrong = blk_pattern_check(words, b->io.sector + i, rw.seed);

		if (wrong == BLK_WORDS)
			continue;
		blk_job_fail(job, "sector %lu is wrong from byte %u on; it begins with %lx %lx (its number and the seed should)", b->io.sector + i, wrong * 8,
			     words[0], words[1]);
		return;
	}
}

static void answered_nothing(struct blk_job *job, struct blk_io *b)
{
	(void)job;
	(void)b;
}

/* "ok", or how far it came before it was stopped. */
static void report(struct blk_job *job)
{
	uint64_t done = rw.at - rw.start;

	print_line("blk: %s %s start=%lu sectors=%lu seed=%lu ns=%lu", job->name, done == rw.count ? "ok" : "stopped", rw.start, done, rw.seed,
		   port_now_ns() - job->started_ns);
}

struct blk_job blk_write_job = { .name = "write", .start = start_rw, .next = next_write, .answered = answered_nothing, .report = report };
struct blk_job blk_verify_job = { .name = "verify", .start = start_rw, .next = next_verify, .answered = answered_verify, .report = report };

/* ---- one io without data ---- */

static int start_flush(struct blk_job *job)
{
	rw.at = 0;
	rw.count = 1;
	job->depth = 1;
	job->size = 0;
	return 0;
}

static bool next_flush(struct blk_job *job, struct blk_io *b)
{
	(void)job;
	b->io.op = BLKFRONT_FLUSH;
	return rw.at++ == 0;
}

static void report_flush(struct blk_job *job)
{
	print_line("blk: flush ok ns=%lu", port_now_ns() - job->started_ns);
}

static int start_discard(struct blk_job *job)
{
	uint64_t secure;

	if (range(job) || !blk_job_number(job, "secure", 0, &secure))
		return -EINVAL;
	rw.secure = secure;
	job->depth = 1;
	job->size = 0;
	return 0;
}

static bool next_discard(struct blk_job *job, struct blk_io *b)
{
	(void)job;
	if (rw.at != rw.start)
		return false;
	b->io.op = rw.secure ? BLKFRONT_SECURE_DISCARD : BLKFRONT_DISCARD;
	b->io.sector = rw.start;
	b->io.len = rw.count * BLKFRONT_SECTOR;
	rw.at += rw.count;
	return true;
}

struct blk_job blk_flush_job = { .name = "flush", .start = start_flush, .next = next_flush, .answered = answered_nothing, .report = report_flush };
struct blk_job blk_discard_job = { .name = "discard", .start = start_discard, .next = next_discard, .answered = answered_nothing, .report = report };
