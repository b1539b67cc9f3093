/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block back end in a test: hv_fake, the poller, blkback over a disk that the test holds in its hand, and blkfronts that are driven by hand and can lie. The
 * test turns the poller itself.
 */
#ifndef TESTS_BLK_WORLD_H
#define TESTS_BLK_WORLD_H

#include <backend/blkback.h>
#include <backend/hv/hv_fake.h>
#include <rings/front_ring.h>

/* ---- the disk ---- */

#define BLK_DISK_HELD 1024u

/* Storage behind a name. Ios end when the test lets them (hold), in whatever order it likes, or at once. */
struct blk_disk {
	struct blkdev dev;
	const char *name;
	uint8_t *bytes;
	bool hold;             /* ios wait for blk_disk_end */
	int open_error, fail;  /* -errno of the next open; of all ios from now on */
	bool pins_none;        /* memory is not registered */
	uint8_t *registered[1 + BLKDEV_BUFFERS]; /* by number; NULL: none */
	unsigned nr_registered, nr_refused, by_number; /* by_number: ios that named registered memory */
	bool opened, resized;
	uint64_t next_size;    /* with resized: what refresh finds */
	int fd;
	unsigned nr_held, nr_ended;
	struct blkdev_io *held[BLK_DISK_HELD], *ended[BLK_DISK_HELD];
	unsigned ops[5], kicks; /* by enum blkdev_op */
	enum blkdev_op log[64]; /* the first of them */
	unsigned nr_log;
};

void blk_disk_init(struct blk_disk *d, const char *name, uint64_t size, uint32_t sector_size);
void blk_disk_fini(struct blk_disk *d);
/* Do the i-th held io, which then ends. */
void blk_disk_end(struct blk_disk *d, unsigned i);

/* ---- the back end ---- */

struct blk_world {
	struct hv *hv;
	struct poller *poller;
	struct blkback bb;
	struct devices *devices;
};

void blk_world_create(struct blk_world *w);
/* Asserts that no mapping and no event channel is left behind. */
void blk_world_destroy(struct blk_world *w);
/* The back end alone: as when its process ends and another starts. */
void blk_world_start(struct blk_world *w);
void blk_world_stop(struct blk_world *w);
void blk_world_run_ms(struct blk_world *w, unsigned ms);
/* Until all that the store and the rings hold is dealt with. */
void blk_world_settle(struct blk_world *w);

/* ---- the toolstack ---- */

/* extra: NULL, or one more key of the back end's node, "discard-enable=0". */
void toolstack_add_vbd(struct hv *hv, domid_t domid, unsigned devid, const char *params, const char *mode, const char *extra);
void toolstack_remove_vbd(struct hv *hv, domid_t domid, unsigned devid);

/* ---- a blkfront ---- */

#define BLK_PEER_BUFFERS 512u
#define BLK_PEER_DEVID 51712u

struct blk_peer_queue {
	uint8_t *pages;
	gref_t gref[BLKBACK_RING_PAGES];
	evtchn_t port;
	struct front_ring ring;
};

struct blk_peer {
	struct blk_world *w;
	domid_t domid;
	unsigned devid;
	/* how it connects; set before blk_peer_connect */
	enum blk_layout layout;
	bool persistent;
	bool num_ring_pages; /* the other scheme of keys */
	unsigned nr_queues, nr_pages;
	struct blk_peer_queue queue[BLKBACK_QUEUES];
	uint8_t *buffers;
	gref_t gref[BLK_PEER_BUFFERS];
	uint8_t *descriptors; /* a page of indirect descriptors, and its reference */
	gref_t descriptors_gref;
};

struct blk_peer_rsp {
	uint64_t id;
	uint8_t op;
	int16_t status;
};

/* A domain with its pages; nothing in the store. */
void blk_peer_init(struct blk_peer *p, struct blk_world *w, domid_t domid);
/* toolstack_add_vbd, then all the way to Connected. */
void blk_peer_add(struct blk_peer *p, const struct blk_disk *d, const char *mode);
void blk_peer_rings(struct blk_peer *p);
void blk_peer_keys(struct blk_peer *p);
void blk_peer_key(struct blk_peer *p, const char *key, const char *value);
void blk_peer_number(struct blk_peer *p, const char *key, unsigned long value);
void blk_peer_state(struct blk_peer *p, enum xenbus_state state);
void blk_peer_connect(struct blk_peer *p);
/* Asserts that the back end holds nothing of the rings any more. */
void blk_peer_disconnect(struct blk_peer *p);
/* The whole way down and up again. */
void blk_peer_reconnect(struct blk_peer *p);
int blk_peer_backend_state(struct blk_peer *p);
/* A key of the back end's node as a number; -1. */
long long blk_peer_backend_key(struct blk_peer *p, const char *key);
struct blkback_vbd *blk_peer_vbd(struct blk_peer *p);

uint8_t *blk_peer_buffer(struct blk_peer *p, unsigned i);
/* Segment: a part of buffer i. */
struct blk_segment blk_peer_seg(struct blk_peer *p, unsigned i, unsigned first, unsigned last);

/* Slots as the peer's layout has them. */
struct blk_peer_slot {
	uint8_t bytes[BLK_SLOT_SIZE_64];
};
struct blk_peer_slot blk_peer_rw(struct blk_peer *p, uint8_t op, uint64_t id, uint64_t sector, const struct blk_segment *seg, unsigned n);
struct blk_peer_slot blk_peer_indirect(struct blk_peer *p, uint8_t op, uint64_t id, uint64_t sector, unsigned n, gref_t page);
struct blk_peer_slot blk_peer_discard(struct blk_peer *p, uint64_t id, uint64_t sector, uint64_t n, uint8_t flag);
/* Onto queue q; shown to the back end with its event raised where it asked for that. */
void blk_peer_post(struct blk_peer *p, unsigned q, const struct blk_peer_slot *slot);
void blk_peer_push(struct blk_peer *p, unsigned q);
void blk_peer_send(struct blk_peer *p, unsigned q, struct blk_peer_slot slot);
/* The next response; false: none. */
bool blk_peer_take(struct blk_peer *p, unsigned q, struct blk_peer_rsp *rsp);
/* Send one, settle, take its response and assert that it is the only one; its status. */
int blk_peer_ask(struct blk_peer *p, struct blk_peer_slot slot);

/* Writes a page, reads it back into another, compares. */
void blk_peer_assert_works(struct blk_peer *p);

#endif
