/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that lies to blkback, at every field and every step. After each, a neighbour still reads back what it wrote, nothing is left mapped or bound, and no
 * byte of a disk has changed that should not have.
 */
#include <tests/support/blk_world.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SIZE (1u << 20)
#define SECTORS (SIZE / 512)
#define N(a) (sizeof(a) / sizeof((a)[0]))

static struct blk_world w;
static struct blk_disk disk, other;
static struct blk_peer evil, neighbour;

static int setup_layout(enum blk_layout layout, bool persistent)
{
	blk_world_create(&w);
	blk_disk_init(&disk, "disk", SIZE, 512);
	blk_disk_init(&other, "other", SIZE, 512);
	memset(disk.bytes, 0x5a, SIZE);
	blk_peer_init(&evil, &w, 3);
	blk_peer_init(&neighbour, &w, 1);
	evil.layout = layout;
	evil.persistent = persistent;
	blk_peer_add(&evil, &disk, "w");
	blk_peer_add(&neighbour, &other, "w");
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_layout(BLK_X86_64, false);
}

static int setup_32(void **state)
{
	(void)state;
	return setup_layout(BLK_X86_32, true);
}

static int teardown(void **state)
{
	(void)state;
	blk_peer_assert_works(&neighbour);
	assert_int_equal(blk_peer_backend_state(&neighbour), XenbusStateConnected);
	blk_world_destroy(&w);
	blk_disk_fini(&disk);
	blk_disk_fini(&other);
	return 0;
}

static void assert_disk_untouched(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(disk.bytes[i], 0x5a);
}

/* Only that request was refused, without a look at the disk; a good one is served after it, by everybody. */
static void refused_as(struct blk_peer_slot slot, int status)
{
	unsigned before = disk.ops[0] + disk.ops[1] + disk.ops[2] + disk.ops[3] + disk.ops[4];

	assert_int_equal(blk_peer_ask(&evil, slot), status);
	assert_int_equal(disk.ops[0] + disk.ops[1] + disk.ops[2] + disk.ops[3] + disk.ops[4], before);
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateConnected);
	assert_int_equal(blk_peer_vbd(&evil)->segments, 0);
	blk_peer_assert_works(&neighbour);
}

static void refused(struct blk_peer_slot slot)
{
	refused_as(slot, BLKIF_RSP_ERROR);
}

static struct blk_peer_slot page(uint8_t op, uint64_t id, uint64_t sector)
{
	struct blk_segment s = blk_peer_seg(&evil, 0, 0, 7);

	return blk_peer_rw(&evil, op, id, sector, &s, 1);
}

/* The ring lied: this vbd alone is closed, and may come again. */
static void assert_disabled(void)
{
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateClosing);
	blk_peer_assert_works(&neighbour);
	blk_peer_disconnect(&evil);
	blk_peer_state(&evil, XenbusStateClosed);
	blk_world_settle(&w);
	blk_peer_state(&evil, XenbusStateInitialising);
	blk_world_settle(&w);
	blk_peer_connect(&evil);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateConnected);
}

/* ---- requests ---- */

static void sectors_out_of_range(void **state)
{
	static const uint64_t sectors[] = {SECTORS - 7, SECTORS, 1ull << 32, 1ull << 54, 1ull << 55, 1ull << 63, ~0ull, ~0ull - 7, ~0ull - 8};

	(void)state;
	for (unsigned i = 0; i < N(sectors); i++) {
		refused(page(BLKIF_OP_WRITE, i, sectors[i]));
		refused(page(BLKIF_OP_READ, i, sectors[i]));
		refused(page(BLKIF_OP_WRITE_BARRIER, i, sectors[i]));
		refused(blk_peer_discard(&evil, i, sectors[i], 8, 0));
	}
	refused(blk_peer_discard(&evil, 1, 8, ~0ull, 0));
	refused(blk_peer_discard(&evil, 1, 8, ~0ull - 7, BLKIF_DISCARD_SECURE));
	refused(blk_peer_discard(&evil, 1, 8, 0, 0));
	assert_disk_untouched();
	assert_int_equal(blk_peer_ask(&evil, page(BLKIF_OP_WRITE, 1, SECTORS - 8)), BLKIF_RSP_OKAY);
}

static void segments_out_of_range(void **state)
{
	static const uint8_t pairs[][2] = {{1, 0}, {7, 6}, {0, 8}, {8, 8}, {0, 255}, {255, 255}, {255, 0}, {7, 8}};

	(void)state;
	for (unsigned i = 0; i < N(pairs); i++) {
		struct blk_segment s[2] = {blk_peer_seg(&evil, 0, 0, 7), blk_peer_seg(&evil, 1, pairs[i][0], pairs[i][1])};

		refused(blk_peer_rw(&evil, BLKIF_OP_WRITE, i, 0, s, 2));
		refused(blk_peer_rw(&evil, BLKIF_OP_READ, i, 0, s, 2));
		memcpy(evil.descriptors, s, sizeof(s));
		refused(blk_peer_indirect(&evil, BLKIF_OP_WRITE, i, 0, 2, evil.descriptors_gref));
	}
	assert_disk_untouched();
}

static void numbers_of_segments(void **state)
{
	static const unsigned direct[] = {0, 12, 128, 255}, indirect[] = {0, 257, 512, 513, 4096, 65535};
	struct blk_segment s[11];

	(void)state;
	for (unsigned i = 0; i < N(s); i++)
		s[i] = blk_peer_seg(&evil, i, 0, 7);
	for (unsigned i = 0; i < N(direct); i++) {
		refused(blk_peer_rw(&evil, BLKIF_OP_READ, i, 0, s, direct[i]));
		refused(blk_peer_rw(&evil, BLKIF_OP_WRITE, i, 0, s, direct[i]));
	}
	for (unsigned i = 0; i < N(indirect); i++)
		refused(blk_peer_indirect(&evil, BLKIF_OP_READ, i, 0, indirect[i], evil.descriptors_gref));
	assert_disk_untouched();
}

static void unknown_operations(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_RESERVED_1, 7, 8, 127, 128, 255};

	(void)state;
	for (unsigned i = 0; i < N(ops); i++) {
		refused_as(page(ops[i], i, 0), BLKIF_RSP_EOPNOTSUPP);
		refused(blk_peer_indirect(&evil, ops[i], i, 0, 1, evil.descriptors_gref));
	}
	refused(blk_peer_indirect(&evil, BLKIF_OP_INDIRECT, 1, 0, 1, evil.descriptors_gref));
	refused(blk_peer_indirect(&evil, BLKIF_OP_DISCARD, 1, 0, 1, evil.descriptors_gref));
}

/* ---- pages ---- */

static void pages_that_are_not_granted(void **state)
{
	static const gref_t grefs[] = {0, 1, HV_FAKE_GRANTS - 1, HV_FAKE_GRANTS, 0x7fffffff, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < N(grefs); i++) {
		struct blk_segment s[3] = {blk_peer_seg(&evil, 0, 0, 7), {.gref = grefs[i], .first = 0, .last = 7}, blk_peer_seg(&evil, 1, 0, 7)};

		refused(blk_peer_rw(&evil, BLKIF_OP_READ, i, 0, s, 3));
		refused(blk_peer_rw(&evil, BLKIF_OP_WRITE, i, 0, s, 3));
		refused(blk_peer_indirect(&evil, BLKIF_OP_READ, i, 0, 3, grefs[i]));
		refused(blk_peer_indirect(&evil, BLKIF_OP_READ, i, 0, 256, grefs[i]));
	}
	assert_disk_untouched();
	assert_int_equal(blk_peer_ask(&evil, page(BLKIF_OP_READ, 1, 0)), BLKIF_RSP_OKAY);
}

/* The numbers of a neighbour's grants are of no use: they name the liar's own. */
static void pages_of_a_neighbour(void **state)
{
	struct blk_segment s = {.first = 0, .last = 7};
	gref_t free_ref;

	(void)state;
	memset(blk_peer_buffer(&neighbour, 7), 0x11, SLUICE_PAGE_SIZE);
	free_ref = evil.gref[7];
	assert_int_equal(hv_fake_grant_end(w.hv, 3, free_ref), 0);
	s.gref = free_ref;
	refused(blk_peer_rw(&evil, BLKIF_OP_READ, 1, 0, &s, 1));
	assert_int_equal(blk_peer_buffer(&neighbour, 7)[0], 0x11);
	assert_int_equal(blk_peer_buffer(&neighbour, 7)[4095], 0x11);
}

/* Nothing is written through a grant that allows only reading. */
static void readonly_grants(void **state)
{
	struct blk_segment s;

	(void)state;
	s = (struct blk_segment){.gref = evil.descriptors_gref, .first = 0, .last = 7};
	memset(evil.descriptors, 0x22, SLUICE_PAGE_SIZE);
	refused(blk_peer_rw(&evil, BLKIF_OP_READ, 1, 0, &s, 1));
	assert_int_equal(evil.descriptors[0], 0x22);
}

/* A request that is refused half-way leaves nothing mapped. */
static void nothing_stays_mapped(void **state)
{
	unsigned before = hv_fake_mapped(w.hv);
	struct blk_segment s[11];

	(void)state;
	for (unsigned i = 0; i < N(s); i++)
		s[i] = blk_peer_seg(&evil, i, 0, 7);
	s[10].gref = 0;
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(blk_peer_ask(&evil, blk_peer_rw(&evil, BLKIF_OP_WRITE, i, 0, s, 11)), BLKIF_RSP_ERROR);
	assert_int_equal(hv_fake_mapped(w.hv), before + (evil.persistent ? 10 : 0));
}

/* ---- the same id twice; requests rewritten after they were posted ---- */

static void same_id_twice(void **state)
{
	struct blk_peer_rsp rsp;

	(void)state;
	disk.hold = true;
	for (unsigned i = 0; i < 8; i++)
		blk_peer_send(&evil, 0, page(BLKIF_OP_READ, 42, 8 * i));
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 8); /* each is a request of its own */
	while (disk.nr_held > 0)
		blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(blk_peer_take(&evil, 0, &rsp));
		assert_int_equal(rsp.id, 42);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	}
	assert_false(blk_peer_take(&evil, 0, &rsp));
	disk.hold = false;
}

/* What is done and answered is what was read, once; the slots may say what they like by then. */
static void rewritten_after_posting(void **state)
{
	struct blk_peer_slot slot = page(BLKIF_OP_WRITE, 7, 16);
	struct blk_peer_rsp rsp;

	(void)state;
	memset(blk_peer_buffer(&evil, 0), 0x33, SLUICE_PAGE_SIZE);
	disk.hold = true;
	blk_peer_send(&evil, 0, slot);
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 1);
	memset(evil.queue[0].pages + SLUICE_RING_HEADER, 0xff, SLUICE_PAGE_SIZE - SLUICE_RING_HEADER);
	memset(evil.descriptors, 0xff, SLUICE_PAGE_SIZE);
	assert_int_equal(disk.held[0]->offset, 16 * 512);
	blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	assert_true(blk_peer_take(&evil, 0, &rsp));
	assert_int_equal(rsp.id, 7);
	assert_int_equal(rsp.op, BLKIF_OP_WRITE);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	assert_int_equal(disk.bytes[16 * 512], 0x33);
	disk.hold = false;
}

static void descriptors_rewritten(void **state)
{
	struct blk_segment s = blk_peer_seg(&evil, 0, 0, 7);

	(void)state;
	memcpy(evil.descriptors, &s, sizeof(s));
	disk.hold = true;
	blk_peer_send(&evil, 0, blk_peer_indirect(&evil, BLKIF_OP_READ, 1, 0, 1, evil.descriptors_gref));
	blk_world_settle(&w);
	memset(evil.descriptors, 0xff, SLUICE_PAGE_SIZE);
	assert_int_equal(disk.nr_held, 1);
	assert_int_equal(disk.held[0]->niov, 1);
	assert_int_equal(disk.held[0]->iov[0].iov_len, 4096);
	blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_buffer(&evil, 0)[4095], 0x5a);
	disk.hold = false;
}

/* A grant is taken back, the domain is gone, while the disk works on its pages: they stay until it is done. */
static void pages_stay_while_the_disk_works(void **state)
{
	(void)state;
	disk.hold = true;
	blk_peer_send(&evil, 0, page(BLKIF_OP_READ, 1, 0));
	blk_world_settle(&w);
	assert_int_equal(hv_fake_grant_end(w.hv, 3, evil.gref[0]), -EBUSY);
	hv_fake_domain_destroy(w.hv, 3);
	blk_world_settle(&w);
	blk_disk_end(&disk, 0); /* writes into the page: a crash if it were unmapped */
	toolstack_remove_vbd(w.hv, 3, evil.devid);
	blk_world_settle(&w);
	assert_null(blk_peer_vbd(&evil));
	disk.hold = false;
}

/* ---- rings ---- */

static void publish(uint32_t prod)
{
	shm_store_release(&evil.queue[0].ring.shared->req_prod, prod);
	hv_fake_evtchn_send(w.hv, 3, evil.queue[0].port);
}

static void index_out_of_range(void **state)
{
	static const uint32_t ahead[] = {33, 64, 1000, 0x7fffffff, 0x80000000, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < N(ahead); i++) {
		publish(ahead[i]);
		assert_disabled();
	}
	blk_peer_assert_works(&evil);
}

static void index_goes_back(void **state)
{
	(void)state;
	assert_int_equal(blk_peer_ask(&evil, page(BLKIF_OP_READ, 1, 0)), BLKIF_RSP_OKAY);
	publish(0);
	assert_disabled();
}

/* The response ring is full of answers that nobody takes: no more requests than answers fit are ever taken. */
static void response_ring_full(void **state)
{
	struct blk_peer_rsp rsp;

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		blk_peer_send(&evil, 0, page(BLKIF_OP_READ, i, 0));
	blk_world_settle(&w);
	assert_int_equal(disk.ops[BLKDEV_READ], 32);
	for (unsigned i = 0; i < 32; i++) { /* over answers that were not taken: loses only its own */
		struct blk_peer_slot slot = page(BLKIF_OP_READ, 100 + i, 0);

		evil.queue[0].ring.rsp_cons++;
		blk_peer_post(&evil, 0, &slot);
	}
	blk_peer_push(&evil, 0);
	blk_world_settle(&w);
	assert_int_equal(disk.ops[BLKDEV_READ], 64);
	for (unsigned i = 0; i < 32; i++) {
		assert_true(blk_peer_take(&evil, 0, &rsp));
		assert_int_equal(rsp.id, 100 + i);
	}
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateConnected);
}

/* More requests while the ring's worth of them is at the disk. */
static void more_than_the_ring_holds(void **state)
{
	(void)state;
	disk.hold = true;
	for (unsigned i = 0; i < 32; i++)
		blk_peer_send(&evil, 0, page(BLKIF_OP_READ, i, 0));
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 32);
	publish(33);
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 32);
	while (disk.nr_held > 0)
		blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	disk.hold = false;
}

static void closed_with_a_lie_under_way(void **state)
{
	(void)state;
	disk.hold = true;
	blk_peer_send(&evil, 0, page(BLKIF_OP_READ, 1, 0));
	blk_world_settle(&w);
	publish(1000);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateClosing);
	blk_peer_state(&evil, XenbusStateClosed);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateClosing);
	blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateClosed);
	disk.hold = false;
}

/* ---- read-only means read-only ---- */

static void readonly_disk(void **state)
{
	struct blk_segment s = blk_peer_seg(&evil, 0, 0, 7);

	(void)state;
	blk_peer_state(&evil, XenbusStateClosing);
	blk_world_settle(&w);
	blk_peer_disconnect(&evil);
	toolstack_remove_vbd(w.hv, 3, evil.devid);
	blk_world_settle(&w);
	blk_peer_add(&evil, &disk, "r");
	blk_peer_key(&evil, "mode", "w"); /* its own node says what it likes */
	memset(blk_peer_buffer(&evil, 0), 0, SLUICE_PAGE_SIZE);
	memcpy(evil.descriptors, &s, sizeof(s));
	refused(page(BLKIF_OP_WRITE, 1, 0));
	refused(page(BLKIF_OP_WRITE_BARRIER, 1, 0));
	refused(page(BLKIF_OP_FLUSH_DISKCACHE, 1, 0));
	refused(blk_peer_indirect(&evil, BLKIF_OP_WRITE, 1, 0, 1, evil.descriptors_gref));
	refused(blk_peer_discard(&evil, 1, 0, 8, 0));
	refused(blk_peer_discard(&evil, 1, 0, 8, BLKIF_DISCARD_SECURE));
	assert_disk_untouched();
	assert_int_equal(blk_peer_ask(&evil, page(BLKIF_OP_READ, 1, 0)), BLKIF_RSP_OKAY);
	assert_int_equal(blk_peer_buffer(&evil, 0)[0], 0x5a);
}

/* ---- greed ---- */

/* Ever new pages, all said to be persistent: a bounded number stays mapped. */
static void persistent_without_end(void **state)
{
	unsigned before = hv_fake_mapped(w.hv);

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < HV_FAKE_GRANTS / 2; i += 256) {
			for (unsigned k = 0; k < 256; k++) {
				gref_t gref = 0;
				struct blk_segment s = {.first = 0, .last = 0};

				hv_fake_grant(w.hv, 3, 0, blk_peer_buffer(&evil, k % 8), false, &gref);
				s.gref = gref ? gref : evil.gref[k];
				memcpy(evil.descriptors + k * sizeof(s), &s, sizeof(s));
			}
			assert_int_equal(blk_peer_ask(&evil, blk_peer_indirect(&evil, BLKIF_OP_READ, i, 0, 256, evil.descriptors_gref)),
					 BLKIF_RSP_OKAY);
		}
	}
	assert_true(hv_fake_mapped(w.hv) > before);
	assert_true(hv_fake_mapped(w.hv) <= before + BLKBACK_GRANTS);
}

/* Rubbish in every slot, ring after ring: errors only, and few lines in the log. */
static void rubbish(void **state)
{
	struct blk_peer_rsp rsp;
	unsigned seed = 1, answers;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		for (unsigned i = 0; i < 32; i++) {
			struct blk_peer_slot slot;

			for (unsigned at = 0; at < sizeof(slot.bytes); at++)
				slot.bytes[at] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 16);
			slot.bytes[0] %= 8;
			slot.bytes[1] %= 14;
			blk_peer_post(&evil, 0, &slot);
		}
		blk_peer_push(&evil, 0);
		answers = 0;
		for (unsigned looks = 0; answers < 32 && looks < 2000; looks++) { /* as long as a busy machine takes: what is left would overrun the ring */
			blk_world_run_ms(&w, 1);
			for (; blk_peer_take(&evil, 0, &rsp); answers++)
				assert_true(rsp.status != BLKIF_RSP_OKAY || rsp.op == BLKIF_OP_FLUSH_DISKCACHE || rsp.op == BLKIF_OP_WRITE_BARRIER);
		}
		assert_int_equal(answers, 32);
	}
	assert_int_equal(blk_peer_backend_state(&evil), XenbusStateConnected);
	assert_disk_untouched();
	blk_peer_assert_works(&evil);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown), {#name "_32", name, setup_32, teardown, NULL}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sectors_out_of_range), TEST(segments_out_of_range), TEST(numbers_of_segments), TEST(unknown_operations),
		TEST(pages_that_are_not_granted), TEST(pages_of_a_neighbour), TEST(readonly_grants), TEST(nothing_stays_mapped),
		TEST(same_id_twice), TEST(rewritten_after_posting), TEST(descriptors_rewritten), TEST(pages_stay_while_the_disk_works),
		TEST(index_out_of_range), TEST(index_goes_back), TEST(response_ring_full), TEST(more_than_the_ring_holds),
		TEST(closed_with_a_lie_under_way), TEST(readonly_disk), TEST(rubbish),
		{"persistent_without_end", persistent_without_end, setup_32, teardown, NULL},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
