/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blkback: the back end of a vbd (xen/io/blkif.h). blkback_connect.c does the handshake, blkback.c carries requests from the rings to storage (blkdev.h) and
 * answers them as they finish, blkback_grants.c keeps a guest's persistent grants mapped, blkback_open.c opens disks without blocking. This header is theirs, main.c's
 * and the tests'.
 *
 * Two severities: a bad request gets an error response and the vbd goes on; a ring whose indices lie fails the device (device_fail), and only that one.
 *
 * A request's life: its slot is copied once, parsed and checked (rings/blk_segments.h), its pages are mapped, it is submitted, it ends, its pages are unmapped (or
 * kept, when persistent), it is answered. When the session ends (disconnect), what the front end has posted until then is still done and answered, without
 * blocking anybody: Linux waits for the last answer before it gives a disk up. The device stays in Closing until then, so that no late write of an old session
 * falls into a new one. When it was not the front end's wish (block-detach), Linux may even have requests in hand that it posts after it has said Closed, when
 * an event makes it look: it gets one, and what it posts then is served, too (blkback_linger).
 */
#ifndef BACKEND_BLKBACK_H
#define BACKEND_BLKBACK_H

#include "blkdev.h"
#include "device.h"
#include "grants.h"
#include <rings/back_ring.h>
#include <rings/blk_segments.h>

#define BLKBACK_QUEUES 4u
#define BLKBACK_RING_ORDER 4u  /* rings of up to 16 pages, as Linux */
#define BLKBACK_RING_PAGES (1u << BLKBACK_RING_ORDER)
#define BLKBACK_BURST 32u      /* requests that one queue may have taken at a time */
#define BLKBACK_MAP_OPS 1024u  /* pages mapped in one call */
#define BLKBACK_UNMAP_OPS 512u
#define BLKBACK_GRANTS 1056u   /* persistent grants of a vbd that are kept mapped: Linux' default */
#define BLKBACK_SEGMENTS 2048u /* of requests under way; beyond it a vbd's requests stay on its rings, so that no guest takes all that can be mapped */
#define BLKBACK_SLOW_US 40u /* whoever takes longer to answer is not polled for: a sleep and a wake-up cost some 10 */
#define BLKBACK_FAST_US 20u /* until it takes less than this again */
#define BLKBACK_PACE_MOST_US 1000u /* what one long time counts for, as of a guest that had nothing to ask */
#define BLKBACK_GUEST_TRY 16u /* how often a slow guest is polled for all the same */
#define BLKBACK_LINGER_US 50000u /* after a disk was taken away: until its guest has posted nothing for so long */
#define BLKBACK_LINGERS 100u     /* but not longer than these */
#define BLKBACK_REFRESH_US 2000000u /* how often a disk's size is looked at */

struct blkback_vbd;

/* ---- persistent grants of one vbd: blkback_grants.c ---- */

struct blkback_grant {
	gref_t gref;
	uint32_t handle, refs; /* refs: segments of requests under way */
	void *va;              /* NULL: is being mapped, or could not be */
	unsigned buffer;       /* its number at the storage, which keeps the page pinned; 0: it does not */
	int16_t chain;         /* next with the same hash, or next free; -1 */
	TAILQ_ENTRY(blkback_grant) lru; /* while refs is 0: the one that was used longest ago comes first */
};

#define BLKBACK_GRANT_BUCKETS 1024u
struct blkback_grants {
	unsigned nr; /* in use */
	int16_t bucket[BLKBACK_GRANT_BUCKETS], free;
	TAILQ_HEAD(, blkback_grant) idle;
	struct blkback_grant entry[BLKBACK_GRANTS];
};

void blkback_grants_init(struct blkback_grants *t);
/* The entry of gref, held; NULL when there is none. */
struct blkback_grant *blkback_grants_get(struct blkback_grants *t, gref_t gref);
/* A new entry for gref, held, va NULL: the caller maps it and says blkback_grants_mapped. Unmaps the entry that was used longest ago when the table is full;
 * NULL when all are held. disk: where pages are registered; NULL when it is closed, which has forgotten them. */
struct blkback_grant *blkback_grants_add(struct blkback_grants *t, struct hv *hv, struct blkdev *disk, gref_t gref);
/* There it is. Registers it with the storage. */
void blkback_grants_mapped(const struct blkback_grants *t, struct blkdev *disk, struct blkback_grant *g, void *va, uint32_t handle);
/* Held no more. One that was never mapped goes. */
void blkback_grants_put(struct blkback_grants *t, struct blkback_grant *g);
/* Unmaps all; none may be held. */
void blkback_grants_drop(struct blkback_grants *t, struct hv *hv, struct blkdev *disk);

/* ---- requests and queues ---- */

/* One mapped segment. */
struct blkback_map {
	struct blkback_grant *kept; /* NULL: unmapped after the request */
	void *va;                   /* NULL: not mapped */
	uint32_t handle;
};

/* What of a barrier, or of a flush with data, is under way. All else has one step. */
enum blkback_step { BLKBACK_ONLY, BLKBACK_BEFORE, BLKBACK_DATA, BLKBACK_AFTER };

struct blkback_request {
	struct blkdev_io io;
	struct blk_request r;
	struct blkback_queue *q;
	struct blkback_request *next; /* free; or itself while its descriptors are fetched */
	enum blkback_step step;
	unsigned nr_maps;
	struct blkback_map map[BLK_SEGMENTS_MAX];
};

struct blkback_queue {
	struct blkback_vbd *vbd;
	void *pages;
	unsigned nr_pages;
	struct back_ring ring;
	evtchn_t port;
	struct blkback_request *request; /* as many as the ring has slots */
	struct blkback_request *free;
	struct blkback_request *barrier; /* taken off the ring; nothing after it is taken until it has ended */
	bool barrier_runs;
	unsigned inflight;               /* at the storage, the barrier included */
	unsigned left;                   /* of a stopped session: requests that are still to be taken */
};

struct blkback_stats {
	uint64_t requests, segments, bad, failed; /* bad: refused here; failed: by the storage */
	uint64_t maps, bursts;
};

/* How long an answer takes. TSC ticks. */
struct blkback_pace {
	uint64_t from; /* of the one that is waited for */
	uint64_t mean; /* a moving one */
	bool slow;
};

struct blkback_vbd {
	struct poll_item item; /* all queues */
	struct poll_fd storage;
	struct blkback *bb;
	struct device *dev;
	domid_t domid;
	/* the disk: open from the first offer until the device is destroyed */
	struct blkdev *disk;
	struct blkback_open *opening;
	char *params;
	char why[256]; /* of the last failure to open it */
	bool asked_readonly; /* by the toolstack */
	bool readonly;       /* as offered to the guest */
	uint32_t info; /* VDISK_* */
	bool discard;
	struct blk_limits limits;
	bool resized;  /* the guest was not told yet */
	/* the session */
	bool live;     /* connected and not failed */
	bool session;  /* from connect until the last request under way has ended */
	bool stopped;  /* disconnected, and the session is not over */
	struct poll_timer linger;     /* of a stopped session that still takes requests */
	unsigned lingers;             /* times that it may be set again; 0: it takes no more than what is `left` */
	uint64_t linger_requests;     /* stats.requests when it was set */
	unsigned segments; /* of requests under way */
	bool queued;   /* something was submitted since the last kick */
	const struct blkdev_io *timed; /* one of those that are under way; NULL: none is timed */
	struct blkback_pace storage_pace; /* from the submission of the timed io to its end */
	struct blkback_pace guest_pace;   /* from the answer to the last of its requests to its next ones; of those that were polled for */
	bool guest_polled;    /* it is the guest's move, and that is polled for */
	uint64_t guest_moves;
	enum blk_layout layout;
	bool persistent;
	unsigned nr_queues;
	struct blkback_queue queue[BLKBACK_QUEUES];
	struct blkback_grants *grants; /* with `persistent` */
	struct backend_log_limit limit;
	struct blkback_stats stats;
	TAILQ_ENTRY(blkback_vbd) next;
};

/* Scratch of one burst: private memory of the one thread, reused by all vbds. */
struct blkback_burst {
	unsigned nr, nr_segs; /* to be started, and their segments */
	struct blkback_request *request[BLKBACK_BURST];
	struct copy_batch copies;
	struct blk_segment descriptors[BLKBACK_BURST][BLK_SEGMENTS_MAX];
	unsigned nr_maps;
	struct hv_map_op map[BLKBACK_MAP_OPS];
	struct blkback_map *map_of[BLKBACK_MAP_OPS];
	unsigned nr_unmaps;
	struct hv_unmap_op unmap[BLKBACK_UNMAP_OPS];
};

/* What all vbds of a back end share. */
struct blkback {
	struct hv *hv;
	struct poller *poller;
	int (*open)(const char *target, bool readonly, struct blkdev **out, char err[256]); /* blkdev_open; tests have another. In any thread */
	struct blkback_burst *burst;
	struct poll_timer refresh;
	TAILQ_HEAD(, blkback_vbd) vbds;
	TAILQ_HEAD(, blkback_open) opens;
};

extern const struct device_class blkback_class; /* ctx is a struct blkback */

/* hv, poller and open are set by the caller. 0, -ENOMEM. */
int blkback_init(struct blkback *bb);
void blkback_fini(struct blkback *bb); /* after the devices are gone */

/* ---- blkback_open.c, for blkback_connect.c ---- */

/* -EINPROGRESS: device_look will be called when it is over; another -errno when it cannot even begin. */
int blkback_open_start(struct blkback_vbd *vbd, const char *params, bool readonly);
/* Is it this one that is being opened? */
bool blkback_open_is(const struct blkback_vbd *vbd, const char *params, bool readonly);
/* What came of it: -EINPROGRESS, or 0 and vbd->disk, or -errno and vbd->why. */
int blkback_open_take(struct blkback_vbd *vbd);
/* Not wanted any more; fine when there is none. */
void blkback_open_abandon(struct blkback_vbd *vbd);
/* Waits for those that nobody wanted. */
void blkback_open_fini(struct blkback *bb);

/* ---- blkback.c, for blkback_connect.c ---- */

/* One burst: take requests, start them, collect what ended, answer. How much was done. */
unsigned blkback_poll(struct blkback_vbd *vbd);
/* Ask for events at the next requests; true when there is something to do already. */
bool blkback_arm(struct blkback_vbd *vbd);
/* The session ends: only what stands in the rings now is taken any more. blkback_session_over follows when blkback_drained. */
void blkback_stop(struct blkback_vbd *vbd);
/* The session ends, but by our wish: as above once the guest has had time to post what it still has in hand. */
void blkback_linger(struct blkback_vbd *vbd);
/* All that was taken, or will be, is answered. */
bool blkback_drained(const struct blkback_vbd *vbd);
/* Requests that are at the storage. */
unsigned blkback_inflight(const struct blkback_vbd *vbd);
/* All requests of a queue free; ring and nr are set. */
int blkback_queue_init(struct blkback_queue *q);
/* Unmaps all that requests still hold, those at the storage too: only when the storage is closed or done. Frees them. */
void blkback_queue_fini(struct blkback_queue *q);

/* blkback_connect.c, for blkback_poll: a stopped session is drained. */
void blkback_session_over(struct blkback_vbd *vbd);

#endif
