/* SPDX-License-Identifier: BSD-3-Clause */
/* What netfront.c (data path), netfront_ctrl.c (control ring) and netfront_connect.c (handshake) share. */
#ifndef FRONTEND_NETFRONT_PRIVATE_H
#define FRONTEND_NETFRONT_PRIVATE_H

#include "netfront.h"
#include <rings/front_ring.h>
#include <rings/net_slots.h>
#include <sluice/port.h>

#define NETFRONT_SLOTS 256u     /* of a one-page ring */
#define NETFRONT_RX_BUFS NETFRONT_SLOTS
/*
 * Buffers for packets to send: more than are ever under way, so that one rests before its turn comes again. A packet that the back end has just read is still in its core's own cache, and to
 * write over it there costs a third more than where all cores share (1500 bytes, each of them written and read: 6 million a second with 256 buffers, 8 and more with 512).
 */
#define NETFRONT_TX_BUFS 512u
#define NETFRONT_PAGES (NETFRONT_TX_BUFS + NETFRONT_RX_BUFS) /* of a queue's packets */
#define NETFRONT_DEFERRED (2 * NETFRONT_PAGES + 32u)         /* pages of a queue that a back end would not let go, over the connections */
#define NETFRONT_VIOLATIONS 3u /* so often may back ends break the protocol before the vif stays closed */

enum netfront_buf_state {
	BUF_FREE,   /* ours; tx: on the free stack */
	BUF_HELD,   /* the user of the vif has it */
	BUF_POSTED, /* in the ring: the back end has it */
};

/* The buffers of one direction, a page each; of those for rx, only the first are there. */
struct netfront_pool {
	void *page[NETFRONT_TX_BUFS];
	gref_t gref[NETFRONT_TX_BUFS]; /* SLUICE_INVALID_GREF: not granted */
	uint8_t state[NETFRONT_TX_BUFS];
};

/* The control ring; port is 0 when this back end has none. */
struct netfront_ctrl {
	void *page, *list;      /* the ring, and the page for lists of grants */
	gref_t page_ref, list_ref;
	evtchn_t port;
	struct front_ring ring;
	uint16_t id;            /* of the last message; 0: none was sent yet */
	uint16_t asked;         /* XEN_NETIF_CTRL_TYPE_* of the message that is not answered yet; 0: none */
	bool again;             /* a new back end has come while it was under way: when it is answered, all is asked from the beginning */
	bool partly;            /* all is asked for that reason: the new back end may have answered some of the old one's messages, and refuses those pages since it has them */
	uint32_t queue;         /* whose pages it is about: */
	uint32_t room, added, adding; /* how many it keeps of them, has and is being asked to add */
};

/* A pair of rings and what goes through them. */
struct netfront_queue {
	struct netfront *nf;
	unsigned index;
	struct front_ring tx, rx;
	evtchn_t tx_port, rx_port;       /* the same one when the back end does not split them */
	uint16_t tx_free[NETFRONT_TX_BUFS]; /* the buffers that are free, from tx_next on */
	unsigned tx_next, nr_tx_free;    /* tx_next is free-running */
	uint8_t *tx_start[NETFRONT_TX_BUFS]; /* where a packet begins in each tx buffer */
	uint16_t rx_foreseen;            /* offset in its page where the next packet will probably be: only ever prefetched */
	uint16_t rx_slot[NETFRONT_SLOTS]; /* which buffer was posted at each index of the ring */
	struct netfront_pool tx_pool, rx_pool;
	struct netfront_queue_stats stats;

	/* handshake */
	void *tx_page, *rx_page;         /* the rings */
	gref_t tx_ref, rx_ref;
	struct {
		void *page;
		gref_t gref;
	} deferred[NETFRONT_DEFERRED];
	unsigned nr_deferred;
};

enum netfront_phase {
	PHASE_ABSENT,
	PHASE_INITIALISING, /* we say Initialising, and wait for InitWait */
	PHASE_INITIALISED,  /* we say Connected, and wait for the back end to say it */
	PHASE_CONNECTED,
	PHASE_CLOSED,       /* we say Closed */
};

struct netfront {
	/* data path */
	bool connected;     /* rings, grants and channels are there */
	const char *broken; /* how the back end broke the protocol; NULL: not */
	bool can_sg, can_gso4, can_ctrl; /* what this back end takes */
	unsigned nr_queues; /* of this connection, or the last one; never 0 */
	unsigned rx_first;  /* the queue that netfront_rx looks at first: they take turns */
	struct netfront_stats stats; /* those of a queue are summed up when they are asked for */
	struct netfront_ctrl ctrl;

	/* handshake */
	enum netfront_phase phase;
	struct xenbus *xb;
	struct netfront_options options;
	char dir[32];                  /* device/vif/<index> */
	char backend[XENBUS_PATH_MAX]; /* the back end's directory */
	domid_t backend_id;
	uint8_t mac[6];
	int own_watch, backend_watch;  /* negative: none */
	unsigned violations;
	unsigned max_queues;           /* that we would have */
	struct netfront_queue queue[]; /* max_queues of them */
};

/* The vif is given up: the next netfront_step closes it. */
static inline void netfront_broken(struct netfront *nf, const char *why)
{
	if (!nf->broken)
		nf->broken = why;
}

/* netfront.c: fill fresh rings; take the buffers back when the connection ends. */
void netfront_rings_start(struct netfront *nf);
void netfront_rings_stop(struct netfront *nf);

/* netfront_ctrl.c: fill a fresh ring, before the back end looks at it; one move, when connected. */
void netfront_ctrl_start(struct netfront *nf);
void netfront_ctrl_step(struct netfront *nf);

#endif
