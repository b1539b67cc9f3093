/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/xenbus.c: requests, transactions, watches, and a store whose stream is cut up, late, lost or senseless. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <frontend/xenbus.h>
#include <tests/support/port_fake.h>

static struct hv *hv;
static struct xenbus *xb;

static int setup(void **state)
{
	(void)state;
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, 3);
	xb = xenbus_create();
	return xb ? 0 : -1;
}

static int teardown(void **state)
{
	unsigned left;

	(void)state;
	xenbus_destroy(xb);
	left = port_fake_pages();
	port_fake_close();
	hv->ops->close(hv);
	return left ? -1 : 0;
}

static void put(const char *path, const char *value)
{
	assert_int_equal(hv_fake_store_write(hv, 0, path, value), 0);
}

static void test_values(void **state)
{
	char out[32], *seen;
	uint64_t v;

	(void)state;
	put("/local/domain/3/device/vif/0/mac", "00:16:3e:00:00:01");
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "device/vif/0", "mac", out, sizeof(out)), 17);
	assert_string_equal(out, "00:16:3e:00:00:01");
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "device/vif/0/mac", NULL, out, sizeof(out)), 17);
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "device/vif/0", "mac", out, 17), -E2BIG); /* no room for the NUL */
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "device/vif/0", "none", out, sizeof(out)), -ENOENT);
	assert_int_equal(xenbus_read_number(xb, XENBUS_NO_TXN, "device/vif/0", "mac", &v), -EINVAL);
	assert_int_equal(xenbus_write_number(xb, XENBUS_NO_TXN, "data", "n", 18446744073709551615ull), 0);
	seen = hv_fake_store_read(hv, 3, "data/n");
	assert_string_equal(seen, "18446744073709551615");
	free(seen);
	assert_int_equal(xenbus_write_number(xb, XENBUS_NO_TXN, "data", "n", 0), 0);
	assert_int_equal(xenbus_read_number(xb, XENBUS_NO_TXN, "data", "n", &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(xenbus_rm(xb, XENBUS_NO_TXN, "data", "n"), 0);
	assert_int_equal(xenbus_read_number(xb, XENBUS_NO_TXN, "data", "n", &v), -ENOENT);
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "empty", ""), 0);
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "empty", out, sizeof(out)), 0);
}

static void test_features_and_states(void **state)
{
	(void)state;
	put("/local/domain/0/b/feature-sg", "1");
	put("/local/domain/0/b/feature-x", "0");
	put("/local/domain/0/b/feature-y", "yes");
	assert_true(xenbus_read_feature(xb, "/local/domain/0/b", "feature-sg"));
	assert_false(xenbus_read_feature(xb, "/local/domain/0/b", "feature-x"));
	assert_false(xenbus_read_feature(xb, "/local/domain/0/b", "feature-y"));
	assert_false(xenbus_read_feature(xb, "/local/domain/0/b", "feature-z"));
	assert_int_equal(xenbus_read_state(xb, "/local/domain/0/b"), XenbusStateUnknown);
	put("/local/domain/0/b/state", "9");
	assert_int_equal(xenbus_read_state(xb, "/local/domain/0/b"), XenbusStateUnknown);
	put("/local/domain/0/b/state", "4");
	assert_int_equal(xenbus_read_state(xb, "/local/domain/0/b"), XenbusStateConnected);
	assert_int_equal(xenbus_switch_state(xb, XENBUS_NO_TXN, "device/vif/0", XenbusStateClosed), 0);
	assert_int_equal(xenbus_read_state(xb, "device/vif/0"), XenbusStateClosed);
}

static void test_directory(void **state)
{
	char out[64];

	(void)state;
	put("/local/domain/3/device/vif/0/mac", "a");
	put("/local/domain/3/device/vif/1/mac", "b");
	assert_int_equal(xenbus_directory(xb, XENBUS_NO_TXN, "device", "vif", out, sizeof(out)), 2);
	assert_memory_equal(out, "0\0001\0", 4);
	assert_int_equal(xenbus_directory(xb, XENBUS_NO_TXN, "device", "vbd", out, sizeof(out)), -ENOENT);
	assert_int_equal(xenbus_directory(xb, XENBUS_NO_TXN, "device", "vif", out, 4), -E2BIG);
}

static void test_transactions(void **state)
{
	xenbus_txn_t txn;
	char *seen;

	(void)state;
	assert_int_equal(xenbus_txn_start(xb, &txn), 0);
	assert_int_equal(xenbus_write(xb, txn, "data", "k", "1"), 0);
	assert_null(hv_fake_store_read(hv, 3, "data/k"));
	assert_int_equal(xenbus_txn_end(xb, txn, false), 0);
	assert_null(hv_fake_store_read(hv, 3, "data/k"));
	port_fake_faults.conflicts = 1;
	assert_int_equal(xenbus_txn_start(xb, &txn), 0);
	assert_int_equal(xenbus_write(xb, txn, "data", "k", "2"), 0);
	assert_int_equal(xenbus_txn_end(xb, txn, true), -EAGAIN);
	assert_int_equal(xenbus_txn_start(xb, &txn), 0);
	assert_int_equal(xenbus_write(xb, txn, "data", "k", "3"), 0);
	assert_int_equal(xenbus_txn_end(xb, txn, true), 0);
	seen = hv_fake_store_read(hv, 3, "data/k");
	assert_string_equal(seen, "3");
	free(seen);
}

static void test_watches_are_flags(void **state)
{
	int w, other;

	(void)state;
	w = xenbus_watch(xb, "device/vif/0", "backend");
	other = xenbus_watch(xb, "control", "shutdown");
	assert_true(w >= 0 && other >= 0 && w != other);
	assert_true(xenbus_watch_take(xb, w)); /* once when set */
	assert_true(xenbus_watch_take(xb, other));
	xenbus_watch_take(xb, w); /* the store's own first event, if it came apart from ours */
	assert_false(xenbus_watch_take(xb, w));
	for (unsigned i = 0; i < 100; i++)
		put("/local/domain/3/device/vif/0/backend", i % 2 ? "/x" : "/y");
	assert_true(xenbus_watch_take(xb, w));
	assert_false(xenbus_watch_take(xb, w));
	assert_false(xenbus_watch_take(xb, other));
	xenbus_watch_raise(xb, other);
	assert_true(xenbus_watch_take(xb, other));
	xenbus_unwatch(xb, w);
	put("/local/domain/3/device/vif/0/backend", "/z");
	assert_false(xenbus_watch_take(xb, w));
	xenbus_unwatch(xb, -1);
	assert_false(xenbus_watch_take(xb, -1));
	xenbus_unwatch(xb, other);
}

static void test_an_event_behind_a_reply_is_not_lost(void **state)
{
	int w = xenbus_watch(xb, "data", NULL);

	(void)state;
	while (xenbus_watch_take(xb, w))
		;
	/* Our own write raises the watch: its event comes right behind the reply, and the store's one signal for both has been taken. */
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "k", "1"), 0);
	port_store_take();
	assert_true(xenbus_watch_take(xb, w));
}

/* Each of these is taken in by a call that is not its own: whoever slept then would sleep on it for ever. */
static void test_no_sleep_on_an_event_that_nobody_took(void **state)
{
	int w = xenbus_watch(xb, "data", NULL), other = xenbus_watch(xb, "control", NULL);

	(void)state;
	while (xenbus_watch_take(xb, w) || xenbus_watch_take(xb, other))
		;
	assert_true(xenbus_arm(xb));
	put("/local/domain/3/data/k", "1");
	assert_false(xenbus_watch_take(xb, other));
	assert_false(xenbus_arm(xb));
	assert_true(xenbus_watch_take(xb, w));
	assert_true(xenbus_arm(xb));
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "k", "2"), 0); /* its event comes behind the reply */
	port_store_take();
	assert_false(xenbus_arm(xb));
	assert_true(xenbus_watch_take(xb, w));
	put("/local/domain/3/data/k", "3");
	xenbus_unwatch(xb, w);
	assert_true(xenbus_arm(xb));
	xenbus_unwatch(xb, other);
	port_fake_faults.lose_replies = 1;
	assert_int_equal(xenbus_watch(xb, "data", NULL), -ETIMEDOUT);
	assert_true(xenbus_arm(xb)); /* nobody has its number */
}

static void test_watches_are_bounded(void **state)
{
	char long_path[XENBUS_PATH_MAX + 1];

	(void)state;
	for (unsigned i = 0; i < XENBUS_WATCHES; i++)
		assert_int_equal(xenbus_watch(xb, "data", NULL), i);
	assert_int_equal(xenbus_watch(xb, "data", NULL), -ENOSPC);
	xenbus_unwatch(xb, 5);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(xenbus_watch(xb, long_path, NULL), -E2BIG);
	assert_int_equal(xenbus_watch(xb, "data", NULL), 5);
}

static void test_stream_in_small_pieces(void **state)
{
	char out[32];

	(void)state;
	for (size_t chunk = 1; chunk < 40; chunk += 3) {
		port_fake_faults.chunk = chunk;
		assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "k", "piece by piece"), 0);
		assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, sizeof(out)), 14);
		assert_string_equal(out, "piece by piece");
	}
}

static void test_stale_replies_are_dropped(void **state)
{
	char out[32];

	(void)state;
	put("/local/domain/3/data/k", "right");
	port_fake_faults.stale_replies = 3;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, sizeof(out)), 5);
		assert_string_equal(out, "right");
	}
}

static void test_a_lost_reply_times_out_alone(void **state)
{
	char out[32];

	(void)state;
	put("/local/domain/3/data/k", "v");
	port_fake_faults.lose_replies = 1;
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, sizeof(out)), -ETIMEDOUT);
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, sizeof(out)), 1);
}

static void test_a_reply_of_another_type(void **state)
{
	char out[32];

	(void)state;
	port_fake_faults.lose_replies = 1;
	port_fake_inject(XS_GET_PERMS, 1, 1, "x", 1); /* the first request has id 1 */
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, sizeof(out)), -EPROTO);
}

static void test_too_long_a_message_breaks_the_stream(void **state)
{
	char out[32];

	(void)state;
	port_fake_inject(XS_WATCH_EVENT, 0, XENSTORE_PAYLOAD_MAX + 1, "", 0);
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, sizeof(out)), -EPROTO);
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "k", "v"), -EPROTO);
}

static void test_longest_message(void **state)
{
	char *value = malloc(XENSTORE_PAYLOAD_MAX + 1), *out = malloc(XENSTORE_PAYLOAD_MAX + 1);
	size_t n = XENSTORE_PAYLOAD_MAX - sizeof("data/k");

	(void)state;
	memset(value, 'v', n + 1);
	value[n] = '\0';
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "k", value), 0);
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, XENSTORE_PAYLOAD_MAX + 1), n);
	value[n] = 'v';
	value[n + 1] = '\0';
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "k", value), -E2BIG);
	assert_int_equal(xenbus_read(xb, XENBUS_NO_TXN, "data", "k", out, XENSTORE_PAYLOAD_MAX + 1), n);
	free(value);
	free(out);
}

static void test_senseless_watch_events(void **state)
{
	static const struct {
		const char *body;
		size_t n;
	} events[] = { { "", 0 }, { "path", 4 }, { "path", 5 }, { "p\0x", 4 }, { "p\00099", 5 }, { "p\00018446744073709551615", 23 }, { "p\000-1", 5 } };
	int w = xenbus_watch(xb, "data", NULL);

	(void)state;
	while (xenbus_watch_take(xb, w))
		;
	for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		port_fake_inject(XS_WATCH_EVENT, 0, (uint32_t)events[i].n, events[i].body, events[i].n);
	assert_false(xenbus_watch_take(xb, w));
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "other", "k", "v"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features_and_states, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transactions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watches_are_flags, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_event_behind_a_reply_is_not_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sleep_on_an_event_that_nobody_took, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watches_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream_in_small_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stale_replies_are_dropped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_lost_reply_times_out_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reply_of_another_type, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long_a_message_breaks_the_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_longest_message, setup, teardown),
		cmocka_unit_test_setup_teardown(test_senseless_watch_events, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
