/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The block applications. blk.c knows the disks and the commands; blk_job.c runs one job at a time, asynchronously, so many ios deep; what a job does is in
 * blk_rw.c (write, verify, flush, discard), blk_bench.c and blk_journal.c. Every reply is a line that starts with "blk: "; what fails, with "blk: error ".
 */
#ifndef GUEST_BLK_H
#define GUEST_BLK_H

#include <frontend/blkfront.h>

/* ---- blk.c, for app.c ---- */

/* Disks are found in XenStore when they come; nothing waits for them. */
void blk_init(struct xenbus *xb);
/* Move everything on. True when there was something; else *deadline_ns is lowered to when it wants to be called again. */
bool blk_poll(uint64_t *deadline_ns);
/* Ask for events; false when something waits already. */
bool blk_arm(void);
/* "info", "write start=8 count=64 seed=1" ... */
void blk_command(const char *arguments);

/* ---- blk_job.c ---- */

#define BLK_DEPTH_MAX 128u

/* One of a job's ios. */
struct blk_io {
	struct blkfront_io io; /* the first member */
	uint64_t since_ns;     /* when it was submitted; with `timed` */
	uint64_t tag;          /* the job's own */
	uint64_t *bytes;       /* its private memory; NULL with `in_place`, or when the job moves no data */
};

struct blk_job {
	const char *name;
	/* Say what is wanted of the disk, which is connected: 0, or the error line is printed and it is negative. Sets depth and size. */
	int (*start)(struct blk_job *job);
	/* What to do with a free io. False: nothing now; if none is under way then, the job is over. */
	bool (*next)(struct blk_job *job, struct blk_io *b);
	/* It was answered without error. */
	void (*answered)(struct blk_job *job, struct blk_io *b);
	/* The job is over, without an error: print its reply. */
	void (*report)(struct blk_job *job);

	/* set by start */
	unsigned depth; /* ios at a time, at most BLK_DEPTH_MAX */
	uint32_t size;  /* bytes of each; 0: it moves no data */
	bool in_place;  /* in blkfront's pages, not copied */
	bool timed;

	/* for its functions */
	struct blkfront *bf;
	const char *arguments;
	uint64_t started_ns;
	bool stopping; /* nothing new is to be begun: stopped, or failed */
};

/* Begin a job on a disk, as soon as it is connected. Prints an error when another one runs. arguments are copied. */
void blk_job_begin(struct blk_job *job, struct blkfront *bf, const char *arguments);
/* End the job that runs: its report comes when nothing is under way any more. */
void blk_job_stop(void);
/* Is a job at work on this disk? */
bool blk_job_on(const struct blkfront *bf);
bool blk_job_step(bool connected, uint64_t *deadline_ns);
/* The job has failed: a line with "blk: error ", and it ends without a report. Only the first one is printed. */
void blk_job_fail(struct blk_job *job, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A number of the arguments; false when it is none (the error is printed). */
bool blk_job_number(struct blk_job *job, const char *key, uint64_t otherwise, uint64_t *out);

/* ---- the jobs ---- */
extern struct blk_job blk_write_job, blk_verify_job, blk_flush_job, blk_discard_job, blk_bench_job, blk_journal_job, blk_journal_check_job;

#endif
