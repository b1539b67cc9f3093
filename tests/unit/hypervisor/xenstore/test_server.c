/* SPDX-License-Identifier: BSD-3-Clause */
/* The socket with libxenstore, the client that everybody uses, and the life of domains. The server runs in a thread of its own. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <xenstore.h>

#include "ring_client.h"

static pthread_t thread;
static char socket_path[96];

static void *run(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)loop_run();
}

static int start(void **state)
{
	if (ring_server_start(state))
		return -1;
	snprintf(socket_path, sizeof(socket_path), "%s/xenstore.sock", ring_run_dir);
	setenv("XENSTORED_PATH", socket_path, 1);
	return pthread_create(&thread, NULL, run, NULL);
}

static int stop(void **state)
{
	loop_stop();
	pthread_join(thread, NULL);
	return ring_server_stop(state);
}

static void read_write_list(void **state)
{
	struct xs_handle *xs = xs_open(0);
	unsigned len, n;
	char *value, **names;

	(void)state;
	assert_non_null(xs);
	assert_true(xs_write(xs, XBT_NULL, "/t/a", "value", 5));
	value = xs_read(xs, XBT_NULL, "/t/a", &len);
	assert_string_equal(value, "value");
	free(value);
	assert_null(xs_read(xs, XBT_NULL, "/t/none", &len));
	assert_int_equal(errno, ENOENT);
	for (unsigned i = 0; i < 1000; i++) { /* more than a message holds: libxenstore asks for parts */
		char path[32];

		snprintf(path, sizeof(path), "/t/list/%08u", i);
		assert_true(xs_mkdir(xs, XBT_NULL, path));
	}
	names = xs_directory(xs, XBT_NULL, "/t/list", &n);
	assert_int_equal(n, 1000);
	assert_string_equal(names[999], "00000999");
	free(names);
	assert_true(xs_rm(xs, XBT_NULL, "/t"));
	xs_close(xs);
}

static void permissions(void **state)
{
	struct xs_handle *xs = xs_open(0);
	struct xs_permissions set[] = { { 5, XS_PERM_NONE }, { 6, XS_PERM_READ } }, *got;
	unsigned n;

	(void)state;
	assert_true(xs_mkdir(xs, XBT_NULL, "/p"));
	assert_true(xs_set_permissions(xs, XBT_NULL, "/p", set, 2));
	got = xs_get_permissions(xs, XBT_NULL, "/p", &n);
	assert_int_equal(n, 2);
	assert_int_equal(got[0].id, 5);
	assert_int_equal(got[1].perms, XS_PERM_READ);
	free(got);
	xs_close(xs);
}

static void transactions(void **state)
{
	struct xs_handle *xs = xs_open(0), *other = xs_open(0);
	xs_transaction_t t = xs_transaction_start(xs);

	(void)state;
	assert_true(xs_write(xs, t, "/x/a", "1", 1));
	assert_null(xs_read(other, XBT_NULL, "/x/a", NULL));
	assert_true(xs_write(other, XBT_NULL, "/x/a", "2", 1));
	assert_false(xs_transaction_end(xs, t, false));
	assert_int_equal(errno, EAGAIN);
	t = xs_transaction_start(xs);
	assert_true(xs_write(xs, t, "/x/a", "3", 1));
	assert_true(xs_transaction_end(xs, t, false));
	xs_close(other);
	xs_close(xs);
}

static void expect_event(struct xs_handle *xs, const char *path)
{
	struct pollfd p = { .fd = xs_fileno(xs), .events = POLLIN };
	char **event;
	unsigned n;

	assert_int_equal(poll(&p, 1, 5000), 1);
	event = xs_read_watch(xs, &n);
	assert_string_equal(event[XS_WATCH_PATH], path);
	free(event);
}

static void watches_and_domains(void **state)
{
	struct xs_handle *xs = xs_open(0), *other = xs_open(0);
	struct domain *d = fake_domain(3);
	unsigned held = fake_pages_held;

	(void)state;
	assert_true(xs_watch(xs, "/w", "token"));
	expect_event(xs, "/w");
	assert_true(xs_write(other, XBT_NULL, "/w/x", "", 0));
	expect_event(xs, "/w/x");
	assert_true(xs_watch(xs, "@introduceDomain", "i"));
	expect_event(xs, "@introduceDomain");
	assert_true(xs_watch(xs, "@releaseDomain", "r"));
	expect_event(xs, "@releaseDomain");
	assert_false(xs_is_domain_introduced(other, 3));
	hv_lock_acquire();
	assert_int_equal(store_introduce(d), 0);
	assert_int_equal(store_introduce(d), -EEXIST);
	hv_lock_release();
	assert_int_equal(fake_pages_held, held + 1);
	expect_event(xs, "@introduceDomain");
	assert_true(xs_is_domain_introduced(other, 3));
	assert_false(xs_introduce_domain(other, 3, 4, 5));
	hv_lock_acquire();
	store_domain_changed(d);
	hv_lock_release();
	expect_event(xs, "@releaseDomain");
	hv_lock_acquire();
	store_release(d);
	store_release(d); /* twice does no harm */
	hv_lock_release();
	assert_int_equal(fake_pages_held, held);
	expect_event(xs, "@releaseDomain");
	assert_false(xs_is_domain_introduced(other, 3));
	xs_close(other);
	xs_close(xs);
	free(d);
}

static void clients_that_vanish(void **state)
{
	struct xs_handle *xs;

	(void)state;
	for (unsigned i = 0; i < 2 * SOCKET_CLIENTS; i++) { /* each with state of its own, closed without a word */
		xs = xs_open(0);
		assert_non_null(xs);
		assert_true(xs_watch(xs, "/", "t"));
		xs_transaction_start(xs);
		xs_close(xs);
	}
	xs = xs_open(0);
	assert_true(xs_write(xs, XBT_NULL, "/alive", "", 0));
	xs_close(xs);
}

static int connect_raw(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void too_long_is_disconnected(void **state)
{
	struct xsd_sockmsg h = { .type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1 };
	int fd = connect_raw();
	char b;

	(void)state;
	assert_int_equal(write(fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(read(fd, &b, 1), 0);
	close(fd);
}

/* A client that asks and never reads stops being read; others are served. */
static void deaf_client(void **state)
{
	struct xsd_sockmsg h = { .type = XS_DIRECTORY, .len = 2 };
	struct xs_handle *xs = xs_open(0);
	int fd = connect_raw();
	ssize_t sent = 0, n;
	char message[sizeof(h) + 2];

	(void)state;
	memcpy(message, &h, sizeof(h));
	memcpy(message + sizeof(h), "/", 2);
	for (int idle = 0; idle < 20;) {
		n = send(fd, message, sizeof(message), MSG_DONTWAIT);
		if (n < 0)
			usleep(1000);
		idle = n < 0 ? idle + 1 : 0;
		sent += n > 0 ? n : 0;
		assert_true(sent < 64 << 20);
	}
	assert_true(xs_write(xs, XBT_NULL, "/still", "", 0));
	close(fd);
	assert_true(xs_write(xs, XBT_NULL, "/still", "", 0));
	xs_close(xs);
}

static void socket_file(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/sluice-test-XXXXXX", long_dir[200];
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(stat(socket_path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	loop_stop();
	pthread_join(thread, NULL);
	memset(long_dir, 'x', sizeof(long_dir) - 1);
	long_dir[sizeof(long_dir) - 1] = '\0';
	store_fini();
	assert_int_equal(store_init(long_dir), -ENAMETOOLONG);
	assert_int_equal(store_init("/nonexistent"), -ENOENT);

	assert_non_null(mkdtemp(dir)); /* a live server there: we do not start, and leave its socket alone */
	snprintf(a.sun_path, sizeof(a.sun_path), "%s/xenstore.sock", dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(store_init(dir), -EADDRINUSE);
	assert_int_equal(stat(a.sun_path, &st), 0);
	close(fd); /* it died: its file is replaced */
	assert_int_equal(store_init(dir), 0);
	store_fini();
	assert_int_equal(rmdir(dir), 0);

	assert_int_equal(store_init(ring_run_dir), 0);
	pthread_create(&thread, NULL, run, NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(read_write_list), TEST(permissions), TEST(transactions), TEST(watches_and_domains), TEST(clients_that_vanish),
		TEST(too_long_is_disconnected), TEST(deaf_client), TEST(socket_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
