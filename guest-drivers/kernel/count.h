/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting what arrives on UDP port 9, and what did not. */
#ifndef GUEST_COUNT_H
#define GUEST_COUNT_H

#include "net.h"

#define COUNT_FLOWS 16u /* senders whose sequence is followed at the same time */

struct count {
	struct net_count total;
	uint64_t burst_packets; /* total.packets when the time was last noted */
	struct {
		uint32_t src, run;
		uint64_t next; /* the sequence number that should come */
	} flow[COUNT_FLOWS];
	unsigned next_flow, last_flow; /* next: replaced next; last: of the packet before */
};

/* One packet to port 9: its first 64 bytes (zeroes behind a shorter one) and its whole length. */
void count_packet(struct count *c, const uint8_t header[64], size_t len);
/* Notes the time, once a burst: reading the clock for each packet would cost more than counting it. */
void count_burst_end(struct count *c);

#endif
