/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf machine: what no figure can be read without: how long a cache line takes from one core to the other and back, and the TSC's rate. */
#include "tool.h"
#include <argp.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 200u
#define SETS 2000u

struct ping_pong {
	alignas(128) uint64_t ball;
	alignas(128) int cpu;
	bool stop, json;
	int cpus[2];
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct ping_pong *p = state->input;
	char *comma;

	switch (key) {
	case 'j':
		p->json = true;
		return 0;
	case 'c':
		comma = strchr(arg, ',');
		if (!comma)
			argp_failure(state, 2, 0, "--cpu %s: two cores are needed, such as 0,1", arg);
		else {
			*comma = '\0';
			p->cpus[0] = (int)parse_number("cpu", arg, 0, 1023);
			p->cpus[1] = (int)parse_number("cpu", comma + 1, 0, 1023);
		}
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Odd numbers are answered by the next even one. */
static void *answer(void *arg)
{
	struct ping_pong *p = arg;

	pin_to(p->cpus[1]);
	while (!__atomic_load_n(&p->stop, __ATOMIC_RELAXED)) {
		uint64_t ball = __atomic_load_n(&p->ball, __ATOMIC_ACQUIRE);

		if (ball & 1)
			__atomic_store_n(&p->ball, ball + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void play(struct ping_pong *p, struct histogram *h)
{
	uint64_t ball = 1;

	for (unsigned set = 0; set < SETS; set++) {
		uint64_t began = __rdtsc();

		for (unsigned i = 0; i < ROUNDS; i++, ball += 2) {
			__atomic_store_n(&p->ball, ball, __ATOMIC_RELEASE);
			while (__atomic_load_n(&p->ball, __ATOMIC_ACQUIRE) != ball + 1)
				;
		}
		histogram_add(h, __rdtsc() - began);
	}
}

int machine_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "cpu", 'c', "A,B", 0, "Between these two cores (default 0,1)", 0 }, { "json", 'j', NULL, 0, "Print JSON", 0 }, { 0 } };
	static const struct argp argp = { options, parse_option, NULL, "sluice-perf machine -- what this machine can do right now", NULL, NULL, NULL };
	static struct ping_pong p;
	static struct histogram h;
	double tsc_per_ns, ns;
	pthread_t other;

	p.cpus[1] = 1;
	argp_parse(&argp, argc, argv, 0, NULL, &p);
	tsc_per_ns = tsc_calibrate();
	if (pin_to(p.cpus[0]))
		return 1;
	if (pthread_create(&other, NULL, answer, &p)) {
		fprintf(stderr, "sluice-perf: error: cannot start a thread\n");
		return 1;
	}
	play(&p, &h);
	__atomic_store_n(&p.stop, true, __ATOMIC_RELAXED);
	pthread_join(other, NULL);
	ns = (double)histogram_percentile(&h, 0.5) / ROUNDS / tsc_per_ns;
	printf(p.json ? "{\"ping_pong_ns\": %.1f, \"tsc_ghz\": %.3f}\n" : "cache line ping-pong %.1f ns, TSC %.3f GHz\n", ns, tsc_per_ns);
	return 0;
}
