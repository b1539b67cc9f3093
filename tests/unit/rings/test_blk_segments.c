/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests in both layouts, good ones and each field wrong. Slots are written through the ABI's structs (64) and by hand (32). */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <rings/blk_segments.h>

#define ID 0x0123456789abcdefull

static const struct blk_limits limits = {.sectors = 1000, .align = 1}, readonly = {.sectors = 1000, .align = 1, .readonly = true},
			       large = {.sectors = 1000, .align = 8}, endless = {.sectors = 1ull << 55, .align = 1};
static struct blk_request r;
static uint8_t slot[BLK_SLOT_SIZE_64];

static void put(unsigned at, uint64_t value, unsigned bytes)
{
	memcpy(slot + at, &value, bytes);
}

/* The header of any request, in a slot full of rubbish. */
static void head(enum blk_layout layout, uint8_t op, uint8_t second, uint64_t sector)
{
	memset(slot, 0xa5, sizeof(slot));
	put(0, op, 1);
	put(1, second, 1);
	put(layout == BLK_X86_64 ? 8 : 4, ID, 8);
	put(layout == BLK_X86_64 ? 16 : 12, sector, 8);
}

static void seg(enum blk_layout layout, unsigned i, gref_t gref, uint8_t first, uint8_t last)
{
	unsigned at = (layout == BLK_X86_64 ? 24 : 20) + 8 * i;

	put(at, gref, 4);
	put(at + 4, first, 1);
	put(at + 5, last, 1);
}

static enum blk_status parse(enum blk_layout layout, const struct blk_limits *l)
{
	enum blk_status status = blk_request_parse(slot, layout, l, &r);

	assert_true(r.id == ID);
	assert_int_equal(r.echo, slot[0] == BLKIF_OP_INDIRECT ? slot[1] : slot[0]);
	if (status == BLK_INVALID || status == BLK_UNSUPPORTED)
		assert_non_null(r.why);
	return status;
}

static void rw(enum blk_layout layout, uint8_t op, uint64_t sector, unsigned n)
{
	head(layout, op, (uint8_t)n, sector);
	for (unsigned i = 0; i < n && i < 11; i++)
		seg(layout, i, 100 + i, 0, 7);
}

static void protocols(void **state)
{
	enum blk_layout l;

	(void)state;
	assert_true(blk_layout_of(NULL, &l) && l == BLK_X86_64);
	assert_true(blk_layout_of("x86_64-abi", &l) && l == BLK_X86_64);
	assert_true(blk_layout_of("x86_32-abi", &l) && l == BLK_X86_32);
	assert_false(blk_layout_of("arm-abi", &l));
	assert_false(blk_layout_of("x86_32", &l));
	assert_false(blk_layout_of("x86_32-abi ", &l));
	assert_false(blk_layout_of("", &l));
	assert_int_equal(blk_slot_size(BLK_X86_64), sizeof(struct blkif_request));
	assert_int_equal(blk_slot_size(BLK_X86_32), 108);
}

static void good_reads_and_writes(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_READ, BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER, BLKIF_OP_FLUSH_DISKCACHE};

	(void)state;
	for (enum blk_layout l = BLK_X86_64; l <= BLK_X86_32; l++)
		for (unsigned i = 0; i < sizeof(ops); i++) {
			rw(l, ops[i], 40, 11);
			seg(l, 10, 7, 3, 3);
			assert_int_equal(parse(l, &limits), BLK_OK);
			assert_int_equal(r.op, ops[i]);
			assert_int_equal(r.nr_segs, 11);
			assert_int_equal(r.sector, 40);
			assert_int_equal(r.nr_sectors, 81);
			assert_int_equal(r.seg[9].gref, 109);
			assert_int_equal(r.seg[10].gref, 7);
			assert_int_equal(blk_segment_offset(&r.seg[10]), 1536);
			assert_int_equal(blk_segment_len(&r.seg[10]), 512);
			assert_int_equal(blk_segment_len(&r.seg[0]), 4096);
		}
}

static void the_abi_struct_agrees(void **state)
{
	struct blkif_request abi = {.operation = BLKIF_OP_WRITE, .nr_segments = 1, .id = ID, .sector_number = 5};

	(void)state;
	abi.seg[0] = (struct blkif_request_segment){.gref = 9, .first_sect = 1, .last_sect = 2};
	memcpy(slot, &abi, sizeof(abi));
	assert_int_equal(parse(BLK_X86_64, &limits), BLK_OK);
	assert_int_equal(r.sector, 5);
	assert_int_equal(r.nr_sectors, 2);
	assert_int_equal(r.seg[0].gref, 9);
}

static void numbers_of_segments(void **state)
{
	(void)state;
	for (enum blk_layout l = BLK_X86_64; l <= BLK_X86_32; l++)
		for (unsigned n = 0; n < 256; n++) {
			enum blk_status want = n >= 1 && n <= 11 ? BLK_OK : BLK_INVALID;

			rw(l, BLKIF_OP_READ, 0, n);
			assert_int_equal(parse(l, &limits), want);
			rw(l, BLKIF_OP_FLUSH_DISKCACHE, 0, n);
			assert_int_equal(parse(l, &limits), n == 0 ? BLK_OK : want);
		}
}

/* Whatever its sector field holds. */
static void empty_flush(void **state)
{
	(void)state;
	head(BLK_X86_64, BLKIF_OP_FLUSH_DISKCACHE, 0, ~0ull);
	assert_int_equal(parse(BLK_X86_64, &limits), BLK_OK);
	assert_int_equal(r.nr_segs, 0);
	head(BLK_X86_32, BLKIF_OP_WRITE_BARRIER, 0, ~0ull);
	assert_int_equal(parse(BLK_X86_32, &limits), BLK_OK);
	assert_int_equal(parse(BLK_X86_32, &readonly), BLK_OK);
}

static void sectors_of_a_segment(void **state)
{
	(void)state;
	for (unsigned first = 0; first < 256; first++)
		for (unsigned last = 0; last < 256; last++) {
			bool good = first <= last && last <= 7;

			rw(BLK_X86_64, BLKIF_OP_READ, 0, 2);
			seg(BLK_X86_64, 1, 1, (uint8_t)first, (uint8_t)last);
			assert_int_equal(parse(BLK_X86_64, &limits), good ? BLK_OK : BLK_INVALID);
			good = good && first == 0 && last == 7;
			assert_int_equal(parse(BLK_X86_64, &large), good ? BLK_OK : BLK_INVALID);
		}
}

static void ranges(void **state)
{
	static const struct {
		uint64_t sector;
		enum blk_status status;
	} cases[] = {
		{0, BLK_OK}, {992, BLK_OK}, {993, BLK_INVALID}, {1000, BLK_INVALID}, {1001, BLK_INVALID}, {1ull << 55, BLK_INVALID},
		{1ull << 63, BLK_INVALID}, {~0ull, BLK_INVALID}, {~0ull - 7, BLK_INVALID}, {~0ull - 8, BLK_INVALID},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rw(BLK_X86_64, BLKIF_OP_WRITE, cases[i].sector, 1);
		assert_int_equal(parse(BLK_X86_64, &limits), cases[i].status);
	}
	rw(BLK_X86_64, BLKIF_OP_WRITE, 4, 1);
	assert_int_equal(parse(BLK_X86_64, &large), BLK_INVALID);
	rw(BLK_X86_64, BLKIF_OP_WRITE, 8, 1);
	assert_int_equal(parse(BLK_X86_64, &large), BLK_OK);
}

static void readonly_is_readonly(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_WRITE, BLKIF_OP_WRITE_BARRIER, BLKIF_OP_FLUSH_DISKCACHE};

	(void)state;
	for (unsigned i = 0; i < sizeof(ops); i++) {
		rw(BLK_X86_64, ops[i], 0, 1);
		assert_int_equal(parse(BLK_X86_64, &readonly), BLK_INVALID);
	}
	head(BLK_X86_64, BLKIF_OP_DISCARD, 0, 0);
	put(24, 8, 8);
	assert_int_equal(parse(BLK_X86_64, &readonly), BLK_INVALID);
	head(BLK_X86_64, BLKIF_OP_INDIRECT, BLKIF_OP_WRITE, 0);
	put(2, 12, 2);
	assert_int_equal(parse(BLK_X86_64, &readonly), BLK_INVALID);
	rw(BLK_X86_64, BLKIF_OP_READ, 0, 1);
	assert_int_equal(parse(BLK_X86_64, &readonly), BLK_OK);
}

static void discards(void **state)
{
	(void)state;
	for (enum blk_layout l = BLK_X86_64; l <= BLK_X86_32; l++) {
		unsigned at = l == BLK_X86_64 ? 24 : 20;

		head(l, BLKIF_OP_DISCARD, 0xfe, 10);
		put(at, 990, 8);
		assert_int_equal(parse(l, &limits), BLK_OK);
		assert_false(r.secure);
		assert_int_equal(r.nr_segs, 0);
		assert_int_equal(r.nr_sectors, 990);
		put(1, BLKIF_DISCARD_SECURE, 1);
		assert_int_equal(parse(l, &limits), BLK_OK);
		assert_true(r.secure);
		put(at, 991, 8);
		assert_int_equal(parse(l, &limits), BLK_INVALID);
		put(at, ~0ull, 8);
		assert_int_equal(parse(l, &endless), BLK_INVALID);
		put(at, 0, 8);
		assert_int_equal(parse(l, &limits), BLK_INVALID);
	}
}

static void indirect(void **state)
{
	static struct blk_segment table[BLK_SEGMENTS_MAX];

	(void)state;
	for (unsigned i = 0; i < BLK_SEGMENTS_MAX; i++)
		table[i] = (struct blk_segment){.gref = i, .first = 2, .last = 4};
	for (enum blk_layout l = BLK_X86_64; l <= BLK_X86_32; l++) {
		head(l, BLKIF_OP_INDIRECT, BLKIF_OP_WRITE, 1);
		put(2, 256, 2);
		put(l == BLK_X86_64 ? 28 : 24, 77, 4);
		assert_int_equal(parse(l, &limits), BLK_MORE);
		assert_int_equal(r.page, 77);
		assert_int_equal(r.op, BLKIF_OP_WRITE);
		assert_int_equal(r.echo, BLKIF_OP_WRITE);
		assert_int_equal(blk_request_segments(&r, &limits, table), BLK_OK);
		assert_int_equal(r.nr_sectors, 768);
		assert_int_equal(r.seg[255].gref, 255);
		table[255].last = 8;
		assert_int_equal(blk_request_segments(&r, &limits, table), BLK_INVALID);
		table[255].last = 1;
		assert_int_equal(blk_request_segments(&r, &limits, table), BLK_INVALID);
		table[255].last = 4;
		r.sector = 233;
		assert_int_equal(blk_request_segments(&r, &limits, table), BLK_INVALID);
	}
}

static void indirect_numbers(void **state)
{
	static const uint8_t ops[] = {BLKIF_OP_WRITE_BARRIER, BLKIF_OP_FLUSH_DISKCACHE, BLKIF_OP_DISCARD, BLKIF_OP_INDIRECT, 99};
	static const unsigned counts[] = {0, 257, 512, 4096, 65535};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		head(BLK_X86_64, BLKIF_OP_INDIRECT, ops[i], 0);
		put(2, 12, 2);
		assert_int_equal(parse(BLK_X86_64, &limits), BLK_INVALID);
		head(BLK_X86_64, BLKIF_OP_INDIRECT, BLKIF_OP_READ, 0);
		put(2, counts[i], 2);
		assert_int_equal(parse(BLK_X86_64, &limits), BLK_INVALID);
	}
}

static void unknown_operations(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		rw(BLK_X86_64, (uint8_t)op, 0, 1);
		if (op > BLKIF_OP_INDIRECT || op == BLKIF_OP_RESERVED_1)
			assert_int_equal(parse(BLK_X86_64, &limits), BLK_UNSUPPORTED);
	}
	assert_int_equal(blk_status_rsp(BLK_UNSUPPORTED), BLKIF_RSP_EOPNOTSUPP);
	assert_int_equal(blk_status_rsp(BLK_INVALID), BLKIF_RSP_ERROR);
	assert_int_equal(blk_status_rsp(BLK_OK), BLKIF_RSP_OKAY);
}

static void responses(void **state)
{
	struct blkif_response abi = {.id = ID, .operation = 6, .status = -2};
	uint8_t out[BLK_RSP_SIZE_64];

	(void)state;
	memset(out, 0xff, sizeof(out));
	assert_int_equal(blk_response_build(BLK_X86_64, ID, 6, -2, out), sizeof(abi));
	assert_memory_equal(out, &abi, 9);
	assert_memory_equal(out + 10, (uint8_t *)&abi + 10, 2);
	for (unsigned i = 12; i < 16; i++)
		assert_int_equal(out[i], 0);
	assert_int_equal(out[9], 0);
	assert_int_equal(blk_response_build(BLK_X86_32, ID, 6, -2, out), 12);
	assert_memory_equal(out, &abi, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(protocols), cmocka_unit_test(good_reads_and_writes), cmocka_unit_test(the_abi_struct_agrees),
		cmocka_unit_test(numbers_of_segments), cmocka_unit_test(empty_flush), cmocka_unit_test(sectors_of_a_segment),
		cmocka_unit_test(ranges), cmocka_unit_test(readonly_is_readonly), cmocka_unit_test(discards), cmocka_unit_test(indirect),
		cmocka_unit_test(indirect_numbers), cmocka_unit_test(unknown_operations), cmocka_unit_test(responses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
