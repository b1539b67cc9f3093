/* SPDX-License-Identifier: BSD-3-Clause */
/* The loops that sluice-perf net measures: each polls, moves bursts, and counts them in the sampler. Called by net.c. */
#include "net.h"
#include <errno.h>
#include <sched.h>
#include <string.h>

#define STEP_EVERY 1024u /* turns between two looks at the handshake */
#define RX_BUFS NETFRONT_BURST
#define PING_TIMEOUT_NS 50000000.0
#define NUMBER_AT 42u /* in a ping: behind the headers */

static const uint8_t nobody[6] = { 0x02, 0, 0, 0, 0, 0xfe };
static uint64_t touched; /* what reading sums up to: so that the compiler keeps it */

/* ---- turns ---- */

static bool still_connected(struct net_domain *d, unsigned *turn)
{
	if (++*turn % STEP_EVERY)
		return true;
	for (unsigned i = 0; i < d->nr_vifs; i++)
		if (netfront_step(d->vif[i]) != NETFRONT_CONNECTED)
			return false;
	return true;
}

/* One burst; how many packets went. */
static unsigned send_burst(struct netfront *nf, const struct net_options *o, const uint8_t *to)
{
	struct netfront_buf bufs[NETFRONT_BURST];
	unsigned n = netfront_tx_alloc(nf, bufs, o->burst);

	if (!n)
		return 0;
	if (net_fill(o, bufs, n, to, netfront_mac(nf)))
		return netfront_tx(nf, bufs, n);
	netfront_tx_free(nf, bufs, n);
	return 0;
}

static void read_all(const struct netfront_buf *buf)
{
	const uint64_t *words = (const uint64_t *)(const void *)buf->data;
	uint64_t sum = 0;

	for (unsigned i = 0; i < buf->len / 8u; i++) {
		uint64_t word;

		memcpy(&word, words + i, sizeof(word));
		sum += word;
	}
	touched += sum;
}

/* What has come; how many packets. Of each the first bytes are looked at, as any receiver must. */
static unsigned receive_burst(struct netfront *nf, const struct net_options *o)
{
	struct netfront_buf bufs[RX_BUFS];
	unsigned n = netfront_rx(nf, bufs, RX_BUFS), packets = 0;

	for (unsigned i = 0; i < n; i++) {
		packets += !(bufs[i].flags & NETFRONT_MORE);
		touched += bufs[i].data[0];
		if (o->touch)
			read_all(&bufs[i]);
	}
	if (n)
		netfront_rx_done(nf, bufs, n);
	return packets;
}

/* ---- the end of a run ---- */

static int finish(struct net_domain *d, struct sampler *s, struct net_result *r, bool connected)
{
	__atomic_store_n(&touched, touched, __ATOMIC_RELAXED);
	r->rate = sampler_rate(s);
	for (unsigned i = 0; i < d->nr_vifs; i++) {
		const struct netfront_stats *st = netfront_stats(d->vif[i]);

		r->lost += st->tx_dropped + st->tx_errors + st->tx_lost + st->rx_errors;
		r->static_pages += st->static_pages;
	}
	sampler_fini(s);
	return !connected ? -EPIPE : r->rate.windows ? 0 : -ENODATA;
}

static int begin(const struct net_options *o, struct sampler *s)
{
	return sampler_init(s, tsc_calibrate(), o->seconds);
}

/* ---- the loops ---- */

int net_send_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0;
	bool connected = true;

	if (begin(o, &s))
		return -ENOMEM;
	while (sampler_tick(&s, send_burst(d->vif[0], o, nobody)) && connected)
		connected = still_connected(d, &turn);
	return finish(d, &s, r, connected);
}

int net_receive_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0, n;
	bool connected = true;

	if (begin(o, &s))
		return -ENOMEM;
	do {
		n = receive_burst(d->vif[0], o);
		if (!n && o->polite)
			sched_yield();
		connected = still_connected(d, &turn);
	} while (sampler_tick(&s, n) && connected);
	return finish(d, &s, r, connected);
}

int net_both_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0;
	bool connected = true;
	uint8_t to[6];

	if (begin(o, &s))
		return -ENOMEM;
	memcpy(to, netfront_mac(d->vif[1]), sizeof(to));
	net_announce(d->vif[1]);
	do {
		send_burst(d->vif[0], o, to);
		connected = still_connected(d, &turn);
	} while (sampler_tick(&s, receive_burst(d->vif[1], o)) && connected);
	return finish(d, &s, r, connected);
}

int net_send_until(struct net_domain *d, const struct net_options *o, const uint8_t *to, const bool *done)
{
	unsigned turn = 0;

	while (!__atomic_load_n(done, __ATOMIC_ACQUIRE)) {
		if (!send_burst(d->vif[0], o, to) && o->polite)
			sched_yield();
		receive_burst(d->vif[0], o);
		if (!still_connected(d, &turn))
			return -EPIPE;
	}
	return 0;
}

/* ---- round trips ---- */

/* Each packet carries its number: a late one must not be taken for the answer to the next. */
static bool send_numbered(struct netfront *nf, const struct net_options *o, const uint8_t *to, uint64_t number)
{
	struct netfront_buf buf;

	if (!netfront_tx_alloc(nf, &buf, 1))
		return false;
	if (!net_fill(o, &buf, 1, to, netfront_mac(nf))) {
		netfront_tx_free(nf, &buf, 1);
		return false;
	}
	memcpy(buf.data + NUMBER_AT, &number, sizeof(number));
	return netfront_tx(nf, &buf, 1) == 1;
}

/* Has this packet come? Others are nobody's. */
static bool answered(struct netfront *nf, uint64_t number)
{
	struct netfront_buf bufs[RX_BUFS];
	unsigned n = netfront_rx(nf, bufs, RX_BUFS);
	bool found = false;

	for (unsigned i = 0; i < n; i++)
		found |= bufs[i].len >= NUMBER_AT + sizeof(number) && !memcmp(bufs[i].data + NUMBER_AT, &number, sizeof(number));
	if (n)
		netfront_rx_done(nf, bufs, n);
	return found;
}

/* Ticks until the packet was back, or 0 when it was lost. */
static uint64_t ping(struct net_domain *d, const struct net_options *o, const uint8_t *to, uint64_t number, uint64_t timeout)
{
	uint64_t began = __rdtsc(), now;

	if (!send_numbered(d->vif[0], o, to, number))
		return 0;
	do {
		bool back = answered(d->vif[1], number);

		now = __rdtsc();
		if (back)
			return now - began;
	} while (now - began < timeout);
	return 0;
}

int net_ping_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0;
	bool connected = true;
	uint64_t ticks, timeout, number = 0;
	uint8_t to[6];

	if (begin(o, &s))
		return -ENOMEM;
	timeout = (uint64_t)(PING_TIMEOUT_NS * s.tsc_per_ns);
	memcpy(to, netfront_mac(d->vif[1]), sizeof(to));
	net_announce(d->vif[1]);
	do {
		ticks = ping(d, o, to, ++number, timeout);
		connected = still_connected(d, &turn);
		if (s.total_from && ticks)
			histogram_add(&r->latency, ticks);
		r->lost += !ticks;
	} while (sampler_tick(&s, ticks != 0) && connected);
	return finish(d, &s, r, connected);
}
