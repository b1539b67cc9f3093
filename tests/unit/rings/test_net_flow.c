/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows: what of a frame is hashed, for every shape of header, and that nothing is read beyond its end. */
#include <rings/net_flow.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ETH 14u

static uint8_t frame[128];

static void set16(unsigned at, unsigned value)
{
	frame[at] = (uint8_t)(value >> 8);
	frame[at + 1] = (uint8_t)value;
}

/* Every byte of the frame is its own number, but for what makes it a packet of that kind. */
static void start(void)
{
	for (unsigned i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)i;
}

static void ipv4(unsigned at, unsigned words, uint8_t proto)
{
	set16(at - 2, 0x0800);
	frame[at] = (uint8_t)(0x40 | words);
	set16(at + 6, 0x4000); /* do not fragment */
	frame[at + 9] = proto;
}

static void ipv6(unsigned at, uint8_t proto)
{
	set16(at - 2, 0x86dd);
	frame[at] = 0x60;
	frame[at + 6] = proto;
}

static void assert_flow(size_t len, unsigned kind, unsigned first, unsigned addresses, unsigned ports)
{
	uint8_t *exact = malloc(len); /* so that ASan sees a byte too many */
	struct net_flow f;

	memcpy(exact, frame, len);
	net_flow_parse(exact, len, &f);
	free(exact);
	assert_int_equal(f.kind, kind);
	assert_int_equal(f.addresses, addresses);
	assert_int_equal(f.len, addresses + (ports ? 4 : 0));
	assert_memory_equal(f.bytes, frame + first, addresses);
	if (ports)
		assert_memory_equal(f.bytes + addresses, frame + ports, 4);
}

static void tcp_and_udp(void **state)
{
	(void)state;
	for (unsigned udp = 0; udp < 2; udp++) {
		uint8_t proto = udp ? NET_FLOW_PROTO_UDP : NET_FLOW_PROTO_TCP;

		start();
		ipv4(ETH, 5, proto);
		assert_flow(64, NET_FLOW_IPV4, ETH + 12, 8, ETH + 20);
		ipv4(ETH, 15, proto); /* options */
		assert_flow(128, NET_FLOW_IPV4, ETH + 12, 8, ETH + 60);
		start();
		ipv6(ETH, proto);
		assert_flow(128, NET_FLOW_IPV6, ETH + 8, 32, ETH + 40);
	}
}

static void other_protocols_have_no_ports(void **state)
{
	(void)state;
	start();
	ipv4(ETH, 5, 1);
	assert_flow(64, NET_FLOW_IPV4, ETH + 12, 8, 0);
	ipv6(ETH, 44); /* a fragment header */
	assert_flow(128, NET_FLOW_IPV6, ETH + 8, 32, 0);
}

/* All fragments of a datagram go the way of its first one, which has ports. */
static void fragments_have_no_ports(void **state)
{
	const unsigned flags[] = {0x2000, 0x2001, 0x0001, 0x1fff};

	(void)state;
	start();
	ipv4(ETH, 5, NET_FLOW_PROTO_UDP);
	for (unsigned i = 0; i < 4; i++) {
		set16(ETH + 6, flags[i]);
		assert_flow(64, NET_FLOW_IPV4, ETH + 12, 8, 0);
	}
	set16(ETH + 6, 0x8000); /* a reserved bit is no fragment */
	assert_flow(64, NET_FLOW_IPV4, ETH + 12, 8, ETH + 20);
}

static void vlan_tags(void **state)
{
	(void)state;
	start();
	set16(12, 0x8100);
	ipv4(ETH + 4, 5, NET_FLOW_PROTO_TCP);
	assert_flow(64, NET_FLOW_IPV4, ETH + 4 + 12, 8, ETH + 4 + 20);
	start();
	set16(12, 0x88a8);
	set16(16, 0x8100);
	ipv4(ETH + 8, 5, NET_FLOW_PROTO_TCP);
	assert_flow(64, NET_FLOW_IPV4, ETH + 8 + 12, 8, ETH + 8 + 20);
	start();
	set16(12, 0x8100);
	set16(16, 0x8100);
	set16(20, 0x8100); /* three are too many */
	ipv4(ETH + 12, 5, NET_FLOW_PROTO_TCP);
	assert_flow(64, NET_FLOW_OTHER, 0, 12, 0);
}

static void nonsense(void **state)
{
	struct net_flow f;

	(void)state;
	start();
	set16(12, 0x0806); /* ARP */
	assert_flow(60, NET_FLOW_OTHER, 0, 12, 0);
	ipv4(ETH, 4, NET_FLOW_PROTO_TCP); /* a header that is too short */
	assert_flow(60, NET_FLOW_OTHER, 0, 12, 0);
	ipv4(ETH, 5, NET_FLOW_PROTO_TCP);
	frame[ETH] = 0x65; /* another version */
	assert_flow(60, NET_FLOW_OTHER, 0, 12, 0);
	start();
	ipv6(ETH, NET_FLOW_PROTO_TCP);
	frame[ETH] = 0x40;
	assert_flow(100, NET_FLOW_OTHER, 0, 12, 0);
	for (size_t len = 0; len < ETH; len++) {
		net_flow_parse(frame, len, &f);
		assert_int_equal(f.len, 0);
	}
}

/* Cut anywhere: what is still whole counts. */
static void short_frames(void **state)
{
	(void)state;
	start();
	ipv4(ETH, 6, NET_FLOW_PROTO_TCP);
	for (size_t len = ETH; len < ETH + 20; len++)
		assert_flow(len, NET_FLOW_OTHER, 0, 12, 0);
	for (size_t len = ETH + 20; len < ETH + 28; len++)
		assert_flow(len, NET_FLOW_IPV4, ETH + 12, 8, 0);
	assert_flow(ETH + 28, NET_FLOW_IPV4, ETH + 12, 8, ETH + 24);
	start();
	ipv6(ETH, NET_FLOW_PROTO_TCP);
	for (size_t len = ETH; len < ETH + 40; len++)
		assert_flow(len, NET_FLOW_OTHER, 0, 12, 0);
	for (size_t len = ETH + 40; len < ETH + 44; len++)
		assert_flow(len, NET_FLOW_IPV6, ETH + 8, 32, 0);
	assert_flow(ETH + 44, NET_FLOW_IPV6, ETH + 8, 32, ETH + 40);
	start();
	set16(12, 0x8100);
	for (size_t len = ETH; len < ETH + 4; len++)
		assert_flow(len, NET_FLOW_OTHER, 0, 12, 0);
}

/* 4096 flows that differ in one port, or in one address: every queue gets its share, within a quarter of it. */
static void flows_spread(void **state)
{
	(void)state;
	for (unsigned field = 0; field < 2; field++)
		for (unsigned queues = 2; queues <= 8; queues++) {
			unsigned count[8] = {0};

			start();
			ipv4(ETH, 5, NET_FLOW_PROTO_UDP);
			for (unsigned i = 0; i < 4096; i++) {
				struct net_flow f;

				set16(field ? ETH + 22 : ETH + 14, i);
				net_flow_parse(frame, 64, &f);
				count[net_flow_queue(net_flow_hash(&f), queues)]++;
			}
			for (unsigned k = 0; k < queues; k++)
				assert_in_range(count[k], 4096 / queues * 3 / 4, 4096 / queues * 5 / 4);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_and_udp),
		cmocka_unit_test(other_protocols_have_no_ports),
		cmocka_unit_test(fragments_have_no_ports),
		cmocka_unit_test(vlan_tags),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(short_frames),
		cmocka_unit_test(flows_spread),
	};

	return cmocka_run_group_tests_name("net_flow", tests, NULL, NULL);
}
