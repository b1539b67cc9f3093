/* SPDX-License-Identifier: BSD-3-Clause */
/* Counting packets of our own senders by sequence number. Called by net.c; also compiled hosted, for its test. */
#include "count.h"
#include "inet.h"
#include <sluice/port.h>

/* The flow of a sender's run; a new one takes the oldest one's place. */
static unsigned find_flow(struct count *c, uint32_t src, uint32_t run)
{
	unsigned i = c->last_flow;

	if (c->flow[i].src == src && c->flow[i].run == run) /* packets come in bursts of one flow */
		return i;
	for (i = 0; i < COUNT_FLOWS; i++)
		if (c->flow[i].src == src && c->flow[i].run == run)
			return c->last_flow = i;
	i = c->next_flow;
	c->next_flow = (i + 1) % COUNT_FLOWS;
	c->flow[i].src = src;
	c->flow[i].run = run;
	c->flow[i].next = 0;
	return c->last_flow = i;
}

/* A gap counts as lost; a packet that comes late after all takes that back. */
static void count_sequence(struct count *c, const uint8_t *header)
{
	unsigned i = find_flow(c, get_be32(header + IP_SRC), get_be32(header + PROBE_RUN_AT));
	uint64_t seq = (uint64_t)get_be32(header + PROBE_SEQUENCE_AT) << 32 | get_be32(header + PROBE_SEQUENCE_AT + 4);

	if (seq >= c->flow[i].next) {
		c->total.lost += seq - c->flow[i].next;
		c->flow[i].next = seq + 1;
	} else if (c->total.lost) {
		c->total.lost--;
	}
}

void count_packet(struct count *c, const uint8_t header[64], size_t len)
{
	c->total.packets++;
	c->total.bytes += len;
	if (len >= PROBE_END && get_be32(header + PROBE_MAGIC_AT) == PROBE_MAGIC)
		count_sequence(c, header);
}

void count_burst_end(struct count *c)
{
	if (c->total.packets == c->burst_packets)
		return;
	c->burst_packets = c->total.packets;
	c->total.last_ns = port_now_ns();
	if (!c->total.first_ns)
		c->total.first_ns = c->total.last_ns;
}
