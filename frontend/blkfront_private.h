/* SPDX-License-Identifier: BSD-3-Clause */
/* What blkfront.c (data path), blkfront_pages.c (granted memory) and blkfront_connect.c (handshake) share. */
#ifndef FRONTEND_BLKFRONT_PRIVATE_H
#define FRONTEND_BLKFRONT_PRIVATE_H

#include "blkfront.h"
#include <rings/front_ring.h>
#include <sluice/port.h>

#define BLKFRONT_RING_ORDER 2u /* log2 of the ring's pages, if the back end takes so many */
#define BLKFRONT_RING_PAGES (1u << BLKFRONT_RING_ORDER)
#define BLKFRONT_SLOTS 128u /* requests in such a ring */
#define BLKFRONT_POOL_PAGES 1024u
#define BLKFRONT_VIOLATIONS 3u /* so often may back ends break the protocol before the vbd stays closed */

/* A page and its grant. In a connection every page has one; outside of it only one that a dead back end still holds. */
struct blkfront_grant {
	void *page;  /* NULL: not allocated yet */
	gref_t gref; /* SLUICE_INVALID_GREF: not granted */
};

/* Pages that must not be used again before a dead back end has let go of all of them. */
struct blkfront_deferred {
	void *pages;
	unsigned n;
	gref_t gref[BLKFRONT_RING_PAGES];
};

/* A request in the ring. */
struct blkfront_shadow {
	struct blkfront_io *io; /* NULL: the id is free */
	uint8_t op, indirect_op;
	struct blkfront_grant segments; /* the page for the list of an indirect request */
};

/* What is there once for each queue (we use one). */
struct blkfront_queue {
	struct front_ring ring;
	evtchn_t port;
	void *pages; /* the ring; NULL: nothing is granted */
	unsigned nr_pages;
	gref_t ref[BLKFRONT_RING_PAGES];
	struct blkfront_shadow shadow[BLKFRONT_SLOTS];
	uint8_t free_id[BLKFRONT_SLOTS]; /* a stack */
	unsigned nr_free;
};

/* The pages for data. Recycled last in, first out, so that a back end that keeps few mapped sees few. */
struct blkfront_pool {
	struct blkfront_grant *grant;
	uint16_t *free; /* a stack of indices */
	unsigned max, nr, nr_free;
};

enum blkfront_phase {
	BLK_ABSENT,
	BLK_INITIALISING, /* we say Initialising, and wait for InitWait */
	BLK_INITIALISED,  /* we say Initialised, and wait for Connected */
	BLK_CONNECTED,
	BLK_CLOSED,       /* we say Closed */
};

struct blkfront {
	/* data path */
	bool connected;     /* the ring is there, and the back end serves it */
	const char *broken; /* how the back end broke the protocol; NULL: not */
	int gone;           /* not 0: ios are answered with this, no back end will come */
	bool can_barrier;   /* a barrier must do for a flush */
	struct blkfront_io *first, *last; /* not answered yet, as they were submitted */
	struct blkfront_io *unissued;     /* the first of them that is not wholly in the ring */
	struct blkfront_io *done_first, *done_last;
	struct blkfront_queue queue;
	struct blkfront_pool pool;
	struct blkfront_info info;
	struct blkfront_stats stats;

	/* handshake */
	enum blkfront_phase phase;
	struct xenbus *xb;
	char dir[32];                  /* device/vbd/<number> */
	char backend[XENBUS_PATH_MAX]; /* the back end's directory */
	domid_t backend_id;
	uint16_t handle;
	int own_watch, backend_watch;  /* negative: none */
	unsigned violations;
	struct blkfront_deferred *deferred;
	unsigned nr_deferred, max_deferred;
};

/* ---- blkfront.c ---- */
/* The ring is fresh and empty: start, with what an earlier back end left unanswered. */
void blkfront_ring_start(struct blkfront *bf);
/* The connection has ended: everything that is not answered has to be issued again. */
void blkfront_ring_stop(struct blkfront *bf);
/* Answer everything with -errno. */
void blkfront_fail_all(struct blkfront *bf, int error);

/* ---- blkfront_pages.c ---- */
int blkfront_pool_init(struct blkfront *bf, unsigned pages);
void blkfront_pool_free(struct blkfront *bf);
/* n pages, or none. They are granted, now or when a connection starts. */
bool blkfront_pool_take(struct blkfront *bf, uint16_t *ids, unsigned n);
void blkfront_pool_give(struct blkfront *bf, const uint16_t *ids, unsigned n);
/* The page for an indirect request's list, granted; false when there is none to be had. */
bool blkfront_segments_page(struct blkfront *bf, struct blkfront_shadow *s);
/* Allocate and grant a ring of so many pages; grant the pages that are there. 0 or -errno; then blkfront_grants_end. */
int blkfront_grants_start(struct blkfront *bf, unsigned ring_pages);
/* Take back what the back end lets go. */
void blkfront_grants_end(struct blkfront *bf);

#endif
