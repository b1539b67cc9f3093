/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A XenStore client over the byte stream of port.h (the protocol of xen/io/xs_wire.h), for front ends and for the kernel around them. Calls are synchronous:
 * they wait for the reply in port_wait, at most XENBUS_TIMEOUT_NS. One thread.
 *
 * A node is named by a directory and a key below it (key may be NULL). Paths without a leading '/' are below our own domain's node. `txn` is a transaction
 * or XENBUS_NO_TXN. Errors are the store's own (-ENOENT, -EACCES, -EAGAIN ...), -ETIMEDOUT when no reply came, -EPROTO when the stream makes no sense
 * (every later call then fails with it), -E2BIG when something does not fit.
 */
#ifndef FRONTEND_XENBUS_H
#define FRONTEND_XENBUS_H

#include <sluice/abi.h>

#define XENBUS_NO_TXN 0u
#define XENBUS_TXN_TRIES 16u /* whoever loses so often in a row gives up */
#define XENBUS_TIMEOUT_NS 5000000000ull
#define XENBUS_PATH_MAX 256u
#define XENBUS_WATCHES 128u /* as many as a guest may have; a vif or vbd takes two */

struct xenbus;
typedef uint32_t xenbus_txn_t;

/* NULL when there is no memory. */
struct xenbus *xenbus_create(void);
void xenbus_destroy(struct xenbus *xb); /* NULL is fine */

/* The value as a string with a NUL; returns its length. */
int xenbus_read(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, char *out, size_t size);
/* A decimal number; -EINVAL when it is none. */
int xenbus_read_number(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, uint64_t *out);
/* A feature flag: true when the node is there and a number other than 0. */
bool xenbus_read_feature(struct xenbus *xb, const char *dir, const char *key);
int xenbus_write(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, const char *value);
int xenbus_write_number(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, uint64_t value);
int xenbus_rm(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key);
/* Names of the children, each with its NUL, one after the other in out; returns how many. */
int xenbus_directory(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, char *out, size_t size);

int xenbus_txn_start(struct xenbus *xb, xenbus_txn_t *txn);
/* -EAGAIN: somebody else changed what we used; start over, at most XENBUS_TXN_TRIES times. Ends the transaction in every case. */
int xenbus_txn_end(struct xenbus *xb, xenbus_txn_t txn, bool commit);

/*
 * Watch a node and what is below it: returns a watch number. A watch is a flag, not a queue: it says that something changed since it was last taken, so that
 * a peer that writes without end costs us no memory. It is raised once when it is set.
 */
int xenbus_watch(struct xenbus *xb, const char *dir, const char *key);
void xenbus_unwatch(struct xenbus *xb, int watch); /* negative numbers are fine */
/* Changed since the last call? Takes in what has arrived; never waits. */
bool xenbus_watch_take(struct xenbus *xb, int watch);
/*
 * Before a wait: true when all that has arrived was taken. An event may have come behind the reply to a request, or have been taken in while another watch
 * was asked for; no notification will tell of it again. Whoever sets a watch takes it, or its program never sleeps.
 */
bool xenbus_arm(struct xenbus *xb);
/* Raise it by hand, so that its owner looks again. */
void xenbus_watch_raise(struct xenbus *xb, int watch);

/* A device's state: XenbusStateUnknown when it is absent or no such state. */
enum xenbus_state xenbus_read_state(struct xenbus *xb, const char *dir);
int xenbus_switch_state(struct xenbus *xb, xenbus_txn_t txn, const char *dir, enum xenbus_state state);

#endif
