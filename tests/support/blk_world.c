/* SPDX-License-Identifier: BSD-3-Clause */
/* A block back end in a test: see blk_world.h. The blkfront is in blk_peer.c. */
#include "blk_world.h"
#include "netback_world.h"
#include <errno.h>
#include <rte_cycles.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#define DISKS 8u

/* ---- the disk ---- */

static struct blk_disk *disks[DISKS]; /* by name, for blk_open */

static struct blk_disk *disk_of(struct blkdev *dev)
{
	return (struct blk_disk *)dev;
}

/* What an io says of registered memory is true, from its submission until its end. */
static void check_registered(const struct blk_disk *d, const struct blkdev_io *io)
{
	const uint8_t *from = io->iov[0].iov_base, *page = d->registered[io->buffer];

	if (!io->buffer || (io->op != BLKDEV_READ && io->op != BLKDEV_WRITE))
		return;
	assert_int_equal(io->niov, 1);
	assert_non_null(page);
	assert_true(from >= page && from + io->iov[0].iov_len <= page + SLUICE_PAGE_SIZE);
}

static void disk_run(struct blk_disk *d, struct blkdev_io *io)
{
	uint8_t *at = d->bytes + io->offset;

	check_registered(d, io);
	io->result = d->fail;
	if (d->fail || io->op == BLKDEV_FLUSH)
		return;
	assert_true(io->offset + io->len <= d->dev.info.size);
	for (unsigned i = 0; i < io->niov; i++) {
		if (io->op == BLKDEV_READ)
			memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
		else
			memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
		at += io->iov[i].iov_len;
	}
	if (io->op == BLKDEV_DISCARD)
		memset(at, 0xdd, io->len);
	else if (io->op == BLKDEV_SECURE_DISCARD)
		memset(at, 0, io->len);
	else
		assert_int_equal(at - (d->bytes + io->offset), io->len);
}

static void disk_end(struct blk_disk *d, struct blkdev_io *io)
{
	disk_run(d, io);
	assert_true(d->nr_ended < BLK_DISK_HELD);
	d->ended[d->nr_ended++] = io;
	if (d->fd >= 0)
		eventfd_write(d->fd, 1);
}

static void disk_submit(struct blkdev *dev, struct blkdev_io *io)
{
	struct blk_disk *d = disk_of(dev);

	check_registered(d, io);
	d->by_number += io->buffer && io->niov;
	d->ops[io->op]++;
	if (d->nr_log < sizeof(d->log) / sizeof(d->log[0]))
		d->log[d->nr_log++] = io->op;
	if (!d->hold) {
		disk_end(d, io);
		return;
	}
	assert_true(d->nr_held < BLK_DISK_HELD);
	d->held[d->nr_held++] = io;
}

void blk_disk_end(struct blk_disk *d, unsigned i)
{
	struct blkdev_io *io = d->held[i];

	assert_true(i < d->nr_held);
	d->nr_held--;
	memmove(&d->held[i], &d->held[i + 1], (d->nr_held - i) * sizeof(d->held[0]));
	disk_end(d, io);
}

static int disk_kick(struct blkdev *dev)
{
	disk_of(dev)->kicks++;
	return 0;
}

static unsigned disk_poll(struct blkdev *dev, struct blkdev_io **done, unsigned max)
{
	struct blk_disk *d = disk_of(dev);
	unsigned n = d->nr_ended < max ? d->nr_ended : max;
	eventfd_t value;

	memcpy(done, d->ended, n * sizeof(*done));
	d->nr_ended -= n;
	memmove(d->ended, d->ended + n, d->nr_ended * sizeof(*done));
	if (d->fd >= 0 && d->nr_ended == 0)
		eventfd_read(d->fd, &value);
	return n;
}

static int disk_fd(struct blkdev *dev)
{
	return disk_of(dev)->fd;
}

static bool disk_refresh(struct blkdev *dev)
{
	struct blk_disk *d = disk_of(dev);
	bool resized = d->resized;

	if (resized)
		dev->info.size = d->next_size;
	d->resized = false;
	return resized;
}

static int disk_register(struct blkdev *dev, unsigned number, void *base, size_t len)
{
	struct blk_disk *d = disk_of(dev);

	assert_true(number > 0 && number <= BLKDEV_BUFFERS);
	assert_null(d->registered[number]);
	assert_int_equal(len, SLUICE_PAGE_SIZE);
	d->nr_refused += d->pins_none;
	if (d->pins_none)
		return -EOPNOTSUPP;
	d->registered[number] = base;
	d->nr_registered++;
	return 0;
}

/* The memory is still there: a guest that had it back already would be written to. */
static void disk_forget(struct blkdev *dev, unsigned number)
{
	struct blk_disk *d = disk_of(dev);

	assert_non_null(d->registered[number]);
	(void)*(volatile uint8_t *)d->registered[number];
	d->registered[number] = NULL;
	d->nr_registered--;
}

static void disk_close(struct blkdev *dev)
{
	struct blk_disk *d = disk_of(dev);

	assert_true(d->opened);
	while (d->nr_held > 0)
		blk_disk_end(d, 0);
	d->nr_ended = d->nr_registered = 0;
	memset(d->registered, 0, sizeof(d->registered));
	d->opened = false;
}

static const struct blkdev_ops disk_ops = {
	.name = "test",
	.close = disk_close,
	.submit = disk_submit,
	.kick = disk_kick,
	.poll = disk_poll,
	.fd = disk_fd,
	.register_memory = disk_register,
	.forget_memory = disk_forget,
	.refresh = disk_refresh,
};

void blk_disk_init(struct blk_disk *d, const char *name, uint64_t size, uint32_t sector_size)
{
	unsigned i = 0;

	*d = (struct blk_disk){.name = name, .bytes = calloc(1, size), .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	d->dev.ops = &disk_ops;
	d->dev.info = (struct blkdev_info){.size = size, .sector_size = sector_size, .physical_sector_size = 4096, .can_flush = true,
					   .can_discard = true, .can_secure_discard = true, .discard_granularity = 4096};
	assert_non_null(d->bytes);
	while (i < DISKS && disks[i])
		i++;
	assert_true(i < DISKS);
	disks[i] = d;
}

void blk_disk_fini(struct blk_disk *d)
{
	assert_false(d->opened);
	for (unsigned i = 0; i < DISKS; i++)
		if (disks[i] == d)
			disks[i] = NULL;
	close(d->fd);
	free(d->bytes);
}

static int blk_open(const char *target, bool readonly, struct blkdev **out, char err[256])
{
	for (unsigned i = 0; i < DISKS; i++) {
		struct blk_disk *d = disks[i];

		if (!d || strcmp(d->name, target) != 0)
			continue;
		snprintf(err, 256, "%s: cannot be opened in this test", target);
		if (d->open_error)
			return d->open_error;
		assert_false(d->opened);
		d->opened = true;
		d->dev.info.readonly = readonly;
		*out = &d->dev;
		return 0;
	}
	snprintf(err, 256, "%s: no such disk; make one", target);
	return -ENOENT;
}

/* ---- the back end ---- */

static void flush(void *ctx)
{
	(void)ctx;
}

void blk_world_start(struct blk_world *w)
{
	assert_int_equal(poller_create(w->hv, flush, NULL, &w->poller), 0);
	w->bb = (struct blkback){.hv = w->hv, .poller = w->poller, .open = blk_open};
	assert_int_equal(blkback_init(&w->bb), 0);
	assert_int_equal(devices_create(w->hv, w->poller, &blkback_class, &w->bb, &w->devices), 0);
	blk_world_settle(w);
}

void blk_world_stop(struct blk_world *w)
{
	devices_destroy(w->devices);
	blkback_fini(&w->bb);
	poller_destroy(w->poller);
}

void blk_world_create(struct blk_world *w)
{
	memset(w, 0, sizeof(*w));
	world_start_eal(); /* for its clock */
	backend_log_level = BACKEND_ERROR;
	assert_int_equal(hv_fake_open(&w->hv), 0);
	blk_world_start(w);
}

void blk_world_destroy(struct blk_world *w)
{
	blk_world_stop(w);
	assert_int_equal(hv_fake_mapped(w->hv), 0);
	assert_int_equal(hv_fake_bound(w->hv), 0);
	w->hv->ops->close(w->hv);
}

void blk_world_run_ms(struct blk_world *w, unsigned ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;

	do
		poller_round(w->poller, false);
	while (rte_rdtsc() < end);
}

/* The poller looks at the store and at descriptors every millisecond; a handshake takes a few looks. However busy the machine is, each turn has one. */
void blk_world_settle(struct blk_world *w)
{
	for (unsigned looks = 0; looks < 5 || !TAILQ_EMPTY(&w->bb.opens); looks++) {
		uint64_t next = rte_rdtsc() + rte_get_tsc_hz() / 1000;

		do
			poller_round(w->poller, false);
		while (rte_rdtsc() < next);
		poller_round(w->poller, false);
	}
}

/* ---- the toolstack ---- */

static void write_key(struct hv *hv, const char *dir, const char *key, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	assert_int_equal(hv_fake_store_write(hv, 0, path, value), 0);
}

static void write_number(struct hv *hv, const char *dir, const char *key, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	write_key(hv, dir, key, text);
}

/* As libxl does. */
void toolstack_add_vbd(struct hv *hv, domid_t domid, unsigned devid, const char *params, const char *mode, const char *extra)
{
	char front[128], back[128];

	snprintf(front, sizeof(front), "/local/domain/%u/device/vbd/%u", domid, devid);
	snprintf(back, sizeof(back), "/local/domain/0/backend/vbd/%u/%u", domid, devid);
	write_key(hv, front, "backend", back);
	write_number(hv, front, "backend-id", 0);
	write_number(hv, front, "virtual-device", devid);
	write_key(hv, front, "device-type", "disk");
	write_number(hv, front, "state", XenbusStateInitialising);
	write_number(hv, back, "frontend-id", domid);
	write_number(hv, back, "online", 1);
	write_number(hv, back, "removable", 0);
	write_key(hv, back, "params", params);
	write_key(hv, back, "mode", mode);
	if (extra) {
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)strcspn(extra, "="), extra);
		write_key(hv, back, key, strchr(extra, '=') + 1);
	}
	write_number(hv, back, "state", XenbusStateInitialising);
	write_key(hv, back, "frontend", front);
}

void toolstack_remove_vbd(struct hv *hv, domid_t domid, unsigned devid)
{
	char path[128];

	snprintf(path, sizeof(path), "/local/domain/%u/device/vbd/%u", domid, devid);
	hv_fake_store_rm(hv, 0, path);
	snprintf(path, sizeof(path), "/local/domain/0/backend/vbd/%u/%u", domid, devid);
	hv_fake_store_rm(hv, 0, path);
}
