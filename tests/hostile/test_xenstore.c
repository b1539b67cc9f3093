/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that does all it can to XenStore over its ring. After each attack a second guest and domain 0 are served as before, and the
 * server's memory is bounded by what private.h says.
 */
#include <sluice/shm.h>

#include "tests/unit/hypervisor/xenstore/ring_client.h"

static struct ring_client *evil, *good;

static int setup(void **state)
{
	if (ring_server_start(state))
		return -1;
	store_write("/local/domain/0/backend/secret", "s3cret");
	evil = ring_client_new(1);
	good = ring_client_new(2);
	return 0;
}

static int teardown(void **state)
{
	int bad = strcmp(ring_ask(good, XS_WRITE, 0, "alive\0yes"), "OK|") || strcmp(ring_ask(good, XS_READ, 0, "alive\0"), "yes") ||
		  store_write("/local/domain/2/from-dom0", "yes");

	ring_client_free(evil);
	ring_client_free(good);
	return ring_server_stop(state) || bad;
}

static void reconnect(void)
{
	shm_store_release(&evil->page->connection, XENSTORE_RECONNECT);
	ring_step();
	assert_int_equal(shm_load_acquire(&evil->page->connection), XENSTORE_CONNECTED);
	ring_client_attach(evil);
	assert_string_equal(ring_ask(evil, XS_MKDIR, 0, "back\0"), "OK|");
}

/* XSA-39, XSA-155 for this ring: every index, just beyond and absurdly beyond. */
static void ring_index_lies(void **state)
{
	static const uint32_t lies[] = { 1025, 0x7fffffff, 0x80000000, 0xfffffbff };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		shm_store(&evil->page->req_prod, evil->ring.out_prod + lies[i]);
		ring_step();
		assert_int_equal(shm_load(&evil->page->error), XENSTORE_ERROR_RINGIDX);
		reconnect();
		shm_store(&evil->page->rsp_cons, evil->ring.in_cons + lies[i]); /* seen at the next reply */
		ring_send_request(evil, XS_READ, 0, "x", 2);
		ring_step();
		assert_int_equal(shm_load(&evil->page->error), XENSTORE_ERROR_RINGIDX);
		reconnect();
	}
	shm_store(&evil->page->req_cons, 12345); /* the server's own: it keeps them in private */
	shm_store(&evil->page->rsp_prod, 54321);
	ring_send_request(evil, XS_MKDIR, 0, "x", 2);
	reconnect();
}

static void payload_too_long(void **state)
{
	static const uint32_t lengths[] = { XENSTORE_PAYLOAD_MAX + 1, 0x7fffffff, 0xffffffff, 0xfffffff0 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct xsd_sockmsg h = { .type = XS_WRITE, .len = lengths[i] };

		ring_ask(evil, XS_WATCH, 0, "w\0t\0");
		ring_send(evil, &h, sizeof(h));
		ring_step();
		assert_int_equal(shm_load(&evil->page->error), XENSTORE_ERROR_PROTO);
		assert_int_equal(store_guest(1)->nr_watches, 0);
		assert_false(ring_send_request(evil, XS_READ, 0, evil->reply, 2000)); /* nobody reads it any more */
		reconnect();
	}
}

static void strings_without_end(void **state)
{
	char payload[XENSTORE_PAYLOAD_MAX];

	(void)state;
	memset(payload, 'a', sizeof(payload));
	for (uint32_t type = 0; type < XS_TYPE_COUNT + 2; type++) {
		for (unsigned nul = 0; nul < 2; nul++) {
			payload[sizeof(payload) - 1] = nul ? '\0' : 'a';
			assert_string_not_equal(ring_ask_len(evil, type, 0, payload, sizeof(payload)), "nothing");
			payload[sizeof(payload) / 2] = '\0';
			assert_string_not_equal(ring_ask_len(evil, type, 0, payload, sizeof(payload)), "nothing");
			payload[sizeof(payload) / 2] = 'a';
		}
		assert_string_not_equal(ring_ask_len(evil, type, 0, "", 0), "nothing");
		assert_string_not_equal(ring_ask_len(evil, type, 0, "\0\0\0\0\0", 5), "nothing");
	}
}

static void types_and_transactions(void **state)
{
	static const uint32_t ids[] = { 1, 2, 0x7fffffff, 0xffffffff };

	(void)state;
	assert_string_equal(ring_ask(evil, 0xffffffff, 0, "x\0"), "ENOSYS|");
	assert_string_equal(ring_ask(evil, XS_INVALID, 0, "x\0"), "ENOSYS|");
	assert_string_equal(ring_ask(evil, XS_SET_TARGET + 1, 0, "x\0"), "ENOSYS|"); /* the hole in the list of types */
	assert_string_equal(ring_ask(good, XS_TRANSACTION_START, 0, "\0"), "1|");
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(ring_ask(evil, XS_READ, ids[i], "x\0"), "ENOENT|");
		assert_string_equal(ring_ask(evil, XS_TRANSACTION_END, ids[i], "T\0"), "ENOENT|");
	}
	assert_string_equal(ring_ask(good, XS_TRANSACTION_END, 1, "T\0"), "OK|");
}

static void foreign_nodes(void **state)
{
	static const char *const paths[] = { "/", "/tool", "/local", "/local/domain", "/local/domain/0", "/local/domain/0/name",
					     "/local/domain/0/backend/secret", "/local/domain/2", "/local/domain/2/x" };
	char payload[128];

	(void)state;
	ring_ask(good, XS_WRITE, 0, "x\0mine");
	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		size_t n = strlen(paths[i]) + 1;

		memcpy(payload, paths[i], n);
		memcpy(payload + n, "n1", 3);
		assert_string_equal(ring_ask_len(evil, XS_WRITE, 0, payload, n + 2), "EACCES|");
		assert_string_equal(ring_ask_len(evil, XS_SET_PERMS, 0, payload, n + 3), "EACCES|");
		assert_string_equal(ring_ask_len(evil, XS_READ, 0, payload, n), "EACCES|");
		assert_string_equal(ring_ask_len(evil, XS_DIRECTORY, 0, payload, n), "EACCES|");
		assert_string_equal(ring_ask_len(evil, XS_GET_PERMS, 0, payload, n), "EACCES|");
		assert_string_equal(ring_ask_len(evil, XS_MKDIR, 0, payload, n), "EACCES|");
		if (i)
			assert_string_equal(ring_ask_len(evil, XS_RM, 0, payload, n), "EACCES|");
	}
	assert_string_equal(ring_ask(evil, XS_READ, 0, "../0/name\0"), "EINVAL|");
	assert_string_equal(ring_ask(good, XS_READ, 0, "x\0"), "mine");
}

/* XSA-115: watches on others, on parents of others, on what does not exist yet. */
static void watches_across_domains(void **state)
{
	static const char *const paths[] = { "/", "/local/domain", "/local/domain/0/backend", "/local/domain/2", "/local/domain/2/later" };

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		char payload[64];
		int n = snprintf(payload, sizeof(payload), "%s%ct", paths[i], 0) + 1;

		ring_ask_len(evil, XS_WATCH, 0, payload, (size_t)n);
	}
	while (ring_message(evil))
		;
	store_write("/local/domain/0/backend/secret", "changed");
	ring_ask(good, XS_WRITE, 0, "later\0v");
	ring_ask(good, XS_RM, 0, "later\0");
	store_domain_changed(good->d);
	assert_null(ring_message(evil));
	assert_string_equal(ring_ask(evil, XS_WATCH, 0, "@introduceDomain\0t\0"), "EACCES|");
}

/* XSA-349: the victim's watches fire, nobody reads the ring, and the one who changes is not held up. */
static void event_storm(void **state)
{
	char payload[64];

	(void)state;
	ring_ask(evil, XS_SET_PERMS, 0, "/local/domain/1\0n1\0r2\0");
	ring_ask(good, XS_WATCH, 0, "/local/domain/1\0t\0");
	for (unsigned i = 0; i < 900; i++) {
		int n = snprintf(payload, sizeof(payload), "storm%u", i) + 1;

		assert_string_equal(ring_ask_len(evil, XS_WRITE, 0, payload, (size_t)n), "OK|");
	}
	assert_true(store_guest(2)->nr_events <= CONN_EVENTS);
}

/* Asks for far more bytes of replies than the ring holds, and reads none: only its own connection stands still. */
static void deaf_guest(void **state)
{
	unsigned sent = 0;

	(void)state;
	ring_ask(evil, XS_WRITE, 0, "v\0a value of some length, so that replies are longer than requests are");
	while (sent < 1000 && ring_send_request(evil, XS_READ, 0, "v", 2))
		sent++;
	assert_true(sent < 100);
	for (unsigned i = 0; i < 100; i++)
		assert_string_equal(ring_ask(good, XS_MKDIR, 0, "busy\0"), "OK|");
	reconnect();
}

static void quotas(void **state)
{
	const char *reply = "OK|";
	char payload[XENSTORE_PAYLOAD_MAX];
	unsigned n = 0, txns = 0;

	(void)state;
	for (; n < 5000 && !strcmp(reply, "OK|"); n++)
		reply = ring_ask_len(evil, XS_MKDIR, 0, payload, (size_t)snprintf(payload, sizeof(payload), "n%u", n) + 1);
	assert_string_equal(reply, "ENOSPC|");
	assert_true(n <= GUEST_NODES);
	for (unsigned i = 0; i < XENSTORE_REL_PATH_MAX; i++) /* one path of a thousand nodes */
		payload[i] = i & 1 ? '/' : 'd';
	payload[XENSTORE_REL_PATH_MAX - 1] = '\0';
	assert_string_equal(ring_ask_len(evil, XS_MKDIR, 0, payload, XENSTORE_REL_PATH_MAX), "ENOSPC|");
	memset(payload, 'v', sizeof(payload));
	memcpy(payload, "n1", 3);
	assert_string_equal(ring_ask_len(evil, XS_WRITE, 0, payload, sizeof(payload)), "ENOSPC|");
	while (txns < 1000 && strcmp(ring_ask(evil, XS_TRANSACTION_START, 0, "\0"), "ENOSPC|"))
		txns++;
	assert_int_equal(txns, GUEST_TXNS);
	assert_string_equal(ring_ask(good, XS_TRANSACTION_START, 0, "\0"), "1|");
	ring_ask(evil, XS_RESET_WATCHES, 0, "\0");
	assert_int_equal(store_guest(1)->nr_txns, 0);
}

/* Ends at any byte of any message, then starts over. */
static void leaves_at_every_step(void **state)
{
	struct xsd_sockmsg h = { .type = XS_WRITE, .len = 7 };
	char message[sizeof(h) + 7];

	(void)state;
	memcpy(message, &h, sizeof(h));
	memcpy(message + sizeof(h), "abc\0def", 7);
	for (size_t n = 0; n <= sizeof(message); n++) {
		ring_ask(evil, XS_TRANSACTION_START, 0, "\0");
		ring_ask(evil, XS_WATCH, 0, "abc\0t\0");
		ring_send(evil, message, n);
		ring_client_free(evil);
		evil = ring_client_new(1);
	}
}

/* XSA-322: a domain gets nothing of what an earlier one with its number owned or was shown. */
static void same_number_again(void **state)
{
	(void)state;
	ring_ask(good, XS_WRITE, 0, "shown\0to domain 1");
	ring_ask(good, XS_SET_PERMS, 0, "shown\0n2\0r1\0");
	ring_ask(evil, XS_WRITE, 0, "own\0v");
	assert_string_equal(ring_ask(evil, XS_READ, 0, "/local/domain/2/shown\0"), "to domain 1");
	store_release(evil->d);
	store_introduce(evil->d);
	ring_client_attach(evil);
	assert_string_equal(ring_ask(evil, XS_READ, 0, "/local/domain/2/shown\0"), "EACCES|");
	assert_string_equal(ring_ask(evil, XS_READ, 0, "own\0"), "EACCES|");
}

/* Bytes of the ring that hold a request change while it is done: only the private copy counts. */
static void changes_its_mind(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		assert_true(ring_send_request(evil, XS_WRITE, 0, "m\0safe", 6));
		memset(evil->page->req, 0xff, sizeof(evil->page->req));
		assert_string_equal(ring_message(evil), "OK|");
		assert_string_equal(ring_ask(evil, XS_READ, 0, "m\0"), "safe");
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ring_index_lies), TEST(payload_too_long), TEST(strings_without_end), TEST(types_and_transactions), TEST(foreign_nodes),
		TEST(watches_across_domains), TEST(event_storm), TEST(deaf_guest), TEST(quotas), TEST(leaves_at_every_step),
		TEST(same_number_again), TEST(changes_its_mind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
