/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rates on a machine that is shared: what happened in windows of 1 ms, of which only the clean ones count, those that nobody took the core from us in (seen
 * as a jump of the TSC between two calls). The median and the 90th percentile of these windows are what a program reports. Used by sluice-perf and by the
 * peers that it is compared with, so that both are measured alike. No DPDK, no hosted domain in here.
 */
#ifndef PERF_SAMPLE_H
#define PERF_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>
#include <x86intrin.h>

#define SAMPLE_GAP_NS 50000.0
#define SAMPLE_WINDOW_NS 1000000.0
#define SAMPLE_WARM_UP_MAX_S 0.5 /* or a quarter of the run, when that is shorter */

struct sampler {
	double tsc_per_ns;
	uint64_t gap, window;  /* TSC ticks */
	uint64_t last, start;  /* when sampler_tick was last called; when this window began */
	uint64_t warm_until, end, give_up;
	uint64_t count, total; /* in this window; since the end of warming up */
	uint64_t total_from;
	bool started, dirty, progress;
	char label[16];        /* what the progress display begins with */
	uint64_t next_progress, began;
	unsigned nr_clean, nr_windows, room;
	double *clean;         /* things per second */
};

struct rate {
	double p50, p90, mean; /* things per second; p50 and p90 of clean windows, mean of all the time */
	unsigned clean, windows;
};

/* TSC ticks in a nanosecond; takes 50 ms. */
double tsc_calibrate(void);

/* The clock starts with the first thing counted; when none comes for 10 s more than the run is long, it is over. 0 or -ENOMEM. */
int sampler_init(struct sampler *s, double tsc_per_ns, double seconds);
void sampler_fini(struct sampler *s);
/* The slow part of sampler_tick. */
bool sampler_window(struct sampler *s, uint64_t now);
struct rate sampler_rate(struct sampler *s);

/* Reads all whole words of n bytes; their sum, which the caller must use, or the compiler would leave it out. */
uint64_t read_words(const uint8_t *at, unsigned n);

/* Since the last tick the core was another's on purpose: that is no gap, unless it was for longer than so many nanoseconds. */
static inline void sampler_excuse(struct sampler *s, double most)
{
	uint64_t now = __rdtsc();

	s->dirty |= (double)(now - s->last) > most * s->tsc_per_ns;
	s->last = now;
}

/* To be called in each turn of a loop with what was done in it. False: the time is over. */
static inline bool sampler_tick(struct sampler *s, unsigned n)
{
	uint64_t now = __rdtsc();

	s->dirty |= now - s->last > s->gap;
	s->last = now;
	s->count += n;
	return now - s->start < s->window || sampler_window(s, now);
}

#endif
