/* SPDX-License-Identifier: BSD-3-Clause */
/* See histogram.h. Called by net.c, blk.c and the peers when they report. */
#include "histogram.h"

static uint64_t middle(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * HISTOGRAM_SUB) /* one value each */
		return bucket < HISTOGRAM_SUB ? bucket : HISTOGRAM_SUB + bucket % HISTOGRAM_SUB;
	shift = bucket / HISTOGRAM_SUB - 1;
	return ((uint64_t)(HISTOGRAM_SUB + bucket % HISTOGRAM_SUB) << shift) + (1ull << (shift - 1));
}

uint64_t histogram_percentile(const struct histogram *h, double part)
{
	uint64_t wanted = (uint64_t)(part * (double)h->n), seen = 0, value;

	if (wanted >= h->n)
		return h->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > wanted) {
			value = middle(i);
			return value < h->min ? h->min : value > h->max ? h->max : value;
		}
	}
	return h->max;
}
