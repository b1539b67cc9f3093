/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A network stack just large enough to be measured: ARP, ping and UDP echo are answered, UDP to port 9 is counted, frames can be sent. One vif, one address.
 */
#ifndef GUEST_NET_H
#define GUEST_NET_H

#include <frontend/netfront.h>

/* The payload of our own packets to port 9: all in network byte order, right behind the UDP header. */
enum { PROBE_MAGIC_AT = 42, PROBE_RUN_AT = 46, PROBE_SEQUENCE_AT = 50, PROBE_END = 58 };
#define PROBE_MAGIC 0x534c5543u /* "SLUC" */

struct net_count {
	uint64_t packets, bytes; /* Ethernet frames to port 9, without FCS */
	uint64_t lost;           /* gaps in the sequence numbers of our own senders */
	uint64_t first_ns, last_ns;
};

/* ip 0: no address yet, nothing is answered. gateway 0: none. queues: at most so many. -ENOMEM. */
int net_init(struct xenbus *xb, uint32_t ip, unsigned prefix, uint32_t gateway, unsigned queues);

/* Take in and answer one burst, move the handshake on. True when there was something. */
bool net_poll(void);
/* Ask for an event; false when something waits already. */
bool net_arm(bool tx);

/* The hash of the flow that a frame of ours belongs to, which picks the queue; at least 64 bytes of it are there. */
uint32_t net_flow(const uint8_t *frame);

bool net_connected(void);
uint32_t net_ip(void);
struct netfront *net_vif(void);
const struct net_count *net_count(void);
void net_count_reset(void);

/* The Ethernet address that leads to ip. False: not known yet; asks for it by ARP, at most once in 100 ms. */
bool net_resolve(uint32_t ip, uint8_t mac[6]);

#endif
