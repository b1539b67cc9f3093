/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path of a vbd. One burst: slots are copied into private requests, each once, and parsed; descriptors of indirect requests are fetched in one batch of
 * grant copies, pages mapped in another; ios are queued and started with one kick; what ended is unmapped in one batch and answered, in any order, with
 * one notification. Called by the poller through blkback_connect.c.
 */
#include "blkback.h"
#include <errno.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#define PACE_WEIGHT 8u /* of the moving mean */
#define ENDED 64u /* ios collected at a time */

static void broken(struct blkback_vbd *vbd)
{
	vbd->live = false;
	device_fail(vbd->dev, EPROTO, "a ring's request index is out of range");
}

/* ---- requests ---- */

int blkback_queue_init(struct blkback_queue *q)
{
	q->request = calloc(q->ring.nr, sizeof(*q->request));
	if (!q->request)
		return -ENOMEM;
	q->free = NULL;
	q->barrier = NULL;
	q->barrier_runs = false;
	q->inflight = q->left = 0;
	for (uint32_t i = q->ring.nr; i-- > 0;) {
		q->request[i].q = q;
		q->request[i].io.owner = &q->request[i];
		q->request[i].next = q->free;
		q->free = &q->request[i];
	}
	return 0;
}

static void unmaps_run(struct blkback *bb)
{
	struct blkback_burst *b = bb->burst;

	if (b->nr_unmaps > 0)
		bb->hv->ops->unmap(bb->hv, b->unmap, b->nr_unmaps);
	b->nr_unmaps = 0;
}

/* The pages go back to the guest with the next unmaps_run, which comes before the response is shown. */
static void release_pages(struct blkback_request *req)
{
	struct blkback_vbd *vbd = req->q->vbd;
	struct blkback_burst *b = vbd->bb->burst;

	for (unsigned i = 0; i < req->nr_maps; i++) {
		struct blkback_map *m = &req->map[i];

		if (m->kept) {
			blkback_grants_put(vbd->grants, m->kept);
		} else if (m->va) {
			if (b->nr_unmaps == BLKBACK_UNMAP_OPS)
				unmaps_run(vbd->bb);
			b->unmap[b->nr_unmaps++] = (struct hv_unmap_op){.va = m->va, .handle = m->handle};
		}
	}
	vbd->segments -= req->nr_maps;
	req->nr_maps = 0;
}

static struct blkback_request *request_get(struct blkback_queue *q)
{
	struct blkback_request *req = q->free;

	q->free = req->next;
	req->step = BLKBACK_ONLY;
	req->nr_maps = 0;
	return req;
}

static void request_put(struct blkback_request *req)
{
	struct blkback_queue *q = req->q;

	release_pages(req);
	req->next = q->free;
	q->free = req;
	if (q->barrier == req) {
		q->barrier = NULL;
		q->barrier_runs = false;
	}
}

void blkback_queue_fini(struct blkback_queue *q)
{
	for (uint32_t i = 0; q->request && i < q->ring.nr; i++)
		release_pages(&q->request[i]);
	unmaps_run(q->vbd->bb);
	free(q->request);
	q->request = q->free = q->barrier = NULL;
	q->inflight = q->left = 0;
}

unsigned blkback_inflight(const struct blkback_vbd *vbd)
{
	unsigned n = 0;

	for (unsigned i = 0; i < vbd->nr_queues; i++)
		n += vbd->queue[i].inflight;
	return n;
}

/* ---- answers ---- */

static void answer(struct blkback_request *req, int16_t status)
{
	struct blkback_queue *q = req->q;
	uint8_t rsp[BLK_RSP_SIZE_64];

	if (blk_response_build(q->vbd->layout, req->r.id, req->r.echo, status, rsp) == BLK_RSP_SIZE_64)
		back_ring_put(&q->ring, rsp, BLK_RSP_SIZE_64);
	else
		back_ring_put(&q->ring, rsp, BLK_RSP_SIZE_32);
	request_put(req);
}

static void refuse(struct blkback_request *req, enum blk_status status, const char *why)
{
	struct blkback_vbd *vbd = req->q->vbd;

	vbd->stats.bad++;
	if (backend_log_allowed(&vbd->limit))
		backend_error("%s: request refused: %s (operation %u, sector %llu)", vbd->dev->name, why, req->r.echo,
			      (unsigned long long)req->r.sector);
	answer(req, blk_status_rsp(status));
}

static const char *op_name(enum blkdev_op op)
{
	static const char *const names[] = {
		[BLKDEV_READ] = "read", [BLKDEV_WRITE] = "write", [BLKDEV_FLUSH] = "flush",
		[BLKDEV_DISCARD] = "discard", [BLKDEV_SECURE_DISCARD] = "secure discard",
	};

	return names[op];
}

static void answer_ended(struct blkback_request *req)
{
	struct blkback_vbd *vbd = req->q->vbd;
	int rc = req->io.result;

	if (rc) {
		vbd->stats.failed++;
		if (backend_log_allowed(&vbd->limit))
			backend_error("%s: %s of %llu bytes at %llu of %s failed: %s; the guest gets an error", vbd->dev->name, op_name(req->io.op),
				      (unsigned long long)req->io.len, (unsigned long long)req->io.offset, vbd->params, strerror(-rc));
	}
	if (rc == 0)
		answer(req, BLKIF_RSP_OKAY);
	else
		answer(req, rc == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}

/* ---- who is waited for, and how ---- */

static void pace_begin(struct blkback_pace *p)
{
	p->from = rte_rdtsc();
}

static void pace_end(struct blkback_pace *p)
{
	uint64_t us = rte_get_tsc_hz() / 1000000, took = rte_rdtsc() - p->from;

	p->mean += RTE_MIN(took, BLKBACK_PACE_MOST_US * us) / PACE_WEIGHT - p->mean / PACE_WEIGHT;
	p->slow = p->mean > (p->slow ? BLKBACK_FAST_US : BLKBACK_SLOW_US) * us;
}

/* Of the ios under way one at a time is timed. */
static void time_io(struct blkback_vbd *vbd, const struct blkdev_io *io)
{
	vbd->timed = io;
	pace_begin(&vbd->storage_pace);
}

static void timed_io_ended(struct blkback_vbd *vbd)
{
	vbd->timed = NULL;
	pace_end(&vbd->storage_pace);
}

/* Nothing is at the storage: it is the guest's move. One that was slow is polled for once in a while all the same, since only then is it seen how quick it can be. */
static void guest_begins(struct blkback_vbd *vbd)
{
	vbd->guest_moves++;
	vbd->guest_polled = !vbd->guest_pace.slow || vbd->guest_moves % BLKBACK_GUEST_TRY == 0;
	pace_begin(&vbd->guest_pace);
}

static void guest_ended(struct blkback_vbd *vbd)
{
	if (vbd->guest_polled)
		pace_end(&vbd->guest_pace);
	vbd->guest_polled = false;
}

/*
 * Storage without a descriptor works in our own thread: there is nobody to sleep for. Slow storage is slept for while it has something to do; with nothing at it, the guest
 * is polled for, if that may be worth it.
 */
static void choose_wait(struct blkback_vbd *vbd, unsigned done)
{
	unsigned inflight = blkback_inflight(vbd);

	if (done && inflight == 0)
		guest_begins(vbd);
	vbd->item.slow = vbd->storage.fd >= 0 && vbd->storage_pace.slow && (inflight > 0 || !vbd->guest_polled);
}

/* ---- to the storage ---- */

static void submit(struct blkback_request *req, enum blkdev_op op)
{
	struct blkback_vbd *vbd = req->q->vbd;
	bool ranged = op != BLKDEV_FLUSH;

	req->io.op = op;
	req->io.offset = ranged ? req->r.sector << BLK_SECTOR_SHIFT : 0;
	req->io.len = ranged ? req->r.nr_sectors << BLK_SECTOR_SHIFT : 0;
	if (op != BLKDEV_READ && op != BLKDEV_WRITE)
		req->io.niov = 0;
	req->io.result = 0;
	req->q->inflight++;
	if (!vbd->timed && (op == BLKDEV_READ || op == BLKDEV_WRITE))
		time_io(vbd, &req->io);
	vbd->queued = true;
	vbd->disk->ops->submit(vbd->disk, &req->io);
}

/* The number under which the storage knows the memory that the whole io is in: one piece of one kept page. */
static unsigned buffer_of(const struct blkback_request *req)
{
	const struct blkback_grant *kept = req->map[0].kept;
	const struct iovec *v = req->io.iov;

	if (req->io.niov != 1 || !kept)
		return 0;
	return (uint8_t *)v->iov_base + v->iov_len <= (uint8_t *)kept->va + SLUICE_PAGE_SIZE ? kept->buffer : 0;
}

/* The pages are mapped: where the bytes are. Pages that happen to lie side by side here make one piece. False: a page is not there. */
static bool lay_out(struct blkback_request *req)
{
	struct iovec *v = req->io.iov;

	req->io.niov = 0;
	for (unsigned i = 0; i < req->nr_maps; i++) {
		const struct blkback_map *m = &req->map[i];
		uint8_t *base = m->kept ? m->kept->va : m->va;
		const struct blk_segment *s = &req->r.seg[i];

		if (!base)
			return false;
		base += blk_segment_offset(s);
		if (req->io.niov > 0 && (uint8_t *)v[-1].iov_base + v[-1].iov_len == base) {
			v[-1].iov_len += blk_segment_len(s);
			continue;
		}
		*v++ = (struct iovec){.iov_base = base, .iov_len = blk_segment_len(s)};
		req->io.niov++;
	}
	req->io.buffer = buffer_of(req);
	return true;
}

static void start_data(struct blkback_request *req)
{
	if (lay_out(req))
		submit(req, req->r.op == BLKIF_OP_READ ? BLKDEV_READ : BLKDEV_WRITE);
	else
		refuse(req, BLK_INVALID, "a segment's page is not granted to this domain, or not for this operation");
}

/* ---- mapping ---- */

/* READ writes into the guest's page. A persistent grant may serve either later, so it is mapped writable. */
static void map_later(struct blkback_request *req, struct blkback_map *m, gref_t gref)
{
	struct blkback_vbd *vbd = req->q->vbd;
	struct blkback_burst *b = vbd->bb->burst;

	*m = (struct blkback_map){0};
	if (vbd->persistent) {
		m->kept = blkback_grants_get(vbd->grants, gref);
		if (m->kept)
			return;
		m->kept = blkback_grants_add(vbd->grants, vbd->bb->hv, vbd->disk, gref);
	}
	b->map_of[b->nr_maps] = m;
	b->map[b->nr_maps++] = (struct hv_map_op){.domid = vbd->domid, .gref = gref, .readonly = !m->kept && req->r.op != BLKIF_OP_READ};
}

static void map_request_later(struct blkback_request *req)
{
	for (unsigned i = 0; i < req->r.nr_segs; i++)
		map_later(req, &req->map[i], req->r.seg[i].gref);
	req->nr_maps = req->r.nr_segs;
	req->q->vbd->segments += req->nr_maps;
	req->q->vbd->stats.segments += req->nr_maps;
}

static void maps_run(struct blkback_vbd *vbd)
{
	struct blkback_burst *b = vbd->bb->burst;
	struct hv *hv = vbd->bb->hv;
	int rc = b->nr_maps ? hv->ops->map(hv, b->map, b->nr_maps) : 0;

	for (unsigned i = 0; rc == 0 && i < b->nr_maps; i++) {
		struct blkback_map *m = b->map_of[i];

		if (b->map[i].status != GNTST_okay)
			continue;
		if (m->kept) {
			blkback_grants_mapped(vbd->grants, vbd->disk, m->kept, b->map[i].va, b->map[i].handle);
		} else {
			m->va = b->map[i].va;
			m->handle = b->map[i].handle;
		}
	}
	vbd->stats.maps += b->nr_maps;
	b->nr_maps = 0;
}

/* Map and start the requests of the burst; as many mappings in one call as there is room for. */
static void start_burst(struct blkback_vbd *vbd)
{
	struct blkback_burst *b = vbd->bb->burst;
	unsigned first = 0;

	for (unsigned i = 0; i < b->nr; i++) {
		map_request_later(b->request[i]);
		if (i + 1 < b->nr && b->nr_maps + b->request[i + 1]->r.nr_segs <= BLKBACK_MAP_OPS)
			continue;
		maps_run(vbd);
		for (; first <= i; first++)
			start_data(b->request[first]);
	}
	b->nr = b->nr_segs = 0;
}

/* ---- barriers, and flushes with data: drain, flush, write, flush ---- */

static bool is_barrier(const struct blk_request *r)
{
	return r->op == BLKIF_OP_WRITE_BARRIER || (r->op == BLKIF_OP_FLUSH_DISKCACHE && r->nr_segs > 0);
}

static unsigned start_barrier(struct blkback_queue *q)
{
	if (!q->vbd->live || !q->barrier || q->barrier_runs || q->inflight > 0)
		return 0;
	q->barrier_runs = true;
	q->barrier->step = q->barrier->r.nr_segs ? BLKBACK_BEFORE : BLKBACK_ONLY;
	submit(q->barrier, BLKDEV_FLUSH);
	return 1;
}

/* True when a further step was started. */
static bool next_step(struct blkback_request *req)
{
	struct blkback_vbd *vbd = req->q->vbd;

	switch (req->step) {
	case BLKBACK_BEFORE:
		req->step = BLKBACK_DATA;
		map_request_later(req);
		maps_run(vbd);
		start_data(req);
		return true;
	case BLKBACK_DATA:
		req->step = BLKBACK_AFTER;
		submit(req, BLKDEV_FLUSH);
		return true;
	default:
		return false;
	}
}

/* ---- from the rings ---- */

static void start_later(struct blkback_burst *b, struct blkback_request *req)
{
	b->nr_segs += req->r.nr_segs;
	b->request[b->nr++] = req;
}

/* Its descriptors come with the burst's copies, into the place of the request within the burst. */
static void fetch_later(struct blkback_burst *b, struct blkback_request *req)
{
	copy_batch_in(&b->copies, req->q->vbd->domid, req->r.page, 0, b->descriptors[b->nr],
		      (uint16_t)(req->r.nr_segs * sizeof(struct blk_segment)));
	req->next = req; /* marks it until the copies are done */
	start_later(b, req);
}

static void start_discard(struct blkback_request *req)
{
	struct blkback_vbd *vbd = req->q->vbd;

	if (!vbd->discard)
		answer(req, BLKIF_RSP_EOPNOTSUPP);
	else
		submit(req, req->r.secure && vbd->disk->info.can_secure_discard ? BLKDEV_SECURE_DISCARD : BLKDEV_DISCARD);
}

static void sort_request(struct blkback_request *req, enum blk_status status)
{
	struct blkback_vbd *vbd = req->q->vbd;
	struct blkback_burst *b = vbd->bb->burst;
	bool flush = req->r.op == BLKIF_OP_FLUSH_DISKCACHE || req->r.op == BLKIF_OP_WRITE_BARRIER;

	if (status == BLK_MORE) {
		fetch_later(b, req);
	} else if (status != BLK_OK) {
		refuse(req, status, req->r.why);
	} else if (req->r.op == BLKIF_OP_DISCARD) {
		start_discard(req);
	} else if (flush && !vbd->disk->info.can_flush) {
		answer(req, BLKIF_RSP_EOPNOTSUPP);
	} else if (is_barrier(&req->r)) {
		req->q->barrier = req;
	} else if (flush) {
		submit(req, BLKDEV_FLUSH);
	} else {
		req->next = NULL;
		start_later(b, req);
	}
}

/* The descriptors of indirect requests have arrived, or not. */
static void finish_indirect(struct blkback_vbd *vbd)
{
	struct blkback_burst *b = vbd->bb->burst;
	unsigned n = 0, op = 0;

	copy_batch_run(&b->copies, vbd->bb->hv);
	for (unsigned i = 0; i < b->nr; i++) {
		struct blkback_request *req = b->request[i];
		bool indirect = req->next == req;

		req->next = NULL;
		if (indirect && !copy_batch_ok(&b->copies, op++, 1)) {
			refuse(req, BLK_INVALID, "the page of indirect descriptors is not granted to this domain");
		} else if (indirect && blk_request_segments(&req->r, &vbd->limits, b->descriptors[i]) != BLK_OK) {
			refuse(req, BLK_INVALID, req->r.why);
		} else {
			b->request[n++] = req;
		}
	}
	b->nr = n;
	b->copies.n = 0;
}

static bool may_take(const struct blkback_queue *q)
{
	const struct blkback_vbd *vbd = q->vbd;

	return vbd->live && (!vbd->stopped || vbd->lingers || q->left) && !q->barrier && q->free && vbd->segments + vbd->bb->burst->nr_segs < BLKBACK_SEGMENTS;
}

static unsigned take_burst(struct blkback_queue *q)
{
	struct blkback_vbd *vbd = q->vbd;
	uint8_t slot[BLK_SLOT_SIZE_64];
	bool may = may_take(q);
	int pending = may ? back_ring_pending(&q->ring) : 0;
	unsigned n = 0;

	if (pending < 0)
		broken(vbd);
	else if (may && q->left > (unsigned)pending)
		q->left = (unsigned)pending; /* the guest has taken its index back: what it does not post any more is not waited for */
	if (pending > 0)
		guest_ended(vbd);
	for (; pending > 0 && n < BLKBACK_BURST && may_take(q); pending--, n++) {
		struct blkback_request *req = request_get(q);

		blk_slot_read(&q->ring, vbd->layout, slot);
		back_ring_consume(&q->ring, 1);
		if (q->left)
			q->left--;
		sort_request(req, blk_request_parse(slot, vbd->layout, &vbd->limits, &req->r));
	}
	if (vbd->bb->burst->copies.n > 0)
		finish_indirect(vbd);
	start_burst(vbd);
	vbd->stats.requests += n;
	return n;
}

/* ---- from the storage ---- */

static void ended(struct blkback_request *req)
{
	struct blkback_vbd *vbd = req->q->vbd;

	req->q->inflight--;
	if (!vbd->live)
		request_put(req);
	else if (req->io.result || !next_step(req))
		answer_ended(req);
}

static void kick(struct blkback_vbd *vbd)
{
	if (!vbd->queued)
		return;
	vbd->queued = false;
	vbd->disk->ops->kick(vbd->disk); /* what it cannot start ends with an error */
}

static unsigned collect(struct blkback_vbd *vbd)
{
	struct blkdev_io *done[ENDED];
	unsigned n = vbd->disk->ops->poll(vbd->disk, done, ENDED);

	for (unsigned i = 0; i < n; i++) {
		if (done[i] == vbd->timed)
			timed_io_ended(vbd);
		ended(done[i]->owner);
	}
	for (unsigned i = 0; i < vbd->nr_queues; i++)
		n += start_barrier(&vbd->queue[i]);
	kick(vbd); /* the next steps of barriers */
	return n;
}

static void push(struct blkback_vbd *vbd)
{
	for (unsigned i = 0; vbd->live && i < vbd->nr_queues; i++)
		if (back_ring_push(&vbd->queue[i].ring))
			poller_notify(vbd->bb->poller, vbd->queue[i].port);
}

unsigned blkback_poll(struct blkback_vbd *vbd)
{
	unsigned n = 0;

	if (!vbd->session) {
		if (vbd->disk)
			collect(vbd); /* nothing of ours, but the storage may have things of its own to see to */
		return 0;
	}
	for (unsigned i = 0; i < vbd->nr_queues; i++)
		n += take_burst(&vbd->queue[i]);
	kick(vbd);
	n += collect(vbd);
	unmaps_run(vbd->bb);
	push(vbd);
	choose_wait(vbd, n);
	vbd->stats.bursts += n > 0;
	if (vbd->stopped && blkback_drained(vbd))
		blkback_session_over(vbd);
	return n;
}

void blkback_stop(struct blkback_vbd *vbd)
{
	vbd->stopped = true;
	vbd->lingers = 0;
	for (unsigned i = 0; i < vbd->nr_queues; i++) {
		int pending = vbd->live ? back_ring_pending(&vbd->queue[i].ring) : 0;

		vbd->queue[i].left = pending > 0 ? (unsigned)pending : 0;
	}
}

static void linger_again(struct blkback_vbd *vbd)
{
	vbd->linger_requests = vbd->stats.requests;
	poller_timer_set(vbd->bb->poller, &vbd->linger, BLKBACK_LINGER_US);
}

static void linger_over(struct poll_timer *timer)
{
	struct blkback_vbd *vbd = (struct blkback_vbd *)((char *)timer - offsetof(struct blkback_vbd, linger));
	bool quiet = blkback_inflight(vbd) == 0 && vbd->stats.requests == vbd->linger_requests;

	if (!vbd->live || quiet || --vbd->lingers == 0)
		blkback_stop(vbd);
	else
		linger_again(vbd);
	poller_activate(vbd->bb->poller, &vbd->item);
}

void blkback_linger(struct blkback_vbd *vbd)
{
	vbd->stopped = true;
	vbd->lingers = BLKBACK_LINGERS;
	vbd->linger.fire = linger_over;
	linger_again(vbd);
	for (unsigned i = 0; i < vbd->nr_queues; i++)
		poller_notify(vbd->bb->poller, vbd->queue[i].port);
}

bool blkback_drained(const struct blkback_vbd *vbd)
{
	unsigned open = blkback_inflight(vbd) + vbd->lingers;

	for (unsigned i = 0; vbd->live && i < vbd->nr_queues; i++)
		open += vbd->queue[i].left + (vbd->queue[i].barrier != NULL);
	return open == 0;
}

bool blkback_arm(struct blkback_vbd *vbd)
{
	bool more = false;

	for (unsigned i = 0; vbd->live && i < vbd->nr_queues; i++) {
		int pending = back_ring_arm(&vbd->queue[i].ring);

		if (pending < 0)
			broken(vbd);
		more |= pending > 0 && may_take(&vbd->queue[i]);
	}
	return more;
}
