/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's clocks and timers. It reads system time from the TSC with what vcpu_time_info says, so between two updates it runs on
 * our idea of the TSC's rate; that is measured at start and again over an ever longer baseline. Callers hold hv_lock.
 */
#include "time_private.h"

#include <errno.h>
#include <sluice/shm.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "event.h"
#include "log.h"
#include "vcpu.h"

#define NS_PER_S 1000000000ull
#define CALIBRATE_NS 20000000ull

static struct time_instant start; /* the baseline's beginning */
static struct tsc_scale scale;    /* the TSC's rate as measured last */
static uint64_t next_measure_ns;

/* What a vCPU was told last; the copy in shared_info is the guest's to scribble on. One vCPU a domain. */
static struct clock {
	struct time_told told;
	uint64_t single_ns;                /* deadline of the singleshot timer; 0: none */
	uint64_t period_ns, next_tick_ns; /* periodic timer; 0: none */
} clocks[HVSHARE_DOMAINS];

static struct clock *clock_of(const struct vcpu *v)
{
	return &clocks[v->domain->domid % HVSHARE_DOMAINS];
}

/* ---- arithmetic ---- */

struct tsc_scale time_scale_of(uint64_t tsc_hz)
{
	struct tsc_scale s = {.shift = 0};

	for (; tsc_hz > 2 * NS_PER_S; tsc_hz >>= 1)
		s.shift--;
	for (; tsc_hz <= NS_PER_S; tsc_hz <<= 1) /* so that mul, (10^9 << 32) / rate, fits in 32 bits */
		s.shift++;
	s.mul = (uint32_t)(((unsigned __int128)NS_PER_S << 32) / tsc_hz);
	return s;
}

uint64_t time_scale_ticks(struct tsc_scale s, uint64_t ticks)
{
	ticks = s.shift < 0 ? ticks >> -s.shift : ticks << s.shift;
	return (uint64_t)((unsigned __int128)ticks * s.mul >> 32);
}

uint64_t time_told_ns(const struct time_told *c, uint64_t tsc)
{
	return c->at.ns + time_scale_ticks(c->scale, tsc - c->at.tsc);
}

void time_tell(struct time_told *c, struct time_instant now, struct tsc_scale fresh)
{
	uint64_t reached = c->at.tsc ? time_told_ns(c, now.tsc) : 0; /* 0: the first time */

	c->scale = fresh;
	if (reached > now.ns) {
		c->scale.mul -= c->scale.mul >> 11;
		now.ns = reached;
	}
	c->at = now;
}

uint64_t time_system_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* The closest of a few readings: another job may run between the two clocks of one. */
static struct time_instant read_clocks(void)
{
	struct time_instant best = {0, 0};
	uint64_t best_gap = UINT64_MAX;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = __rdtsc(), ns = time_system_ns(), gap = __rdtsc() - before;

		if (gap < best_gap) {
			best_gap = gap;
			best = (struct time_instant){before + gap / 2, ns};
		}
	}
	return best;
}

static void measure(struct time_instant t)
{
	uint64_t hz = (uint64_t)((unsigned __int128)(t.tsc - start.tsc) * NS_PER_S / (t.ns - start.ns));

	scale = time_scale_of(hz);
	next_measure_ns = t.ns + (t.ns - start.ns); /* the baseline doubles */
}

int time_init(void)
{
	struct timespec wait = {0, (long)CALIBRATE_NS};
	struct time_instant t;

	start = read_clocks();
	while (nanosleep(&wait, &wait) && errno == EINTR)
		;
	t = read_clocks();
	if (t.tsc <= start.tsc || t.ns <= start.ns) {
		log_error("the TSC does not advance; guests read it for their time, so it must be there and invariant");
		return -ENODEV;
	}
	measure(t);
	return 0;
}

/* ---- what the guest reads ---- */

/* Orders: the odd version before the fields, the fields before the even one. */
static uint32_t version_begin(uint32_t *version)
{
	uint32_t odd = shm_load(version) | 1;

	shm_store(version, odd);
	shm_mb();
	return odd;
}

void time_domain_init(struct domain *d)
{
	struct shared_info *si = d->shared_info;
	struct timespec ts;
	uint64_t wall, version;

	memset(&clocks[d->domid % HVSHARE_DOMAINS], 0, sizeof(clocks[0]));
	clock_gettime(CLOCK_REALTIME, &ts);
	wall = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec - time_system_ns();
	version = version_begin(&si->wc_version);
	shm_store(&si->wc_sec, (uint32_t)(wall / NS_PER_S));
	shm_store(&si->wc_nsec, (uint32_t)(wall % NS_PER_S));
	shm_store(&si->wc_sec_hi, (uint32_t)(wall / NS_PER_S >> 32));
	shm_store_release(&si->wc_version, (uint32_t)version + 1);
}

void time_update_vcpu(struct vcpu *v)
{
	struct clock *c = clock_of(v);
	struct vcpu_time_info *out = &v->info->time;
	struct time_instant t = read_clocks();
	uint32_t version;

	if (t.ns >= next_measure_ns)
		measure(t);
	time_tell(&c->told, t, scale);
	version = version_begin(&out->version);
	shm_store(&out->tsc_timestamp, c->told.at.tsc);
	shm_store(&out->system_time, c->told.at.ns);
	shm_store(&out->tsc_to_system_mul, c->told.scale.mul);
	shm_store(&out->tsc_shift, c->told.scale.shift);
	shm_store_release(&out->version, version + 1);
}

/* ---- timers ---- */

/* The vCPU has one timer; it serves whichever comes first. */
static void arm(struct vcpu *v)
{
	const struct clock *c = clock_of(v);

	vcpu_set_timer(v, !c->single_ns || (c->next_tick_ns && c->next_tick_ns < c->single_ns) ? c->next_tick_ns : c->single_ns);
}

static void fire(struct vcpu *v)
{
	time_update_vcpu(v); /* the guest must not find that its deadline is yet to come */
	evtchn_raise_virq(v, VIRQ_TIMER);
}

long do_set_timer_op(struct vcpu *v, uint64_t deadline_ns)
{
	bool past = deadline_ns && deadline_ns <= time_system_ns();

	clock_of(v)->single_ns = past ? 0 : deadline_ns;
	arm(v);
	if (past)
		fire(v);
	return 0;
}

void time_set_periodic(struct vcpu *v, uint64_t period_ns)
{
	struct clock *c = clock_of(v);

	c->period_ns = period_ns;
	c->next_tick_ns = period_ns ? time_system_ns() + period_ns : 0;
	arm(v);
}

bool time_expire(struct vcpu *v)
{
	struct clock *c = clock_of(v);
	uint64_t t = time_system_ns();
	bool single = c->single_ns && c->single_ns <= t;
	bool tick = c->next_tick_ns && c->next_tick_ns <= t;

	if (!single && !tick)
		return false;
	if (single)
		c->single_ns = 0;
	if (tick)
		c->next_tick_ns = t + c->period_ns; /* ticks that were missed are not made up for */
	arm(v);
	fire(v);
	return true;
}
