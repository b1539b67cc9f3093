/* SPDX-License-Identifier: BSD-3-Clause */
/* One copy from guest to guest: what the receiver gets while the sender rewrites its pages, when the sender is answered, and who gets a private copy. */
#include <tests/support/netback_world.h>
#include <netinet/in.h>
#include <rte_tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest a, b;
static uint8_t frame[NET_PACKET_MAX], got[NET_PACKET_MAX];
static struct net_packet p;

/* A port that hears every flooded packet before any guest does. */
static struct {
	struct bridge_port port;
	unsigned packets, lent, answered;
	bool rewrite;
} spy;

static unsigned spy_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n)
{
	(void)port;
	for (unsigned i = 0; i < n; i++) {
		spy.packets++;
		spy.lent += lent_is(pkts[i]);
	}
	spy.answered += (unsigned)front_ring_pending(&a.tx);
	if (spy.rewrite)
		memset(a.tx_buffers, 0xee, (size_t)FAKE_GUEST_BUFFERS * SLUICE_PAGE_SIZE);
	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static int setup(void **state)
{
	(void)state;
	fake_guest_static = true;
	world_create(&w);
	memset(&spy, 0, sizeof(spy));
	spy.port.name = "spy";
	spy.port.tx = spy_tx;
	assert_int_equal(bridge_add_port(w.nb.bridge, &spy.port), 0);
	world_add_guest(&w, &a, 1);
	world_add_guest(&w, &b, 2);
	world_vif(&w, &a)->mtu = world_vif(&w, &b)->mtu = 9000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bridge_remove_port(&spy.port);
	world_destroy(&w);
	return 0;
}

static void transmit(uint32_t len, unsigned chunk, const struct net_packet *like)
{
	fake_guest_send(&a, frame, len, chunk, like);
	poller_round(w.nb.poller, false);
}

static void payload_arrives(void **state)
{
	static const uint32_t len[] = {14, 128, 129, LENT_LEAST - 1, LENT_LEAST, 1514, 4096, 4097, 9014};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(len); i++) {
		for (unsigned chunk = 700; chunk <= 4096; chunk += 3396) {
			world_frame(frame, len[i], 1, 2);
			transmit(len[i], chunk, NULL);
			assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), len[i]);
			assert_memory_equal(got, frame, len[i]);
		}
	}
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_errors, 0);
	assert_true(spy.lent > 0);
}

/* Headers come from the private copy, whatever the sender does to its page later; and it has no answer before the packet is delivered. */
static void checked_is_delivered(void **state)
{
	(void)state;
	spy.rewrite = true;
	world_frame(frame, 1514, 1, 2);
	transmit(1514, 0, NULL);
	assert_int_equal(spy.lent, 1);
	assert_int_equal(spy.answered, 0);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 1514);
	assert_memory_equal(got, frame, LENT_HEADER);
	for (unsigned i = LENT_HEADER; i < 1514; i++)
		assert_int_equal(got[i], 0xee);
	assert_int_equal(fake_guest_take_tx(&a), 1);
	assert_int_equal(a.tx_ok, 1);
}

/* The same with a blank checksum, whose headers were looked at: all of them. */
static void checked_headers_are_delivered(void **state)
{
	const struct net_packet blank = {.csum_blank = true};

	(void)state;
	for (int v6 = 0; v6 <= 1; v6++) {
		spy.rewrite = true;
		world_frame(frame, 1514, 1, 2);
		world_tcp(frame, 1514, v6);
		transmit(1514, 0, &blank);
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 1514);
		assert_true(p.csum_blank);
		assert_memory_equal(got, frame, HEADERS_MAX);
		assert_int_equal(got[HEADERS_MAX], 0xee);
	}
}

/* Headers that go on beyond the private copy are not followed into the guest's page. */
static void headers_beyond_the_copy(void **state)
{
	const struct net_packet blank = {.csum_blank = true};
	unsigned bad = 0;

	(void)state;
	world_frame(frame, 1514, 1, 2);
	world_tcp(frame, 1514, true);
	frame[14 + 6] = 0;          /* a hop-by-hop option ... */
	frame[14 + 40] = IPPROTO_TCP;
	frame[14 + 40 + 1] = 40;    /* ... of 328 bytes */
	bad = (unsigned)world_vif(&w, &a)->queue[0].stats.tx_bad;
	transmit(1514, 0, &blank);
	assert_int_equal(world_vif(&w, &a)->queue[0].stats.tx_bad, bad + 1);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 0);
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_errors, 1);
}

/* A receiver that has no room keeps private copies: the sender is answered all the same. */
static void waiting_packets_are_private(void **state)
{
	unsigned sent = 0;

	(void)state;
	world_frame(frame, 1514, 1, 2);
	while (sent < 256 + 40) {
		transmit(1514, 0, NULL);
		while (fake_guest_take_tx(&a) == 0) /* the receiver may have paused us */
			world_run_ms(&w, 1);
		sent++;
	}
	assert_int_equal(a.tx_errors, 0);
	memset(a.tx_buffers, 0xee, (size_t)FAKE_GUEST_BUFFERS * SLUICE_PAGE_SIZE);
	for (unsigned i = 0; i < 256 + 40; i++) {
		if (i >= 256)
			world_settle(&w);
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 1514);
		assert_memory_equal(got, frame, 1514);
	}
}

/* A receiver whose pages are not in its table, or that must have its checksums made. */
static void receivers_of_other_kinds(void **state)
{
	const struct net_packet blank = {.csum_blank = true};

	(void)state;
	static_grants_fini(&world_vif(&w, &b)->queue[0].grants, w.hv, w.nb.ctrl);
	world_frame(frame, 3000, 1, 2);
	transmit(3000, 0, NULL);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 3000);
	assert_memory_equal(got, frame, 3000);
	world_vif(&w, &b)->csum4 = false;
	world_frame(frame, 1514, 1, 2);
	world_tcp(frame, 1514, false);
	transmit(1514, 0, &blank);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 1514);
	assert_false(p.csum_blank);
	assert_memory_equal(got + 54, frame + 54, 1514 - 54);
}

static void no_memory(void **state)
{
	struct rte_mbuf *all[4096];
	unsigned n = rte_mempool_avail_count(w.nb.pool), errors;

	(void)state;
	world_frame(frame, 1514, 1, 2);
	for (unsigned leave = 0; leave <= 1; leave++) {
		errors = a.tx_errors;
		assert_int_equal(rte_pktmbuf_alloc_bulk(w.nb.pool, all, n - leave), 0);
		transmit(1514, 0, NULL);
		fake_guest_take_tx(&a);
		rte_pktmbuf_free_bulk(all, n - leave);
		assert_int_equal(a.tx_errors - errors, leave < 1);
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), leave < 1 ? 0 : 1514);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(payload_arrives), CASE(checked_is_delivered), CASE(checked_headers_are_delivered), CASE(headers_beyond_the_copy),
		CASE(waiting_packets_are_private), CASE(receivers_of_other_kinds), CASE(no_memory),
	};

	return cmocka_run_group_tests_name("lent", tests, NULL, NULL);
}
