/* SPDX-License-Identifier: BSD-3-Clause */
/* Offload wishes of guests: what the headers allow, what they do not, and the pseudo-header's sum in both of its forms. */
#include <tests/support/netback_world.h>
#include <errno.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct rte_mempool *pool;
static uint8_t frame[2000];

static int start(void **state)
{
	(void)state;
	world_start_eal();
	pool = rte_pktmbuf_pool_create("headers", 63, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static struct rte_mbuf *make(uint32_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	memcpy(rte_pktmbuf_append(m, (uint16_t)len), frame, len);
	return m;
}

/* What becomes of the frame's first len bytes. */
static int result(uint32_t len, uint8_t gso_type, uint16_t gso_size)
{
	struct rte_mbuf *m = make(len);
	int rc = headers_from_guest(m, gso_type, gso_size);

	rte_pktmbuf_free(m);
	return rc;
}

static void tcp(bool v6)
{
	world_frame(frame, sizeof(frame), 1, 2);
	world_tcp(frame, sizeof(frame), v6);
}

/* Every truncation of a good packet is refused until the headers are whole. */
static void truncated(void **state)
{
	(void)state;
	for (int v6 = 0; v6 <= 1; v6++) {
		unsigned whole = v6 ? 74 : 54;

		tcp(v6);
		for (unsigned len = 1; len < 100; len++)
			assert_int_equal(result(len, XEN_NETIF_GSO_TYPE_NONE, 0), len < whole ? -EBADMSG : 0);
	}
}

static void header_lengths_that_lie(void **state)
{
	(void)state;
	for (unsigned ihl = 0; ihl < 16; ihl++) { /* longer ones move the TCP header to where the pattern is not one of right length */
		tcp(false);
		frame[14] = (uint8_t)(0x40 | ihl);
		if (ihl < 5)
			assert_int_equal(result(200, XEN_NETIF_GSO_TYPE_NONE, 0), -EBADMSG);
		else
			result(200, XEN_NETIF_GSO_TYPE_NONE, 0);
		result(40, XEN_NETIF_GSO_TYPE_NONE, 0);
	}
	for (unsigned off = 0; off < 16; off++) {
		tcp(false);
		frame[14 + 20 + 12] = (uint8_t)(off << 4);
		assert_int_equal(result(90, XEN_NETIF_GSO_TYPE_NONE, 0), off < 5 || 34 + off * 4 > 90 ? -EBADMSG : 0);
	}
}

/* 512 bytes of hop-by-hop options: the length of the network header does not fit into an mbuf's 9 bits and would come out as 40. */
static void ipv6_options_without_end(void **state)
{
	(void)state;
	for (unsigned units = 0; units < 128; units++) {
		unsigned options = (units + 1) * 8;
		struct rte_mbuf *m;
		int rc;

		tcp(true);
		memmove(frame + 14 + 40 + options, frame + 14 + 40, 60);
		memset(frame + 14 + 40, 0, options);
		frame[14 + 40] = IPPROTO_TCP;
		frame[14 + 40 + 1] = (uint8_t)units;
		frame[14 + 6] = 0; /* hop-by-hop */
		m = make(1600);
		rc = headers_from_guest(m, XEN_NETIF_GSO_TYPE_NONE, 0);
		assert_int_equal(rc, 40 + options > 511 ? -EBADMSG : 0);
		assert_true(rc || m->l3_len == 40 + options);
		rte_pktmbuf_free(m);
	}
}

static void not_tcp_nor_udp(void **state)
{
	(void)state;
	tcp(false);
	frame[14 + 9] = IPPROTO_ICMP;
	assert_int_equal(result(200, XEN_NETIF_GSO_TYPE_NONE, 0), -EBADMSG);
	tcp(false);
	frame[12] = 0x08;
	frame[13] = 0x06;
	assert_int_equal(result(200, XEN_NETIF_GSO_TYPE_NONE, 0), -EBADMSG);
	tcp(false);
	frame[14 + 6] = 0x20; /* a fragment */
	assert_int_equal(result(200, XEN_NETIF_GSO_TYPE_NONE, 0), -EBADMSG);
}

static void udp(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	tcp(false);
	frame[14 + 9] = IPPROTO_UDP;
	m = make(200);
	assert_int_equal(headers_from_guest(m, XEN_NETIF_GSO_TYPE_NONE, 0), 0);
	assert_int_equal(m->ol_flags & RTE_MBUF_F_TX_L4_MASK, RTE_MBUF_F_TX_UDP_CKSUM);
	assert_int_equal(m->l4_len, 8);
	rte_pktmbuf_free(m);
	assert_int_equal(result(200, XEN_NETIF_GSO_TYPE_TCPV4, 100), -EBADMSG);
}

static void gso_that_does_not_fit(void **state)
{
	(void)state;
	tcp(false);
	assert_int_equal(result(1000, XEN_NETIF_GSO_TYPE_TCPV6, 500), -EBADMSG);
	assert_int_equal(result(1000, XEN_NETIF_GSO_TYPE_TCPV4, OFFLOAD_MSS_MIN - 1), -EBADMSG);
	assert_int_equal(result(1000, XEN_NETIF_GSO_TYPE_TCPV4, OFFLOAD_MSS_MIN), 0);
	tcp(true);
	assert_int_equal(result(1000, XEN_NETIF_GSO_TYPE_TCPV4, 500), -EBADMSG);
	assert_int_equal(result(1000, XEN_NETIF_GSO_TYPE_TCPV6, 500), 0);
}

/* One segment's worth is not cut, and keeps its whole sum. */
static void gso_of_one_segment(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	tcp(false);
	m = make(54 + 100);
	assert_int_equal(headers_from_guest(m, XEN_NETIF_GSO_TYPE_TCPV4, 100), 0);
	assert_false(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM);
	assert_memory_equal(rte_pktmbuf_mtod(m, void *), frame, 154);
	rte_pktmbuf_free(m);
}

/* DPDK's sum leaves the length out, netif's has it: there and back again is the same frame. */
static void sums_of_both_kinds(void **state)
{
	(void)state;
	for (int v6 = 0; v6 <= 1; v6++) {
		uint8_t out[HEADERS_MAX];
		unsigned whole = v6 ? 74 : 54, at = v6 ? 14 + 40 + 16 : 14 + 20 + 16;
		struct rte_mbuf *m;

		tcp(v6);
		m = make(sizeof(frame));
		assert_int_equal(headers_from_guest(m, v6 ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_TCPV4, 500), 0);
		assert_int_equal(m->tso_segsz, 500);
		assert_memory_not_equal(rte_pktmbuf_mtod_offset(m, void *, at), frame + at, 2);
		assert_int_equal(headers_to_guest(m, out), whole);
		assert_memory_equal(out, frame, whole);
		rte_pktmbuf_free(m);
	}
}

static void headers_in_pieces(void **state)
{
	struct rte_mbuf *m, *rest;
	uint8_t out[HEADERS_MAX];

	(void)state;
	tcp(false);
	m = make(30);
	rest = rte_pktmbuf_alloc(pool);
	memcpy(rte_pktmbuf_append(rest, 1000), frame + 30, 1000);
	assert_int_equal(rte_pktmbuf_chain(m, rest), 0);
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 20;
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_SEG;
	assert_int_equal(headers_to_guest(m, out), 54);
	assert_memory_equal(out, frame, 48);
	m->l3_len = 400; /* more than any headers */
	assert_int_equal(headers_to_guest(m, out), 0);
	m->l3_len = 20;
	m->l4_len = 8;
	assert_int_equal(headers_to_guest(m, out), 0);
	assert_int_equal(headers_from_guest(m, XEN_NETIF_GSO_TYPE_TCPV4, 100), -EBADMSG);
	rte_pktmbuf_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truncated),
		cmocka_unit_test(header_lengths_that_lie),
		cmocka_unit_test(ipv6_options_without_end),
		cmocka_unit_test(not_tcp_nor_udp),
		cmocka_unit_test(udp),
		cmocka_unit_test(gso_that_does_not_fit),
		cmocka_unit_test(gso_of_one_segment),
		cmocka_unit_test(sums_of_both_kinds),
		cmocka_unit_test(headers_in_pieces),
	};

	return cmocka_run_group_tests_name("headers", tests, start, NULL);
}
