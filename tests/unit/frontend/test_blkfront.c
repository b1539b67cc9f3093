/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/blkfront.c: what goes into the ring for each kind of io, what comes back, ios that are refused, and a back end that lies in its answers. */
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
static struct blkfront_io io[300], *done[300];

static int setup(void **state)
{
	struct blkfront_options options = { .pages = 512 };

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

static void connect_now(void)
{
	blkfront_step(bf);
	blk_script_back(hv, "state", "2");
	blkfront_step(bf);
	assert_int_equal(blk_script_connect(&back, hv), 0);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
}

static void pattern(uint8_t *bytes, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 11);
}

static void submit(struct blkfront_io *x, enum blkfront_op op, uint64_t sector, void *data, uint64_t len)
{
	x->op = op;
	x->sector = sector;
	x->data = data;
	x->len = len;
	blkfront_submit(bf, x);
}

/* Serve until everything is answered, at most so many rounds. */
static unsigned run(unsigned want)
{
	unsigned n = 0;

	blkfront_kick(bf);
	for (unsigned round = 0; round < 100 && n < want; round++) {
		blk_script_serve(&back);
		n += blkfront_poll(bf, done + n, 300 - n);
	}
	return n;
}

static int one(enum blkfront_op op, uint64_t sector, void *data, uint64_t len)
{
	submit(&io[0], op, sector, data, len);
	assert_int_equal(run(1), 1);
	assert_ptr_equal(done[0], &io[0]);
	return io[0].result;
}

static void test_a_write_as_the_abi_has_it(void **state)
{
	static uint8_t bytes[9 * 512 + 3];
	struct blkif_request req;

	(void)state;
	connect_now();
	pattern(bytes, sizeof(bytes), 1);
	submit(&io[0], BLKFRONT_WRITE, 77, bytes + 3, 9 * 512);
	blkfront_kick(bf);
	assert_true(blk_script_take(&back, &req));
	assert_int_equal(req.operation, BLKIF_OP_WRITE);
	assert_int_equal(req.nr_segments, 2);
	assert_int_equal(req.handle, BLK_SCRIPT_NUMBER);
	assert_int_equal(req.sector_number, 77);
	assert_int_equal(req.seg[0].first_sect, 0);
	assert_int_equal(req.seg[0].last_sect, 7);
	assert_int_equal(req.seg[1].first_sect, 0);
	assert_int_equal(req.seg[1].last_sect, 0);
	assert_int_equal(*((uint8_t *)&req.seg[1] + 6) | *((uint8_t *)&req.seg[1] + 7), 0); /* padding */
	for (unsigned i = 2; i < 11; i++)
		assert_int_equal(req.seg[i].gref, 0);
	assert_int_equal(blkfront_poll(bf, done, 1), 0);
	blk_script_answer(&back, req.id, req.operation, blk_script_execute(&back, &req));
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(done[0]->result, 0);
	assert_memory_equal(back.disk + 77 * 512, bytes + 3, 9 * 512);
}

static void test_write_and_read_back_any_alignment(void **state)
{
	static uint8_t out[100000], in[100000];
	unsigned rng = 1;

	(void)state;
	connect_now();
	for (unsigned i = 0; i < 200; i++) {
		unsigned shift, len, sector;

		rng = rng * 1103515245u + 12345;
		shift = rng >> 16 & 63;
		len = ((rng >> 8) % 190 + 1) * 512;
		sector = (rng >> 4) % (BLK_SCRIPT_SECTORS - 190);
		pattern(out + shift, len, i);
		assert_int_equal(one(BLKFRONT_WRITE, sector, out + shift, len), 0);
		assert_memory_equal(back.disk + sector * 512ull, out + shift, len);
		memset(in, 0xee, sizeof(in));
		assert_int_equal(one(BLKFRONT_READ, sector, in + 63 - shift, len), 0);
		assert_memory_equal(in + 63 - shift, out + shift, len);
		assert_int_equal(in[63 - shift + len], 0xee);
		assert_true(shift == 63 || in[62 - shift] == 0xee);
	}
	assert_int_equal(blkfront_stats(bf)->reads, 200);
	assert_int_equal(blkfront_stats(bf)->errors, 0);
}

static void test_the_largest_io(void **state)
{
	uint8_t *out = malloc(BLKFRONT_IO_MAX), *in = malloc(BLKFRONT_IO_MAX);

	(void)state;
	connect_now();
	pattern(out, BLKFRONT_IO_MAX, 5);
	assert_int_equal(one(BLKFRONT_WRITE, 8, out, BLKFRONT_IO_MAX), 0);
	assert_int_equal(one(BLKFRONT_READ, 8, in, BLKFRONT_IO_MAX), 0);
	assert_memory_equal(in, out, BLKFRONT_IO_MAX);
	assert_int_equal(back.indirect, 2);
	assert_int_equal(back.most_segments, 256);
	assert_int_equal(blkfront_stats(bf)->requests, 2);
	free(out);
	free(in);
}

static void large_io_over(const char *key, const char *value, unsigned requests)
{
	uint8_t *out = malloc(BLKFRONT_IO_MAX), *in = malloc(BLKFRONT_IO_MAX);

	blk_script_back(hv, key, value);
	connect_now();
	pattern(out, BLKFRONT_IO_MAX, 6);
	assert_int_equal(one(BLKFRONT_WRITE, 1, out, BLKFRONT_IO_MAX), 0);
	assert_int_equal(one(BLKFRONT_READ, 1, in, BLKFRONT_IO_MAX), 0);
	assert_memory_equal(in, out, BLKFRONT_IO_MAX);
	assert_int_equal(blkfront_stats(bf)->requests, requests);
	free(out);
	free(in);
}

static void test_without_indirect(void **state)
{
	(void)state;
	large_io_over("feature-max-indirect-segments", "0", 2 * 24);
	assert_int_equal(back.indirect, 0);
}

static void test_with_few_indirect(void **state)
{
	(void)state;
	large_io_over("feature-max-indirect-segments", "32", 2 * 8);
	assert_int_equal(back.most_segments, 32);
}

/* The ring fills up in the middle of an io: it ends when all of it is answered, not when all that was asked is. */
static void test_an_io_larger_than_the_room(void **state)
{
	uint8_t *in = malloc(2 * BLKFRONT_IO_MAX);

	(void)state;
	blk_script_back(hv, "feature-max-indirect-segments", "0");
	blk_script_back(hv, "max-ring-page-order", "0");
	connect_now();
	pattern(back.disk, 2 * BLKFRONT_IO_MAX, 9);
	memset(in, 0, 2 * BLKFRONT_IO_MAX);
	for (unsigned i = 0; i < 2; i++)
		submit(&io[i], BLKFRONT_READ, i * BLKFRONT_IO_MAX / 512, in + i * BLKFRONT_IO_MAX, BLKFRONT_IO_MAX);
	assert_int_equal(run(2), 2);
	assert_memory_equal(in, back.disk, 2 * BLKFRONT_IO_MAX);
	assert_int_equal(back.served, 48);
	free(in);
}

static void test_more_requests_than_slots(void **state)
{
	static uint8_t bytes[300][512];

	(void)state;
	blk_script_back(hv, "max-ring-page-order", "0");
	connect_now();
	assert_int_equal(blkfront_info(bf)->ring_slots, 32);
	for (unsigned i = 0; i < 300; i++) {
		pattern(bytes[i], 512, i);
		submit(&io[i], BLKFRONT_WRITE, i, bytes[i], 512);
	}
	blkfront_kick(bf);
	assert_int_equal(back_ring_pending(&back.ring), 32);
	assert_int_equal(port_fake_notifies(), 1);
	assert_int_equal(run(300), 300);
	assert_memory_equal(back.disk, bytes, sizeof(bytes));
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(done[i]->result, 0);
}

/* The second cache line of a slot is not written for a request that has nothing there. */
static void test_one_segment_writes_its_part_of_the_slot(void **state)
{
	static uint8_t bytes[2][8192];
	volatile uint8_t *slot;

	(void)state;
	connect_now();
	slot = back_ring_slot(&back.ring, 0);
	memset((uint8_t *)(uintptr_t)slot, 0xa5, 2 * sizeof(union blkif_sring_entry));
	submit(&io[0], BLKFRONT_WRITE, 0, bytes[0], 4096);
	submit(&io[1], BLKFRONT_WRITE, 8, bytes[1], 8192);
	blkfront_kick(bf);
	assert_int_equal(slot[1], 1);
	assert_int_equal(slot[offsetof(struct blkif_request, seg[1]) - 1], 0);
	assert_int_equal(slot[offsetof(struct blkif_request, seg[1])], 0xa5);
	slot += sizeof(union blkif_sring_entry);
	assert_int_equal(slot[1], 2);
	assert_int_equal(slot[sizeof(struct blkif_request) - 1], 0);
	assert_int_equal(run(2), 2);
}

/* More bytes than the pool has: the rest waits. */
static void test_more_bytes_than_pages(void **state)
{
	static uint8_t bytes[8][BLKFRONT_IO_MAX / 2];

	(void)state;
	connect_now();
	for (unsigned i = 0; i < 8; i++) {
		pattern(bytes[i], sizeof(bytes[i]), i);
		submit(&io[i], BLKFRONT_WRITE, i * (sizeof(bytes[i]) / 512), bytes[i], sizeof(bytes[i]));
	}
	blkfront_kick(bf);
	assert_int_equal(back_ring_pending(&back.ring), 4);
	assert_int_equal(run(8), 8);
	assert_memory_equal(back.disk, bytes, sizeof(bytes));
}

static void test_pages_in_place(void **state)
{
	uint8_t expect[4096];

	(void)state;
	connect_now();
	io[0].len = 3 * 4096 + 1024;
	assert_int_equal(blkfront_pages_take(bf, &io[0]), 0);
	for (unsigned i = 0; i < 4; i++)
		pattern(blkfront_page(bf, &io[0], i), 4096, 50 + i);
	assert_int_equal(one(BLKFRONT_WRITE, 100, NULL, io[0].len), 0);
	for (unsigned i = 0; i < 4; i++) {
		pattern(expect, 4096, 50 + i);
		assert_memory_equal(back.disk + (100 + 8 * i) * 512, expect, i < 3 ? 4096 : 1024);
		memset(blkfront_page(bf, &io[0], i), 0, 4096);
	}
	assert_int_equal(back.disk[(100 + 26) * 512], 0);
	assert_int_equal(one(BLKFRONT_READ, 100, NULL, 4096), 0); /* shorter, with the same pages */
	pattern(expect, 4096, 50);
	assert_memory_equal(blkfront_page(bf, &io[0], 0), expect, 4096);
	assert_int_equal(one(BLKFRONT_READ, 100, NULL, 5 * 4096), -EINVAL); /* longer than its pages */
	blkfront_pages_give(bf, &io[0]);
	assert_int_equal(one(BLKFRONT_READ, 100, NULL, 4096), -EINVAL); /* no pages at all */
}

static void test_pages_run_out_and_return(void **state)
{
	(void)state;
	connect_now();
	for (unsigned i = 0; i < 2; i++) {
		io[i].len = BLKFRONT_IO_MAX;
		assert_int_equal(blkfront_pages_take(bf, &io[i]), 0);
	}
	io[2].len = 512;
	assert_int_equal(blkfront_pages_take(bf, &io[2]), -EAGAIN);
	blkfront_pages_give(bf, &io[0]);
	assert_int_equal(blkfront_pages_take(bf, &io[2]), 0);
	io[3].len = BLKFRONT_IO_MAX + 512;
	assert_int_equal(blkfront_pages_take(bf, &io[3]), -EINVAL);
	blkfront_pages_give(bf, &io[1]);
	blkfront_pages_give(bf, &io[2]);
}

/* Granted once, then the same few again and again. */
static void test_grants_persist(void **state)
{
	static uint8_t bytes[8192];
	unsigned grants;

	(void)state;
	connect_now();
	one(BLKFRONT_WRITE, 0, bytes, sizeof(bytes));
	grants = port_fake_grants();
	assert_int_equal(grants, 4 + 2);
	for (unsigned i = 0; i < 500; i++)
		assert_int_equal(one(i & 1 ? BLKFRONT_WRITE : BLKFRONT_READ, i, bytes, sizeof(bytes)), 0);
	assert_int_equal(port_fake_grants(), grants);
}

static void test_flush_and_discard(void **state)
{
	struct blkif_request req;

	(void)state;
	blk_script_back(hv, "feature-barrier", "1"); /* a flush is the cheaper one */
	connect_now();
	memset(back.disk, 0x11, 4096);
	assert_int_equal(one(BLKFRONT_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(back.flushes, 1);
	assert_int_equal(one(BLKFRONT_DISCARD, 2, NULL, 1024), 0);
	assert_int_equal(back.disk[2 * 512 - 1], 0x11);
	assert_int_equal(back.disk[2 * 512], 0);
	assert_int_equal(back.disk[4 * 512 - 1], 0);
	assert_int_equal(back.disk[4 * 512], 0x11);
	assert_int_equal(one(BLKFRONT_DISCARD, 0, NULL, (BLK_SCRIPT_SECTORS + 1) * 512ull), -ERANGE);
	assert_int_equal(one(BLKFRONT_DISCARD, 8, NULL, 1ull << 63), -ERANGE);
	assert_int_equal(one(BLKFRONT_SECURE_DISCARD, 4, NULL, 512), 0);
	assert_int_equal(back.disk[4 * 512], 0xff);
	submit(&io[0], BLKFRONT_FLUSH, 0, NULL, 0);
	blkfront_kick(bf);
	assert_true(blk_script_take(&back, &req));
	assert_int_equal(req.operation, BLKIF_OP_FLUSH_DISKCACHE);
	assert_int_equal(req.nr_segments, 0);
	blk_script_answer(&back, req.id, req.operation, 0);
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
}

static void test_a_barrier_for_a_flush(void **state)
{
	struct blkif_request req;

	(void)state;
	blk_script_back(hv, "feature-flush-cache", "0");
	blk_script_back(hv, "feature-barrier", "1");
	connect_now();
	assert_true(blkfront_info(bf)->can_flush);
	submit(&io[0], BLKFRONT_FLUSH, 0, NULL, 0);
	blkfront_kick(bf);
	assert_true(blk_script_take(&back, &req));
	assert_int_equal(req.operation, BLKIF_OP_WRITE_BARRIER);
	blk_script_answer(&back, req.id, req.operation, BLKIF_RSP_EOPNOTSUPP);
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_int_equal(io[0].result, -EOPNOTSUPP);
	assert_false(blkfront_info(bf)->can_flush);
	assert_int_equal(one(BLKFRONT_FLUSH, 0, NULL, 0), -EOPNOTSUPP);
}

static void test_what_the_disk_cannot_do(void **state)
{
	static uint8_t bytes[8192];

	(void)state;
	blk_script_back(hv, "feature-flush-cache", "0");
	blk_script_back(hv, "feature-discard", "0");
	blk_script_back(hv, "sector-size", "4096");
	blk_script_back(hv, "info", "5");
	connect_now();
	assert_true(blkfront_info(bf)->readonly && blkfront_info(bf)->cdrom && !blkfront_info(bf)->removable);
	assert_int_equal(one(BLKFRONT_FLUSH, 0, NULL, 0), -EOPNOTSUPP);
	assert_int_equal(one(BLKFRONT_READ, 8, bytes, 4096), 0);
	assert_int_equal(one(BLKFRONT_WRITE, 8, bytes, 4096), -EROFS);
	assert_int_equal(one(BLKFRONT_DISCARD, 8, NULL, 4096), -EROFS);
	assert_int_equal(one(BLKFRONT_READ, 8, bytes, 512), -EINVAL);
	assert_int_equal(one(BLKFRONT_READ, 1, bytes, 4096), -EINVAL);
	assert_int_equal(one(BLKFRONT_READ, 8, bytes, 0), -EINVAL);
	assert_int_equal(one(BLKFRONT_READ, 0, bytes, BLKFRONT_IO_MAX + 4096), -EINVAL);
	assert_int_equal(one(BLKFRONT_READ, BLK_SCRIPT_SECTORS - 8, bytes, 4096), 0);
	assert_int_equal(one(BLKFRONT_READ, BLK_SCRIPT_SECTORS - 8, bytes, 8192), -ERANGE);
	assert_int_equal(one(BLKFRONT_READ, UINT64_MAX - 7, bytes, 8192), -ERANGE);
	assert_int_equal(back.served, 2);
	assert_int_equal(blkfront_stats(bf)->errors, 9);
}

/* An error of one part is the io's; the others do not hide it. */
static void test_errors_of_the_storage(void **state)
{
	static uint8_t bytes[BLKFRONT_IO_MAX];
	struct blkif_request req[24];

	(void)state;
	blk_script_back(hv, "feature-max-indirect-segments", "0");
	connect_now();
	memset(bytes, 0x77, sizeof(bytes));
	submit(&io[0], BLKFRONT_READ, 0, bytes, sizeof(bytes));
	blkfront_kick(bf);
	for (unsigned i = 0; i < 24; i++)
		assert_true(blk_script_take(&back, &req[i]));
	for (unsigned i = 24; i-- > 0;) { /* the last one first */
		blk_script_answer(&back, req[i].id, BLKIF_OP_READ, i == 11 ? BLKIF_RSP_ERROR : blk_script_execute(&back, &req[i]));
		blk_script_push(&back);
		assert_int_equal(blkfront_poll(bf, done, 1), i == 0);
	}
	assert_int_equal(io[0].result, -EIO);
	assert_int_equal(bytes[0], 0x77); /* nothing half read */
	assert_int_equal(one(BLKFRONT_READ, 0, bytes, 4096), 0);
}

/* Any order of answers, each to its own io. */
static void test_answers_out_of_order(void **state)
{
	static uint8_t bytes[64][512];
	struct blkif_request req[64];

	(void)state;
	connect_now();
	for (unsigned i = 0; i < 64; i++) {
		memset(back.disk + i * 512, (int)i, 512);
		submit(&io[i], BLKFRONT_READ, i, bytes[i], 512);
	}
	blkfront_kick(bf);
	for (unsigned i = 0; i < 64; i++)
		assert_true(blk_script_take(&back, &req[i]));
	for (unsigned i = 0; i < 64; i++) {
		unsigned k = i * 37 % 64;

		blk_script_answer(&back, req[k].id, BLKIF_OP_READ, blk_script_execute(&back, &req[k]));
		blk_script_push(&back);
		assert_int_equal(blkfront_poll(bf, done, 2), 1);
		assert_ptr_equal(done[0], &io[k]);
		assert_int_equal(bytes[k][511], k);
	}
}

static void test_arming(void **state)
{
	static uint8_t bytes[512];

	(void)state;
	connect_now();
	assert_true(blkfront_arm(bf));
	submit(&io[0], BLKFRONT_READ, 0, bytes, 512);
	blkfront_kick(bf);
	assert_true(blkfront_arm(bf));
	blk_script_serve(&back);
	assert_false(blkfront_arm(bf));
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_true(blkfront_arm(bf));
	assert_false(port_evtchn_take((evtchn_t)blk_script_front_number(hv, "event-channel"))); /* or waiting would be a busy loop */
	submit(&io[0], BLKFRONT_READ, BLK_SCRIPT_SECTORS, bytes, 512); /* refused here */
	blkfront_kick(bf);
	assert_false(blkfront_arm(bf));
	assert_int_equal(blkfront_poll(bf, done, 1), 1);
	assert_true(blkfront_arm(bf));
	blk_script_back(hv, "state", "5");
	assert_false(blkfront_arm(bf)); /* the back end moved: step first */
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_true(blkfront_arm(bf));
}

/* ---- a back end that lies ---- */

/* After the lie: everything ends with an error, the vbd says Closed, memory and channels are given back. */
static void expect_closed(unsigned unanswered)
{
	unsigned n = blkfront_poll(bf, done, 300);

	assert_false(blkfront_arm(bf));
	blk_script_disconnect(&back);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CLOSED);
	assert_int_equal(blk_script_front_number(hv, "state"), XenbusStateClosed);
	n += blkfront_poll(bf, done + n, 300 - n);
	assert_int_equal(n, unanswered);
	assert_int_equal(done[n - 1]->result, -EIO);
	assert_int_equal(port_fake_grants(), 0);
	assert_int_equal(port_fake_ports(), 0);
	submit(&io[5], BLKFRONT_FLUSH, 0, NULL, 0);
	assert_int_equal(blkfront_poll(bf, done, 1), 1); /* nobody waits for what cannot be done */
	assert_int_equal(io[5].result, -EIO);
}

static void two_reads(struct blkif_request req[2])
{
	static uint8_t bytes[2][512];

	connect_now();
	for (unsigned i = 0; i < 2; i++)
		submit(&io[i], BLKFRONT_READ, i, bytes[i], 512);
	blkfront_kick(bf);
	for (unsigned i = 0; i < 2; i++)
		assert_true(blk_script_take(&back, &req[i]));
}

static void test_an_id_out_of_range(void **state)
{
	static const uint64_t ids[] = { 128, 255, 256, 65536, 1ull << 32, UINT64_MAX };
	struct blkif_request req[2];

	(void)state;
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		two_reads(req);
		blk_script_answer(&back, ids[i], BLKIF_OP_READ, 0);
		blk_script_push(&back);
		expect_closed(2);
		teardown(NULL);
		setup(NULL);
	}
}

static void test_an_id_twice(void **state)
{
	struct blkif_request req[2];

	(void)state;
	two_reads(req);
	blk_script_answer(&back, req[0].id, BLKIF_OP_READ, 0);
	blk_script_answer(&back, req[0].id, BLKIF_OP_READ, 0);
	blk_script_push(&back);
	expect_closed(2);
}

static void test_an_id_that_is_free(void **state)
{
	struct blkif_request req[2];

	(void)state;
	two_reads(req);
	blk_script_answer(&back, 100, BLKIF_OP_READ, 0);
	blk_script_push(&back);
	expect_closed(2);
}

static void test_another_operation(void **state)
{
	struct blkif_request req[2];

	(void)state;
	two_reads(req);
	blk_script_answer(&back, req[0].id, BLKIF_OP_WRITE, 0);
	blk_script_push(&back);
	expect_closed(2);
}

static void test_a_response_index_out_of_range(void **state)
{
	static const uint32_t ahead[] = { 3, 129, 1u << 31, UINT32_MAX };
	struct blkif_request req[2];

	(void)state;
	for (unsigned i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		two_reads(req);
		shm_store_release(&back.ring.shared->rsp_prod, ahead[i]);
		expect_closed(2);
		teardown(NULL);
		setup(NULL);
	}
}

static void test_a_status_that_nobody_knows(void **state)
{
	struct blkif_request req[2];

	(void)state;
	two_reads(req);
	blk_script_answer(&back, req[0].id, BLKIF_OP_READ, 17);
	blk_script_answer(&back, req[1].id, BLKIF_OP_READ, -4096);
	blk_script_push(&back);
	assert_int_equal(blkfront_poll(bf, done, 2), 2);
	assert_int_equal(io[0].result, -EIO);
	assert_int_equal(io[1].result, -EIO);
	assert_int_equal(blkfront_step(bf), BLKFRONT_CONNECTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_write_as_the_abi_has_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_write_and_read_back_any_alignment, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_largest_io, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_indirect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_with_few_indirect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_io_larger_than_the_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_requests_than_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_segment_writes_its_part_of_the_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_bytes_than_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_run_out_and_return, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grants_persist, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_and_discard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_barrier_for_a_flush, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_the_disk_cannot_do, setup, teardown),
		cmocka_unit_test_setup_teardown(test_errors_of_the_storage, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_out_of_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_arming, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_id_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_id_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_id_that_is_free, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_operation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_response_index_out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_status_that_nobody_knows, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
