/* SPDX-License-Identifier: BSD-3-Clause */
/* The loops that sluice-perf net measures: each polls, moves bursts, and counts them in the sampler. Called by net.c. */
#include "net.h"
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STEP_EVERY 1024u /* turns between two looks at the handshake */
#define RX_BUFS NETFRONT_BURST
#define EXTRAS 86u /* most packets of two buffers in flight: one slot each */
#define IDLE_WAIT_NS 50000000u
#define TURN_LOOK_NS 50000000 /* how soon the end of the run is seen */
#define TURN_LOOKS 40u         /* without the other's turn having ended: it is gone */
#define TURN_NS 200000.0 /* a round of 32 vifs is 20 to 60 us */
#define PING_TIMEOUT_NS 50000000.0
#define NUMBER_AT 42u /* in a ping: behind the headers */

enum turn { TURN_MEASURER, TURN_HELPER };

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
	struct netfront_buf bufs[NETFRONT_BURST * NET_FRAGS];
	unsigned each = net_frame_bufs(o), n = o->burst * each;
	uint32_t flow = o->queues > 1 ? net_next_flow(o, to, netfront_mac(nf)) : 0;

	if (each > 1) { /* whole packets; the ring must have room for their extra-info slots, too */
		unsigned room = netfront_tx_room_flow(nf, flow);

		room -= room < EXTRAS ? room : EXTRAS;
		n = n < room ? n : room;
		n -= n % each;
	}
	n = netfront_tx_alloc_flow(nf, flow, bufs, n);
	if (!n)
		return 0;
	if (net_fill(o, bufs, n, to, netfront_mac(nf)))
		return netfront_tx(nf, bufs, n);
	netfront_tx_free(nf, bufs, n);
	return 0;
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
			touched += read_words(bufs[i].data, bufs[i].len);
	}
	if (n)
		netfront_rx_done(nf, bufs, n);
	return packets;
}

/* ---- the end of a run ---- */

static void count_queues(const struct netfront *nf, struct net_result *r)
{
	r->queues = netfront_queues(nf);
	for (unsigned q = 0; q < r->queues; q++) {
		const struct netfront_queue_stats *st = netfront_queue_stats(nf, q);

		r->queue_tx[q] += st->tx_packets;
		r->queue_rx[q] += st->rx_packets;
	}
}

static int finish(struct net_domain *d, struct sampler *s, struct net_result *r, bool connected)
{
	__atomic_store_n(&touched, touched, __ATOMIC_RELAXED);
	r->rate = sampler_rate(s);
	for (unsigned i = 0; i < d->nr_vifs; i++) {
		const struct netfront_stats *st = netfront_stats(d->vif[i]);

		r->lost += st->tx_dropped + st->tx_errors + st->tx_lost + st->rx_errors;
		r->static_pages += st->static_pages;
		count_queues(d->vif[i], r);
	}
	sampler_fini(s);
	return !connected ? -EPIPE : r->rate.windows ? 0 : -ENODATA;
}

static int begin(const struct net_options *o, struct sampler *s)
{
	int rc = sampler_init(s, tsc_calibrate(), o->seconds);

	snprintf(s->label, sizeof(s->label), "%u B: ", o->size);
	return rc;
}

/* ---- the loops ---- */

/* A burst from each vif, in turn: to nobody, so that it is flooded, or to itself, so that the bridge drops it. */
static unsigned send_round(struct net_domain *d, const struct net_options *o)
{
	unsigned n = 0;

	for (unsigned i = 0; i < d->nr_vifs; i++)
		n += send_burst(d->vif[i], o, o->drop ? netfront_mac(d->vif[i]) : nobody);
	return n;
}

/*
 * Two domains on one core: after each round it is the other's turn. sched_yield would leave it to the scheduler how many rounds one has, and whoever waits for long is no
 * longer polled and must raise events to be again. False: the other has ended.
 */
static bool hand_over(struct net_meeting *m, enum turn own)
{
	const struct timespec look = { .tv_nsec = TURN_LOOK_NS };
	unsigned looks = 0;

	__atomic_store_n(&m->turn, !own, __ATOMIC_RELEASE);
	syscall(SYS_futex, &m->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
	while (__atomic_load_n(&m->turn, __ATOMIC_ACQUIRE) != own && !__atomic_load_n(&m->done, __ATOMIC_ACQUIRE))
		if (syscall(SYS_futex, &m->turn, FUTEX_WAIT, !own, &look, NULL, 0) && errno == ETIMEDOUT && ++looks == TURN_LOOKS)
			return false;
	return true;
}

/* What the domain that shares the load has done since the last call. It gets the core, if they share one; for longer than a turn takes only when somebody else has it, too. */
static bool by_other(struct net_domain *d, const struct net_options *o, struct sampler *s, uint64_t *seen, unsigned *n)
{
	uint64_t now;

	if (o->vifs <= d->nr_vifs)
		return true;
	if (o->cpu >= 0) {
		if (!hand_over(d->shared, TURN_MEASURER))
			return false;
		sampler_excuse(s, TURN_NS);
	}
	now = __atomic_load_n(&d->shared->others, __ATOMIC_RELAXED);
	*n += (unsigned)(now - *seen);
	*seen = now;
	return true;
}

int net_send_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0, n;
	uint64_t seen = 0;
	bool connected = true;

	if (begin(o, &s))
		return -ENOMEM;
	do {
		n = send_round(d, o);
		connected = by_other(d, o, &s, &seen, &n) && still_connected(d, &turn);
	} while (sampler_tick(&s, n) && connected);
	return finish(d, &s, r, connected);
}

int net_share_until(struct net_domain *d, const struct net_options *o)
{
	unsigned turn = 0;

	while (!__atomic_load_n(&d->shared->done, __ATOMIC_ACQUIRE)) {
		__atomic_add_fetch(&d->shared->others, send_round(d, o), __ATOMIC_RELAXED);
		if ((o->cpu >= 0 && !hand_over(d->shared, TURN_HELPER)) || !still_connected(d, &turn))
			return -EPIPE;
	}
	return 0;
}

int net_idle_until(struct net_domain *d)
{
	while (!__atomic_load_n(&d->shared->done, __ATOMIC_ACQUIRE)) {
		bool sleep = true;

		for (unsigned i = 0; i < d->nr_vifs; i++) {
			struct netfront_buf bufs[RX_BUFS];
			unsigned n = netfront_rx(d->vif[i], bufs, RX_BUFS);

			netfront_rx_done(d->vif[i], bufs, n);
			netfront_step(d->vif[i]);
			sleep &= netfront_arm(d->vif[i], false);
		}
		if (sleep)
			port_wait(port_now_ns() + IDLE_WAIT_NS);
	}
	return 0;
}

int net_receive_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0, n;
	bool connected = true;

	if (begin(o, &s))
		return -ENOMEM;
	do {
		n = 0;
		for (unsigned i = 0; i < d->nr_vifs; i++)
			n += receive_burst(d->vif[i], o);
		if (!n && o->polite)
			sched_yield();
		connected = still_connected(d, &turn);
	} while (sampler_tick(&s, n) && connected);
	return finish(d, &s, r, connected);
}

int net_both_loop(struct net_domain *d, const struct net_options *o, struct net_result *r)
{
	struct sampler s;
	unsigned turn = 0, pair = 0, n;
	bool connected = true;

	if (begin(o, &s))
		return -ENOMEM;
	for (unsigned i = 1; i < d->nr_vifs; i += 2)
		net_announce(d->vif[i]);
	do {
		send_burst(d->vif[pair], o, netfront_mac(d->vif[pair + 1]));
		connected = still_connected(d, &turn);
		n = receive_burst(d->vif[pair + 1], o);
		pair = pair + 4 > d->nr_vifs ? 0 : pair + 2;
	} while (sampler_tick(&s, n) && connected);
	return finish(d, &s, r, connected);
}

int net_send_until(struct net_domain *d, const struct net_options *o, const uint8_t *to)
{
	unsigned turn = 0;

	while (!__atomic_load_n(&d->shared->done, __ATOMIC_ACQUIRE)) {
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
