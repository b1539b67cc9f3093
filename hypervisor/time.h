/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The three clocks of shared_info: the wall clock at boot (wc_sec, wc_nsec), system time in ns since boot through the TSC
 * (vcpu_time_info), and the domain's own run time (runstate). System time is CLOCK_MONOTONIC.
 */
#ifndef SLUICE_TIME_H
#define SLUICE_TIME_H

#include "domain.h"

int time_init(void);                      /* measures the TSC; 0 or -errno */
uint64_t time_system_ns(void);
void time_domain_init(struct domain *d);  /* wall clock */
void time_update_vcpu(struct vcpu *v);    /* version goes odd, fields, even */
long do_set_timer_op(struct vcpu *v, uint64_t deadline_ns);
/* The deadline has come: raise VIRQ_TIMER once. True when it did. */
bool time_expire(struct vcpu *v);
long do_vcpu_op(struct vcpu *v, unsigned cmd, unsigned vcpuid, gva_t arg); /* vcpu_op.c */

#endif
