/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

static struct conn *dom0, *one, *two;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(db_init(), 0);
	dom0 = client_add(0);
	one = client_add(1);
	two = client_add(2);
	client_ask(dom0, XS_MKDIR, 0, "/local/domain/1\0");
	client_ask(dom0, XS_MKDIR, 0, "/local/domain/2\0");
	client_ask(dom0, XS_SET_PERMS, 0, "/local/domain/1\0n1\0");
	return strcmp(client_ask(dom0, XS_SET_PERMS, 0, "/local/domain/2\0n2\0"), "OK|");
}

static int teardown(void **state)
{
	(void)state;
	client_remove_all();
	db_fini();
	return 0;
}

static void fires_at_once_then_for_changes(void **state)
{
	(void)state;
	assert_string_equal(client_ask(dom0, XS_WATCH, 0, "/a/b\0tok\0"), "OK|");
	assert_string_equal(client_event(dom0), "event /a/b|tok|");
	assert_string_equal(client_event(dom0), "none");
	client_ask(dom0, XS_WRITE, 0, "/a/b/c\0v");
	client_ask(dom0, XS_WRITE, 0, "/a\0above");
	client_ask(dom0, XS_WRITE, 0, "/a/bb\0beside");
	assert_string_equal(client_event(dom0), "event /a/b/c|tok|");
	assert_string_equal(client_event(dom0), "none");
	client_ask(dom0, XS_SET_PERMS, 0, "/a/b\0n0\0r1\0");
	assert_string_equal(client_event(dom0), "event /a/b|tok|");
	assert_string_equal(client_ask(dom0, XS_UNWATCH, 0, "/a/b\0tok\0"), "OK|");
	client_ask(dom0, XS_WRITE, 0, "/a/b/c\0v");
	assert_string_equal(client_event(dom0), "none");
	assert_string_equal(client_ask(dom0, XS_UNWATCH, 0, "/a/b\0tok\0"), "ENOENT|");
}

static void removal_reaches_watches_below(void **state)
{
	(void)state;
	client_ask(dom0, XS_WRITE, 0, "/a/b/c\0v");
	client_ask(dom0, XS_WATCH, 0, "/a/b/c\0deep\0");
	client_ask(dom0, XS_WATCH, 0, "/a/b/never\0absent\0");
	client_ask(dom0, XS_WATCH, 0, "/\0root\0");
	while (strcmp(client_event(dom0), "none"))
		;
	client_ask(dom0, XS_RM, 0, "/a\0");
	assert_string_equal(client_event(dom0), "event /a|root|");
	assert_string_equal(client_event(dom0), "event /a/b/c|deep|");
	assert_string_equal(client_event(dom0), "none");
}

static void relative_watch_gives_relative_paths(void **state)
{
	(void)state;
	client_ask(one, XS_WATCH, 0, "device\0t\0");
	assert_string_equal(client_event(one), "event device|t|");
	client_ask(dom0, XS_WRITE, 0, "/local/domain/1/device/vif/0/state\0001");
	assert_string_equal(client_event(one), "event device/vif/0/state|t|");
	client_ask(one, XS_WATCH, 0, "/local/domain/1/device\0abs\0");
	client_event(one);
	client_ask(one, XS_WRITE, 0, "device/x\0001");
	assert_string_equal(client_event(one), "event /local/domain/1/device/x|abs|");
	assert_string_equal(client_event(one), "event device/x|t|");
}

/* XSA-115: a guest hears nothing of what it may not read, however high it watches. */
static void nothing_of_others(void **state)
{
	(void)state;
	client_ask(one, XS_WATCH, 0, "/\0spy\0");
	client_ask(one, XS_WATCH, 0, "/local/domain/2/secret\0spy\0");
	while (strcmp(client_event(one), "none"))
		;
	client_ask(two, XS_WRITE, 0, "secret\0v");
	client_ask(two, XS_RM, 0, "secret\0");
	client_ask(dom0, XS_WRITE, 0, "/local/domain/0/x\0v");
	assert_string_equal(client_event(one), "none");
	client_ask(two, XS_WRITE, 0, "open\0v");
	client_ask(two, XS_SET_PERMS, 0, "open\0n2\0r1\0");
	assert_string_equal(client_event(one), "event /local/domain/2/open|spy|");
	client_ask(two, XS_RM, 0, "open\0"); /* it could read that one: it hears of its end */
	assert_string_equal(client_event(one), "event /local/domain/2/open|spy|");
	assert_string_equal(client_event(one), "none");
}

static void special_is_for_domain_0(void **state)
{
	(void)state;
	assert_string_equal(client_ask(one, XS_WATCH, 0, "@releaseDomain\0t\0"), "EACCES|");
	assert_string_equal(client_ask(dom0, XS_WATCH, 0, "@releaseDomain\0t\0"), "OK|");
	client_event(dom0);
	watch_fire_special("@introduceDomain");
	assert_string_equal(client_event(dom0), "none");
	watch_fire_special("@releaseDomain");
	assert_string_equal(client_event(dom0), "event @releaseDomain|t|");
}

static void depth(void **state)
{
	(void)state;
	client_ask(dom0, XS_WATCH, 0, "/d\0t\0001\0");
	client_event(dom0);
	client_ask(dom0, XS_WRITE, 0, "/d/a/b\0");
	assert_string_equal(client_event(dom0), "none");
	client_ask(dom0, XS_WRITE, 0, "/d/a\0");
	assert_string_equal(client_event(dom0), "event /d/a|t|");
	assert_string_equal(client_ask(dom0, XS_WATCH, 0, "/d\0u\0x\0"), "EINVAL|");
}

static void quota_and_duplicates(void **state)
{
	char payload[64];
	const char *reply = "OK|";
	int n = 0;

	(void)state;
	assert_string_equal(client_ask(one, XS_WATCH, 0, "x\0same\0"), "OK|");
	assert_string_equal(client_ask(one, XS_WATCH, 0, "x\0same\0"), "EEXIST|");
	for (; !strcmp(reply, "OK|") && n < 2 * GUEST_WATCHES; n++) {
		int len = snprintf(payload, sizeof(payload), "x%ct%d", 0, n) + 1;

		reply = client_ask_len(one, XS_WATCH, 0, payload, (size_t)len);
	}
	assert_string_equal(reply, "E2BIG|");
	assert_int_equal(n, GUEST_WATCHES);
	client_ask(one, XS_RESET_WATCHES, 0, "");
	assert_int_equal(one->nr_watches, 0);
	assert_int_equal(one->nr_events, 0);
	assert_string_equal(client_event(one), "none");
}

/* XSA-349: changes that a client does not fetch take bounded memory, and still it learns that something changed. */
static void queue_is_bounded(void **state)
{
	char payload[64];
	unsigned got = 0;
	bool last_is_whole = false;

	(void)state;
	client_ask(one, XS_WATCH, 0, "n\0t\0");
	client_event(one);
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < 2 * CONN_EVENTS; i++) {
			int len = snprintf(payload, sizeof(payload), "/local/domain/1/n/%u", i) + 1;

			client_ask_len(dom0, XS_WRITE, 0, payload, (size_t)len);
		}
	assert_int_equal(one->nr_events, CONN_EVENTS);
	for (const char *e = client_event(one); strcmp(e, "none"); e = client_event(one), got++)
		last_is_whole = !strcmp(e, "event n|t|");
	assert_int_equal(got, CONN_EVENTS + 1);
	assert_true(last_is_whole);
	client_ask(dom0, XS_WRITE, 0, "/local/domain/1/n/5\0");
	client_ask(dom0, XS_WRITE, 0, "/local/domain/1/n/5\0again");
	assert_int_equal(one->nr_events, 1);
}

static void transactions_fire_at_commit(void **state)
{
	uint32_t id;

	(void)state;
	client_ask(one, XS_WATCH, 0, "t\0t\0");
	client_event(one);
	assert_int_equal(txn_start(dom0, &id), 0);
	client_ask(dom0, XS_WRITE, id, "/local/domain/1/t/a\0v");
	assert_string_equal(client_event(one), "none");
	assert_string_equal(client_ask(dom0, XS_TRANSACTION_END, id, "T\0"), "OK|");
	assert_string_equal(client_event(one), "event t/a|t|");
	assert_int_equal(txn_start(dom0, &id), 0);
	client_ask(dom0, XS_WRITE, id, "/local/domain/1/t/a\0v");
	client_ask(dom0, XS_TRANSACTION_END, id, "F\0");
	assert_string_equal(client_event(one), "none");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fires_at_once_then_for_changes), TEST(removal_reaches_watches_below), TEST(relative_watch_gives_relative_paths),
		TEST(nothing_of_others), TEST(special_is_for_domain_0), TEST(depth), TEST(quota_and_duplicates), TEST(queue_is_bounded),
		TEST(transactions_fire_at_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
