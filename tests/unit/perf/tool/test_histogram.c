/* SPDX-License-Identifier: BSD-3-Clause */
/* perf/tool/histogram.c: a value's bucket is no further than 1.6 % from it, percentiles are those of the sorted values. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "perf/tool/histogram.c"

static struct histogram h;

static void near(uint64_t got, uint64_t wanted)
{
	uint64_t off = got > wanted ? got - wanted : wanted - got;

	assert_true(off <= wanted / 64 + (wanted >= 128));
}

static void nothing_counted(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	assert_int_equal(histogram_percentile(&h, 0.5), 0);
}

static void buckets_follow_each_other(void **state)
{
	(void)state;
	for (uint64_t v = 1; v < 100000; v++)
		assert_in_range(histogram_bucket(v) - histogram_bucket(v - 1), 0, 1);
	assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void one_value_is_every_percentile(void **state)
{
	static const uint64_t values[] = { 0, 1, 63, 64, 127, 128, 129, 1000, 123456789, UINT64_MAX };

	(void)state;
	for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		memset(&h, 0, sizeof(h));
		histogram_add(&h, values[i]);
		assert_int_equal(histogram_percentile(&h, 0.0), values[i]);
		assert_int_equal(histogram_percentile(&h, 0.5), values[i]);
		assert_int_equal(histogram_percentile(&h, 1.0), values[i]);
	}
}

static void percentiles_of_a_row_of_numbers(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	for (uint64_t v = 100000; v; v--)
		histogram_add(&h, v);
	assert_int_equal(h.min, 1);
	assert_int_equal(h.max, 100000);
	near(histogram_percentile(&h, 0.5), 50000);
	near(histogram_percentile(&h, 0.9), 90000);
	near(histogram_percentile(&h, 0.99), 99000);
	assert_int_equal(histogram_percentile(&h, 0.0005), 51);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_counted), cmocka_unit_test(buckets_follow_each_other),
					    cmocka_unit_test(one_value_is_every_percentile), cmocka_unit_test(percentiles_of_a_row_of_numbers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
