/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfront: the guest's end of a virtual network interface (vif), over port.h. A polling interface made for bursts; one thread. The kernel's loop is
 *
 *	netfront_step(nf);                                 the handshake, and coming back after a back end that died
 *	n = netfront_rx(nf, bufs, N); use them; netfront_rx_done(nf, bufs, n);
 *	n = netfront_tx_alloc(nf, bufs, N); fill them all; netfront_tx(nf, bufs, n);
 *	if (nothing to do && netfront_arm(nf, false)) port_wait(deadline);
 *
 * Buffers live in pages that are granted once for each connection and recycled. No buffer survives a call of netfront_step: give all back before.
 * A received page can be written by the back end at any time: copy out what you parse (shm.h). The back end is not trusted: when it breaks the protocol, the
 * vif is closed and nothing else happens.
 */
#ifndef FRONTEND_NETFRONT_H
#define FRONTEND_NETFRONT_H

#include "xenbus.h"

struct netfront;

#define NETFRONT_BURST 64u  /* a good number of buffers for one call */
#define NETFRONT_RX_MIN 21u /* netfront_rx wants room for the fragments of a whole packet: fewer buffers may give none */
#define NETFRONT_QUEUES 16u /* most of a vif */

enum netfront_flags {
	NETFRONT_MORE = 1,           /* the packet goes on in the next buffer */
	NETFRONT_CSUM_BLANK = 2,     /* the TCP or UDP checksum holds only the pseudo-header's sum */
	NETFRONT_DATA_VALIDATED = 4, /* the TCP or UDP checksum was checked, or need not be */
};

/* A fragment of a packet. Flags and gso count in a packet's first buffer, NETFRONT_MORE in each. */
struct netfront_buf {
	uint8_t *data;     /* where its bytes are, or are to be written; tx: may be moved within its page, as far down as its start */
	uint16_t len;      /* how many; set by the caller for tx */
	uint16_t room;     /* tx: most bytes that fit, at least 1600 */
	uint16_t id;       /* netfront's own */
	uint8_t queue;     /* the queue that it belongs to, 0 to netfront_queues() - 1 */
	uint8_t flags;     /* enum netfront_flags */
	uint8_t gso_type;  /* XEN_NETIF_GSO_TYPE_*: the packet is to be cut (tx) or was put together (rx) ... */
	uint16_t gso_size; /* ... in segments of so many payload bytes */
};

/* What the user of a vif can take from the back end. */
struct netfront_options {
	unsigned queues; /* at most so many queues each way, as many as the back end has; 0 is taken as 1, most are NETFRONT_QUEUES. 3.1 MiB and 770 grants each */
	bool csum_blank; /* packets from other guests whose checksum nobody has filled in */
	bool gso_tcpv4;  /* TCP packets of up to 64 KiB */
	bool no_static;  /* do not ask the back end to keep our pages mapped: it copies by grants, as for a front end that does not know how to ask */
};

enum netfront_state {
	NETFRONT_ABSENT,     /* no such vif in XenStore (yet) */
	NETFRONT_CONNECTING, /* waits for the back end */
	NETFRONT_CONNECTED,  /* packets flow */
	NETFRONT_CLOSED,     /* closed by the back end, or by us because it broke the protocol */
};

struct netfront_queue_stats {
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes;
	uint64_t tx_dropped;  /* not sent: no connection, or not something that this back end takes */
	uint64_t tx_errors;   /* answered with an error by the back end */
	uint64_t tx_lost;     /* unanswered when the connection ended */
	uint64_t rx_errors;   /* refused by the back end's own word */
};

struct netfront_stats {
	uint64_t tx_packets, tx_bytes, rx_packets, rx_bytes, tx_dropped, tx_errors, tx_lost, rx_errors; /* of all queues */
	uint64_t connections; /* how often it was connected */
	uint64_t static_pages; /* of ours, that this back end keeps mapped */
};

/* The vif at device/vif/<index>. NULL when there is no memory. Does nothing yet: call netfront_step. */
struct netfront *netfront_create(struct xenbus *xb, unsigned index, const struct netfront_options *options);
/* Disconnects, says Closed, frees. Pages that the back end still has mapped are leaked. NULL is fine. */
void netfront_destroy(struct netfront *nf);

/* Move the handshake on as far as it goes now. Cheap when XenStore has nothing new. */
enum netfront_state netfront_step(struct netfront *nf);
/* Valid once the state was beyond NETFRONT_ABSENT. */
const uint8_t *netfront_mac(const struct netfront *nf);
const struct netfront_stats *netfront_stats(struct netfront *nf);
/* Queues of this connection, or of the last one; at least 1. */
unsigned netfront_queues(const struct netfront *nf);
/* Of one queue, 0 to netfront_queues() - 1. */
const struct netfront_queue_stats *netfront_queue_stats(const struct netfront *nf, unsigned queue);

/*
 * How many buffers netfront_tx_alloc could give now. A bulk sender leaves some of them for those who answer others. flow: a hash of the flow that the packets
 * belong to (net_flow_hash of rings/net_flow.h is a good one); it picks the queue. Packets of one queue are sent in order, and another core of the back end may
 * serve each queue. With one queue, or for a sender that does not care, there are the names without a flow: flow 0, which is queue 0.
 */
unsigned netfront_tx_room_flow(struct netfront *nf, uint32_t flow);
unsigned netfront_tx_room(struct netfront *nf);
/* Up to n empty buffers; returns how many. They are spread over the cache sets (each starts at another offset in its page). */
unsigned netfront_tx_alloc_flow(struct netfront *nf, uint32_t flow, struct netfront_buf *bufs, unsigned n);
unsigned netfront_tx_alloc(struct netfront *nf, struct netfront_buf *bufs, unsigned n);
/* Send all n buffers, whole packets (the buffers of a packet are of one queue), in order; at most one notification for each change of the queue. Returns how many
 * packets went; the others are dropped and counted. */
unsigned netfront_tx(struct netfront *nf, const struct netfront_buf *bufs, unsigned n);
/* Give buffers back unsent. */
void netfront_tx_free(struct netfront *nf, const struct netfront_buf *bufs, unsigned n);

/* Received packets, whole ones, in up to n buffers, those of each queue together; returns how many buffers. */
unsigned netfront_rx(struct netfront *nf, struct netfront_buf *bufs, unsigned n);
/* Hand n of them back to the back end to be filled again; at most one notification. */
void netfront_rx_done(struct netfront *nf, const struct netfront_buf *bufs, unsigned n);

/* Ask for an event when packets arrive and, with tx, when there is room to send again. False: there is something already, do not wait. */
bool netfront_arm(struct netfront *nf, bool tx);

#endif
