/* SPDX-License-Identifier: BSD-3-Clause */
/* System time from vcpu_time_info and the TSC, and sleeping with the one-shot timer. Called by main.c and port_pv.c. */
#include "kernel.h"
#include "hypercall.h"
#include <sluice/shm.h>

static evtchn_t timer_port;
static uint64_t timer_set; /* deadline that the hypervisor has; 0: none */

int time_init(void)
{
	return events_bind_virq(VIRQ_TIMER, &timer_port);
}

static uint64_t scale(uint64_t ticks, uint32_t mul, int8_t shift)
{
	ticks = shift < 0 ? ticks >> -shift : ticks << shift;
	return (uint64_t)((unsigned __int128)ticks * mul >> 32);
}

uint64_t time_now_ns(void)
{
	const struct vcpu_time_info *t = &shared_info->vcpu_info[0].time;
	struct vcpu_time_info copy;
	uint32_t version;

	do { /* an odd version: being written; a changed one: written under our hands */
		version = shm_load_acquire(&t->version);
		shm_copy_in(&copy, t, sizeof(copy));
		__atomic_thread_fence(__ATOMIC_ACQUIRE); /* the copy before the second look at the version */
	} while (version & 1 || version != shm_load(&t->version));
	return copy.system_time + scale(__builtin_ia32_rdtsc() - copy.tsc_timestamp, copy.tsc_to_system_mul, copy.tsc_shift);
}

/* A timer that is set already, or that would come after one that is set, costs no hypercall: waking too early is harmless. */
static void set_timer(uint64_t deadline_ns)
{
	if (timer_set && timer_set <= deadline_ns)
		return;
	timer_set = deadline_ns;
	hypercall2(__HYPERVISOR_set_timer_op, deadline_ns, 0);
}

void time_wait(uint64_t deadline_ns)
{
	if (events_any())
		return;
	if (deadline_ns != UINT64_MAX) {
		if (time_now_ns() >= deadline_ns)
			return;
		set_timer(deadline_ns);
	}
	events_block();
	if (events_take(timer_port))
		timer_set = 0;
}
