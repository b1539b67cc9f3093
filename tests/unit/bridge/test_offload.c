/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bridge/offload.c and offload_tso.c: checksums against a plain RFC 1071 sum written here and against a vector worked out by hand, segmentation, and
 * packets whose headers lie. The largest packets' payload is spread over many segments of odd sizes.
 */
#include "bridge_test.h"
#include <bridge/offload.h>

enum { TCP = IPPROTO_TCP, UDP = IPPROTO_UDP };

struct shape {
	bool v6;
	uint8_t proto;
	unsigned payload, options; /* options: bytes of TCP options */
	unsigned seg;              /* bytes in each mbuf segment, headers at least in the first */
	unsigned pad;              /* Ethernet padding, not zero */
};

static unsigned headers_of(const struct shape *s)
{
	return 14 + (s->v6 ? 40 : 20) + (s->proto == TCP ? 20 + s->options : 8);
}

/* Plain sum over bytes, as RFC 1071 words it. */
static uint32_t sum(const uint8_t *p, unsigned n, uint32_t acc)
{
	for (unsigned i = 0; i < n; i++)
		acc += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return acc;
}

static uint16_t fold(uint32_t acc)
{
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

static uint32_t pseudo(const uint8_t *ip, bool v6, uint8_t proto, unsigned l4_bytes)
{
	return v6 ? sum(ip + 8, 32, proto + l4_bytes) : sum(ip + 12, 8, proto + l4_bytes);
}

static struct rte_mbuf *chain(const uint8_t *bytes, unsigned len, unsigned first, unsigned seg)
{
	struct rte_mbuf *head = NULL;

	for (unsigned at = 0; at < len;) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		unsigned n = RTE_MIN(head ? seg : first, len - at);

		assert_non_null(m);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), bytes + at, n);
		at += n;
		if (!head)
			head = m;
		else
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
	}
	return head;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A packet with a blank checksum, the wish for it, and every length right. */
static struct rte_mbuf *build(const struct shape *s)
{
	static uint8_t bytes[70000];
	unsigned l3 = s->v6 ? 40 : 20, l4 = s->proto == TCP ? 20 + s->options : 8, len = headers_of(s) + s->payload;
	uint8_t *ip = bytes + 14, *th = ip + l3;
	struct rte_mbuf *m;

	memset(bytes, 0, headers_of(s));
	for (unsigned i = headers_of(s); i < len + s->pad; i++)
		bytes[i] = (uint8_t)(i * 37 + (i >> 8));
	put16(bytes + 12, s->v6 ? 0x86dd : 0x0800);
	if (s->v6) {
		ip[0] = 0x60;
		put16(ip + 4, l4 + s->payload);
		ip[6] = s->proto;
		memset(ip + 8, 0x21, 16);
		memset(ip + 24, 0x42, 16);
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + l4 + s->payload);
		put16(ip + 4, 0x1000);
		ip[8] = 64;
		ip[9] = s->proto;
		memcpy(ip + 12, "\x0a\x00\x00\x01\x0a\x00\x00\x02", 8);
		put16(ip + 10, (uint16_t)~fold(sum(ip, 20, 0)));
	}
	put16(th, 1234);
	put16(th + 2, 80);
	if (s->proto == TCP) {
		put16(th + 4, 0xffff); /* the sequence number wraps within a large packet */
		put16(th + 6, 0xf000);
		th[12] = (uint8_t)(l4 / 4 << 4);
		th[13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR ACK PSH FIN */
		memset(th + 20, 1, s->options);
	} else {
		put16(th + 4, 8 + s->payload);
	}
	put16(th + (s->proto == TCP ? 16 : 6), fold(pseudo(ip, s->v6, s->proto, l4 + s->payload)));
	m = chain(bytes, len + s->pad, RTE_MAX(headers_of(s), RTE_MIN(s->seg, 2000u)), s->seg);
	m->l2_len = 14;
	m->l3_len = l3;
	m->l4_len = l4;
	m->ol_flags = (s->v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4) | (s->proto == TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM);
	return m;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* The whole packet verifies as a receiver would do it. Returns its transport header. */
static const uint8_t *verify(const struct rte_mbuf *m, uint8_t *bytes)
{
	const uint8_t *data = rte_pktmbuf_read(m, 0, m->pkt_len, bytes), *ip;
	unsigned l3, l4_bytes;
	bool v6;

	assert_non_null(data);
	if (data != bytes)
		memcpy(bytes, data, m->pkt_len);
	ip = bytes + 14;
	v6 = ip[0] >> 4 == 6;
	l3 = v6 ? 40 : (ip[0] & 15) * 4u;
	l4_bytes = v6 ? get16(ip + 4) : get16(ip + 2) - l3;
	assert_true(14 + l3 + l4_bytes <= m->pkt_len);
	if (!v6)
		assert_int_equal(fold(sum(ip, l3, 0)), 0xffff);
	assert_int_equal(fold(sum(ip + l3, l4_bytes, pseudo(ip, v6, v6 ? ip[6] : ip[9], l4_bytes))), 0xffff);
	assert_false(m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM));
	rte_mbuf_sanity_check(m, 1);
	return ip + l3;
}

static uint8_t buf[70000];

static void test_checksums_of_every_shape(void **state)
{
	static const unsigned payloads[] = { 0, 1, 2, 17, 1400, 1473, 9001 }, segs[] = { 2000, 701, 64 };
	struct rte_mbuf *out[4];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(payloads); i++)
		for (unsigned k = 0; k < RTE_DIM(segs) * 8; k++) {
			struct shape s = { k & 1, k & 2 ? TCP : UDP, payloads[i], k & 2 ? 12 : 0, segs[k / 8], k & 4 ? 5 : 0 };
			struct rte_mbuf *m = build(&s);

			assert_int_equal(offload_finish(m, 0, pool, out, 4), 1);
			assert_ptr_equal(out[0], m);
			verify(m, buf);
			rte_pktmbuf_free(m);
		}
}

/*
 * 10.0.0.1:4660 > 10.0.0.2:22136, UDP "hi": pseudo-header 0a00+0001+0a00+0002+0011+000a = 141e, header 1234+5678+000a = 68b6, data 6869:
 * 141e+68b6+6869 = e53d, inverted 1ac2.
 */
static void test_vector_worked_out_by_hand(void **state)
{
	struct shape s = { false, UDP, 2, 0, 2000, 0 };
	struct rte_mbuf *m = build(&s), *out[1];
	uint8_t *udp = rte_pktmbuf_mtod_offset(m, uint8_t *, 34);

	(void)state;
	memcpy(udp, "\x12\x34\x56\x78\x00\x0a\x00\x00hi", 10);
	assert_int_equal(offload_finish(m, 0, pool, out, 1), 1);
	assert_memory_equal(udp + 6, "\x1a\xc2", 2);
	rte_pktmbuf_free(m);
}

static void test_udp_sum_of_zero_is_sent_as_ffff(void **state)
{
	struct shape s = { false, UDP, 2, 0, 2000, 0 };
	struct rte_mbuf *m = build(&s), *out[1];
	uint8_t *udp = rte_pktmbuf_mtod_offset(m, uint8_t *, 34);

	(void)state;
	memcpy(udp, "\x12\x34\x56\x78\x00\x0a\x00\x00", 8);
	put16(udp + 8, 0x6869 + 0x1ac2); /* makes the sum ffff, its inverse 0 */
	assert_int_equal(offload_finish(m, 0, pool, out, 1), 1);
	assert_memory_equal(udp + 6, "\xff\xff", 2);
	rte_pktmbuf_free(m);
}

static void test_able_port_gets_it_unchanged(void **state)
{
	struct shape s = { false, TCP, 5000, 0, 1000, 0 };
	struct rte_mbuf *m = build(&s), *out[1];
	uint64_t flags;

	(void)state;
	assert_int_equal(offload_finish(m, OFFLOAD_CSUM, pool, out, 1), 1);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = 1000;
	flags = m->ol_flags;
	assert_int_equal(offload_finish(m, OFFLOAD_CSUM | OFFLOAD_TSO4, pool, out, 1), 1);
	assert_ptr_equal(out[0], m);
	assert_true(m->ol_flags == flags);
	rte_pktmbuf_free(m);
}

static void test_shared_packet_is_copied(void **state)
{
	struct shape s = { true, TCP, 3000, 0, 1000, 0 };
	struct rte_mbuf *m = build(&s), *out[1];

	(void)state;
	rte_pktmbuf_refcnt_update(m, 1);
	assert_int_equal(offload_finish(m, 0, pool, out, 1), 1);
	assert_ptr_not_equal(out[0], m);
	verify(out[0], buf);
	assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM); /* the other holder's is as it was */
	assert_int_equal(rte_mbuf_refcnt_read(m), 1);
	rte_pktmbuf_free(out[0]);
	rte_pktmbuf_free(m);
}

static void test_headers_split_over_segments(void **state)
{
	struct shape s = { false, TCP, 500, 0, 2000, 0 };
	struct rte_mbuf *whole = build(&s), *out[1], *m;

	(void)state;
	m = chain(rte_pktmbuf_mtod(whole, uint8_t *), whole->pkt_len, 20, 7);
	m->tx_offload = whole->tx_offload;
	m->ol_flags = whole->ol_flags;
	assert_int_equal(offload_finish(m, 0, pool, out, 1), 1);
	verify(out[0], buf);
	rte_pktmbuf_free(out[0]);
	rte_pktmbuf_free(whole);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Cut, verify each piece, and see that their payloads make up the whole again. */
static void cut(bool v6, unsigned payload, unsigned mss, unsigned seg, unsigned pieces)
{
	struct shape s = { v6, TCP, payload, 12, seg, 0 };
	struct rte_mbuf *m = build(&s), *out[128];
	unsigned h = headers_of(&s), from = 0, n;
	static uint8_t whole[70000];
	const uint8_t *data;

	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = (uint16_t)mss;
	data = rte_pktmbuf_read(m, 0, m->pkt_len, whole);
	if (data != whole)
		memcpy(whole, data, m->pkt_len);
	n = offload_finish(m, 0, pool, out, 128);
	assert_int_equal(n, pieces);
	for (unsigned i = 0; i < n; i++) {
		unsigned bytes = RTE_MIN(mss, payload - from);
		const uint8_t *th = verify(out[i], buf);

		assert_int_equal(out[i]->pkt_len, h + bytes);
		assert_int_equal(get32(th + 4), 0xfffff000u + from);
		assert_memory_equal(buf + h, whole + h + from, bytes);
		assert_int_equal(th[13], (i ? 0 : 0x80) | 0x10 | (i + 1 == n ? 0x09 : 0));
		if (!v6)
			assert_int_equal(get16(buf + 14 + 4), 0x1000 + i);
		from += bytes;
		rte_pktmbuf_free(out[i]);
	}
	assert_int_equal(from, payload);
}

static void test_segmentation(void **state)
{
	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		cut(v6, 2000, 1448, 2000, 2);
		cut(v6, 2896, 1448, 701, 2);
		cut(v6, 2897, 1448, 701, 3);
		cut(v6, 65400, 1448, 1333, 46);
		cut(v6, 60000, 536, 999, 112);
		cut(v6, 60000, 8960, 2000, 7); /* each in several mbufs */
		cut(v6, 1448, 1448, 700, 1);   /* nothing to cut */
		cut(v6, 100, 1448, 700, 1);
	}
}

static void test_segments_without_end(void **state)
{
	struct rte_mbuf *out[64];

	(void)state;
	for (unsigned mss = 0; mss < 3; mss++) {
		struct shape s = { false, TCP, 30000, 0, 1000, 0 };
		struct rte_mbuf *m = build(&s);

		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
		m->tso_segsz = (uint16_t)mss;
		assert_int_equal(offload_finish(m, 0, pool, out, 64), 0);
	}
}

static void test_no_memory_for_segments(void **state)
{
	struct shape s = { false, TCP, 30000, 0, 1000, 0 };
	struct rte_mbuf *m = build(&s), *out[64], *hold[TEST_MBUFS];
	unsigned n = rte_mempool_avail_count(pool) - 10;

	(void)state;
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, hold, n), 0);
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	m->tso_segsz = 1000;
	assert_int_equal(offload_finish(m, 0, pool, out, 64), 0);
	rte_pktmbuf_free_bulk(hold, n);
}

/* Change one thing of a good packet; it must be dropped. */
static void lie(bool v6, uint8_t proto, unsigned at, uint8_t value, int l2, int l3)
{
	struct shape s = { v6, proto, 100, 0, 2000, 0 };
	struct rte_mbuf *m = build(&s), *out[64];

	if (at)
		*rte_pktmbuf_mtod_offset(m, uint8_t *, at) = value;
	if (l2 >= 0)
		m->l2_len = (unsigned)l2;
	if (l3 >= 0)
		m->l3_len = (unsigned)l3;
	assert_int_equal(offload_finish(m, 0, pool, out, 64), 0);
}

static void test_lying_headers(void **state)
{
	(void)state;
	lie(false, TCP, 14, 0x65, -1, -1);     /* version */
	lie(false, TCP, 14, 0x44, -1, -1);     /* IPv4 header of 16 bytes */
	lie(false, TCP, 14, 0x4f, -1, -1);     /* of 60, l3_len says 20 */
	lie(false, TCP, 16, 0xff, -1, -1);     /* longer than the packet */
	lie(false, TCP, 17, 30, -1, -1);       /* no room for a TCP header */
	lie(false, TCP, 17, 10, -1, -1);       /* not even for the IP header */
	lie(false, TCP, 20, 0x20, -1, -1);     /* a fragment */
	lie(false, TCP, 21, 0x01, -1, -1);
	lie(false, TCP, 23, 132, -1, -1);      /* SCTP */
	lie(false, TCP, 46, 0x40, -1, -1);     /* TCP header of 16 bytes */
	lie(false, UDP, 17, 27, -1, -1);       /* no room for a UDP header */
	lie(false, TCP, 0, 0, 0, -1);
	lie(false, TCP, 0, 0, 13, -1);
	lie(false, TCP, 0, 0, 127, -1);
	lie(false, TCP, 0, 0, -1, 0);
	lie(false, TCP, 0, 0, -1, 511);
	lie(true, TCP, 14, 0x45, -1, -1);
	lie(true, TCP, 18, 0xff, -1, -1);      /* longer than the packet */
	lie(true, TCP, 19, 10, -1, -1);        /* no room for a TCP header */
	lie(true, TCP, 20, 44, -1, -1);        /* a fragment header comes next */
	lie(true, TCP, 0, 0, -1, 48);
	lie(true, TCP, 66, 0x40, -1, -1);      /* TCP header of 16 bytes */
}

static void test_short_packets_never_read_beyond(void **state)
{
	struct rte_mbuf *out[64];

	(void)state;
	for (unsigned k = 0; k < 4; k++)
		for (unsigned len = 14; len < 90; len++) {
			struct shape s = { k & 1, k & 2 ? TCP : UDP, 100, 0, 2000, 0 };
			struct rte_mbuf *m = build(&s);
			unsigned n;

			rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - len));
			n = offload_finish(m, 0, pool, out, 64);
			assert_int_equal(n, 0); /* its lengths promise more */
		}
}

static void test_blank_checksum_is_found(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		struct shape s = { k & 1, k & 2 ? TCP : UDP, 50, 0, 2000, 3 };
		struct rte_mbuf *m = build(&s), *out[1];
		uint64_t flags = m->ol_flags;

		m->ol_flags = 0;
		m->tx_offload = 0;
		assert_true(offload_find_blank(m));
		assert_true(m->ol_flags == flags);
		assert_int_equal(offload_finish(m, 0, pool, out, 1), 1);
		verify(m, buf);
		assert_false(offload_find_blank(m)); /* a right checksum is left alone */
		assert_true(m->ol_flags == 0 || !(m->ol_flags & RTE_MBUF_F_TX_L4_MASK));
		rte_pktmbuf_free(m);
	}
}

static void test_blank_checksum_of_odd_packets(void **state)
{
	(void)state;
	for (unsigned len = 14; len < 64; len++) {
		struct rte_mbuf *m = packet(mac(1), mac(2), len & 1 ? 0x0800 : 0x86dd, len, 2048);

		assert_false(offload_find_blank(m));
		rte_pktmbuf_free(m);
	}
}

/* A TCP packet as a driver gives it that took it whole. */
static struct rte_mbuf *received(bool v6, unsigned payload, unsigned mss)
{
	struct shape s = { v6, TCP, payload, 12, 2000, 0 };
	struct rte_mbuf *m = build(&s);

	m->tx_offload = 0;
	m->tso_segsz = (uint16_t)mss;
	m->ol_flags = RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_NONE;
	return m;
}

static void test_a_large_packet_from_a_driver_is_to_be_cut(void **state)
{
	struct rte_mbuf *out[64];

	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct rte_mbuf *m = received(v6, 60000, 1448);
		unsigned n;

		assert_true(offload_from_driver(m));
		assert_true(m->ol_flags == ((v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM) | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_TCP_SEG));
		assert_int_equal(m->l4_len, 32);
		n = offload_finish(m, 0, pool, out, 64);
		assert_int_equal(n, 42);
		for (unsigned i = 0; i < n; i++) {
			verify(out[i], buf);
			rte_pktmbuf_free(out[i]);
		}
	}
}

static void test_a_small_packet_from_a_driver(void **state)
{
	struct rte_mbuf *m = received(false, 1448, 1448), *out[1];

	(void)state;
	assert_true(offload_from_driver(m)); /* one segment */
	assert_true(m->ol_flags == (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM));
	assert_int_equal(offload_finish(m, 0, pool, out, 1), 1);
	verify(m, buf);
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_NONE;
	assert_true(offload_from_driver(m)); /* its checksum is there, whatever the driver says */
	verify(m, buf);
	m->ol_flags = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	assert_true(offload_from_driver(m));
	assert_true(m->ol_flags == RTE_MBUF_F_RX_L4_CKSUM_GOOD);
	rte_pktmbuf_free(m);
}

static void test_a_driver_that_lies_about_size(void **state)
{
	struct shape udp = { false, UDP, 3000, 0, 2000, 0 };
	struct rte_mbuf *m[] = { received(false, 3000, 0), received(true, 3000, OFFLOAD_MSS_MIN - 1), received(false, 3000, 1448), received(true, 3000, 1448), build(&udp) };

	(void)state;
	rte_pktmbuf_mtod(m[2], uint8_t *)[14 + 16] ^= 1;      /* another address: the checksum is not blank */
	rte_pktmbuf_mtod(m[3], uint8_t *)[14 + 4] = 0xff;     /* longer than it is */
	m[4]->ol_flags = RTE_MBUF_F_RX_LRO;
	m[4]->tso_segsz = 1448;
	for (unsigned i = 0; i < RTE_DIM(m); i++) {
		assert_false(offload_from_driver(m[i]));
		rte_pktmbuf_free(m[i]);
	}
}

#define CHECKED(test) cmocka_unit_test_teardown(test, no_mbuf_lost)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHECKED(test_checksums_of_every_shape),
		CHECKED(test_vector_worked_out_by_hand),
		CHECKED(test_udp_sum_of_zero_is_sent_as_ffff),
		CHECKED(test_able_port_gets_it_unchanged),
		CHECKED(test_shared_packet_is_copied),
		CHECKED(test_headers_split_over_segments),
		CHECKED(test_segmentation),
		CHECKED(test_segments_without_end),
		CHECKED(test_no_memory_for_segments),
		CHECKED(test_lying_headers),
		CHECKED(test_short_packets_never_read_beyond),
		CHECKED(test_blank_checksum_is_found),
		CHECKED(test_blank_checksum_of_odd_packets),
		CHECKED(test_a_large_packet_from_a_driver_is_to_be_cut),
		CHECKED(test_a_small_packet_from_a_driver),
		CHECKED(test_a_driver_that_lies_about_size),
	};

	return cmocka_run_group_tests_name("bridge/offload", tests, start_dpdk, stop_dpdk);
}
