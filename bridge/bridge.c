/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The learning switch (bridge.h). Called by netback_tx.c and uplink.c for packets that come in, and by the poller at the end of each round.
 * Packets are gathered per output port, and a port gets them as one burst: a burst is what makes a ring fast.
 */
#include "bridge.h"
#include "fdb.h"
#include <errno.h>
#include <rte_byteorder.h>
#include <rte_ether.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Packets for one port. */
struct gathered {
	unsigned n;
	struct rte_mbuf *pkt[BRIDGE_BURST];
};

/* What one lcore has gathered. */
struct outgoing {
	uint64_t waiting[BRIDGE_MAX_PORTS / 64]; /* bit i: packets for port i */
	struct gathered port[BRIDGE_MAX_PORTS];
} __rte_cache_aligned;

struct bridge {
	struct fdb *fdb;
	unsigned top;                            /* one above the highest port in use */
	struct bridge_port *port[BRIDGE_MAX_PORTS];
	struct outgoing out[BRIDGE_LCORES];      /* memory that nobody has touched costs nothing */
};

struct bridge *bridge_create(const char *name, unsigned ageing_s)
{
	struct bridge *b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (b == MAP_FAILED)
		return NULL;
	b->fdb = fdb_create(name, FDB_ENTRIES, FDB_PORT_SHARE, BRIDGE_MAX_PORTS, ageing_s);
	if (!b->fdb) {
		munmap(b, sizeof(*b));
		return NULL;
	}
	return b;
}

void bridge_destroy(struct bridge *b)
{
	if (!b)
		return;
	fdb_destroy(b->fdb);
	munmap(b, sizeof(*b));
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
	memset(&port->stats, 0, sizeof(port->stats));
	return 0;
}

void bridge_remove_port(struct bridge_port *port)
{
	struct bridge *b = port->bridge;

	if (!b)
		return;
	fdb_forget_port(b->fdb, port->index);
	for (unsigned i = 0; i < BRIDGE_LCORES; i++) {
		struct outgoing *o = &b->out[i];

		if (!(o->waiting[port->index / 64] & 1ull << port->index % 64))
			continue;
		rte_pktmbuf_free_bulk(o->port[port->index].pkt, o->port[port->index].n);
		o->port[port->index].n = 0;
		o->waiting[port->index / 64] &= ~(1ull << port->index % 64);
	}
	b->port[port->index] = NULL;
	while (b->top && !b->port[b->top - 1])
		b->top--;
	port->bridge = NULL;
}

void bridge_port_stats(const struct bridge_port *port, struct bridge_port_stats *out)
{
	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < BRIDGE_LCORES; i++) {
		out->rx_packets += port->stats[i].s.rx_packets;
		out->rx_bytes += port->stats[i].s.rx_bytes;
		out->tx_packets += port->stats[i].s.tx_packets;
		out->tx_bytes += port->stats[i].s.tx_bytes;
		out->tx_dropped += port->stats[i].s.tx_dropped;
	}
}

/* Hand a port what this lcore has gathered for it. */
static void deliver(struct bridge *b, unsigned lcore, unsigned index)
{
	struct outgoing *o = &b->out[lcore];
	struct bridge_port *port = b->port[index];
	struct bridge_port_stats *stats = &port->stats[lcore].s;
	unsigned n = o->port[index].n, done;

	o->port[index].n = 0;
	o->waiting[index / 64] &= ~(1ull << index % 64);
	stats->tx_packets += n;
	done = port->tx(port, o->port[index].pkt, n);
	stats->tx_dropped += n - done;
}

static void gather(struct bridge_port *to, unsigned lcore, struct rte_mbuf *m)
{
	struct outgoing *o = &to->bridge->out[lcore];
	struct gathered *g = &o->port[to->index];

	to->stats[lcore].s.tx_bytes += m->pkt_len;
	o->waiting[to->index / 64] |= 1ull << to->index % 64;
	g->pkt[g->n++] = m;
	if (g->n == BRIDGE_BURST)
		deliver(to->bridge, lcore, to->index);
}

/* To every port but the one it came from; all of them share the one packet. */
static void flood(struct bridge *b, unsigned lcore, const struct bridge_port *from, struct rte_mbuf *m)
{
	struct bridge_port *last = NULL;

	for (unsigned i = 0; i < b->top; i++) {
		struct bridge_port *to = b->port[i];

		if (!to || to == from)
			continue;
		if (last) {
			rte_pktmbuf_refcnt_update(m, 1);
			gather(last, lcore, m);
		}
		last = to;
	}
	if (last)
		gather(last, lcore, m); /* with the reference that we were given */
	else
		rte_pktmbuf_free(m);
}

/* 01:80:c2:00:00:0x belong to the link itself (IEEE 802.1D 7.12.6): spanning tree, pause frames, LLDP. A bridge does not pass them on. */
static bool is_link_local(const struct rte_ether_addr *a)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return !memcmp(a->addr_bytes, prefix, sizeof(prefix)) && a->addr_bytes[5] < 0x10;
}

/* Where packets from one address to another go. */
enum { TO_ALL = BRIDGE_MAX_PORTS, TO_NOBODY };

struct flow {
	uint64_t dst, src; /* as they stand in a frame */
	unsigned to;       /* a port's index, TO_ALL or TO_NOBODY */
};

/* An address and the two bytes behind it, which a frame always has. */
static uint64_t six_bytes(const void *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word & rte_cpu_to_be_64(0xffffffffffff0000);
}

/* Learn the source; look the destination up. */
static unsigned route(struct bridge *b, const struct bridge_port *from, const struct rte_ether_hdr *eth, uint32_t now)
{
	int to;

	if (is_link_local(&eth->dst_addr))
		return TO_NOBODY;
	fdb_learn(b->fdb, &eth->src_addr, from->index, now);
	if (rte_is_multicast_ether_addr(&eth->dst_addr))
		return TO_ALL;
	to = fdb_lookup(b->fdb, &eth->dst_addr, now);
	if (to < 0)
		return TO_ALL;
	return to == from->index ? TO_NOBODY : (unsigned)to; /* its receiver has it already: not back out where it came in */
}

/* flow: of the packet before in this burst, which most often is this one's too: then the table has nothing new to tell or to learn. */
static void forward(struct bridge *b, unsigned lcore, struct bridge_port *from, struct rte_mbuf *m, struct flow *flow, uint32_t now)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	uint64_t dst, src;

	if (rte_pktmbuf_data_len(m) < sizeof(*eth)) {
		rte_pktmbuf_free(m);
		return;
	}
	dst = six_bytes(&eth->dst_addr);
	src = six_bytes(&eth->src_addr);
	if (dst != flow->dst || src != flow->src)
		*flow = (struct flow){ dst, src, route(b, from, eth, now) };
	if (flow->to < BRIDGE_MAX_PORTS)
		gather(b->port[flow->to], lcore, m);
	else if (flow->to == TO_ALL)
		flood(b, lcore, from, m);
	else
		rte_pktmbuf_free(m);
}

static uint32_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)t.tv_sec;
}

void bridge_input(struct bridge_port *from, struct rte_mbuf **pkts, unsigned n)
{
	struct flow flow = { .dst = UINT64_MAX }; /* of no packet: an address has six bytes */
	unsigned lcore = bridge_lcore();
	struct bridge_port_stats *stats = &from->stats[lcore].s;
	uint32_t now = seconds();

	stats->rx_packets += n;
	for (unsigned i = 0; i < n; i++) {
		stats->rx_bytes += pkts[i]->pkt_len;
		forward(from->bridge, lcore, from, pkts[i], &flow, now);
	}
}

void bridge_flush(struct bridge *b)
{
	unsigned lcore = bridge_lcore();
	const uint64_t *waiting = b->out[lcore].waiting;

	for (unsigned w = 0; w < BRIDGE_MAX_PORTS / 64; w++)
		while (waiting[w])
			deliver(b, lcore, w * 64 + (unsigned)__builtin_ctzll(waiting[w]));
}
