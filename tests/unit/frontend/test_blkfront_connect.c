/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/blkfront_connect.c: the handshake with each kind of back end, resize, its death and return with ios under way, and nodes that make no sense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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
static struct blkfront_io io[200], *done[200];

static int setup(void **state)
{
	struct blkfront_options options = { 0 };

	(void)state;
	memset(&back, 0, sizeof(back));
	memset(io, 0, sizeof(io));
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, BLK_SCRIPT_DOMID);
	xb = xenbus_create();
	bf = blkfront_create(xb, BLK_SCRIPT_NUMBER, &options);
	return bf ? 0 : -1;
}

/* Whatever a test did: nothing is left of a vbd that was destroyed. */
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

static void handshake(void)
{
	blk_script_back(hv, "state", "2");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTING);
	assert_int_equal(blk_script_front_number(hv, "state"), XenbusStateInitialised);
	assert_int_equal(blk_script_connect(&back, hv), 0);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
	assert_int_equal(blk_script_front_number(hv, "state"), XenbusStateConnected);
}

static void connect_now(void)
{
	blk_script_device(hv);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTING);
	assert_int_equal(blk_script_front_number(hv, "state"), XenbusStateInitialising);
	handshake();
}

static void submit(struct blkfront_io *x, enum blkfront_op op, uint64_t sector, void *data, uint64_t len)
{
	x->op = op;
	x->sector = sector;
	x->data = data;
	x->len = len;
	blkfront_submit(bf, x);
}

static void test_connects_with_all_features(void **state)
{
	const struct blkfront_info *info;
	char *protocol;

	(void)state;
	connect_now();
	assert_int_equal(blk_script_front_number(hv, "feature-persistent"), 1);
	assert_int_equal(blk_script_front_number(hv, "ring-page-order"), 2);
	assert_int_equal(blk_script_front_number(hv, "num-ring-pages"), 4);
	assert_int_equal(blk_script_front_number(hv, "ring-ref"), -1);
	assert_true(blk_script_front_number(hv, "ring-ref3") > 0);
	assert_true(blk_script_front_number(hv, "event-channel") > 0);
	protocol = hv_fake_store_read(hv, 0, BLK_SCRIPT_FRONT "/protocol");
	assert_string_equal(protocol, "x86_64-abi");
	free(protocol);
	info = blkfront_info(bf);
	assert_int_equal(info->sectors, BLK_SCRIPT_SECTORS);
	assert_int_equal(info->sector_size, 512);
	assert_int_equal(info->physical_sector_size, 4096);
	assert_int_equal(info->discard_granularity, 4096);
	assert_true(info->persistent && info->can_flush && info->can_discard && info->can_secure_discard);
	assert_false(info->readonly || info->removable || info->cdrom);
	assert_int_equal(info->max_segments, 256);
	assert_int_equal(info->ring_slots, 128);
	assert_int_equal(blkfront_stats(bf)->connections, 1);
}

/* What the oldest back ends offer, and keys of a richer one that was here before. */
static void test_connects_with_no_feature(void **state)
{
	static const char *const keys[] = { "feature-persistent", "feature-flush-cache", "feature-discard", "discard-secure", "discard-granularity",
					    "feature-max-indirect-segments", "max-ring-page-order", "multi-queue-max-queues", "sector-size",
					    "physical-sector-size", "info" };
	char path[128];

	(void)state;
	connect_now();
	blk_script_disconnect(&back);
	blk_script_back(hv, "state", "5");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(path, sizeof(path), BLK_SCRIPT_BACK "/%s", keys[i]);
		hv_fake_store_rm(hv, 0, path);
	}
	handshake();
	assert_true(blk_script_front_number(hv, "ring-ref") > 0);
	assert_int_equal(blk_script_front_number(hv, "ring-page-order"), -1);
	assert_int_equal(blk_script_front_number(hv, "num-ring-pages"), -1);
	assert_int_equal(blk_script_front_number(hv, "ring-ref0"), -1);
	assert_int_equal(blkfront_info(bf)->sector_size, 512);
	assert_int_equal(blkfront_info(bf)->physical_sector_size, 512);
	assert_int_equal(blkfront_info(bf)->discard_granularity, 512);
	assert_int_equal(blkfront_info(bf)->ring_slots, 32);
	assert_int_equal(blkfront_info(bf)->max_segments, 11);
	assert_false(blkfront_info(bf)->can_flush || blkfront_info(bf)->can_discard || blkfront_info(bf)->persistent);
}

static void test_the_older_ring_key(void **state)
{
	(void)state;
	blk_script_device(hv);
	hv_fake_store_rm(hv, 0, BLK_SCRIPT_BACK "/max-ring-page-order");
	blk_script_back(hv, "max-ring-pages", "2");
	blkfront_step(bf);
	handshake();
	assert_int_equal(blk_script_front_number(hv, "num-ring-pages"), 2);
	assert_int_equal(blk_script_front_number(hv, "ring-page-order"), 1);
	assert_int_equal(blk_script_front_number(hv, "ring-ref2"), -1);
	assert_int_equal(blkfront_info(bf)->ring_slots, 64);
}

static void test_a_vbd_that_comes_later(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	assert_int_equal(blkfront_step(bf), BLKFRONT_ABSENT);
	submit(&io[0], BLKFRONT_READ, 5, bytes, 512); /* waits */
	blkfront_kick(bf);
	assert_int_equal(blkfront_poll(bf, done, 1), 0);
	assert_true(blkfront_arm(bf));
	connect_now();
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, 0);
	assert_int_equal(blkfront_stats(bf)->requeued, 0);
}

static void test_transaction_conflicts(void **state)
{
	(void)state;
	blk_script_device(hv);
	blkfront_step(bf);
	port_fake_faults.conflicts = 3;
	handshake();
	assert_int_equal(port_fake_faults.conflicts, 0);
}

static void test_resize(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	connect_now();
	blk_script_back(hv, "sectors", "20000");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
	assert_int_equal(blkfront_info(bf)->sectors, BLK_SCRIPT_SECTORS); /* the state tells */
	blk_script_back(hv, "state", "4");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
	assert_int_equal(blkfront_info(bf)->sectors, 20000);
	blk_script_back(hv, "sectors", "100");
	blk_script_back(hv, "state", "4");
	blkfront_step(bf);
	submit(&io[0], BLKFRONT_READ, 100, bytes, 512);
	blkfront_kick(bf);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, -ERANGE);
	blk_script_back(hv, "sectors", "many");
	blk_script_back(hv, "state", "4");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
	assert_int_equal(blkfront_info(bf)->sectors, 100);
	assert_int_equal(blkfront_stats(bf)->connections, 1);
}

/* ---- death and return ---- */

#define WRITES 200u

/*
 * 200 writes; the back end does some of what it has taken, answers fewer, out of order, and dies. Its successor gets the rest in the order of their submission,
 * and every io is answered once, whatever was done twice.
 */
static void test_everything_unanswered_is_given_to_the_next(void **state)
{
	static uint8_t bytes[WRITES][512];
	unsigned answered = 0, seen[WRITES] = { 0 };
	struct blkif_request req;
	uint64_t last = 0;

	(void)state;
	connect_now();
	for (unsigned i = 0; i < WRITES; i++) {
		memset(bytes[i], (int)i + 1, 512);
		submit(&io[i], BLKFRONT_WRITE, i, bytes[i], 512);
	}
	blkfront_kick(bf);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(blk_script_take(&back, &req));
		blk_script_execute(&back, &req);
		if (i % 3 == 1)
			blk_script_answer(&back, req.id, req.operation, 0);
	}
	blk_script_push(&back);
	for (unsigned n; (n = blkfront_poll(bf, done, 5)); answered += n)
		for (unsigned i = 0; i < n; i++)
			seen[done[i] - io]++;
	assert_int_equal(answered, 33);
	blk_script_disconnect(&back);
	memset(back.disk, 0, WRITES * 512); /* it lost what was not flushed */
	blk_script_back(hv, "state", "5");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(port_fake_grants(), 0);
	assert_int_equal(port_fake_ports(), 0);
	assert_int_equal(blkfront_poll(bf, done, 5), 0);
	handshake();
	assert_int_equal(back_ring_pending(&back.ring), 128);
	for (unsigned i = 0; blk_script_take(&back, &req); i++) {
		assert_true(!i || req.sector_number > last);
		assert_int_equal(seen[req.sector_number], 0);
		last = req.sector_number;
		blk_script_answer(&back, req.id, req.operation, blk_script_execute(&back, &req));
		blk_script_push(&back);
		for (unsigned n; (n = blkfront_poll(bf, done, 5)); answered += n)
			for (unsigned k = 0; k < n; k++)
				seen[done[k] - io]++;
	}
	assert_int_equal(answered, WRITES);
	for (unsigned i = 0; i < WRITES; i++) {
		assert_int_equal(seen[i], 1);
		assert_int_equal(io[i].result, 0);
		if (i % 3 != 1 || i >= 100)
			assert_memory_equal(back.disk + i * 512, bytes[i], 512);
	}
	assert_int_equal(blkfront_stats(bf)->requeued, 128);
}

/* ---- any mixture of ios, over back ends that come and go, each with other features ---- */

#define SLICE 512u /* sectors: each io has a part of the disk of its own, so that what the disk must hold is known */
#define SLICES (BLK_SCRIPT_SECTORS / SLICE)

static uint8_t model[BLK_SCRIPT_SECTORS * 512], slice[SLICES][SLICE * 512];
static bool under_way[SLICES];
static unsigned rng_state, answered_in_all;

static unsigned rng(unsigned below)
{
	rng_state = rng_state * 1103515245u + 12345;
	return (rng_state >> 8) % below;
}

static void submit_random(unsigned i)
{
	uint64_t sector = (uint64_t)i * SLICE + rng(SLICE / 2), len = (1 + rng(SLICE / 2)) * 512;
	uint8_t *expect = model + sector * 512;
	unsigned kind = rng(8);

	under_way[i] = true;
	io[i].owner = NULL;
	if (kind == 0)
		return submit(&io[i], BLKFRONT_FLUSH, 0, NULL, 0);
	if (kind == 1) {
		memset(expect, 0, len);
		return submit(&io[i], BLKFRONT_DISCARD, sector, NULL, len);
	}
	if (kind < 5) {
		for (uint64_t k = 0; k < len; k++)
			slice[i][k] = (uint8_t)rng(256);
		memcpy(expect, slice[i], len);
		return submit(&io[i], BLKFRONT_WRITE, sector, slice[i], len);
	}
	memset(slice[i], 0xee, len);
	io[i].owner = expect;
	submit(&io[i], BLKFRONT_READ, sector, slice[i], len);
}

static void poll_random(void)
{
	unsigned n = blkfront_poll(bf, done, 1 + rng(8));

	for (unsigned k = 0; k < n; k++) {
		unsigned i = (unsigned)(done[k] - io);

		assert_true(under_way[i]);
		under_way[i] = false;
		assert_int_equal(done[k]->result, 0);
		if (done[k]->owner)
			assert_memory_equal(slice[i], done[k]->owner, done[k]->len);
		answered_in_all++;
	}
}

/* Take some requests, do most of them, answer some of those, in another order. */
static void serve_random(void)
{
	static struct blkif_request held[16];
	unsigned n = 0;

	while (n < 16 && rng(8) && blk_script_take(&back, &held[n]))
		n++;
	while (n) {
		unsigned k = rng(n);

		blk_script_answer(&back, held[k].id, blk_script_echo(&held[k]), blk_script_execute(&back, &held[k]));
		held[k] = held[--n];
	}
	blk_script_push(&back);
}

/* Dies with requests taken, done, and not answered. */
static void die_random(void)
{
	static const char *const segments[] = { "0", "1", "12", "64", "256", "4096" };
	struct blkif_request req;

	while (rng(6) && blk_script_take(&back, &req))
		blk_script_execute(&back, &req);
	blk_script_disconnect(&back);
	blk_script_back(hv, "state", rng(2) ? "5" : "1");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	blk_script_back(hv, "feature-max-indirect-segments", segments[rng(6)]);
	blk_script_back(hv, "max-ring-page-order", rng(2) ? "0" : "2");
	for (unsigned i = 0; i < rng(4); i++)
		poll_random();
	handshake();
}

static void test_any_mixture(void **state)
{
	(void)state;
	connect_now();
	rng_state = 1;
	answered_in_all = 0;
	memset(model, 0, sizeof(model));
	memset(under_way, 0, sizeof(under_way));
	for (unsigned round = 0; round < 4000; round++) {
		unsigned i = rng(SLICES);

		if (!under_way[i])
			submit_random(i);
		if (rng(2))
			blkfront_kick(bf);
		if (rng(3))
			serve_random();
		poll_random();
		if (!rng(40))
			die_random();
	}
	for (unsigned round = 0; round < 1000; round++) {
		blk_script_serve(&back);
		poll_random();
	}
	for (unsigned i = 0; i < SLICES; i++)
		assert_false(under_way[i]);
	assert_memory_equal(back.disk, model, sizeof(model));
	assert_true(answered_in_all > 500);
	assert_true(blkfront_stats(bf)->connections > 50);
}

/* A large io that was half answered, with an error even, starts from its beginning. */
static void test_half_an_io(void **state)
{
	static uint8_t out[BLKFRONT_IO_MAX], in[BLKFRONT_IO_MAX];
	struct blkif_request req;

	(void)state;
	blk_script_device(hv);
	blk_script_back(hv, "feature-max-indirect-segments", "0");
	blkfront_step(bf);
	handshake();
	memset(out, 0x5a, sizeof(out));
	submit(&io[0], BLKFRONT_WRITE, 0, out, sizeof(out));
	submit(&io[1], BLKFRONT_FLUSH, 0, NULL, 0);
	blkfront_kick(bf);
	for (unsigned i = 0; i < 10; i++) {
		assert_true(blk_script_take(&back, &req));
		blk_script_answer(&back, req.id, req.operation, i == 5 ? BLKIF_RSP_ERROR : 0); /* says so, and does nothing */
	}
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 2), 0);
	blk_script_disconnect(&back);
	blk_script_back(hv, "state", "1"); /* it does not say Closing */
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	handshake();
	assert_int_equal(blk_script_serve(&back), 25);
	assert_int_equal(blkfront_poll(bf, done, 2), 2);
	assert_int_equal(io[0].result, 0);
	assert_int_equal(io[1].result, 0);
	submit(&io[0], BLKFRONT_READ, 0, in, sizeof(in));
	blkfront_kick(bf);
	blk_script_serve(&back);
	assert_int_equal(blkfront_poll(bf, done, 2), 1);
	assert_memory_equal(in, out, sizeof(in));
}

/* Zero-copy buffers keep their content over a change of back ends. */
static void test_pages_survive(void **state)
{
	(void)state;
	connect_now();
	io[0].len = 2 * 4096;
	assert_int_equal(blkfront_pages_take(bf, &io[0]), 0);
	memset(blkfront_page(bf, &io[0], 0), 0xa1, 4096);
	memset(blkfront_page(bf, &io[0], 1), 0xa2, 4096);
	submit(&io[0], BLKFRONT_WRITE, 8, NULL, 2 * 4096);
	blkfront_kick(bf);
	for (unsigned life = 0; life < 4; life++) {
		blk_script_disconnect(&back);
		blk_script_back(hv, "state", "5");
		assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
		handshake();
	}
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(back.disk[8 * 512], 0xa1);
	assert_int_equal(back.disk[17 * 512 - 1 + 512 * 7], 0xa2);
	blkfront_pages_give(bf, &io[0]);
	assert_int_equal(blkfront_stats(bf)->connections, 5);
	assert_int_equal(blkfront_stats(bf)->requeued, 4);
}

/* Linux's blkback stays in Closed while its device is online, and waits for Initialising. */
static void test_back_end_reopens_from_closed(void **state)
{
	(void)state;
	connect_now();
	blk_script_disconnect(&back);
	blk_script_back(hv, "state", "5");
	blkfront_step(bf);
	blk_script_back(hv, "state", "6");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTING);
	assert_int_equal(blk_script_front_number(hv, "state"), XenbusStateInitialising);
	handshake();
}

static void test_device_detached(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	connect_now();
	submit(&io[0], BLKFRONT_WRITE, 0, bytes, 512);
	blkfront_kick(bf);
	blk_script_disconnect(&back);
	blk_script_back(hv, "online", "0");
	blk_script_back(hv, "state", "5");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(blkfront_poll(bf, done, 1), 0);
	blk_script_back(hv, "state", "6");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, -ENODEV);
	hv_fake_store_rm(hv, 0, BLK_SCRIPT_FRONT);
	hv_fake_store_rm(hv, 0, BLK_SCRIPT_BACK);
	assert_int_equal(blkfront_step(bf), BLKFRONT_ABSENT);
	submit(&io[0], BLKFRONT_WRITE, 0, bytes, 512);
	assert_false(blkfront_arm(bf));
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, -ENODEV);
	connect_now(); /* attached again */
	submit(&io[0], BLKFRONT_WRITE, 0, bytes, 512);
	blkfront_kick(bf);
	assert_int_equal(blk_script_serve(&back), 1);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, 0);
}

/* The node goes without a word. */
static void test_node_removed(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	connect_now();
	submit(&io[0], BLKFRONT_WRITE, 0, bytes, 512);
	blkfront_kick(bf);
	blk_script_disconnect(&back);
	hv_fake_store_rm(hv, 0, BLK_SCRIPT_FRONT);
	assert_int_equal(blkfront_step(bf), BLKFRONT_ABSENT);
	assert_int_equal(port_fake_grants(), 0);
	assert_int_equal(port_fake_ports(), 0);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, -ENODEV);
}

/* An id that was in use with the last back end, and is not with this one. */
static void test_an_answer_to_the_last_connection(void **state)
{
	static uint8_t bytes[3][512];
	struct blkif_request req;
	uint64_t highest = 0;

	(void)state;
	connect_now();
	for (unsigned i = 0; i < 3; i++)
		submit(&io[i], BLKFRONT_WRITE, i, bytes[i], 512);
	blkfront_kick(bf);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(blk_script_take(&back, &req));
		highest = req.id > highest ? req.id : highest;
		if (!i)
			blk_script_answer(&back, req.id, req.operation, 0);
	}
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 3), 1);
	blk_script_disconnect(&back);
	blk_script_back(hv, "state", "5");
	blkfront_step(bf);
	handshake();
	for (unsigned i = 0; i < 2; i++) {
		assert_true(blk_script_take(&back, &req));
		assert_true(req.id < highest);
	}
	blk_script_answer(&back, highest, BLKIF_OP_WRITE, 0);
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 3), 0);
	blk_script_disconnect(&back);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(blkfront_poll(bf, done, 3), 2);
}

/* Broken three times, it stays closed. */
static void test_violations(void **state)
{
	(void)state;
	connect_now();
	for (unsigned i = 1;; i++) {
		shm_store_release(&back.ring.shared->rsp_prod, 9);
		blkfront_poll(bf, done, 1);
		blk_script_disconnect(&back);
		assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
		assert_int_equal(port_fake_errors(), i);
		blk_script_back(hv, "state", "6");
		assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED); /* not by itself */
		if (i == 3)
			break;
		handshake();
		submit(&io[0], BLKFRONT_FLUSH, 0, NULL, 0); /* a new chance */
		blkfront_kick(bf);
		assert_int_equal(blk_script_serve(&back), 1);
		assert_int_equal(blkfront_poll(bf, done, 1), 1);
		assert_int_equal(io[0].result, 0);
	}
	blk_script_back(hv, "state", "2");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(blk_script_front_number(hv, "state"), XenbusStateClosed);
}

/* ---- what makes no sense ---- */

static void test_senseless_disks(void **state)
{
	static const char *const bad[][2] = {
		{ "sectors", "-1" }, { "sectors", "" }, { "sectors", "0x10" }, { "sectors", "18446744073709551615" }, { "sectors", "36028797018963968" },
		{ "sector-size", "0" }, { "sector-size", "256" }, { "sector-size", "513" }, { "sector-size", "8192" },
	};

	(void)state;
	blk_script_device(hv);
	blkfront_step(bf);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		blk_script_back(hv, "sector-size", "512");
		blk_script_back(hv, "state", "2");
		blkfront_step(bf);
		assert_int_equal(blk_script_connect(&back, hv), 0);
		blk_script_back(hv, bad[i][0], bad[i][1]);
		blk_script_disconnect(&back);
		assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
		assert_int_equal(port_fake_grants(), 0);
		assert_int_equal(port_fake_ports(), 0);
	}
	blk_script_back(hv, "sector-size", "4096");
	blk_script_back(hv, "physical-sector-size", "1000"); /* a hint: not worth a disk */
	handshake();
	assert_int_equal(blkfront_info(bf)->physical_sector_size, 4096);
}

static void test_senseless_nodes(void **state)
{
	(void)state;
	blk_script_device(hv);
	blk_script_front(hv, "backend-id", "40000");
	assert_int_equal(blkfront_step(bf), BLKFRONT_ABSENT);
	blk_script_front(hv, "backend-id", "0");
	blk_script_front(hv, "backend", BLK_SCRIPT_BACK);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTING);
	handshake();
}

static void test_back_end_closes_before_connecting(void **state)
{
	(void)state;
	blk_script_device(hv);
	blkfront_step(bf);
	blk_script_back(hv, "state", "5");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	blk_script_back(hv, "state", "2");
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTING);
	blk_script_back(hv, "state", "5"); /* after we said Initialised, before it said Connected */
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(port_fake_ports(), 0);
	assert_int_equal(port_fake_grants(), 0);
	handshake();
}

static void test_quiet_when_nothing_changes(void **state)
{
	uint64_t reads;

	(void)state;
	connect_now();
	blkfront_step(bf);
	reads = hv_fake_count(hv, HV_FAKE_STORE_READ);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
	assert_int_equal(hv_fake_count(hv, HV_FAKE_STORE_READ), reads);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connects_with_all_features, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connects_with_no_feature, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_older_ring_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_vbd_that_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transaction_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_everything_unanswered_is_given_to_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_any_mixture, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_an_io, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_survive, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_end_reopens_from_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_detached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_node_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_answer_to_the_last_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_violations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_senseless_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_senseless_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_end_closes_before_connecting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet_when_nothing_changes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
