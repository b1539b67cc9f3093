/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blkfront's data path. Ios that are not answered form one list in the order in which they were submitted; a pointer into it says which comes next into the
 * ring. When a connection ends, that pointer goes back to the front: that is all the shadow copy there is. A large io is one indirect request, or several.
 */
#include "blkfront_private.h"
#include <errno.h>
#include <string.h>

#define PAGE_SECTORS (SLUICE_PAGE_SIZE / BLKFRONT_SECTOR)
#define HEAD offsetof(struct blkif_request, seg[1]) /* of a request */

_Static_assert(BLKFRONT_IO_PAGES <= SLUICE_PAGE_SIZE / sizeof(struct blkif_request_segment), "the list of an indirect request is one page");
_Static_assert(BLKFRONT_RING_PAGES * SLUICE_PAGE_SIZE < 2 * BLKFRONT_SLOTS * sizeof(union blkif_sring_entry), "as many ids as slots");
_Static_assert(HEAD >= offsetof(struct blkif_request_indirect, indirect_grefs[1]), "the one list's reference");
_Static_assert(HEAD >= offsetof(struct blkif_request_discard, nr_sectors) + sizeof(uint64_t), "the whole of a discard");
_Static_assert(sizeof(struct blkif_request_segment) == 8, "xen/io/blkif.h");

/* The vbd is given up: the next blkfront_step closes it. */
static void broken(struct blkfront *bf, const char *why)
{
	if (!bf->broken)
		bf->broken = why;
}

static bool usable(const struct blkfront *bf)
{
	return bf->connected && !bf->broken;
}

static bool moves_data(const struct blkfront_io *io)
{
	return io->op == BLKFRONT_READ || io->op == BLKFRONT_WRITE;
}

/* ---- the end of an io ---- */

static void count(struct blkfront_stats *s, const struct blkfront_io *io)
{
	switch (io->op) {
	case BLKFRONT_READ:
		s->reads++;
		s->read_bytes += io->len;
		break;
	case BLKFRONT_WRITE:
		s->writes++;
		s->write_bytes += io->len;
		break;
	case BLKFRONT_FLUSH:
		s->flushes++;
		break;
	default:
		s->discards++;
	}
}

static void unlink_io(struct blkfront *bf, struct blkfront_io *io)
{
	*(io->prev ? &io->prev->next : &bf->first) = io->next;
	*(io->next ? &io->next->prev : &bf->last) = io->prev;
	if (bf->unissued == io)
		bf->unissued = io->next;
}

/* The bytes of page i that belong to the io. */
static size_t page_bytes(const struct blkfront_io *io, unsigned i)
{
	uint64_t left = io->len - (uint64_t)i * SLUICE_PAGE_SIZE;

	return left < SLUICE_PAGE_SIZE ? (size_t)left : SLUICE_PAGE_SIZE;
}

static unsigned io_pages(const struct blkfront_io *io)
{
	return (unsigned)((io->len + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE);
}

static void copy_pages(const struct blkfront *bf, struct blkfront_io *io, bool out)
{
	for (unsigned i = 0; i < io->nr_pages; i++) {
		uint8_t *theirs = blkfront_page(bf, io, i), *ours = (uint8_t *)io->data + (size_t)i * SLUICE_PAGE_SIZE;

		shm_copy_bulk(out ? ours : theirs, out ? theirs : ours, page_bytes(io, i));
	}
}

static void finish(struct blkfront *bf, struct blkfront_io *io)
{
	unlink_io(bf, io);
	if (io->data && io->nr_pages && moves_data(io)) {
		if (io->op == BLKFRONT_READ && !io->result)
			copy_pages(bf, io, true);
		blkfront_pages_give(bf, io);
	}
	if (io->result)
		bf->stats.errors++;
	else
		count(&bf->stats, io);
	io->next = NULL;
	*(bf->done_last ? &bf->done_last->next : &bf->done_first) = io;
	bf->done_last = io;
}

void blkfront_fail_all(struct blkfront *bf, int error)
{
	while (bf->first) {
		bf->first->result = error;
		finish(bf, bf->first);
	}
}

/* ---- requests ---- */

/* Of a request with one segment only the part that says something: the back end need not read the rest, and then its cache line stays where it is. */
static void put(struct blkfront *bf, unsigned id, struct blkfront_io *io, const void *req, uint8_t op, uint8_t indirect_op)
{
	struct blkfront_queue *q = &bf->queue;

	q->nr_free--;
	q->shadow[id].io = io;
	q->shadow[id].op = op;
	q->shadow[id].indirect_op = indirect_op;
	io->unanswered++;
	bf->stats.requests++;
	if (((const struct blkif_request *)req)->nr_segments > 1)
		front_ring_put(&q->ring, req, sizeof(struct blkif_request));
	else
		front_ring_put(&q->ring, req, HEAD);
}

/* Into zeroed memory: its padding goes to the peer, too. */
static void put_segment(const struct blkfront *bf, const struct blkfront_io *io, unsigned i, struct blkif_request_segment *s)
{
	s->gref = bf->pool.grant[io->page[i]].gref;
	s->last_sect = (uint8_t)(page_bytes(io, i) / BLKFRONT_SECTOR - 1);
}

static void put_direct(struct blkfront *bf, unsigned id, struct blkfront_io *io, unsigned n)
{
	struct blkif_request req;

	memset(&req, 0, sizeof(req));
	req.operation = io->op == BLKFRONT_READ ? BLKIF_OP_READ : BLKIF_OP_WRITE;
	req.nr_segments = (uint8_t)n;
	req.handle = bf->handle;
	req.id = id;
	req.sector_number = io->sector + (uint64_t)io->issued * PAGE_SECTORS;
	for (unsigned i = 0; i < n; i++)
		put_segment(bf, io, io->issued + i, &req.seg[i]);
	put(bf, id, io, &req, req.operation, req.operation);
}

static void put_indirect(struct blkfront *bf, unsigned id, struct blkfront_io *io, unsigned n)
{
	const struct blkfront_grant *list = &bf->queue.shadow[id].segments;
	union {
		struct blkif_request whole;
		struct blkif_request_indirect indirect;
	} req;

	memset(&req, 0, sizeof(req));
	req.indirect.operation = BLKIF_OP_INDIRECT;
	req.indirect.indirect_op = io->op == BLKFRONT_READ ? BLKIF_OP_READ : BLKIF_OP_WRITE;
	req.indirect.nr_segments = (uint16_t)n;
	req.indirect.handle = bf->handle;
	req.indirect.id = id;
	req.indirect.sector_number = io->sector + (uint64_t)io->issued * PAGE_SECTORS;
	req.indirect.indirect_grefs[0] = list->gref;
	for (unsigned i = 0; i < n; i++) {
		struct blkif_request_segment s;

		memset(&s, 0, sizeof(s));
		put_segment(bf, io, io->issued + i, &s);
		shm_copy_out((uint8_t *)list->page + i * sizeof(s), &s, sizeof(s));
	}
	put(bf, id, io, &req, BLKIF_OP_INDIRECT, req.indirect.indirect_op);
}

/* The next pages of a read or write, as many as one request takes. */
static void put_pages(struct blkfront *bf, unsigned id, struct blkfront_io *io)
{
	unsigned n = io_pages(io) - io->issued;

	if (n > bf->info.max_segments)
		n = bf->info.max_segments;
	if (n > BLKIF_MAX_SEGMENTS_PER_REQUEST && !blkfront_segments_page(bf, &bf->queue.shadow[id]))
		n = BLKIF_MAX_SEGMENTS_PER_REQUEST;
	if (n > BLKIF_MAX_SEGMENTS_PER_REQUEST)
		put_indirect(bf, id, io, n);
	else
		put_direct(bf, id, io, n);
	io->issued = (uint16_t)(io->issued + n);
	io->all_issued = io->issued == io_pages(io);
}

static void put_flush(struct blkfront *bf, unsigned id, struct blkfront_io *io)
{
	struct blkif_request req;

	memset(&req, 0, sizeof(req));
	req.operation = bf->can_barrier ? BLKIF_OP_WRITE_BARRIER : BLKIF_OP_FLUSH_DISKCACHE;
	req.handle = bf->handle;
	req.id = id;
	put(bf, id, io, &req, req.operation, req.operation);
	io->all_issued = true;
}

static void put_discard(struct blkfront *bf, unsigned id, struct blkfront_io *io)
{
	union {
		struct blkif_request whole;
		struct blkif_request_discard discard;
	} req;

	memset(&req, 0, sizeof(req));
	req.discard.operation = BLKIF_OP_DISCARD;
	req.discard.flag = io->op == BLKFRONT_SECURE_DISCARD ? BLKIF_DISCARD_SECURE : 0;
	req.discard.handle = bf->handle;
	req.discard.id = id;
	req.discard.sector_number = io->sector;
	req.discard.nr_sectors = io->len / BLKFRONT_SECTOR;
	put(bf, id, io, &req, BLKIF_OP_DISCARD, BLKIF_OP_DISCARD);
	io->all_issued = true;
}

/* Can this disk do what is asked? 0 or the io's result. */
static int check(const struct blkfront *bf, const struct blkfront_io *io)
{
	const struct blkfront_info *info = &bf->info;
	uint64_t mask = info->sector_size - 1, sectors = io->len / BLKFRONT_SECTOR;

	if (io->op == BLKFRONT_FLUSH)
		return info->can_flush ? 0 : -EOPNOTSUPP;
	if (!io->len || io->len & mask || (io->sector * BLKFRONT_SECTOR & mask))
		return -EINVAL;
	if (moves_data(io) && (io->len > BLKFRONT_IO_MAX || (!io->data && io->nr_pages < io_pages(io))))
		return -EINVAL;
	if (sectors > info->sectors || io->sector > info->sectors - sectors)
		return -ERANGE;
	if (io->op != BLKFRONT_READ && info->readonly)
		return -EROFS;
	if ((io->op == BLKFRONT_DISCARD && !info->can_discard) || (io->op == BLKFRONT_SECURE_DISCARD && !info->can_secure_discard))
		return -EOPNOTSUPP;
	return 0;
}

/* The pages of an io with a buffer of the caller's. -EAGAIN: not now. */
static int fill(struct blkfront *bf, struct blkfront_io *io)
{
	int rc;

	if (!io->data || io->nr_pages || !moves_data(io))
		return 0;
	rc = blkfront_pages_take(bf, io);
	if (!rc && io->op == BLKFRONT_WRITE)
		copy_pages(bf, io, false);
	return rc;
}

/* Before an io's first request. */
static int prepare(struct blkfront *bf, struct blkfront_io *io)
{
	int rc = check(bf, io);

	return rc ? rc : fill(bf, io);
}

/* Put what fits of the io at `unissued` into the ring. True when the next one may be looked at. */
static bool issue(struct blkfront *bf, struct blkfront_io *io)
{
	struct blkfront_queue *q = &bf->queue;
	int rc = io->issued ? 0 : prepare(bf, io);

	if (rc == -EAGAIN)
		return false;
	if (rc) {
		io->result = rc;
		finish(bf, io);
		return true;
	}
	while (!io->all_issued && q->nr_free) {
		unsigned id = q->free_id[q->nr_free - 1];

		if (moves_data(io))
			put_pages(bf, id, io);
		else if (io->op == BLKFRONT_FLUSH)
			put_flush(bf, id, io);
		else
			put_discard(bf, id, io);
	}
	if (io->all_issued)
		bf->unissued = io->next;
	return io->all_issued;
}

void blkfront_submit(struct blkfront *bf, struct blkfront_io *io)
{
	io->result = 0;
	io->issued = io->unanswered = 0;
	io->all_issued = false;
	io->next = NULL;
	io->prev = bf->last;
	*(bf->last ? &bf->last->next : &bf->first) = io;
	bf->last = io;
	if (!bf->unissued)
		bf->unissued = io;
}

void blkfront_kick(struct blkfront *bf)
{
	if (bf->gone)
		blkfront_fail_all(bf, bf->gone);
	if (!usable(bf))
		return;
	while (bf->unissued && bf->queue.nr_free && issue(bf, bf->unissued))
		;
	if (front_ring_push(&bf->queue.ring))
		port_evtchn_notify(bf->queue.port);
}

/* ---- responses ---- */

/* What the back end cannot do after all is not offered any longer. */
static void forget_feature(struct blkfront_info *info, enum blkfront_op op)
{
	if (op == BLKFRONT_FLUSH)
		info->can_flush = false;
	else if (op == BLKFRONT_DISCARD)
		info->can_discard = false;
	if (op == BLKFRONT_DISCARD || op == BLKFRONT_SECURE_DISCARD)
		info->can_secure_discard = false;
}

static bool complete(struct blkfront *bf, const struct blkif_response *rsp)
{
	struct blkfront_queue *q = &bf->queue;
	struct blkfront_shadow *s = &q->shadow[rsp->id < q->ring.nr ? rsp->id : 0];
	struct blkfront_io *io = s->io;

	if (rsp->id >= q->ring.nr || !io || (rsp->operation != s->op && rsp->operation != s->indirect_op))
		return false;
	s->io = NULL;
	q->free_id[q->nr_free++] = (uint8_t)rsp->id;
	if (rsp->status == BLKIF_RSP_EOPNOTSUPP) {
		io->result = -EOPNOTSUPP;
		forget_feature(&bf->info, io->op);
	} else if (rsp->status != BLKIF_RSP_OKAY) {
		io->result = -EIO;
	}
	if (!--io->unanswered && io->all_issued)
		finish(bf, io);
	return true;
}

static void reap(struct blkfront *bf)
{
	struct front_ring *ring = &bf->queue.ring;
	struct blkif_response rsp;
	int n = front_ring_pending(ring);

	if (n < 0)
		return broken(bf, "its response index is out of range");
	for (int i = 0; i < n; i++) {
		front_ring_read(ring, (uint32_t)i, &rsp, sizeof(rsp));
		if (!complete(bf, &rsp))
			return broken(bf, "it answered a request that was not made");
	}
	front_ring_consume(ring, (uint32_t)n);
}

unsigned blkfront_poll(struct blkfront *bf, struct blkfront_io **done, unsigned n)
{
	unsigned given = 0;

	if (usable(bf))
		reap(bf);
	if (bf->unissued)
		blkfront_kick(bf);
	for (; given < n && bf->done_first; given++) {
		done[given] = bf->done_first;
		bf->done_first = bf->done_first->next;
	}
	if (!bf->done_first)
		bf->done_last = NULL;
	return given;
}

/* ---- sleeping, starting, stopping ---- */

bool blkfront_arm(struct blkfront *bf)
{
	if (bf->broken || bf->done_first || (bf->gone && bf->first) || !xenbus_arm(bf->xb))
		return false;
	if (!bf->connected)
		return true;
	port_evtchn_take(bf->queue.port);
	return !front_ring_arm(&bf->queue.ring);
}

void blkfront_ring_start(struct blkfront *bf)
{
	struct blkfront_queue *q = &bf->queue;

	q->nr_free = q->ring.nr;
	for (unsigned i = 0; i < q->nr_free; i++)
		q->free_id[i] = (uint8_t)(q->nr_free - 1 - i);
	bf->broken = NULL;
	bf->connected = true;
	bf->stats.connections++;
	blkfront_kick(bf);
}

void blkfront_ring_stop(struct blkfront *bf)
{
	for (struct blkfront_io *io = bf->first; io; io = io->next) {
		bf->stats.requeued += io->unanswered > 0;
		io->result = 0;
		io->issued = io->unanswered = 0;
		io->all_issued = false;
	}
	bf->unissued = bf->first;
	for (unsigned i = 0; i < BLKFRONT_SLOTS; i++)
		bf->queue.shadow[i].io = NULL;
	bf->connected = false;
}
