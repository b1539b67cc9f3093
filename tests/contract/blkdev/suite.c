/* SPDX-License-Identifier: BSD-3-Clause */
/* The cases of blkdev.h's contract: see suite.h. */
#include "suite.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#define DEPTH 256u
#define BLOCK 4096u
#define WAIT_MS 10000

static const struct blkdev_subject *subject;
static struct blkdev *dev;
static struct blkdev_io ios[2 * DEPTH];
static uint8_t *memory, *memory2; /* 2 * DEPTH blocks each, page aligned */

static struct blkdev *open_it(bool readonly)
{
	struct blkdev *d = NULL;
	char err[256];

	if (blkdev_open(subject->target, readonly, &d, err))
		fail_msg("%s: %s", subject->target, err);
	return d;
}

static int setup(void **state)
{
	(void)state;
	dev = open_it(false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (dev)
		dev->ops->close(dev);
	dev = NULL;
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct blkdev_io *io_make(unsigned i, enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	struct blkdev_io *io = &ios[i];

	memset(io, 0, offsetof(struct blkdev_io, iov));
	io->op = op;
	io->offset = offset;
	io->len = len;
	io->niov = base ? 1 : 0;
	io->iov[0] = (struct iovec){.iov_base = base, .iov_len = len};
	io->result = 12345;
	io->owner = &ios[i];
	return io;
}

/* Sleeps on fd as the poller does; every io must come back, once. */
static void collect(unsigned count)
{
	bool seen[2 * DEPTH] = {false};
	struct blkdev_io *done[64];
	uint64_t deadline = now_ms() + WAIT_MS;
	unsigned got = 0;

	while (got < count) {
		unsigned n = dev->ops->poll(dev, done, 64);

		for (unsigned i = 0; i < n; i++) {
			unsigned which = (unsigned)(done[i] - ios);

			assert_true(which < 2 * DEPTH);
			assert_false(seen[which]);
			assert_ptr_equal(done[i]->owner, done[i]);
			seen[which] = true;
		}
		got += n;
		if (n == 0) {
			struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};

			assert_true(p.fd >= 0); /* without one, everything has ended at the kick */
			assert_true(now_ms() < deadline);
			poll(&p, 1, WAIT_MS);
		}
	}
	assert_int_equal(got, count);
	assert_int_equal(dev->ops->poll(dev, done, 64), 0);
}

static void run(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		dev->ops->submit(dev, &ios[i]);
	assert_int_equal(dev->ops->kick(dev), 0);
	collect(count);
}

static int run_one(enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	io_make(0, op, offset, len, base);
	run(1);
	return ios[0].result;
}

/* Every 8 bytes of a disk say where they are, and in which generation they were written. */
static void fill(uint8_t *at, uint64_t offset, uint64_t len, uint64_t generation)
{
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t v = (offset + i) * 0x9e3779b97f4a7c15ull + generation;

		memcpy(at + i, &v, 8);
	}
}

static void assert_filled(const uint8_t *at, uint64_t offset, uint64_t len, uint64_t generation)
{
	uint8_t *want = malloc(len);

	if (subject->forgets) {
		free(want);
		return;
	}
	fill(want, offset, len, generation);
	assert_memory_equal(at, want, len);
	free(want);
}

static void info_is_sane(void **state)
{
	const struct blkdev_info *info = &dev->info;

	(void)state;
	assert_int_equal(info->size, SUBJECT_SIZE);
	assert_true(info->sector_size == 512 || info->sector_size == 4096);
	assert_int_equal(info->size % info->sector_size, 0);
	assert_true(info->physical_sector_size >= info->sector_size);
	assert_false(info->readonly);
	assert_true(info->can_flush);
	assert_true(strlen(dev->ops->name) > 0);
	if (dev->ops->refresh)
		assert_false(dev->ops->refresh(dev));
}

static void what_is_written_is_read(void **state)
{
	(void)state;
	fill(memory, 0, DEPTH * BLOCK, 1);
	assert_int_equal(run_one(BLKDEV_WRITE, BLOCK, DEPTH * BLOCK, memory), 0);
	memset(memory2, 0xee, DEPTH * BLOCK);
	assert_int_equal(run_one(BLKDEV_READ, BLOCK, DEPTH * BLOCK, memory2), 0);
	if (!subject->forgets)
		assert_memory_equal(memory, memory2, DEPTH * BLOCK);
}

/* The last sector too, and its neighbours stay as they were. */
static void first_and_last_sector(void **state)
{
	uint32_t sector = dev->info.sector_size;
	uint64_t last = dev->info.size - sector;

	(void)state;
	fill(memory, 0, 2 * sector, 2);
	assert_int_equal(run_one(BLKDEV_WRITE, last - sector, 2 * sector, memory), 0);
	fill(memory, 0, sector, 3);
	assert_int_equal(run_one(BLKDEV_WRITE, last, sector, memory), 0);
	assert_int_equal(run_one(BLKDEV_WRITE, 0, sector, memory), 0);
	assert_int_equal(run_one(BLKDEV_READ, last - sector, 2 * sector, memory2), 0);
	assert_filled(memory2, 0, sector, 2);
	assert_filled(memory2 + sector, 0, sector, 3);
	assert_int_equal(run_one(BLKDEV_READ, 0, sector, memory2), 0);
	assert_filled(memory2, 0, sector, 3);
}

/* Twice as many ios as anybody's queue is long: all end, each with its own bytes. */
static void deep_queue(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2 * DEPTH; i++) {
		fill(memory + i * BLOCK, i, BLOCK, 4);
		io_make(i, BLKDEV_WRITE, (uint64_t)i * BLOCK, BLOCK, memory + i * BLOCK);
	}
	run(2 * DEPTH);
	for (unsigned i = 0; i < 2 * DEPTH; i++) {
		assert_int_equal(ios[i].result, 0);
		io_make(i, BLKDEV_READ, (uint64_t)(2 * DEPTH - 1 - i) * BLOCK, BLOCK, memory2 + i * BLOCK);
	}
	run(2 * DEPTH);
	for (unsigned i = 0; i < 2 * DEPTH; i++) {
		assert_int_equal(ios[i].result, 0);
		assert_filled(memory2 + i * BLOCK, 2 * DEPTH - 1 - i, BLOCK, 4);
	}
}

/* Where Linux refuses, the number is 0 and all else the same. */
static unsigned registered(unsigned number, uint8_t *base)
{
	return dev->ops->register_memory && dev->ops->register_memory(dev, number, base, BLOCK) == 0 ? number : 0;
}

/* Ios that say in which registered memory they lie; it is forgotten and registered under other numbers in between. */
static void registered_memory(void **state)
{
	(void)state;
	assert_int_equal(!dev->ops->register_memory, !dev->ops->forget_memory);
	for (unsigned first = 1; first <= 33; first += 32) {
		unsigned out[16], in[16];

		for (unsigned i = 0; i < 16; i++) {
			out[i] = registered(first + i, memory + i * BLOCK);
			in[i] = registered(first + 16 + i, memory2 + i * BLOCK);
			fill(memory + i * BLOCK, i, BLOCK, 40 + first);
			io_make(i, BLKDEV_WRITE, (uint64_t)i * BLOCK, BLOCK, memory + i * BLOCK)->buffer = out[i];
		}
		run(16);
		for (unsigned i = 0; i < 16; i++)
			io_make(i, BLKDEV_READ, (uint64_t)i * BLOCK, BLOCK, memory2 + i * BLOCK)->buffer = in[i];
		run(16);
		for (unsigned i = 0; i < 16; i++) {
			assert_int_equal(ios[i].result, 0);
			assert_filled(memory2 + i * BLOCK, i, BLOCK, 40 + first);
			if (out[i])
				dev->ops->forget_memory(dev, out[i]);
			if (in[i])
				dev->ops->forget_memory(dev, in[i]);
		}
	}
}

/* Batches that are kicked while others are under way, collected a few at a time. */
static void overlapping_batches(void **state)
{
	struct blkdev_io *done[3];
	unsigned submitted = 0, ended = 0;
	uint64_t deadline = now_ms() + WAIT_MS;

	(void)state;
	while (ended < DEPTH) {
		for (unsigned i = 0; i < 7 && submitted < DEPTH; i++, submitted++) {
			fill(memory + submitted * BLOCK, submitted, BLOCK, 5);
			dev->ops->submit(dev, io_make(submitted, BLKDEV_WRITE, (uint64_t)submitted * BLOCK, BLOCK, memory + submitted * BLOCK));
		}
		assert_int_equal(dev->ops->kick(dev), 0);
		for (unsigned i = dev->ops->poll(dev, done, 3); i > 0; i--, ended++)
			assert_int_equal(done[i - 1]->result, 0);
		assert_true(now_ms() < deadline);
	}
	assert_int_equal(run_one(BLKDEV_READ, 0, DEPTH * BLOCK, memory2), 0);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_filled(memory2 + i * BLOCK, i, BLOCK, 5);
}

/* An io whose pieces are of sizes[] sectors in turn, at every other place of `base`, not page aligned. The bytes that it takes. */
static uint64_t scatter(unsigned i, enum blkdev_op op, uint64_t offset, uint8_t *base, unsigned niov, const unsigned *sizes, unsigned nsizes)
{
	struct blkdev_io *io = io_make(i, op, offset, 0, NULL);
	uint8_t *at = base + dev->info.sector_size;

	io->niov = niov;
	for (unsigned v = 0; v < niov; v++) {
		io->iov[v] = (struct iovec){.iov_base = at, .iov_len = (size_t)sizes[v % nsizes] * dev->info.sector_size};
		at += io->iov[v].iov_len + (v % 2 ? dev->info.sector_size : 0);
		io->len += io->iov[v].iov_len;
	}
	return io->len;
}

static void gather_from(const struct blkdev_io *io, uint8_t *out)
{
	for (unsigned v = 0; v < io->niov; v++) {
		memcpy(out, io->iov[v].iov_base, io->iov[v].iov_len);
		out += io->iov[v].iov_len;
	}
}

static void odd_shapes_of_iov(void **state)
{
	static const unsigned shapes[][3] = {{1, 1, 1}, {1, 3, 2}, {8, 1, 5}, {2, 7, 7}};
	static const unsigned counts[] = {1, 2, 3, 11, 32, 255, BLKDEV_IOV_MAX};

	(void)state;
	for (unsigned s = 0; s < 4; s++)
		for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
			uint64_t offset = (uint64_t)(3 + s) * dev->info.sector_size, len;
			uint8_t *flat = memory2;
			unsigned niov = dev->info.sector_size == 512 || counts[c] < 32 ? counts[c] : 32;

			memset(memory, 0, 2 * DEPTH * BLOCK);
			len = scatter(0, BLKDEV_READ, offset, memory, niov, shapes[s], 3);
			assert_true(len < DEPTH * BLOCK * 2);
			fill(flat, offset, len, 6 + c);
			assert_int_equal(run_one(BLKDEV_WRITE, offset, len, flat), 0);
			scatter(0, BLKDEV_READ, offset, memory, niov, shapes[s], 3);
			run(1);
			assert_int_equal(ios[0].result, 0);
			gather_from(&ios[0], flat);
			assert_filled(flat, offset, len, 6 + c);

			/* and the same way back, shifted by a sector */
			scatter(0, BLKDEV_WRITE, offset + dev->info.sector_size, memory, niov, shapes[s], 3);
			run(1);
			assert_int_equal(ios[0].result, 0);
			memset(flat, 0, len);
			assert_int_equal(run_one(BLKDEV_READ, offset + dev->info.sector_size, len, flat), 0);
			assert_filled(flat, offset, len, 6 + c);
		}
}

static void flush(void **state)
{
	(void)state;
	fill(memory, 0, BLOCK, 20);
	assert_int_equal(run_one(BLKDEV_WRITE, 0, BLOCK, memory), 0);
	assert_int_equal(run_one(BLKDEV_FLUSH, 0, 0, NULL), 0);
	io_make(0, BLKDEV_WRITE, BLOCK, BLOCK, memory);
	io_make(1, BLKDEV_FLUSH, 0, 0, NULL);
	io_make(2, BLKDEV_READ, 0, BLOCK, memory2);
	io_make(3, BLKDEV_FLUSH, 0, 0, NULL);
	run(4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ios[i].result, 0);
	assert_filled(memory2, 0, BLOCK, 20);
}

/* The neighbours of what is discarded stay; the rest may be anything, but reads. */
static void discard_of(enum blkdev_op op, bool offered)
{
	uint32_t sector = dev->info.sector_size;

	fill(memory, 0, 16 * BLOCK, 21);
	assert_int_equal(run_one(BLKDEV_WRITE, 0, 16 * BLOCK, memory), 0);
	assert_int_equal(run_one(op, BLOCK + sector, 8 * BLOCK, NULL), offered ? 0 : -EOPNOTSUPP);
	assert_int_equal(run_one(BLKDEV_READ, 0, 16 * BLOCK, memory2), 0);
	assert_filled(memory2, 0, BLOCK + sector, 21);
	assert_filled(memory2 + 9 * BLOCK + sector, 9 * BLOCK + sector, 7 * BLOCK - sector, 21);
	if (!offered)
		assert_filled(memory2, 0, 16 * BLOCK, 21);
	else if (op == BLKDEV_SECURE_DISCARD)
		for (unsigned i = BLOCK + sector; i < 9 * BLOCK + sector; i++)
			assert_int_equal(memory2[i], 0);
	assert_int_equal(run_one(op, 0, sector, NULL), offered ? 0 : -EOPNOTSUPP); /* less than any granule */
	assert_int_equal(run_one(op, 0, dev->info.size, NULL), offered ? 0 : -EOPNOTSUPP);
	assert_int_equal(run_one(BLKDEV_READ, 0, BLOCK, memory2), 0);
}

static void discard(void **state)
{
	(void)state;
	discard_of(BLKDEV_DISCARD, dev->info.can_discard);
}

static void secure_discard(void **state)
{
	(void)state;
	discard_of(BLKDEV_SECURE_DISCARD, dev->info.can_secure_discard);
}

/* What the caller should have checked ends as an error, and nothing else happens. */
static void wrong_ios_are_refused(void **state)
{
	uint32_t sector = dev->info.sector_size;
	uint64_t size = dev->info.size;

	(void)state;
	assert_int_equal(run_one(BLKDEV_READ, size, sector, memory), -EINVAL);
	assert_int_equal(run_one(BLKDEV_WRITE, size - sector, 2 * sector, memory), -EINVAL);
	assert_int_equal(run_one(BLKDEV_READ, UINT64_MAX - sector + 1, sector, memory), -EINVAL);
	assert_int_equal(run_one(BLKDEV_DISCARD, sector, UINT64_MAX - sector + 1, NULL), dev->info.can_discard ? -EINVAL : -EOPNOTSUPP);
	assert_int_equal(run_one(BLKDEV_WRITE, 1, sector, memory), -EINVAL);
	assert_int_equal(run_one((enum blkdev_op)77, 0, sector, memory), -EOPNOTSUPP);
	io_make(0, BLKDEV_WRITE, 0, 2 * sector, memory);
	ios[0].iov[0].iov_len = sector;
	run(1);
	assert_int_equal(ios[0].result, -EINVAL);
}

static void readonly_refuses_writes(void **state)
{
	(void)state;
	fill(memory, 0, BLOCK, 22);
	assert_int_equal(run_one(BLKDEV_WRITE, 0, BLOCK, memory), 0);
	assert_int_equal(run_one(BLKDEV_FLUSH, 0, 0, NULL), 0);
	if (!subject->lasts)
		fill(memory, 0, BLOCK, 23);
	dev->ops->close(dev);
	dev = open_it(true);
	assert_true(dev->info.readonly);
	assert_int_equal(dev->info.size, SUBJECT_SIZE);
	memset(memory2, 0xaa, BLOCK);
	assert_int_equal(run_one(BLKDEV_WRITE, 0, BLOCK, memory2), -EROFS);
	assert_int_equal(run_one(BLKDEV_DISCARD, 0, BLOCK, NULL), -EROFS);
	assert_int_equal(run_one(BLKDEV_SECURE_DISCARD, 0, BLOCK, NULL), -EROFS);
	assert_int_equal(run_one(BLKDEV_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(run_one(BLKDEV_READ, 0, BLOCK, memory2), 0);
	if (subject->lasts)
		assert_filled(memory2, 0, BLOCK, 22);
}

/* Until a poll has taken everything, fd stays readable; an io that was refused counts. */
static void fd_is_readable_when_ios_ended(void **state)
{
	struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};
	struct blkdev_io *done[2];

	(void)state;
	dev->ops->submit(dev, io_make(0, BLKDEV_WRITE, dev->info.size, BLOCK, memory));
	dev->ops->submit(dev, io_make(1, BLKDEV_WRITE, 0, BLOCK, memory));
	assert_int_equal(dev->ops->kick(dev), 0);
	if (p.fd < 0) {
		assert_int_equal(dev->ops->poll(dev, done, 2), 2);
		return;
	}
	for (unsigned got = 0; got < 2; got += dev->ops->poll(dev, done, 1)) {
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_int_equal(dev->ops->fd(dev), p.fd);
	}
	assert_int_equal(poll(&p, 1, 50), 0); /* and quiet when nothing is under way */
}

/* The memory is the caller's again as soon as close is back: under ASan a late transfer into it is a report. */
static void close_with_ios_under_way(void **state)
{
	uint8_t *own = aligned_alloc(4096, DEPTH * BLOCK);

	(void)state;
	for (unsigned i = 0; i < DEPTH; i++)
		dev->ops->submit(dev, io_make(i, i % 2 ? BLKDEV_READ : BLKDEV_WRITE, (uint64_t)i * BLOCK, BLOCK, own + i * BLOCK));
	assert_int_equal(dev->ops->kick(dev), 0);
	for (unsigned i = 0; i < DEPTH; i++) /* and as many that were not even kicked */
		dev->ops->submit(dev, io_make(DEPTH + i, BLKDEV_READ, 0, BLOCK, own));
	dev->ops->close(dev);
	memset(own, 0x5a, DEPTH * BLOCK);
	dev = open_it(false);
	for (unsigned i = 0; i < DEPTH * BLOCK; i++)
		assert_int_equal(own[i], 0x5a);
	free(own);
}

static void close_of_nothing(void **state)
{
	(void)state;
	dev->ops->close(NULL);
}

static void *open_thread(void *out)
{
	char err[256];

	if (blkdev_open(subject->target, false, out, err))
		*(struct blkdev **)out = NULL;
	return NULL;
}

/* Whoever opened it may be gone: what is under way is the submitter's. */
static void opened_by_another_thread(void **state)
{
	pthread_t thread;

	(void)state;
	dev->ops->close(dev);
	assert_int_equal(pthread_create(&thread, NULL, open_thread, &dev), 0);
	pthread_join(thread, NULL);
	assert_non_null(dev);
	fill(memory, 0, DEPTH * BLOCK, 30);
	for (unsigned i = 0; i < DEPTH; i++)
		io_make(i, BLKDEV_WRITE, (uint64_t)i * BLOCK, BLOCK, memory + i * BLOCK);
	run(DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(ios[i].result, 0);
	assert_int_equal(run_one(BLKDEV_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(run_one(BLKDEV_READ, 0, DEPTH * BLOCK, memory2), 0);
	assert_filled(memory2, 0, DEPTH * BLOCK, 30);
}

/* A kick with nothing queued, a poll with nothing under way. */
static void idle(void **state)
{
	struct blkdev_io *done[4];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(dev->ops->kick(dev), 0);
		assert_int_equal(dev->ops->poll(dev, done, 4), 0);
	}
}

int blkdev_suite_run(const struct blkdev_subject *s)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(info_is_sane), CASE(what_is_written_is_read), CASE(first_and_last_sector), CASE(deep_queue), CASE(registered_memory), CASE(overlapping_batches),
		CASE(odd_shapes_of_iov), CASE(flush), CASE(discard), CASE(secure_discard), CASE(wrong_ios_are_refused), CASE(readonly_refuses_writes),
		CASE(fd_is_readable_when_ios_ended), CASE(close_with_ios_under_way), CASE(close_of_nothing), CASE(opened_by_another_thread),
		CASE(idle),
	};
	int failed;

	subject = s;
	memory = aligned_alloc(4096, 2 * DEPTH * BLOCK);
	memory2 = aligned_alloc(4096, 2 * DEPTH * BLOCK);
	memset(memory, 0, 2 * DEPTH * BLOCK);
	memset(memory2, 0, 2 * DEPTH * BLOCK);
	failed = cmocka_run_group_tests_name(s->name, tests, NULL, NULL);
	free(memory);
	free(memory2);
	return failed;
}
