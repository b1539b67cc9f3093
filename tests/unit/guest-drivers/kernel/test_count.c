/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/kernel/count.c: packets, gaps, late packets, several senders, new runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "guest-drivers/kernel/count.c"

static struct count c;
static uint64_t now;

uint64_t port_now_ns(void)
{
	return now += 10;
}

static void arrive(uint32_t src, uint32_t run, uint64_t seq)
{
	uint8_t header[64] = { 0 };

	put_be32(header + IP_SRC, src);
	put_be32(header + PROBE_MAGIC_AT, PROBE_MAGIC);
	put_be32(header + PROBE_RUN_AT, run);
	put_be32(header + PROBE_SEQUENCE_AT, (uint32_t)(seq >> 32));
	put_be32(header + PROBE_SEQUENCE_AT + 4, (uint32_t)seq);
	count_packet(&c, header, 64);
}

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	now = 1000;
	return 0;
}

static void test_gaps(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 100; i++)
		arrive(1, 1, i);
	assert_int_equal(c.total.packets, 100);
	assert_int_equal(c.total.bytes, 6400);
	assert_int_equal(c.total.lost, 0);
	arrive(1, 1, 105);
	assert_int_equal(c.total.lost, 5);
	arrive(1, 1, 102); /* late, not lost */
	assert_int_equal(c.total.lost, 4);
	arrive(1, 1, 106);
	assert_int_equal(c.total.lost, 4);
	arrive(1, 1, 0x100000000ull);
	assert_int_equal(c.total.lost, 4 + 0x100000000ull - 107);
}

static void test_flows(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 50; i++)
		for (uint32_t src = 1; src <= COUNT_FLOWS; src++)
			arrive(src, 1, i);
	assert_int_equal(c.total.lost, 0);
	arrive(1, 2, 3); /* a new run of the same sender, whose first three were lost */
	assert_int_equal(c.total.lost, 3);
	arrive(1, 2, 4);
	assert_int_equal(c.total.lost, 3);
}

static void test_foreign_packets(void **state)
{
	uint8_t header[64] = { 0 };

	(void)state;
	count_packet(&c, header, 1514);
	put_be32(header + PROBE_MAGIC_AT, PROBE_MAGIC);
	put_be32(header + PROBE_SEQUENCE_AT, 99);
	count_packet(&c, header, 46); /* too short to hold a sequence number */
	assert_int_equal(c.total.packets, 2);
	assert_int_equal(c.total.bytes, 1560);
	assert_int_equal(c.total.lost, 0);
}

static void test_times(void **state)
{
	(void)state;
	count_burst_end(&c);
	assert_int_equal(c.total.first_ns, 0); /* nothing came: no time is noted, the clock not even read */
	assert_int_equal(now, 1000);
	arrive(1, 1, 0);
	count_burst_end(&c);
	assert_int_equal(c.total.first_ns, 1010);
	assert_int_equal(c.total.last_ns, 1010);
	count_burst_end(&c);
	arrive(1, 1, 1);
	count_burst_end(&c);
	assert_int_equal(c.total.first_ns, 1010);
	assert_int_equal(c.total.last_ns, 1020);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_gaps, setup), cmocka_unit_test_setup(test_flows, setup), cmocka_unit_test_setup(test_foreign_packets, setup),
		cmocka_unit_test_setup(test_times, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
