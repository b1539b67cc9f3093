/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows of 1 ms (sample.h), and the progress display of whatever takes longer than two seconds. */
#include "sample.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CALIBRATE_NS 50000000ull
#define PATIENCE_S 10.0
#define PROGRESS_FROM_S 2.0
#define PROGRESS_EVERY_NS 500000000.0

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Both clocks at one moment: the closest of some tries, because we may be interrupted between the two. */
static void both(uint64_t *tsc, uint64_t *ns)
{
	uint64_t best = UINT64_MAX;

	for (unsigned i = 0; i < 10; i++) {
		uint64_t before = __rdtsc(), now = clock_ns(), after = __rdtsc();

		if (after - before < best) {
			best = after - before;
			*tsc = before + (after - before) / 2;
			*ns = now;
		}
	}
}

double tsc_calibrate(void)
{
	uint64_t tsc0 = 0, ns0 = 0, tsc1 = 0, ns1 = 0;

	both(&tsc0, &ns0);
	while (clock_ns() - ns0 < CALIBRATE_NS)
		usleep(5000);
	both(&tsc1, &ns1);
	return (double)(tsc1 - tsc0) / (double)(ns1 - ns0);
}

int sampler_init(struct sampler *s, double tsc_per_ns, double seconds)
{
	double warm = seconds / 4 < SAMPLE_WARM_UP_MAX_S ? seconds / 4 : SAMPLE_WARM_UP_MAX_S;

	*s = (struct sampler){ .tsc_per_ns = tsc_per_ns, .gap = (uint64_t)(SAMPLE_GAP_NS * tsc_per_ns), .window = (uint64_t)(SAMPLE_WINDOW_NS * tsc_per_ns),
			       .room = (unsigned)(seconds * 1000) + 1, .progress = seconds > PROGRESS_FROM_S && isatty(STDERR_FILENO) };
	s->clean = calloc(s->room, sizeof(*s->clean));
	if (!s->clean)
		return -ENOMEM;
	s->warm_until = (uint64_t)(warm * 1e9 * tsc_per_ns); /* lengths until the first thing is counted */
	s->end = (uint64_t)((seconds + warm) * 1e9 * tsc_per_ns);
	s->give_up = __rdtsc() + s->end + (uint64_t)(PATIENCE_S * 1e9 * tsc_per_ns);
	return 0;
}

void sampler_fini(struct sampler *s)
{
	free(s->clean);
	s->clean = NULL;
}

static void show(struct sampler *s, uint64_t now)
{
	double ns = (double)(now - s->began) / s->tsc_per_ns;

	if (!s->progress || now < s->next_progress)
		return;
	s->next_progress = now + (uint64_t)(PROGRESS_EVERY_NS * s->tsc_per_ns);
	fprintf(stderr, "\r  %s%.1f of %.1f s ", s->label, ns / 1e9, (double)(s->end - s->began) / s->tsc_per_ns / 1e9);
}

static void begin(struct sampler *s, uint64_t now)
{
	s->started = true;
	s->began = now;
	s->warm_until += now;
	s->end += now;
}

bool sampler_window(struct sampler *s, uint64_t now)
{
	if (!s->started && s->count)
		begin(s, now);
	else if (s->started && now >= s->warm_until) {
		if (!s->total_from)
			s->total_from = s->start;
		s->total += s->count;
		s->nr_windows++;
		if (!s->dirty && s->nr_clean < s->room)
			s->clean[s->nr_clean++] = (double)s->count / ((double)(now - s->start) / s->tsc_per_ns) * 1e9;
	}
	if (s->started)
		show(s, now);
	s->count = 0;
	s->dirty = false;
	s->start = now;
	s->last = __rdtsc(); /* our own time in here is no gap */
	return now < (s->started ? s->end : s->give_up);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct rate sampler_rate(struct sampler *s)
{
	struct rate r = { .clean = s->nr_clean, .windows = s->nr_windows };
	double ns = (double)(s->start - s->total_from) / s->tsc_per_ns;

	if (s->progress)
		fprintf(stderr, "\r\033[K");
	qsort(s->clean, s->nr_clean, sizeof(*s->clean), ascending);
	if (s->nr_clean) {
		r.p50 = s->clean[s->nr_clean / 2];
		r.p90 = s->clean[s->nr_clean * 9ull / 10];
	}
	r.mean = s->nr_windows ? (double)s->total / ns * 1e9 : 0;
	return r;
}

uint64_t read_words(const uint8_t *at, unsigned n)
{
	uint64_t sum[4] = { 0 }, word;
	unsigned i = 0;

	for (; i + sizeof(sum) <= n; i += sizeof(sum))
		for (unsigned k = 0; k < 4; k++) {
			memcpy(&word, at + i + k * sizeof(word), sizeof(word));
			sum[k] += word;
		}
	for (; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, at + i, sizeof(word));
		sum[0] += word;
	}
	return sum[0] + sum[1] + sum[2] + sum[3];
}
