/* SPDX-License-Identifier: BSD-3-Clause */
/* One device and the back-end side of its xenbus handshake: see device.h. Called by devices.c when the store says something; the class calls device_fail. */
#include "device_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US 1000000u   /* for a front end that should close */
#define TXN_TRIES 16u

/* ---- own state ---- */

static int transaction_once(struct device *dev, int (*write)(struct device *dev, hv_txn_t t))
{
	const struct hv_ops *ops = dev->hv->ops;
	hv_txn_t t;
	int rc = ops->txn_start(dev->hv, &t);

	if (rc)
		return rc;
	rc = write(dev, t);
	if (rc) {
		ops->txn_end(dev->hv, t, true);
		return rc;
	}
	return ops->txn_end(dev->hv, t, false);
}

/* All that `write` does or nothing, tried again when others got in between. */
static int transaction(struct device *dev, int (*write)(struct device *dev, hv_txn_t t))
{
	int rc = -EAGAIN;

	for (unsigned i = 0; rc == -EAGAIN && i < TXN_TRIES; i++)
		rc = transaction_once(dev, write);
	return rc;
}

/* Never into a node that the toolstack has taken away: that would make it anew, with nobody to take it away again. */
static int write_state(struct device *dev, hv_txn_t t)
{
	char *node = dev->hv->ops->store_read(dev->hv, t, dev->own, NULL);
	bool absent = !node && errno == ENOENT;

	free(node);
	return absent ? -ENOENT : store_write_number(dev->hv, t, dev->own, "state", dev->state);
}

static void set_state(struct device *dev, enum xenbus_state state)
{
	int rc;

	if (dev->state == state)
		return;
	dev->state = state;
	rc = dev->gone ? -ENOENT : transaction(dev, write_state);
	if (rc == -ENOENT)
		return; /* the watch tells of that, too */
	if (rc && backend_log_allowed(&dev->limit))
		backend_error("%s: cannot write %s/state: %s", dev->name, dev->own, strerror(-rc));
}

/* For the toolstack's eyes, where Linux puts it too: error/<node>/error below our own path. */
static void report(struct device *dev, int error, const char *why)
{
	char path[STORE_PATH + 16], text[320];

	if (backend_log_allowed(&dev->limit))
		backend_error("%s: %s (%s); this device is closed, others are not affected", dev->name, why, strerror(error));
	snprintf(path, sizeof(path), "error/%s/error", dev->own);
	snprintf(text, sizeof(text), "%d %s", error, why);
	dev->hv->ops->store_write(dev->hv, HV_TXN_NONE, path, text);
}

/* A guest can connect and disconnect as often as it likes. */
static void tell(struct device *dev, const char *what)
{
	if (backend_log_allowed(&dev->limit))
		backend_info("%s: %s", dev->name, what);
}

static bool draining(struct device *dev)
{
	const struct device_class *cls = dev->owner->cls;

	return cls->draining && cls->draining(dev);
}

/* False: it is not over yet; own is Closing, and this device is looked at again when it is. */
static bool disconnect(struct device *dev)
{
	if (dev->connected) {
		dev->connected = false;
		dev->owner->cls->disconnect(dev);
		tell(dev, "disconnected");
	}
	if (!draining(dev))
		return true;
	set_state(dev, XenbusStateClosing);
	return false;
}

static void fail(struct device *dev, int error, const char *why)
{
	disconnect(dev);
	report(dev, error, why);
	set_state(dev, XenbusStateClosing);
}

void device_fail(struct device *dev, int error, const char *why)
{
	if (dev->failed)
		return;
	dev->failed = true;
	dev->error = error < 0 ? -error : error;
	dev->why = why;
	poller_timer_set(dev->owner->poller, &dev->owner->work, 0);
}

void device_look(struct device *dev)
{
	dev->marked = true;
	poller_timer_set(dev->owner->poller, &dev->owner->work, 0);
}

static int write_offer(struct device *dev, hv_txn_t t)
{
	int rc = dev->owner->cls->advertise(dev, t);

	return rc ? rc : store_write_number(dev->hv, t, dev->own, "state", XenbusStateInitWait);
}

/* Offer the device: features and InitWait in one transaction, so that a front end never sees one without the other. */
static void offer(struct device *dev)
{
	const char *why = "cannot be offered";
	int rc = dev->owner->cls->prepare ? dev->owner->cls->prepare(dev, &why) : 0;

	dev->preparing = rc == -EINPROGRESS;
	if (dev->preparing)
		return;
	if (rc) {
		dev->refused = true;
		fail(dev, -rc, why);
		return;
	}
	rc = transaction(dev, write_offer);
	if (rc)
		fail(dev, -rc, "cannot write the features");
	else
		dev->state = XenbusStateInitWait;
}

static int try_connect(struct device *dev, const char **why)
{
	int rc;

	*why = "cannot connect";
	dev->failed = false;
	rc = dev->owner->cls->connect(dev, why);
	dev->connected = rc == 0;
	return rc;
}

static void connect_device(struct device *dev)
{
	const char *why;
	int rc = try_connect(dev, &why);

	if (rc) {
		fail(dev, -rc, why);
		return;
	}
	set_state(dev, XenbusStateConnected);
	tell(dev, "connected");
}

/* ---- what the store says ---- */

struct view {
	bool present, online;
	uint32_t own, front; /* enum xenbus_state */
};

static void view_read(struct device *dev, struct view *v)
{
	uint32_t online;

	v->present = store_is(dev->hv, dev->own, "frontend", dev->front);
	if (!v->present)
		return;
	v->online = store_read_number_or(dev->hv, dev->own, "online", 1, 1, &online) || online;
	if (store_read_number_or(dev->hv, dev->own, "state", XenbusStateReconfigured, XenbusStateInitialising, &v->own))
		v->own = XenbusStateInitialising;
	if (store_read_number(dev->hv, dev->front, "state", XenbusStateReconfigured, &v->front))
		v->front = XenbusStateUnknown; /* absent or nonsense: a front end that is not there */
	/* Still there? If the toolstack took it away meanwhile, what we read are defaults, and to act on them would write the node anew. */
	v->present = store_is(dev->hv, dev->own, "frontend", dev->front);
}

static void front_gone(struct device *dev, bool online)
{
	if (!disconnect(dev))
		return;
	if (dev->state == XenbusStateConnected)
		set_state(dev, XenbusStateClosing);
	if (dev->state == XenbusStateClosing && !online)
		set_state(dev, XenbusStateClosed);
}

static void front_initialising(struct device *dev, bool online)
{
	if (!online) {
		front_gone(dev, false);
		return;
	}
	dev->reopen = false;
	poller_timer_cancel(dev->owner->poller, &dev->patience);
	if (dev->state == XenbusStateInitWait || dev->refused)
		return;
	if (disconnect(dev))
		offer(dev);
}

static void front_closed(struct device *dev, bool online)
{
	dev->refused = false;
	if (!disconnect(dev))
		return;
	if (dev->reopen && online) {
		poller_timer_cancel(dev->owner->poller, &dev->patience);
		if (dev->state != XenbusStateInitWait)
			offer(dev);
		return;
	}
	set_state(dev, XenbusStateClosed);
}

/* The stop in good order: whatever the front end does but stay connected lets us close. */
static void update_closing(struct device *dev, uint32_t front)
{
	if (front == XenbusStateInitialised || front == XenbusStateConnected)
		return;
	if (disconnect(dev))
		set_state(dev, XenbusStateClosed);
}

static void update_open(struct device *dev, const struct view *v)
{
	if (v->own == XenbusStateClosing && !v->online && dev->state != XenbusStateClosed)
		dev->state = XenbusStateClosing; /* the toolstack wants it gone: the front end sees that too */
	if (dev->preparing && v->online) {
		offer(dev);
		return;
	}
	switch (v->front) {
	case XenbusStateInitialising:
		front_initialising(dev, v->online);
		break;
	case XenbusStateInitialised:
	case XenbusStateConnected:
		if (dev->state == XenbusStateInitWait)
			connect_device(dev);
		break;
	case XenbusStateClosing:
		disconnect(dev);
		if (dev->state != XenbusStateClosed)
			set_state(dev, XenbusStateClosing);
		break;
	case XenbusStateClosed:
		front_closed(dev, v->online);
		break;
	case XenbusStateUnknown:
		front_gone(dev, v->online);
		break;
	default:
		break;
	}
}

/* ---- a device's life ---- */

static void token_of(const struct device *dev, char token[40])
{
	snprintf(token, 40, "%s/%u/%u", dev->owner->cls->type, dev->domid, dev->devid);
}

void device_free(struct device *dev)
{
	struct devices *d = dev->owner;
	char token[40], path[STORE_PATH + 8];

	disconnect(dev);
	poller_timer_cancel(d->poller, &dev->patience);
	token_of(dev, token);
	snprintf(path, sizeof(path), "%s/state", dev->front);
	dev->hv->ops->store_unwatch(dev->hv, path, token);
	d->cls->destroy(dev);
	TAILQ_REMOVE(&d->list, dev, next);
	d->count--;
	free(dev);
}

void device_update(struct device *dev)
{
	struct view v = {0};

	dev->marked = false;
	view_read(dev, &v);
	dev->gone = !v.present;
	if (dev->gone) {
		if (disconnect(dev))
			device_free(dev);
		return;
	}
	if (dev->failed) {
		dev->failed = false;
		if (dev->connected)
			fail(dev, dev->error, dev->why);
	}
	if (dev->owner->closing)
		update_closing(dev, v.front);
	else
		update_open(dev, &v);
	if (dev->connected && dev->owner->cls->changed)
		dev->owner->cls->changed(dev);
	if (dev->state == XenbusStateClosed && !v.online)
		device_free(dev);
}

/* The front end had its time to close after we took over. */
static void patience_over(struct poll_timer *timer)
{
	struct device *dev = (struct device *)((char *)timer - offsetof(struct device, patience));
	struct view v = {0};

	if (dev->owner->closing)
		return;
	view_read(dev, &v);
	if (!dev->owner->cls->adopts && v.front == XenbusStateConnected) {
		tell(dev, "its front end is still connected to the back end before: it is served once it has closed");
		return;
	}
	offer(dev);
	device_look(dev);
}

/* First sight of a node, which a back end that is gone may have left in any state. */
static void device_start(struct device *dev, const struct view *v)
{
	bool front_open = v->front == XenbusStateInitialised || v->front == XenbusStateConnected || v->front == XenbusStateClosing;
	bool adopt = dev->owner->cls->adopts && v->own == XenbusStateConnected && v->front == XenbusStateConnected;
	const char *why;

	dev->state = v->own;
	if (!v->online && v->own == XenbusStateClosing)
		return;
	if (adopt && try_connect(dev, &why) == 0) {
		dev->reopen = true;
		tell(dev, "connected, taken over from the back end before");
		return;
	}
	dev->reopen = v->own != XenbusStateInitialising;
	if (front_open && v->own > XenbusStateInitWait) {
		set_state(dev, XenbusStateClosing);
		poller_timer_set(dev->owner->poller, &dev->patience, PATIENCE_US);
	} else {
		offer(dev);
	}
}

static int device_make(struct devices *d, domid_t domid, uint32_t devid, struct device **out)
{
	struct device *dev = calloc(1, sizeof(*dev));
	int rc;

	if (!dev)
		return -ENOMEM;
	dev->owner = d;
	dev->hv = d->hv;
	dev->domid = domid;
	dev->devid = devid;
	dev->patience.fire = patience_over;
	snprintf(dev->name, sizeof(dev->name), "%s%u.%u", d->cls->type, domid, devid);
	snprintf(dev->own, sizeof(dev->own), "%s/%u/%u", d->root, domid, devid);
	snprintf(dev->front, sizeof(dev->front), "/local/domain/%u/device/%s/%u", domid, d->cls->type, devid);
	rc = d->cls->create(dev, d->ctx);
	if (rc)
		free(dev);
	else
		*out = dev;
	return rc;
}

/* Only the toolstack writes there. */
static bool for_us(struct devices *d, const struct device *dev)
{
	char path[STORE_PATH + 8], *script;
	const char *name;
	bool ours;

	if (!(d->hv->ops->caps(d->hv) & HV_CAP_OTHER_BACKENDS))
		return true;
	snprintf(path, sizeof(path), "%s/script", dev->own);
	script = d->hv->ops->store_read(d->hv, HV_TXN_NONE, path, NULL);
	name = script ? strrchr(script, '/') : NULL;
	ours = script && d->cls->script && strcmp(name ? name + 1 : script, d->cls->script) == 0;
	free(script);
	return ours;
}

void device_probe(struct devices *d, domid_t domid, uint32_t devid)
{
	struct device *dev;
	struct view v = {0};
	char token[40], path[STORE_PATH + 8];
	int rc = d->count < DEVICES_MAX ? device_make(d, domid, devid, &dev) : -ENOSPC;

	if (rc) {
		backend_error("%s%u.%u: not served: %s", d->cls->type, domid, devid, strerror(-rc));
		return;
	}
	view_read(dev, &v);
	if (!v.present || (v.own == XenbusStateClosed && !v.online) || !for_us(d, dev)) {
		d->cls->destroy(dev);
		free(dev);
		return;
	}
	TAILQ_INSERT_TAIL(&d->list, dev, next);
	d->count++;
	token_of(dev, token);
	snprintf(path, sizeof(path), "%s/state", dev->front);
	device_start(dev, &v);
	rc = d->hv->ops->store_watch(d->hv, path, token); /* fires at once: the front end's state is looked at after this */
	if (rc)
		fail(dev, -rc, "cannot watch the front end");
}

void device_close(struct device *dev)
{
	poller_timer_cancel(dev->owner->poller, &dev->patience);
	set_state(dev, dev->connected || draining(dev) ? XenbusStateClosing : XenbusStateClosed);
	dev->marked = true;
}
