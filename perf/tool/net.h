/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf net's own: options and reports (net.c), the domains of a run (net_run.c), one domain (net_domain.c), frames (net_frame.c), loops (net_loops.c). */
#ifndef PERF_NET_H
#define PERF_NET_H

#include "tool.h"
#include <frontend/netfront.h>
#include <guest-drivers/hosted/hosted.h>

#define NET_VIFS 32u     /* of a domain: more would not fit into its nodes of XenStore */
#define NET_VIFS_ALL 64u /* that share the load of a run, or are idle beside */
#define NET_SIZES 16u
#define NET_FRAME_MAX 1514u /* longer ones are TCP for segmentation offload */
#define NET_GSO_MAX 65535u
#define NET_FRAGS 17u   /* of the longest */

enum net_mode { NET_TX, NET_RX, NET_LOOP, NET_PAIR, NET_PING };

struct net_options {
	const char *run_dir, *bridge;
	enum net_mode mode;
	unsigned sizes[NET_SIZES], nr_sizes;
	unsigned size, burst;  /* bytes of a frame, packets of a burst */
	unsigned vifs, idle;   /* that share the load; connected beside them, without traffic. 0 vifs: as many as the mode needs */
	unsigned queues;       /* that each vif asks for */
	unsigned flows;        /* UDP or TCP source ports that take turns: by packets, or by bursts when there are several queues. 0: not said */
	double seconds;
	bool json, touch, copy, drop;
	bool polite;           /* both ends of a pair share a core, so idle turns yield it */
	int cpu, peer_cpu;     /* -1: anywhere */
};

/* What the processes of a run share. */
struct net_meeting {
	bool done;
	unsigned ready, failed; /* further domains that are, that could not be */
	uint64_t others;        /* packets of the domain that shares the load */
	uint32_t turn;          /* of the two that share it and a core: TURN_MEASURER or TURN_HELPER (a futex) */
};

/* This process as a domain with some connected vifs. */
struct net_domain {
	struct xenbus *xb;
	unsigned nr_vifs;
	struct netfront *vif[NET_VIFS];
	struct net_meeting *shared; /* NULL: this is the only one */
};

struct net_result {
	struct rate rate;
	struct histogram latency; /* TSC ticks; ping only */
	uint64_t lost;            /* ping: unanswered; else tx errors and drops */
	uint64_t static_pages;
	unsigned vifs;            /* that shared the load */
	unsigned queues;          /* of each vif, as the back end agreed */
	uint64_t queue_tx[NETFRONT_QUEUES], queue_rx[NETFRONT_QUEUES]; /* packets of this domain's vifs on each */
	int rc;
};

/* One size, with all the domains that it takes, each a process of its own. 0 or -errno; TSC ticks a nanosecond. */
int net_run(const struct net_options *o, struct net_result *r);
const char *net_mode_name(enum net_mode mode);

/* 0 or -errno after a line on stderr; net_domain_down in either case. letter (a to h) tells the domains of one run apart. */
int net_domain_up(struct net_domain *d, const struct net_options *o, char letter, unsigned nr_vifs);
void net_domain_down(struct net_domain *d);
/* The address of a vif of this run, before it is there. */
void net_address(uint8_t mac[6], pid_t run, char letter, unsigned vif);
/* Let the bridge learn where this vif is. */
void net_announce(struct netfront *nf);
/* Buffers that a frame takes. */
unsigned net_frame_bufs(const struct net_options *o);
/* Frames of a burst in n buffers, of which each takes net_frame_bufs(): headers, and the payload if it is to be touched. False: a buffer is too small. */
bool net_fill(const struct net_options *o, struct netfront_buf *bufs, unsigned n, const uint8_t *to, const uint8_t *from);

/* The next burst is of the next flow; its hash. Only with several queues. */
uint32_t net_next_flow(const struct net_options *o, const uint8_t *to, const uint8_t *from);

/* Until the time is over; all vifs are connected. */
int net_send_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
int net_receive_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
int net_both_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
int net_ping_loop(struct net_domain *d, const struct net_options *o, struct net_result *r);
/* Until shared->done: the other end of a pair; one of those who share the load; one whose vifs have no traffic. */
int net_send_until(struct net_domain *d, const struct net_options *o, const uint8_t *to);
int net_share_until(struct net_domain *d, const struct net_options *o);
int net_idle_until(struct net_domain *d);

#endif
