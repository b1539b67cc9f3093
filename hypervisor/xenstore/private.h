/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the XenStore server share. From the wire to the tree:
 *   server.c      who is connected: the socket, the guests' rings; store.h's functions
 *   connection.c  messages in and out of one connection; never waits
 *   request.c     one request to one reply
 *   database.c    reads and changes, with permissions, quotas and transactions
 *   watch.c       who is told of a change
 *   tree.c, perms.c, path.c
 */
#ifndef SLUICE_XENSTORE_PRIVATE_H
#define SLUICE_XENSTORE_PRIVATE_H

#include <rings/xenstore_ring.h>

#include "../domain.h"
#include "path.h"
#include "perms.h"

/* What one guest may take. Domain 0 is only held to what bounds memory. */
enum {
	GUEST_NODES = 1000,      /* nodes owned */
	GUEST_ENTRY = 2048,      /* bytes of value and last component of the name */
	GUEST_PERMS = 5,         /* entries in a node's permissions */
	GUEST_WATCHES = 128,
	GUEST_TXNS = 10,
	GUEST_TXN_STEPS = 256,   /* different paths looked at, and changes, in one transaction */
	CONN_EVENTS = 256,       /* watch events that wait, of one connection */
	CONN_BUDGET = 8,         /* requests of one connection before others get their turn */
	SOCKET_CLIENTS = 256,
};

struct watch;
struct txn;
struct event;

/* A client: a guest on its ring, or a program of domain 0 on the socket. One message at a time each way, so its memory is bounded. */
struct conn {
	struct conn *next;
	struct actor who;
	struct domain *domain;     /* guest; NULL: socket */
	struct xenstore_ring ring;
	int fd;                    /* socket; -1: guest */
	uint32_t epoll_events;     /* that the loop waits for on fd */
	bool broken;               /* guest: does nothing until it asks for a reconnect; socket: to be closed */
	bool moved;                /* guest: bytes were moved, tell it */

	struct xsd_sockmsg hdr;    /* the request that is being received */
	uint32_t have;             /* bytes of it, header included */
	char in[XENSTORE_PAYLOAD_MAX];
	uint32_t out_len, out_done;
	uint8_t out[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];

	struct watch *watches;
	unsigned nr_watches;
	struct event *events, **events_end; /* waiting watch events, oldest first */
	unsigned nr_events;
	struct txn *txns;
	unsigned nr_txns;
	uint32_t last_txn;
};

/* ---- connection.c ---- */
/* A connection without a transport; who->domid etc. are the caller's to set. NULL: no memory. */
struct conn *conn_new(const struct actor *who);
void conn_free(struct conn *c);
/* Move bytes both ways and do up to `budget` requests. True: requests may still wait. */
bool conn_pump(struct conn *c, unsigned budget);
bool conn_has_output(const struct conn *c); /* some of it was not taken by the client */
/* Queue a message; only when nothing is queued. */
void conn_put(struct conn *c, const struct xsd_sockmsg *hdr, const void *a, size_t a_len, const void *b, size_t b_len);

/* ---- request.c ---- */
void request_handle(struct conn *c); /* c->hdr and c->in hold a whole request; queues one reply */

/* ---- database.c ---- */
enum change_kind { CHANGE_WRITE, CHANGE_MKDIR, CHANGE_RM, CHANGE_PERMS };

struct change {
	enum change_kind kind;
	const char *path;
	const void *value;              /* CHANGE_WRITE */
	size_t value_len;
	const struct store_perm *perms; /* CHANGE_PERMS */
	unsigned nr_perms;
};

int db_init(void); /* the tree as a fresh xenstored has it */
void db_fini(void);
/* Node at path if who may read it. t NULL: outside any transaction. The node is good until the next change. -ENOENT, -EACCES, -ENOSPC. */
int db_read(struct conn *c, struct txn *t, const char *path, const struct node **out);
/* Check and do a change; outside a transaction it fires watches. */
int db_change(struct conn *c, struct txn *t, const struct change *ch);
int db_forget_domain(domid_t domid);

struct txn *txn_find(struct conn *c, uint32_t id);
int txn_start(struct conn *c, uint32_t *id);
int txn_end(struct conn *c, struct txn *t, bool commit); /* t is gone after; -EAGAIN: somebody else was faster */
void txn_reset(struct conn *c);

/* ---- watch.c ---- */
/* base: length of what is cut off the paths of its events (a relative watch). depth: levels below path that count, or UINT_MAX. */
int watch_add(struct conn *c, const char *path, size_t base, const char *token, unsigned depth);
int watch_remove(struct conn *c, const char *path, const char *token);
void watch_reset(struct conn *c);
/* path was changed (removed: with all below it) between the states before and after. */
void watch_fire(const struct tree *before, const struct tree *after, const char *path, bool removed);
void watch_fire_special(const char *name);
/* Queue the oldest waiting event of c for sending. False: none waits. */
bool watch_next_event(struct conn *c);

/* ---- server.c ---- */
extern struct conn *store_conns;
struct conn *store_guest(domid_t domid); /* its connection, or NULL */

#endif
