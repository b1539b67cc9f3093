/* SPDX-License-Identifier: BSD-3-Clause */
/* The job that measures a disk: reads or writes of one size, so many at a time, in blkfront's pages, without a copy. Run by blk_job.c. */
#include "blk.h"
#include "blk_pattern.h"
#include "kernel.h"
#include "string.h"
#include "text.h"
#include <errno.h>
#include <sluice/port.h>

#define SECOND_NS 1000000000ull

static struct {
	enum blkfront_op op;
	char rw[16];
	bool random;
	uint64_t end_ns, last_ns;
	uint64_t places, at; /* where ios of this size fit, one behind the other; the next one */
	uint64_t ios, latency_ns, longest_ns;
} bench;

static bool parse_rw(struct blk_job *job)
{
	if (!text_value(job->arguments, "rw", bench.rw, sizeof(bench.rw)))
		memcpy(bench.rw, "read", 5);
	bench.random = !strcmp(bench.rw, "randread") || !strcmp(bench.rw, "randwrite");
	bench.op = !strcmp(bench.rw, "write") || !strcmp(bench.rw, "randwrite") ? BLKFRONT_WRITE : BLKFRONT_READ;
	if (bench.random || bench.op == BLKFRONT_WRITE || !strcmp(bench.rw, "read"))
		return true;
	blk_job_fail(job, "rw= is read, write, randread or randwrite");
	return false;
}

static int start(struct blk_job *job)
{
	const struct blkfront_info *info = blkfront_info(job->bf);
	uint64_t size, depth, seconds;

	memset(&bench, 0, sizeof(bench));
	if (!parse_rw(job) || !blk_job_number(job, "size", 4096, &size) || !blk_job_number(job, "depth", 1, &depth) ||
	    !blk_job_number(job, "seconds", 1, &seconds))
		return -EINVAL;
	bench.places = size ? info->sectors / (size / BLKFRONT_SECTOR ? size / BLKFRONT_SECTOR : 1) : 0;
	if (!size || size > BLKFRONT_IO_MAX || size % info->sector_size || !bench.places || !depth || depth > BLK_DEPTH_MAX || !seconds || seconds > 86400) {
		blk_job_fail(job, "size= is a multiple of %u up to %u and fits on the disk, depth= 1 to %u, seconds= 1 to 86400", info->sector_size, BLKFRONT_IO_MAX,
			     BLK_DEPTH_MAX);
		return -EINVAL;
	}
	job->size = (uint32_t)size;
	job->depth = (unsigned)depth;
	job->in_place = job->timed = true;
	bench.end_ns = job->started_ns + seconds * SECOND_NS;
	bench.last_ns = job->started_ns;
	return 0;
}

static bool next(struct blk_job *job, struct blk_io *b)
{
	uint64_t place = bench.at++;

	if (bench.last_ns >= bench.end_ns)
		return false;
	place = (bench.random ? blk_noise(1, place) : place) % bench.places;
	b->io.op = bench.op;
	b->io.sector = place * (job->size / BLKFRONT_SECTOR);
	b->io.len = job->size;
	return true;
}

static void answered(struct blk_job *job, struct blk_io *b)
{
	uint64_t took;

	(void)job;
	bench.last_ns = port_now_ns();
	took = bench.last_ns - b->since_ns;
	bench.ios++;
	bench.latency_ns += took;
	if (took > bench.longest_ns)
		bench.longest_ns = took;
}

static void report(struct blk_job *job)
{
	uint64_t ns = bench.last_ns - job->started_ns, bytes = bench.ios * job->size;

	if (!bench.ios || !ns)
		return blk_job_fail(job, "nothing was answered");
	print_line("blk: bench rw=%s size=%u depth=%u ios=%lu bytes=%lu ns=%lu iops=%lu mb_per_s=%lu mean_ns=%lu max_ns=%lu", bench.rw, job->size, job->depth,
		   bench.ios, bytes, ns, bench.ios * 1000000 / (ns / 1000 + 1), bytes * 1000 / ns, bench.latency_ns / bench.ios, bench.longest_ns);
}

struct blk_job blk_bench_job = { .name = "bench", .start = start, .next = next, .answered = answered, .report = report };
