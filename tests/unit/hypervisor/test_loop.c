/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/loop.c: who is called, what removal in the middle of a batch does, and that the lock is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hypervisor/domain.h"
#include "hypervisor/loop.h"

#define MANY 200

static int fds[MANY], calls[MANY];
static int others_fd = -1;

static void add(int i, loop_fn *fn)
{
	fds[i] = eventfd(1, EFD_NONBLOCK);
	calls[i] = 0;
	assert_true(fds[i] >= 0);
	assert_int_equal(loop_add(fds[i], EPOLLIN, fn, &calls[i]), 0);
}

static void drop(int i)
{
	loop_remove(fds[i]);
	close(fds[i]);
}

static void count_and_stop(int fd, uint32_t events, void *arg)
{
	assert_true(events & EPOLLIN);
	++*(int *)arg;
	assert_int_equal(pthread_mutex_trylock(&hv_lock), EBUSY);
	assert_true(fd >= 0);
	loop_stop();
}

static void a_ready_fd_is_served_with_the_lock_held(void **state)
{
	(void)state;
	add(0, count_and_stop);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(calls[0], 1);
	assert_int_equal(pthread_mutex_trylock(&hv_lock), 0); /* and not outside of callbacks */
	pthread_mutex_unlock(&hv_lock);
	drop(0);
}

/* Whoever is first removes and closes the other and stops: the event of the other, fetched already, must not be served. */
static void remove_the_other(int fd, uint32_t events, void *arg)
{
	int other = fd == fds[0] ? 1 : 0;

	(void)events;
	++*(int *)arg;
	loop_remove(fds[other]);
	close(fds[other]);
	loop_remove(fd);
	fds[2] = eventfd(0, 0);
	loop_add(fds[2], EPOLLIN, count_and_stop, &calls[2]);
}

static void stop_later(int fd, uint32_t events, void *arg)
{
	(void)events;
	if (++*(int *)arg == 3) {
		loop_remove(fd);
		loop_stop();
	}
}

static void removed_in_the_same_batch(void **state)
{
	(void)state;
	calls[2] = 0;
	add(0, remove_the_other);
	add(1, remove_the_other);
	add(3, stop_later);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(calls[0] + calls[1], 1);
	assert_int_equal(calls[2], 0);
	drop(2);
	close(fds[3]);
	close(calls[0] ? fds[0] : fds[1]);
}

/* The same, but the number of the closed one is used anew at once, by a descriptor that is not ready. */
static void reuse_the_other(int fd, uint32_t events, void *arg)
{
	int other = fd == fds[0] ? fds[1] : fds[0];

	(void)events;
	++*(int *)arg;
	loop_remove(fd);
	loop_remove(other);
	close(other);
	others_fd = eventfd(0, 0);
	assert_int_equal(others_fd, other);
	assert_int_equal(loop_add(others_fd, EPOLLIN, count_and_stop, &calls[2]), 0);
}

static void number_used_anew_in_the_same_batch(void **state)
{
	(void)state;
	calls[2] = 0;
	add(0, reuse_the_other);
	add(1, reuse_the_other);
	add(3, stop_later);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(calls[0] + calls[1], 1);
	assert_int_equal(calls[2], 0);
	drop(0);
	drop(1);
	close(fds[3]);
}

static void more_than_a_batch(void **state)
{
	(void)state;
	for (int i = 0; i < MANY; i++)
		add(i, stop_later);
	for (int i = 0; i < MANY; i++)
		calls[i] = 2; /* each is removed at its first call, and each stops */
	for (int left = MANY; left;) {
		assert_int_equal(loop_run(), 0);
		left = 0;
		for (int i = 0; i < MANY; i++)
			left += calls[i] < 3;
	}
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(calls[i], 3);
		close(fds[i]);
	}
}

static void modify(void **state)
{
	(void)state;
	add(0, count_and_stop);
	add(1, stop_later);
	assert_int_equal(loop_modify(fds[0], 0), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(calls[0], 0);
	assert_int_equal(loop_modify(fds[0], EPOLLIN), 0);
	assert_int_equal(loop_run(), 0);
	assert_int_equal(calls[0], 1);
	drop(0);
	drop(1);
}

static void misuse(void **state)
{
	(void)state;
	assert_int_equal(loop_add(-1, EPOLLIN, count_and_stop, NULL), -EINVAL);
	assert_int_equal(loop_modify(12345, EPOLLIN), -ENOENT);
	loop_remove(12345);
	loop_remove(-1);
	add(0, count_and_stop);
	assert_int_equal(loop_add(fds[0], EPOLLIN, count_and_stop, NULL), -EEXIST);
	drop(0);
	assert_int_equal(loop_add(fds[0], EPOLLIN, count_and_stop, NULL), -EBADF);
	assert_int_equal(loop_modify(fds[0], EPOLLIN), -ENOENT);
}

static void *stop_from_outside(void *arg)
{
	usleep(20000);
	loop_stop();
	return arg;
}

static void stop_wakes_a_sleeping_loop(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, stop_from_outside, NULL), 0);
	assert_int_equal(loop_run(), 0);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ready_fd_is_served_with_the_lock_held),
		cmocka_unit_test(removed_in_the_same_batch),
		cmocka_unit_test(number_used_anew_in_the_same_batch),
		cmocka_unit_test(more_than_a_batch),
		cmocka_unit_test(modify),
		cmocka_unit_test(misuse),
		cmocka_unit_test(stop_wakes_a_sleeping_loop),
	};

	alarm(20); /* a loop that does not end is a failure */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
