/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/blkfront_pages.c: pages that a dead back end does not let go, and a grant table that is full. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <frontend/blkfront.h>
#include <tests/support/blkback_script.h>
#include <tests/support/port_fake.h>

static struct hv *hv;
static struct xenbus *xb;
static struct blkfront *bf;
static struct blkback_script back;
static struct blkfront_io io[4], *done[4];

static int setup(void **state)
{
	struct blkfront_options options = { .pages = 1 }; /* the least that is allowed: BLKFRONT_IO_PAGES */

	(void)state;
	memset(&back, 0, sizeof(back));
	memset(io, 0, sizeof(io));
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, BLK_SCRIPT_DOMID);
	xb = xenbus_create();
	bf = blkfront_create(xb, BLK_SCRIPT_NUMBER, &options);
	blk_script_device(hv);
	return bf ? 0 : -1;
}

static int teardown(void **state)
{
	unsigned left;

	(void)state;
	blk_script_free(&back);
	blkfront_destroy(bf);
	xenbus_destroy(xb);
	left = port_fake_pages() + port_fake_grants() + port_fake_ports();
	port_fake_close();
	hv->ops->close(hv);
	return left ? -1 : 0;
}

static void connect_now(void)
{
	blkfront_step(bf);
	blk_script_back(hv, "state", "2");
	blkfront_step(bf);
	assert_int_equal(blk_script_connect(&back, hv), 0);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
}

static void die(void)
{
	blk_script_disconnect(&back);
	blk_script_back(hv, "state", "5");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
}

static void submit(unsigned i, enum blkfront_op op, uint64_t sector, void *data, uint64_t len)
{
	io[i].op = op;
	io[i].sector = sector;
	io[i].data = data;
	io[i].len = len;
	blkfront_submit(bf, &io[i]);
	blkfront_kick(bf);
}

static struct hv_map_op map_page(gref_t gref)
{
	struct hv_map_op map = { .domid = BLK_SCRIPT_DOMID, .gref = gref };

	assert_int_equal(hv->ops->map(hv, &map, 1), 0);
	assert_int_equal(map.status, GNTST_okay);
	return map;
}

static void unmap_page(const struct hv_map_op *map)
{
	struct hv_unmap_op unmap = { .va = map->va, .handle = map->handle };

	assert_int_equal(hv->ops->unmap(hv, &unmap, 1), 0);
}

/*
 * The dead back end still has the page of a write mapped, and scribbles into it, as its late read would. The write goes on with another page of the same
 * content; the old one is neither freed nor used before it is let go (XSA-396).
 */
static void test_a_page_that_is_still_held(void **state)
{
	struct blkif_request req;
	struct hv_map_op map;
	void *before;
	unsigned pages;

	(void)state;
	connect_now();
	io[0].len = 4096;
	assert_int_equal(blkfront_pages_take(bf, &io[0]), 0);
	before = blkfront_page(bf, &io[0], 0);
	memset(before, 0x42, 4096);
	submit(0, BLKFRONT_WRITE, 0, NULL, 4096);
	assert_true(blk_script_take(&back, &req));
	map = map_page(req.seg[0].gref);
	pages = port_fake_pages();
	die();
	assert_int_equal(port_fake_grants(), 1);
	connect_now();
	assert_ptr_not_equal(blkfront_page(bf, &io[0], 0), before);
	assert_int_equal(port_fake_pages(), pages + 1);
	memset(map.va, 0xee, 4096);
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(back.disk[0], 0x42);
	assert_int_equal(back.disk[4095], 0x42);
	unmap_page(&map);
	die();
	connect_now(); /* connecting again is when the page is freed */
	assert_int_equal(port_fake_pages(), pages);
	assert_int_equal(port_fake_grants(), 4 + 1);
	blkfront_pages_give(bf, &io[0]);
}

/* Let go before the next back end comes: the same page goes on. */
static void test_a_page_that_was_held_for_a_while(void **state)
{
	struct blkif_request req;
	struct hv_map_op map;
	void *before;

	(void)state;
	connect_now();
	io[0].len = 4096;
	assert_int_equal(blkfront_pages_take(bf, &io[0]), 0);
	before = blkfront_page(bf, &io[0], 0);
	submit(0, BLKFRONT_WRITE, 0, NULL, 4096);
	assert_true(blk_script_take(&back, &req));
	map = map_page(req.seg[0].gref);
	die();
	unmap_page(&map);
	connect_now();
	assert_ptr_equal(blkfront_page(bf, &io[0], 0), before);
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	blkfront_pages_give(bf, &io[0]);
}

/* Pages taken before there is anybody to grant them to, and while the back end is waited for. */
static void test_pages_taken_early(void **state)
{
	(void)state;
	io[0].len = io[1].len = 4096;
	assert_int_equal(blkfront_pages_take(bf, &io[0]), 0);
	assert_int_equal(port_fake_grants(), 0);
	blkfront_step(bf);
	blk_script_back(hv, "state", "2");
	blkfront_step(bf);
	assert_int_equal(blkfront_pages_take(bf, &io[1]), 0);
	assert_int_equal(blk_script_connect(&back, hv), 0);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
	assert_int_equal(port_fake_grants(), 4 + 2);
	for (unsigned i = 0; i < 2; i++) {
		memset(blkfront_page(bf, &io[i], 0), 0x31 + (int)i, 4096);
		submit(i, BLKFRONT_WRITE, i * 8, NULL, 4096);
	}
	assert_int_equal(blk_script_serve(&back), 2);
	assert_int_equal(blkfront_poll(bf, done, 4), 2);
	assert_int_equal(io[0].result | io[1].result, 0);
	assert_int_equal(back.disk[0], 0x31);
	assert_int_equal(back.disk[4096], 0x32);
	blkfront_pages_give(bf, &io[0]);
	blkfront_pages_give(bf, &io[1]);
}

static void test_a_ring_that_is_still_held(void **state)
{
	struct hv_map_op map;
	unsigned pages;

	(void)state;
	connect_now();
	map = map_page((gref_t)blk_script_front_number(hv, "ring-ref2"));
	pages = port_fake_pages();
	die();
	assert_int_equal(port_fake_grants(), 1);
	connect_now();
	assert_int_equal(port_fake_pages(), pages + 4);
	assert_int_not_equal(blk_script_front_number(hv, "ring-ref2"), map.gref);
	unmap_page(&map);
	die();
	connect_now();
	assert_int_equal(port_fake_pages(), pages);
	assert_int_equal(port_fake_grants(), 4);
}

static void test_no_grants_for_a_connection(void **state)
{
	static uint8_t bytes[20 * 4096];

	(void)state;
	connect_now();
	submit(0, BLKFRONT_WRITE, 0, bytes, sizeof(bytes)); /* 20 pages and a list */
	for (unsigned after = 1; after <= 4 + 20; after++) {
		die();
		port_fake_faults.fail_grants_after = after;
		blk_script_back(hv, "state", "2");
		assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
		assert_int_equal(port_fake_grants(), 0);
		assert_int_equal(port_fake_ports(), 0);
	}
	port_fake_faults.fail_grants_after = 0;
	die();
	connect_now();
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(io[0].result, 0);
}

/* Some grants, but not enough: smaller ios go, what can never go says so, and nothing waits for ever. */
static void test_few_grants_for_data(void **state)
{
	static uint8_t bytes[100 * 4096];

	(void)state;
	connect_now();
	port_fake_faults.fail_grants_after = 31; /* 30 pages */
	submit(0, BLKFRONT_READ, 0, bytes, 20 * 4096); /* 20, and no list is granted later */
	submit(1, BLKFRONT_READ, 0, bytes, 15 * 4096); /* waits for the first one */
	assert_int_equal(blkfront_poll(bf, done, 4), 0);
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(io[0].result | io[1].result, 0);
	submit(2, BLKFRONT_READ, 0, bytes, 100 * 4096);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(io[2].result, -ENOMEM);
	submit(3, BLKFRONT_READ, 0, bytes, 4096);
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(io[3].result, 0);
	port_fake_faults.fail_grants_after = 0;
}

/* Not even a page for the list of an indirect request: several plain ones do. */
static void test_no_grant_for_a_list(void **state)
{
	static uint8_t bytes[20 * 4096];

	(void)state;
	connect_now();
	port_fake_faults.fail_grants_after = 21;
	submit(0, BLKFRONT_READ, 0, bytes, sizeof(bytes));
	assert_int_equal(blk_script_serve(&back), 2);
	assert_int_equal(blkfront_poll(bf, done, 4), 1);
	assert_int_equal(io[0].result, 0);
	assert_int_equal(back.indirect, 0);
	port_fake_faults.fail_grants_after = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_page_that_is_still_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_page_that_was_held_for_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_taken_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_ring_that_is_still_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_grants_for_a_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_few_grants_for_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_grant_for_a_list, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
