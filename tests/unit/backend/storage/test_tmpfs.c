/* SPDX-License-Identifier: BSD-3-Clause */
/* A file of a tmpfs where it is not as one would wish: cut, full, memory that is not there; and that one poll does not do everything. */
#include <backend/storage/storage.h>
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tests/support/storage_world.h>
#include <cmocka.h>

#define SIZE (4u << 20)

static char folder[STORAGE_PATH], path[STORAGE_PATH];
static struct blkdev *dev;
static uint8_t *memory;
static struct blkdev_io ios[64];

static int setup(void **state)
{
	char err[STORAGE_ERR];

	(void)state;
	memory = calloc(1, SIZE);
	if (scratch_make("/dev/shm", folder) || scratch_file(folder, "disk.img", SIZE, path))
		return -1;
	return blkdev_open(path, false, &dev, err);
}

static int teardown(void **state)
{
	(void)state;
	dev->ops->close(dev);
	scratch_remove(folder);
	free(memory);
	return 0;
}

static void submit(unsigned i, enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	struct blkdev_io *io = &ios[i];

	*io = (struct blkdev_io){.op = op, .offset = offset, .len = len, .niov = 1, .result = 12345};
	io->iov[0] = (struct iovec){.iov_base = base, .iov_len = len};
	dev->ops->submit(dev, io);
}

static int io_run(enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	struct blkdev_io *done;

	submit(0, op, offset, len, base);
	assert_int_equal(dev->ops->kick(dev), 0);
	assert_int_equal(dev->ops->poll(dev, &done, 1), 1);
	assert_int_equal(dev->ops->poll(dev, &done, 1), 0);
	return ios[0].result;
}

static void files_of_a_tmpfs_alone_come_here(void **state)
{
	char disk[STORAGE_PATH], other[STORAGE_PATH], err[STORAGE_ERR];
	struct blkdev *d;

	(void)state;
	assert_string_equal(dev->ops->name, "tmpfs");
	assert_int_equal(dev->ops->fd(dev), -1);
	assert_false(storage_is_tmpfs(folder));
	assert_false(storage_is_tmpfs("/dev/null"));
	assert_false(storage_is_tmpfs("/dev/shm/there is no such file"));
	assert_int_equal(scratch_make("/var/tmp", other), 0);
	assert_int_equal(scratch_file(other, "disk.img", SIZE, disk), 0);
	if (!storage_is_tmpfs(disk)) {
		assert_int_equal(blkdev_open(disk, false, &d, err), 0);
		assert_string_equal(d->ops->name, "uring");
		d->ops->close(d);
	}
	scratch_remove(other);
}

/* The guest of this disk may not keep the others waiting for all that it has asked for. */
static void one_poll_does_a_slice(void **state)
{
	struct blkdev_io *done[64];

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		submit(i, BLKDEV_WRITE, i * 262144u, 262144, memory);
	assert_int_equal(dev->ops->kick(dev), 0);
	for (unsigned round = 0; round < 4; round++) {
		assert_int_equal(dev->ops->poll(dev, done, 64), 4);
		for (unsigned i = 0; i < 4; i++) {
			assert_ptr_equal(done[i], &ios[4 * round + i]);
			assert_int_equal(done[i]->result, 0);
		}
	}
	assert_int_equal(dev->ops->poll(dev, done, 64), 0);
}

static void a_short_file_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(truncate(path, 3 * 4096 + 1024), 0);
	assert_int_equal(io_run(BLKDEV_READ, 0, 8192, memory), 0);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 8192, memory), -EIO);
	assert_int_equal(io_run(BLKDEV_READ, 65536, 4096, memory), -EIO);
	assert_true(dev->ops->refresh(dev));
	assert_int_equal(dev->info.size, 3 * 4096 + 1024);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 8192, memory), -EINVAL);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 4096, memory), 0);
}

static void memory_that_is_not_there(void **state)
{
	uint8_t *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	munmap(hole + 4096, 4096);
	memset(memory, 0x37, 8192);
	assert_int_equal(io_run(BLKDEV_WRITE, 0, 8192, memory), 0);
	assert_int_equal(io_run(BLKDEV_READ, 0, 4096, hole + 4096), -EFAULT);
	assert_int_equal(io_run(BLKDEV_WRITE, 0, 4096, hole + 4096), -EFAULT);
	assert_int_equal(io_run(BLKDEV_READ, 0, 8192, hole), -EFAULT); /* its first half came */
	assert_int_equal(io_run(BLKDEV_READ, 0, 4096, hole), 0);
	assert_memory_equal(hole, memory, 4096);
	munmap(hole, 4096);
}

/* A child in a mount name space with a file system of 1 MiB. */
static int full_disk(void)
{
	char file[STORAGE_PATH], err[STORAGE_ERR];

	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", folder, "tmpfs", 0, "size=1m"))
		return 77;
	dev->ops->close(dev);
	if (scratch_file(folder, "full.img", SIZE, file) || blkdev_open(file, false, &dev, err) || strcmp(dev->ops->name, "tmpfs") != 0)
		return 1;
	memset(memory, 1, SIZE);
	if (io_run(BLKDEV_WRITE, 0, 65536, memory) != 0)
		return 2;
	if (io_run(BLKDEV_WRITE, 65536, 2 << 20, memory) != -ENOSPC) /* half of it fits */
		return 3;
	if (io_run(BLKDEV_DISCARD, 65536, 2 << 20, NULL) != 0 || io_run(BLKDEV_WRITE, 65536, 65536, memory) != 0)
		return 4;
	return io_run(BLKDEV_READ, 0, 65536, memory + 65536) == 0 && memcmp(memory, memory + 65536, 65536) == 0 ? 0 : 5;
}

static void a_full_disk(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(full_disk());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(files_of_a_tmpfs_alone_come_here), CASE(one_poll_does_a_slice), CASE(a_short_file_is_an_error),
		CASE(memory_that_is_not_there), CASE(a_full_disk),
	};

	return cmocka_run_group_tests_name("storage: tmpfs", tests, NULL, NULL);
}
