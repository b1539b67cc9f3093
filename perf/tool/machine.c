/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluice-perf machine: what no figure can be read without. How long a cache line takes from one core to the other and back, the TSC's rate, and the most that
 * guest to guest can reach with one copy: one core writes all of a packet of 64 KiB and reads all of its copy, the other copies; nothing else is done.
 */
#include "tool.h"
#include <argp.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 200u
#define SETS 2000u
#define PATIENCE_NS 1e9 /* a machine whose cores are both taken is slow: fewer sets then */

#define PACKET 65536u
#define SLOTS_MAX 16u
#define COPY_SECONDS 1.0

struct copy_line {
	alignas(128) uint64_t written; /* packets that the guests' core has written */
	alignas(128) uint64_t copied;  /* ... that the back end's core has copied */
	alignas(128) bool stop;
	unsigned slots;                /* packets under way at most */
	int cpu;
	uint8_t *from, *to;
	uint64_t sum;
};

struct ping_pong {
	alignas(128) uint64_t ball;
	alignas(128) int cpu;
	bool stop, json, copy;
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
	case 'C':
		p->copy = true;
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

static void play(struct ping_pong *p, struct histogram *h, double tsc_per_ns)
{
	uint64_t ball = 1, end = __rdtsc() + (uint64_t)(PATIENCE_NS * tsc_per_ns);

	for (unsigned set = 0; set < SETS && (!set || __rdtsc() < end); set++) {
		uint64_t began = __rdtsc();

		for (unsigned i = 0; i < ROUNDS; i++, ball += 2) {
			__atomic_store_n(&p->ball, ball, __ATOMIC_RELEASE);
			while (__atomic_load_n(&p->ball, __ATOMIC_ACQUIRE) != ball + 1)
				;
		}
		histogram_add(h, __rdtsc() - began);
	}
}

/* ---- one copy ---- */

static void *copier(void *arg)
{
	struct copy_line *c = arg;
	uint64_t n = 0;

	pin_to(c->cpu);
	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		if (__atomic_load_n(&c->written, __ATOMIC_ACQUIRE) == n)
			continue;
		memcpy(c->to + n % c->slots * PACKET, c->from + n % c->slots * PACKET, PACKET);
		__atomic_store_n(&c->copied, ++n, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* A turn of the guests' core: write a packet if there is room, read one if it has come. How many were read. */
static unsigned write_and_read(struct copy_line *c, uint64_t *read)
{
	if (c->written - *read < c->slots) {
		memset(c->from + c->written % c->slots * PACKET, 0xa5, PACKET);
		__atomic_store_n(&c->written, c->written + 1, __ATOMIC_RELEASE);
	}
	if (__atomic_load_n(&c->copied, __ATOMIC_ACQUIRE) == *read)
		return 0;
	c->sum += read_words(c->to + (*read)++ % c->slots * PACKET, PACKET);
	return 1;
}

/* Gbit/s, p90 of the clean windows, with so many packets under way; 0: no thread or memory. */
static double copy_rate(struct copy_line *c, unsigned slots, double tsc_per_ns)
{
	struct sampler s;
	struct rate rate;
	pthread_t other;
	uint64_t read = 0;

	c->written = c->copied = 0;
	c->stop = false;
	c->slots = slots;
	if (sampler_init(&s, tsc_per_ns, COPY_SECONDS / 4))
		return 0;
	if (pthread_create(&other, NULL, copier, c)) {
		sampler_fini(&s);
		return 0;
	}
	while (sampler_tick(&s, write_and_read(c, &read)))
		;
	__atomic_store_n(&c->stop, true, __ATOMIC_RELAXED);
	pthread_join(other, NULL);
	rate = sampler_rate(&s);
	sampler_fini(&s);
	return rate.p90 * PACKET * 8 / 1e9;
}

/* The best of several depths: few stay in the caches, many let both cores work. */
static double one_copy_limit(int guest_cpu, int backend_cpu, double tsc_per_ns)
{
	static struct copy_line c;
	double best = 0;

	c.cpu = backend_cpu;
	c.from = aligned_alloc(4096, SLOTS_MAX * PACKET);
	c.to = aligned_alloc(4096, SLOTS_MAX * PACKET);
	if (c.from && c.to && !pin_to(guest_cpu)) {
		memset(c.from, 0, SLOTS_MAX * PACKET);
		memset(c.to, 0, SLOTS_MAX * PACKET);
		for (unsigned slots = 2; slots <= SLOTS_MAX; slots *= 2) {
			double rate = copy_rate(&c, slots, tsc_per_ns);

			best = rate > best ? rate : best;
		}
	}
	free(c.from);
	free(c.to);
	return best;
}

int machine_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "cpu", 'c', "A,B", 0, "Between these two cores: back end, guests (default 0,1)", 0 },
		{ "copy", 'C', NULL, 0, "Measure the one-copy limit, too (a second)", 0 }, { "json", 'j', NULL, 0, "Print JSON", 0 }, { 0 } };
	static const struct argp argp = { options, parse_option, NULL, "sluice-perf machine -- what this machine can do right now", NULL, NULL, NULL };
	static struct ping_pong p;
	static struct histogram h;
	double tsc_per_ns, ns, copy;
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
	play(&p, &h, tsc_per_ns);
	__atomic_store_n(&p.stop, true, __ATOMIC_RELAXED);
	pthread_join(other, NULL);
	ns = (double)histogram_percentile(&h, 0.5) / ROUNDS / tsc_per_ns;
	copy = p.copy ? one_copy_limit(p.cpus[1], p.cpus[0], tsc_per_ns) : 0;
	printf(p.json ? "{\"ping_pong_ns\": %.1f, \"tsc_ghz\": %.3f" : "cache line ping-pong %.1f ns, TSC %.3f GHz", ns, tsc_per_ns);
	if (p.copy)
		printf(p.json ? ", \"one_copy_gbps\": %.2f" : ", one copy of 64 KiB packets that are written and read whole: %.1f Gbit/s", copy);
	printf(p.json ? "}\n" : "\n");
	return 0;
}
