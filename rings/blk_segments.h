/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From one blkif request slot to a checked description of what is asked (xen/io/blkif.h). Called by blkback; pure: works on private copies only.
 *
 *	status = blk_request_parse(copy of the slot, layout, &limits, &r);
 *	if (status == BLK_MORE)                      the segments lie in a granted page, r.page:
 *		copy r.nr_segs descriptors from there, once;
 *		status = blk_request_segments(&r, &limits, the copy);
 *	if (status != BLK_OK) answer r.id, r.echo with blk_status_rsp(status);
 *
 * Sectors are 512 bytes, whatever the disk's sector-size is, as in Linux's and FreeBSD's halves and in the ABI's later editions; a disk with larger
 * sectors takes only what is aligned to them.
 */
#ifndef RINGS_BLK_SEGMENTS_H
#define RINGS_BLK_SEGMENTS_H

#include <rings/back_ring.h>
#include <sluice/abi.h>

#define BLK_SECTOR_SHIFT 9
#define BLK_SECTOR_SIZE 512u
#define BLK_PAGE_SECTORS (SLUICE_PAGE_SIZE / BLK_SECTOR_SIZE)
#define BLK_SEGMENTS_MAX 256u /* of an indirect request: what we announce as feature-max-indirect-segments */

/* The guest's machine ABI: the `protocol` key. They differ in the alignment of 64-bit fields. */
enum blk_layout { BLK_X86_64, BLK_X86_32 };

#define BLK_SLOT_SIZE_64 112u
#define BLK_SLOT_SIZE_32 108u
#define BLK_SLOT_HEAD 32u /* all of a request with at most one segment, in both layouts */
#define BLK_RSP_SIZE_64 16u
#define BLK_RSP_SIZE_32 12u

/* The layout that a `protocol` key names; NULL (no such key) is that of this machine. False: none that we know. */
bool blk_layout_of(const char *protocol, enum blk_layout *out);

static inline size_t blk_slot_size(enum blk_layout layout)
{
	return layout == BLK_X86_32 ? BLK_SLOT_SIZE_32 : BLK_SLOT_SIZE_64;
}

/*
 * Private copy of the next request that was not consumed: each byte once, and only those that the request has, the others are zero. The segments after the first
 * lie in a cache line of their own, which otherwise travels from the front end's core and back for nothing.
 */
static inline void blk_slot_read(const struct back_ring *r, enum blk_layout layout, uint8_t slot[BLK_SLOT_SIZE_64])
{
	const volatile uint8_t *rest = (const volatile uint8_t *)back_ring_slot(r, 0) + BLK_SLOT_HEAD;

	back_ring_read(r, 0, slot, BLK_SLOT_HEAD);
	if (slot[1] <= 1) /* nr_segments; DISCARD's flag and INDIRECT's operation are 0 or 1 */
		__builtin_memset(slot + BLK_SLOT_HEAD, 0, BLK_SLOT_SIZE_64 - BLK_SLOT_HEAD);
	else if (layout == BLK_X86_32)
		shm_copy_in(slot + BLK_SLOT_HEAD, rest, BLK_SLOT_SIZE_32 - BLK_SLOT_HEAD);
	else
		shm_copy_in(slot + BLK_SLOT_HEAD, rest, BLK_SLOT_SIZE_64 - BLK_SLOT_HEAD);
}

/* One piece of a granted page; as it lies in the slot and in indirect pages, in every layout. */
struct blk_segment {
	gref_t gref;
	uint8_t first, last; /* sectors of the page, inclusive: first <= last < BLK_PAGE_SECTORS */
	uint16_t reserved;
};
SLUICE_ABI_SIZE(struct blk_segment, 8);
SLUICE_ABI_AT(struct blk_segment, first, offsetof(struct blkif_request_segment, first_sect));
SLUICE_ABI_AT(struct blk_segment, last, offsetof(struct blkif_request_segment, last_sect));

static inline uint32_t blk_segment_offset(const struct blk_segment *s)
{
	return (uint32_t)s->first << BLK_SECTOR_SHIFT;
}

static inline uint32_t blk_segment_len(const struct blk_segment *s)
{
	return (uint32_t)(s->last - s->first + 1) << BLK_SECTOR_SHIFT;
}

/* What the disk allows. */
struct blk_limits {
	uint64_t sectors; /* its size; at most 2^55 */
	uint32_t align;   /* sectors of 512 bytes in one of its own: 1, 8 */
	bool readonly;
};

enum blk_status {
	BLK_OK,
	BLK_MORE,        /* see above */
	BLK_INVALID,     /* answer BLKIF_RSP_ERROR */
	BLK_UNSUPPORTED, /* answer BLKIF_RSP_EOPNOTSUPP */
};

struct blk_request {
	uint64_t id;         /* the guest's cookie, echoed and nothing else */
	uint8_t echo;        /* operation of the response; of an indirect request the one inside: as xen-blkback answers, and xen-blkfront gives a disk up otherwise */
	uint8_t op;          /* BLKIF_OP_READ, _WRITE, _WRITE_BARRIER, _FLUSH_DISKCACHE or _DISCARD; of an indirect request the one inside */
	bool secure;         /* DISCARD: BLKIF_DISCARD_SECURE */
	uint16_t nr_segs;    /* 0 for DISCARD, and for a FLUSH_DISKCACHE or WRITE_BARRIER that carries no data */
	uint64_t sector;     /* sector + nr_sectors <= limits.sectors */
	uint64_t nr_sectors; /* the sum over the segments; DISCARD: how many */
	gref_t page;         /* with BLK_MORE: the page of descriptors */
	const char *why;     /* after an error: what was wrong, for one line of the log */
	struct blk_segment seg[BLK_SEGMENTS_MAX];
};

/* slot: blk_slot_size bytes. r->id and r->echo are set in every case; after an error all else but why is without meaning. */
enum blk_status blk_request_parse(const void *slot, enum blk_layout layout, const struct blk_limits *limits, struct blk_request *r);

/* The second half, for BLK_MORE. descriptors: r->nr_segs * sizeof(struct blk_segment) bytes of r->page. BLK_OK or BLK_INVALID. */
enum blk_status blk_request_segments(struct blk_request *r, const struct blk_limits *limits, const void *descriptors);

static inline int16_t blk_status_rsp(enum blk_status status)
{
	if (status == BLK_OK)
		return BLKIF_RSP_OKAY;
	return status == BLK_UNSUPPORTED ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;
}

/* Write a response as the layout has it, unused bytes 0; returns its size, 16 or 12. */
size_t blk_response_build(enum blk_layout layout, uint64_t id, uint8_t op, int16_t status, uint8_t out[BLK_RSP_SIZE_64]);

#endif
