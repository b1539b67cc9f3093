/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a user would pick instead of a vif: DPDK's vhost-user back end and its virtio-user front end, each a process on a core of its own. Started by
 * scripts/perf, which passes the ports as --vdev. The side of the back end runs until it is told to end; the side of the guest measures as sluice-perf does.
 *
 *	vhost EAL-ARGUMENTS -- sink|source|echo|patch SIZE BURST            the back end: takes all | sends all it can | sends back | port 0 to 1 and 1 to 0
 *	vhost EAL-ARGUMENTS -- tx|rx|loop|ping SIZE BURST SECONDS [touch]   the guest: loop and ping send on port 0 and receive on the last one
 */
#include <perf/tool/histogram.h>
#include <perf/tool/sample.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BURST_MAX 64u
#define DESCRIPTORS 1024u
#define MBUFS 8191u
#define CACHE 256u
#define LINK_TRIES 200u
#define LINK_US 50000u
#define PING_TIMEOUT_NS 50000000.0
#define NUMBER_AT 42u /* in a packet: behind the headers */

struct peer {
	struct rte_mempool *pool;
	uint16_t nr_ports, in, out; /* the guest receives on in and sends on out */
	unsigned size, burst;
	bool touch;
	struct rte_mbuf *waiting[BURST_MAX]; /* filled, not taken by the port yet */
	unsigned nr_waiting;
	uint64_t read; /* what reading sums up to */
	struct sampler s;
	struct histogram latency;
	uint64_t lost, number; /* of pings: each packet carries its own, so that a late one is not taken for the answer to the next */
};

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
}

/* ---- ports ---- */

static int start_port(struct peer *p, uint16_t port)
{
	const struct rte_eth_conf conf = { .rxmode = { .mtu = 1500 } };
	uint16_t rx = DESCRIPTORS, tx = DESCRIPTORS;
	int rc = rte_eth_dev_configure(port, 1, 1, &conf);

	if (!rc)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx, &tx);
	if (!rc)
		rc = rte_eth_rx_queue_setup(port, 0, rx, SOCKET_ID_ANY, NULL, p->pool);
	if (!rc)
		rc = rte_eth_tx_queue_setup(port, 0, tx, SOCKET_ID_ANY, NULL);
	return rc ? rc : rte_eth_dev_start(port);
}

static int wait_for_links(const struct peer *p)
{
	struct rte_eth_link link;

	for (uint16_t port = 0; port < p->nr_ports; port++)
		for (unsigned i = 0;; i++) {
			if (!rte_eth_link_get_nowait(port, &link) && link.link_status)
				break;
			if (stopped || i == LINK_TRIES)
				return -1;
			usleep(LINK_US);
		}
	return 0;
}

static int start_ports(struct peer *p)
{
	p->pool = rte_pktmbuf_pool_create("packets", MBUFS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (!p->pool)
		return -1;
	p->nr_ports = rte_eth_dev_count_avail();
	if (!p->nr_ports)
		return -1;
	for (uint16_t port = 0; port < p->nr_ports; port++)
		if (start_port(p, port))
			return -1;
	p->in = (uint16_t)(p->nr_ports - 1);
	return 0;
}

/* ---- packets ---- */

static void fill(const struct peer *p, struct rte_mbuf *m)
{
	static const uint8_t headers[42] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 50, 0, 0, 0, 0, 64, 17, 0x66, 0x98, 10, 0, 0, 1, 10, 0, 0, 2 };
	uint8_t *data = rte_pktmbuf_mtod(m, uint8_t *);

	m->data_len = (uint16_t)p->size;
	m->pkt_len = p->size;
	memcpy(data, headers, sizeof(headers));
	if (p->touch)
		memset(data + sizeof(headers), 0xa5, p->size - sizeof(headers));
}

/* n packets, at most BURST_MAX; those that the port does not take are kept for the next time. */
static unsigned send_some(struct peer *p, unsigned n)
{
	unsigned sent;

	if (!p->nr_waiting) {
		if (rte_pktmbuf_alloc_bulk(p->pool, p->waiting, n))
			return 0;
		for (unsigned i = 0; i < n; i++)
			fill(p, p->waiting[i]);
		p->nr_waiting = n;
	}
	sent = rte_eth_tx_burst(p->out, 0, p->waiting, (uint16_t)p->nr_waiting);
	p->nr_waiting -= sent;
	if (sent && p->nr_waiting)
		memmove(p->waiting, p->waiting + sent, p->nr_waiting * sizeof(p->waiting[0]));
	return sent;
}

static unsigned receive(struct peer *p)
{
	struct rte_mbuf *m[BURST_MAX];
	unsigned n = rte_eth_rx_burst(p->in, 0, m, (uint16_t)p->burst);

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(m[i], const uint8_t *);

		p->read += data[0];
		if (p->touch)
			p->read += read_words(data, m[i]->data_len);
	}
	if (n)
		rte_pktmbuf_free_bulk(m, n);
	return n;
}

static void forward(const struct peer *p, uint16_t from, uint16_t to)
{
	struct rte_mbuf *m[BURST_MAX];
	uint16_t n = rte_eth_rx_burst(from, 0, m, (uint16_t)p->burst), sent = 0;

	if (n)
		sent = rte_eth_tx_burst(to, 0, m, n);
	if (sent < n)
		rte_pktmbuf_free_bulk(m + sent, n - sent);
}

/* ---- the back end's side ---- */

static void serve(struct peer *p, const char *mode)
{
	bool source = !strcmp(mode, "source"), sink = !strcmp(mode, "sink"), echo = !strcmp(mode, "echo");

	while (!stopped) {
		if (source)
			send_some(p, p->burst);
		if (source || sink) {
			receive(p);
			continue;
		}
		forward(p, 0, echo ? 0 : 1);
		if (!echo)
			forward(p, 1, 0);
	}
}

/* ---- the guest's side ---- */

static bool send_numbered(struct peer *p)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(p->pool);

	if (!m)
		return false;
	fill(p, m);
	memcpy(rte_pktmbuf_mtod(m, uint8_t *) + NUMBER_AT, &p->number, sizeof(p->number));
	if (rte_eth_tx_burst(p->out, 0, &m, 1))
		return true;
	rte_pktmbuf_free(m);
	return false;
}

static bool answered(struct peer *p)
{
	struct rte_mbuf *m[BURST_MAX];
	unsigned n = rte_eth_rx_burst(p->in, 0, m, (uint16_t)p->burst);
	bool found = false;

	for (unsigned i = 0; i < n; i++)
		found |= m[i]->data_len >= NUMBER_AT + sizeof(p->number) &&
			 !memcmp(rte_pktmbuf_mtod(m[i], uint8_t *) + NUMBER_AT, &p->number, sizeof(p->number));
	if (n)
		rte_pktmbuf_free_bulk(m, n);
	return found;
}

static bool ping(struct peer *p)
{
	uint64_t began = __rdtsc(), timeout = (uint64_t)(PING_TIMEOUT_NS * p->s.tsc_per_ns), now = began;
	bool back = false;

	p->number++;
	if (send_numbered(p))
		while (!back && now - began < timeout) {
			back = answered(p);
			now = __rdtsc();
		}
	if (p->s.total_from && back)
		histogram_add(&p->latency, now - began);
	p->lost += !back;
	return back;
}

static unsigned turn(struct peer *p, const char *mode)
{
	unsigned sent;

	if (!strcmp(mode, "ping"))
		return ping(p);
	sent = strcmp(mode, "rx") != 0 ? send_some(p, p->burst) : 0;
	return !strcmp(mode, "tx") ? sent : receive(p);
}

static double microseconds(const struct peer *p, double part)
{
	return (double)histogram_percentile(&p->latency, part) / p->s.tsc_per_ns / 1e3;
}

static void report(struct peer *p, const char *mode)
{
	struct rate r = sampler_rate(&p->s);

	printf("{\"tool\": \"vhost\", \"mode\": \"%s\", \"size\": %u, \"touch\": %s, ", mode, p->size, p->touch ? "true" : "false");
	if (!strcmp(mode, "ping"))
		printf("\"unit\": \"us\", \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, ", microseconds(p, 0.5), microseconds(p, 0.9), microseconds(p, 0.99));
	else
		printf("\"unit\": \"Mpps\", \"p50\": %.4f, \"p90\": %.4f, \"mean\": %.4f, ", r.p50 / 1e6, r.p90 / 1e6, r.mean / 1e6);
	printf("\"windows\": {\"clean\": %u, \"all\": %u}, \"lost\": %lu, \"sum\": %lu}\n", r.clean, r.windows, p->lost, p->read & 1);
}

static int measure(struct peer *p, const char *mode, double seconds)
{
	if (wait_for_links(p) || sampler_init(&p->s, tsc_calibrate(), seconds))
		return 1;
	while (sampler_tick(&p->s, turn(p, mode)) && !stopped)
		;
	if (!p->s.nr_windows)
		return 1;
	report(p, mode);
	sampler_fini(&p->s);
	return 0;
}

int main(int argc, char **argv)
{
	static struct peer p;
	int used = rte_eal_init(argc, argv);

	if (used < 0 || argc - used < 4) {
		fprintf(stderr, "usage: vhost EAL-ARGUMENTS -- MODE SIZE BURST [SECONDS [touch]]\n");
		return 2;
	}
	argc -= used;
	argv += used;
	p.size = (unsigned)strtoul(argv[2], NULL, 10);
	p.burst = (unsigned)strtoul(argv[3], NULL, 10);
	p.touch = argc > 5;
	if (p.size < 60 || p.size > 1514 || !p.burst || p.burst > BURST_MAX || start_ports(&p)) {
		fprintf(stderr, "vhost: error: size %u, bursts of %u or the ports are not usable\n", p.size, p.burst);
		return 1;
	}
	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	if (argc > 4)
		return measure(&p, argv[1], strtod(argv[4], NULL));
	serve(&p, argv[1]);
	return 0;
}
