/* SPDX-License-Identifier: BSD-3-Clause */
/* Parses blkif requests (blk_segments.h). Pure: private memory in, private memory out. */
#include <rings/blk_segments.h>

/* ---- where the fields are: in x86-32's layout 64-bit fields are aligned to 4 bytes only ---- */

struct layout {
	uint8_t id, sector, seg;      /* READ, WRITE, WRITE_BARRIER, FLUSH_DISKCACHE */
	uint8_t discard_sectors;      /* DISCARD; its id and sector are where the others' are */
	uint8_t indirect_grefs;       /* INDIRECT; likewise */
	uint8_t rsp_size;
};

static const struct layout layouts[] = {
	[BLK_X86_64] = {.id = 8, .sector = 16, .seg = 24, .discard_sectors = 24, .indirect_grefs = 28, .rsp_size = BLK_RSP_SIZE_64},
	[BLK_X86_32] = {.id = 4, .sector = 12, .seg = 20, .discard_sectors = 20, .indirect_grefs = 24, .rsp_size = BLK_RSP_SIZE_32},
};

enum {
	AT_OP = 0,
	AT_NR_SEGMENTS = 1,  /* uint8_t */
	AT_DISCARD_FLAG = 1, /* uint8_t */
	AT_INDIRECT_OP = 1,  /* uint8_t */
	AT_INDIRECT_NR = 2,  /* uint16_t */
};

SLUICE_ABI_AT(struct blkif_request, nr_segments, AT_NR_SEGMENTS);
SLUICE_ABI_AT(struct blkif_request_discard, flag, AT_DISCARD_FLAG);
SLUICE_ABI_AT(struct blkif_request_indirect, indirect_op, AT_INDIRECT_OP);
SLUICE_ABI_AT(struct blkif_request_indirect, nr_segments, AT_INDIRECT_NR);
#ifdef __x86_64__
SLUICE_ABI_AT(struct blkif_request, id, 8);
SLUICE_ABI_AT(struct blkif_request, sector_number, 16);
SLUICE_ABI_AT(struct blkif_request, seg, 24);
SLUICE_ABI_AT(struct blkif_request_discard, nr_sectors, 24);
SLUICE_ABI_AT(struct blkif_request_indirect, indirect_grefs, 28);
SLUICE_ABI_AT(struct blkif_response, status, 10);
#endif

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

static bool same_text(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

bool blk_layout_of(const char *protocol, enum blk_layout *out)
{
	if (!protocol || same_text(protocol, XEN_IO_PROTO_ABI_X86_64))
		*out = BLK_X86_64;
	else if (same_text(protocol, XEN_IO_PROTO_ABI_X86_32))
		*out = BLK_X86_32;
	else
		return false;
	return true;
}

/* ---- checks ---- */

static enum blk_status invalid(struct blk_request *r, const char *why)
{
	r->why = why;
	return BLK_INVALID;
}

static enum blk_status check_range(struct blk_request *r, const struct blk_limits *limits)
{
	if (r->sector > limits->sectors || r->nr_sectors > limits->sectors - r->sector)
		return invalid(r, "sectors beyond the end of the disk");
	if (r->sector % limits->align || r->nr_sectors % limits->align)
		return invalid(r, "sectors not aligned to the disk's sector size");
	return BLK_OK;
}

/* The segments are in r->seg now. */
static enum blk_status check_segments(struct blk_request *r, const struct blk_limits *limits)
{
	r->nr_sectors = 0;
	for (unsigned i = 0; i < r->nr_segs; i++) {
		const struct blk_segment *s = &r->seg[i];

		if (s->first > s->last)
			return invalid(r, "a segment with first_sect after last_sect");
		if (s->last >= BLK_PAGE_SECTORS)
			return invalid(r, "a segment beyond its page");
		if (s->first % limits->align || (s->last + 1u) % limits->align)
			return invalid(r, "a segment not aligned to the disk's sector size");
		r->nr_sectors += s->last - s->first + 1u;
	}
	return check_range(r, limits);
}

static enum blk_status parse_direct(const uint8_t *slot, const struct layout *l, const struct blk_limits *limits, struct blk_request *r)
{
	bool may_be_empty = r->op == BLKIF_OP_FLUSH_DISKCACHE || r->op == BLKIF_OP_WRITE_BARRIER;

	r->nr_segs = slot[AT_NR_SEGMENTS];
	if (r->nr_segs > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		return invalid(r, "more than 11 segments");
	if (r->nr_segs == 0 && !may_be_empty)
		return invalid(r, "no segments");
	if (r->nr_segs == 0) {
		r->sector = 0; /* front ends leave anything there */
		return BLK_OK;
	}
	if (limits->readonly && r->op != BLKIF_OP_READ)
		return invalid(r, "a write to a read-only disk");
	__builtin_memcpy(r->seg, slot + l->seg, r->nr_segs * sizeof(r->seg[0]));
	return check_segments(r, limits);
}

static enum blk_status parse_indirect(const uint8_t *slot, const struct layout *l, const struct blk_limits *limits, struct blk_request *r)
{
	r->op = r->echo = slot[AT_INDIRECT_OP];
	r->nr_segs = get16(slot + AT_INDIRECT_NR);
	r->page = get32(slot + l->indirect_grefs);
	if (r->op != BLKIF_OP_READ && r->op != BLKIF_OP_WRITE)
		return invalid(r, "an indirect request that is neither read nor write");
	if (r->nr_segs == 0 || r->nr_segs > BLK_SEGMENTS_MAX)
		return invalid(r, "an indirect request with no or too many segments");
	if (limits->readonly && r->op == BLKIF_OP_WRITE)
		return invalid(r, "a write to a read-only disk");
	return BLK_MORE;
}

static enum blk_status parse_discard(const uint8_t *slot, const struct layout *l, const struct blk_limits *limits, struct blk_request *r)
{
	r->secure = slot[AT_DISCARD_FLAG] & BLKIF_DISCARD_SECURE;
	r->nr_sectors = get64(slot + l->discard_sectors);
	if (limits->readonly)
		return invalid(r, "a discard on a read-only disk");
	if (r->nr_sectors == 0)
		return invalid(r, "a discard of no sectors");
	return check_range(r, limits);
}

enum blk_status blk_request_parse(const void *slot, enum blk_layout layout, const struct blk_limits *limits, struct blk_request *r)
{
	const struct layout *l = &layouts[layout];
	const uint8_t *s = slot;

	__builtin_memset(r, 0, offsetof(struct blk_request, seg));
	r->id = get64(s + l->id);
	r->sector = get64(s + l->sector);
	r->op = r->echo = s[AT_OP];
	switch (r->op) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
	case BLKIF_OP_WRITE_BARRIER:
	case BLKIF_OP_FLUSH_DISKCACHE:
		return parse_direct(s, l, limits, r);
	case BLKIF_OP_INDIRECT:
		return parse_indirect(s, l, limits, r);
	case BLKIF_OP_DISCARD:
		return parse_discard(s, l, limits, r);
	default:
		r->why = "an operation that does not exist";
		return BLK_UNSUPPORTED;
	}
}

enum blk_status blk_request_segments(struct blk_request *r, const struct blk_limits *limits, const void *descriptors)
{
	__builtin_memcpy(r->seg, descriptors, r->nr_segs * sizeof(r->seg[0]));
	return check_segments(r, limits);
}

size_t blk_response_build(enum blk_layout layout, uint64_t id, uint8_t op, int16_t status, uint8_t out[BLK_RSP_SIZE_64])
{
	__builtin_memset(out, 0, BLK_RSP_SIZE_64);
	__builtin_memcpy(out, &id, sizeof(id));
	out[8] = op;
	__builtin_memcpy(out + 10, &status, sizeof(status));
	return layouts[layout].rsp_size;
}
