/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf net: options and reports. net_run.c does the runs, one for each size. */
#include "net.h"
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- options ---- */

#define QUEUES_FLOWS 64u /* that several queues share, unless --flows says otherwise */

enum { KEY_VIFS = 256, KEY_IDLE, KEY_FLOWS, KEY_QUEUES };

static const struct argp_option option_table[] = {
	{ "run-dir", 'r', "DIR", 0, "Where sluiced's sockets are (default $SLUICE_RUN_DIR, else /run/sluice)", 0 },
	{ "bridge", 'B', "NAME", 0, "The bridge that the vifs join", 0 },
	{ "mode", 'm', "tx|rx|loop|pair|ping", 0,
	  "tx: send to an address that nobody has (default). rx: count what comes, such as from the uplink net_null0. loop: from one vif to another of the same "
	  "domain, both in one thread. pair: from one domain to another, each a process. ping: one packet at a time from one vif to another, latency", 0 },
	{ "size", 's', "N[,N...]", 0,
	  "Bytes of a frame without its checksum, 60 to 65535 (default 64); longer ones than 1514 are TCP for segmentation offload. Several: a run each", 0 },
	{ "burst", 'b', "N", 0, "Packets of a burst, 1 to 64 (default 32)", 0 },
	{ "seconds", 't', "S", 0, "How long (default 3)", 0 },
	{ "vifs", KEY_VIFS, "N", 0, "Vifs that share the load: of tx up to 64 (above 32 in two domains), of rx and loop up to 32 (of loop in pairs)", 0 },
	{ "idle", KEY_IDLE, "N", 0, "So many connected vifs beside them, without traffic, in domains of their own; up to 64", 0 },
	{ "queues", KEY_QUEUES, "N", 0, "Of each vif that has traffic, if the back end has as many (default 1); together up to 32. A burst is of one flow then", 0 },
	{ "flows", KEY_FLOWS, "N", 0, "So many source ports take turns (default 1; 64 with several queues)", 0 },
	{ "copy", 'C', NULL, 0, "Like a front end that does not know static grants: the back end copies by grants", 0 },
	{ "drop", 'D', NULL, 0, "tx: send to the vif's own address, so that the bridge drops the packets and no uplink is needed", 0 },
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
	for (enum net_mode mode = NET_TX; mode <= NET_PING; mode++)
		if (!strcmp(net_mode_name(mode), arg)) {
			o->mode = mode;
			return;
		}
	argp_failure(state, 2, 0, "--mode %s: it is tx, rx, loop, pair or ping", arg);
}

static void parse_sizes(struct net_options *o, char *arg, struct argp_state *state)
{
	char *rest = arg, *word;

	for (o->nr_sizes = 0; (word = strsep(&rest, ",")) != NULL; o->nr_sizes++) {
		if (o->nr_sizes == NET_SIZES)
			argp_failure(state, 2, 0, "--size: at most %u of them", NET_SIZES);
		o->sizes[o->nr_sizes] = parse_number("size", word, 60, NET_GSO_MAX);
	}
}

/* What fits together only when all options are known. */
static void check(const struct net_options *o, struct argp_state *state)
{
	unsigned most = o->mode == NET_TX ? NET_VIFS_ALL : o->mode == NET_RX || o->mode == NET_LOOP ? NET_VIFS : 0;

	if (o->vifs > most || (o->mode == NET_LOOP && o->vifs % 2))
		argp_failure(state, 2, 0, "--vifs %u: --mode %s takes up to %u%s", o->vifs, net_mode_name(o->mode), most, o->mode == NET_LOOP ? ", an even number" : "");
	if (o->queues > 1 && (o->vifs ? o->vifs : 2) * o->queues > NET_VIFS)
		argp_failure(state, 2, 0, "--queues %u: all vifs together have at most %u", o->queues, NET_VIFS);
	if (o->drop && o->mode != NET_TX)
		argp_failure(state, 2, 0, "--drop: only --mode tx sends to nobody");
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
		parse_sizes(o, arg, state);
		return 0;
	case KEY_VIFS:
		o->vifs = parse_number("vifs", arg, 1, NET_VIFS_ALL);
		return 0;
	case KEY_IDLE:
		o->idle = parse_number("idle", arg, 0, NET_VIFS_ALL);
		return 0;
	case KEY_QUEUES:
		o->queues = parse_number("queues", arg, 1, NETFRONT_QUEUES);
		return 0;
	case KEY_FLOWS:
		o->flows = parse_number("flows", arg, 1, 4096);
		return 0;
	case 'C':
		o->copy = true;
		return 0;
	case 'D':
		o->drop = true;
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
	case ARGP_KEY_END:
		check(o, state);
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, 2, 0, "%s: unexpected argument; see --help", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- the report ---- */

static void print_queues(const char *name, const uint64_t *packets, unsigned n)
{
	printf(", \"%s\": [", name);
	for (unsigned i = 0; i < n; i++)
		printf("%s%lu", i ? ", " : "", packets[i]);
	printf("]");
}

static void report_json(const struct net_options *o, const struct net_result *r, double tsc_per_ns)
{
	printf("{\"tool\": \"net\", \"mode\": \"%s\", \"size\": %u, \"burst\": %u, \"touch\": %s, \"copy\": %s, \"vifs\": %u, \"idle_vifs\": %u, \"flows\": %u, "
	       "\"seconds\": %.0f, ", net_mode_name(o->mode), o->size, o->burst, o->touch ? "true" : "false", o->copy ? "true" : "false", r->vifs, o->idle, o->flows,
	       o->seconds);
	if (o->mode == NET_PING)
		print_latency_json(&r->latency, tsc_per_ns);
	else
		printf("\"unit\": \"Mpps\", \"p50\": %.4f, \"p90\": %.4f, \"mean\": %.4f, \"gbps_p50\": %.3f, \"gbps_p90\": %.3f", r->rate.p50 / 1e6, r->rate.p90 / 1e6,
		       r->rate.mean / 1e6, r->rate.p50 * o->size * 8 / 1e9, r->rate.p90 * o->size * 8 / 1e9);
	printf(", \"windows\": {\"clean\": %u, \"all\": %u}, \"lost\": %lu, \"static_pages\": %lu, \"queues\": %u", r->rate.clean, r->rate.windows, r->lost, r->static_pages,
	       r->queues);
	print_queues("queue_tx", r->queue_tx, r->queues);
	print_queues("queue_rx", r->queue_rx, r->queues);
	printf("}");
}

static void report_head(const struct net_options *o)
{
	printf("%s, bursts of %u, %s%s", net_mode_name(o->mode), o->mode == NET_PING ? 1 : o->burst, o->touch ? "every byte touched" : "headers only",
	       o->copy ? ", grants copied" : "");
	if (o->vifs)
		printf(", %u vifs", o->vifs);
	if (o->idle)
		printf(", %u idle ones", o->idle);
	if (o->queues > 1)
		printf(", %u queues, %u flows", o->queues, o->flows);
	printf("\n");
	if (o->mode != NET_PING)
		printf("%8s %10s %10s %10s %10s %9s %9s %9s\n", "bytes", "Mpps p50", "p90", "mean", "Gbit/s p50", "clean", "lost", "static");
}

static void report(const struct net_options *o, const struct net_result *r, double tsc_per_ns)
{
	printf("%8u", o->size);
	if (o->mode == NET_PING)
		print_latency(&r->latency, tsc_per_ns);
	else
		printf(" %10.3f %10.3f %10.3f %10.2f %8.0f%% %9lu %9lu\n", r->rate.p50 / 1e6, r->rate.p90 / 1e6, r->rate.mean / 1e6,
		       r->rate.p50 * o->size * 8 / 1e9, 100.0 * r->rate.clean / (r->rate.windows ? r->rate.windows : 1), r->lost, r->static_pages);
	fflush(stdout);
}

/* One object for one size, else {"tool": "net", "runs": [...]}. */
static int run_all(struct net_options *o, double tsc_per_ns)
{
	static struct net_result r;

	if (!o->json)
		report_head(o);
	else if (o->nr_sizes > 1)
		printf("{\"tool\": \"net\", \"runs\": [");
	for (unsigned i = 0; i < o->nr_sizes; i++) {
		int rc;

		o->size = o->sizes[i];
		rc = net_run(o, &r);
		if (rc) {
			fprintf(stderr, "sluice-perf: error: %s, %u B: %s; see sluice-backend's log\n", net_mode_name(o->mode), o->size,
				rc == -EPIPE ? "a vif was closed" : rc == -ENODATA ? "no packet came" : strerror(-rc));
			return 1;
		}
		if (o->json && i)
			printf(",\n");
		(o->json ? report_json : report)(o, &r, tsc_per_ns);
	}
	if (o->json)
		printf("%s\n", o->nr_sizes > 1 ? "]}" : "");
	return 0;
}

int net_main(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse_option, NULL, "sluice-perf net -- packets between hosted domains and the back end", NULL, NULL, NULL };
	struct net_options o = { .sizes = { 64 }, .nr_sizes = 1, .burst = 32, .queues = 1, .seconds = 3, .cpu = -1, .peer_cpu = -1 };

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!o.flows)
		o.flows = o.queues > 1 ? QUEUES_FLOWS : 1;
	o.polite = o.mode == NET_PAIR && o.cpu >= 0 && o.cpu == o.peer_cpu;
	return run_all(&o, tsc_calibrate());
}
