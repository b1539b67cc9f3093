/* SPDX-License-Identifier: BSD-3-Clause */
/* See blkback_script.h. */
#include "blkback_script.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RING_PAGES_MAX 16u

static void write_below(struct hv *hv, const char *dir, const char *key, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	hv_fake_store_write(hv, 0, path, value);
}

void blk_script_back(struct hv *hv, const char *key, const char *value)
{
	write_below(hv, BLK_SCRIPT_BACK, key, value);
}

void blk_script_front(struct hv *hv, const char *key, const char *value)
{
	write_below(hv, BLK_SCRIPT_FRONT, key, value);
}

long blk_script_front_number(struct hv *hv, const char *key)
{
	char path[256], *value, *end;
	long n;

	snprintf(path, sizeof(path), BLK_SCRIPT_FRONT "/%s", key);
	value = hv_fake_store_read(hv, 0, path);
	if (!value)
		return -1;
	n = strtol(value, &end, 10);
	n = *value && !*end ? n : -1;
	free(value);
	return n;
}

void blk_script_device(struct hv *hv)
{
	blk_script_back(hv, "state", "1");
	blk_script_back(hv, "online", "1");
	blk_script_back(hv, "feature-persistent", "1");
	blk_script_back(hv, "feature-flush-cache", "1");
	blk_script_back(hv, "feature-discard", "1");
	blk_script_back(hv, "discard-secure", "1");
	blk_script_back(hv, "discard-granularity", "4096");
	blk_script_back(hv, "feature-max-indirect-segments", "256");
	blk_script_back(hv, "max-ring-page-order", "4");
	blk_script_back(hv, "multi-queue-max-queues", "4");
	blk_script_back(hv, "sector-size", "512");
	blk_script_back(hv, "physical-sector-size", "4096");
	blk_script_back(hv, "info", "0");
	blk_script_front(hv, "state", "1");
	blk_script_front(hv, "backend-id", "0");
	blk_script_front(hv, "virtual-device", "51712");
	blk_script_front(hv, "device-type", "disk");
	blk_script_front(hv, "backend", BLK_SCRIPT_BACK);
}

static int map_ring(struct blkback_script *s)
{
	long order = blk_script_front_number(s->hv, "ring-page-order");
	gref_t grefs[RING_PAGES_MAX];
	char key[32];

	s->nr_pages = order > 0 ? 1u << order : 1;
	if (s->nr_pages > RING_PAGES_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < s->nr_pages; i++) {
		snprintf(key, sizeof(key), order > 0 ? "ring-ref%u" : "ring-ref", i);
		grefs[i] = (gref_t)blk_script_front_number(s->hv, key);
	}
	return s->hv->ops->map_ring(s->hv, BLK_SCRIPT_DOMID, grefs, s->nr_pages, &s->pages);
}

static int bind(struct blkback_script *s)
{
	long remote = blk_script_front_number(s->hv, "event-channel");
	int rc = s->hv->ops->evtchn_open(s->hv, &s->channel);

	if (rc)
		return rc;
	return remote <= 0 ? -ENOENT : s->hv->ops->evtchn_bind(s->channel, BLK_SCRIPT_DOMID, (evtchn_t)remote, &s->port);
}

int blk_script_connect(struct blkback_script *s, struct hv *hv)
{
	char text[24];
	int rc;

	s->hv = hv;
	s->pages = NULL;
	s->channel = NULL;
	if (!s->disk)
		s->disk = calloc(BLK_SCRIPT_SECTORS, 512);
	s->connected = true;
	rc = bind(s);
	if (!rc)
		rc = map_ring(s);
	if (!rc)
		rc = back_ring_attach(&s->ring, s->pages, s->nr_pages, sizeof(union blkif_sring_entry));
	if (rc) {
		blk_script_disconnect(s);
		return rc;
	}
	snprintf(text, sizeof(text), "%u", BLK_SCRIPT_SECTORS);
	blk_script_back(hv, "sectors", text);
	blk_script_back(hv, "state", "4");
	return 0;
}

void blk_script_disconnect(struct blkback_script *s)
{
	if (!s->connected)
		return;
	if (s->pages)
		s->hv->ops->unmap_ring(s->hv, s->pages, s->nr_pages);
	if (s->channel)
		s->hv->ops->evtchn_close(s->channel);
	s->connected = false;
}

void blk_script_free(struct blkback_script *s)
{
	blk_script_disconnect(s);
	free(s->disk);
	s->disk = NULL;
}

bool blk_script_take(struct blkback_script *s, struct blkif_request *req)
{
	if (back_ring_pending(&s->ring) <= 0)
		return false;
	shm_copy_in(req, back_ring_slot(&s->ring, 0), sizeof(*req));
	back_ring_consume(&s->ring, 1);
	return true;
}

static int move(struct blkback_script *s, bool write, gref_t gref, unsigned offset, void *local, unsigned n)
{
	struct hv_copy_op op = { .len = (uint16_t)n };
	int rc;

	if (write) {
		op.src.domid = BLK_SCRIPT_DOMID;
		op.src.gref = gref;
		op.src.offset = (uint16_t)offset;
		op.dst.local = local;
	} else {
		op.dst.domid = BLK_SCRIPT_DOMID;
		op.dst.gref = gref;
		op.dst.offset = (uint16_t)offset;
		op.src.local = local;
	}
	rc = s->hv->ops->copy(s->hv, &op, 1);
	return rc ? rc : op.status;
}

static int16_t transfer(struct blkback_script *s, bool write, uint64_t sector, const struct blkif_request_segment *seg, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned sectors = seg[i].last_sect - seg[i].first_sect + 1u;

		if (seg[i].last_sect < seg[i].first_sect || seg[i].last_sect > 7 || sector + sectors > BLK_SCRIPT_SECTORS)
			return BLKIF_RSP_ERROR;
		if (move(s, write, seg[i].gref, seg[i].first_sect * 512u, s->disk + sector * 512, sectors * 512))
			return BLKIF_RSP_ERROR;
		sector += sectors;
	}
	if (n > s->most_segments)
		s->most_segments = n;
	return BLKIF_RSP_OKAY;
}

static int16_t transfer_indirect(struct blkback_script *s, const struct blkif_request_indirect *req)
{
	struct blkif_request_segment seg[256];

	if (!req->nr_segments || req->nr_segments > 256 || move(s, true, req->indirect_grefs[0], 0, seg, req->nr_segments * sizeof(*seg)))
		return BLKIF_RSP_ERROR;
	s->indirect++;
	return transfer(s, req->indirect_op == BLKIF_OP_WRITE, req->sector_number, seg, req->nr_segments);
}

static int16_t discard(struct blkback_script *s, const struct blkif_request_discard *req)
{
	if (req->nr_sectors > BLK_SCRIPT_SECTORS || req->sector_number > BLK_SCRIPT_SECTORS - req->nr_sectors)
		return BLKIF_RSP_ERROR;
	memset(s->disk + req->sector_number * 512, req->flag & BLKIF_DISCARD_SECURE ? 0xff : 0, req->nr_sectors * 512);
	s->discards++;
	return BLKIF_RSP_OKAY;
}

int16_t blk_script_execute(struct blkback_script *s, const struct blkif_request *req)
{
	s->served++;
	switch (req->operation) {
	case BLKIF_OP_READ:
	case BLKIF_OP_WRITE:
		return transfer(s, req->operation == BLKIF_OP_WRITE, req->sector_number, req->seg, req->nr_segments);
	case BLKIF_OP_INDIRECT:
		return transfer_indirect(s, (const struct blkif_request_indirect *)req);
	case BLKIF_OP_DISCARD:
		return discard(s, (const struct blkif_request_discard *)req);
	case BLKIF_OP_FLUSH_DISKCACHE:
	case BLKIF_OP_WRITE_BARRIER:
		s->flushes++;
		return BLKIF_RSP_OKAY;
	default:
		return BLKIF_RSP_EOPNOTSUPP;
	}
}

uint8_t blk_script_echo(const struct blkif_request *req)
{
	return req->operation == BLKIF_OP_INDIRECT ? ((const struct blkif_request_indirect *)req)->indirect_op : req->operation;
}

void blk_script_answer(struct blkback_script *s, uint64_t id, uint8_t op, int16_t status)
{
	struct blkif_response rsp;

	memset(&rsp, 0, sizeof(rsp));
	rsp.id = id;
	rsp.operation = op;
	rsp.status = status;
	back_ring_put(&s->ring, &rsp, sizeof(rsp));
}

void blk_script_push(struct blkback_script *s)
{
	if (back_ring_push(&s->ring))
		s->hv->ops->evtchn_notify(s->channel, s->port);
}

unsigned blk_script_serve(struct blkback_script *s)
{
	struct blkif_request req;
	unsigned n = 0;

	for (; blk_script_take(s, &req); n++)
		blk_script_answer(s, req.id, blk_script_echo(&req), blk_script_execute(s, &req));
	blk_script_push(s);
	return n;
}
