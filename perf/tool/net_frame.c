/* SPDX-License-Identifier: BSD-3-Clause */
/* The frames that sluice-perf net sends: UDP up to 1514 bytes, above that TCP over several buffers, to be cut by segmentation offload. Called by net_loops.c. */
#include "net.h"
#include <rings/net_flow.h>
#include <string.h>

#define ETH 14u
#define IP 20u
#define UDP_END 42u
#define TCP_END 54u
#define MSS 1448u
#define PORT 5000u

unsigned net_frame_bufs(const struct net_options *o)
{
	return o->size > NET_FRAME_MAX ? (o->size + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE : 1;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* The Internet checksum's sum of n bytes, n even, added to sum and folded. */
static uint32_t fold(const uint8_t *at, unsigned n, uint32_t sum)
{
	for (unsigned i = 0; i < n; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static void tcp_header(uint8_t *h, unsigned ip_len)
{
	static const uint8_t fixed[20] = { 0x13, 0x88, 0x13, 0x89, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff };

	memcpy(h + ETH + IP, fixed, sizeof(fixed));
	put16(h + ETH + IP + 16, fold(h + ETH + 12, 8, 6 + ip_len - IP)); /* the pseudo-header's sum: the rest is the receiver's or the NIC's */
}

/* From 10.0.0.1 to 10.0.0.2; UDP has no checksum, the IPv4 one is made for the size. Returns how long the headers are. */
static unsigned headers(uint8_t h[TCP_END], unsigned size, const uint8_t *to, const uint8_t *from)
{
	static const uint8_t fixed[30] = { 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x13, 0x88, 0x13, 0x89 };
	unsigned ip = size - ETH;
	bool tcp = size > NET_FRAME_MAX;

	memcpy(h, to, 6);
	memcpy(h + 6, from, 6);
	memcpy(h + 12, fixed, sizeof(fixed));
	put16(h + 16, ip);
	put16(h + 38, ip - IP);
	if (tcp)
		h[23] = 6;
	put16(h + 24, ~fold(h + ETH, IP, 0) & 0xffff);
	if (tcp)
		tcp_header(h, ip);
	return tcp ? TCP_END : UDP_END;
}

static bool fill_one(const struct net_options *o, struct netfront_buf *b, const uint8_t *h)
{
	if (b->room < o->size)
		return false;
	memcpy(b->data, h, UDP_END);
	if (o->touch)
		memset(b->data + UDP_END, 0xa5, o->size - UDP_END);
	b->len = (uint16_t)o->size;
	b->flags = b->gso_type = 0;
	b->gso_size = 0;
	return true;
}

/* Whole pages, but for the last. */
static void fill_many(const struct net_options *o, struct netfront_buf *bufs, unsigned n, const uint8_t *h)
{
	for (unsigned i = 0, left = o->size; i < n; i++, left -= SLUICE_PAGE_SIZE) {
		bufs[i].data -= (uintptr_t)bufs[i].data % SLUICE_PAGE_SIZE;
		bufs[i].len = (uint16_t)(i + 1 < n ? SLUICE_PAGE_SIZE : left);
		bufs[i].flags = (uint8_t)((i + 1 < n ? NETFRONT_MORE : 0) | (i ? 0 : NETFRONT_CSUM_BLANK));
		bufs[i].gso_type = i ? 0 : XEN_NETIF_GSO_TYPE_TCPV4;
		bufs[i].gso_size = i ? 0 : MSS;
		if (o->touch)
			memset(bufs[i].data, 0xa5, bufs[i].len);
	}
	memcpy(bufs[0].data, h, TCP_END);
}

static unsigned flow;

uint32_t net_next_flow(const struct net_options *o, const uint8_t *to, const uint8_t *from)
{
	uint8_t h[TCP_END] = { 0 };
	struct net_flow f;

	headers(h, o->size, to, from);
	put16(h + ETH + IP, PORT + ++flow % o->flows);
	net_flow_parse(h, sizeof(h), &f);
	return net_flow_hash(&f);
}

bool net_fill(const struct net_options *o, struct netfront_buf *bufs, unsigned n, const uint8_t *to, const uint8_t *from)
{
	unsigned each = net_frame_bufs(o);
	uint8_t h[TCP_END] = { 0 };

	headers(h, o->size, to, from);
	for (unsigned i = 0; i < n; i += each) {
		if (o->flows > 1)
			put16(h + ETH + IP, PORT + (o->queues > 1 ? flow : flow++) % o->flows);
		if (each > 1)
			fill_many(o, bufs + i, each, h);
		else if (!fill_one(o, &bufs[i], h))
			return false;
	}
	return true;
}
