/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The network stack. A burst is received, each packet's header copied out of the shared page (the back end can write it at any time) and looked at, replies
 * are written into their own pages and sent as one burst. Called by app.c's loop.
 */
#include "net.h"
#include "count.h"
#include "inet.h"
#include "kernel.h"
#include "string.h"
#include <errno.h>
#include <rings/net_flow.h>
#include <sluice/port.h>
#include <sluice/shm.h>

#define HEADER_BYTES 64u
#define ARP_ENTRIES 16u
#define ARP_INTERVAL_NS 100000000ull

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct {
	struct netfront *nf;
	bool connected;
	uint32_t ip, mask, gateway;
	uint8_t mac[6];
	struct {
		uint32_t ip; /* 0: free */
		uint8_t mac[6];
	} arp[ARP_ENTRIES];
	unsigned arp_next;
	uint64_t arp_asked_ns;
	struct netfront_buf rx[NETFRONT_BURST], tx[NETFRONT_BURST];
	unsigned nr_tx;
	struct count count;
} net;

/* A received packet: the private copy of its first bytes, and where the rest is. */
struct packet {
	uint8_t header[HEADER_BYTES];
	const struct netfront_buf *bufs;
	unsigned nr_bufs;
	size_t len;
};

/* ---- out ---- */

uint32_t net_flow(const uint8_t *frame)
{
	struct net_flow flow;

	if (netfront_queues(net.nf) == 1)
		return 0;
	net_flow_parse(frame, HEADER_BYTES, &flow);
	return net_flow_hash(&flow);
}

/* An empty buffer that goes out at the end of the burst; NULL when there is none (the packet is then dropped: senders repeat). */
static struct netfront_buf *reply_buf(uint32_t flow)
{
	struct netfront_buf *b = &net.tx[net.nr_tx];

	if (net.nr_tx == NETFRONT_BURST || netfront_tx_alloc_flow(net.nf, flow, b, 1) != 1)
		return NULL;
	net.nr_tx++;
	return b;
}

static void send_replies(void)
{
	if (net.nr_tx)
		netfront_tx(net.nf, net.tx, net.nr_tx);
	net.nr_tx = 0;
}

/* A short frame from a private one, padded to Ethernet's least. */
static void put_frame(struct netfront_buf *b, const uint8_t *frame, size_t len)
{
	static const uint8_t zeroes[ETH_MIN];

	shm_copy_bulk(b->data, frame, len);
	if (len < ETH_MIN)
		shm_copy_bulk(b->data + len, zeroes, ETH_MIN - len);
	b->len = (uint16_t)(len < ETH_MIN ? ETH_MIN : len);
}

static void send_arp(uint16_t op, const uint8_t *to, const uint8_t *target_mac, uint32_t target_ip)
{
	static const uint8_t fixed[6] = { 0, 1, 8, 0, 6, 4 }; /* Ethernet, IPv4 */
	struct netfront_buf *b = reply_buf(0);
	uint8_t frame[ARP_END];

	if (!b)
		return;
	memcpy(frame + ETH_DST, to, 6);
	memcpy(frame + ETH_SRC, net.mac, 6);
	put_be16(frame + ETH_TYPE, ETH_TYPE_ARP);
	memcpy(frame + ARP_FIXED, fixed, sizeof(fixed));
	put_be16(frame + ARP_OP, op);
	memcpy(frame + ARP_SHA, net.mac, 6);
	put_be32(frame + ARP_SPA, net.ip);
	memcpy(frame + ARP_THA, target_mac, 6);
	put_be32(frame + ARP_TPA, target_ip);
	put_frame(b, frame, sizeof(frame));
}

/* ---- ARP ---- */

static uint8_t *arp_find(uint32_t ip)
{
	for (unsigned i = 0; i < ARP_ENTRIES; i++)
		if (net.arp[i].ip == ip)
			return net.arp[i].mac;
	return NULL;
}

static void arp_learn(uint32_t ip, const uint8_t *mac)
{
	uint8_t *known = ip ? arp_find(ip) : NULL;

	if (!ip)
		return;
	if (!known) {
		net.arp[net.arp_next].ip = ip;
		known = net.arp[net.arp_next].mac;
		net.arp_next = (net.arp_next + 1) % ARP_ENTRIES;
	}
	memcpy(known, mac, 6);
}

bool net_resolve(uint32_t ip, uint8_t mac[6])
{
	static const uint8_t unknown[6];
	uint32_t hop = (ip ^ net.ip) & net.mask && net.gateway ? net.gateway : ip;
	const uint8_t *known = arp_find(hop);
	uint64_t now;

	if (known) {
		memcpy(mac, known, 6);
		return true;
	}
	now = port_now_ns();
	if (net.connected && now - net.arp_asked_ns >= ARP_INTERVAL_NS) {
		net.arp_asked_ns = now;
		send_arp(1, broadcast, unknown, hop);
		send_replies();
	}
	return false;
}

static void input_arp(const struct packet *p)
{
	const uint8_t *h = p->header;

	if (p->len < ARP_END || get_be16(h + ARP_FIXED) != 1 || get_be32(h + ARP_TPA) != net.ip || get_be32(h + ARP_SPA) == net.ip)
		return;
	arp_learn(get_be32(h + ARP_SPA), h + ARP_SHA);
	if (get_be16(h + ARP_OP) == 1)
		send_arp(2, h + ARP_SHA, h + ARP_SHA, get_be32(h + ARP_SPA));
}

/* ---- echo ---- */

/* Append the packet's bytes [HEADER_BYTES, total) to what stands in b already. */
static void copy_rest(struct netfront_buf *b, const struct packet *p, size_t total)
{
	size_t at = 0; /* where this fragment begins in the packet */

	for (unsigned i = 0; i < p->nr_bufs && at < total; at += p->bufs[i++].len) {
		size_t from = at < HEADER_BYTES ? HEADER_BYTES - at : 0, end = p->bufs[i].len;

		if (end > total - at)
			end = total - at;
		if (from < end)
			shm_copy_bulk(b->data + at + from, p->bufs[i].data + from, end - from);
	}
}

/* Send the packet back where it came from, with the changes that the caller has made to the header. */
static void echo(struct packet *p)
{
	size_t total = ETH_HLEN + (size_t)get_be16(p->header + IP_TOTAL);
	struct netfront_buf *b;
	uint8_t *h = p->header;

	memcpy(h + ETH_DST, h + ETH_SRC, 6);
	memcpy(h + ETH_SRC, net.mac, 6);
	inet_ip_header(h, h[IP_PROTOCOL], net.ip, get_be32(h + IP_SRC), (uint16_t)(total - ETH_HLEN - IP_HLEN));
	b = reply_buf(net_flow(h));
	if (!b)
		return;
	if (total > b->room) {
		net.nr_tx--;
		netfront_tx_free(net.nf, b, 1);
		return;
	}
	put_frame(b, h, total < HEADER_BYTES ? total : HEADER_BYTES);
	copy_rest(b, p, total);
	if (b->len < total)
		b->len = (uint16_t)total;
	b->flags = p->bufs->flags & NETFRONT_CSUM_BLANK; /* the pseudo-header's sum is the same in both directions */
}

static void input_icmp(struct packet *p)
{
	uint8_t *h = p->header;

	if (get_be16(h + IP_TOTAL) < ICMP_END - ETH_HLEN || h[ICMP_TYPE] != 8)
		return;
	h[ICMP_TYPE] = 0;
	put_be16(h + ICMP_CHECKSUM, inet_checksum_update(get_be16(h + ICMP_CHECKSUM), 0x0800 | h[ICMP_TYPE + 1], h[ICMP_TYPE + 1]));
	echo(p);
}

/* Two echo ports would talk to each other for ever. */
static void input_udp_echo(struct packet *p)
{
	uint16_t from = get_be16(p->header + UDP_SRC);

	if (from == PORT_ECHO)
		return;
	put_be16(p->header + UDP_SRC, PORT_ECHO);
	put_be16(p->header + UDP_DST, from);
	echo(p);
}

/* ---- in ---- */

static void input_ip(struct packet *p)
{
	uint8_t *h = p->header;

	if (!inet_ip_plain(h, p->len) || get_be32(h + IP_DST) != net.ip || memcmp(h + ETH_DST, net.mac, 6))
		return;
	if (h[IP_PROTOCOL] == IP_ICMP)
		return input_icmp(p);
	if (h[IP_PROTOCOL] != IP_UDP || get_be16(h + IP_TOTAL) < UDP_END - ETH_HLEN)
		return;
	if (get_be16(h + UDP_DST) == PORT_DISCARD)
		count_packet(&net.count, h, p->len);
	else if (get_be16(h + UDP_DST) == PORT_ECHO)
		input_udp_echo(p);
}

static void input(struct packet *p)
{
	uint16_t type;

	if (p->bufs->len >= HEADER_BYTES)
		shm_copy_in(p->header, p->bufs->data, HEADER_BYTES);
	else
		shm_copy_bulk(p->header, p->bufs->data, p->bufs->len);
	if (p->bufs->len < HEADER_BYTES)
		memset(p->header + p->bufs->len, 0, HEADER_BYTES - p->bufs->len);
	type = get_be16(p->header + ETH_TYPE);
	if (type == ETH_TYPE_IP)
		input_ip(p);
	else if (type == ETH_TYPE_ARP)
		input_arp(p);
}

/* Headers must lie in the first fragment, as every sender we know has them: else the packet is ignored. */
static void input_burst(unsigned n)
{
	struct packet p;

	for (unsigned i = 0; i < n; i += p.nr_bufs) {
		p.bufs = &net.rx[i];
		p.len = net.rx[i].len;
		for (p.nr_bufs = 1; net.rx[i + p.nr_bufs - 1].flags & NETFRONT_MORE; p.nr_bufs++)
			p.len += net.rx[i + p.nr_bufs].len;
		if (p.nr_bufs == 1 || p.bufs->len >= HEADER_BYTES)
			input(&p);
	}
	count_burst_end(&net.count);
}

/* Say who we are, and tell the switch where: also after a new back end has taken over. */
static void announce(void)
{
	memcpy(net.mac, netfront_mac(net.nf), 6);
	print_line("vif0: connected mac=%02x:%02x:%02x:%02x:%02x:%02x ip=%u.%u.%u.%u", net.mac[0], net.mac[1], net.mac[2], net.mac[3], net.mac[4], net.mac[5],
		   net.ip >> 24, net.ip >> 16 & 255, net.ip >> 8 & 255, net.ip & 255);
	if (net.ip)
		send_arp(1, broadcast, broadcast, net.ip);
	send_replies();
}

static bool handshake(void)
{
	bool before = net.connected;

	net.connected = netfront_step(net.nf) == NETFRONT_CONNECTED;
	if (net.connected && !before)
		announce();
	else if (before && !net.connected)
		print_line("vif0: disconnected");
	return net.connected != before;
}

bool net_poll(void)
{
	bool changed = handshake();
	unsigned n = netfront_rx(net.nf, net.rx, NETFRONT_BURST);

	if (!n)
		return changed;
	input_burst(n);
	netfront_rx_done(net.nf, net.rx, n);
	send_replies();
	return true;
}

bool net_arm(bool tx)
{
	return netfront_arm(net.nf, tx);
}

int net_init(struct xenbus *xb, uint32_t ip, unsigned prefix, uint32_t gateway, unsigned queues)
{
	struct netfront_options options = { .csum_blank = true, .queues = queues };

	net.ip = ip;
	net.mask = prefix ? ~0u << (32 - prefix) : 0;
	net.gateway = gateway;
	net.nf = netfront_create(xb, 0, &options);
	return net.nf ? 0 : -ENOMEM;
}

bool net_connected(void)
{
	return net.connected;
}

uint32_t net_ip(void)
{
	return net.ip;
}

struct netfront *net_vif(void)
{
	return net.nf;
}

const struct net_count *net_count(void)
{
	return &net.count.total;
}

void net_count_reset(void)
{
	memset(&net.count, 0, sizeof(net.count));
}
