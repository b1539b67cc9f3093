/* SPDX-License-Identifier: BSD-3-Clause */
/* bridge/bridge.c: who gets which packet, sharing of flooded ones, bursts, counters, ports that come and go; no mbuf is ever lost. */
#include "bridge_test.h"
#include <time.h>

static struct bridge *b;
static struct fake_port port[4];

static int create(void **state)
{
	(void)state;
	b = bridge_create("test", 1);
	if (!b)
		return -1;
	for (unsigned i = 0; i < 4; i++)
		fake_add(b, &port[i]);
	return 0;
}

static int destroy(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		fake_empty(&port[i]);
		bridge_remove_port(&port[i].port);
	}
	bridge_destroy(b);
	bridge_destroy(NULL);
	return no_mbuf_lost(state);
}

static void input(unsigned from, struct rte_ether_addr dst, struct rte_ether_addr src)
{
	struct rte_mbuf *m = packet(dst, src, 0x0800, 60, 2048);

	bridge_input(&port[from].port, &m, 1);
}

/* Flush, then see that each port got as many as expected. */
static void expect(unsigned a, unsigned c, unsigned d, unsigned e)
{
	bridge_flush(b);
	assert_int_equal(fake_empty(&port[0]), a);
	assert_int_equal(fake_empty(&port[1]), c);
	assert_int_equal(fake_empty(&port[2]), d);
	assert_int_equal(fake_empty(&port[3]), e);
}

static void test_unknown_is_flooded_then_learnt(void **state)
{
	(void)state;
	input(0, mac(1), mac(0));
	expect(0, 1, 1, 1);
	input(1, mac(0), mac(1));
	expect(1, 0, 0, 0);
	input(0, mac(1), mac(0));
	expect(0, 1, 0, 0);
}

static void test_broadcast_and_multicast(void **state)
{
	struct rte_ether_addr group = { { 0x01, 0, 0x5e, 0, 0, 0xfb } };

	(void)state;
	input(2, BROADCAST, mac(2));
	expect(1, 1, 0, 1);
	input(2, group, mac(2));
	expect(1, 1, 0, 1);
}

static void test_link_local_stays_on_its_link(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 16; i++)
		input(0, (struct rte_ether_addr){ { 0x01, 0x80, 0xc2, 0, 0, (uint8_t)i } }, mac(0));
	expect(0, 0, 0, 0);
	input(0, (struct rte_ether_addr){ { 0x01, 0x80, 0xc2, 0, 0, 0x10 } }, mac(0));
	expect(0, 1, 1, 1);
}

static void test_no_hairpin(void **state)
{
	(void)state;
	input(0, BROADCAST, mac(7));
	expect(0, 1, 1, 1);
	input(0, mac(7), mac(8)); /* both behind port 0 */
	expect(0, 0, 0, 0);
}

static void test_address_moves(void **state)
{
	(void)state;
	input(0, BROADCAST, mac(7));
	input(3, BROADCAST, mac(7));
	expect(1, 2, 2, 1);
	input(1, mac(7), mac(1));
	expect(0, 0, 0, 1);
}

static void test_flooded_packet_is_one_packet(void **state)
{
	struct rte_mbuf *m = packet(BROADCAST, mac(0), 0x0800, 3000, 1000);

	(void)state;
	bridge_input(&port[0].port, &m, 1);
	bridge_flush(b);
	for (unsigned i = 1; i < 4; i++)
		assert_ptr_equal(port[i].got[0], m);
	for (struct rte_mbuf *s = m; s; s = s->next)
		assert_int_equal(rte_mbuf_refcnt_read(s), 3);
	fake_empty(&port[1]);
	assert_int_equal(rte_mbuf_refcnt_read(m->next), 2);
}

static void test_alone_on_the_bridge(void **state)
{
	(void)state;
	for (unsigned i = 1; i < 4; i++)
		bridge_remove_port(&port[i].port);
	input(0, BROADCAST, mac(0));
	input(0, mac(9), mac(0));
	expect(0, 0, 0, 0);
}

static void test_runt_is_dropped(void **state)
{
	struct rte_mbuf *m = packet(BROADCAST, mac(0), 0, 13, 2048), *split = packet(BROADCAST, mac(0), 0, 60, 13);

	(void)state;
	bridge_input(&port[0].port, &m, 1);
	bridge_input(&port[0].port, &split, 1);
	expect(0, 0, 0, 0);
}

static void test_bursts(void **state)
{
	struct rte_mbuf *m[150];

	(void)state;
	input(1, BROADCAST, mac(1));
	expect(1, 0, 1, 1);
	port[1].calls = 0;
	for (unsigned i = 0; i < 150; i++)
		m[i] = packet(mac(1), mac(0), 0x0800, 60 + i, 2048);
	bridge_input(&port[0].port, m, 150);
	assert_int_equal(port[1].calls, 2); /* a full gather is delivered at once */
	assert_int_equal(port[1].count, 2 * BRIDGE_BURST);
	bridge_flush(b);
	bridge_flush(b);
	assert_int_equal(port[1].calls, 3);
	assert_int_equal(port[1].count, 150);
	for (unsigned i = 0; i < 150; i++)
		assert_int_equal(port[1].got[i]->pkt_len, 60 + i); /* in order */
}

static void test_counters(void **state)
{
	struct bridge_port_stats stats;

	(void)state;
	input(1, BROADCAST, mac(1));
	expect(1, 0, 1, 1);
	port[1].refuse = 2;
	for (unsigned i = 0; i < 5; i++)
		input(0, mac(1), mac(0));
	expect(0, 3, 0, 0);
	bridge_port_stats(&port[0].port, &stats);
	assert_int_equal(stats.rx_packets, 5);
	assert_int_equal(stats.rx_bytes, 300);
	assert_int_equal(stats.tx_packets, 1);
	bridge_port_stats(&port[1].port, &stats);
	assert_int_equal(stats.tx_packets, 5);
	assert_int_equal(stats.tx_bytes, 300);
	assert_int_equal(stats.tx_dropped, 2);
}

static void test_removed_port_is_forgotten(void **state)
{
	static struct fake_port other;

	(void)state;
	input(1, BROADCAST, mac(1));
	expect(1, 0, 1, 1);
	input(0, mac(1), mac(0)); /* waits for port 1, which goes */
	bridge_remove_port(&port[1].port);
	bridge_remove_port(&port[1].port); /* harmless */
	expect(0, 0, 0, 0);
	fake_add(b, &other); /* takes the same place: what was learnt on the old one must not go to it alone */
	assert_int_equal(other.port.index, 1);
	input(0, mac(1), mac(0));
	bridge_flush(b);
	assert_int_equal(fake_empty(&other), 1);
	expect(0, 0, 1, 1);
	bridge_remove_port(&other.port);
}

static void test_port_limit(void **state)
{
	static struct fake_port many[BRIDGE_MAX_PORTS];
	struct fake_port extra = { 0 };

	(void)state;
	for (unsigned i = 4; i < BRIDGE_MAX_PORTS; i++)
		fake_add(b, &many[i]);
	assert_int_equal(bridge_add_port(b, &extra.port), -ENOSPC);
	input(0, BROADCAST, mac(0));
	expect(0, 1, 1, 1);
	for (unsigned i = 4; i < BRIDGE_MAX_PORTS; i++) {
		assert_int_equal(fake_empty(&many[i]), 1);
		bridge_remove_port(&many[i].port);
	}
}

static void test_silent_address_is_forgotten(void **state)
{
	struct timespec two_and_a_bit = { 2, 100000000 };

	(void)state;
	input(1, BROADCAST, mac(1));
	expect(1, 0, 1, 1);
	input(0, mac(1), mac(0));
	expect(0, 1, 0, 0);
	nanosleep(&two_and_a_bit, NULL); /* ageing is 1 s, in whole seconds */
	input(0, mac(1), mac(0));
	expect(0, 1, 1, 1);
}

#define ON_BRIDGE(test) cmocka_unit_test_setup_teardown(test, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BRIDGE(test_unknown_is_flooded_then_learnt),
		ON_BRIDGE(test_broadcast_and_multicast),
		ON_BRIDGE(test_link_local_stays_on_its_link),
		ON_BRIDGE(test_no_hairpin),
		ON_BRIDGE(test_address_moves),
		ON_BRIDGE(test_flooded_packet_is_one_packet),
		ON_BRIDGE(test_alone_on_the_bridge),
		ON_BRIDGE(test_runt_is_dropped),
		ON_BRIDGE(test_bursts),
		ON_BRIDGE(test_counters),
		ON_BRIDGE(test_removed_port_is_forgotten),
		ON_BRIDGE(test_port_limit),
		ON_BRIDGE(test_silent_address_is_forgotten),
	};

	return cmocka_run_group_tests_name("bridge/bridge", tests, start_dpdk, stop_dpdk);
}
