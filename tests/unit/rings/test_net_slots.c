/* SPDX-License-Identifier: BSD-3-Clause */
/* rings/net_slots.c: good packets there and back, and each rule of the tx and rx parsers with its severity. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <rings/net_slots.h>

static net_tx_slot tx[64];
static net_rx_slot rx[64];
static struct net_packet p;

/* n data slots, 100 bytes each, total as the first slot has it. */
static void tx_packet(unsigned n, unsigned total)
{
	memset(tx, 0xcc, sizeof(tx));
	for (unsigned i = 0; i < n; i++)
		tx[i].req = (struct netif_tx_request){ .gref = 1000 + i, .offset = (uint16_t)i, .id = (uint16_t)(50 + i),
						       .size = (uint16_t)(i ? 100 : total), .flags = i + 1 < n ? NETTXF_more_data : 0 };
}

/* Put an extra-info slot at `at`, moving what follows. */
static void tx_insert_extra(unsigned at, struct netif_extra_info x)
{
	memmove(tx + at + 1, tx + at, (63 - at) * sizeof(*tx));
	memset(tx + at, 0, sizeof(*tx));
	memcpy(tx + at, &x, sizeof(x));
	tx[0].req.flags |= NETTXF_extra_info;
}

static struct netif_extra_info gso(uint8_t type, uint16_t size, uint8_t flags)
{
	struct netif_extra_info x = { .type = XEN_NETIF_EXTRA_TYPE_GSO, .flags = flags };

	x.u.gso.type = type;
	x.u.gso.size = size;
	return x;
}

static void rx_packet(unsigned n, int status)
{
	memset(rx, 0xcc, sizeof(rx));
	for (unsigned i = 0; i < n; i++)
		rx[i].rsp = (struct netif_rx_response){ .id = (uint16_t)i, .offset = 8, .status = (int16_t)status,
							.flags = i + 1 < n ? NETRXF_more_data : 0 };
}

static void test_tx_one_slot(void **state)
{
	(void)state;
	tx_packet(1, 64);
	tx[0].req.flags = NETTXF_csum_blank;
	assert_int_equal(net_tx_parse(tx, 1, &p), 1);
	assert_int_equal(p.nr_frags, 1);
	assert_int_equal(p.size, 64);
	assert_int_equal(p.frags[0].len, 64);
	assert_int_equal(p.frags[0].gref, 1000);
	assert_int_equal(p.frags[0].id, 50);
	assert_true(p.csum_blank);
	assert_true(p.data_validated);
	assert_int_equal(p.gso_type, XEN_NETIF_GSO_TYPE_NONE);
	assert_null(p.why);
}

static void test_tx_many_slots(void **state)
{
	(void)state;
	tx_packet(19, 1900);
	assert_int_equal(net_tx_parse(tx, 64, &p), 19);
	assert_int_equal(p.frags[0].len, 100);
	assert_int_equal(p.frags[18].len, 100);
	assert_int_equal(p.frags[18].gref, 1018);
	assert_false(p.csum_blank);
	assert_false(p.data_validated);
}

static void test_tx_largest(void **state)
{
	(void)state;
	tx_packet(16, 65535);
	for (unsigned i = 0; i < 16; i++)
		tx[i].req.offset = 0;
	for (unsigned i = 1; i < 16; i++)
		tx[i].req.size = 4096;
	assert_int_equal(net_tx_parse(tx, 16, &p), 16);
	assert_int_equal(p.frags[0].len, 65535 - 15 * 4096);
	assert_int_equal(p.size, 65535);
}

static void test_tx_extras(void **state)
{
	struct netif_extra_info hash = { .type = XEN_NETIF_EXTRA_TYPE_HASH };

	(void)state;
	memcpy(hash.u.hash.value, "abcd", 4);
	tx_packet(3, 300);
	tx_insert_extra(1, hash);
	tx_insert_extra(1, gso(XEN_NETIF_GSO_TYPE_TCPV6, 1440, XEN_NETIF_EXTRA_FLAG_MORE));
	assert_int_equal(net_tx_parse(tx, 5, &p), 5);
	assert_int_equal(p.nr_extras, 2);
	assert_int_equal(p.nr_frags, 3);
	assert_int_equal(p.gso_type, XEN_NETIF_GSO_TYPE_TCPV6);
	assert_int_equal(p.gso_size, 1440);
	assert_true(p.has_hash);
	assert_memory_equal(p.hash_value, "abcd", 4);
	assert_int_equal(p.frags[1].id, 51);
	assert_int_equal(net_packet_slot_of(&p, 1), 3);
}

static void test_tx_multicast_is_no_packet(void **state)
{
	struct netif_extra_info x = { .type = XEN_NETIF_EXTRA_TYPE_MCAST_DEL };

	(void)state;
	memcpy(x.u.mcast.addr, "\x01\x00\x5e\x01\x02\x03", 6);
	tx_packet(1, 0); /* no size at all */
	tx_insert_extra(1, x);
	assert_int_equal(net_tx_parse(tx, 2, &p), 2);
	assert_int_equal(p.mcast_op, XEN_NETIF_EXTRA_TYPE_MCAST_DEL);
	assert_memory_equal(p.mcast, "\x01\x00\x5e\x01\x02\x03", 6);
	assert_int_equal(p.frags[0].len, 0);
}

static void expect_tx_bad(unsigned n, unsigned slots)
{
	assert_int_equal(net_tx_parse(tx, n, &p), -EBADMSG);
	assert_int_equal(p.nr_slots, slots);
	assert_non_null(p.why);
}

static void expect_tx_broken(unsigned n)
{
	assert_int_equal(net_tx_parse(tx, n, &p), -EPROTO);
	assert_non_null(p.why);
}

static void test_tx_bad_sizes(void **state)
{
	(void)state;
	tx_packet(1, 13);
	expect_tx_bad(1, 1);
	tx_packet(1, 0);
	expect_tx_bad(1, 1);
	tx_packet(2, 113); /* 13 remain for the first: headers outside the first fragment (XSA-423) */
	expect_tx_bad(2, 2);
	tx_packet(2, 114);
	assert_int_equal(net_tx_parse(tx, 2, &p), 2);
	tx_packet(3, 150); /* the others sum up to more than the packet */
	expect_tx_bad(3, 3);
	tx_packet(3, 200); /* exactly: nothing remains */
	expect_tx_bad(3, 3);
	tx_packet(4, 400);
	tx[2].req.size = 0; /* XSA-448 */
	expect_tx_bad(4, 4);
	assert_int_equal(p.frags[3].id, 53);
	tx_packet(17, 4464); /* 70000 bytes: the first slot's 16-bit size overflowed. Buggy front ends do it: drop, go on. */
	for (unsigned i = 1; i < 17; i++) {
		tx[i].req.size = 4096;
		tx[i].req.offset = 0;
	}
	expect_tx_bad(64, 17);
}

static void test_tx_page_crossing_is_fatal(void **state)
{
	(void)state;
	tx_packet(1, 4096);
	tx[0].req.offset = 1;
	expect_tx_broken(1);
	tx_packet(1, 4096);
	tx[0].req.offset = 0;
	assert_int_equal(net_tx_parse(tx, 1, &p), 1);
	tx_packet(1, 5000);
	expect_tx_broken(1);
	tx_packet(1, 100);
	tx[0].req.offset = 65535;
	expect_tx_broken(1);
	tx_packet(3, 300);
	tx[2].req.offset = 4096 - 99;
	expect_tx_broken(3);
	tx[2].req.offset = 4096 - 100;
	assert_int_equal(net_tx_parse(tx, 3, &p), 3);
}

static void test_tx_slot_counts(void **state)
{
	(void)state;
	tx_packet(19, 4000);
	assert_int_equal(net_tx_parse(tx, 19, &p), 19);
	for (unsigned n = 20; n <= 21; n++) {
		tx_packet(n, 4000);
		expect_tx_bad(64, n);
		assert_int_equal(p.frags[n - 1].id, 50 + n - 1);
	}
	tx_packet(22, 4000); /* XSA-39, XSA-432: as many slots as possible */
	expect_tx_broken(64);
	tx_packet(64, 6400);
	expect_tx_broken(64);
	expect_tx_broken(NET_SLOTS_LOOK); /* enough to tell an absurd packet from an incomplete one */
	assert_string_equal(p.why, "far more slots than a packet may have");
}

static void test_tx_incomplete_is_fatal(void **state)
{
	(void)state;
	tx_packet(3, 300);
	expect_tx_broken(2);
	expect_tx_broken(1);
	assert_int_equal(net_tx_parse(tx, 3, &p), 3);
	tx_packet(1, 100);
	tx[0].req.flags = NETTXF_extra_info;
	expect_tx_broken(1);
	tx_packet(2, 200);
	tx_insert_extra(1, gso(XEN_NETIF_GSO_TYPE_TCPV4, 1000, 0));
	expect_tx_broken(2);
	assert_int_equal(net_tx_parse(tx, 3, &p), 3);
}

static void test_tx_extra_chains(void **state)
{
	struct netif_extra_info x = gso(XEN_NETIF_GSO_TYPE_TCPV4, 1000, XEN_NETIF_EXTRA_FLAG_MORE);

	(void)state;
	tx_packet(1, 100);
	for (unsigned i = 0; i < 40; i++)
		tx_insert_extra(1, x);
	expect_tx_broken(64);
	assert_string_equal(p.why, "too many extra-info slots");
	expect_tx_broken(3);
	tx_packet(1, 100);
	tx_insert_extra(1, gso(XEN_NETIF_GSO_TYPE_TCPV4, 1000, 0));
	for (unsigned i = 0; i < NET_EXTRAS_MAX - 1; i++)
		tx_insert_extra(1, x);
	assert_int_equal(net_tx_parse(tx, 64, &p), 1 + NET_EXTRAS_MAX);
}

static void test_tx_extra_fields(void **state)
{
	(void)state;
	for (unsigned type = 0; type < 256; type++) {
		struct netif_extra_info x = gso(XEN_NETIF_GSO_TYPE_TCPV4, 1000, 0);

		x.type = (uint8_t)type;
		tx_packet(1, 100);
		tx_insert_extra(1, x);
		if (type && type < XEN_NETIF_EXTRA_TYPE_MAX)
			assert_int_equal(net_tx_parse(tx, 2, &p), 2);
		else
			expect_tx_broken(2);
	}
	tx_packet(1, 100);
	tx_insert_extra(1, gso(XEN_NETIF_GSO_TYPE_TCPV4, 0, 0));
	expect_tx_broken(2);
	tx_packet(1, 100);
	tx_insert_extra(1, gso(3, 100, 0));
	expect_tx_broken(2);
	tx_packet(1, 100);
	tx_insert_extra(1, gso(XEN_NETIF_GSO_TYPE_NONE, 100, 0));
	expect_tx_broken(2);
}

static void test_tx_responses(void **state)
{
	struct netif_tx_response out[NET_SLOTS_TOLERATED + NET_EXTRAS_MAX];

	(void)state;
	tx_packet(21, 4000);
	tx_insert_extra(1, gso(XEN_NETIF_GSO_TYPE_TCPV4, 1000, 0));
	expect_tx_bad(64, 22);
	assert_int_equal(net_tx_respond(&p, NETIF_RSP_ERROR, out), 22);
	assert_int_equal(out[0].id, 50);
	assert_int_equal(out[0].status, NETIF_RSP_ERROR);
	assert_int_equal(out[1].status, NETIF_RSP_NULL);
	assert_int_equal(out[1].id, 0);
	for (unsigned i = 2; i < 22; i++) {
		assert_int_equal(out[i].id, 50 + i - 1);
		assert_int_equal(out[i].status, NETIF_RSP_ERROR);
	}
}

static void fill(struct net_packet *q, unsigned n, unsigned len)
{
	memset(q, 0, sizeof(*q));
	q->nr_frags = (uint16_t)n;
	q->size = n * len;
	for (unsigned i = 0; i < n; i++)
		q->frags[i] = (struct net_frag){ .gref = 7 * i, .offset = 16, .len = (uint16_t)len, .id = (uint16_t)(i + 3) };
}

static void test_tx_build_and_parse(void **state)
{
	struct net_packet q;

	(void)state;
	for (unsigned n = 1; n <= NET_SLOTS_MAX; n++) {
		fill(&q, n, 200);
		q.csum_blank = true;
		q.gso_type = n & 1 ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_NONE;
		q.gso_size = 1448;
		q.has_hash = n & 2;
		memset(tx, 0xcc, sizeof(tx));
		assert_int_equal(net_tx_build(&q, tx), n + (n & 1) + !!(n & 2));
		assert_int_equal(net_packet_slots(&q), q.nr_slots);
		assert_int_equal(net_tx_parse(tx, q.nr_slots, &p), q.nr_slots);
		assert_int_equal(p.gso_type, q.gso_type);
		assert_int_equal(p.has_hash, q.has_hash);
		assert_int_equal(p.size, q.size);
		assert_true(p.csum_blank);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(p.frags[i].gref, q.frags[i].gref);
			assert_int_equal(p.frags[i].offset, q.frags[i].offset);
			assert_int_equal(p.frags[i].len, q.frags[i].len);
			assert_int_equal(p.frags[i].id, q.frags[i].id);
		}
	}
}

static void test_build_leaves_no_stale_bytes_xsa216(void **state)
{
	static const uint8_t zero[4];
	struct net_packet q;

	(void)state;
	fill(&q, 1, 100);
	q.gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	q.gso_size = 0x1111;
	memset(tx, 0xcc, sizeof(tx));
	net_tx_build(&q, tx);
	assert_memory_equal((uint8_t *)&tx[1] + 5, zero, 3);
	assert_memory_equal((uint8_t *)&tx[1] + 8, zero, 4);
	memset(rx, 0xcc, sizeof(rx));
	net_rx_build(&q, rx);
	assert_memory_equal((uint8_t *)&rx[1] + 5, zero, 3);
}

static void test_rx_build_and_parse(void **state)
{
	struct net_packet q;

	(void)state;
	for (unsigned n = 1; n <= NET_SLOTS_MAX; n++) {
		fill(&q, n, 3000);
		q.data_validated = true;
		q.csum_blank = n & 2;
		q.gso_type = n & 1 ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_NONE;
		q.gso_size = 1000;
		memset(rx, 0xcc, sizeof(rx));
		assert_int_equal(net_rx_build(&q, rx), n + (n & 1));
		assert_int_equal(net_rx_parse(rx, q.nr_slots, &p), q.nr_slots);
		assert_int_equal(p.gso_type, q.gso_type);
		assert_int_equal(p.gso_size, n & 1 ? 1000 : 0);
		assert_int_equal(p.size, q.size);
		assert_true(p.data_validated);
		assert_int_equal(p.csum_blank, !!(n & 2));
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(p.frags[i].id, q.frags[i].id);
			assert_int_equal(p.frags[i].len, 3000);
			assert_int_equal(p.frags[i].offset, 16);
		}
	}
}

static void test_rx_rules(void **state)
{
	(void)state;
	rx_packet(1, 60);
	assert_int_equal(net_rx_parse(rx, 1, &p), 1);
	rx_packet(1, -1);
	assert_int_equal(net_rx_parse(rx, 1, &p), -EBADMSG);
	assert_int_equal(p.nr_slots, 1);
	rx_packet(3, 100);
	rx[1].rsp.status = NETIF_RSP_DROPPED;
	assert_int_equal(net_rx_parse(rx, 3, &p), -EBADMSG);
	assert_int_equal(p.nr_slots, 3);
	rx_packet(1, 13);
	assert_int_equal(net_rx_parse(rx, 1, &p), -EBADMSG);
	rx_packet(17, 4000); /* over 64 KiB */
	assert_int_equal(net_rx_parse(rx, 17, &p), -EBADMSG);
	rx_packet(1, 4089); /* offset 8 */
	assert_int_equal(net_rx_parse(rx, 1, &p), -EPROTO);
	rx_packet(2, 100);
	assert_int_equal(net_rx_parse(rx, 1, &p), -EPROTO);
	rx_packet(20, 100);
	assert_int_equal(net_rx_parse(rx, 20, &p), -EBADMSG);
	rx_packet(22, 100);
	assert_int_equal(net_rx_parse(rx, 22, &p), -EPROTO);
	rx_packet(1, 100);
	rx[0].rsp.flags = NETRXF_extra_info;
	assert_int_equal(net_rx_parse(rx, 1, &p), -EPROTO);
	rx[1] = (net_rx_slot){ .rsp = { .id = XEN_NETIF_EXTRA_TYPE_MCAST_ADD } };
	assert_int_equal(net_rx_parse(rx, 2, &p), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tx_one_slot),
		cmocka_unit_test(test_tx_many_slots),
		cmocka_unit_test(test_tx_largest),
		cmocka_unit_test(test_tx_extras),
		cmocka_unit_test(test_tx_multicast_is_no_packet),
		cmocka_unit_test(test_tx_bad_sizes),
		cmocka_unit_test(test_tx_page_crossing_is_fatal),
		cmocka_unit_test(test_tx_slot_counts),
		cmocka_unit_test(test_tx_incomplete_is_fatal),
		cmocka_unit_test(test_tx_extra_chains),
		cmocka_unit_test(test_tx_extra_fields),
		cmocka_unit_test(test_tx_responses),
		cmocka_unit_test(test_tx_build_and_parse),
		cmocka_unit_test(test_build_leaves_no_stale_bytes_xsa216),
		cmocka_unit_test(test_rx_build_and_parse),
		cmocka_unit_test(test_rx_rules),
	};

	return cmocka_run_group_tests_name("rings/net_slots", tests, NULL, NULL);
}
