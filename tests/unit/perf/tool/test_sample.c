/* SPDX-License-Identifier: BSD-3-Clause */
/* perf/tool/sample.c: which windows count. A clock of our own: a tick is a nanosecond. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "perf/tool/sample.c"

#define MS 1000000u

/* A window of a millisecond in which n things happened; the time it ended. */
static bool window(struct sampler *s, uint64_t *now, unsigned n, bool gap)
{
	*now += MS;
	s->count = n;
	s->dirty = gap;
	return sampler_window(s, *now);
}

/* One second; its first window begins the clock. */
static uint64_t begun(struct sampler *s)
{
	uint64_t now = 5 * MS;

	assert_int_equal(sampler_init(s, 1.0, 1), 0);
	assert_true(window(s, &now, 0, false));
	assert_false(s->started);
	assert_true(window(s, &now, 1, false));
	assert_true(s->started);
	return now;
}

static void warming_up_does_not_count(void **state)
{
	struct sampler s;
	uint64_t now = begun(&s);
	struct rate r;

	(void)state;
	for (unsigned i = 0; i < 249; i++)
		assert_true(window(&s, &now, 7777, false));
	for (unsigned i = 0; i < 100; i++)
		assert_true(window(&s, &now, 10, false));
	r = sampler_rate(&s);
	assert_int_equal(r.windows, 100);
	assert_int_equal(r.clean, 100);
	assert_true(r.p50 > 9999 && r.p50 < 10001 && r.p90 > 9999 && r.p90 < 10001 && r.mean > 9999 && r.mean < 10001);
	sampler_fini(&s);
}

static void windows_with_a_gap_are_left_out_but_not_of_the_mean(void **state)
{
	struct sampler s;
	uint64_t now = begun(&s);
	struct rate r;

	(void)state;
	for (unsigned i = 0; i < 249; i++)
		window(&s, &now, 1, false);
	for (unsigned i = 0; i < 100; i++)
		window(&s, &now, i % 2 ? 1 : i < 80 ? 20 : 40, i % 2);
	r = sampler_rate(&s);
	assert_int_equal(r.windows, 100);
	assert_int_equal(r.clean, 50);
	assert_true(r.p50 > 19999 && r.p50 < 20001);
	assert_true(r.p90 > 39999 && r.p90 < 40001);
	assert_true(r.mean > 12499 && r.mean < 12501); /* (40 * 20 + 10 * 40 + 50 * 1) / 100 ms */
	sampler_fini(&s);
}

static void it_ends(void **state)
{
	struct sampler s;
	uint64_t now = begun(&s);
	unsigned windows = 0;

	(void)state;
	while (window(&s, &now, 1, false))
		windows++;
	assert_int_equal(windows, 1249); /* a quarter of a second to warm up, then one second */
	assert_int_equal(s.nr_windows, 1001);
	sampler_fini(&s);
}

/* The clock never starts: the run must end all the same. */
static void nothing_ever_comes(void **state)
{
	struct sampler s;

	(void)state;
	assert_int_equal(sampler_init(&s, 1.0, 1), 0);
	assert_true(sampler_window(&s, s.give_up - 1));
	assert_false(sampler_window(&s, s.give_up));
	assert_int_equal(sampler_rate(&s).windows, 0);
	sampler_fini(&s);
}

static void a_jump_of_the_tsc_is_a_gap(void **state)
{
	struct sampler s;

	(void)state;
	assert_int_equal(sampler_init(&s, 1.0, 1), 0);
	s.window = UINT64_MAX;
	s.gap = UINT64_MAX / 2;
	s.last = s.start = __rdtsc();
	sampler_tick(&s, 3);
	assert_false(s.dirty);
	s.gap = 0;
	sampler_tick(&s, 4);
	assert_true(s.dirty);
	assert_int_equal(s.count, 7);
	sampler_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(warming_up_does_not_count), cmocka_unit_test(windows_with_a_gap_are_left_out_but_not_of_the_mean), cmocka_unit_test(it_ends),
		cmocka_unit_test(nothing_ever_comes), cmocka_unit_test(a_jump_of_the_tsc_is_a_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
