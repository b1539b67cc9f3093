/* SPDX-License-Identifier: BSD-3-Clause */
/* rings/xenstore_ring.c: bytes both ways, full and empty, wrap-around, lying indices, taking over a ring in use. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <rings/xenstore_ring.h>

static struct xenstore_domain_interface page;
static struct xenstore_ring guest, store;

static void attach_at(uint32_t at)
{
	memset(&page, 0, sizeof(page));
	page.req_prod = page.req_cons = at;
	page.rsp_prod = page.rsp_cons = at + 5;
	xenstore_ring_attach(&guest, &page, XENSTORE_RING_GUEST);
	xenstore_ring_attach(&store, &page, XENSTORE_RING_STORE);
}

static void test_both_ways(void **state)
{
	char buf[16] = "";

	(void)state;
	attach_at(0);
	assert_int_equal(xenstore_ring_read(&store, buf, sizeof(buf)), 0);
	assert_int_equal(xenstore_ring_write(&guest, "question", 8), 8);
	assert_int_equal(page.req_prod, 8);
	assert_int_equal(xenstore_ring_read(&guest, buf, sizeof(buf)), 0); /* not our own words */
	assert_int_equal(xenstore_ring_read(&store, buf, 5), 5);
	assert_int_equal(xenstore_ring_read(&store, buf + 5, 9), 3);
	assert_string_equal(buf, "question");
	assert_int_equal(page.req_cons, 8);
	assert_int_equal(xenstore_ring_write(&store, "answer!!", 8), 8);
	assert_int_equal(xenstore_ring_read(&guest, buf, sizeof(buf)), 8);
	assert_string_equal(buf, "answer!!");
}

static void test_full(void **state)
{
	static uint8_t big[3000], back[3000];

	(void)state;
	attach_at(1000);
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + i / 256);
	assert_int_equal(xenstore_ring_write(&guest, big, sizeof(big)), XENSTORE_RING_SIZE);
	assert_int_equal(xenstore_ring_write(&guest, big, 1), 0);
	assert_int_equal(xenstore_ring_read(&store, back, 24), 24);
	assert_int_equal(xenstore_ring_write(&guest, big + XENSTORE_RING_SIZE, 500), 24);
	assert_int_equal(xenstore_ring_read(&store, back + 24, sizeof(back)), XENSTORE_RING_SIZE);
	assert_memory_equal(big, back, XENSTORE_RING_SIZE + 24);
	assert_int_equal(back[XENSTORE_RING_SIZE + 24], 0);
}

static void test_wraps_at_ring_and_integer_end(void **state)
{
	uint8_t in[301], out[301];

	(void)state;
	attach_at(0xffffff00);
	for (unsigned round = 0; round < 40; round++) {
		for (unsigned i = 0; i < sizeof(in); i++)
			in[i] = (uint8_t)(round + i);
		assert_int_equal(xenstore_ring_write(&store, in, sizeof(in)), sizeof(in));
		memset(out, 0, sizeof(out));
		assert_int_equal(xenstore_ring_read(&guest, out, 100), 100);
		assert_int_equal(xenstore_ring_read(&guest, out + 100, sizeof(out)), sizeof(out) - 100);
		assert_memory_equal(in, out, sizeof(in));
	}
}

static void test_lying_indices(void **state)
{
	uint8_t buf[2048];

	(void)state;
	attach_at(100);
	page.req_prod = 100 + XENSTORE_RING_SIZE + 1;
	assert_int_equal(xenstore_ring_read(&store, buf, sizeof(buf)), -EPROTO);
	page.req_prod = 99;
	assert_int_equal(xenstore_ring_read(&store, buf, sizeof(buf)), -EPROTO);
	page.req_prod = 100 + XENSTORE_RING_SIZE;
	assert_int_equal(xenstore_ring_read(&store, buf, sizeof(buf)), XENSTORE_RING_SIZE);
	page.rsp_cons = 106; /* more was read than was written */
	assert_int_equal(xenstore_ring_write(&store, buf, 10), -EPROTO);
	page.rsp_cons = 105 - XENSTORE_RING_SIZE - 1;
	assert_int_equal(xenstore_ring_write(&store, buf, 10), -EPROTO);
	page.rsp_cons = 105 - XENSTORE_RING_SIZE; /* reads as full */
	assert_int_equal(xenstore_ring_write(&store, buf, 10), 0);
}

static void test_published_indices_of_ours_are_not_believed(void **state)
{
	char buf[8];

	(void)state;
	attach_at(0);
	assert_int_equal(xenstore_ring_write(&guest, "abcd", 4), 4);
	page.req_cons = 0xdeadbeef; /* the guest writes the store's index */
	page.rsp_prod = 0xdeadbeef;
	assert_int_equal(xenstore_ring_read(&store, buf, 2), 2);
	assert_int_equal(page.req_cons, 2);
	page.rsp_cons = 5;
	assert_int_equal(xenstore_ring_write(&store, "xy", 2), 2);
	assert_int_equal(page.rsp_prod, 7);
}

static void test_next_program_goes_on_where_the_boot_loader_stopped(void **state)
{
	struct xenstore_ring kernel;
	char buf[8] = "";

	(void)state;
	attach_at(77);
	xenstore_ring_write(&guest, "old", 3);
	xenstore_ring_write(&store, "late", 4);
	xenstore_ring_attach(&kernel, &page, XENSTORE_RING_GUEST);
	assert_int_equal(xenstore_ring_read(&kernel, buf, 8), 4);
	assert_int_equal(xenstore_ring_write(&kernel, "new", 3), 3);
	assert_int_equal(xenstore_ring_read(&store, buf, 8), 6);
	assert_memory_equal(buf, "oldnew", 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_wraps_at_ring_and_integer_end),
		cmocka_unit_test(test_lying_indices),
		cmocka_unit_test(test_published_indices_of_ours_are_not_believed),
		cmocka_unit_test(test_next_program_goes_on_where_the_boot_loader_stopped),
	};

	return cmocka_run_group_tests_name("rings/xenstore_ring", tests, NULL, NULL);
}
