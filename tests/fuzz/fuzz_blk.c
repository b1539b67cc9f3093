/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a blkif ring that the front end rewrites between any two steps, taken apart as blkback does. Whatever parses lies on the disk, its segments
 * within their pages, its lengths add up; responses come in the layout's size. No access leaves the ring.
 */
#include <rings/back_ring.h>
#include <rings/blk_segments.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rewriting {
	uint16_t at;
	uint8_t value[14];
};

struct input { /* the head of the data */
	uint32_t sectors;
	uint8_t flags; /* layout, read-only, large sectors */
	struct ring_indices indices;
};

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check(const struct blk_request *r, const struct blk_limits *limits)
{
	uint64_t sum = 0;

	must(r->nr_segs <= BLK_SEGMENTS_MAX);
	for (unsigned i = 0; i < r->nr_segs; i++) {
		must(blk_segment_offset(&r->seg[i]) + blk_segment_len(&r->seg[i]) <= SLUICE_PAGE_SIZE);
		must(blk_segment_len(&r->seg[i]) > 0);
		sum += r->seg[i].last - r->seg[i].first + 1u;
	}
	must(r->op == BLKIF_OP_DISCARD || sum == r->nr_sectors);
	must(r->sector <= limits->sectors && r->nr_sectors <= limits->sectors - r->sector);
	must(r->sector % limits->align == 0 && r->nr_sectors % limits->align == 0);
	must(!limits->readonly || r->op == BLKIF_OP_READ || (r->op != BLKIF_OP_DISCARD && r->nr_segs == 0));
}

static void work(struct back_ring *ring, enum blk_layout layout, const struct blk_limits *limits, const uint8_t *descriptors)
{
	static struct blk_request r;
	uint8_t slot[BLK_SLOT_SIZE_64], rsp[BLK_RSP_SIZE_64];
	enum blk_status status;
	int n = back_ring_pending(ring);

	must(n == -EPROTO || (n >= 0 && (uint32_t)n <= ring->nr));
	for (; n > 0; n--) {
		blk_slot_read(ring, layout, slot);
		back_ring_consume(ring, 1);
		status = blk_request_parse(slot, layout, limits, &r);
		must(r.echo == slot[0] || (slot[0] == BLKIF_OP_INDIRECT && r.echo == slot[1]));
		if (status == BLK_MORE)
			status = blk_request_segments(&r, limits, descriptors);
		if (status == BLK_OK)
			check(&r, limits);
		else
			must(r.why != NULL);
		if (blk_response_build(layout, r.id, r.echo, blk_status_rsp(status), rsp) == BLK_RSP_SIZE_64)
			back_ring_put(ring, rsp, BLK_RSP_SIZE_64);
		else
			back_ring_put(ring, rsp, BLK_RSP_SIZE_32);
	}
	back_ring_push(ring);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t descriptors[BLK_SEGMENTS_MAX * sizeof(struct blk_segment)];
	struct blk_limits limits;
	enum blk_layout layout;
	struct rewriting w;
	struct back_ring ring;
	struct input in;
	uint8_t *page;

	if (size < sizeof(in))
		return 0;
	memcpy(&in, data, sizeof(in));
	data += sizeof(in);
	size -= sizeof(in);
	layout = in.flags & 1 ? BLK_X86_32 : BLK_X86_64;
	limits = (struct blk_limits){.sectors = in.sectors, .readonly = in.flags & 2, .align = in.flags & 4 ? 8 : 1};
	page = aligned_alloc(SLUICE_PAGE_SIZE, SLUICE_PAGE_SIZE); /* its ends are guarded by ASan */
	if (!page)
		return 0;
	memset(page, 0, SLUICE_PAGE_SIZE);
	memcpy(page, &in.indices, sizeof(in.indices));
	memset(descriptors, 0, sizeof(descriptors));
	memcpy(descriptors, data, size < sizeof(descriptors) ? size : sizeof(descriptors));
	if (!back_ring_attach(&ring, page, 1, blk_slot_size(layout)))
		for (; size >= sizeof(w); data += sizeof(w), size -= sizeof(w)) {
			memcpy(&w, data, sizeof(w));
			memcpy(page + w.at % (SLUICE_PAGE_SIZE - sizeof(w.value)), w.value, sizeof(w.value));
			work(&ring, layout, &limits, descriptors);
		}
	free(page);
	return 0;
}
