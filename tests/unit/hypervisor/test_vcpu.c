/* SPDX-License-Identifier: BSD-3-Clause */
/* The vCPU's thread: when it enters the guest, what wakes it, and that it always ends. The engine is a script; one test uses the real one. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <hypervisor/event.h>
#include <hypervisor/time.h>
#include <hypervisor/vcpu.h>
#include <sluice/hvshare_event.h>
#include "tests/support/hypervisor_fakes.h"

#define CALLBACK 0x123450ull
#define STACK_PAGE 5u
#define CODE_PAGE 3u
#define HYPERCALL_SET_TIMER 15
#define HYPERCALL_SCHED_OP 29
#define MS 1000000ull

/* A guest that waits for a kick, unless it is told what to do next. */
static struct script {
	pthread_mutex_t lock;
	pthread_cond_t change;
	unsigned entries, kicks, destroyed;
	bool kicked, inside;
	int create_rc;
	struct engine_exit next;
	struct engine_regs next_regs;
	bool has_next;
	struct engine_regs seen; /* registers at the last entry */
} s;

static int script_create(int machine_fd, int cpu, struct engine_vcpu **out)
{
	(void)machine_fd;
	(void)cpu;
	*out = (struct engine_vcpu *)&s;
	return s.create_rc;
}

static void script_destroy(struct engine_vcpu *v)
{
	(void)v;
	s.destroyed++;
}

static void script_run(struct engine_vcpu *v, struct engine_regs *regs, struct engine_exit *exit)
{
	(void)v;
	pthread_mutex_lock(&s.lock);
	s.entries++;
	s.seen = *regs;
	s.inside = true;
	pthread_cond_broadcast(&s.change);
	while (!s.kicked && !s.has_next) {
		struct timespec soon;

		/* The kick of a timer's signal cannot take the lock: look now and then. */
		clock_gettime(CLOCK_REALTIME, &soon);
		soon.tv_nsec += 1000000;
		if (soon.tv_nsec >= 1000000000) {
			soon.tv_sec++;
			soon.tv_nsec -= 1000000000;
		}
		pthread_cond_timedwait(&s.change, &s.lock, &soon);
	}
	*exit = (struct engine_exit){ .reason = ENGINE_EXIT_KICK };
	if (s.kicked) {
		s.kicked = false;
	} else {
		*exit = s.next;
		*regs = s.next_regs;
		s.has_next = false;
	}
	s.inside = false;
	pthread_mutex_unlock(&s.lock);
}

static void script_kick(struct engine_vcpu *v)
{
	(void)v;
	__atomic_add_fetch(&s.kicks, 1, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s.kicked, true, __ATOMIC_SEQ_CST);
}

static int script_kick_fd(struct engine_vcpu *v)
{
	(void)v;
	return -1;
}

static int script_flush(struct engine_vcpu *v, gva_t va, size_t n)
{
	(void)v;
	(void)va;
	(void)n;
	return 0;
}

static int script_flush_all(struct engine_vcpu *v)
{
	(void)v;
	return 0;
}

static const struct engine_ops script_ops = { .name = "script", .create = script_create, .destroy = script_destroy, .run = script_run, .kick = script_kick,
	.kick_fd = script_kick_fd, .flush = script_flush, .flush_all = script_flush_all, .va_limit = 0x7ffe00000000ull };

static struct domain *d;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.change, NULL);
	fake_machine_start(8);
	d = fake_guest("vcpu", 512);
	v = &d->vcpu[0];
	v->engine = &script_ops;
	v->regs.user = (struct cpu_user_regs){ .rip = fake_va(CODE_PAGE), .rsp = fake_va(STACK_PAGE) + 0x800, .rflags = 0x202 };
	v->event_callback = CALLBACK;
	v->info->evtchn_upcall_mask = 0;
	hv_lock_release();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	hv_lock_acquire();
	fake_machine_stop(); /* domain_destroy stops the thread */
	return 0;
}

static void start(bool unpause)
{
	hv_lock_acquire();
	assert_int_equal(vcpu_start(v), 0);
	if (unpause)
		domain_unpause(d);
	hv_lock_release();
}

/* Wait (5 s at most) until the guest was entered n times and is inside. */
static void wait_entries(unsigned n)
{
	for (unsigned i = 0; i < 5000; i++) {
		pthread_mutex_lock(&s.lock);
		bool there = s.entries >= n && s.inside;
		pthread_mutex_unlock(&s.lock);
		if (there)
			return;
		usleep(1000);
	}
	fail_msg("%u entries, not %u", s.entries, n);
}

static void wait_run_state(uint32_t want)
{
	for (unsigned i = 0; i < 5000; i++) {
		if (__atomic_load_n(&v->share->run_state, __ATOMIC_SEQ_CST) == want)
			return;
		usleep(1000);
	}
	fail_msg("run_state stays %u", v->share->run_state);
}

/* The guest leaves with this hypercall. */
static void guest_calls(uint64_t nr, uint64_t a, uint64_t b)
{
	pthread_mutex_lock(&s.lock);
	s.next = (struct engine_exit){ .reason = ENGINE_EXIT_HYPERCALL };
	s.next_regs = s.seen;
	s.next_regs.user.rax = nr;
	s.next_regs.user.rdi = a;
	s.next_regs.user.rsi = b;
	s.has_next = true;
	pthread_cond_broadcast(&s.change);
	pthread_mutex_unlock(&s.lock);
}

static void paused_is_not_entered(void **state)
{
	uint32_t generation = v->share->generation;
	unsigned entries;

	(void)state;
	start(false);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	usleep(20000);
	assert_int_equal(s.entries, 0);
	assert_int_not_equal(v->share->generation, generation);
	hv_lock_acquire();
	domain_unpause(d);
	hv_lock_release();
	wait_entries(1);
	hv_lock_acquire();
	domain_pause(d);
	hv_lock_release();
	wait_run_state(HVSHARE_RUN_BLOCKED);
	entries = s.entries;
	usleep(20000);
	assert_int_equal(s.entries, entries);
}

static void a_failing_engine_is_told_to_the_caller(void **state)
{
	(void)state;
	s.create_rc = -ENOSPC;
	hv_lock_acquire();
	assert_int_equal(vcpu_start(v), -ENOSPC);
	hv_lock_release();
	assert_false(v->thread_started);
	vcpu_stop(v); /* nothing */
	assert_int_equal(s.destroyed, 0);
}

static void stop_ends_it_everywhere(void **state)
{
	(void)state;
	start(true);
	wait_entries(1);
	vcpu_stop(v);
	assert_int_equal(s.destroyed, 1);
	start(false);
	guest_calls(HYPERCALL_SCHED_OP, SCHEDOP_block, 0);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	vcpu_stop(v);
	assert_int_equal(s.destroyed, 2);
	assert_null(v->ev);
	assert_null(v->run);
}

/* sluiced raises one under hv_lock; domain 0 without it, through shared memory. Both enter by the upcall. */
static void an_event_in_the_guest_is_an_upcall(void **state)
{
	(void)state;
	start(true);
	wait_entries(1);
	hv_lock_acquire();
	assert_int_equal(hvshare_port_raise(d->shared_info, 5), HVSHARE_DELIVER_WAKE);
	vcpu_kick(v);
	hv_lock_release();
	wait_entries(2);
	assert_int_equal(s.seen.user.rip, CALLBACK);
	assert_int_equal(v->info->evtchn_upcall_mask, 1);
	assert_true(s.kicks > 0);
}

static void a_masked_event_does_not_enter(void **state)
{
	(void)state;
	v->info->evtchn_upcall_mask = 1;
	start(true);
	wait_entries(1);
	hv_lock_acquire();
	hvshare_port_raise(d->shared_info, 5);
	vcpu_kick(v);
	hv_lock_release();
	wait_entries(2);
	assert_int_not_equal(s.seen.user.rip, CALLBACK);
}

/* Without a callback there is nowhere to go, but no endless loop either. */
static void no_callback_no_upcall(void **state)
{
	(void)state;
	v->event_callback = 0;
	start(true);
	wait_entries(1);
	hv_lock_acquire();
	hvshare_port_raise(d->shared_info, 5);
	vcpu_kick(v);
	hv_lock_release();
	wait_entries(2);
	usleep(20000);
	assert_in_range(s.entries, 2, 3); /* it comes out once a second by itself */
}

static void domain_0_wakes_a_blocked_vcpu(void **state)
{
	(void)state;
	start(true);
	wait_entries(1);
	guest_calls(HYPERCALL_SCHED_OP, SCHEDOP_block, 0);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	usleep(20000);
	assert_int_equal(s.entries, 1);
	assert_int_equal(hvshare_port_raise(d->shared_info, 5), HVSHARE_DELIVER_WAKE);
	hvshare_vcpu_wake(v->share, -1); /* no lock, no pidfd needed */
	wait_entries(2);
	assert_int_equal(s.seen.user.rip, CALLBACK);
}

static void a_spurious_wake_up_sleeps_on(void **state)
{
	(void)state;
	start(true);
	wait_entries(1);
	guest_calls(HYPERCALL_SCHED_OP, SCHEDOP_block, 0);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	hvshare_vcpu_unblock(v->share);
	usleep(20000);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	assert_int_equal(s.entries, 1);
}

static void bind_timer_virq(void)
{
	struct evtchn_bind_virq *b = fake_page(d, 1);

	*b = (struct evtchn_bind_virq){ .virq = VIRQ_TIMER };
	assert_int_equal(do_event_channel_op(v, EVTCHNOP_bind_virq, fake_va(1)), 0);
}

static void the_timer_interrupts_the_guest(void **state)
{
	uint64_t begin = time_system_ns();

	(void)state;
	bind_timer_virq();
	start(true);
	wait_entries(1);
	guest_calls(HYPERCALL_SET_TIMER, begin + 50 * MS, 0);
	wait_entries(2);
	wait_entries(3); /* by nothing but the timer */
	assert_true(time_system_ns() - begin >= 50 * MS);
	assert_int_equal(s.seen.user.rip, CALLBACK);
	usleep(100000);
	assert_int_equal(s.entries, 3); /* once */
}

static void the_timer_ends_a_block(void **state)
{
	uint64_t begin = time_system_ns();

	(void)state;
	bind_timer_virq();
	start(true);
	wait_entries(1);
	guest_calls(HYPERCALL_SET_TIMER, begin + 50 * MS, 0);
	wait_entries(2);
	guest_calls(HYPERCALL_SCHED_OP, SCHEDOP_block, 0);
	wait_entries(3);
	assert_true(time_system_ns() - begin >= 50 * MS);
	assert_int_equal(s.seen.user.rip, CALLBACK);
}

static void a_poll_ends_at_its_time(void **state)
{
	struct sched_poll *p = fake_page(d, 1);
	uint64_t begin = time_system_ns();

	(void)state;
	memset(p, 0, sizeof(*p));
	p->nr_ports = 1;
	p->timeout = begin + 50 * MS;
	p->ports.p = (evtchn_port_t *)fake_va(2);
	*(evtchn_port_t *)fake_page(d, 2) = 6;
	start(true);
	wait_entries(1);
	guest_calls(HYPERCALL_SCHED_OP, SCHEDOP_poll, fake_va(1));
	wait_entries(2);
	assert_true(time_system_ns() - begin >= 50 * MS);
	p->timeout = 0;
	guest_calls(HYPERCALL_SCHED_OP, SCHEDOP_poll, fake_va(1));
	wait_run_state(HVSHARE_RUN_BLOCKED);
	d->shared_info->evtchn_mask[0] = ~0ull; /* a poll sees masked ports too */
	assert_int_equal(hvshare_port_raise(d->shared_info, 6), HVSHARE_DELIVER_UNBLOCK);
	hvshare_vcpu_unblock(v->share);
	wait_entries(3);
}

static void a_dead_engine_crashes_the_domain(void **state)
{
	(void)state;
	start(true);
	wait_entries(1);
	pthread_mutex_lock(&s.lock);
	s.next = (struct engine_exit){ .reason = ENGINE_EXIT_DEAD };
	s.has_next = true;
	pthread_mutex_unlock(&s.lock);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	hv_lock_acquire();
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_crash);
	hv_lock_release();
	assert_int_equal(s.entries, 1);
}

/* What a guest used shows though it never comes out by itself. */
static void cpu_time_is_counted_while_it_spins(void **state)
{
	static const uint8_t spin[] = { 0xeb, 0xfe };

	(void)state;
	v->engine = &engine_process;
	v->ev = NULL;
	memcpy(fake_page(d, CODE_PAGE), spin, sizeof(spin));
	start(true);
	wait_run_state(HVSHARE_RUN_GUEST);
	for (unsigned i = 0; i < 50; i++) {
		usleep(100000);
		hv_lock_acquire();
		uint64_t used = d->cpu_time_ns;
		hv_lock_release();
		if (used >= 500 * MS)
			return;
	}
	fail_msg("no CPU time after 5 s of spinning");
}

/* The real engine: code that adds up page by page through TLB misses, blocks, and is woken by an upcall that it returns from by itself. */
static void a_real_guest_runs(void **state)
{
	static const uint8_t kernel[] = {
		0x48, 0x8b, 0x06,                               /* again: mov rax, [rsi] */
		0x48, 0x01, 0xc3,                               /* add rbx, rax */
		0x48, 0x81, 0xc6, 0x00, 0x10, 0x00, 0x00,       /* add rsi, 4096 */
		0xff, 0xc9, 0x75, 0xef,                         /* dec ecx; jnz again */
		0x48, 0x89, 0x1f,                               /* mov [rdi], rbx */
		0xb8, 29, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x31, 0xf6, 0x0f, 0x05, /* sched_op(block, 0) */
		0xeb, 0xfe,
	};
	static const uint8_t callback[] = {
		0x49, 0xff, 0xc4,                   /* inc r12 */
		0x4d, 0x89, 0x65, 0x00,             /* mov [r13], r12 */
		0x59, 0x41, 0x5b,                   /* pop rcx; pop r11 */
		0x80, 0x4c, 0x24, 0x08, 0x03,       /* orb $3, 8(%rsp) */
		0x48, 0xcf,
	};
	volatile uint64_t *sum = fake_page(d, 60), *count = sum + 1;
	uint64_t want = 0;

	(void)state;
	v->engine = &engine_process;
	v->ev = NULL;
	memcpy(fake_page(d, CODE_PAGE), kernel, sizeof(kernel));
	memcpy((uint8_t *)fake_page(d, CODE_PAGE) + 0x800, callback, sizeof(callback));
	for (unsigned i = 0; i < 40; i++)
		want += *(uint64_t *)fake_page(d, 10 + i) = i * i + 7;
	v->event_callback = fake_va(CODE_PAGE) + 0x800;
	v->regs.user.rsi = fake_va(10);
	v->regs.user.rcx = 40;
	v->regs.user.rdi = fake_va(60);
	v->regs.user.r13 = fake_va(60) + 8;
	start(true);
	wait_run_state(HVSHARE_RUN_BLOCKED);
	assert_int_equal(*sum, want);
	for (unsigned n = 1; n <= 100; n++) {
		v->info->evtchn_pending_sel = 0;
		d->shared_info->evtchn_pending[0] = 0;
		v->info->evtchn_upcall_pending = 0;
		__atomic_store_n(&v->info->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
		assert_int_equal(hvshare_port_raise(d->shared_info, 5), HVSHARE_DELIVER_WAKE);
		hvshare_vcpu_wake(v->share, v->engine->kick_fd(v->ev)); /* blocked at first, spinning then */
		for (unsigned i = 0; i < 5000 && *count != n; i++)
			usleep(100);
		assert_int_equal(*count, n);
	}
	assert_int_equal(d->run, DOMAIN_RUNNING);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(paused_is_not_entered), T(a_failing_engine_is_told_to_the_caller), T(stop_ends_it_everywhere), T(an_event_in_the_guest_is_an_upcall),
		T(a_masked_event_does_not_enter), T(no_callback_no_upcall), T(domain_0_wakes_a_blocked_vcpu), T(a_spurious_wake_up_sleeps_on),
		T(the_timer_interrupts_the_guest), T(the_timer_ends_a_block), T(a_poll_ends_at_its_time), T(a_dead_engine_crashes_the_domain), T(cpu_time_is_counted_while_it_spins), T(a_real_guest_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
