/* SPDX-License-Identifier: BSD-3-Clause */
/* The memory disk beyond the contract: zero at first, and discarded pages are given back and read as zero, to the byte. */
#include <backend/storage/storage.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define SIZE (16u << 20)

static uint8_t data[SIZE];

static int io_run(struct blkdev *d, enum blkdev_op op, uint64_t offset, uint64_t len)
{
	static struct blkdev_io io;
	struct blkdev_io *done;

	io = (struct blkdev_io){.op = op, .offset = offset, .len = len, .iov[0] = {.iov_base = data + offset, .iov_len = len}, .niov = 1};
	d->ops->submit(d, &io);
	assert_int_equal(d->ops->kick(d), 0);
	assert_int_equal(d->ops->poll(d, &done, 1), 1);
	assert_ptr_equal(done, &io);
	return io.result;
}

static long resident_pages(void)
{
	long size, resident = -1;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%ld %ld", &size, &resident) != 2)
		resident = -1;
	if (f)
		fclose(f);
	return resident;
}

static void zero_at_first(void **state)
{
	struct blkdev *d;
	char err[STORAGE_ERR];

	(void)state;
	assert_int_equal(storage_memory_open(SIZE, false, &d, err), 0);
	memset(data, 0xff, SIZE);
	assert_int_equal(io_run(d, BLKDEV_READ, 0, SIZE), 0);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(data[i], 0);
	d->ops->close(d);
}

static void discard_clears_to_the_byte(void **state)
{
	static const struct {
		uint64_t offset, len;
	} ranges[] = {{512, 512}, {512, 4096}, {4096, 8192}, {3584, 512}, {3584, 9216}, {0, SIZE}};
	struct blkdev *d;
	char err[STORAGE_ERR];

	(void)state;
	assert_int_equal(storage_memory_open(SIZE, false, &d, err), 0);
	for (unsigned r = 0; r < sizeof(ranges) / sizeof(ranges[0]); r++) {
		memset(data, 0xff, SIZE);
		assert_int_equal(io_run(d, BLKDEV_WRITE, 0, SIZE), 0);
		assert_int_equal(io_run(d, r % 2 ? BLKDEV_SECURE_DISCARD : BLKDEV_DISCARD, ranges[r].offset, ranges[r].len), 0);
		assert_int_equal(io_run(d, BLKDEV_READ, 0, SIZE), 0);
		for (uint64_t i = 0; i < SIZE; i++)
			if (data[i] != (i >= ranges[r].offset && i < ranges[r].offset + ranges[r].len ? 0 : 0xff))
				fail_msg("range %u: byte %llu is 0x%x", r, (unsigned long long)i, data[i]);
	}
	d->ops->close(d);
}

static void discard_gives_memory_back(void **state)
{
	struct blkdev *d;
	char err[STORAGE_ERR];
	long before, after;

	(void)state;
	assert_int_equal(storage_memory_open(SIZE, false, &d, err), 0);
	memset(data, 1, SIZE);
	assert_int_equal(io_run(d, BLKDEV_WRITE, 0, SIZE), 0);
	before = resident_pages();
	assert_int_equal(io_run(d, BLKDEV_DISCARD, 0, SIZE), 0);
	after = resident_pages();
	assert_true(before > 0 && before - after > (long)(SIZE / 4096 / 10 * 9));
	d->ops->close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_at_first),
		cmocka_unit_test(discard_clears_to_the_byte),
		cmocka_unit_test(discard_gives_memory_back),
	};

	return cmocka_run_group_tests_name("storage: memory", tests, NULL, NULL);
}
