/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of bridge/ share: DPDK without devices, a pool whose leaks are found, packets, and a port that keeps what it gets. */
#ifndef TESTS_UNIT_BRIDGE_TEST_H
#define TESTS_UNIT_BRIDGE_TEST_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <bridge/bridge.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mempool.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#define TEST_MBUFS 2047u

static struct rte_mempool *pool;

static inline int start_dpdk(void **state)
{
	char core[16];
	char *argv[] = { "test", "--no-pci", "--no-huge", "--no-shconf", "--no-telemetry", "-m", "64", "-l", core, "--log-level=*:error", NULL };

	(void)state;
	snprintf(core, sizeof(core), "%d", sched_getcpu()); /* any that we may use */
	if (rte_eal_init(10, argv) < 0)
		return -1;
	pool = rte_pktmbuf_pool_create("test", TEST_MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	return pool ? 0 : -1;
}

static inline int stop_dpdk(void **state)
{
	(void)state;
	rte_mempool_free(pool);
	return rte_eal_cleanup();
}

/* After each test: every mbuf is back. */
static inline int no_mbuf_lost(void **state)
{
	unsigned out = rte_mempool_in_use_count(pool);

	(void)state;
	if (out)
		print_error("%u mbufs were not freed\n", out);
	return out ? -1 : 0;
}

static const struct rte_ether_addr BROADCAST = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };

static inline struct rte_ether_addr mac(unsigned n)
{
	return (struct rte_ether_addr){ { 0x02, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
}

/* A packet of len bytes in segments of at most seg bytes: Ethernet header, then bytes that count up. */
static inline struct rte_mbuf *packet(struct rte_ether_addr dst, struct rte_ether_addr src, uint16_t type, unsigned len, unsigned seg)
{
	struct rte_ether_hdr eth = { .dst_addr = dst, .src_addr = src, .ether_type = rte_cpu_to_be_16(type) };
	struct rte_mbuf *first = NULL;

	for (unsigned at = 0; at < len;) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		unsigned n = RTE_MIN(seg, len - at);
		uint8_t *to;

		assert_non_null(m);
		to = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
		assert_non_null(to);
		for (unsigned i = 0; i < n; i++)
			to[i] = (uint8_t)(at + i);
		at += n;
		if (!first)
			first = m;
		else
			assert_int_equal(rte_pktmbuf_chain(first, m), 0);
	}
	memcpy(rte_pktmbuf_mtod(first, void *), &eth, RTE_MIN(sizeof(eth), (size_t)first->data_len));
	return first;
}

struct fake_port {
	struct bridge_port port;
	unsigned calls, count, refuse; /* refuse: drop so many of each burst */
	struct rte_mbuf *got[2048];
};

static inline unsigned fake_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n)
{
	struct fake_port *f = (struct fake_port *)port;
	unsigned keep = n > f->refuse ? n - f->refuse : 0;

	f->calls++;
	for (unsigned i = 0; i < keep; i++)
		f->got[f->count++] = pkts[i];
	rte_pktmbuf_free_bulk(pkts + keep, n - keep);
	return keep;
}

static inline void fake_add(struct bridge *b, struct fake_port *f)
{
	memset(f, 0, sizeof(*f));
	f->port.tx = fake_tx;
	f->port.name = "fake";
	assert_int_equal(bridge_add_port(b, &f->port), 0);
}

/* Forget what a port got; returns how many. */
static inline unsigned fake_empty(struct fake_port *f)
{
	unsigned n = f->count;

	rte_pktmbuf_free_bulk(f->got, n);
	f->count = 0;
	return n;
}

#endif
