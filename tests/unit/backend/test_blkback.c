/* SPDX-License-Identifier: BSD-3-Clause */
/* The data path of a vbd: every operation, segments, order of answers, barriers, batches, persistent grants, errors of the storage, sleep. */
#include <tests/support/blk_world.h>
#include <errno.h>
#include <rte_cycles.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SIZE (8u << 20)

static struct blk_world w;
static struct blk_disk disk;
static struct blk_peer p;

static int setup(void **state)
{
	(void)state;
	blk_world_create(&w);
	blk_disk_init(&disk, "disk", SIZE, 512);
	blk_peer_init(&p, &w, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	blk_peer_assert_works(&p);
	blk_world_destroy(&w);
	blk_disk_fini(&disk);
	return 0;
}

static void fill(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		disk.bytes[i] = (uint8_t)(i * 7 + i / 512 + i / 65536);
}

/* Buffers from `first` on, n whole pages, in an indirect request. */
static struct blk_peer_slot indirect(uint8_t op, uint64_t id, uint64_t sector, unsigned first, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct blk_segment s = blk_peer_seg(&p, first + i, 0, 7);

		memcpy(p.descriptors + i * sizeof(s), &s, sizeof(s));
	}
	return blk_peer_indirect(&p, op, id, sector, n, p.descriptors_gref);
}

static struct blk_peer_slot page(uint8_t op, uint64_t id, uint64_t sector, unsigned buffer)
{
	struct blk_segment s = blk_peer_seg(&p, buffer, 0, 7);

	return blk_peer_rw(&p, op, id, sector, &s, 1);
}

static void take(unsigned q, uint64_t id, int status)
{
	struct blk_peer_rsp rsp;

	assert_true(blk_peer_take(&p, q, &rsp));
	assert_true(rsp.id == id);
	assert_int_equal(rsp.status, status);
}

static void take_none(void)
{
	struct blk_peer_rsp rsp;

	assert_false(blk_peer_take(&p, 0, &rsp));
}

/* ---- bytes ---- */

static void parts_of_pages(void)
{
	struct blk_segment s[3] = {blk_peer_seg(&p, 0, 3, 7), blk_peer_seg(&p, 1, 0, 0), blk_peer_seg(&p, 2, 2, 5)};

	fill();
	memset(p.buffers, 0, 3 * SLUICE_PAGE_SIZE);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 1, 33, s, 3)), BLKIF_RSP_OKAY);
	assert_memory_equal(blk_peer_buffer(&p, 0) + 3 * 512, disk.bytes + 33 * 512, 5 * 512);
	assert_memory_equal(blk_peer_buffer(&p, 1), disk.bytes + 38 * 512, 512);
	assert_memory_equal(blk_peer_buffer(&p, 2) + 2 * 512, disk.bytes + 39 * 512, 4 * 512);
	assert_int_equal(blk_peer_buffer(&p, 0)[3 * 512 - 1], 0); /* and nothing beside it */
	assert_int_equal(blk_peer_buffer(&p, 1)[512], 0);
	assert_int_equal(blk_peer_buffer(&p, 2)[2 * 512 - 1] | blk_peer_buffer(&p, 2)[6 * 512], 0);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_WRITE, 2, 1000, s, 3)), BLKIF_RSP_OKAY);
	assert_memory_equal(disk.bytes + 1000 * 512, disk.bytes + 33 * 512, 10 * 512);
}

static void segments(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	parts_of_pages();
	assert_int_equal(hv_fake_mapped(w.hv), 1); /* the ring */
}

static void segments_x86_32(void **state)
{
	(void)state;
	p.layout = BLK_X86_32;
	blk_peer_add(&p, &disk, "w");
	parts_of_pages();
}

static void segments_persistent(void **state)
{
	(void)state;
	p.persistent = true;
	blk_peer_add(&p, &disk, "w");
	parts_of_pages();
	parts_of_pages();
	assert_int_equal(hv_fake_mapped(w.hv), 1 + 3);
	assert_int_equal(blk_peer_vbd(&p)->stats.maps, 3);
}

static void large_requests(void)
{
	fill();
	assert_int_equal(blk_peer_ask(&p, indirect(BLKIF_OP_READ, 5, 8, 0, 256)), BLKIF_RSP_OKAY);
	assert_memory_equal(p.buffers, disk.bytes + 8 * 512, 1u << 20);
	assert_int_equal(blk_peer_ask(&p, indirect(BLKIF_OP_WRITE, 6, 4096, 0, 256)), BLKIF_RSP_OKAY);
	assert_memory_equal(disk.bytes + 4096 * 512, p.buffers, 1u << 20);
}

static void indirect_of_256(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	large_requests();
	assert_int_equal(hv_fake_mapped(w.hv), 1);
}

static void indirect_x86_32_persistent(void **state)
{
	(void)state;
	p.layout = BLK_X86_32;
	p.persistent = true;
	blk_peer_add(&p, &disk, "w");
	large_requests();
	assert_int_equal(hv_fake_mapped(w.hv), 1 + 256);
}

/* A write needs no more than a read-only grant. */
static void write_from_a_readonly_page(void **state)
{
	struct blk_segment s = {.gref = p.descriptors_gref, .first = 0, .last = 7};

	(void)state;
	s.gref = p.descriptors_gref;
	blk_peer_add(&p, &disk, "w");
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_WRITE, 1, 0, &s, 1)), BLKIF_RSP_OKAY);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 1, 0, &s, 1)), BLKIF_RSP_ERROR);
}

/* ---- the other operations ---- */

static void flush(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_FLUSH_DISKCACHE, 1, 99999999, NULL, 0)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.ops[BLKDEV_FLUSH], 1);
	disk.dev.info.can_flush = false;
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_FLUSH_DISKCACHE, 1, 0, NULL, 0)), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_WRITE_BARRIER, 1, 0, 0)), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(disk.ops[BLKDEV_FLUSH], 1);
}

static void discard(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	assert_int_equal(blk_peer_ask(&p, blk_peer_discard(&p, 1, 8, 16, 0)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.ops[BLKDEV_DISCARD], 1);
	assert_int_equal(disk.bytes[8 * 512 - 1], 0);
	assert_int_equal(disk.bytes[8 * 512] & disk.bytes[24 * 512 - 1], 0xdd);
	assert_int_equal(disk.bytes[24 * 512], 0);
	assert_int_equal(blk_peer_ask(&p, blk_peer_discard(&p, 1, 8, 16, BLKIF_DISCARD_SECURE)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.ops[BLKDEV_SECURE_DISCARD], 1);
	disk.dev.info.can_secure_discard = false; /* then the flag is ignored, says the ABI */
	assert_int_equal(blk_peer_ask(&p, blk_peer_discard(&p, 1, 8, 16, BLKIF_DISCARD_SECURE)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.ops[BLKDEV_DISCARD], 2);
}

static void discard_that_is_not_offered(void **state)
{
	(void)state;
	disk.dev.info.can_discard = false;
	blk_peer_add(&p, &disk, "w");
	assert_int_equal(blk_peer_ask(&p, blk_peer_discard(&p, 1, 8, 16, 0)), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(disk.ops[BLKDEV_DISCARD], 0);
}

static void errors_of_the_storage(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.fail = -EIO;
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_READ, 1, 0, 0)), BLKIF_RSP_ERROR);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_FLUSH_DISKCACHE, 1, 0, NULL, 0)), BLKIF_RSP_ERROR);
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_WRITE_BARRIER, 1, 0, 0)), BLKIF_RSP_ERROR);
	disk.fail = -ENOSPC;
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_WRITE, 1, 0, 0)), BLKIF_RSP_ERROR);
	disk.fail = -EOPNOTSUPP;
	assert_int_equal(blk_peer_ask(&p, blk_peer_discard(&p, 1, 8, 16, 0)), BLKIF_RSP_EOPNOTSUPP);
	disk.fail = 0;
	assert_int_equal(blk_peer_vbd(&p)->stats.failed, 5);
}

/* ---- order ---- */

static void answered_as_they_end(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.hold = true;
	for (unsigned i = 0; i < 32; i++)
		blk_peer_send(&p, 0, page(BLKIF_OP_WRITE, 1000 + i, 8 * i, i));
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 32);
	take_none();
	for (unsigned i = 32; i-- > 0;)
		blk_disk_end(&disk, i);
	blk_world_settle(&w);
	for (unsigned i = 32; i-- > 0;)
		take(0, 1000 + i, BLKIF_RSP_OKAY);
	disk.hold = false;
}

/* drain, flush, write, flush; nothing behind it begins before it has ended. */
static void barrier(void **state)
{
	static const enum blkdev_op want[] = {BLKDEV_WRITE, BLKDEV_WRITE, BLKDEV_FLUSH, BLKDEV_WRITE, BLKDEV_FLUSH, BLKDEV_WRITE};

	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.hold = true;
	blk_peer_send(&p, 0, page(BLKIF_OP_WRITE, 1, 0, 0));
	blk_peer_send(&p, 0, page(BLKIF_OP_WRITE, 2, 8, 1));
	blk_peer_send(&p, 0, page(BLKIF_OP_WRITE_BARRIER, 3, 16, 2));
	blk_peer_send(&p, 0, page(BLKIF_OP_WRITE, 4, 24, 3));
	for (unsigned i = 0; i < 6; i++) {
		blk_world_settle(&w);
		assert_int_equal(disk.nr_held, i == 0 ? 2 : 1);
		assert_int_equal(disk.nr_log, i == 0 ? 2 : i + 1);
		blk_disk_end(&disk, disk.nr_held - 1);
	}
	blk_world_settle(&w);
	assert_memory_equal(disk.log, want, sizeof(want));
	take(0, 2, BLKIF_RSP_OKAY);
	take(0, 1, BLKIF_RSP_OKAY);
	take(0, 3, BLKIF_RSP_OKAY);
	take(0, 4, BLKIF_RSP_OKAY);
	disk.hold = false;
}

static void empty_barrier_and_flush_with_data(void **state)
{
	static const enum blkdev_op want[] = {BLKDEV_FLUSH, BLKDEV_FLUSH, BLKDEV_WRITE, BLKDEV_FLUSH};

	(void)state;
	blk_peer_add(&p, &disk, "w");
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_WRITE_BARRIER, 1, 0, NULL, 0)), BLKIF_RSP_OKAY);
	memset(p.buffers, 0x77, SLUICE_PAGE_SIZE);
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_FLUSH_DISKCACHE, 2, 0, 0)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.bytes[4095], 0x77);
	assert_int_equal(disk.nr_log, 4);
	assert_memory_equal(disk.log, want, sizeof(want));
}

/* ---- batches ---- */

static void one_map_one_kick_one_event(void **state)
{
	struct blk_segment s[11];
	uint64_t events;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	for (unsigned i = 0; i < 11; i++)
		s[i] = blk_peer_seg(&p, i, 0, 7);
	for (unsigned i = 0; i < 32; i++) {
		struct blk_peer_slot slot = blk_peer_rw(&p, BLKIF_OP_WRITE, i, 8 * i, s, 11);

		blk_peer_post(&p, 0, &slot);
	}
	disk.kicks = 0;
	events = hv_fake_count(w.hv, HV_FAKE_NOTIFY);
	blk_peer_push(&p, 0);
	blk_world_settle(&w);
	assert_int_equal(disk.kicks, 1);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_NOTIFY) - events, 1);
	assert_int_equal(blk_peer_vbd(&p)->stats.bursts, 1);
	for (unsigned i = 0; i < 32; i++)
		take(0, i, BLKIF_RSP_OKAY);
}

/* More segments than one call maps, and more than a vbd may have under way: all are served in the end. */
static void many_large_requests(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.hold = true;
	fill();
	for (unsigned i = 0; i < 32; i++)
		blk_peer_send(&p, 0, indirect(BLKIF_OP_READ, i, 0, 0, 256));
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, BLKBACK_SEGMENTS / 256);
	assert_int_equal(hv_fake_mapped(w.hv), 1 + BLKBACK_SEGMENTS);
	for (unsigned i = 0; i < 32; i++) {
		blk_disk_end(&disk, 0);
		blk_world_settle(&w);
	}
	for (unsigned i = 0; i < 32; i++)
		take(0, i, BLKIF_RSP_OKAY);
	assert_int_equal(hv_fake_mapped(w.hv), 1);
	disk.hold = false;
}

/* ---- persistent grants ---- */

/* Twice in one request, and in two requests of one burst: mapped once. */
static void same_page_twice(void **state)
{
	struct blk_segment s[2];

	(void)state;
	p.persistent = true;
	blk_peer_add(&p, &disk, "w");
	s[0] = blk_peer_seg(&p, 0, 0, 3);
	s[1] = blk_peer_seg(&p, 0, 4, 7);
	for (unsigned i = 0; i < 2; i++) {
		struct blk_peer_slot slot = blk_peer_rw(&p, BLKIF_OP_WRITE, i, 0, s, 2);

		blk_peer_post(&p, 0, &slot);
	}
	blk_peer_push(&p, 0);
	blk_world_settle(&w);
	take(0, 0, BLKIF_RSP_OKAY);
	take(0, 1, BLKIF_RSP_OKAY);
	assert_int_equal(hv_fake_grant_busy(w.hv, 1, p.gref[0]), 1);
	blk_peer_reconnect(&p);
	assert_int_equal(hv_fake_grant_busy(w.hv, 1, p.gref[0]), 0); /* given back with the session */
}

static void mapping_that_fails(void **state)
{
	struct blk_segment s[2];

	(void)state;
	p.persistent = true;
	blk_peer_add(&p, &disk, "w");
	for (unsigned nth = 1; nth <= 2; nth++) {
		s[0] = blk_peer_seg(&p, 2 * nth, 0, 7);
		s[1] = blk_peer_seg(&p, 2 * nth + 1, 0, 7);
		hv_fake_fail(w.hv, HV_FAKE_MAP, nth, GNTST_no_device_space);
		assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_WRITE, 1, 0, s, 2)), BLKIF_RSP_ERROR);
		assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_WRITE, 1, 0, s, 2)), BLKIF_RSP_OKAY);
	}
	assert_int_equal(hv_fake_mapped(w.hv), 1 + 4);
}

/* Each page is registered with the storage once, and named where an io has one piece of one page; the session's end makes the storage forget it. */
static void pages_are_registered(void **state)
{
	struct blk_segment parts[2], two[2];

	(void)state;
	p.persistent = true;
	blk_peer_add(&p, &disk, "w");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(blk_peer_ask(&p, page(i % 2 ? BLKIF_OP_READ : BLKIF_OP_WRITE, i, 8 * i, 1)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.by_number, 3);
	assert_int_equal(disk.nr_registered, 1);
	parts[0] = blk_peer_seg(&p, 1, 1, 2); /* side by side: one piece */
	parts[1] = blk_peer_seg(&p, 1, 3, 6);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 4, 0, parts, 2)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.by_number, 4);
	two[0] = blk_peer_seg(&p, 2, 0, 7);
	two[1] = blk_peer_seg(&p, 3, 0, 7);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 5, 0, two, 2)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.by_number, 4);
	assert_int_equal(disk.nr_registered, 3);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_FLUSH_DISKCACHE, 6, 0, NULL, 0)), BLKIF_RSP_OKAY);
	blk_peer_reconnect(&p);
	assert_int_equal(disk.nr_registered, 0);
}

static void storage_that_pins_none(void **state)
{
	(void)state;
	p.persistent = disk.pins_none = true;
	blk_peer_add(&p, &disk, "w");
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_READ, i, 8 * i, 1)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.nr_refused, 1); /* of one page */
	assert_int_equal(disk.by_number, 0);
}

/* Pages that go back to the guest after each request are not worth it. */
static void not_without_persistent_grants(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_READ, 1, 0, 1)), BLKIF_RSP_OKAY);
	assert_int_equal(disk.by_number + disk.nr_registered, 0);
}

/* ---- sleep ---- */

/* Nothing to do: not polled. A request, or the end of one, wakes it. */
static void sleeps(void **state)
{
	struct blkback_vbd *vbd;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	vbd = blk_peer_vbd(&p);
	assert_false(vbd->item.active);
	disk.hold = true;
	blk_peer_send(&p, 0, page(BLKIF_OP_READ, 1, 0, 0));
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 1);
	assert_false(vbd->item.active);
	blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	take(0, 1, BLKIF_RSP_OKAY);
	assert_false(vbd->item.active);
	disk.hold = false;
}

/* A disk that takes its time is not polled for; one that answers at once is. Which it is, some answers tell. */
static struct blkback_vbd *slow_storage(void)
{
	struct blkback_vbd *vbd = blk_peer_vbd(&p);

	disk.hold = true;
	for (unsigned i = 0; i < 4; i++) {
		blk_peer_send(&p, 0, page(BLKIF_OP_READ, i, 0, 0));
		blk_world_settle(&w);
		assert_int_equal(vbd->item.slow, vbd->storage_pace.slow);
		blk_world_run_ms(&w, 2);
		blk_disk_end(&disk, 0);
		blk_world_settle(&w);
		take(0, i, BLKIF_RSP_OKAY);
	}
	assert_true(vbd->storage_pace.slow);
	disk.hold = false;
	return vbd;
}

static void slow_storage_is_not_polled_for(void **state)
{
	struct blkback_vbd *vbd;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	vbd = slow_storage();
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_READ, i, 0, 0)), BLKIF_RSP_OKAY);
	assert_false(vbd->storage_pace.slow);
	assert_false(vbd->item.slow);
	assert_null(vbd->timed);
	vbd->storage_pace.mean = UINT32_MAX; /* a long burst of a storage that works in our thread: there is nobody to sleep for */
	vbd->storage.fd = -1;
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_READ, 1, 0, 0)), BLKIF_RSP_OKAY);
	assert_false(vbd->item.slow);
	vbd->storage.fd = disk.fd;
}

static void ask_of_slow_storage(struct blkback_vbd *vbd)
{
	vbd->storage_pace = (struct blkback_pace){.mean = UINT32_MAX, .slow = true};
	assert_int_equal(blk_peer_ask(&p, page(BLKIF_OP_READ, 1, 0, 0)), BLKIF_RSP_OKAY);
}

/* With nothing at slow storage, the guest is polled for if it has been quick; one that was slow is tried again. */
static void a_guest_is_polled_for_if_it_is_quick(void **state)
{
	struct blkback_vbd *vbd;
	unsigned polled = 0;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	vbd = slow_storage();
	vbd->guest_pace = (struct blkback_pace){.from = rte_rdtsc()};
	ask_of_slow_storage(vbd);
	assert_false(vbd->item.slow);
	blk_world_run_ms(&w, 2); /* it asks for nothing */
	for (unsigned i = 0; i < 2 * BLKBACK_GUEST_TRY; i++) {
		ask_of_slow_storage(vbd);
		polled += !vbd->item.slow;
		vbd->guest_pace.slow = true;
	}
	assert_int_equal(polled, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(segments), TEST(segments_x86_32), TEST(segments_persistent), TEST(indirect_of_256), TEST(indirect_x86_32_persistent),
		TEST(write_from_a_readonly_page), TEST(flush), TEST(discard), TEST(discard_that_is_not_offered), TEST(errors_of_the_storage),
		TEST(answered_as_they_end), TEST(barrier), TEST(empty_barrier_and_flush_with_data), TEST(one_map_one_kick_one_event),
		TEST(many_large_requests), TEST(same_page_twice), TEST(mapping_that_fails), TEST(pages_are_registered), TEST(storage_that_pins_none),
		TEST(not_without_persistent_grants), TEST(sleeps), TEST(slow_storage_is_not_polled_for), TEST(a_guest_is_polled_for_if_it_is_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
