/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A learning switch over ports: vifs (backend/) and uplinks (uplink.h). Several lcores (lcore.h) may put packets in at once; each gathers and delivers its own,
 * so packets of one flow stay in order as long as they come in on one lcore. Ports come and go only while no other lcore is in the bridge (poller_pause of backend/poller.h).
 * Packets are rte_mbufs: data is the frame from its Ethernet header on, without FCS; several segments are allowed. Offload wishes of the
 * sender stand in ol_flags and l2_len/l3_len/l4_len/tso_segsz exactly as DPDK defines them for transmit (RTE_MBUF_F_TX_TCP_CKSUM: l4 checksum
 * field holds the pseudo-header sum; RTE_MBUF_F_TX_TCP_SEG with tso_segsz: a TCP packet to be cut). A port that cannot honour a wish calls
 * offload_finish (offload.h) before it delivers.
 */
#ifndef SLUICE_BRIDGE_H
#define SLUICE_BRIDGE_H

#include "lcore.h"
#include <rte_ether.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define BRIDGE_MAX_PORTS 320u
#define BRIDGE_BURST 64u

struct bridge;

struct bridge_port_stats {
	uint64_t rx_packets, rx_bytes; /* into the bridge */
	uint64_t tx_packets, tx_bytes; /* handed to tx */
	uint64_t tx_dropped;           /* handed to tx and not delivered */
};

/* bridge.c's own: where packets with these addresses went. */
struct bridge_memo {
	uint64_t changes;
	uint32_t now, to;
	uint8_t addresses[12];
};

struct bridge_port {
	/* Deliver n packets (1..BRIDGE_BURST). Takes every one of them: what cannot be delivered now is freed, never queued without bound.
	 * Several lcores may call it at once. A packet may be shared with other ports (refcnt > 1): do not write to it. It may be lent (lent.h), until tx returns:
	 * whoever keeps such a packet, or looks beyond its private bytes, makes it its own first. Returns how many were delivered. */
	unsigned (*tx)(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n);
	const char *name;
	/* bridge's own */
	struct bridge *bridge;
	uint16_t index;
	struct {
		struct bridge_port_stats stats;
		struct bridge_memo memo;
	} __rte_cache_aligned of[BRIDGE_LCORES]; /* each lcore counts what it does, and remembers what it asked last */
};

/* ageing_s: seconds after which a silent address is forgotten. NULL when there is no memory. */
struct bridge *bridge_create(const char *name, unsigned ageing_s);
void bridge_destroy(struct bridge *b); /* all ports must have been removed; NULL is fine */

/* port->tx and port->name are set by the caller, and the port is aligned to a cache line. 0, -ENOSPC. */
int bridge_add_port(struct bridge *b, struct bridge_port *port);
/* Forgets what was learnt on it and frees what waits for it. */
void bridge_remove_port(struct bridge_port *port);
/* What all lcores have counted. */
void bridge_port_stats(const struct bridge_port *port, struct bridge_port_stats *out);

/* Takes n packets that came in at `from`: learns, looks up, gathers them per output port. A full gather is delivered at once. */
void bridge_input(struct bridge_port *from, struct rte_mbuf **pkts, unsigned n);
/*
 * The way past the bridge, for whoever can move a packet from port to port by himself: the one port that a packet with this header, coming in at `from`, goes to; NULL
 * when there is none or more than one, then it is bridge_input's. Learns and looks up as that does. What went this way is counted with bridge_passed.
 */
struct bridge_port *bridge_way(struct bridge_port *from, const struct rte_ether_hdr *eth);
void bridge_passed(struct bridge_port *from, struct bridge_port *to, unsigned packets, uint64_t bytes);
/* Deliver what this lcore has gathered. Call once at the end of each poll round. */
void bridge_flush(struct bridge *b);

/*
 * A port that has no room for all of a burst, but may well have soon, says so from its tx, and for how long it is worth waiting. Whoever brought the burst can ask, and then leave
 * its sender alone for so long, or until a crowded port has got rid of all that waited for it (bridge_relief is another number then).
 */
void bridge_crowd(struct bridge *b, unsigned us);
unsigned bridge_was_crowded(struct bridge *b); /* us, the longest on this lcore since it was asked last; 0: no port was */
void bridge_relieve(struct bridge *b);
uint32_t bridge_relief(const struct bridge *b);

#endif
