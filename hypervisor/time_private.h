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

struct tsc_scale time_scale_of(uint64_t tsc_hz);
uint64_t time_scale_ticks(struct tsc_scale s, uint64_t ticks);

/* Fire VIRQ_TIMER every period_ns from now on; 0: no more. */
void time_set_periodic(struct vcpu *v, uint64_t period_ns);

#endif
