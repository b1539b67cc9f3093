/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The back-end side of the xenbus handshake (xen/io/xenbus.h), for all devices of one class, driven by XenStore alone.
 *
 * Paths. The toolstack writes our node, backend/<class>/<domid>/<devid> below our own domain's path; the guest cannot write there. The front end's path is
 * derived from domid and devid, "/local/domain/<domid>/device/<class>/<devid>", and our node's `frontend` key must be that: nothing that a guest
 * wrote ever names a path (XSA-175).
 *
 * States (own: ours; front: the guest's):
 *	own Initialising(1), or none                  -> advertise, own InitWait(2)
 *	own InitWait, front Initialised(3)/Connected(4) -> connect, own Connected(4)
 *	front Closing(5) or gone                      -> disconnect, own Closing(5)
 *	front Closed(6)                               -> disconnect, own Closed(6); with online = 0 forget the device
 *	front Initialising(1), own not InitWait       -> disconnect, advertise, own InitWait
 *	toolstack writes own Closing                  -> own Closing; the front end sees it and closes
 *	our node goes                                 -> disconnect, forget
 *	a device that fails (its ring is nonsense, a page cannot be mapped) -> error node, disconnect, own Closing, for that device alone
 *	a device that cannot be offered (its disk is not there) -> error node, own Closing; offered again when the front end has closed or `params` is written
 *
 * A disconnect may take its time (a disk's requests that are under way keep the guest's pages mapped): own is Closing meanwhile, and only when it is over
 * comes the state after it. Nobody waits for it but that device.
 *
 * A new back end after the old one died (own is still 3, 4 or 5 when we first see the node):
 *   1. Front Connected, and the class says that its rings can be adopted: adopt. Its keys are still valid, its grants are still given, its event channel is unbound again; we connect with them as they are
 *      and go on behind the last response on the ring. The guest notices nothing, whatever front end it has (Linux's too).
 *   2. When that fails, or own was not Connected: own Closing; wait until the front end is Closed or Initialising, at most 1 s; own InitWait, with
 *      fresh features. One whose rings cannot be adopted and that stays Connected for longer gets no InitWait: it would be taken for one that has made
 *      new rings, and have requests answered twice. What a front end does then: it sees Closing while it is connected, disconnects, writes Closed(6); when it sees InitWait(2) or
 *      Initialising(1) it writes Initialising(1) and goes through the handshake from its start.
 * A back end that stops in good order writes Closing, waits at most 1 s for the front ends to close, and writes Closed; the next one starts from there with
 * InitWait, once the front end is no longer connected.
 *
 * Watch events only mark a device; all its work is done once per turn, however many events came (XSA-349). One thread.
 */
#ifndef BACKEND_DEVICE_H
#define BACKEND_DEVICE_H

#include "log.h"
#include "poller.h"
#include "store.h"

struct device;
struct devices;

/* What a class of devices does; netback_connect.c is the first. */
struct device_class {
	const char *type; /* "vif" */

	/* Where other back ends serve guests as well (HV_CAP_OTHER_BACKENDS), we take the nodes whose `script` is this, in any folder: "vif-sluice". */
	const char *script;

	/* A new back end may go on with the rings of a dead one: what is on them beyond the last response is unanswered, all of it. Not so where responses
	 * are published out of order: there a response has overwritten the slot of another request. */
	bool adopts;

	/* Make dev->priv for a new node. 0 or -errno: then the node is left alone until it changes. */
	int (*create)(struct device *dev, void *ctx);

	/* Get ready to be offered (open the disk). *why: the line for the log and the error node, when it fails. -EINPROGRESS: not yet, it is called again
	 * after device_look. May be NULL. */
	int (*prepare)(struct device *dev, const char **why);

	/* Write the features into our node, in transaction t. May be called several times for one offer. */
	int (*advertise)(struct device *dev, hv_txn_t t);

	/* Read the front end's keys, map its rings, bind its events. On an error nothing stays behind; *why says what is wrong, in a few words. */
	int (*connect)(struct device *dev, const char **why);

	/* Undo connect; fine when not connected. */
	void (*disconnect)(struct device *dev);

	/* Is something of the last connection still under way? Whoever says yes calls device_look when it is over. NULL: never. */
	bool (*draining)(struct device *dev);

	/* While connected: our node in the store has changed, or something else of this device; for what the toolstack may change at run time. May be NULL. */
	void (*changed)(struct device *dev);

	/* Free dev->priv; disconnect came before, but it may still be draining when the back end ends. */
	void (*destroy)(struct device *dev);
};

struct device {
	struct devices *owner;
	struct hv *hv;
	domid_t domid;
	uint32_t devid;
	char name[24];          /* "vif1.0" */
	char own[STORE_PATH];   /* backend/vif/1/0 */
	char front[STORE_PATH]; /* /local/domain/1/device/vif/0 */
	enum xenbus_state state;
	void *priv;
	/* device.c's own */
	bool connected;
	bool gone;    /* the toolstack has taken its node away */
	bool marked;  /* something of it may have changed in the store */
	bool reopen;  /* taken over from a dead back end, or from one that stopped: a front end that closes is offered InitWait at once */
	bool preparing; /* `prepare` is not ready yet */
	bool refused; /* `prepare` failed: not tried again before something changes */
	bool failed;
	int error;
	const char *why;
	struct backend_log_limit limit;
	struct poll_timer patience; /* with reopen: how long the front end may take to close */
	TAILQ_ENTRY(device) next;
};

/* Watches the store and looks after every device of the class from then on. ctx goes to create. 0 or -errno. */
int devices_create(struct hv *hv, struct poller *p, const struct device_class *cls, void *ctx, struct devices **out);

/* The same for another class: `first`, from devices_create, reads the store's watch events for both. Destroy `first` last. */
int devices_create_beside(struct devices *first, const struct device_class *cls, void *ctx, struct devices **out);

/* Disconnects and frees all, without a word to the front ends; NULL is fine. */
void devices_destroy(struct devices *d);

/* Begin to stop in good order: all own states go to Closing. Done when devices_closed says so or the caller's patience ends. */
void devices_close(struct devices *d);
bool devices_closed(const struct devices *d);

/* The device's ring is nonsense or its hypervisor calls fail: it is disconnected in this round or the next, not now, so that it may be called from
 * within its poll. `why` is a string constant. */
void device_fail(struct device *dev, int error, const char *why);

/* Have a look at this device in this round or the next: its draining or preparing is over. */
void device_look(struct device *dev);

/* NULL when there is none; for tests and tools. */
struct device *devices_find(struct devices *d, domid_t domid, uint32_t devid);
unsigned devices_count(const struct devices *d);

#endif
