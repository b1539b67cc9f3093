/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The learning switch (bridge.h). Called by netback_tx.c and uplink.c for packets that come in, and by the poller at the end of each round.
 * Packets are gathered per output port, and a port gets them as one burst: a burst is what makes a ring fast.
 */
#include "bridge.h"
#include "fdb.h"
#include "packet.h"
#include <errno.h>
#include <rte_ether.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

__thread unsigned bridge_lcore_plus_1;

/* Packets for one port. */
struct gathered {
	unsigned n;
	struct rte_mbuf *pkt[BRIDGE_BURST];
};

/* What one lcore has gathered. */
struct outgoing {
	uint64_t waiting[BRIDGE_MAX_PORTS / 64]; /* bit i: packets for port i */
	unsigned crowded_us;
	struct gathered port[BRIDGE_MAX_PORTS];
} __rte_cache_aligned;

struct bridge {
	struct fdb *fdb;
	uint32_t relief;                         /* atomic */
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
	memset(&port->of, 0, sizeof(port->of));
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
		out->rx_packets += port->of[i].stats.rx_packets;
		out->rx_bytes += port->of[i].stats.rx_bytes;
		out->tx_packets += port->of[i].stats.tx_packets;
		out->tx_bytes += port->of[i].stats.tx_bytes;
		out->tx_dropped += port->of[i].stats.tx_dropped;
	}
}

/* Hand a port what this lcore has gathered for it. */
static void deliver(struct bridge *b, unsigned lcore, unsigned index)
{
	struct outgoing *o = &b->out[lcore];
	struct bridge_port *port = b->port[index];
	struct bridge_port_stats *stats = &port->of[lcore].stats;
	unsigned n = o->port[index].n, done;

	o->port[index].n = 0;
	o->waiting[index / 64] &= ~(1ull << index % 64);
	stats->tx_packets += n;
	done = port->tx(port, o->port[index].pkt, n);
	stats->tx_dropped += n - done;
}

/* n packets of `bytes` in all, in order. */
static void gather(struct bridge_port *to, unsigned lcore, struct rte_mbuf **pkts, unsigned n, uint64_t bytes)
{
	struct outgoing *o = &to->bridge->out[lcore];
	struct gathered *g = &o->port[to->index];

	to->of[lcore].stats.tx_bytes += bytes;
	while (n > 0) {
		unsigned part = RTE_MIN(n, BRIDGE_BURST - g->n);

		memcpy(g->pkt + g->n, pkts, part * sizeof(*pkts));
		g->n += part;
		pkts += part;
		n -= part;
		o->waiting[to->index / 64] |= 1ull << to->index % 64;
		if (g->n == BRIDGE_BURST)
			deliver(to->bridge, lcore, to->index);
	}
}

static void share(struct rte_mbuf **pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rte_pktmbuf_refcnt_update(pkts[i], 1);
}

static void forget(struct rte_mbuf **pkts, unsigned n)
{
	packets_give_back(pkts[0]->pool, pkts, n);
}

/* To every port but the one they came from; all of them share the packets. */
static void flood(struct bridge *b, unsigned lcore, const struct bridge_port *from, struct rte_mbuf **pkts, unsigned n, uint64_t bytes)
{
	struct bridge_port *last = NULL;

	for (unsigned i = 0; i < b->top; i++) {
		struct bridge_port *to = b->port[i];

		if (!to || to == from)
			continue;
		if (last) {
			share(pkts, n);
			gather(last, lcore, pkts, n, bytes);
		}
		last = to;
	}
	if (last)
		gather(last, lcore, pkts, n, bytes); /* with the references that we were given */
	else
		forget(pkts, n);
}

/* 01:80:c2:00:00:0x belong to the link itself (IEEE 802.1D 7.12.6): spanning tree, pause frames, LLDP. A bridge does not pass them on. */
static bool is_link_local(const struct rte_ether_addr *a)
{
	static const uint8_t prefix[5] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return !memcmp(a->addr_bytes, prefix, sizeof(prefix)) && a->addr_bytes[5] < 0x10;
}

/* Where packets from one address to another go. */
enum { TO_ALL = BRIDGE_MAX_PORTS, TO_NOBODY };

/* Learn the source (*learnt: or it need not be); look the destination up. */
static unsigned ask_tables(struct bridge *b, const struct bridge_port *from, const struct rte_ether_hdr *eth, uint32_t now, bool *learnt)
{
	int to;

	*learnt = true;
	if (is_link_local(&eth->dst_addr))
		return TO_NOBODY;
	*learnt = fdb_learn(b->fdb, &eth->src_addr, from->index, now);
	if (rte_is_multicast_ether_addr(&eth->dst_addr))
		return TO_ALL;
	to = fdb_lookup(b->fdb, &eth->dst_addr, now);
	if (to < 0)
		return TO_ALL;
	return to == from->index ? TO_NOBODY : (unsigned)to; /* its receiver has it already: not back out where it came in */
}

/* The same, or what this lcore was told last of these addresses, when the tables have not changed and nothing has become a second older since. */
static unsigned route(struct bridge *b, struct bridge_port *from, unsigned lcore, const struct rte_ether_hdr *eth, uint32_t now)
{
	struct bridge_memo *memo = &from->of[lcore].memo;
	uint64_t changes = fdb_changes(b->fdb);
	bool learnt;

	if (memo->changes != changes || memo->now != now || memcmp(memo->addresses, eth, sizeof(memo->addresses))) {
		memcpy(memo->addresses, eth, sizeof(memo->addresses));
		memo->to = ask_tables(b, from, eth, now, &learnt);
		memo->now = now;
		memo->changes = learnt ? changes : 0; /* from before we asked: what changed meanwhile makes us ask again, and so does a source that found no room */
	}
	return memo->to;
}

static bool too_short(const struct rte_mbuf *m)
{
	return rte_pktmbuf_data_len(m) < sizeof(struct rte_ether_hdr);
}

/* How many packets from the first on have its addresses: most often all. The tables have nothing new to tell or to learn for the others. *bytes: of them all. */
static unsigned run_of(struct rte_mbuf *const *pkts, unsigned n, uint64_t *bytes)
{
	const size_t addresses = 2 * sizeof(struct rte_ether_addr);
	const void *first = rte_pktmbuf_mtod(pkts[0], const void *);
	unsigned run = 1;

	*bytes = pkts[0]->pkt_len;
	for (; run < n && !too_short(pkts[run]) && !memcmp(rte_pktmbuf_mtod(pkts[run], const void *), first, addresses); run++)
		*bytes += pkts[run]->pkt_len;
	return run;
}

/* Packets from one address to another. */
static void forward(struct bridge *b, unsigned lcore, struct bridge_port *from, struct rte_mbuf **pkts, unsigned n, uint64_t bytes, uint32_t now)
{
	unsigned to = route(b, from, lcore, rte_pktmbuf_mtod(pkts[0], const struct rte_ether_hdr *), now);

	if (to < BRIDGE_MAX_PORTS)
		gather(b->port[to], lcore, pkts, n, bytes);
	else if (to == TO_ALL)
		flood(b, lcore, from, pkts, n, bytes);
	else
		forget(pkts, n);
}

static uint32_t seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint32_t)t.tv_sec;
}

void bridge_input(struct bridge_port *from, struct rte_mbuf **pkts, unsigned n)
{
	unsigned lcore = bridge_lcore(), run;
	struct bridge_port_stats *stats = &from->of[lcore].stats;
	uint32_t now = seconds();
	uint64_t bytes;

	stats->rx_packets += n;
	for (unsigned i = 0; i < n; i += run) {
		if (too_short(pkts[i])) {
			stats->rx_bytes += pkts[i]->pkt_len;
			rte_pktmbuf_free(pkts[i]);
			run = 1;
			continue;
		}
		run = run_of(pkts + i, n - i, &bytes);
		stats->rx_bytes += bytes;
		forward(from->bridge, lcore, from, pkts + i, run, bytes, now);
	}
}

struct bridge_port *bridge_way(struct bridge_port *from, const struct rte_ether_hdr *eth)
{
	unsigned to = route(from->bridge, from, bridge_lcore(), eth, seconds());

	return to < BRIDGE_MAX_PORTS ? from->bridge->port[to] : NULL;
}

void bridge_passed(struct bridge_port *from, struct bridge_port *to, unsigned packets, uint64_t bytes)
{
	unsigned lcore = bridge_lcore();

	from->of[lcore].stats.rx_packets += packets;
	from->of[lcore].stats.rx_bytes += bytes;
	to->of[lcore].stats.tx_packets += packets;
	to->of[lcore].stats.tx_bytes += bytes;
}

void bridge_flush(struct bridge *b)
{
	unsigned lcore = bridge_lcore();
	const uint64_t *waiting = b->out[lcore].waiting;

	for (unsigned w = 0; w * 64 < b->top; w++)
		while (waiting[w])
			deliver(b, lcore, w * 64 + (unsigned)__builtin_ctzll(waiting[w]));
}

void bridge_crowd(struct bridge *b, unsigned us)
{
	struct outgoing *o = &b->out[bridge_lcore()];

	o->crowded_us = RTE_MAX(o->crowded_us, us);
}

unsigned bridge_was_crowded(struct bridge *b)
{
	struct outgoing *o = &b->out[bridge_lcore()];
	unsigned us = o->crowded_us;

	o->crowded_us = 0;
	return us;
}

void bridge_relieve(struct bridge *b)
{
	__atomic_fetch_add(&b->relief, 1, __ATOMIC_RELAXED);
}

uint32_t bridge_relief(const struct bridge *b)
{
	return __atomic_load_n(&b->relief, __ATOMIC_RELAXED);
}
