/* SPDX-License-Identifier: BSD-3-Clause */
/* The io_uring provider where the storage or the memory is not as one would wish: misaligned, short, full, shrunk, gone. */
#include <backend/storage/storage.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tests/support/storage_world.h>
#include <cmocka.h>

#define SIZE (4u << 20)

static char folder[STORAGE_PATH], path[STORAGE_PATH];
static struct blkdev *dev;
static uint8_t *memory; /* SIZE bytes and a page */
static struct blkdev_io ios[300];

static int setup(void **state)
{
	char err[STORAGE_ERR];

	(void)state;
	memory = aligned_alloc(4096, SIZE + 4096);
	memset(memory, 0, SIZE + 4096);
	if (scratch_make("/var/tmp", folder) || scratch_file(folder, "disk.img", SIZE, path))
		return -1;
	return storage_uring_open(path, false, &dev, err);
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

	memset(io, 0, offsetof(struct blkdev_io, iov));
	io->op = op;
	io->offset = offset;
	io->len = len;
	io->niov = 1;
	io->iov[0] = (struct iovec){.iov_base = base, .iov_len = len};
	io->result = 12345;
	dev->ops->submit(dev, io);
}

static void collect(unsigned count)
{
	struct blkdev_io *done[300];
	struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};

	while (count) {
		unsigned n = dev->ops->poll(dev, done, 300);

		assert_true(n <= count);
		count -= n;
		if (n == 0)
			assert_int_equal(poll(&p, 1, 10000), 1);
	}
}

static int io_run(enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	submit(0, op, offset, len, base);
	assert_int_equal(dev->ops->kick(dev), 0);
	collect(1);
	return ios[0].result;
}

/* Aligned ios go past the page cache, misaligned ones through it: whatever the order, each sees what the other wrote. */
static void both_ways_are_coherent(void **state)
{
	static const unsigned shifts[] = {0, 512, 8, 0, 1, 0, 512, 512, 0};
	uint8_t *other = aligned_alloc(4096, 3 * 4096);

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		unsigned w = shifts[round % 9], r = shifts[(round + 4) % 9], sector = round % 3;

		memset(memory + w, (int)round + 1, 4096);
		assert_int_equal(io_run(BLKDEV_WRITE, 8192 + sector * 512, 4096, memory + w), 0);
		memset(other, 0, 3 * 4096);
		assert_int_equal(io_run(BLKDEV_READ, 8192 + sector * 512, 4096, other + r), 0);
		for (unsigned i = 0; i < 4096; i++)
			assert_int_equal(other[r + i], (uint8_t)(round + 1));
	}
	free(other);
}

/* The bytes are in the file itself after a flush: another descriptor, past the cache, sees them. */
static void flush_reaches_the_file(void **state)
{
	int fd = open(path, O_RDONLY | O_DIRECT);

	(void)state;
	if (fd < 0)
		skip();
	memset(memory + 8, 0x5c, 4096);
	assert_int_equal(io_run(BLKDEV_WRITE, 4096, 4096, memory + 8), 0);
	assert_int_equal(io_run(BLKDEV_FLUSH, 0, 0, NULL), 0);
	assert_int_equal(pread(fd, memory + 8192, 4096, 4096), 4096);
	assert_memory_equal(memory + 8, memory + 8192, 4096);
	close(fd);
}

/* Somebody cut the file: what is beyond its end is an error, never old or zero bytes with success. */
static void a_short_file_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(truncate(path, 3 * 4096 + 1024), 0);
	assert_int_equal(io_run(BLKDEV_READ, 0, 8192, memory), 0);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 8192, memory), -EIO);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 8192, memory + 8), -EIO);
	assert_int_equal(io_run(BLKDEV_READ, 65536, 4096, memory), -EIO);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 4096, memory), 0);
}

/* A read stops within a piece of memory, at the file's end; the file grows; the read goes on where it stopped. */
static void a_short_read_goes_on(void **state)
{
	struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};
	uint8_t *want = malloc(32768), *to = memory + 65536;
	struct blkdev_io *io = &ios[0];
	int fd = open(path, O_RDWR);

	(void)state;
	for (unsigned i = 0; i < 32768; i++)
		want[i] = (uint8_t)(i / 512 + i);
	assert_int_equal(pwrite(fd, want, 32768, 0), 32768);
	assert_int_equal(ftruncate(fd, 5 * 4096 + 512), 0);
	*io = (struct blkdev_io){.op = BLKDEV_READ, .len = 32768, .niov = 3};
	io->iov[0] = (struct iovec){.iov_base = to + 65536, .iov_len = 8192};
	io->iov[1] = (struct iovec){.iov_base = to + 32768, .iov_len = 16384};
	io->iov[2] = (struct iovec){.iov_base = to, .iov_len = 8192};
	dev->ops->submit(dev, io);
	assert_int_equal(dev->ops->kick(dev), 0);
	assert_int_equal(poll(&p, 1, 10000), 1); /* it came short */
	assert_int_equal(pwrite(fd, want, 32768, 0), 32768);
	collect(1);
	assert_int_equal(io->result, 0);
	assert_memory_equal(to + 65536, want, 8192);
	assert_memory_equal(to + 32768, want + 8192, 16384);
	assert_memory_equal(to, want + 24576, 8192);
	close(fd);
	free(want);
}

static void refresh_sees_a_new_size(void **state)
{
	(void)state;
	assert_false(dev->ops->refresh(dev));
	assert_int_equal(truncate(path, SIZE + 4096 + 100), 0);
	assert_true(dev->ops->refresh(dev));
	assert_int_equal(dev->info.size, SIZE + 4096); /* whole sectors */
	assert_false(dev->ops->refresh(dev));
	assert_int_equal(io_run(BLKDEV_WRITE, SIZE, 4096, memory), 0);
	assert_int_equal(truncate(path, SIZE / 2), 0);
	assert_true(dev->ops->refresh(dev));
	assert_int_equal(io_run(BLKDEV_READ, SIZE / 2, 4096, memory), -EINVAL);
}

/* A grant that was taken away under us is one failed io. */
static void memory_that_is_not_there(void **state)
{
	uint8_t *hole = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	munmap(hole + 4096, 4096);
	assert_int_equal(io_run(BLKDEV_READ, 0, 4096, hole + 4096), -EFAULT);
	assert_int_equal(io_run(BLKDEV_WRITE, 0, 4096, hole + 4096), -EFAULT);
	assert_int_not_equal(io_run(BLKDEV_READ, 0, 8192, hole), 0);
	assert_int_equal(io_run(BLKDEV_READ, 0, 4096, hole), 0);
	munmap(hole, 4096);
}

/* Linux refuses the doorbell: the ios end with its error, once each, and the device can be closed. */
static void a_broken_ring_ends_every_io(void **state)
{
	struct blkdev_io *done[300];
	unsigned n;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		submit(i, BLKDEV_READ, 0, 4096, memory);
	close(dev->ops->fd(dev));
	assert_int_equal(dev->ops->kick(dev), -EBADF);
	n = dev->ops->poll(dev, done, 300);
	while (n < 300) {
		unsigned more = dev->ops->poll(dev, done + n, 300 - n);

		assert_true(more > 0);
		n += more;
	}
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(ios[i].result, -EBADF);
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(done[i], done[j]);
	}
}

/* ---- a file system that refuses: in the ring's table of files, another one takes the place of the disk's ---- */

enum { BUFFERED, DIRECT };

static void file_becomes(unsigned which, int fd)
{
	struct io_uring_files_update update = {.offset = which, .fds = (uintptr_t)&fd};

	assert_int_equal(syscall(SYS_io_uring_register, dev->ops->fd(dev), IORING_REGISTER_FILES_UPDATE, &update, 1), 1);
}

/* What a direct transfer ends with is not the guest's business as long as the same goes through the page cache. */
static void survives(int direct)
{
	assert_true(direct >= 0);
	file_becomes(DIRECT, direct);
	memset(memory, 0x42, 8192);
	memset(memory + 8192, 0, 8192);
	assert_int_equal(io_run(BLKDEV_WRITE, 16384, 8192, memory), 0);
	assert_int_equal(io_run(BLKDEV_READ, 16384, 8192, memory + 8192), 0);
	assert_memory_equal(memory, memory + 8192, 8192);
	assert_int_equal(io_run(BLKDEV_FLUSH, 0, 0, NULL), 0);
	close(direct);
}

/* Nothing is mapped at those addresses: -EIO both ways. */
static void a_direct_error_goes_through_the_cache(void **state)
{
	(void)state;
	survives(open("/proc/self/mem", O_RDWR));
}

/* The memory of a process that has ended takes nothing: 0 bytes. */
static void nothing_written_goes_through_the_cache(void **state)
{
	pid_t pid = fork();
	char name[32];
	int fd;

	(void)state;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	snprintf(name, sizeof(name), "/proc/%d/mem", pid);
	fd = open(name, O_RDWR);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(fd >= 0);
	file_becomes(DIRECT, fd);
	assert_int_equal(io_run(BLKDEV_WRITE, 16384, 8192, memory), 0);
	assert_int_equal(io_run(BLKDEV_READ, 16384, 8192, memory), -EIO); /* nothing read is a file's end, and no reason to try again */
	close(fd);
}

/* ... or a result in the ring becomes another: completions lie in memory that is shared with Linux, which has written them already. */
#define ODD_LEN 12288
#define RING_BYTES 12288

static void result_becomes(int32_t res)
{
	int32_t *ring = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, dev->ops->fd(dev), IORING_OFF_CQ_RING);
	struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};
	unsigned changed = 0;

	assert_ptr_not_equal(ring, MAP_FAILED);
	assert_int_equal(poll(&p, 1, 10000), 1);
	for (unsigned i = offsetof(struct io_uring_cqe, res) / 4; i < RING_BYTES / 4; i += sizeof(struct io_uring_cqe) / 4)
		if (ring[i] == ODD_LEN) {
			ring[i] = res;
			changed++;
		}
	munmap(ring, RING_BYTES);
	assert_true(changed > 0); /* old ones that nobody looks at any more, too */
}

/* The result of a write that Linux "ends" with each of these in turn, and then as it really does. */
static int io_run_faked(void *base, const int32_t *results, unsigned n)
{
	struct blkdev_io *done;

	submit(0, BLKDEV_WRITE, 16384, ODD_LEN, base);
	assert_int_equal(dev->ops->kick(dev), 0);
	for (unsigned i = 0; i < n; i++) {
		result_becomes(results[i]);
		if (dev->ops->poll(dev, &done, 1) == 1) {
			assert_int_equal(i, n - 1);
			return done->result;
		}
	}
	collect(1);
	return ios[0].result;
}

#define FAKED(base, ...) io_run_faked(base, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* First through the page cache, then where Linux may wait; then it is the guest's. */
static void what_is_tried_again(void **state)
{
	uint8_t *odd = memory + 8; /* cannot go past the page cache */

	(void)state;
	assert_int_equal(FAKED(memory, -EBUSY), 0);
	assert_int_equal(FAKED(memory, -EAGAIN), 0);
	assert_int_equal(FAKED(memory, 0), 0);
	assert_int_equal(FAKED(memory, -EAGAIN, -EAGAIN), 0);
	assert_int_equal(FAKED(memory, -EIO, -EIO), -EIO);
	assert_int_equal(FAKED(memory, -EAGAIN, -EAGAIN, -EAGAIN), -EAGAIN);
	assert_int_equal(FAKED(memory, 0, 0), -EIO);
	assert_int_equal(FAKED(memory, -ENOSPC), -ENOSPC);
	assert_int_equal(FAKED(odd, -EAGAIN), 0);
	assert_int_equal(FAKED(odd, -EIO), -EIO);
}

/* ---- registered memory ---- */

#define LITTLE (256u << 10) /* the ring itself counts, too, for newer kernels */

static int io_run_registered(unsigned number, enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	submit(0, op, offset, len, base);
	ios[0].buffer = number;
	assert_int_equal(dev->ops->kick(dev), 0);
	collect(1);
	return ios[0].result;
}

/* Whole and in part; an io is bound to the memory that it names, and a number that was forgotten names none. */
static void registered_memory(void **state)
{
	(void)state;
	if (dev->ops->register_memory(dev, 1, memory, 4096) || dev->ops->register_memory(dev, BLKDEV_BUFFERS, memory + 8192, 4096))
		skip(); /* Linux before 5.19 */
	memset(memory, 0x11, 4096);
	memset(memory + 8192, 0, 4096);
	assert_int_equal(io_run_registered(1, BLKDEV_WRITE, 4096, 4096, memory), 0);
	assert_int_equal(io_run_registered(BLKDEV_BUFFERS, BLKDEV_READ, 4096, 4096, memory + 8192), 0);
	assert_memory_equal(memory, memory + 8192, 4096);
	memset(memory + 512, 0x22, 1024);
	assert_int_equal(io_run_registered(1, BLKDEV_WRITE, 512, 1024, memory + 512), 0);
	assert_int_equal(io_run_registered(BLKDEV_BUFFERS, BLKDEV_READ, 512, 1024, memory + 8192 + 2048), 0);
	assert_memory_equal(memory + 512, memory + 8192 + 2048, 1024);
	assert_int_equal(io_run_registered(1, BLKDEV_READ, 0, 4096, memory + 2048), -EFAULT); /* beyond its end */
	assert_int_equal(io_run_registered(1, BLKDEV_READ, 0, 4096, memory + 8192), -EFAULT); /* another's */
	dev->ops->forget_memory(dev, 1);
	assert_int_equal(io_run_registered(1, BLKDEV_READ, 0, 4096, memory), -EFAULT);
	assert_int_equal(io_run(BLKDEV_READ, 4096, 4096, memory), 0);
	assert_int_equal(dev->ops->register_memory(dev, 1, memory, 4096), 0);
	assert_int_equal(io_run_registered(1, BLKDEV_READ, 0, 4096, memory), 0);
}

/* A page of a device's, as gntdev's for Linux before 6.5: here one that is not mapped at all. From then on small transfers go through pages of ours. */
static void refuse_memory(void)
{
	uint8_t *nothing = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(nothing, 4096);
	assert_int_equal(dev->ops->register_memory(dev, 1, nothing, 4096), -EOPNOTSUPP);
	assert_int_equal(dev->ops->register_memory(dev, 2, memory, 4096), -EOPNOTSUPP); /* asked once */
}

static void small_and_large(void)
{
	for (unsigned len = 512; len <= 16384; len *= 2) {
		memset(memory + 8, (int)(len / 512), len);
		assert_int_equal(io_run(BLKDEV_WRITE, 8192, len, memory + 8), 0);
		memset(memory + 65536, 0, len + 1);
		assert_int_equal(io_run(BLKDEV_READ, 8192, len, memory + 65536), 0);
		assert_memory_equal(memory + 8, memory + 65536, len);
		assert_int_equal(memory[65536 + len], 0);
	}
}

static void memory_that_is_refused(void **state)
{
	struct blkdev_io *io = &ios[0];

	(void)state;
	refuse_memory();
	small_and_large();
	assert_int_equal(io_run(BLKDEV_READ, SIZE, 4096, memory), -EINVAL);
	memset(memory, 0x33, 4096);
	submit(0, BLKDEV_WRITE, 0, 4096, memory);
	io->niov = 8;
	for (unsigned i = 0; i < 8; i++)
		io->iov[i] = (struct iovec){.iov_base = memory + i * 1024, .iov_len = 512};
	memset(memory + 7 * 1024, 0x44, 512);
	assert_int_equal(dev->ops->kick(dev), 0);
	collect(1);
	assert_int_equal(io->result, 0);
	assert_int_equal(io_run(BLKDEV_READ, 0, 4096, memory + 65536), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_memory_equal(memory + 65536 + i * 512, memory + i * 1024, 512);
}

/* The file is shorter than it was: what comes short ends as it does without pages of ours. */
static void refused_memory_and_a_short_file(void **state)
{
	(void)state;
	refuse_memory();
	assert_int_equal(truncate(path, 8192 + 512), 0);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 4096, memory), -EIO);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 512, memory), 0);
	assert_int_equal(io_run(BLKDEV_WRITE, 8192, 4096, memory), 0);
	assert_int_equal(io_run(BLKDEV_READ, 8192, 4096, memory), 0);
}

/* More at once than there are requests, each with a page of its own. */
static void refused_memory_of_many(void **state)
{
	(void)state;
	refuse_memory();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 300; i++) {
			memset(memory + i * 4096, round ? 0 : (int)(i % 251), 4096);
			submit(i, round ? BLKDEV_READ : BLKDEV_WRITE, (uint64_t)i * 4096, 4096, memory + i * 4096);
		}
		assert_int_equal(dev->ops->kick(dev), 0);
		collect(300);
	}
	for (unsigned i = 0; i < 300 * 4096; i++)
		assert_int_equal(memory[i], i / 4096 % 251);
}

/* Where few pages may be locked, and never as many as a page for each request: some are registered, and transfers go on without the others. */
static int little_may_be_locked(void)
{
	const struct rlimit little = {LITTLE, LITTLE};
	char err[STORAGE_ERR];
	unsigned number = 1;

	dev->ops->close(dev);
	if (chmod(folder, 0755) || chmod(path, 0666) || setrlimit(RLIMIT_MEMLOCK, &little) || setresuid(65534, 65534, 65534))
		return 77;
	if (storage_uring_open(path, false, &dev, err))
		return 1;
	while (dev->ops->register_memory(dev, number, memory + number * 4096, 4096) == 0)
		if (++number > LITTLE / 4096)
			return 2;
	small_and_large();
	if (number > 1 && io_run_registered(1, BLKDEV_READ, 0, 4096, memory + 4096))
		return 3;
	dev->ops->close(dev);
	return 0;
}

/* Returns in the parent, when the child has ended well. */
static void in_a_child(int (*test)(void))
{
	int status;
	pid_t pid;

	if (geteuid() != 0)
		skip();
	pid = fork();
	if (pid == 0)
		_exit(test());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void memory_that_may_not_be_locked(void **state)
{
	(void)state;
	in_a_child(little_may_be_locked);
}

/* As blkback would do it on a host whose disk is full: a child, in a mount name space with a file system of 1 MiB. */
static int full_disk(void)
{
	struct blkdev_io *io = &ios[0];
	char file[STORAGE_PATH], err[STORAGE_ERR];

	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("none", folder, "tmpfs", 0, "size=1m"))
		return 77;
	dev->ops->close(dev);
	if (scratch_file(folder, "full.img", SIZE, file) || storage_uring_open(file, false, &dev, err))
		return 1;
	memset(memory, 1, SIZE);
	submit(0, BLKDEV_WRITE, 0, 65536, memory);
	dev->ops->kick(dev);
	collect(1);
	if (io->result != 0)
		return 2;
	submit(0, BLKDEV_WRITE, 65536, 2 << 20, memory); /* half of it fits: it goes on, and then there is no room */
	dev->ops->kick(dev);
	collect(1);
	if (io->result != -ENOSPC)
		return 3;
	submit(0, BLKDEV_READ, 0, 65536, memory + 65536);
	dev->ops->kick(dev);
	collect(1);
	return io->result == 0 && memcmp(memory, memory + 65536, 65536) == 0 ? 0 : 4;
}

static void a_full_disk(void **state)
{
	(void)state;
	in_a_child(full_disk);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(both_ways_are_coherent), CASE(flush_reaches_the_file), CASE(a_short_file_is_an_error), CASE(a_short_read_goes_on),
		CASE(refresh_sees_a_new_size),
		CASE(memory_that_is_not_there), CASE(a_broken_ring_ends_every_io), CASE(a_full_disk),
		CASE(a_direct_error_goes_through_the_cache), CASE(nothing_written_goes_through_the_cache),
		CASE(what_is_tried_again),
		CASE(registered_memory), CASE(memory_that_is_refused), CASE(refused_memory_and_a_short_file), CASE(refused_memory_of_many),
		CASE(memory_that_may_not_be_locked),
	};

	return cmocka_run_group_tests_name("storage: uring", tests, NULL, NULL);
}
