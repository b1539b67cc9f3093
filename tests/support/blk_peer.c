/* SPDX-License-Identifier: BSD-3-Clause */
/* The hand-driven blkfront: see blk_world.h. Slots are written by explicit offsets, apart from the parser that they test. */
#include "blk_world.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void blk_peer_init(struct blk_peer *p, struct blk_world *w, domid_t domid)
{
	memset(p, 0, sizeof(*p));
	p->w = w;
	p->domid = domid;
	p->devid = BLK_PEER_DEVID;
	p->nr_queues = p->nr_pages = 1;
	assert_int_equal(hv_fake_domain_create(w->hv, domid), 0);
	p->buffers = hv_fake_pages_alloc(w->hv, domid, BLK_PEER_BUFFERS);
	p->descriptors = hv_fake_pages_alloc(w->hv, domid, 1);
	assert_non_null(p->descriptors);
	for (unsigned i = 0; i < BLK_PEER_BUFFERS; i++)
		assert_int_equal(hv_fake_grant(w->hv, domid, 0, blk_peer_buffer(p, i), false, &p->gref[i]), 0);
	assert_int_equal(hv_fake_grant(w->hv, domid, 0, p->descriptors, true, &p->descriptors_gref), 0);
}

void blk_peer_rings(struct blk_peer *p)
{
	for (unsigned i = 0; i < p->nr_queues; i++) {
		struct blk_peer_queue *q = &p->queue[i];

		if (!q->pages)
			q->pages = hv_fake_pages_alloc(p->w->hv, p->domid, BLKBACK_RING_PAGES);
		assert_non_null(q->pages);
		for (unsigned page = 0; page < p->nr_pages; page++)
			assert_int_equal(hv_fake_grant(p->w->hv, p->domid, 0, q->pages + (size_t)page * SLUICE_PAGE_SIZE, false, &q->gref[page]), 0);
		assert_int_equal(hv_fake_evtchn_alloc(p->w->hv, p->domid, 0, &q->port), 0);
		assert_int_equal(front_ring_init(&q->ring, q->pages, p->nr_pages, blk_slot_size(p->layout)), 0);
	}
}

void blk_peer_key(struct blk_peer *p, const char *key, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "device/vbd/%u/%s", p->devid, key);
	assert_int_equal(hv_fake_store_write(p->w->hv, p->domid, path, value), 0);
}

void blk_peer_number(struct blk_peer *p, const char *key, unsigned long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lu", value);
	blk_peer_key(p, key, text);
}

static void queue_keys(struct blk_peer *p, unsigned i)
{
	struct blk_peer_queue *q = &p->queue[i];
	char dir[24] = "", key[56];

	if (p->nr_queues > 1)
		snprintf(dir, sizeof(dir), "queue-%u/", i);
	for (unsigned page = 0; page < p->nr_pages; page++) {
		snprintf(key, sizeof(key), p->nr_pages > 1 ? "%sring-ref%u" : "%sring-ref", dir, page);
		blk_peer_number(p, key, q->gref[page]);
	}
	snprintf(key, sizeof(key), "%sevent-channel", dir);
	blk_peer_number(p, key, q->port);
}

void blk_peer_keys(struct blk_peer *p)
{
	blk_peer_key(p, "protocol", p->layout == BLK_X86_32 ? "x86_32-abi" : "x86_64-abi");
	blk_peer_number(p, "feature-persistent", p->persistent);
	if (p->nr_queues > 1)
		blk_peer_number(p, "multi-queue-num-queues", p->nr_queues);
	if (p->num_ring_pages)
		blk_peer_number(p, "num-ring-pages", p->nr_pages);
	else if (p->nr_pages > 1)
		blk_peer_number(p, "ring-page-order", (unsigned)__builtin_ctz(p->nr_pages));
	for (unsigned i = 0; i < p->nr_queues; i++)
		queue_keys(p, i);
}

void blk_peer_state(struct blk_peer *p, enum xenbus_state state)
{
	blk_peer_number(p, "state", state);
}

void blk_peer_connect(struct blk_peer *p)
{
	blk_peer_rings(p);
	blk_peer_keys(p);
	blk_peer_state(p, XenbusStateConnected);
}

void blk_peer_disconnect(struct blk_peer *p)
{
	for (unsigned i = 0; i < p->nr_queues; i++) {
		for (unsigned page = 0; page < p->nr_pages; page++)
			assert_int_equal(hv_fake_grant_end(p->w->hv, p->domid, p->queue[i].gref[page]), 0);
		hv_fake_evtchn_close(p->w->hv, p->domid, p->queue[i].port);
	}
}

void blk_peer_reconnect(struct blk_peer *p)
{
	blk_peer_state(p, XenbusStateClosing);
	blk_world_settle(p->w);
	blk_peer_disconnect(p);
	blk_peer_state(p, XenbusStateClosed);
	blk_world_settle(p->w);
	assert_int_equal(blk_peer_backend_state(p), XenbusStateClosed);
	blk_peer_state(p, XenbusStateInitialising);
	blk_world_settle(p->w);
	assert_int_equal(blk_peer_backend_state(p), XenbusStateInitWait);
	blk_peer_connect(p);
	blk_world_settle(p->w);
	assert_int_equal(blk_peer_backend_state(p), XenbusStateConnected);
}

void blk_peer_add(struct blk_peer *p, const struct blk_disk *d, const char *mode)
{
	toolstack_add_vbd(p->w->hv, p->domid, p->devid, d->name, mode, NULL);
	blk_world_settle(p->w);
	assert_int_equal(blk_peer_backend_state(p), XenbusStateInitWait);
	blk_peer_connect(p);
	blk_world_settle(p->w);
	assert_int_equal(blk_peer_backend_state(p), XenbusStateConnected);
}

long long blk_peer_backend_key(struct blk_peer *p, const char *key)
{
	char path[128], *text;
	long long value;

	snprintf(path, sizeof(path), "/local/domain/0/backend/vbd/%u/%u/%s", p->domid, p->devid, key);
	text = hv_fake_store_read(p->w->hv, 0, path);
	value = text ? atoll(text) : -1;
	free(text);
	return value;
}

int blk_peer_backend_state(struct blk_peer *p)
{
	return (int)blk_peer_backend_key(p, "state");
}

struct blkback_vbd *blk_peer_vbd(struct blk_peer *p)
{
	struct device *dev = devices_find(p->w->devices, p->domid, p->devid);

	return dev ? dev->priv : NULL;
}

/* ---- requests ---- */

uint8_t *blk_peer_buffer(struct blk_peer *p, unsigned i)
{
	return p->buffers + (size_t)i * SLUICE_PAGE_SIZE;
}

struct blk_segment blk_peer_seg(struct blk_peer *p, unsigned i, unsigned first, unsigned last)
{
	return (struct blk_segment){.gref = p->gref[i], .first = (uint8_t)first, .last = (uint8_t)last};
}

static void put(struct blk_peer_slot *s, unsigned at, const void *value, size_t n)
{
	assert_true(at + n <= sizeof(s->bytes));
	if (n > 0)
		memcpy(s->bytes + at, value, n);
}

static struct blk_peer_slot start(struct blk_peer *p, uint8_t op, uint8_t second, uint64_t id, uint64_t sector)
{
	bool wide = p->layout == BLK_X86_64;
	struct blk_peer_slot s;

	memset(&s, 0xa5, sizeof(s)); /* what nobody reads may be anything */
	s.bytes[0] = op;
	s.bytes[1] = second;
	put(&s, wide ? 8 : 4, &id, 8);
	put(&s, wide ? 16 : 12, &sector, 8);
	return s;
}

struct blk_peer_slot blk_peer_rw(struct blk_peer *p, uint8_t op, uint64_t id, uint64_t sector, const struct blk_segment *seg, unsigned n)
{
	struct blk_peer_slot s = start(p, op, (uint8_t)n, id, sector);

	put(&s, p->layout == BLK_X86_64 ? 24 : 20, seg, (n < 11 ? n : 11) * sizeof(*seg));
	return s;
}

struct blk_peer_slot blk_peer_indirect(struct blk_peer *p, uint8_t op, uint64_t id, uint64_t sector, unsigned n, gref_t page)
{
	struct blk_peer_slot s = start(p, BLKIF_OP_INDIRECT, op, id, sector);
	uint16_t nr = (uint16_t)n;

	put(&s, 2, &nr, 2);
	put(&s, p->layout == BLK_X86_64 ? 28 : 24, &page, 4);
	return s;
}

struct blk_peer_slot blk_peer_discard(struct blk_peer *p, uint64_t id, uint64_t sector, uint64_t n, uint8_t flag)
{
	struct blk_peer_slot s = start(p, BLKIF_OP_DISCARD, flag, id, sector);

	put(&s, p->layout == BLK_X86_64 ? 24 : 20, &n, 8);
	return s;
}

void blk_peer_post(struct blk_peer *p, unsigned q, const struct blk_peer_slot *slot)
{
	front_ring_put(&p->queue[q].ring, slot->bytes, blk_slot_size(p->layout));
}

void blk_peer_push(struct blk_peer *p, unsigned q)
{
	if (front_ring_push(&p->queue[q].ring))
		hv_fake_evtchn_send(p->w->hv, p->domid, p->queue[q].port);
}

void blk_peer_send(struct blk_peer *p, unsigned q, struct blk_peer_slot slot)
{
	blk_peer_post(p, q, &slot);
	blk_peer_push(p, q);
}

bool blk_peer_take(struct blk_peer *p, unsigned q, struct blk_peer_rsp *rsp)
{
	struct front_ring *ring = &p->queue[q].ring;
	uint8_t bytes[BLK_RSP_SIZE_64];
	int n = front_ring_arm(ring);

	assert_true(n >= 0);
	if (n == 0)
		return false;
	front_ring_read(ring, 0, bytes, sizeof(bytes));
	front_ring_consume(ring, 1);
	memcpy(&rsp->id, bytes, 8);
	rsp->op = bytes[8];
	memcpy(&rsp->status, bytes + 10, 2);
	return true;
}

int blk_peer_ask(struct blk_peer *p, struct blk_peer_slot slot)
{
	struct blk_peer_rsp rsp, more;
	uint64_t id;

	memcpy(&id, slot.bytes + (p->layout == BLK_X86_64 ? 8 : 4), 8);
	blk_peer_send(p, 0, slot);
	blk_world_settle(p->w);
	assert_true(blk_peer_take(p, 0, &rsp));
	assert_false(blk_peer_take(p, 0, &more));
	assert_true(rsp.id == id);
	assert_int_equal(rsp.op, slot.bytes[0] == BLKIF_OP_INDIRECT ? slot.bytes[1] : slot.bytes[0]);
	return rsp.status;
}

void blk_peer_assert_works(struct blk_peer *p)
{
	static uint8_t salt;
	struct blk_segment to = blk_peer_seg(p, BLK_PEER_BUFFERS - 1, 0, 7), from = blk_peer_seg(p, BLK_PEER_BUFFERS - 2, 0, 7);
	uint8_t *out = blk_peer_buffer(p, BLK_PEER_BUFFERS - 1), *in = blk_peer_buffer(p, BLK_PEER_BUFFERS - 2);

	salt++;
	for (unsigned i = 0; i < SLUICE_PAGE_SIZE; i++)
		out[i] = (uint8_t)(i * 3 + salt + i / 256);
	memset(in, 0, SLUICE_PAGE_SIZE);
	assert_int_equal(blk_peer_ask(p, blk_peer_rw(p, BLKIF_OP_WRITE, 0x1234567890ull, 8, &to, 1)), BLKIF_RSP_OKAY);
	assert_int_equal(blk_peer_ask(p, blk_peer_rw(p, BLKIF_OP_READ, ~0ull, 8, &from, 1)), BLKIF_RSP_OKAY);
	assert_memory_equal(in, out, SLUICE_PAGE_SIZE);
}
