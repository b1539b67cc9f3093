/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf net: options, one domain or two, and the report. The loops are in net_loops.c. */
#include "net.h"
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned vifs;
	int (*loop)(struct net_domain *d, const struct net_options *o, struct net_result *r);
} modes[] = {
	[NET_TX] = { "tx", 1, net_send_loop },      [NET_RX] = { "rx", 1, net_receive_loop },   [NET_LOOP] = { "loop", 2, net_both_loop },
	[NET_PAIR] = { "pair", 1, net_receive_loop }, [NET_PING] = { "ping", 2, net_ping_loop },
};

/* ---- options ---- */

static const struct argp_option option_table[] = {
	{ "run-dir", 'r', "DIR", 0, "Where sluiced's sockets are (default $SLUICE_RUN_DIR, else /run/sluice)", 0 },
	{ "bridge", 'B', "NAME", 0, "The bridge that the vifs join", 0 },
	{ "mode", 'm', "tx|rx|loop|pair|ping", 0,
	  "tx: send to an address that nobody has (default). rx: count what comes, such as from the uplink net_null0. loop: from one vif to another of the same "
	  "domain, both in one thread. pair: from one domain to another, each a process. ping: one packet at a time from one vif to another, latency", 0 },
	{ "size", 's', "N", 0, "Bytes of a frame without its checksum, 60 to 1514 (default 64)", 0 },
	{ "burst", 'b', "N", 0, "Packets of a burst, 1 to 64 (default 32)", 0 },
	{ "seconds", 't', "S", 0, "How long (default 3)", 0 },
	{ "touch", 'T', NULL, 0, "Write every byte that is sent and read every byte that is received; else only headers", 0 },
	{ "cpu", 'c', "N[,M]", 0, "Run on core N; the sender of a pair on M (default N)", 0 },
	{ "json", 'j', NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static void parse_cpus(struct net_options *o, char *arg)
{
	char *comma = strchr(arg, ',');

	if (comma)
		*comma = '\0';
	o->cpu = (int)parse_number("cpu", arg, 0, 1023);
	o->peer_cpu = comma ? (int)parse_number("cpu", comma + 1, 0, 1023) : o->cpu;
}

static void parse_mode(struct net_options *o, const char *arg, struct argp_state *state)
{
	for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(modes[i].name, arg)) {
			o->mode = (enum net_mode)i;
			return;
		}
	argp_failure(state, 2, 0, "--mode %s: it is tx, rx, loop, pair or ping", arg);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct net_options *o = state->input;

	switch (key) {
	case 'r':
		o->run_dir = arg;
		return 0;
	case 'B':
		o->bridge = arg;
		return 0;
	case 'm':
		parse_mode(o, arg, state);
		return 0;
	case 's':
		o->size = parse_number("size", arg, 60, 1514);
		return 0;
	case 'b':
		o->burst = parse_number("burst", arg, 1, NETFRONT_BURST);
		return 0;
	case 't':
		o->seconds = parse_number("seconds", arg, 1, 3600);
		return 0;
	case 'T':
		o->touch = true;
		return 0;
	case 'c':
		parse_cpus(o, arg);
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, 2, 0, "%s: unexpected argument; see --help", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- two domains: the receiver is a child, since a process is one domain at most ---- */

struct meeting {
	bool ready, done;
	struct net_result result;
};

static void receiver(const struct net_options *o, struct meeting *m)
{
	struct net_domain d = { .nr_vifs = 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	m->result.rc = pin_to(o->cpu);
	if (!m->result.rc)
		m->result.rc = net_domain_up(&d, o, 'b', 1);
	if (!m->result.rc) {
		net_announce(d.vif[0]);
		__atomic_store_n(&m->ready, true, __ATOMIC_RELEASE);
		m->result.rc = net_receive_loop(&d, o, &m->result);
	}
	__atomic_store_n(&m->done, true, __ATOMIC_RELEASE);
	net_domain_down(&d);
	_exit(0);
}

static int sender(const struct net_options *o, struct meeting *m, struct net_domain *d)
{
	uint8_t to[6];
	int rc = net_domain_up(d, o, 'a', 1);

	if (rc)
		return rc;
	while (!__atomic_load_n(&m->ready, __ATOMIC_ACQUIRE) && !__atomic_load_n(&m->done, __ATOMIC_ACQUIRE))
		usleep(1000);
	net_address(to, getpid(), 'b', 0);
	return net_send_until(d, o, to, &m->done);
}

static int run_pair(const struct net_options *o, struct net_result *r)
{
	struct meeting *m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct net_domain d = { .nr_vifs = 0 };
	pid_t child;
	int rc;

	if (m == MAP_FAILED)
		return -ENOMEM;
	child = fork();
	if (child < 0)
		return -errno;
	if (!child)
		receiver(o, m);
	rc = pin_to(o->peer_cpu);
	if (!rc)
		rc = sender(o, m, &d);
	net_domain_down(&d);
	if (rc)
		kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	*r = m->result;
	munmap(m, sizeof(*m));
	return rc ? rc : r->rc;
}

static int run_alone(const struct net_options *o, struct net_result *r)
{
	struct net_domain d = { .nr_vifs = 0 };
	int rc = pin_to(o->cpu);

	if (rc)
		return rc;
	rc = net_domain_up(&d, o, 'a', modes[o->mode].vifs);
	if (!rc)
		rc = modes[o->mode].loop(&d, o, r);
	net_domain_down(&d);
	return rc;
}

/* ---- the report ---- */

static void report_json(const struct net_options *o, const struct net_result *r, double tsc_per_ns)
{
	printf("{\"tool\": \"net\", \"mode\": \"%s\", \"size\": %u, \"burst\": %u, \"touch\": %s, \"seconds\": %.0f, ", modes[o->mode].name, o->size, o->burst,
	       o->touch ? "true" : "false", o->seconds);
	if (o->mode == NET_PING)
		print_latency_json(&r->latency, tsc_per_ns);
	else
		printf("\"unit\": \"Mpps\", \"p50\": %.4f, \"p90\": %.4f, \"mean\": %.4f, \"gbps_p50\": %.3f", r->rate.p50 / 1e6, r->rate.p90 / 1e6,
		       r->rate.mean / 1e6, r->rate.p50 * o->size * 8 / 1e9);
	printf(", \"windows\": {\"clean\": %u, \"all\": %u}, \"lost\": %lu, \"static_pages\": %lu}\n", r->rate.clean, r->rate.windows, r->lost, r->static_pages);
}

static void report(const struct net_options *o, const struct net_result *r, double tsc_per_ns)
{
	printf("%s, %u B, bursts of %u, %s\n", modes[o->mode].name, o->size, o->mode == NET_PING ? 1 : o->burst, o->touch ? "every byte touched" : "headers only");
	if (o->mode == NET_PING)
		print_latency(&r->latency, tsc_per_ns);
	else
		printf("  Mpps: p50 %.3f  p90 %.3f  mean %.3f   Gbit/s: p50 %.2f\n", r->rate.p50 / 1e6, r->rate.p90 / 1e6, r->rate.mean / 1e6,
		       r->rate.p50 * o->size * 8 / 1e9);
	printf("  %u of %u windows clean, %lu packets lost, %lu pages with static grants\n", r->rate.clean, r->rate.windows, r->lost, r->static_pages);
}

int net_main(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse_option, NULL, "sluice-perf net -- packets between hosted domains and the back end", NULL, NULL, NULL };
	static struct net_result r;
	struct net_options o = { .size = 64, .burst = 32, .seconds = 3, .cpu = -1, .peer_cpu = -1 };
	double tsc_per_ns;
	int rc;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	o.polite = o.mode == NET_PAIR && o.cpu >= 0 && o.cpu == o.peer_cpu;
	tsc_per_ns = tsc_calibrate();
	rc = o.mode == NET_PAIR ? run_pair(&o, &r) : run_alone(&o, &r);
	if (rc) {
		fprintf(stderr, "sluice-perf: error: %s: %s; see sluice-backend's log\n", modes[o.mode].name,
			rc == -EPIPE ? "a vif was closed" : rc == -ENODATA ? "no packet came" : strerror(-rc));
		return 1;
	}
	(o.json ? report_json : report)(&o, &r, tsc_per_ns);
	return 0;
}
