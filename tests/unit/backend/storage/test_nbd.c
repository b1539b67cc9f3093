/* SPDX-License-Identifier: BSD-3-Clause */
/* The NBD provider when its server dies, comes back, stays away, or answers with errors. The servers are nbdkit's, ended by their process ids. */
#include <backend/storage/nbd_link.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tests/support/storage_world.h>
#include <cmocka.h>

#define SIZE (4u << 20)
#define BLOCK 4096u
#define COUNT (SIZE / BLOCK)
#define SECOND 1000000000ull
#define NBDKIT "nbdkit", "-f", "-U", "SOCKET"
#define ARGV(...) (const char *const[]){__VA_ARGS__, NULL}

static char folder[STORAGE_PATH], image[STORAGE_PATH];
static struct nbd_server server;
static struct blkdev *dev;
static uint8_t *memory;
static struct blkdev_io ios[COUNT + 1];

static int setup(void **state)
{
	(void)state;
	memory = aligned_alloc(4096, SIZE);
	memset(memory, 0, SIZE);
	nbd_outage_ns = 30 * SECOND;
	dev = NULL;
	return scratch_make("/dev/shm", folder) || scratch_file(folder, "disk.img", SIZE, image) ? -1 : 0;
}

static int teardown(void **state)
{
	(void)state;
	if (dev)
		dev->ops->close(dev);
	nbd_server_stop(&server, SIGKILL);
	scratch_remove(folder);
	free(memory);
	return 0;
}

static void serve(const char *const *argv)
{
	int rc = nbd_server_start(&server, folder, argv);

	if (rc == -ENOENT)
		skip();
	assert_int_equal(rc, 0);
}

static void serve_image(void)
{
	serve(ARGV(NBDKIT, "file", image));
}

/* Slow enough to be killed in the middle. */
static void serve_slowly(void)
{
	serve(ARGV(NBDKIT, "--filter=delay", "file", image, "delay-write=10ms"));
}

/* It has the socket, but does nothing any more. */
static void freeze(void)
{
	int status;

	assert_int_equal(kill(server.pid, SIGSTOP), 0);
	assert_int_equal(waitpid(server.pid, &status, WUNTRACED), server.pid);
	assert_true(WIFSTOPPED(status));
}

static void open_it(void)
{
	char err[STORAGE_ERR];

	if (storage_nbd_open(server.uri, false, &dev, err))
		fail_msg("%s", err);
}

static void submit(unsigned i, enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	struct blkdev_io *io = &ios[i];

	memset(io, 0, offsetof(struct blkdev_io, iov));
	io->op = op;
	io->offset = offset;
	io->len = len;
	io->niov = base ? 1 : 0;
	io->iov[0] = (struct iovec){.iov_base = base, .iov_len = len};
	io->result = 12345;
	dev->ops->submit(dev, io);
}

/* How many ended by the deadline; sleeps on fd, as the poller does. */
static unsigned collect(unsigned count, uint64_t ns)
{
	struct blkdev_io *done[64];
	uint64_t deadline = nbd_link_now() + ns;
	unsigned got = 0;

	while (got < count && nbd_link_now() < deadline) {
		unsigned n = dev->ops->poll(dev, done, 64);
		struct pollfd p = {.fd = dev->ops->fd(dev), .events = POLLIN};

		got += n;
		if (n == 0)
			poll(&p, 1, (int)(ns / 1000000 < 200 ? ns / 1000000 : 200));
	}
	return got;
}

static int io_run(enum blkdev_op op, uint64_t offset, uint64_t len, void *base)
{
	submit(0, op, offset, len, base);
	assert_int_equal(dev->ops->kick(dev), 0);
	assert_int_equal(collect(1, 20 * SECOND), 1);
	return ios[0].result;
}

static void assert_image(void)
{
	uint8_t *got = malloc(SIZE);
	FILE *f = fopen(image, "re");

	assert_non_null(f);
	assert_int_equal(fread(got, 1, SIZE, f), SIZE);
	assert_memory_equal(got, memory, SIZE);
	fclose(f);
	free(got);
}

/* A thousand writes, the server killed three times among them: each ends once, with success, and all is there. */
static void killed_and_started_again(void **state)
{
	unsigned got = 0;

	(void)state;
	serve_slowly();
	open_it();
	for (unsigned i = 0; i < SIZE; i++)
		memory[i] = (uint8_t)(i / BLOCK + i);
	for (unsigned i = 0; i < COUNT; i++)
		submit(i, BLKDEV_WRITE, (uint64_t)i * BLOCK, BLOCK, memory + (size_t)i * BLOCK);
	assert_int_equal(dev->ops->kick(dev), 0);
	for (unsigned round = 0; round < 3; round++) {
		got += collect(COUNT / 5, 5 * SECOND);
		nbd_server_stop(&server, SIGKILL);
		got += collect(COUNT, SECOND / 5); /* sees the loss, and tries in vain */
		assert_true(got < COUNT);
		serve_slowly();
	}
	got += collect(COUNT - got, 20 * SECOND);
	assert_int_equal(got, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(ios[i].result, 0);
	assert_int_equal(io_run(BLKDEV_FLUSH, 0, 0, NULL), 0);
	assert_image();
}

/* Nothing under way when the server is restarted: the next io finds the new one by itself. */
static void restarted_while_idle(void **state)
{
	(void)state;
	serve_image();
	open_it();
	memset(memory, 7, BLOCK);
	assert_int_equal(io_run(BLKDEV_WRITE, 0, BLOCK, memory), 0);
	nbd_server_stop(&server, SIGKILL);
	serve_image();
	assert_int_equal(io_run(BLKDEV_READ, 0, BLOCK, memory + BLOCK), 0);
	assert_memory_equal(memory, memory + BLOCK, BLOCK);
}

/* A scattered read that is sent again lands where it should. */
static void scattered_io_is_sent_again(void **state)
{
	struct blkdev_io *io = &ios[0];

	(void)state;
	serve_image();
	open_it();
	memset(memory, 9, 4 * BLOCK);
	assert_int_equal(io_run(BLKDEV_WRITE, BLOCK, 4 * BLOCK, memory), 0);
	freeze();
	*io = (struct blkdev_io){.op = BLKDEV_READ, .offset = BLOCK, .len = 4 * BLOCK, .niov = 4};
	for (unsigned v = 0; v < 4; v++)
		io->iov[v] = (struct iovec){.iov_base = memory + (size_t)(16 + 2 * v) * BLOCK, .iov_len = BLOCK};
	dev->ops->submit(dev, io);
	submit(1, BLKDEV_FLUSH, 0, 0, NULL);
	assert_int_equal(dev->ops->kick(dev), 0);
	assert_int_equal(collect(2, SECOND / 10), 0);
	nbd_server_stop(&server, SIGKILL);
	serve_image();
	assert_int_equal(collect(2, 20 * SECOND), 2);
	assert_int_equal(ios[0].result, 0);
	assert_int_equal(ios[1].result, 0);
	for (unsigned v = 0; v < 4; v++)
		assert_memory_equal(memory + (size_t)(16 + 2 * v) * BLOCK, memory, BLOCK);
}

/* The wait is bounded: then errors, at once for new ios; and the server's return is still noticed. */
static void away_for_too_long(void **state)
{
	uint64_t began;

	(void)state;
	serve_image();
	open_it();
	nbd_outage_ns = SECOND;
	nbd_server_stop(&server, SIGKILL);
	began = nbd_link_now();
	assert_int_equal(io_run(BLKDEV_WRITE, 0, BLOCK, memory), -EIO);
	assert_in_range(nbd_link_now() - began, SECOND * 9 / 10, SECOND * 3);
	began = nbd_link_now();
	assert_int_equal(io_run(BLKDEV_READ, 0, BLOCK, memory), -EIO);
	assert_true(nbd_link_now() - began < SECOND / 2);
	serve_image();
	for (began = nbd_link_now(); io_run(BLKDEV_READ, 0, BLOCK, memory) && nbd_link_now() - began < 10 * SECOND; )
		poll(&(struct pollfd){.fd = dev->ops->fd(dev), .events = POLLIN}, 1, 100);
	assert_int_equal(io_run(BLKDEV_READ, 0, BLOCK, memory), 0);
}

/* A server that accepts and hangs up on every read: bounded, too. */
static void a_server_that_always_hangs_up(void **state)
{
	(void)state;
	serve(ARGV(NBDKIT, "eval", "get_size=echo 4194304", "can_write=exit 0", "pwrite=exit 1", "pread=kill -9 $PPID; exit 1"));
	open_it();
	nbd_outage_ns = SECOND;
	submit(0, BLKDEV_READ, 0, BLOCK, memory);
	assert_int_equal(dev->ops->kick(dev), 0);
	assert_int_equal(collect(1, 10 * SECOND), 1);
	assert_int_equal(ios[0].result, -EIO);
}

static void errors_of_the_server_are_passed_on(void **state)
{
	(void)state;
	serve(ARGV(NBDKIT, "--filter=error", "memory", "4M", "error-pwrite=ENOSPC", "error-pwrite-rate=100%", "error-pread=EIO", "error-pread-rate=100%"));
	open_it();
	assert_int_equal(io_run(BLKDEV_WRITE, 0, BLOCK, memory), -ENOSPC);
	assert_int_equal(io_run(BLKDEV_READ, 0, BLOCK, memory), -EIO);
	assert_int_equal(io_run(BLKDEV_FLUSH, 0, 0, NULL), 0);
}

/* The server took the ios and stands still: close waits for a second and no longer. */
static void close_does_not_wait_for_ever(void **state)
{
	uint64_t began;

	(void)state;
	serve_image();
	open_it();
	freeze();
	for (unsigned i = 0; i < 300; i++)
		submit(i, i % 2 ? BLKDEV_READ : BLKDEV_WRITE, (uint64_t)i * BLOCK, BLOCK, memory + (size_t)i * BLOCK);
	assert_int_equal(dev->ops->kick(dev), 0);
	began = nbd_link_now();
	dev->ops->close(dev);
	dev = NULL;
	assert_in_range(nbd_link_now() - began, SECOND / 2, 3 * SECOND);
}

/* Discards go out in pieces that a command can say. */
static void a_discard_of_many_gigabytes(void **state)
{
	(void)state;
	serve(ARGV(NBDKIT, "memory", "9G"));
	open_it();
	memset(memory, 3, BLOCK);
	assert_int_equal(io_run(BLKDEV_WRITE, (9ull << 30) - BLOCK, BLOCK, memory), 0);
	assert_int_equal(io_run(BLKDEV_DISCARD, 0, 9ull << 30, NULL), 0);
	assert_int_equal(io_run(BLKDEV_READ, (9ull << 30) - BLOCK, BLOCK, memory), 0);
	assert_int_equal(memory[0], 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(killed_and_started_again), CASE(restarted_while_idle), CASE(scattered_io_is_sent_again), CASE(away_for_too_long),
		CASE(a_server_that_always_hangs_up), CASE(errors_of_the_server_are_passed_on), CASE(close_does_not_wait_for_ever),
		CASE(a_discard_of_many_gigabytes),
	};

	return cmocka_run_group_tests_name("storage: nbd", tests, NULL, NULL);
}
