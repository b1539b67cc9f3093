/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine of the block applications: keeps so many ios of one job under way, hands answers to the job, reports its end. Called by blk.c. */
#include "blk.h"
#include "kernel.h"
#include "printf.h"
#include "string.h"
#include "text.h"
#include <errno.h>
#include <sluice/port.h>

#define BURST 32u
#define MEMORY_MAX (8u << 20)
#define CONNECT_NS 5000000000ull /* so long may the disk take to come */

static struct {
	struct blk_job *job; /* NULL: none runs */
	bool started, failed;
	uint64_t begun_ns;
	char arguments[256];
	struct blk_io *ios;
	uint8_t *memory; /* depth * size bytes */
	struct blk_io *free[BLK_DEPTH_MAX];
	unsigned nr_free;
} run;

void blk_job_fail(struct blk_job *job, const char *fmt, ...)
{
	char text[240];
	va_list args;

	job->stopping = true;
	if (run.failed)
		return;
	run.failed = true;
	va_start(args, fmt);
	format_text(text, sizeof(text), fmt, args);
	va_end(args);
	print_line("blk: error %s: %s", job->name, text);
}

bool blk_job_number(struct blk_job *job, const char *key, uint64_t otherwise, uint64_t *out)
{
	if (text_number(job->arguments, key, otherwise, out))
		return true;
	blk_job_fail(job, "%s= wants a number", key);
	return false;
}

void blk_job_begin(struct blk_job *job, struct blkfront *bf, const char *arguments)
{
	size_t n = strlen(arguments);

	if (run.job || n >= sizeof(run.arguments)) {
		print_line("blk: error %s: %s", job->name, run.job ? "another job runs; say blk stop, and wait for its reply" : "that is too long a line");
		return;
	}
	memset(&run, 0, sizeof(run));
	memcpy(run.arguments, arguments, n + 1);
	run.job = job;
	run.begun_ns = port_now_ns();
	job->bf = bf;
	job->arguments = run.arguments;
	job->stopping = job->in_place = job->timed = false;
}

void blk_job_stop(void)
{
	if (run.job)
		run.job->stopping = true;
	else
		print_line("blk: error stop: no job runs");
}

bool blk_job_on(const struct blkfront *bf)
{
	return run.job && run.job->bf == bf;
}

/* ---- memory ---- */

static unsigned memory_pages(const struct blk_job *job)
{
	return (unsigned)(((uint64_t)job->depth * job->size + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE);
}

static void memory_free(struct blk_job *job)
{
	for (unsigned i = 0; run.ios && i < job->depth; i++)
		if (run.ios[i].io.nr_pages)
			blkfront_pages_give(job->bf, &run.ios[i].io);
	port_pages_free(run.memory, memory_pages(job));
	port_free(run.ios);
}

/* Where io i has its bytes. */
static int place(struct blk_job *job, unsigned i)
{
	struct blk_io *b = &run.ios[i];

	b->io.len = job->size;
	if (job->in_place)
		return job->size ? blkfront_pages_take(job->bf, &b->io) : 0;
	if (job->size)
		b->bytes = (uint64_t *)(run.memory + (size_t)i * job->size);
	b->io.data = b->bytes;
	return 0;
}

static int memory_alloc(struct blk_job *job)
{
	int rc = 0;

	if ((uint64_t)job->depth * job->size > MEMORY_MAX)
		return -E2BIG;
	run.ios = port_alloc(job->depth * sizeof(*run.ios));
	if (!job->in_place && job->size)
		run.memory = port_pages_alloc(memory_pages(job));
	if (!run.ios || (!run.memory && !job->in_place && job->size))
		return -ENOMEM;
	for (unsigned i = 0; !rc && i < job->depth; i++) {
		rc = place(job, i);
		run.free[run.nr_free++] = &run.ios[i];
	}
	return rc;
}

/* ---- the steps ---- */

static void end(struct blk_job *job)
{
	if (run.started)
		memory_free(job);
	run.job = NULL;
	if (!run.failed && run.started)
		job->report(job);
	else if (!run.failed)
		print_line("blk: error %s: stopped before the disk was connected", job->name);
}

/* True when it has begun or ended. */
static bool start(struct blk_job *job, bool connected, uint64_t *deadline_ns)
{
	uint64_t patience = run.begun_ns + CONNECT_NS;
	int rc;

	if (!connected && !job->stopping) {
		if (port_now_ns() < patience) {
			*deadline_ns = patience < *deadline_ns ? patience : *deadline_ns;
			return false;
		}
		blk_job_fail(job, "the disk is not connected; does its back end run? look at blk info");
	}
	job->started_ns = port_now_ns();
	if (!job->stopping && !job->start(job)) {
		run.started = true;
		rc = memory_alloc(job);
		if (rc)
			blk_job_fail(job, "no memory for depth=%u size=%u (error %d)", job->depth, job->size, rc);
	}
	if (!run.started || job->stopping)
		end(job);
	return true;
}

static const char *op_name(enum blkfront_op op)
{
	static const char *const names[] = { "read", "write", "flush", "discard", "secure discard" };

	return names[op];
}

static const char *error_name(int error)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ EIO, "the storage failed, or refused it" }, { EOPNOTSUPP, "the disk cannot do that" }, { EINVAL, "no multiple of the sector size" },
		{ ERANGE, "behind the end of the disk" }, { EROFS, "the disk is read-only" }, { ENODEV, "the disk is gone" }, { ENOMEM, "no page or grant is left" },
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].error == -error)
			return names[i].name;
	return "unknown";
}

static void take(struct blk_job *job, struct blk_io *b)
{
	run.free[run.nr_free++] = b;
	if (b->io.result)
		blk_job_fail(job, "%s at sector %lu: error %d, %s", op_name(b->io.op), b->io.sector, b->io.result, error_name(b->io.result));
	else
		job->answered(job, b);
}

/* True when something was submitted. */
static bool fill(struct blk_job *job)
{
	bool some = false;
	uint64_t now = job->timed && run.nr_free ? port_now_ns() : 0;

	while (run.nr_free && !job->stopping) {
		struct blk_io *b = run.free[run.nr_free - 1];

		if (!job->next(job, b))
			break;
		run.nr_free--;
		b->since_ns = now;
		blkfront_submit(job->bf, &b->io);
		some = true;
	}
	if (some)
		blkfront_kick(job->bf);
	return some;
}

bool blk_job_step(bool connected, uint64_t *deadline_ns)
{
	struct blkfront_io *done[BURST];
	struct blk_job *job = run.job;
	unsigned n;
	bool some;

	if (!run.started)
		return start(job, connected, deadline_ns);
	n = blkfront_poll(job->bf, done, BURST);
	for (unsigned i = 0; i < n; i++)
		take(job, (struct blk_io *)done[i]);
	some = fill(job);
	if (run.nr_free < job->depth)
		return n || some;
	end(job);
	return true;
}
