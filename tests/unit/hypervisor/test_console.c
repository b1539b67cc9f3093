/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sluice/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "hypervisor/console.h"
#include "hypervisor/hypercall.h"
#include "hypervisor/log.h"
#include "tests/unit/hypervisor/fake_guest.h"

static char dir[64], log_path[96], old_path[100];
static struct domain *d;
static struct xencons_interface *ring;
static int client = -1;

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/sluice-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/console-guest1.log", dir);
	snprintf(old_path, sizeof(old_path), "%s.1", log_path);
	if (console_event_fd() >= 0) {
		loop_remove(console_event_fd());
		close(console_event_fd());
	}
	d = fake_domain(1);
	ring = machine_ptr(d->console_mfn);
	if (console_init(dir) || console_open(d))
		return -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	console_close(d);
	console_close(d); /* twice does no harm */
	free(d);
	if (client >= 0)
		close(client);
	client = -1;
	unlink(log_path);
	unlink(old_path);
	return rmdir(dir) || fake_pages_held;
}

static void step(void)
{
	fake_loop_step(console_event_fd());
}

static void guest_says(const char *s, size_t n)
{
	uint32_t prod = shm_load(&ring->out_prod);

	for (size_t i = 0; i < n; i++)
		ring->out[MASK_XENCONS_IDX(prod + i, ring->out)] = s[i];
	shm_store_release(&ring->out_prod, prod + (uint32_t)n);
}

static void attach(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	client = pair[0];
	assert_int_equal(console_attach(d, pair[1]), 0);
}

static const char *client_hears(void)
{
	static char text[8192];
	ssize_t n;

	step();
	n = recv(client, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static size_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (size_t)st.st_size;
}

static void log_and_client(void **state)
{
	char text[64] = "";
	struct stat st;
	int fd;

	(void)state;
	guest_says("before\n", 7);
	step();
	assert_int_equal(shm_load(&ring->out_cons), 7);
	assert_true(fake_raised[1] > 0);
	attach();
	assert_string_equal(client_hears(), "before\n");
	guest_says("after\n", 6);
	assert_string_equal(client_hears(), "after\n");
	guest_says("last words\n", 11); /* no event any more: drained at the close */
	console_close(d);
	fd = open(log_path, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	fstat(fd, &st);
	close(fd);
	assert_string_equal(text, "before\nafter\nlast words\n");
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void typing(void **state)
{
	char line[1500];

	(void)state;
	attach();
	assert_int_equal(write(client, "help\n", 5), 5);
	step();
	assert_int_equal(shm_load(&ring->in_prod), 5);
	assert_memory_equal(ring->in, "help\n", 5);
	memset(line, 'x', sizeof(line));
	assert_int_equal(write(client, line, sizeof(line)), sizeof(line));
	for (int i = 0; i < 5; i++)
		step();
	assert_int_equal(shm_load(&ring->in_prod), 1024); /* never more than the ring holds */
	shm_store_release(&ring->in_cons, 1024);
	for (int i = 0; i < 5; i++)
		step();
	assert_int_equal(shm_load(&ring->in_prod), 1505);
}

static void client_that_leaves(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		attach();
		close(client);
		step();
	}
	attach();
	guest_says("hello", 5);
	assert_string_equal(client_hears(), "hello");
}

static void too_many_clients(void **state)
{
	int fd[5][2];

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd[i]), 0);
		assert_int_equal(console_attach(d, fd[i][1]), i < 4 ? 0 : -EBUSY);
	}
	close(fd[4][1]);
	for (int i = 0; i < 5; i++)
		close(fd[i][0]);
	step();
}

/* A client that does not read, and a guest that never stops: both the log and the memory stay bounded, the guest is never held up. */
static void flood(void **state)
{
	char block[2048];

	(void)state;
	memset(block, 'y', sizeof(block));
	attach();
	for (unsigned i = 0; i < 1800; i++) { /* 3.5 MiB */
		guest_says(block, sizeof(block));
		step();
		assert_int_equal(shm_load(&ring->out_cons), (i + 1) * sizeof(block));
	}
	assert_in_range(file_size(log_path), 1, 1 << 20);
	assert_in_range(file_size(old_path), 1000000, 1 << 20);
}

static void index_lies(void **state)
{
	(void)state;
	attach();
	shm_store(&ring->in_cons, 77); /* more consumed than was ever typed: no room, no harm */
	assert_int_equal(write(client, "x", 1), 1);
	step();
	assert_int_equal(shm_load(&ring->in_prod), 0);
	shm_store(&ring->out_prod, 2049);
	step();
	assert_int_equal(shm_load(&ring->out_cons), 0);
	assert_int_equal(file_size(log_path), 0);
	shm_store(&ring->out_prod, 5);
	step();
	assert_int_equal(shm_load(&ring->out_cons), 0); /* it stays closed */
}

static void own_log_is_kept_beside_the_old(void **state)
{
	(void)state;
	guest_says("first life", 10);
	step();
	console_close(d);
	memset(ring, 0, sizeof(*ring));
	assert_int_equal(console_open(d), 0);
	guest_says("again", 5);
	step();
	assert_int_equal(file_size(log_path), 5);
	assert_int_equal(file_size(old_path), 10);
}

static void name_stays_in_its_folder(void **state)
{
	struct domain *evil = fake_domain(2);
	char path[128];

	(void)state;
	strcpy(evil->name, "x/../../escape");
	assert_int_equal(console_open(evil), 0);
	snprintf(path, sizeof(path), "%s/console-x_.._.._escape.log", dir);
	assert_int_equal(unlink(path), 0);
	console_close(evil);
	free(evil);
}

static void console_io(void **state)
{
	struct vcpu *v = &d->vcpu[0];

	(void)state;
	v->domain = d;
	fake_guest_memory = "a guest's line";
	assert_int_equal(do_console_io(v, CONSOLEIO_read, 10, 0), 0);
	assert_int_equal(do_console_io(v, CONSOLEIO_write, 14, 0), 0);
	assert_int_equal(d->log_lines, 0); /* dropped */
	assert_int_equal(do_console_io(v, 7, 14, 0), -ENOSYS);
	log_verbose = true;
	assert_int_equal(do_console_io(v, CONSOLEIO_write, 14, 0), 0);
	assert_int_equal(d->log_lines, 1);
	assert_int_equal(do_console_io(v, CONSOLEIO_write, 0xffffffff, 0), -EFAULT); /* bounded, then not mapped */
	assert_int_equal(do_console_io(v, CONSOLEIO_write, 0, 0), 0);
	d->log_lines = 60;
	for (int i = 0; i < 200; i++)
		do_console_io(v, CONSOLEIO_write, 1, 0);
	assert_true(d->log_lines <= 65);
	log_verbose = false;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(log_and_client), TEST(typing), TEST(client_that_leaves), TEST(too_many_clients), TEST(flood), TEST(index_lies),
		TEST(own_log_is_kept_beside_the_old), TEST(name_stays_in_its_folder), TEST(console_io),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
