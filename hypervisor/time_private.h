/* SPDX-License-Identifier: BSD-3-Clause */
/* What time.c and vcpu_op.c share. Nobody else includes it. */
#ifndef SLUICE_TIME_PRIVATE_H
#define SLUICE_TIME_PRIVATE_H

#include "time.h"

/* How vcpu_time_info turns TSC ticks into ns: ((ticks << shift) * mul) >> 32, shift to the right when negative. */
struct tsc_scale {
	uint32_t mul;
	int8_t shift;
};

/* The same moment on both clocks. */
struct time_instant {
	uint64_t tsc, ns;
};

/* What a guest was told last, and so what it computes until it is told again. */
struct time_told {
	struct time_instant at; /* tsc_timestamp, system_time */
	struct tsc_scale scale;
};

struct tsc_scale time_scale_of(uint64_t tsc_hz);
uint64_t time_scale_ticks(struct tsc_scale s, uint64_t ticks);

uint64_t time_told_ns(const struct time_told *c, uint64_t tsc);

/*
 * Tell it anew: the true time now, and the TSC's rate. Time must not go back for a guest that ran a little fast: it goes on from where it
 * was, at a rate 0.05% lower until the true time has caught up.
 */
void time_tell(struct time_told *c, struct time_instant now, struct tsc_scale scale);

/* Fire VIRQ_TIMER every period_ns from now on; 0: no more. */
void time_set_periodic(struct vcpu *v, uint64_t period_ns);

#endif
