/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection to an NBD server: made, watched, and made again when the server goes away. Used by nbd.c alone; nothing here knows of ios.
 *
 * After a loss it tries again at once, then after 0.1 s, twice as long each time up to 2 s. It never blocks: a host name is resolved once, at the first connection.
 */
#ifndef BACKEND_STORAGE_NBD_LINK_H
#define BACKEND_STORAGE_NBD_LINK_H

#include "../log.h"
#include "storage.h"
#include <libnbd.h>

enum nbd_link_state { NBD_LINK_CONNECTING, NBD_LINK_UP, NBD_LINK_WAITING };

struct nbd_link {
	char *uri;      /* as it was given: for the log */
	char *again;    /* the same with the server's address in numbers: for the next connections */
	bool readonly;
	enum nbd_link_state state;
	struct nbd_handle *h; /* NULL while waiting */
	bool lost;            /* set by whoever sees that the server is gone; nbd_link_turn acts on it */
	uint64_t backoff;     /* ns */
	uint64_t until;       /* CONNECTING: give this try up; WAITING: try again */
	int epoll, timer;     /* epoll holds the timer and the server's socket, and is what ops->fd gives */
	uint64_t timer_at;    /* 0: not set */
	int watched_fd;
	uint32_t watched;
	struct blkdev_info info; /* of the last handshake */
	uint32_t max_payload;
	struct backend_log_limit limit;
};

extern uint64_t nbd_outage_ns; /* nbd.c's: after so long without a server ios fail; a test shortens it */

uint64_t nbd_link_now(void); /* ns, monotonic */

/* The first connection; waits for it, BLKDEV_OPEN_MS at most. 0, or -errno and a line in err. */
int nbd_link_open(struct nbd_link *l, const char *uri, bool readonly, char err[STORAGE_ERR]);
void nbd_link_close(struct nbd_link *l);

/*
 * Take what the server sent, send what waits, reconnect when it is time. The callbacks of commands run in here. False: the connection was lost in this turn,
 * and all commands with it; h is closed, their callbacks are not called any more.
 */
bool nbd_link_turn(struct nbd_link *l);

/* An io ended: the link works, and the next loss starts with the shortest wait. */
void nbd_link_works(struct nbd_link *l);

/* Before the caller may sleep on epoll: watch for what the link waits for. now: make epoll readable at once; at: no later than that (0: none). */
void nbd_link_watch(struct nbd_link *l, bool now, uint64_t at);

#endif
