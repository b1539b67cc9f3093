/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/time.c and vcpu_op.c: what a guest would read from its clocks, and its timers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/event.h>
#include <hypervisor/time_private.h>
#include <tests/support/hypervisor_fakes.h>
#include <time.h>
#include <x86intrin.h>

#define NS_PER_S 1000000000ull

static struct domain *d;
static struct vcpu *v;
static evtchn_t timer_port;

static long call_event(unsigned cmd, void *op, size_t size)
{
	long rc;

	memcpy(fake_page(d, 1), op, size);
	rc = do_event_channel_op(v, cmd, fake_va(1));
	memcpy(op, fake_page(d, 1), size);
	return rc;
}

static int setup(void **state)
{
	struct evtchn_bind_virq op = {.virq = VIRQ_TIMER};

	(void)state;
	fake_machine_start(16);
	d = fake_guest("a", 600);
	v = &d->vcpu[0];
	assert_int_equal(call_event(EVTCHNOP_bind_virq, &op, sizeof(op)), 0);
	timer_port = op.port;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

/* Did the timer's VIRQ fire since the last call? */
static bool fired(void)
{
	bool is = evtchn_any_pending(d, &timer_port, 1);

	memset(d->shared_info->evtchn_pending, 0, sizeof(d->shared_info->evtchn_pending));
	return is;
}

/* System time as a guest computes it. */
static uint64_t guest_ns(void)
{
	const struct vcpu_time_info *t = &v->info->time;
	uint64_t ticks = __rdtsc() - t->tsc_timestamp;

	ticks = t->tsc_shift < 0 ? ticks >> -t->tsc_shift : ticks << t->tsc_shift;
	return t->system_time + (uint64_t)((unsigned __int128)ticks * t->tsc_to_system_mul >> 32);
}

static void test_scale(void **state)
{
	static const uint64_t rates[] = {1, 1000000, 32768, 999999999, 1000000000, 1000000001, 1999999999, 2000000000, 2000000001,
	                                 2600000000, 4999999999, 10000000000};

	(void)state;
	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct tsc_scale s = time_scale_of(rates[i]);
		uint64_t got = time_scale_ticks(s, rates[i] * 10); /* ten seconds' worth */

		assert_in_range(got, 10 * NS_PER_S - 100, 10 * NS_PER_S + 100);
	}
}

static void test_guest_time_is_monotonic_time(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t seen;

		if (i % 10 == 0) {
			time_update_vcpu(v);
			assert_int_equal(v->info->time.version % 2, 0);
		}
		seen = guest_ns();
		assert_true(seen >= last);
		last = seen;
	}
	assert_in_range(time_system_ns() - guest_ns() + 50000000, 0, 100000000);
}

/* Told a rate that is wrong by some parts in a million, for seconds at a time. */
static void test_time_does_not_go_back_for_a_guest_that_ran_fast(void **state)
{
	const uint64_t hz = 2600000000;
	const struct tsc_scale truth = time_scale_of(hz), fast = time_scale_of(hz - hz / 10000);
	struct time_told c = {.scale = truth};
	uint64_t last = 0, ahead = 0;

	(void)state;
	for (uint64_t s = 1; s <= 10; s++) {
		struct time_instant now = {.tsc = s * hz, .ns = s * NS_PER_S};
		uint64_t before = s > 1 ? time_told_ns(&c, now.tsc) : 0;

		time_tell(&c, now, s < 5 ? fast : truth);
		assert_true(time_told_ns(&c, now.tsc) >= before);
		assert_true(time_told_ns(&c, now.tsc) >= last);
		last = time_told_ns(&c, now.tsc);
		ahead = last > now.ns ? last - now.ns : 0;
		assert_true(ahead < 500000);
		if (s == 2)
			assert_in_range(ahead, 90000, 110000); /* so it did run fast */
	}
	assert_true(ahead < 1000); /* and true time caught up */
}

static void test_what_the_guest_scribbles_is_its_own_clock_alone(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		time_update_vcpu(v);
		v->info->time.tsc_to_system_mul = ~0u;
		v->info->time.tsc_timestamp = 0;
		time_update_vcpu(v);
		assert_in_range(time_system_ns() - guest_ns() + 50000000, 0, 100000000);
	}
}

static void test_version_says_that_something_changed(void **state)
{
	uint32_t before;

	(void)state;
	time_update_vcpu(v);
	before = v->info->time.version;
	time_update_vcpu(v);
	assert_int_equal(v->info->time.version, before + 2);
	v->info->time.version = 7; /* left odd by the guest */
	time_update_vcpu(v);
	assert_int_equal(v->info->time.version % 2, 0);
}

static void test_wall_clock(void **state)
{
	const struct shared_info *si = d->shared_info;
	struct timespec now;
	uint64_t wall;

	(void)state;
	clock_gettime(CLOCK_REALTIME, &now);
	wall = ((uint64_t)si->wc_sec_hi << 32 | si->wc_sec) * NS_PER_S + si->wc_nsec + time_system_ns();
	assert_in_range(wall - ((uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec) + 50000000, 0, 100000000);
	assert_true(si->wc_nsec < NS_PER_S);
	assert_int_equal(si->wc_version % 2, 0);
	assert_int_not_equal(si->wc_version, 0);
}

static void test_singleshot(void **state)
{
	uint64_t far = time_system_ns() + 3600 * NS_PER_S, soon;

	(void)state;
	assert_int_equal(do_set_timer_op(v, far), 0);
	assert_int_equal(v->timer_deadline, far);
	assert_false(time_expire(v));
	assert_int_equal(do_set_timer_op(v, 0), 0);
	assert_int_equal(v->timer_deadline, 0);
	assert_int_equal(do_set_timer_op(v, 1), 0); /* past: at once */
	assert_int_equal(v->timer_deadline, 0);
	assert_true(fired());
	soon = time_system_ns() + 200000;
	assert_int_equal(do_set_timer_op(v, soon), 0);
	assert_false(fired());
	while (time_system_ns() < soon)
		;
	assert_true(time_expire(v));
	assert_true(fired());
	assert_true(guest_ns() >= soon - 20000);
	assert_int_equal(v->timer_deadline, 0);
	assert_false(time_expire(v));
	assert_false(fired());
}

static long vcpu_call(unsigned cmd, unsigned vcpuid, void *op, size_t size)
{
	long rc;

	memcpy(fake_page(d, 1), op, size);
	rc = do_vcpu_op(v, cmd, vcpuid, fake_va(1));
	memcpy(op, fake_page(d, 1), size);
	return rc;
}

static void test_periodic(void **state)
{
	struct vcpu_set_periodic_timer op = {.period_ns = 1000000};
	uint64_t far = time_system_ns() + 3600 * NS_PER_S;

	(void)state;
	assert_int_equal(do_set_timer_op(v, far), 0);
	assert_int_equal(vcpu_call(VCPUOP_set_periodic_timer, 0, &op, sizeof(op)), 0);
	assert_true(v->timer_deadline < far);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t deadline = v->timer_deadline;

		while (time_system_ns() < deadline)
			;
		assert_true(time_expire(v));
		assert_true(fired());
		assert_true(v->timer_deadline > deadline);
	}
	assert_int_equal(vcpu_call(VCPUOP_stop_periodic_timer, 0, &op, sizeof(op)), 0);
	assert_int_equal(v->timer_deadline, far);
	op.period_ns = 999999;
	assert_int_equal(vcpu_call(VCPUOP_set_periodic_timer, 0, &op, sizeof(op)), -EINVAL);
	op.period_ns = ~0ull;
	assert_int_equal(vcpu_call(VCPUOP_set_periodic_timer, 0, &op, sizeof(op)), -EINVAL);
}

static void test_vcpu_op(void **state)
{
	struct vcpu_set_singleshot_timer shot = {.timeout_abs_ns = 1, .flags = VCPU_SSHOTTMR_future};
	struct vcpu_register_runstate_memory_area area = {.addr.p = fake_va(2)};
	struct vcpu_runstate_info run = {0};
	char none[64] = {0};

	(void)state;
	assert_int_equal(vcpu_call(VCPUOP_set_singleshot_timer, 0, &shot, sizeof(shot)), -ETIME);
	assert_false(fired());
	shot.flags = 0;
	assert_int_equal(vcpu_call(VCPUOP_set_singleshot_timer, 0, &shot, sizeof(shot)), 0);
	assert_true(fired());
	assert_int_equal(vcpu_call(VCPUOP_is_up, 0, none, sizeof(none)), 1);
	assert_int_equal(vcpu_call(VCPUOP_is_up, 1, none, sizeof(none)), -ENOENT);
	assert_int_equal(vcpu_call(VCPUOP_initialise, 1, none, sizeof(none)), -ENOENT);
	assert_int_equal(vcpu_call(VCPUOP_register_vcpu_info, 0, none, sizeof(none)), -ENOSYS);
	assert_int_equal(vcpu_call(VCPUOP_get_runstate_info, 0, &run, sizeof(run)), 0);
	assert_int_equal(run.state, RUNSTATE_running);
	assert_int_equal(run.time[0] + run.time[1] + run.time[2] + run.time[3], run.state_entry_time - d->created_ns);
	assert_int_equal(vcpu_call(VCPUOP_register_runstate_memory_area, 0, &area, sizeof(area)), 0);
	memcpy(&run, fake_page(d, 2), sizeof(run));
	assert_true(run.state_entry_time > d->created_ns);
	assert_int_equal(do_vcpu_op(v, VCPUOP_get_runstate_info, 0, 0), -EFAULT);
	assert_int_equal(vcpu_call(VCPUOP_down, 0, none, sizeof(none)), 0);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scale),
		TEST(test_guest_time_is_monotonic_time),
		cmocka_unit_test(test_time_does_not_go_back_for_a_guest_that_ran_fast),
		TEST(test_what_the_guest_scribbles_is_its_own_clock_alone),
		TEST(test_version_says_that_something_changed),
		TEST(test_wall_clock),
		TEST(test_singleshot),
		TEST(test_periodic),
		TEST(test_vcpu_op),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
