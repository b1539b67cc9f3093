/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's thread. It makes the engine's vCPU (and, for the process engine, is its tracer), and then goes round:
 *
 *	while paused, shut down: sleep
 *	deliver the upcall that is due, bring the clock and the TLB up to date
 *	run_state = GUEST; look once more for an upcall that domain 0 raised meanwhile; enter the guest
 *	run_state = HYPERVISOR; handle the exit
 *
 * hv_lock is held except inside the guest and while asleep. run_state is how others wake it (hvshare.h).
 *
 * Where it runs: thread and guest share one pCPU, since a trap across cores costs twenty times as much. Guests are dealt out in turn over the
 * CPUs that sluiced may use, except that the first is left to domain 0 (the back end and sluiced itself) when there are two or more.
 */
#include <errno.h>
#include <linux/futex.h>
#include <limits.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <sluice/hvshare_event.h>
#include "event.h"
#include "hypercall.h"
#include "log.h"
#include "machine.h"
#include "mmu.h"
#include "time.h"
#include "vcpu.h"

#define NS_PER_SEC 1000000000ull
#define CLOCK_REFRESH_NS NS_PER_SEC      /* as Xen: a new vcpu_time_info once a second */
#define SUPERVISOR_SLICE_NS 100000u      /* a short request, so that Linux lets this thread preempt the guest on its core */
#define TIMER_SIGNAL SIGRTMIN

struct vcpu_run {
	sem_t created;          /* posted when the engine's vCPU exists, or does not */
	int create_rc;
	int cpu;
	bool stop;
	bool has_timer;
	timer_t timer;
	uint64_t armed_ns;      /* system time at which the timer goes off; 0: not armed (its signal clears it) */
	uint64_t clock_ns;      /* when the guest's clock was last brought up to date; 0: never */
};

static void run_state_set(struct vcpu *v, enum hvshare_run state)
{
	/* Orders: this store before the loads of the event bits that follow; whoever raises an event does the reverse. */
	__atomic_store_n(&v->share->run_state, (uint32_t)state, __ATOMIC_SEQ_CST);
}

static bool may_run(const struct vcpu *v)
{
	const struct domain *d = v->domain;

	return !v->run->stop && d->run == DOMAIN_RUNNING && !d->pause_count;
}

/* ---- waking and sleeping ---- */

void vcpu_kick(struct vcpu *v)
{
	switch (__atomic_load_n(&v->share->run_state, __ATOMIC_SEQ_CST)) {
	case HVSHARE_RUN_GUEST:
		if (v->ev)
			v->engine->kick(v->ev);
		break;
	case HVSHARE_RUN_BLOCKED:
		hvshare_vcpu_unblock(v->share);
		break;
	default: /* it looks before it enters the guest */
		break;
	}
}

/* Until woken or deadline_ns (0: none) has come. run_state is BLOCKED already, unless somebody has changed that since. */
static void sleep_until(struct vcpu *v, uint64_t deadline_ns)
{
	struct timespec ts, *timeout = NULL;

	if (deadline_ns) {
		uint64_t now = time_system_ns(), rest = deadline_ns > now ? deadline_ns - now : 1;

		ts.tv_sec = (time_t)(rest / NS_PER_SEC);
		ts.tv_nsec = (long)(rest % NS_PER_SEC);
		timeout = &ts;
	}
	hv_lock_release();
	syscall(SYS_futex, &v->share->run_state, FUTEX_WAIT, HVSHARE_RUN_BLOCKED, timeout, NULL, 0);
	hv_lock_acquire();
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a ? b : !b || a < b ? a : b;
}

static bool deadline_passed(uint64_t deadline_ns)
{
	return deadline_ns && time_system_ns() >= deadline_ns;
}

static void expire_timer(struct vcpu *v)
{
	if (deadline_passed(v->timer_deadline))
		time_expire(v);
}

static bool wake_due(struct vcpu *v, const evtchn_t *ports, unsigned n, uint64_t deadline_ns)
{
	return !may_run(v) || evtchn_upcall_due(v) || (n && evtchn_any_pending(v->domain, ports, n)) || deadline_passed(deadline_ns);
}

void vcpu_block(struct vcpu *v, const evtchn_t *ports, unsigned n, uint64_t deadline_ns)
{
	for (;;) {
		expire_timer(v);
		run_state_set(v, HVSHARE_RUN_BLOCKED);
		if (wake_due(v, ports, n, deadline_ns))
			break;
		sleep_until(v, earlier(deadline_ns, v->timer_deadline));
	}
	run_state_set(v, HVSHARE_RUN_HYPERVISOR);
}

/* While paused, or when the guest is over and its memory waits for domain_destroy. */
static void wait_runnable(struct vcpu *v)
{
	while (!may_run(v) && !v->run->stop) {
		run_state_set(v, HVSHARE_RUN_BLOCKED);
		sleep_until(v, 0);
	}
	run_state_set(v, HVSHARE_RUN_HYPERVISOR);
}

/* ---- the timer ---- */

void vcpu_set_timer(struct vcpu *v, uint64_t deadline_ns)
{
	v->timer_deadline = deadline_ns;
}

/* In the vCPU's thread. A kick and not just an interrupted wait: the signal may come between the last look and the wait. */
static void on_timer(int sig, siginfo_t *si, void *context)
{
	struct vcpu *v = si->si_value.sival_ptr;

	(void)sig;
	(void)context;
	if (si->si_code != SI_TIMER || !v->ev)
		return;
	__atomic_store_n(&v->run->armed_ns, 0, __ATOMIC_RELAXED);
	v->engine->kick(v->ev);
}

static void timer_handler_install(void)
{
	struct sigaction sa = { .sa_sigaction = on_timer, .sa_flags = SA_SIGINFO | SA_RESTART };

	sigemptyset(&sa.sa_mask);
	sigaction(TIMER_SIGNAL, &sa, NULL);
}

/* Before entering the guest. It comes out once a second at least, for its clock and for what `list` shows of its CPU time. An armed timer that is
 * early enough stays: at its kick we come here again. */
static void arm_timer(struct vcpu *v)
{
	struct vcpu_run *r = v->run;
	uint64_t armed = __atomic_load_n(&r->armed_ns, __ATOMIC_RELAXED), now, want;
	struct itimerspec its = { 0 };

	if (!r->has_timer || (armed && (!v->timer_deadline || armed <= v->timer_deadline)))
		return;
	now = time_system_ns();
	want = earlier(v->timer_deadline, now + CLOCK_REFRESH_NS);
	__atomic_store_n(&r->armed_ns, want, __ATOMIC_RELAXED); /* first: the signal may come at once */
	want = want > now ? want - now : 1;
	its.it_value.tv_sec = (time_t)(want / NS_PER_SEC);
	its.it_value.tv_nsec = (long)(want % NS_PER_SEC);
	timer_settime(r->timer, 0, &its, NULL);
}

/* ---- round and round ---- */

static bool upcall_deliverable(const struct vcpu *v)
{
	return v->event_callback && evtchn_upcall_due(v);
}

static void prepare(struct vcpu *v)
{
	uint64_t now = time_system_ns();

	expire_timer(v);
	if (!v->run->clock_ns || now - v->run->clock_ns >= CLOCK_REFRESH_NS) {
		time_update_vcpu(v);
		v->run->clock_ns = now;
	}
	if (upcall_deliverable(v))
		trap_upcall(v);
	tlb_sync(v);
}

static void handle_exit(struct vcpu *v, const struct engine_exit *exit)
{
	switch (exit->reason) {
	case ENGINE_EXIT_HYPERCALL:
		hypercall(v);
		break;
	case ENGINE_EXIT_EXCEPTION:
		vcpu_fault(v, exit);
		break;
	case ENGINE_EXIT_KICK:
		break;
	case ENGINE_EXIT_DEAD:
		domain_crash(v->domain, "its process ended");
		break;
	}
}

static void enter_guest(struct vcpu *v)
{
	struct engine_exit exit;
	uint64_t entered;

	arm_timer(v);
	run_state_set(v, HVSHARE_RUN_GUEST);
	if (upcall_deliverable(v)) { /* raised by domain 0 after prepare: it saw HYPERVISOR and did not kick */
		run_state_set(v, HVSHARE_RUN_HYPERVISOR);
		return;
	}
	entered = time_system_ns();
	hv_lock_release();
	v->engine->run(v->ev, &v->regs, &exit);
	run_state_set(v, HVSHARE_RUN_HYPERVISOR);
	hv_lock_acquire();
	v->domain->cpu_time_ns += time_system_ns() - entered;
	if (v->domain->run == DOMAIN_RUNNING) /* also when paused meanwhile: that only keeps it from entering again */
		handle_exit(v, &exit);
}

static void vcpu_loop(struct vcpu *v)
{
	while (!v->run->stop) {
		if (!may_run(v)) {
			wait_runnable(v);
			continue;
		}
		prepare(v);
		if (may_run(v)) /* the upcall may have crashed it */
			enter_guest(v);
	}
}

/* ---- the thread ---- */

/* Only the timer's signal: all others are for sluiced's main thread. */
static void thread_signals(bool timer)
{
	sigset_t set;

	sigfillset(&set);
	if (timer)
		sigdelset(&set, TIMER_SIGNAL);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static void pin_self(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Not in Debian 12's headers. Kernels before 6.12 ignore sched_runtime here; nothing depends on it but latency. */
static void short_slice(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = 48, .policy = SCHED_OTHER, .runtime = SUPERVISOR_SLICE_NS };

	syscall(SYS_sched_setattr, 0, &attr, 0);
}

static void timer_start(struct vcpu *v)
{
	struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TIMER_SIGNAL, .sigev_value.sival_ptr = v };

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
	ev.sigev_notify_thread_id = gettid();
	v->run->has_timer = !timer_create(CLOCK_MONOTONIC, &ev, &v->run->timer);
	if (!v->run->has_timer)
		log_error("%s: no timer for its vCPU: %s; its clock will tick only when it blocks", v->domain->name, strerror(errno));
}

static int thread_create_engine(struct vcpu *v)
{
	int rc;

	pin_self(v->run->cpu);
	rc = v->engine->create(machine.fd, v->run->cpu, &v->ev);
	if (rc)
		return rc;
	timer_start(v);
	short_slice(); /* after create: the guest's process must not inherit it */
	__atomic_add_fetch(&v->share->generation, 1, __ATOMIC_SEQ_CST);
	run_state_set(v, HVSHARE_RUN_HYPERVISOR);
	return 0;
}

/* Nobody kicks it from here on, and then it is gone. hv_lock held. */
static void thread_destroy_engine(struct vcpu *v)
{
	struct engine_vcpu *ev = v->ev;

	thread_signals(false);
	if (v->run->has_timer)
		timer_delete(v->run->timer);
	run_state_set(v, HVSHARE_RUN_HYPERVISOR);
	v->ev = NULL;
	hv_lock_release();
	v->engine->destroy(ev);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;

	thread_signals(true);
	v->run->create_rc = thread_create_engine(v);
	if (v->run->create_rc) {
		sem_post(&v->run->created);
		return NULL;
	}
	sem_post(&v->run->created);
	hv_lock_acquire();
	vcpu_loop(v);
	thread_destroy_engine(v);
	return NULL;
}

/* The next pCPU for a guest, in turn. */
static int pick_cpu(void)
{
	static unsigned turn;
	cpu_set_t set;
	unsigned n, want;

	if (sched_getaffinity(0, sizeof(set), &set))
		return -1;
	n = (unsigned)CPU_COUNT(&set);
	want = n > 1 ? 1 + turn++ % (n - 1) : 0;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && !want--)
			return cpu;
	return -1;
}

static void run_free(struct vcpu *v)
{
	sem_destroy(&v->run->created);
	free(v->run);
	v->run = NULL;
}

int vcpu_start(struct vcpu *v)
{
	static pthread_once_t handler = PTHREAD_ONCE_INIT;
	int rc;

	pthread_once(&handler, timer_handler_install);
	v->run = calloc(1, sizeof(*v->run));
	if (!v->run)
		return -ENOMEM;
	sem_init(&v->run->created, 0, 0);
	v->run->cpu = pick_cpu();
	rc = -pthread_create(&v->thread, NULL, vcpu_main, v);
	if (rc) {
		run_free(v);
		return rc;
	}
	while (sem_wait(&v->run->created) && errno == EINTR)
		;
	rc = v->run->create_rc;
	if (rc) {
		pthread_join(v->thread, NULL);
		run_free(v);
		return rc;
	}
	v->thread_started = true;
	return 0;
}

void vcpu_stop(struct vcpu *v)
{
	if (!v->thread_started)
		return;
	hv_lock_acquire();
	v->run->stop = true;
	vcpu_kick(v);
	hv_lock_release();
	pthread_join(v->thread, NULL);
	v->thread_started = false;
	run_free(v);
}
