/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/server*.c: a real server on a directory of its own; requests good, malformed, oversized, slow, and the life of a domain that never runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <glob.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hypervisor/console.h"
#include "hypervisor/loop.h"
#include "hypervisor/machine.h"
#include "hypervisor/server.h"
#include "hypervisor/server_domain.h"
#include "hypervisor/time.h"
#include "hypervisor/xenstore/store.h"

#include "build/kernel_file.h"

#define REQUEST_MAX 65536
#define CLIENTS_MAX 32

static char dir[] = "/tmp/sluice-test-server-XXXXXX";
static char kernel[64];
static pthread_t loop_thread;

static void *loop_main(void *arg)
{
	loop_run();
	return arg;
}

static int set_up(void **state)
{
	struct kernel_file k = { .virt_base = 0x400000 };
	FILE *f;

	(void)state;
	if (!mkdtemp(dir) || machine_init(64u << 20) || time_init() || store_init(dir) || console_init(dir) || server_init(dir))
		return -1;
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	kernel_file_make(&k);
	f = fopen(kernel, "we");
	if (!f || fwrite(k.bytes, 1, k.size, f) != k.size || fclose(f))
		return -1;
	free(k.bytes);
	return pthread_create(&loop_thread, NULL, loop_main, NULL);
}

static int tear_down(void **state)
{
	glob_t logs = { 0 };
	char path[96];

	(void)state;
	loop_stop();
	pthread_join(loop_thread, NULL);
	hv_lock_acquire();
	server_fini();
	store_fini();
	machine_fini();
	hv_lock_release();
	unlink(kernel);
	snprintf(path, sizeof(path), "%s/console-*", dir);
	if (!glob(path, 0, NULL, &logs))
		for (size_t i = 0; i < logs.gl_pathc; i++)
			unlink(logs.gl_pathv[i]);
	globfree(&logs);
	return rmdir(dir); /* fails when a socket is left */
}

static int connect_server(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void send_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);

		assert_true(done > 0);
		bytes += done;
		n -= (size_t)done;
	}
}

/* One reply line as an object; NULL when the server hung up. */
static struct json_object *receive(int fd)
{
	static char line[1 << 20];
	struct json_object *reply;
	size_t n = 0;

	while (n < sizeof(line) - 1 && recv(fd, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	if (!n)
		return NULL;
	line[n] = 0;
	reply = json_tokener_parse(line);
	assert_true(json_object_is_type(reply, json_type_object));
	return reply;
}

static struct json_object *ask(const char *request)
{
	struct json_object *reply;
	int fd = connect_server();

	send_all(fd, request, strlen(request));
	send_all(fd, "\n", 1);
	reply = receive(fd);
	close(fd);
	assert_non_null(reply);
	return reply;
}

static bool is_ok(struct json_object *reply)
{
	return json_object_get_boolean(json_object_object_get(reply, "ok"));
}

/* The reply is an error of one line with word in it. */
static void check_error(struct json_object *reply, const char *word)
{
	const char *text = json_object_get_string(json_object_object_get(reply, "error"));

	assert_false(is_ok(reply));
	assert_non_null(text);
	assert_null(strchr(text, '\n'));
	if (!strstr(text, word))
		fail_msg("'%s' is not in '%s'", word, text);
	json_object_put(reply);
}

static void expect_error(const char *request, const char *word)
{
	check_error(ask(request), word);
}

static void expect_ok(const char *request)
{
	struct json_object *reply = ask(request);

	if (!is_ok(reply))
		fail_msg("%s: %s", request, json_object_to_json_string(reply));
	json_object_put(reply);
}

static struct json_object *create(const char *name, const char *more)
{
	char request[512];

	snprintf(request, sizeof(request), "{\"command\":\"create\",\"name\":\"%s\",\"kernel\":\"%s\",\"memory_mib\":16%s}", name, kernel, more);
	return ask(request);
}

static void malformed(void **state)
{
	static const char *const lines[] = { "", "{", "}", "[]", "3", "\"list\"", "null", "{\"command\":\"list\"} x", "{\"command\":\"list\"}{}",
					     "{\"command\"}", "{command:list", "\x01\x02\xff\xfe", "[[[[[[[[[[[[[[[[[[[[[[[[", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}" };

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		expect_error(lines[i], "JSON object");
	expect_error("{}", "'command' is missing");
	expect_error("{\"command\":3}", "not a string");
	expect_error("{\"command\":\"li\\u0000st\"}", "NUL");
	expect_error("{\"command\":\"frobnicate\"}", "frobnicate");
	expect_error("{\"command\":\"destroy\"}", "'domain' is missing");
	expect_error("{\"command\":\"destroy\",\"domain\":\"nobody\"}", "nobody");
	expect_error("{\"command\":\"destroy\",\"domain\":\"99999999999999999999\"}", "no domain");
	expect_error("{\"command\":\"destroy\",\"domain\":-1}", "no domain");
	expect_error("{\"command\":\"destroy\",\"domain\":\"\"}", "no domain");
	expect_error("{\"command\":\"destroy\",\"domain\":0}", "no domain");
}

static void create_is_checked(void **state)
{
	(void)state;
	expect_error("{\"command\":\"create\"}", "'name'");
	check_error(create("", ""), "cannot be a domain's name");
	check_error(create("12", ""), "cannot be a domain's name");
	check_error(create("../etc", ""), "cannot be a domain's name");
	check_error(create("a/b", ""), "cannot be a domain's name");
	check_error(create("-a", ""), "cannot be a domain's name");
	check_error(create("a b", ""), "cannot be a domain's name");
	check_error(create("0123456789012345678901234567890123456789012345678901234567890123a", ""), "cannot be a domain's name");
	check_error(create("one", ",\"on_crash\":\"explode\""), "explode");
	check_error(create("one", ",\"ramdisk\":\"/nonexistent\""), "/nonexistent");
	check_error(create("one", ",\"ramdisk\":7"), "'ramdisk'");
	expect_error("{\"command\":\"create\",\"name\":\"one\",\"kernel\":\"/etc/passwd\",\"memory_mib\":16}", "/etc/passwd");
	expect_error("{\"command\":\"create\",\"name\":\"one\",\"kernel\":\"/nonexistent\",\"memory_mib\":16}", "/nonexistent");
	expect_error("{\"command\":\"create\",\"name\":\"one\",\"kernel\":\"x\",\"memory_mib\":\"16\"}", "memory_mib");
	expect_error("{\"command\":\"create\",\"name\":\"one\",\"kernel\":\"x\",\"memory_mib\":0}", "memory_mib");
	expect_error("{\"command\":\"create\",\"name\":\"one\",\"kernel\":\"x\",\"memory_mib\":-5}", "memory_mib");
	expect_error("{\"command\":\"create\",\"name\":\"one\",\"kernel\":\"x\",\"memory_mib\":999999}", "memory");
}

static unsigned nr_domains(const char **state_of_first)
{
	static char letters[16];
	struct json_object *reply = ask("{\"command\":\"list\"}"), *all = json_object_object_get(reply, "domains");
	unsigned n = (unsigned)json_object_array_length(all);

	assert_true(is_ok(reply));
	if (n && state_of_first) {
		snprintf(letters, sizeof(letters), "%s", json_object_get_string(json_object_object_get(json_object_array_get_idx(all, 0), "state")));
		*state_of_first = letters;
	}
	json_object_put(reply);
	return n;
}

static void failed_creations_leave_nothing(void **state)
{
	uint64_t before, after;

	(void)state;
	hv_lock_acquire();
	before = machine_free_frames();
	hv_lock_release();
	for (unsigned i = 0; i < 4; i++)
		check_error(create("one", ",\"ramdisk\":\"/nonexistent\""), "/nonexistent");
	hv_lock_acquire();
	after = machine_free_frames();
	hv_lock_release();
	assert_int_equal(nr_domains(NULL), 0);
	assert_int_equal(before, after);
}

static void life_of_a_domain(void **state)
{
	struct json_object *reply = create("one", ",\"cmdline\":\"x=y\",\"on_poweroff\":\"preserve\"");
	const char *letters = NULL;
	char request[64];

	(void)state;
	if (!is_ok(reply))
		fail_msg("%s", json_object_to_json_string(reply));
	snprintf(request, sizeof(request), "{\"command\":\"pause\",\"domain\":%s}", json_object_get_string(json_object_object_get(reply, "domid")));
	json_object_put(reply);
	assert_int_equal(nr_domains(&letters), 1);
	assert_string_equal(letters, "--p---");
	expect_ok(request); /* by domid; it is paused already: no second count */
	check_error(create("one", ""), "exists");
	expect_ok("{\"command\":\"shutdown\",\"domain\":\"one\"}");
	expect_error("{\"command\":\"shutdown\",\"domain\":\"one\",\"how\":\"dance\"}", "dance");
	expect_ok("{\"command\":\"info\"}");
	expect_ok("{\"command\":\"destroy\",\"domain\":\"one\"}");
	assert_int_equal(nr_domains(NULL), 0);
	expect_error("{\"command\":\"destroy\",\"domain\":\"one\"}", "no domain");
}

/* The fake kernel's code is noise: it ends in a crash, and the policy decides what is left. */
static void a_guest_that_ends(void **state)
{
	const char *letters = NULL;

	(void)state;
	json_object_put(create("two", ",\"on_crash\":\"preserve\""));
	json_object_put(create("three", ",\"on_crash\":\"destroy\""));
	expect_ok("{\"command\":\"unpause\",\"domain\":\"two\"}");
	expect_ok("{\"command\":\"unpause\",\"domain\":\"three\"}");
	for (unsigned i = 0; i < 200 && nr_domains(&letters) != 1; i++)
		usleep(20000);
	assert_int_equal(nr_domains(&letters), 1);
	for (unsigned i = 0; i < 200 && !strchr(letters, 'c'); i++) {
		usleep(20000);
		nr_domains(&letters);
	}
	assert_string_equal(letters, "----c-");
	expect_ok("{\"command\":\"destroy\",\"domain\":\"two\"}");
}

static void console(void **state)
{
	struct json_object *reply;
	int fd = connect_server(), n;
	char byte;

	(void)state;
	json_object_put(create("one", ""));
	send_all(fd, "{\"command\":\"console\",\"domain\":\"one\"}\n", 37);
	reply = receive(fd);
	assert_true(is_ok(reply));
	json_object_put(reply);
	send_all(fd, "typed\n", 6); /* no request any more: no reply to it */
	n = (int)recv(fd, &byte, 1, MSG_DONTWAIT);
	assert_true(n < 0 && errno == EAGAIN);
	expect_ok("{\"command\":\"destroy\",\"domain\":\"one\"}");
	assert_int_equal(recv(fd, &byte, 1, 0), 0); /* its end is the domain's */
	close(fd);
}

static void several_requests_and_pieces(void **state)
{
	static const char two[] = "{\"command\":\"list\"}\n{\"command\":\"nope\"}\n{\"command\":\"info\"}\n";
	struct json_object *reply;
	int fd = connect_server();

	(void)state;
	for (size_t i = 0; i < sizeof(two) - 1; i++)
		send_all(fd, &two[i], 1);
	shutdown(fd, SHUT_WR);
	for (unsigned i = 0; i < 3; i++) {
		reply = receive(fd);
		assert_non_null(reply);
		assert_int_equal(is_ok(reply), i != 1);
		json_object_put(reply);
	}
	assert_null(receive(fd));
	close(fd);
}

static void a_request_of_more_than_64_kib(void **state)
{
	char *big = malloc(REQUEST_MAX + 10);
	int fd = connect_server();

	(void)state;
	memset(big, ' ', REQUEST_MAX + 10);
	send_all(fd, big, REQUEST_MAX);
	check_error(receive(fd), "64 KiB");
	assert_null(receive(fd)); /* and hung up */
	close(fd);
	fd = connect_server();
	memcpy(big, "{\"command\":\"list\"", 17);
	big[REQUEST_MAX - 2] = '}';
	big[REQUEST_MAX - 1] = '\n';
	send_all(fd, big, REQUEST_MAX);
	json_object_put(receive(fd));
	close(fd);
	free(big);
}

/* One that asks and asks and never takes a reply stops being read, and disturbs nobody. */
static void a_client_that_does_not_read(void **state)
{
	static const char request[] = "{\"command\":\"list\"}\n";
	int fd = connect_server();
	size_t sent = 0;

	(void)state;
	for (unsigned quiet = 0; quiet < 10 && sent < 64u << 20;) {
		ssize_t n = send(fd, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == sizeof(request) - 1) {
			sent += (size_t)n;
			continue;
		}
		assert_true(n < 0 && errno == EAGAIN); /* whole lines only: a datagram-sized write to a stream that is full */
		quiet++;
		usleep(5000);
	}
	assert_true(sent < 64u << 20);
	expect_ok("{\"command\":\"info\"}");
	close(fd);
}

static void too_many_connections(void **state)
{
	int fd[CLIENTS_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		fd[i] = connect_server();
	fd[CLIENTS_MAX] = connect_server();
	check_error(receive(fd[CLIENTS_MAX]), "too many connections");
	for (unsigned i = 0; i <= CLIENTS_MAX; i++)
		close(fd[i]);
	for (unsigned i = 0; i < 100; i++) { /* until it has noticed that they are gone */
		struct json_object *reply = ask("{\"command\":\"list\"}");
		bool ok = is_ok(reply);

		json_object_put(reply);
		if (ok)
			return;
		usleep(10000);
	}
	fail_msg("the server does not come back");
}

static void sockets_are_private(void **state)
{
	char path[96];
	struct stat st;

	(void)state;
	snprintf(path, sizeof(path), "%s/control.sock", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed),
		cmocka_unit_test(create_is_checked),
		cmocka_unit_test(failed_creations_leave_nothing),
		cmocka_unit_test(life_of_a_domain),
		cmocka_unit_test(a_guest_that_ends),
		cmocka_unit_test(console),
		cmocka_unit_test(several_requests_and_pieces),
		cmocka_unit_test(a_request_of_more_than_64_kib),
		cmocka_unit_test(a_client_that_does_not_read),
		cmocka_unit_test(too_many_connections),
		cmocka_unit_test(sockets_are_private),
	};

	alarm(120);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
