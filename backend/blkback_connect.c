/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vbd's handshake: opening the disk that the toolstack named, what we offer, what the guest's keys say, and the way from there to a session and back. device.c
 * drives it through blkback_class; the data path is blkback.c. Each key of the guest is read once.
 *
 * A vbd is never adopted from a dead back end: responses are published as requests end, in any order, so the ring does not say which were answered. The front end
 * is made to connect anew, and puts its unanswered requests on the new ring from its own copies.
 */
#include "blkback.h"
#include <errno.h>
#include <rte_common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GREF_MAX 0xffffffu
#define PORT_MAX ((1u << 17) - 1)
#define SECTORS_MAX (1ull << 54)

/* ---- the poller's side ---- */

static unsigned item_poll(struct poll_item *item)
{
	return blkback_poll((struct blkback_vbd *)item);
}

static bool item_arm(struct poll_item *item)
{
	return blkback_arm((struct blkback_vbd *)item);
}

/* Ios have ended while we slept. */
static void storage_ready(struct poll_fd *pfd)
{
	struct blkback_vbd *vbd = (struct blkback_vbd *)((char *)pfd - offsetof(struct blkback_vbd, storage));

	poller_activate(vbd->bb->poller, &vbd->item);
}

/* ---- the disk ---- */

static void disk_close(struct blkback_vbd *vbd)
{
	if (vbd->storage.fd >= 0)
		poller_remove_fd(vbd->bb->poller, &vbd->storage);
	vbd->storage.fd = -1;
	if (vbd->disk)
		vbd->disk->ops->close(vbd->disk);
	vbd->disk = NULL;
	vbd->timed = NULL;
	vbd->storage_pace = vbd->guest_pace = (struct blkback_pace){0};
	vbd->item.slow = false;
	free(vbd->params);
	vbd->params = NULL;
}

/* What the guest may do with it, from the disk as it is now. */
static void set_limits(struct blkback_vbd *vbd)
{
	const struct blkdev_info *info = &vbd->disk->info;

	vbd->limits.sectors = info->size >> BLK_SECTOR_SHIFT;
	vbd->limits.align = info->sector_size / BLK_SECTOR_SIZE;
	vbd->limits.readonly = vbd->readonly;
}

/* vbd->disk is open: is it one that we can serve? */
static int disk_take(struct blkback_vbd *vbd, const char *params, bool readonly)
{
	const struct blkdev_info *info = &vbd->disk->info;
	int rc;

	if ((info->sector_size != 512 && info->sector_size != 4096) || info->size >> BLK_SECTOR_SHIFT > SECTORS_MAX) {
		snprintf(vbd->why, sizeof(vbd->why), "%.100s: sectors of %u bytes; only 512 and 4096 can be served", params, info->sector_size);
		return -EINVAL;
	}
	snprintf(vbd->why, sizeof(vbd->why), "%.100s: no memory, or no room to wait for it", params);
	vbd->readonly = readonly || info->readonly;
	vbd->params = strdup(params);
	if (!vbd->params)
		return -ENOMEM;
	vbd->storage.fd = vbd->disk->ops->fd(vbd->disk);
	if (vbd->storage.fd < 0)
		return 0;
	rc = poller_add_fd(vbd->bb->poller, &vbd->storage);
	if (rc)
		vbd->storage.fd = -1;
	return rc;
}

/* -EINPROGRESS while a thread opens it. */
static int disk_open(struct blkback_vbd *vbd, const char *params, bool readonly)
{
	int rc;

	disk_close(vbd);
	if (!blkback_open_is(vbd, params, readonly)) {
		blkback_open_abandon(vbd);
		snprintf(vbd->why, sizeof(vbd->why), "%.100s: no thread to open it", params);
		return blkback_open_start(vbd, params, readonly);
	}
	rc = blkback_open_take(vbd);
	if (rc == 0)
		rc = disk_take(vbd, params, readonly);
	if (rc && rc != -EINPROGRESS)
		disk_close(vbd);
	return rc;
}

static bool disk_refresh(struct blkback_vbd *vbd)
{
	bool changed = vbd->disk->ops->refresh && vbd->disk->ops->refresh(vbd->disk);

	set_limits(vbd);
	return changed;
}

/* The toolstack's keys besides params and mode. */
static void read_flags(struct blkback_vbd *vbd)
{
	struct device *dev = vbd->dev;
	uint32_t discard;
	bool removable;

	if (store_read_number_or(dev->hv, dev->own, "discard-enable", 1, 1, &discard))
		discard = 0;
	vbd->discard = discard && !vbd->readonly && vbd->disk->info.can_discard;
	store_read_flag(dev->hv, dev->own, "removable", &removable);
	vbd->info = vbd->readonly ? VDISK_READONLY : 0;
	if (removable)
		vbd->info |= VDISK_REMOVABLE;
	if (store_is(dev->hv, dev->own, "device-type", "cdrom"))
		vbd->info |= VDISK_CDROM;
}

/* Keeps the disk open when it is still the one that is asked for. */
static int disk_get(struct blkback_vbd *vbd, const char *params, const char *mode)
{
	bool readonly = !mode || !strchr(mode, 'w');
	bool same = vbd->disk && params && strcmp(params, vbd->params) == 0 && readonly == vbd->asked_readonly;

	vbd->asked_readonly = readonly;
	if (same)
		return 0;
	if (params && params[0])
		return disk_open(vbd, params, readonly);
	disk_close(vbd);
	snprintf(vbd->why, sizeof(vbd->why), "no disk: its path or URI is to be written into params of its node in backend/vbd");
	return -ENOMEDIUM;
}

static int vbd_prepare(struct device *dev, const char **why)
{
	struct blkback_vbd *vbd = dev->priv;
	char *params = store_read_text(dev->hv, dev->own, "params");
	char *mode = store_read_text(dev->hv, dev->own, "mode");
	int rc = disk_get(vbd, params, mode);

	*why = vbd->why;
	if (rc == 0) {
		disk_refresh(vbd);
		read_flags(vbd);
	}
	free(params);
	free(mode);
	return rc;
}

/* ---- what we offer ---- */

static int write_sectors(struct blkback_vbd *vbd, hv_txn_t t)
{
	struct device *dev = vbd->dev;
	char path[STORE_PATH + 16], text[24];

	snprintf(path, sizeof(path), "%s/sectors", dev->own);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)vbd->limits.sectors);
	return dev->hv->ops->store_write(dev->hv, t, path, text);
}

static int vbd_advertise(struct device *dev, hv_txn_t t)
{
	struct blkback_vbd *vbd = dev->priv;
	const struct blkdev_info *info = &vbd->disk->info;
	const struct {
		const char *key;
		uint32_t value;
	} keys[] = {
		{"feature-flush-cache", info->can_flush},
		{"feature-barrier", info->can_flush},
		{"feature-persistent", 1},
		{"feature-max-indirect-segments", BLK_SEGMENTS_MAX},
		{"max-ring-page-order", BLKBACK_RING_ORDER},
		{"max-ring-pages", BLKBACK_RING_PAGES},
		{"multi-queue-max-queues", BLKBACK_QUEUES},
		{"sector-size", info->sector_size},
		{"physical-sector-size", RTE_MAX(info->physical_sector_size, info->sector_size)},
		{"info", vbd->info},
		{"feature-discard", vbd->discard},
		{"discard-granularity", info->discard_granularity ? info->discard_granularity : info->sector_size},
		{"discard-alignment", info->discard_alignment},
		{"discard-secure", info->can_secure_discard},
	};
	unsigned n = RTE_DIM(keys) - (vbd->discard ? 0 : 3);
	int rc = write_sectors(vbd, t);

	for (unsigned i = 0; rc == 0 && i < n; i++)
		rc = store_write_number(dev->hv, t, dev->own, keys[i].key, keys[i].value);
	return rc;
}

/* ---- what the guest wrote ---- */

struct front_keys {
	enum blk_layout layout;
	bool persistent;
	uint32_t nr_queues, nr_pages;
	struct {
		gref_t gref[BLKBACK_RING_PAGES];
		uint32_t port;
	} queue[BLKBACK_QUEUES];
};

static int read_protocol(struct device *dev, struct front_keys *k)
{
	char *protocol = store_read_text(dev->hv, dev->front, "protocol");
	int rc = 0;

	if (!protocol && errno != ENOENT)
		rc = errno ? -errno : -EIO;
	else if (!blk_layout_of(protocol, &k->layout))
		rc = -EINVAL;
	free(protocol);
	return rc;
}

/* Two schemes: ring-page-order (XenServer, Linux) and num-ring-pages (Red Hat, EC2). */
static int read_ring_pages(struct device *dev, struct front_keys *k)
{
	uint32_t order;
	int rc = store_read_number(dev->hv, dev->front, "ring-page-order", BLKBACK_RING_ORDER, &order);

	if (rc == 0)
		k->nr_pages = 1u << order;
	if (rc != -ENOENT)
		return rc;
	rc = store_read_number_or(dev->hv, dev->front, "num-ring-pages", BLKBACK_RING_PAGES, 1, &k->nr_pages);
	if (rc == 0 && (k->nr_pages == 0 || (k->nr_pages & (k->nr_pages - 1))))
		rc = -EINVAL;
	return rc;
}

/* One page is ring-ref, more are ring-ref0, ring-ref1 ...; some front ends call a single one ring-ref0 too. */
static int read_refs(struct device *dev, const char *dir, unsigned nr_pages, gref_t *gref)
{
	int rc = nr_pages == 1 ? store_read_number(dev->hv, dir, "ring-ref", GREF_MAX, &gref[0]) : -ENOENT;
	char key[24];

	if (rc != -ENOENT)
		return rc;
	rc = 0;
	for (unsigned i = 0; rc == 0 && i < nr_pages; i++) {
		snprintf(key, sizeof(key), "ring-ref%u", i);
		rc = store_read_number(dev->hv, dir, key, GREF_MAX, &gref[i]);
	}
	return rc;
}

static int read_queue(struct device *dev, struct front_keys *k, unsigned i, const char **why)
{
	char dir[STORE_PATH + 24];
	int rc;

	if (k->nr_queues > 1)
		snprintf(dir, sizeof(dir), "%s/queue-%u", dev->front, i);
	else
		snprintf(dir, sizeof(dir), "%s", dev->front);
	*why = "ring-ref (or ring-ref0, ring-ref1 ...) is not a grant reference";
	rc = read_refs(dev, dir, k->nr_pages, k->queue[i].gref);
	if (rc)
		return rc;
	*why = "event-channel is not a port";
	return store_read_number(dev->hv, dir, "event-channel", PORT_MAX, &k->queue[i].port);
}

static int read_front(struct device *dev, struct front_keys *k, const char **why)
{
	int rc;

	*why = "protocol is neither x86_64-abi nor x86_32-abi";
	rc = read_protocol(dev, k);
	if (rc)
		return rc;
	*why = "feature-persistent is neither 0 nor 1";
	rc = store_read_flag(dev->hv, dev->front, "feature-persistent", &k->persistent);
	if (rc)
		return rc;
	*why = "ring-page-order or num-ring-pages is not a size that we offered";
	rc = read_ring_pages(dev, k);
	if (rc)
		return rc;
	*why = "multi-queue-num-queues is not a number that we offered";
	rc = store_read_number_or(dev->hv, dev->front, "multi-queue-num-queues", BLKBACK_QUEUES, 1, &k->nr_queues);
	if (rc == 0 && k->nr_queues == 0)
		rc = -EINVAL;
	for (unsigned i = 0; rc == 0 && i < k->nr_queues; i++)
		rc = read_queue(dev, k, i, why);
	return rc;
}

/* ---- a session ---- */

static void queue_disconnect(struct blkback_queue *q)
{
	struct blkback *bb = q->vbd->bb;

	poller_unbind(bb->poller, q->port);
	q->port = 0;
	if (q->pages)
		bb->hv->ops->unmap_ring(bb->hv, q->pages, q->nr_pages);
	q->pages = NULL;
}

static int queue_connect(struct blkback_queue *q, const gref_t *grefs, unsigned nr_pages, uint32_t port, const char **why)
{
	struct blkback *bb = q->vbd->bb;
	int rc;

	*why = "cannot map a ring: are its pages granted to this domain, writable?";
	q->nr_pages = nr_pages;
	rc = bb->hv->ops->map_ring(bb->hv, q->vbd->domid, grefs, nr_pages, &q->pages);
	if (rc) {
		q->pages = NULL;
		return rc;
	}
	*why = "a ring's index is out of range";
	rc = back_ring_attach(&q->ring, q->pages, nr_pages, blk_slot_size(q->vbd->layout));
	if (rc)
		return rc;
	*why = "no memory for requests";
	rc = blkback_queue_init(q);
	if (rc)
		return rc;
	*why = "cannot bind the event channel: does the guest offer it to this domain?";
	return poller_bind(bb->poller, &q->vbd->item, q->vbd->domid, port, &q->port);
}

static void session_end(struct blkback_vbd *vbd)
{
	for (unsigned i = 0; i < vbd->nr_queues; i++) {
		queue_disconnect(&vbd->queue[i]);
		blkback_queue_fini(&vbd->queue[i]);
	}
	if (vbd->grants)
		blkback_grants_drop(vbd->grants, vbd->bb->hv, vbd->disk);
	free(vbd->grants);
	vbd->grants = NULL;
	poller_timer_cancel(vbd->bb->poller, &vbd->linger);
	vbd->lingers = 0;
	vbd->nr_queues = 0;
	vbd->session = vbd->stopped = vbd->live = false;
}

void blkback_session_over(struct blkback_vbd *vbd)
{
	session_end(vbd);
	device_look(vbd->dev);
}

static void vbd_disconnect(struct device *dev)
{
	struct blkback_vbd *vbd = dev->priv;

	if (!vbd->session)
		return;
	if (vbd->live && dev->state == XenbusStateClosing)
		blkback_linger(vbd);
	else
		blkback_stop(vbd);
	if (blkback_drained(vbd))
		session_end(vbd);
	else
		poller_activate(vbd->bb->poller, &vbd->item);
}

static bool vbd_draining(struct device *dev)
{
	struct blkback_vbd *vbd = dev->priv;

	return vbd->stopped;
}

static int session_start(struct blkback_vbd *vbd, const struct front_keys *k, const char **why)
{
	int rc = 0;

	vbd->layout = k->layout;
	vbd->persistent = k->persistent;
	vbd->segments = 0;
	vbd->session = true;
	*why = "no memory for persistent grants";
	if (k->persistent) {
		vbd->grants = malloc(sizeof(*vbd->grants));
		if (!vbd->grants)
			return -ENOMEM;
		blkback_grants_init(vbd->grants);
	}
	for (unsigned i = 0; rc == 0 && i < k->nr_queues; i++) {
		vbd->nr_queues = i + 1;
		rc = queue_connect(&vbd->queue[i], k->queue[i].gref, k->nr_pages, k->queue[i].port, why);
	}
	return rc;
}

static int vbd_connect(struct device *dev, const char **why)
{
	struct blkback_vbd *vbd = dev->priv;
	struct front_keys k = {0};
	int rc = read_front(dev, &k, why);

	if (rc)
		return rc;
	rc = session_start(vbd, &k, why);
	if (rc) {
		vbd_disconnect(dev);
		return rc;
	}
	if (disk_refresh(vbd)) {
		*why = "cannot write the disk's size";
		rc = write_sectors(vbd, HV_TXN_NONE);
	}
	if (rc) {
		vbd_disconnect(dev);
		return rc;
	}
	vbd->live = true;
	poller_activate(vbd->bb->poller, &vbd->item); /* the guest may have posted before we were here */
	if (!vbd->bb->refresh.set)
		poller_timer_set(vbd->bb->poller, &vbd->bb->refresh, BLKBACK_REFRESH_US);
	return 0;
}

/* ---- live resize: the new size, then our state once more, which makes the front end look (Linux does the same) ---- */

static int tell_size(struct blkback_vbd *vbd)
{
	const struct hv_ops *ops = vbd->dev->hv->ops;
	hv_txn_t t;
	int rc = ops->txn_start(vbd->dev->hv, &t);

	if (rc)
		return rc;
	rc = write_sectors(vbd, t);
	if (rc == 0)
		rc = store_write_number(vbd->dev->hv, t, vbd->dev->own, "state", vbd->dev->state);
	if (rc) {
		ops->txn_end(vbd->dev->hv, t, true);
		return rc;
	}
	return ops->txn_end(vbd->dev->hv, t, false);
}

static void vbd_changed(struct device *dev)
{
	struct blkback_vbd *vbd = dev->priv;

	if (!vbd->live || dev->state != XenbusStateConnected)
		return;
	vbd->resized |= disk_refresh(vbd);
	if (!vbd->resized)
		return;
	backend_info("%s: %s has %llu sectors now", dev->name, vbd->params, (unsigned long long)vbd->limits.sectors);
	vbd->resized = tell_size(vbd) != 0; /* tried again at the next look */
}

static void refresh_due(struct poll_timer *timer)
{
	struct blkback *bb = (struct blkback *)((char *)timer - offsetof(struct blkback, refresh));
	struct blkback_vbd *vbd;
	bool any = false;

	TAILQ_FOREACH(vbd, &bb->vbds, next) {
		if (!vbd->live)
			continue;
		vbd_changed(vbd->dev);
		any = true;
	}
	if (any)
		poller_timer_set(bb->poller, timer, BLKBACK_REFRESH_US);
}

/* ---- the device class ---- */

static int vbd_create(struct device *dev, void *ctx)
{
	struct blkback_vbd *vbd = calloc(1, sizeof(*vbd));

	if (!vbd)
		return -ENOMEM;
	vbd->bb = ctx;
	vbd->dev = dev;
	vbd->domid = dev->domid;
	vbd->item.poll = item_poll;
	vbd->item.arm = item_arm;
	vbd->storage = (struct poll_fd){.fd = -1, .ready = storage_ready};
	for (unsigned i = 0; i < BLKBACK_QUEUES; i++)
		vbd->queue[i].vbd = vbd;
	TAILQ_INSERT_TAIL(&vbd->bb->vbds, vbd, next);
	dev->priv = vbd;
	return 0;
}

/* Closing the disk waits for what is under way: only then may the pages go. */
static void vbd_destroy(struct device *dev)
{
	struct blkback_vbd *vbd = dev->priv;

	blkback_open_abandon(vbd);
	disk_close(vbd);
	session_end(vbd);
	poller_remove(vbd->bb->poller, &vbd->item);
	TAILQ_REMOVE(&vbd->bb->vbds, vbd, next);
	free(vbd);
	dev->priv = NULL;
}

const struct device_class blkback_class = {
	.type = "vbd",
	.script = "block-sluice",
	.adopts = false,
	.create = vbd_create,
	.prepare = vbd_prepare,
	.advertise = vbd_advertise,
	.connect = vbd_connect,
	.disconnect = vbd_disconnect,
	.draining = vbd_draining,
	.changed = vbd_changed,
	.destroy = vbd_destroy,
};

/* ---- what the vbds share ---- */

int blkback_init(struct blkback *bb)
{
	TAILQ_INIT(&bb->vbds);
	TAILQ_INIT(&bb->opens);
	bb->refresh.fire = refresh_due;
	bb->burst = calloc(1, sizeof(*bb->burst));
	return bb->burst ? 0 : -ENOMEM;
}

void blkback_fini(struct blkback *bb)
{
	if (!bb->burst)
		return;
	blkback_open_fini(bb);
	poller_timer_cancel(bb->poller, &bb->refresh);
	free(bb->burst);
	bb->burst = NULL;
}
