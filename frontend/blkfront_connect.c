/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blkfront's handshake: the states and keys of Linux's blkfront, so that it works with any blkback. Driven by two watches (our own node, the back end's state);
 * nothing here waits but the XenStore calls. A back end that dies and comes back says Closing (or is in InitWait again): we take our grants back, keep every io
 * that it did not answer, say Closed, and the handshake starts afresh. A back end that says Connected again has changed the disk's size.
 */
#include "blkfront_private.h"
#include <errno.h>
#include <string.h>

#define MAX_MOVES 8u /* state changes in one call of blkfront_step */
#define SECTORS_MAX (INT64_MAX / BLKFRONT_SECTOR)
#define SECTOR_SIZE_MAX SLUICE_PAGE_SIZE

struct blkfront *blkfront_create(struct xenbus *xb, uint32_t number, const struct blkfront_options *options)
{
	struct blkfront *bf = port_alloc(sizeof(*bf));
	size_t at = sizeof("device/vbd/") - 1;

	if (!bf)
		return NULL;
	if (blkfront_pool_init(bf, options->pages)) {
		blkfront_pool_free(bf);
		port_free(bf);
		return NULL;
	}
	bf->xb = xb;
	bf->handle = (uint16_t)number;
	memcpy(bf->dir, "device/vbd/", at);
	for (uint32_t unit = 1000000000; unit; unit /= 10)
		if (number >= unit || unit == 1)
			bf->dir[at++] = (char)('0' + number / unit % 10);
	bf->backend_watch = -1;
	bf->own_watch = xenbus_watch(xb, bf->dir, "backend");
	return bf;
}

/* ---- a connection's end, and its start ---- */

static void disconnect(struct blkfront *bf)
{
	blkfront_ring_stop(bf);
	if (bf->queue.port)
		port_evtchn_close(bf->queue.port);
	bf->queue.port = 0;
	blkfront_grants_end(bf);
}

static uint64_t read_number(struct blkfront *bf, const char *key, uint64_t otherwise)
{
	uint64_t v;

	return xenbus_read_number(bf->xb, XENBUS_NO_TXN, bf->backend, key, &v) ? otherwise : v;
}

/* Pages of the ring: the back end says how many it takes in one of two ways. */
static unsigned ring_pages(struct blkfront *bf)
{
	uint64_t order = read_number(bf, "max-ring-page-order", 0), pages = read_number(bf, "max-ring-pages", 1);
	unsigned n = BLKFRONT_RING_PAGES;

	while (n > 1 && n > pages && (order >= 32 ? 0 : n > 1ull << order))
		n /= 2;
	return n;
}

struct key {
	char name[24];
	uint64_t value;
	bool wanted;
};

/* Ring keys: "ring-ref" for one page, else both schemes' size and "ring-ref<i>". Those of the other kind are taken away. */
static unsigned ring_keys(const struct blkfront_queue *q, struct key *keys)
{
	bool several = q->nr_pages > 1;
	unsigned n = 0;

	keys[n++] = (struct key){ "ring-ref", q->ref[0], !several };
	keys[n++] = (struct key){ "ring-page-order", (uint64_t)__builtin_ctz(q->nr_pages), several };
	keys[n++] = (struct key){ "num-ring-pages", q->nr_pages, several };
	for (unsigned i = 0; i < BLKFRONT_RING_PAGES; i++) {
		struct key k = { "ring-ref", q->ref[i], several && i < q->nr_pages };

		k.name[sizeof("ring-ref") - 1] = (char)('0' + i);
		keys[n++] = k;
	}
	return n;
}

static int write_keys(struct blkfront *bf, xenbus_txn_t txn)
{
	struct key keys[6 + BLKFRONT_RING_PAGES];
	unsigned n = ring_keys(&bf->queue, keys);
	int rc;

	keys[n++] = (struct key){ "event-channel", bf->queue.port, true };
	keys[n++] = (struct key){ "feature-persistent", 1, true };
	keys[n++] = (struct key){ "multi-queue-num-queues", 0, false }; /* one queue is the plain scheme */
	for (unsigned i = 0; i < n; i++) {
		rc = keys[i].wanted ? xenbus_write_number(bf->xb, txn, bf->dir, keys[i].name, keys[i].value) :
				      xenbus_rm(bf->xb, txn, bf->dir, keys[i].name);
		if (rc && (keys[i].wanted || rc != -ENOENT))
			return rc;
	}
	return xenbus_write(bf->xb, txn, bf->dir, "protocol", XEN_IO_PROTO_ABI_X86_64);
}

static int publish(struct blkfront *bf)
{
	xenbus_txn_t txn;
	int rc = -EAGAIN;

	for (unsigned i = 0; rc == -EAGAIN && i < XENBUS_TXN_TRIES; i++) {
		int end;

		rc = xenbus_txn_start(bf->xb, &txn);
		if (rc)
			return rc;
		rc = write_keys(bf, txn);
		end = xenbus_txn_end(bf->xb, txn, !rc);
		if (!rc)
			rc = end;
	}
	return rc ? rc : xenbus_switch_state(bf->xb, XENBUS_NO_TXN, bf->dir, XenbusStateInitialised);
}

static int connect(struct blkfront *bf)
{
	int rc = blkfront_grants_start(bf, ring_pages(bf));

	if (!rc)
		rc = port_evtchn_alloc(bf->backend_id, &bf->queue.port);
	if (!rc)
		rc = front_ring_init(&bf->queue.ring, bf->queue.pages, bf->queue.nr_pages, sizeof(union blkif_sring_entry));
	if (!rc)
		rc = publish(bf);
	if (!rc)
		return 0;
	port_log(PORT_LOG_ERROR, "%s: cannot connect (error %d): out of grant entries or memory, or XenStore refused", bf->dir, rc);
	disconnect(bf);
	return rc;
}

/* ---- the disk ---- */

/* "sectors" counts 512 bytes, as Linux has it on both sides and later versions of xen/io/blkif.h say, too. */
static int read_size(struct blkfront *bf)
{
	uint64_t sectors;
	int rc = xenbus_read_number(bf->xb, XENBUS_NO_TXN, bf->backend, "sectors", &sectors);

	if (rc || sectors > SECTORS_MAX)
		return rc ? rc : -EINVAL;
	bf->info.sectors = sectors;
	return 0;
}

static void read_discard(struct blkfront *bf)
{
	struct blkfront_info *info = &bf->info;

	info->can_discard = !info->readonly && xenbus_read_feature(bf->xb, bf->backend, "feature-discard");
	info->can_secure_discard = info->can_discard && xenbus_read_feature(bf->xb, bf->backend, "discard-secure");
	info->discard_granularity = (uint32_t)read_number(bf, "discard-granularity", info->sector_size);
	info->discard_alignment = (uint32_t)read_number(bf, "discard-alignment", 0);
}

static void read_features(struct blkfront *bf)
{
	struct blkfront_info *info = &bf->info;
	uint64_t flags = read_number(bf, "info", 0), segments = read_number(bf, "feature-max-indirect-segments", 0);
	bool flush = xenbus_read_feature(bf->xb, bf->backend, "feature-flush-cache");

	info->readonly = flags & VDISK_READONLY;
	info->removable = flags & VDISK_REMOVABLE;
	info->cdrom = flags & VDISK_CDROM;
	bf->can_barrier = !flush && xenbus_read_feature(bf->xb, bf->backend, "feature-barrier");
	info->can_flush = flush || bf->can_barrier;
	info->persistent = xenbus_read_feature(bf->xb, bf->backend, "feature-persistent");
	info->max_segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;
	if (segments > info->max_segments)
		info->max_segments = segments < BLKFRONT_IO_PAGES ? (unsigned)segments : BLKFRONT_IO_PAGES;
	info->ring_slots = bf->queue.ring.nr;
	read_discard(bf);
}

static bool power_of_two(uint64_t v)
{
	return v && !(v & (v - 1));
}

/* What the back end has written before it said Connected. -EINVAL when it is no disk. */
static int read_disk(struct blkfront *bf)
{
	uint64_t size = read_number(bf, "sector-size", BLKFRONT_SECTOR), physical = read_number(bf, "physical-sector-size", size);
	int rc = read_size(bf);

	if (rc)
		return rc;
	if (size < BLKFRONT_SECTOR || size > SECTOR_SIZE_MAX || !power_of_two(size))
		return -EINVAL;
	bf->info.sector_size = (uint32_t)size;
	bf->info.physical_sector_size = physical >= size && physical <= UINT32_MAX && physical % size == 0 ? (uint32_t)physical : (uint32_t)size;
	read_features(bf);
	return 0;
}

/* ---- the device's own node ---- */

/* Where the back end is. -ENOENT: not there yet. */
static int find_device(struct blkfront *bf)
{
	uint64_t id, state;
	int rc = xenbus_read(bf->xb, XENBUS_NO_TXN, bf->dir, "backend", bf->backend, sizeof(bf->backend));

	if (rc < 0)
		return rc;
	rc = xenbus_read_number(bf->xb, XENBUS_NO_TXN, bf->dir, "backend-id", &id);
	if (rc || id >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	bf->backend_id = (domid_t)id;
	bf->backend_watch = xenbus_watch(bf->xb, bf->backend, "state");
	if (bf->backend_watch < 0)
		return bf->backend_watch;
	if (!xenbus_read_number(bf->xb, XENBUS_NO_TXN, bf->dir, "state", &state) && state == XenbusStateInitialising)
		return 0;
	return xenbus_switch_state(bf->xb, XENBUS_NO_TXN, bf->dir, XenbusStateInitialising);
}

/* No back end will serve us again, as far as we know: nobody shall wait for it. Until `reopen`. */
static void give_up(struct blkfront *bf, int error)
{
	bf->gone = error;
	blkfront_fail_all(bf, error);
}

/* Our node was removed, or points to another back end: start from the beginning. */
static void check_device(struct blkfront *bf)
{
	char backend[XENBUS_PATH_MAX];
	int rc = xenbus_read(bf->xb, XENBUS_NO_TXN, bf->dir, "backend", backend, sizeof(backend));

	if (bf->phase == BLK_ABSENT || (rc >= 0 && !memcmp(backend, bf->backend, (size_t)rc + 1)))
		return;
	disconnect(bf);
	xenbus_unwatch(bf->xb, bf->backend_watch);
	bf->backend_watch = -1;
	bf->phase = BLK_ABSENT;
	if (rc == -ENOENT)
		give_up(bf, -ENODEV);
}

/* ---- the states ---- */

static void close_vbd(struct blkfront *bf)
{
	disconnect(bf);
	xenbus_switch_state(bf->xb, XENBUS_NO_TXN, bf->dir, XenbusStateClosed);
	bf->phase = BLK_CLOSED;
}

static void reopen(struct blkfront *bf)
{
	if (xenbus_switch_state(bf->xb, XENBUS_NO_TXN, bf->dir, XenbusStateInitialising))
		return;
	bf->phase = BLK_INITIALISING;
	bf->gone = 0;
}

/* A back end that waits in Closed does so for our Initialising, if its device is to stay (`online`): that is how Linux's does it. */
static void move_closed(struct blkfront *bf, enum xenbus_state backend)
{
	if (bf->violations >= BLKFRONT_VIOLATIONS)
		return;
	if (backend == XenbusStateInitWait) {
		reopen(bf);
	} else if (backend == XenbusStateClosed) {
		if (!xenbus_read_feature(bf->xb, bf->backend, "online"))
			give_up(bf, -ENODEV); /* detached */
		else if (!bf->violations)
			reopen(bf);
	}
}

static void move_absent(struct blkfront *bf)
{
	int rc = find_device(bf);

	if (!rc) {
		bf->phase = BLK_INITIALISING;
		bf->gone = 0;
		return;
	}
	xenbus_unwatch(bf->xb, bf->backend_watch);
	bf->backend_watch = -1;
	if (rc != -ENOENT)
		port_log(PORT_LOG_ERROR, "%s: backend or backend-id in XenStore make no sense (error %d)", bf->dir, rc);
}

/* The back end is Connected: take over what it says of the disk, and begin. */
static void start(struct blkfront *bf)
{
	int rc = read_disk(bf);

	if (!rc)
		rc = xenbus_switch_state(bf->xb, XENBUS_NO_TXN, bf->dir, XenbusStateConnected);
	if (rc) {
		port_log(PORT_LOG_ERROR, "%s: the back end's sectors or sector-size make no sense (error %d); the vbd is closed", bf->dir, rc);
		return close_vbd(bf);
	}
	bf->phase = BLK_CONNECTED;
	blkfront_ring_start(bf);
}

/* The back end has said Connected once more. */
static void resize(struct blkfront *bf)
{
	if (read_size(bf))
		port_log(PORT_LOG_ERROR, "%s: the back end's new sectors make no sense; the size stays", bf->dir);
}

/* One move of the state machine for what the back end says now. A failed connect is not tried again before the back end moves. */
static void move(struct blkfront *bf, enum xenbus_state backend)
{
	bool closing = backend == XenbusStateClosing || backend == XenbusStateClosed || backend == XenbusStateUnknown;
	bool restarted = backend == XenbusStateInitialising || backend == XenbusStateInitWait;

	switch (bf->phase) {
	case BLK_INITIALISING:
		if (backend == XenbusStateClosing)
			close_vbd(bf);
		else if (backend == XenbusStateInitWait && !connect(bf))
			bf->phase = BLK_INITIALISED;
		else if (backend == XenbusStateInitWait)
			close_vbd(bf);
		break;
	case BLK_INITIALISED:
		if (backend == XenbusStateConnected)
			start(bf);
		else if (closing)
			close_vbd(bf);
		break;
	case BLK_CONNECTED:
		if (closing || restarted)
			close_vbd(bf);
		else if (backend == XenbusStateConnected)
			resize(bf);
		break;
	case BLK_CLOSED:
		move_closed(bf, backend);
		break;
	case BLK_ABSENT:
		break;
	}
}

static void end_violation(struct blkfront *bf)
{
	bf->violations++;
	port_log(PORT_LOG_ERROR, "%s: the back end broke the protocol: %s; the vbd is closed", bf->dir, bf->broken);
	bf->broken = NULL;
	close_vbd(bf);
	give_up(bf, -EIO);
}

static enum blkfront_state state_of(const struct blkfront *bf)
{
	switch (bf->phase) {
	case BLK_ABSENT:
		return BLKFRONT_ABSENT;
	case BLK_CONNECTED:
		return BLKFRONT_CONNECTED;
	case BLK_CLOSED:
		return BLKFRONT_CLOSED;
	default:
		return BLKFRONT_CONNECTING;
	}
}

enum blkfront_state blkfront_step(struct blkfront *bf)
{
	bool own = xenbus_watch_take(bf->xb, bf->own_watch), backend = xenbus_watch_take(bf->xb, bf->backend_watch);

	if (bf->broken)
		end_violation(bf);
	if (own) {
		check_device(bf);
		if (bf->phase == BLK_ABSENT)
			move_absent(bf);
	}
	if (!own && !backend)
		return state_of(bf);
	for (unsigned i = 0; i < MAX_MOVES && bf->phase != BLK_ABSENT; i++) {
		enum blkfront_phase before = bf->phase;

		move(bf, xenbus_read_state(bf->xb, bf->backend));
		if (bf->phase == before || (before == BLK_INITIALISING && bf->phase == BLK_CLOSED))
			break;
	}
	return state_of(bf);
}

const struct blkfront_info *blkfront_info(const struct blkfront *bf)
{
	return &bf->info;
}

const struct blkfront_stats *blkfront_stats(const struct blkfront *bf)
{
	return &bf->stats;
}

void blkfront_destroy(struct blkfront *bf)
{
	if (!bf)
		return;
	if (bf->phase != BLK_ABSENT)
		close_vbd(bf);
	xenbus_unwatch(bf->xb, bf->backend_watch);
	xenbus_unwatch(bf->xb, bf->own_watch);
	blkfront_pool_free(bf);
	port_free(bf);
}
