/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/server_socket.c: sockets that only their owner can use, and a process that has no descriptor left to take a peer in. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "hypervisor/server.h"

static char dir[] = "/tmp/sluice-test-socket-XXXXXX";
static char path[64];
static struct server_socket sock = SERVER_SOCKET_CLOSED;

static void on_peer(int fd, uint32_t events, void *arg)
{
	(void)fd;
	(void)events;
	(void)arg;
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return server_listen(&sock, dir, "s", SOCK_STREAM, on_peer);
}

static int tear_down(void **state)
{
	(void)state;
	server_unlisten(&sock);
	return rmdir(dir); /* fails if the socket is still there */
}

static int peer(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static bool somebody_waits(void)
{
	struct pollfd p = { .fd = sock.fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void owner_is_taken_in(void **state)
{
	struct stat st;
	int a = peer(), b;

	(void)state;
	b = server_accept(sock.fd);
	assert_true(b >= 0);
	assert_true(fcntl(b, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(b, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(server_accept(sock.fd), -EAGAIN);
	close(a);
	close(b);
}

/* A peer that stayed in the queue would wake the main loop again and again. */
static void no_descriptor_left(void **state)
{
	struct rlimit was, none;
	int a[3], fd;
	char byte;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		a[i] = peer();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	fd = dup(0);
	close(fd);
	none = (struct rlimit){ (rlim_t)fd, was.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(server_accept(sock.fd), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	assert_false(somebody_waits());
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(read(a[i], &byte, 1), 0); /* hung up */
		close(a[i]);
	}
	a[0] = peer();
	fd = server_accept(sock.fd);
	assert_true(fd >= 0);
	close(fd);
	close(a[0]);
}

static void path_too_long(void **state)
{
	struct server_socket other = SERVER_SOCKET_CLOSED;
	char name[120];

	(void)state;
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	assert_int_equal(server_listen(&other, dir, name, SOCK_STREAM, on_peer), -ENAMETOOLONG);
	assert_int_equal(other.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(owner_is_taken_in),
		cmocka_unit_test(no_descriptor_left),
		cmocka_unit_test(path_too_long),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
