/* SPDX-License-Identifier: BSD-3-Clause */
/* The transport over a guest's ring: pieces, order, back pressure, reconnect. Lies are in tests/hostile/test_xenstore.c. */
#include <sluice/shm.h>

#include "ring_client.h"

static void in_pieces(void **state)
{
	struct ring_client *g = ring_client_new(1);
	struct xsd_sockmsg h = { .type = XS_WRITE, .req_id = 3, .len = 3 };
	const char message[] = "a\0v";

	(void)state;
	for (unsigned i = 0; i < sizeof(h); i++) {
		assert_true(ring_send(g, (char *)&h + i, 1));
		assert_int_equal(xenstore_ring_read(&g->ring, g->reply, 1), 0);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(ring_send(g, message + i, 1));
	assert_string_equal(ring_message(g), "OK|");
	assert_int_equal(g->hdr.req_id, 3);
	assert_string_equal(ring_ask(g, XS_READ, 0, "a\0"), "v");
	ring_client_free(g);
}

static void longer_than_the_ring(void **state)
{
	struct ring_client *g = ring_client_new(1);
	char payload[GUEST_ENTRY];

	(void)state;
	memset(payload, 'x', sizeof(payload));
	memcpy(payload, "big", 4);
	for (unsigned i = 0; i < 5; i++) { /* wraps the ring at different places */
		assert_string_equal(ring_ask_len(g, XS_WRITE, 0, payload, sizeof(payload)), "OK|");
		assert_int_equal(strlen(ring_ask(g, XS_READ, 0, "big\0")), sizeof(payload) - 4);
	}
	ring_client_free(g);
}

static void requests_back_to_back(void **state)
{
	struct ring_client *g = ring_client_new(1);
	unsigned n = 3 * CONN_BUDGET;

	(void)state;
	for (unsigned i = 0; i < n; i++) { /* all in the ring before the server looks */
		struct xsd_sockmsg h = { .type = XS_MKDIR, .req_id = i, .len = 2 };

		xenstore_ring_write(&g->ring, &h, sizeof(h));
		xenstore_ring_write(&g->ring, "a", 2);
	}
	for (unsigned i = 0; i < n; i++) {
		assert_string_equal(ring_message(g), "OK|");
		assert_int_equal(g->hdr.req_id, i);
	}
	ring_client_free(g);
}

/* The same with one event from the guest: the server comes back by itself for what it left. */
static void one_event_for_many(void **state)
{
	struct ring_client *g = ring_client_new(1);
	unsigned n = 3 * CONN_BUDGET, replies = 0;

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		struct xsd_sockmsg h = { .type = XS_MKDIR, .len = 2 };

		xenstore_ring_write(&g->ring, &h, sizeof(h));
		xenstore_ring_write(&g->ring, "a", 2);
	}
	ring_step();
	for (unsigned i = 0; i < 10; i++)
		fake_loop_step(-1);
	while (xenstore_ring_read(&g->ring, g->reply, sizeof(struct xsd_sockmsg) + 3) == sizeof(struct xsd_sockmsg) + 3)
		replies++;
	assert_int_equal(replies, n);
	ring_client_free(g);
}

/* A guest that waits for room in the ring is woken when the server took bytes, though there is nothing to answer yet. */
static void room_is_told(void **state)
{
	struct ring_client *g = ring_client_new(1);
	struct xsd_sockmsg h = { .type = XS_WRITE, .len = 2000 };
	unsigned before = fake_raised[1];

	(void)state;
	xenstore_ring_write(&g->ring, &h, sizeof(h));
	assert_int_equal(xenstore_ring_write(&g->ring, g->reply, 2000), XENSTORE_RING_SIZE - sizeof(h));
	ring_step();
	assert_int_equal(fake_raised[1], before + 1);
	ring_step();
	assert_int_equal(fake_raised[1], before + 1); /* and not when nothing moved */
	ring_client_free(g);
}

static void reply_before_first_event(void **state)
{
	struct ring_client *g = ring_client_new(1);

	(void)state;
	assert_true(ring_send_request(g, XS_WATCH, 0, "w\0t", 4));
	assert_string_equal(ring_message(g), "OK|");
	assert_string_equal(ring_message(g), "w|t|");
	assert_int_equal(g->hdr.type, XS_WATCH_EVENT);
	ring_client_free(g);
}

static void domain_0_wakes_it(void **state)
{
	struct ring_client *g = ring_client_new(1);
	unsigned before;

	(void)state;
	ring_ask(g, XS_WATCH, 0, "w\0t\0");
	ring_message(g);
	before = fake_raised[1];
	assert_int_equal(store_write("/local/domain/1/w/x", "v"), 0);
	assert_true(fake_raised[1] > before);
	assert_string_equal(ring_message(g), "w/x|t|");
	assert_int_equal(store_rm("/local/domain/1/w"), 0);
	assert_string_equal(ring_message(g), "w|t|");
	ring_client_free(g);
}

static void reconnect(void **state)
{
	struct ring_client *g = ring_client_new(1);
	struct xsd_sockmsg half = { .type = XS_READ, .len = 100 };

	(void)state;
	assert_int_equal(shm_load(&g->page->server_features), XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
	ring_ask(g, XS_WATCH, 0, "w\0t\0");
	ring_send(g, &half, sizeof(half));
	shm_store_release(&g->page->connection, XENSTORE_RECONNECT);
	ring_step();
	assert_int_equal(shm_load_acquire(&g->page->connection), XENSTORE_CONNECTED);
	ring_client_attach(g);
	assert_int_equal(store_guest(1)->nr_watches, 0);
	assert_string_equal(ring_ask(g, XS_WRITE, 0, "w\0v"), "OK|");
	assert_string_equal(ring_ask(g, XS_READ, 0, "w\0"), "v");
	ring_client_free(g);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, ring_server_start, ring_server_stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(in_pieces), TEST(longer_than_the_ring), TEST(requests_back_to_back), TEST(one_event_for_many),
		TEST(room_is_told), TEST(reply_before_first_event), TEST(domain_0_wakes_it), TEST(reconnect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
