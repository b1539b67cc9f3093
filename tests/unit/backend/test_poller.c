/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: who is polled, who sleeps, what wakes it, what an idle one costs. */
#include <tests/support/netback_world.h>
#include <rte_cycles.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <pthread.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static struct hv *hv;
static struct poller *poller;
static unsigned flushes, flush_ms;

static void flush(void *ctx)
{
	(void)ctx;
	flushes++;
	rte_delay_us_block(flush_ms * 1000);
}

struct test_item {
	struct poll_item item;
	unsigned polls, arms, work; /* work: bursts that it still has */
	unsigned burst;             /* units of work in each; 0: one */
	bool refuse;                /* arm finds something to do */
};

static unsigned item_poll(struct poll_item *item)
{
	struct test_item *t = (struct test_item *)item;

	t->polls++;
	if (t->work == 0)
		return 0;
	t->work--;
	return t->burst ? t->burst : 1;
}

static bool item_arm(struct poll_item *item)
{
	struct test_item *t = (struct test_item *)item;

	t->arms++;
	return t->refuse;
}

static const struct test_item fresh = {.item = {.poll = item_poll, .arm = item_arm}};

static int setup(void **state)
{
	(void)state;
	world_start_eal();
	assert_int_equal(hv_fake_open(&hv), 0);
	assert_int_equal(hv_fake_domain_create(hv, 1), 0);
	return poller_create(hv, flush, NULL, &poller);
}

static int teardown(void **state)
{
	(void)state;
	poller_destroy(poller);
	assert_int_equal(hv_fake_bound(hv), 0);
	hv->ops->close(hv);
	return 0;
}

static void run_ms(unsigned ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;

	while (rte_rdtsc() < end)
		poller_round(poller, false);
}

/* Busy items stay, idle ones arm once and leave, an event brings them back. */
static void items_come_and_go(void **state)
{
	struct test_item t = fresh;
	evtchn_t remote, port;
	unsigned polls;

	(void)state;
	hv_fake_evtchn_alloc(hv, 1, 0, &remote);
	assert_int_equal(poller_bind(poller, &t.item, 1, remote, &port), 0);
	t.work = 100;
	run_ms(5);
	assert_int_equal(t.work, 0);
	assert_false(t.item.active);
	assert_int_equal(t.arms, 1);
	polls = t.polls;
	run_ms(5);
	assert_int_equal(t.polls, polls);
	hv_fake_evtchn_send(hv, 1, remote);
	poller_round(poller, false);
	assert_true(t.item.active);
	assert_int_equal(t.polls, polls + 1);
	poller_unbind(poller, port);
	poller_remove(poller, &t.item);
	hv_fake_evtchn_send(hv, 1, remote);
	run_ms(1);
	assert_int_equal(t.polls, polls + 1);
}

/* A round that takes longer than any spin is no idle time: the next one polls, arms nothing, and does not sleep. */
static void slow_work_is_not_idle_time(void **state)
{
	struct test_item t = fresh;
	struct poller_stats stats;

	(void)state;
	t.work = 2;
	poller_activate(poller, &t.item);
	flush_ms = 1;
	for (unsigned i = 0; i < 3; i++)
		poller_round(poller, true);
	flush_ms = 0;
	poller_stats(poller, &stats);
	assert_int_equal(t.polls, 3);
	assert_int_equal(t.arms, 0);
	assert_int_equal(stats.sleeps, 0);
	poller_remove(poller, &t.item);
}

static unsigned event_fd_caps(struct hv *with)
{
	(void)with;
	return HV_CAP_EVENT_FD;
}

/* How often we sleep until an item that had so much work has armed. */
static unsigned sleeps_before_arming(unsigned burst)
{
	struct test_item t = fresh;
	struct poller_stats before, after;

	t.work = 1;
	t.burst = burst;
	poller_activate(poller, &t.item);
	poller_stats(poller, &before);
	while (t.arms == 0)
		poller_round(poller, true);
	poller_stats(poller, &after);
	poller_remove(poller, &t.item);
	return (unsigned)(after.sleeps - before.sleeps);
}

/* Where a wake-up is the kernel's work, a guest that has sent a lot is polled once more after a while, before it is asked for events again. */
static void breath_after_a_lot_of_work(void **state)
{
	const struct hv_ops *plain = hv->ops;
	struct hv_ops ops = *plain;

	(void)state;
	assert_int_equal(sleeps_before_arming(64), 0);
	ops.caps = event_fd_caps;
	hv->ops = &ops;
	poller_destroy(poller);
	assert_int_equal(poller_create(hv, flush, NULL, &poller), 0);
	assert_int_equal(sleeps_before_arming(1), 0);
	assert_int_equal(sleeps_before_arming(64), 1);
	hv->ops = plain;
}

static void nothing(struct poll_timer *timer)
{
	(void)timer;
}

/* What waits for something slow is armed in the round after it found nothing, and the loop sleeps at once then; others keep their spinning time. */
static void a_slow_item_is_not_polled_on(void **state)
{
	struct test_item t = fresh;
	struct poll_timer wake = {.fire = nothing};
	struct poller_stats before, after;

	(void)state;
	t.item.slow = true;
	t.work = 3;
	poller_activate(poller, &t.item);
	poller_stats(poller, &before);
	for (unsigned i = 0; i < 5; i++)
		poller_round(poller, false);
	assert_int_equal(t.polls, 5);
	assert_int_equal(t.arms, 1);
	assert_false(t.item.active);
	poller_timer_set(poller, &wake, 500);
	poller_round(poller, true);
	poller_stats(poller, &after);
	assert_int_equal(after.sleeps, before.sleeps + 1);
	assert_int_equal(after.spin_us, before.spin_us);
	poller_timer_cancel(poller, &wake);
	poller_remove(poller, &t.item);
}

/* Beside an item that is always busy the loop does not sleep, and looks at descriptors rarely: so a slow item is polled on. */
static void a_slow_item_beside_a_busy_one(void **state)
{
	struct test_item slow = fresh, busy = fresh;

	(void)state;
	slow.item.slow = true;
	slow.work = 1;
	busy.work = 100;
	poller_activate(poller, &slow.item);
	poller_activate(poller, &busy.item);
	for (unsigned i = 0; i < 100; i++)
		poller_round(poller, false);
	assert_int_equal(slow.polls, 100);
	assert_int_equal(slow.arms, 0);
	for (unsigned i = 0; i < 3; i++)
		poller_round(poller, false);
	assert_int_equal(slow.arms, 1);
	poller_remove(poller, &slow.item);
	poller_remove(poller, &busy.item);
}

/* Something came while it armed: it stays. */
static void arm_that_finds_work_keeps_it(void **state)
{
	struct test_item t = fresh;

	(void)state;
	t.refuse = true;
	poller_activate(poller, &t.item);
	run_ms(3);
	assert_true(t.item.active && t.arms > 1);
	poller_remove(poller, &t.item);
}

static void bind_fails(void **state)
{
	struct test_item t = fresh;
	evtchn_t port = 7;

	(void)state;
	assert_int_not_equal(poller_bind(poller, &t.item, 1, 99, &port), 0);
	assert_int_equal(port, 0);
	poller_unbind(poller, 0);
}

static unsigned fired;
static void on_timer(struct poll_timer *timer)
{
	(void)timer;
	fired++;
}

static void on_timer_again(struct poll_timer *timer)
{
	fired++;
	poller_timer_set(poller, timer, 0);
}

static void timers(void **state)
{
	struct poll_timer once = {.fire = on_timer}, late = {.fire = on_timer}, again = {.fire = on_timer_again};

	(void)state;
	fired = 0;
	poller_timer_set(poller, &once, 2000);
	poller_timer_set(poller, &late, 1000000);
	run_ms(1);
	assert_int_equal(fired, 0);
	run_ms(4);
	assert_int_equal(fired, 1);
	poller_timer_cancel(poller, &late);
	poller_timer_cancel(poller, &late);
	poller_timer_set(poller, &again, 0); /* fires in each round, and the round ends all the same */
	usleep(10);
	poller_round(poller, false);
	poller_round(poller, false);
	assert_true(fired >= 2 && fired <= 3);
	poller_timer_cancel(poller, &again);
}

static struct poll_fd pipe_fd;
static unsigned pipe_ready;
static void on_pipe(struct poll_fd *pfd)
{
	char c;

	pipe_ready += read(pfd->fd, &c, 1) == 1;
}

static void *wake_later(void *arg)
{
	usleep(50000);
	assert_int_equal(write(*(int *)arg, "x", 1), 1);
	return NULL;
}

/* Sleeps until a descriptor speaks up, and uses next to no CPU meanwhile. */
static void sleeps_and_wakes(void **state)
{
	struct timespec before, after;
	struct poller_stats stats;
	pthread_t thread;
	int fds[2];
	double cpu;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pipe_fd = (struct poll_fd){.fd = fds[0], .ready = on_pipe};
	assert_int_equal(poller_add_fd(poller, &pipe_fd), 0);
	pipe_ready = 0;
	pthread_create(&thread, NULL, wake_later, &fds[1]);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
	while (pipe_ready == 0)
		poller_round(poller, true);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
	pthread_join(thread, NULL);
	cpu = (double)(after.tv_sec - before.tv_sec) * 1e3 + (double)(after.tv_nsec - before.tv_nsec) / 1e6;
	assert_true(cpu < 5.0); /* of 50 ms; as much as one turn of spinning and some slack for a sanitizer */
	poller_stats(poller, &stats);
	assert_true(stats.sleeps >= 1 && stats.sleeps < 10);
	close(fds[0]);
	close(fds[1]);
}

static void *notify_later(void *arg)
{
	usleep(20000);
	hv_fake_evtchn_send(hv, 1, *(evtchn_t *)arg);
	return NULL;
}

static void an_event_ends_the_sleep(void **state)
{
	struct test_item t = fresh;
	evtchn_t remote, port;
	pthread_t thread;
	unsigned polls;

	(void)state;
	hv_fake_evtchn_alloc(hv, 1, 0, &remote);
	assert_int_equal(poller_bind(poller, &t.item, 1, remote, &port), 0);
	run_ms(5);
	polls = t.polls;
	pthread_create(&thread, NULL, notify_later, &remote);
	while (t.polls == polls)
		poller_round(poller, true);
	pthread_join(thread, NULL);
	poller_unbind(poller, port);
	poller_remove(poller, &t.item);
}

static void spinning_adapts(void **state)
{
	struct poller_stats stats;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pipe_fd = (struct poll_fd){.fd = fds[0], .ready = on_pipe};
	poller_add_fd(poller, &pipe_fd);
	for (unsigned i = 0; i < 20000; i++) { /* every sleep ends at once */
		assert_int_equal(write(fds[1], "x", 1), 1);
		poller_round(poller, true);
		poller_stats(poller, &stats);
		if (stats.spin_us >= 150)
			break;
	}
	assert_true(stats.spin_us >= 150);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(items_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_work_is_not_idle_time, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_item_is_not_polled_on, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_item_beside_a_busy_one, setup, teardown),
		cmocka_unit_test_setup_teardown(breath_after_a_lot_of_work, setup, teardown),
		cmocka_unit_test_setup_teardown(arm_that_finds_work_keeps_it, setup, teardown),
		cmocka_unit_test_setup_teardown(bind_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(timers, setup, teardown),
		cmocka_unit_test_setup_teardown(sleeps_and_wakes, setup, teardown),
		cmocka_unit_test_setup_teardown(an_event_ends_the_sleep, setup, teardown),
		cmocka_unit_test_setup_teardown(spinning_adapts, setup, teardown),
	};

	return cmocka_run_group_tests_name("poller", tests, NULL, NULL);
}
