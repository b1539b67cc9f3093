/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake with an NBD server: what it may offer, the line that each wrong export gets, and connections over TCP made again without a resolver. */
#include <backend/storage/nbd_link.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <tests/support/storage_world.h>
#include <cmocka.h>

#define NBDKIT "nbdkit", "-f", "-U", "SOCKET"
#define ARGV(...) (const char *const[]){__VA_ARGS__, NULL}
#define SECOND 1000000000ull

static char folder[STORAGE_PATH];
static struct nbd_server server;

static int setup(void **state)
{
	(void)state;
	return scratch_make("/dev/shm", folder);
}

static int teardown(void **state)
{
	(void)state;
	nbd_server_stop(&server, SIGKILL);
	scratch_remove(folder);
	return 0;
}

static void serve(const char *const *argv)
{
	int rc = nbd_server_start(&server, folder, argv);

	if (rc == -ENOENT)
		skip();
	assert_int_equal(rc, 0);
}

static void says(const char *uri, bool readonly, int rc, const char *words)
{
	struct nbd_link l;
	char err[STORAGE_ERR] = "";

	assert_int_equal(nbd_link_open(&l, uri, readonly, err), rc);
	if (!strstr(err, words) || strchr(err, '\n'))
		fail_msg("'%s' does not say '%s'", err, words);
}

/* Serves one export, and looks at what is said of it. */
static void export_says(const char *const *argv, bool readonly, int rc, const char *words)
{
	serve(argv);
	says(server.uri, readonly, rc, words);
	nbd_server_stop(&server, SIGKILL);
}

static void wrong_exports(void **state)
{
	(void)state;
	export_says(ARGV(NBDKIT, "-r", "memory", "1M"), false, -EROFS, "the export is read-only; attach the disk with mode r");
	export_says(ARGV(NBDKIT, "memory", "1000"), false, -EINVAL, "1000 bytes is not a multiple of the sector size 512");
	export_says(ARGV(NBDKIT, "memory", "0"), false, -EINVAL, "is empty");
	export_says(ARGV(NBDKIT, "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=8192", "blocksize-preferred=8192"), false, -EINVAL,
		    "blocks of at least 8192 bytes");
	export_says(ARGV(NBDKIT, "--filter=blocksize-policy", "memory", "1049088", "blocksize-minimum=4096"), false, -EINVAL,
		    "multiple of the sector size 4096");
}

static void no_server(void **state)
{
	char uri[64];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int mute = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t began = nbd_link_now();

	(void)state;
	says("nbd+unix:///?socket=/nonexistent", false, -ENOENT, "see that the server runs and has this export");
	says("nbd+nonsense://", false, -EINVAL, "no NBD connection");
	assert_int_equal(bind(mute, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(mute, (struct sockaddr *)&address, &len), 0);
	snprintf(uri, sizeof(uri), "nbd://127.0.0.1:%u/", ntohs(address.sin_port));
	says(uri, false, -ECONNREFUSED, "see that the server runs");
	assert_true(nbd_link_now() - began < SECOND);
	assert_int_equal(listen(mute, 1), 0); /* accepts, and says nothing */
	says(uri, false, -ETIMEDOUT, "no answer for 3 s");
	assert_true(nbd_link_now() - began < 5 * SECOND);
	close(mute);
}

static void what_an_export_says(void **state)
{
	struct nbd_link l;
	char err[STORAGE_ERR];

	(void)state;
	serve(ARGV(NBDKIT, "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=512", "blocksize-preferred=4096", "blocksize-maximum=65536"));
	assert_int_equal(nbd_link_open(&l, server.uri, false, err), 0);
	assert_int_equal(l.info.size, 1 << 20);
	assert_int_equal(l.info.sector_size, 512);
	assert_int_equal(l.info.physical_sector_size, 4096);
	assert_int_equal(l.max_payload, 65536);
	assert_true(l.info.can_flush && l.info.can_discard && !l.info.can_secure_discard && !l.info.readonly);
	nbd_link_close(&l);
	assert_int_equal(nbd_link_open(&l, server.uri, true, err), 0);
	assert_true(l.info.readonly && !l.info.can_discard);
	nbd_link_close(&l);
}

/* Turns until the link is in that state. */
static void turn_until(struct nbd_link *l, enum nbd_link_state want)
{
	uint64_t deadline = nbd_link_now() + 10 * SECOND;

	while (l->state != want) {
		nbd_link_turn(l);
		nbd_link_watch(l, false, 0);
		assert_true(nbd_link_now() < deadline);
		if (l->state != want)
			poll(&(struct pollfd){.fd = l->epoll, .events = POLLIN}, 1, 1000);
	}
}

static unsigned free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	close(fd);
	return ntohs(address.sin_port);
}

/* nbdkit on TCP; it has no socket file to wait for, so the first connection is tried until it works. */
static void open_tcp(struct nbd_link *l, const char *uri, const char *port)
{
	const char *const argv[] = {"nbdkit", "-f", "-i", "127.0.0.1", "-p", port, "-e", "disk", "memory", "1M", NULL};
	uint64_t deadline = nbd_link_now() + 10 * SECOND;
	char err[STORAGE_ERR];

	server.pid = fork();
	if (server.pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	while (nbd_link_open(l, uri, false, err)) {
		if (nbd_link_now() >= deadline)
			fail_msg("%s", err);
		poll(NULL, 0, 10);
	}
}

static void a_name_is_resolved_once(void **state)
{
	char uri[64], again[64], port[8];
	struct addrinfo *found;
	struct nbd_link l;

	(void)state;
	if (getaddrinfo("localhost", NULL, NULL, &found)) {
		print_message("skipped: this system does not know the name localhost (has it no /etc/hosts?)\n");
		skip();
	}
	freeaddrinfo(found);
	snprintf(port, sizeof(port), "%u", free_port());
	snprintf(uri, sizeof(uri), "nbd://localhost:%s/disk", port);
	snprintf(again, sizeof(again), "nbd://127.0.0.1:%s/disk", port);
	open_tcp(&l, uri, port);
	assert_string_equal(l.uri, uri);
	assert_string_equal(l.again, again);
	shutdown(nbd_aio_get_fd(l.h), SHUT_RDWR);
	turn_until(&l, NBD_LINK_WAITING);
	turn_until(&l, NBD_LINK_UP);
	nbd_link_close(&l);
}

/* Waits grow and stay bounded; nothing blocks meanwhile. */
static void tries_come_slower(void **state)
{
	struct nbd_link l;
	char err[STORAGE_ERR];
	unsigned tries = 0, turns = 0;
	uint64_t began, last = 0;

	(void)state;
	serve(ARGV(NBDKIT, "memory", "1M"));
	assert_int_equal(nbd_link_open(&l, server.uri, false, err), 0);
	nbd_server_stop(&server, SIGKILL);
	turn_until(&l, NBD_LINK_WAITING);
	for (began = nbd_link_now(); nbd_link_now() - began < 2 * SECOND; turns++) {
		uint64_t turn = nbd_link_now();

		assert_true(nbd_link_turn(&l));
		assert_true(nbd_link_now() - turn < SECOND / 2);
		tries += l.until != last;
		last = l.until;
		nbd_link_watch(&l, false, 0);
		poll(&(struct pollfd){.fd = l.epoll, .events = POLLIN}, 1, 500);
	}
	assert_in_range(tries, 3, 8); /* at 0, 0.1, 0.3, 0.7, 1.5 s */
	assert_true(turns < 40);      /* and the loop slept in between */
	serve(ARGV(NBDKIT, "memory", "2M"));
	turn_until(&l, NBD_LINK_UP);
	assert_int_equal(l.info.size, 2 << 20); /* which refresh then tells */
	nbd_link_close(&l);
}

static void never_comes_up(struct nbd_link *l, const char *const *argv)
{
	uint64_t began = nbd_link_now();

	nbd_server_stop(&server, SIGKILL);
	serve(argv);
	turn_until(l, NBD_LINK_WAITING);
	while (nbd_link_now() - began < SECOND) {
		nbd_link_turn(l);
		nbd_link_watch(l, false, 0);
		assert_int_not_equal(l->state, NBD_LINK_UP);
		assert_true(l->info.sector_size == 512 && l->info.can_flush); /* what the guest was told */
		poll(&(struct pollfd){.fd = l->epoll, .events = POLLIN}, 1, 100);
	}
}

/* A server that comes back with less than the guest was told is no server. */
static void another_kind_of_export(void **state)
{
	struct nbd_link l;
	char err[STORAGE_ERR];

	(void)state;
	serve(ARGV(NBDKIT, "memory", "1M"));
	assert_int_equal(nbd_link_open(&l, server.uri, false, err), 0);
	never_comes_up(&l, ARGV(NBDKIT, "-r", "memory", "1M"));
	never_comes_up(&l, ARGV(NBDKIT, "--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=4096"));
	never_comes_up(&l, ARGV(NBDKIT, "eval", "get_size=echo 1048576", "can_write=exit 0", "pread=exit 1", "pwrite=exit 1")); /* cannot flush */
	nbd_server_stop(&server, SIGKILL);
	serve(ARGV(NBDKIT, "memory", "1M"));
	turn_until(&l, NBD_LINK_UP);
	assert_int_equal(l.info.sector_size, 512);
	nbd_link_close(&l);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(wrong_exports), CASE(no_server), CASE(what_an_export_says), CASE(a_name_is_resolved_once), CASE(tries_come_slower), CASE(another_kind_of_export),
	};

	return cmocka_run_group_tests_name("storage: nbd_link", tests, NULL, NULL);
}
