/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The learning switch (bridge.h). Called by netback_tx.c and uplink.c for packets that come in, and by the poller at the end of each round.
 * Packets are gathered per output port, and a port gets them as one burst: a burst is what makes a ring fast.
 */
#include "bridge.h"
#include "fdb.h"
#include <errno.h>
#include <rte_ether.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bridge {
	struct fdb *fdb;
	uint64_t waiting[BRIDGE_MAX_PORTS / 64]; /* bit i: port i has gathered packets */
	unsigned top;                            /* one above the highest port in use */
	struct bridge_port *port[BRIDGE_MAX_PORTS];
};

struct bridge *bridge_create(const char *name, unsigned ageing_s)
{
	struct bridge *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->fdb = fdb_create(name, FDB_ENTRIES, FDB_PORT_SHARE, BRIDGE_MAX_PORTS, ageing_s);
	if (!b->fdb) {
		free(b);
		return NULL;
	}
	return b;
}

void bridge_destroy(struct bridge *b)
{
	if (!b)
		return;
	fdb_destroy(b->fdb);
	free(b);
}

int bridge_add_port(struct bridge *b, struct bridge_port *port)
{
	unsigned i = 0;

	while (i < BRIDGE_MAX_PORTS && b->port[i])
		i++;
	if (i == BRIDGE_MAX_PORTS)
		return -ENOSPC;
	b->port[i] = port;
	if (i >= b->top)
		b->top = i + 1;
	port->bridge = b;
	port->index = (uint16_t)i;
	port->out_count = 0;
	memset(&port->stats, 0, sizeof(port->stats));
	return 0;
}

void bridge_remove_port(struct bridge_port *port)
{
	struct bridge *b = port->bridge;

	if (!b)
		return;
	fdb_forget_port(b->fdb, port->index);
	rte_pktmbuf_free_bulk(port->out, port->out_count);
	port->out_count = 0;
	b->waiting[port->index / 64] &= ~(1ull << port->index % 64);
	b->port[port->index] = NULL;
	while (b->top && !b->port[b->top - 1])
		b->top--;
	port->bridge = NULL;
}

/* Hand a port what it has gathered. */
static void deliver(struct bridge_port *port)
{
	unsigned n = port->out_count, done;

	port->out_count = 0;
	port->bridge->waiting[port->index / 64] &= ~(1ull << port->index % 64);
	port->stats.tx_packets += n;
	done = port->tx(port, port->out, n);
	port->stats.tx_dropped += n - done;
}

static void gather(struct bridge_port *to, struct rte_mbuf *m)
{
	to->stats.tx_bytes += m->pkt_len;
	to->bridge->waiting[to->index / 64] |= 1ull << to->index % 64;
	to->out[to->out_count++] = m;
	if (to->out_count == BRIDGE_BURST)
		deliver(to);
}

/* To every port but the one it came from; all of them share the one packet. */
static void flood(struct bridge *b, const struct bridge_port *from, struct rte_mbuf *m)
{
	struct bridge_port *last = NULL;

	for (unsigned i = 0; i < b->top; i++) {
		struct bridge_port *to = b->port[i];

		if (!to || to == from)
			continue;
		if (last) {
			rte_pktmbuf_refcnt_update(m, 1);
			gather(last, m);
		}
		last = to;
	}
	if (last)
		gather(last, m); /* with the reference that we were given */
	else
		rte_pktmbuf_free(m);
}

/* 01:80:c2:00:00:0x belong to the link itself (IEEE 802.1D 7.12.6): spanning tree, pause frames, LLDP. A bridge does not pass them on. */
static bool is_link_local(const struct rte_ether_addr *a)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return !memcmp(a->addr_bytes, prefix, sizeof(prefix)) && a->addr_bytes[5] < 0x10;
}

static void forward(struct bridge *b, struct bridge_port *from, struct rte_mbuf *m, uint32_t now)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	int to;

	if (rte_pktmbuf_data_len(m) < sizeof(*eth) || is_link_local(&eth->dst_addr)) {
		rte_pktmbuf_free(m);
		return;
	}
	fdb_learn(b->fdb, &eth->src_addr, from->index, now);
	if (rte_is_multicast_ether_addr(&eth->dst_addr)) {
		flood(b, from, m);
		return;
	}
	to = fdb_lookup(b->fdb, &eth->dst_addr, now);
	if (to < 0)
		flood(b, from, m);
	else if (to == from->index)
		rte_pktmbuf_free(m); /* its receiver has it already: not back out where it came in */
	else
		gather(b->port[to], m);
}

static uint32_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)t.tv_sec;
}

void bridge_input(struct bridge_port *from, struct rte_mbuf **pkts, unsigned n)
{
	uint32_t now = seconds();

	from->stats.rx_packets += n;
	for (unsigned i = 0; i < n; i++) {
		from->stats.rx_bytes += pkts[i]->pkt_len;
		forward(from->bridge, from, pkts[i], now);
	}
}

void bridge_flush(struct bridge *b)
{
	for (unsigned w = 0; w < BRIDGE_MAX_PORTS / 64; w++)
		while (b->waiting[w])
			deliver(b->port[w * 64 + (unsigned)__builtin_ctzll(b->waiting[w])]);
}
