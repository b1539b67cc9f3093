/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which queue a packet goes to: the published test vectors of Microsoft's RSS ("Verifying the RSS Hash Calculation"), the types that a guest enables, its
 * mapping table, and the order of a flow's packets, in a whole back end.
 */
#include <tests/support/netback_world.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <string.h>
#include <cmocka.h>

#define QUEUES 3u

static const uint8_t microsoft_key[NET_CTRL_KEY_MAX] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
	0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct vector {
	const char *src, *dst;
	uint16_t src_port, dst_port;
	uint32_t addresses, tcp;
} vectors[] = {
	{"66.9.149.187", "161.142.100.80", 2794, 1766, 0x323e8fc2, 0x51ccc178},
	{"199.92.111.2", "65.69.140.83", 14230, 4739, 0xd718262a, 0xc626b0ea},
	{"24.19.198.95", "12.22.207.184", 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
	{"38.27.205.30", "209.142.163.6", 48228, 2217, 0x82989176, 0xafc7327f},
	{"153.39.163.191", "202.188.127.2", 44251, 1303, 0x5d1809c5, 0x10e828a2},
	{"3ffe:2501:200:1fff::7", "3ffe:2501:200:3::1", 2794, 1766, 0x2cc18cd5, 0x40207d3d},
	{"3ffe:501:8::260:97ff:fe40:efab", "ff02::1", 14230, 4739, 0x0f0c461c, 0xdde51bbf},
	{"3ffe:1900:4545:3:200:f8ff:fe21:67cf", "fe80::200:f8ff:fe21:67cf", 44251, 38024, 0x4b61e985, 0x02d1feef},
};

/* The frame of a vector; its length. */
static uint32_t frame_of(const struct vector *v, uint8_t proto, uint8_t *frame)
{
	bool v6 = strchr(v->src, ':');
	struct rte_ipv4_hdr *ip = (void *)(frame + RTE_ETHER_HDR_LEN);
	struct rte_ipv6_hdr *ip6 = (void *)(frame + RTE_ETHER_HDR_LEN);
	rte_be16_t *ports = (void *)(frame + RTE_ETHER_HDR_LEN + (v6 ? sizeof(*ip6) : sizeof(*ip)));

	memset(frame, 0, 128);
	frame[12] = v6 ? 0x86 : 0x08;
	frame[13] = v6 ? 0xdd : 0x00;
	if (v6) {
		ip6->vtc_flow = rte_cpu_to_be_32(6u << 28);
		ip6->proto = proto;
		assert_int_equal(inet_pton(AF_INET6, v->src, ip6->src_addr), 1);
		assert_int_equal(inet_pton(AF_INET6, v->dst, ip6->dst_addr), 1);
	} else {
		ip->version_ihl = 0x45;
		ip->next_proto_id = proto;
		assert_int_equal(inet_pton(AF_INET, v->src, &ip->src_addr), 1);
		assert_int_equal(inet_pton(AF_INET, v->dst, &ip->dst_addr), 1);
	}
	ports[0] = rte_cpu_to_be_16(v->src_port);
	ports[1] = rte_cpu_to_be_16(v->dst_port);
	return 128;
}

static uint32_t hash_of(const struct vector *v, uint8_t proto, uint32_t types)
{
	struct net_ctrl_hash h = {.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ, .types = types};
	uint8_t frame[128];
	struct net_flow f;

	memcpy(h.key, microsoft_key, sizeof(h.key));
	net_flow_parse(frame, frame_of(v, proto, frame), &f);
	return netback_hash_toeplitz(&h, &f);
}

static void published_vectors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(vectors); i++) {
		assert_int_equal(hash_of(&vectors[i], IPPROTO_TCP, NET_CTRL_HASH_TYPES), vectors[i].tcp);
		assert_int_equal(hash_of(&vectors[i], IPPROTO_UDP, NET_CTRL_HASH_TYPES), vectors[i].addresses);
	}
}

static void only_what_is_enabled(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(vectors); i++) {
		bool v6 = strchr(vectors[i].src, ':');
		uint32_t plain = v6 ? XEN_NETIF_CTRL_HASH_TYPE_IPV6 : XEN_NETIF_CTRL_HASH_TYPE_IPV4;
		uint32_t tcp = v6 ? XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP : XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP;

		assert_int_equal(hash_of(&vectors[i], IPPROTO_TCP, plain), vectors[i].addresses);
		assert_int_equal(hash_of(&vectors[i], IPPROTO_TCP, tcp), vectors[i].tcp);
		assert_int_equal(hash_of(&vectors[i], IPPROTO_UDP, tcp), 0);
		assert_int_equal(hash_of(&vectors[i], IPPROTO_TCP, NET_CTRL_HASH_TYPES & ~(plain | tcp)), 0);
	}
}

/* ---- in a back end ---- */

static struct world w;
static struct fake_guest a, b[QUEUES]; /* a sends, b is one vif with several queues */

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	world_add_guest(&w, &a, 1);
	for (unsigned i = 0; i < QUEUES; i++)
		fake_guest_init(&b[i], w.hv, 2, 0);
	b[0].ctrl = true;
	toolstack_add_vif(w.hv, 2, 0, NULL);
	world_settle(&w);
	fake_guest_connect_queues(b, QUEUES);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(b), XenbusStateConnected);
	assert_int_equal(world_vif(&w, b)->nr_queues, QUEUES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

static void send_frame(const struct vector *v, uint8_t proto, uint8_t number)
{
	uint8_t frame[128];
	uint32_t len = frame_of(v, proto, frame);

	frame[5] = 2;
	frame[0] = 2; /* to nobody in particular: flooded */
	frame[11] = 1;
	frame[127] = number;
	fake_guest_send(&a, frame, len, 0, NULL);
}

/* Which queue one packet comes out of; its last byte to *number. */
static int receive_any(uint8_t *number)
{
	uint8_t got[4096];
	struct net_packet p;

	for (unsigned q = 0; q < QUEUES; q++) {
		int len = fake_guest_receive(&b[q], got, sizeof(got), &p, true);

		if (len == 0)
			continue;
		assert_int_equal(len, 128);
		*number = got[127];
		return (int)q;
	}
	return -1;
}

static unsigned queue_for(const struct vector *v, uint8_t proto)
{
	uint8_t number;
	int q;

	send_frame(v, proto, 77);
	world_settle(&w);
	fake_guest_take_tx(&a);
	q = receive_any(&number);
	assert_true(q >= 0);
	assert_int_equal(number, 77);
	assert_int_equal(receive_any(&number), -1);
	return (unsigned)q;
}

static uint32_t control(uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2)
{
	struct xen_netif_ctrl_response rsp;

	fake_guest_ctrl_put(b, type, d0, d1, d2);
	fake_guest_ctrl_push(b);
	world_settle(&w);
	assert_true(fake_guest_ctrl_take(b, &rsp));
	return rsp.status;
}

static void set_toeplitz(void)
{
	memcpy(fake_guest_list(b, 0), microsoft_key, sizeof(microsoft_key));
	assert_int_equal(control(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ, 0, 0), 0);
	assert_int_equal(control(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, NET_CTRL_HASH_TYPES, 0, 0), 0);
	assert_int_equal(control(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, b[0].list_gref[0], sizeof(microsoft_key), 0), 0);
}

static void toeplitz_without_a_table(void **state)
{
	(void)state;
	set_toeplitz();
	for (unsigned i = 0; i < RTE_DIM(vectors); i++)
		assert_int_equal(queue_for(&vectors[i], IPPROTO_TCP), vectors[i].tcp % QUEUES);
}

static void toeplitz_with_a_table(void **state)
{
	static const uint32_t table[5] = {2, 0, 1, 1, 2};
	uint32_t more = QUEUES;

	(void)state;
	set_toeplitz();
	memcpy(fake_guest_list(b, 1), table, sizeof(table));
	assert_int_equal(control(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 5, 0, 0), 0);
	assert_int_equal(control(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, b[0].list_gref[1], 5, 0), 0);
	for (unsigned i = 0; i < RTE_DIM(vectors); i++) {
		assert_int_equal(queue_for(&vectors[i], IPPROTO_TCP), table[vectors[i].tcp % 5]);
		assert_int_equal(queue_for(&vectors[i], IPPROTO_UDP), table[vectors[i].addresses % 5]);
	}
	memcpy(fake_guest_list(b, 1), &more, sizeof(more)); /* a queue that is not there */
	assert_int_not_equal(control(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, b[0].list_gref[1], 1, 0), 0);
	assert_int_equal(queue_for(&vectors[0], IPPROTO_TCP), table[vectors[0].tcp % 5]);
}

/* Without hashing: flows are spread, and each keeps its queue. */
static void flows_are_spread(void **state)
{
	unsigned used = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(vectors); i++) {
		unsigned q = queue_for(&vectors[i], IPPROTO_TCP);

		used |= 1u << q;
		assert_int_equal(queue_for(&vectors[i], IPPROTO_TCP), q);
	}
	assert_int_equal(used, (1u << QUEUES) - 1);
}

/* Many packets of several flows at once, more than a burst: on each queue they come in the order in which they were sent. */
static void order_is_kept(void **state)
{
	uint8_t got[4096];
	struct net_packet p;
	unsigned total = 0;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		send_frame(&vectors[i % RTE_DIM(vectors)], IPPROTO_TCP, (uint8_t)i);
	world_settle(&w);
	for (unsigned q = 0; q < QUEUES; q++) {
		int last = -1;

		while (fake_guest_receive(&b[q], got, sizeof(got), &p, true) == 128) {
			assert_true(got[127] > last);
			last = got[127];
			total++;
		}
	}
	assert_int_equal(total, 200);
}

/* Any queue may send. */
static void all_queues_send(void **state)
{
	uint8_t frame[100], got[4096];
	struct net_packet p;

	(void)state;
	for (unsigned q = 0; q < QUEUES; q++) {
		world_frame(frame, sizeof(frame), 2, 1);
		frame[60] = (uint8_t)q;
		fake_guest_send(&b[q], frame, sizeof(frame), 0, NULL);
		world_settle(&w);
		assert_int_equal(fake_guest_take_tx(&b[q]), 1);
		assert_int_equal(b[q].tx_ok, 1);
		assert_int_equal(fake_guest_receive(&a, got, sizeof(got), &p, true), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(only_what_is_enabled),
		cmocka_unit_test_setup_teardown(toeplitz_without_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(toeplitz_with_a_table, setup, teardown),
		cmocka_unit_test_setup_teardown(flows_are_spread, setup, teardown),
		cmocka_unit_test_setup_teardown(order_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(all_queues_send, setup, teardown),
	};

	return cmocka_run_group_tests_name("netback_hash", tests, NULL, NULL);
}
