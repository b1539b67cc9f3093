/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf net's own: the options, a measuring domain (net_domain.c), the loops (net_loops.c). Called by net.c. */
#ifndef PERF_NET_H
#define PERF_NET_H

#include "tool.h"
#include <frontend/netfront.h>
#include <guest-drivers/hosted/hosted.h>

#define NET_VIFS 2u

enum net_mode { NET_TX, NET_RX, NET_LOOP, NET_PAIR, NET_PING };

struct net_options {
	const char *run_dir, *bridge;
	enum net_mode mode;
	unsigned size, burst; /* bytes of a frame, packets of a burst */
	double seconds;
	bool json, touch, polite; /* polite: both ends of a pair share a core, so idle turns yield it */
	int cpu, peer_cpu;    /* -1: anywhere */
};

/* This process as a domain with some connected vifs. */
struct net_domain {
	struct xenbus *xb;
	unsigned nr_vifs;
	struct netfront *vif[NET_VIFS];
};

struct net_result {
	struct rate rate;
	struct histogram latency; /* TSC ticks; ping only */
	uint64_t lost;            /* ping: unanswered; else tx errors and drops */
	uint64_t static_pages;
	int rc;
};

/* 0 or -errno after a line on stderr; net_domain_down in either case. letter tells the domains of one run apart. */
int net_domain_up(struct net_domain *d, const struct net_options *o, char letter, unsigned nr_vifs);
void net_domain_down(struct net_domain *d);
/* The address of a vif of this run, before it is there. */
void net_address(uint8_t mac[6], pid_t run, char letter, unsigned vif);
/* Let the bridge learn where this vif is. */
void net_announce(struct netfront *nf);
/* Frames of a burst: all headers, then the payload if it is to be touched. False: a buffer is too small. */
bool net_fill(const struct net_options *o, struct netfront_buf *bufs, unsigned n, const uint8_t *to, const uint8_t *from);

/* Until the time is over; all vifs are connected. */
int net_send_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
int net_receive_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
int net_both_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
int net_ping_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
/* The other end of a pair: send until *done. */
int net_send_until(struct net_domain *d, const struct net_options *o, const uint8_t *to, const bool *done);

#endif
