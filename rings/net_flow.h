/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which flow a frame belongs to, pure: the bytes that a hash is taken of, so that packets of one flow always go the same way and stay in order. netback spreads
 * packets over a guest's queues by it, a front end its own over the tx queues. Only the first `len` bytes of the frame are looked at, and the frame is private.
 */
#ifndef RINGS_NET_FLOW_H
#define RINGS_NET_FLOW_H

#include <sluice/abi.h>

enum net_flow_kind {
	NET_FLOW_OTHER, /* neither IPv4 nor IPv6, or cut short: the two Ethernet addresses */
	NET_FLOW_IPV4,
	NET_FLOW_IPV6,
};

#define NET_FLOW_PROTO_TCP 6u
#define NET_FLOW_PROTO_UDP 17u
#define NET_FLOW_BYTES_MAX 36u

struct net_flow {
	uint8_t kind;      /* enum net_flow_kind */
	uint8_t proto;     /* next protocol; 0 for OTHER */
	uint8_t addresses; /* bytes of both addresses at the start of `bytes`: 12, 8 or 32 */
	uint8_t len;       /* and with the ports of TCP or UDP, where the packet has them: a fragment never counts as having */
	uint8_t bytes[NET_FLOW_BYTES_MAX]; /* source, destination, source port, destination port, as in the packet (OTHER: destination, source) */
};

void net_flow_parse(const uint8_t *frame, size_t len, struct net_flow *f);

/* A hash that spreads flows evenly over any number of queues: queue = (hash * queues) >> 32. No guest has chosen it. */
uint32_t net_flow_hash(const struct net_flow *f);

static inline unsigned net_flow_queue(uint32_t hash, unsigned queues)
{
	return (unsigned)(((uint64_t)hash * queues) >> 32);
}

#endif
