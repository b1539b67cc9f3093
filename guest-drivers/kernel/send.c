/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sender: UDP packets with sequence numbers to port 9 of one address, of one flow or several, as fast as the rings take them or at a given rate. Each step
 * writes the headers of a whole burst, then sends it. Called by app.c's loop.
 */
#include "app.h"
#include "count.h"
#include "inet.h"
#include "kernel.h"
#include "net.h"
#include "string.h"
#include "text.h"
#include <sluice/port.h>
#include <sluice/shm.h>

#define BURST 32u
#define BURSTS 4u /* at a time */
#define ANSWERS 16u
#define SEND_FLOWS COUNT_FLOWS /* as many as one receiver can follow */
#define SOURCE_PORT 49152u     /* of the first flow */
#define RESOLVE_NS 3000000000ull /* so long may the address of the next hop stay unknown */
#define SECOND_NS 1000000000ull
#define RETRY_NS 10000000ull
#define SIZE_MAX_BYTES 1514u
#define HEADER_BYTES 64u

static struct {
	bool active, resolved, wants_room;
	uint32_t dst;
	uint16_t size;
	uint64_t rate;  /* packets a second; 0: no limit */
	uint64_t seconds_ns, start_ns, end_ns; /* start: of the sending, or of the wish to while unresolved */
	uint64_t packets;
	unsigned nr_flows, turn; /* turn: whose burst comes next */
	struct {
		uint32_t hash;
		uint64_t sequence;
	} flow[SEND_FLOWS];
	uint8_t header[HEADER_BYTES]; /* what all packets begin with, but for what tells flows and packets apart */
} job;

/* To a receiver each flow is a run of its own, with its own sequence. */
static void header_of_flow(unsigned flow)
{
	put_be16(job.header + UDP_SRC, (uint16_t)(SOURCE_PORT + flow));
	put_be32(job.header + PROBE_RUN_AT, (uint32_t)job.start_ns + flow);
}

static void prepare_header(const uint8_t mac[6])
{
	uint8_t *h = job.header;

	memcpy(h + ETH_DST, mac, 6);
	memcpy(h + ETH_SRC, netfront_mac(net_vif()), 6);
	put_be16(h + ETH_TYPE, ETH_TYPE_IP);
	inet_ip_header(h, IP_UDP, net_ip(), job.dst, (uint16_t)(job.size - ETH_HLEN - IP_HLEN));
	put_be16(h + UDP_DST, PORT_DISCARD);
	put_be16(h + UDP_LENGTH, (uint16_t)(job.size - ETH_HLEN - IP_HLEN));
	put_be16(h + UDP_CHECKSUM, 0); /* none: allowed for IPv4 */
	put_be32(h + PROBE_MAGIC_AT, PROBE_MAGIC);
	for (unsigned i = 0; i < job.nr_flows; i++) {
		header_of_flow(i);
		job.flow[i].hash = net_flow(h);
	}
}

void send_start(const char *arguments)
{
	uint64_t size, seconds, rate, flows;
	char word[32];
	uint32_t dst;

	if (!text_value(arguments, "dst", word, sizeof(word)) || !text_parse_ip(word, &dst, NULL) || !dst) {
		print_line("send: error: which address? say dst=10.0.0.3");
		return;
	}
	if (!text_number(arguments, "size", 64, &size) || size < ETH_MIN || size > SIZE_MAX_BYTES) {
		print_line("send: error: size must be %u to %u bytes (a frame without its FCS)", (unsigned)ETH_MIN, SIZE_MAX_BYTES);
		return;
	}
	if (!text_number(arguments, "seconds", 1, &seconds) || !seconds || seconds > 86400 || !text_number(arguments, "rate", 0, &rate) || rate > SECOND_NS) {
		print_line("send: error: seconds must be 1 to 86400, rate at most 1000000000 packets a second");
		return;
	}
	if (!text_number(arguments, "flows", 1, &flows) || !flows || flows > SEND_FLOWS) {
		print_line("send: error: flows must be 1 to %u", SEND_FLOWS);
		return;
	}
	memset(&job, 0, sizeof(job));
	job.active = true;
	job.nr_flows = (unsigned)flows;
	job.dst = dst;
	job.size = (uint16_t)size;
	job.rate = rate;
	job.seconds_ns = seconds * SECOND_NS;
	job.start_ns = port_now_ns();
}

static void finish(uint64_t now)
{
	job.active = false;
	print_line("send: packets=%lu bytes=%lu ns=%lu", job.packets, job.packets * job.size, now - job.start_ns);
}

/* True once the address of the next hop is known, and the clock runs. */
static bool resolve(uint64_t now)
{
	uint8_t mac[6];

	if (net_resolve(job.dst, mac)) {
		job.start_ns = now;
		job.end_ns = now + job.seconds_ns;
		job.resolved = true;
		prepare_header(mac);
		return true;
	}
	if (now - job.start_ns > RESOLVE_NS) {
		job.active = false;
		print_line("send: error: nobody answers for that address; is the other guest up, and on the same bridge?");
	}
	return false;
}

/* a * b / c without a product of 128 bits; b and c at most 10^9. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
	return a / c * b + a % c * b / c;
}

/* Packets that may go now by the rate. */
static unsigned allowed(uint64_t now)
{
	uint64_t due;

	if (!job.rate)
		return BURST;
	due = scale(now - job.start_ns, job.rate, SECOND_NS) + 1;
	if (due <= job.packets)
		return 0;
	return due - job.packets < BURST ? (unsigned)(due - job.packets) : BURST;
}

/* The number last, and into the packet itself: to change the header for each would have each copy wait for the change. */
static void fill(struct netfront_buf *b, uint64_t sequence)
{
	uint64_t number = __builtin_bswap64(sequence);

	_Static_assert((unsigned)PROBE_END <= (unsigned)ETH_MIN, "each packet has a number");

	if (job.size >= HEADER_BYTES)
		shm_copy_out(b->data, job.header, HEADER_BYTES);
	else
		shm_copy_bulk(b->data, job.header, job.size);
	shm_copy_bulk(b->data + PROBE_SEQUENCE_AT, &number, sizeof(number));
	b->len = job.size;
}

/* A burst that does not fit whole waits: many small ones would cost more. Some room stays for answers: this guest can be pinged while it sends. */
static bool send_burst(unsigned flow, unsigned n)
{
	struct netfront_buf bufs[BURST];
	uint32_t hash = job.flow[flow].hash;

	if (netfront_tx_room_flow(net_vif(), hash) < n + ANSWERS || netfront_tx_alloc_flow(net_vif(), hash, bufs, n) != n)
		return false;
	header_of_flow(flow);
	for (unsigned i = 0; i < n; i++)
		fill(&bufs[i], job.flow[flow].sequence++);
	job.packets += netfront_tx(net_vif(), bufs, n);
	return true;
}

/* Of the first flow, in turn, that has room for it: flows of one queue share its room. */
static bool send_any(unsigned n)
{
	for (unsigned tried = 0; tried < job.nr_flows; tried++) {
		unsigned flow = job.turn;

		job.turn = (job.turn + 1) % job.nr_flows;
		if (send_burst(flow, n))
			return true;
	}
	return false;
}

/* Without a rate several bursts go before the rest of the kernel is looked after. False: there was no room for one. */
static bool send_bursts(unsigned n)
{
	unsigned most = job.rate ? 1 : BURSTS, sent = 0;

	while (sent < most && send_any(n))
		sent++;
	job.wants_room = sent < most;
	return sent > 0;
}

static void lower(uint64_t *deadline, uint64_t to)
{
	if (to < *deadline)
		*deadline = to;
}

bool send_step(uint64_t *deadline_ns)
{
	uint64_t now;
	unsigned n;

	job.wants_room = false;
	if (!job.active)
		return false;
	now = port_now_ns();
	if (!job.resolved && !resolve(now)) {
		lower(deadline_ns, now + RETRY_NS);
		return false;
	}
	if (now >= job.end_ns) {
		finish(now);
		return true;
	}
	lower(deadline_ns, job.end_ns);
	n = allowed(now);
	if (!n) {
		lower(deadline_ns, job.start_ns + scale(job.packets, SECOND_NS, job.rate));
		return false;
	}
	return send_bursts(n);
}

bool send_wants_room(void)
{
	return job.wants_room;
}
