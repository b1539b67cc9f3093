/* SPDX-License-Identifier: BSD-3-Clause */
/* Latencies in buckets that are 1/64 of their power of two wide: no value is off by more than 1.6 %, whatever its size, in 30 KiB. */
#ifndef PERF_HISTOGRAM_H
#define PERF_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 6u
#define HISTOGRAM_SUB (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_SUB_BITS + 1u) * HISTOGRAM_SUB)

struct histogram {
	uint64_t n, min, max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

/* Values below 64 have a bucket each; above, the leading one and the six bits after it choose. */
static inline unsigned histogram_bucket(uint64_t value)
{
	unsigned shift;

	if (value < HISTOGRAM_SUB)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
	return (shift + 1) * HISTOGRAM_SUB + (unsigned)((value >> shift) & (HISTOGRAM_SUB - 1));
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
	if (!h->n++ || value < h->min)
		h->min = value;
	if (value > h->max)
		h->max = value;
	h->bucket[histogram_bucket(value)]++;
}

/* The value that the share `part` (0 to 1) of all values does not exceed; the middle of its bucket. 0 when there are none. */
uint64_t histogram_percentile(const struct histogram *h, double part);

#endif
