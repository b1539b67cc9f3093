/* SPDX-License-Identifier: BSD-3-Clause */
/* The part of a device's life in XenStore that does not depend on its kind (device_store.h). Called by vif_store.c and vbd_store.c. */
#include "device_store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "toolstack.h"

#define TRIES_MAX 64
#define VALUE_MAX 1100
#define OFFER_SECONDS 10 /* libxl's too */
#define DETACH_SECONDS 10
#define STEP_NS 5000000L

struct xs_handle *device_store_open(const char *run_dir)
{
	char path[4096];
	struct xs_handle *xs;

	snprintf(path, sizeof(path), "%s/xenstore.sock", run_dir);
	setenv("XENSTORED_PATH", path, 1);
	xs = xs_open(0);
	if (!xs)
		complain("%s: no XenStore: %s", path, strerror(errno));
	return xs;
}

void device_backend_path(char out[DEVICE_PATH_MAX], const struct device *dev)
{
	snprintf(out, DEVICE_PATH_MAX, "/local/domain/0/backend/%s/%d/%u", dev->kind, dev->domid, dev->id);
}

void device_frontend_path(char out[DEVICE_PATH_MAX], const struct device *dev)
{
	snprintf(out, DEVICE_PATH_MAX, "/local/domain/%d/device/%s/%u", dev->domid, dev->kind, dev->id);
}

void dir_put(struct dir *d, const char *key, const char *fmt, ...)
{
	char path[DEVICE_PATH_MAX + 64], value[VALUE_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s/%s", d->path, key);
	d->ok = d->ok && n >= 0 && (size_t)n < sizeof(value) && xs_write(d->xs, d->t, path, value, (unsigned)n);
}

/* Fresh, owned by owner, readable by reader. */
static void dir_make(struct dir *d, int owner, int reader)
{
	struct xs_permissions perms[2] = { { .id = (unsigned)owner, .perms = XS_PERM_NONE }, { .id = (unsigned)reader, .perms = XS_PERM_READ } };

	xs_rm(d->xs, d->t, d->path); /* what is not there cannot be removed: no matter */
	d->ok = xs_mkdir(d->xs, d->t, d->path) && xs_set_permissions(d->xs, d->t, d->path, perms, 2);
}

static bool write_device(struct xs_handle *xs, xs_transaction_t t, const struct device *dev, const void *config, device_write_fn write)
{
	struct dir back = { .xs = xs, .t = t }, front = { .xs = xs, .t = t };

	device_frontend_path(front.path, dev);
	device_backend_path(back.path, dev);
	dir_make(&front, dev->domid, 0);
	dir_make(&back, 0, dev->domid);
	dir_put(&front, "backend", "%s", back.path);
	dir_put(&front, "backend-id", "0");
	dir_put(&front, "state", "%d", XenbusStateInitialising);
	dir_put(&back, "frontend", "%s", front.path);
	dir_put(&back, "frontend-id", "%d", dev->domid);
	dir_put(&back, "online", "1");
	dir_put(&back, "state", "%d", XenbusStateInitialising);
	write(&back, &front, dev, config);
	return back.ok && front.ok;
}

int device_add(struct xs_handle *xs, const char *kind, int domid, const unsigned *ids, const void *configs, size_t size, unsigned n,
	       device_write_fn write)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		xs_transaction_t t = xs_transaction_start(xs);
		bool ok = t != XBT_NULL;

		for (unsigned i = 0; i < n && ok; i++) {
			struct device dev = { kind, domid, ids[i] };

			ok = write_device(xs, t, &dev, (const char *)configs + i * size, write);
		}
		if (!ok) {
			int why = errno;

			if (t != XBT_NULL)
				xs_transaction_end(xs, t, true);
			return complain("%s of domain %d: XenStore refuses its nodes: %s", kind, domid, strerror(why));
		}
		if (xs_transaction_end(xs, t, false))
			return 0;
		if (errno != EAGAIN)
			return complain("%s of domain %d: XenStore: %s", kind, domid, strerror(errno));
	}
	return complain("%s of domain %d: XenStore is too busy: try again", kind, domid);
}

static char *string_in(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *key)
{
	char path[DEVICE_PATH_MAX + 64];
	unsigned len;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	return xs_read(xs, t, path, &len);
}

static long number_in(struct xs_handle *xs, xs_transaction_t t, const char *dir, const char *key)
{
	char *value = string_in(xs, t, dir, key), *end;
	long v = -1;

	if (value && *value) {
		v = strtol(value, &end, 10);
		v = *end ? -1 : v;
	}
	free(value);
	return v;
}

char *device_string(struct xs_handle *xs, const char *dir, const char *key)
{
	return string_in(xs, XBT_NULL, dir, key);
}

long device_number(struct xs_handle *xs, const char *dir, const char *key)
{
	return number_in(xs, XBT_NULL, dir, key);
}

bool device_exists(struct xs_handle *xs, const struct device *dev)
{
	char path[DEVICE_PATH_MAX];

	device_frontend_path(path, dev);
	return device_number(xs, path, "backend-id") >= 0;
}

/* Wait until the back end's state is none of what `while_in` says, or time is up; that state, -1 when there is none. */
static long wait_state(struct xs_handle *xs, const char *backend, bool (*while_in)(long state), unsigned seconds)
{
	struct timespec step = { 0, STEP_NS };
	long state = device_number(xs, backend, "state");

	for (long waited = 0; while_in(state) && waited < seconds * 1000000000L; waited += STEP_NS) {
		nanosleep(&step, NULL);
		state = device_number(xs, backend, "state");
	}
	return state;
}

static bool is_new(long state)
{
	return state == XenbusStateInitialising;
}

static void error_path(char out[DEVICE_PATH_MAX], const struct device *dev)
{
	snprintf(out, DEVICE_PATH_MAX, "/local/domain/0/error/backend/%s/%d/%u", dev->kind, dev->domid, dev->id);
}

int device_wait_offered(struct xs_handle *xs, const struct device *dev, const char *name)
{
	char path[DEVICE_PATH_MAX], *error;
	const char *why;
	long state;

	device_backend_path(path, dev);
	state = wait_state(xs, path, is_new, OFFER_SECONDS);
	if (is_new(state))
		return complain("%s: no back end has taken it within %d s: is sluice-backend running?", name, OFFER_SECONDS);
	if (state >= XenbusStateInitWait && state <= XenbusStateConnected)
		return 0;
	error_path(path, dev);
	error = device_string(xs, path, "error");
	why = error ? strchr(error, ' ') : NULL; /* behind the number */
	complain("%s: %s", name, why ? why + 1 : "the back end refuses it: see its log");
	free(error);
	return 1;
}

/* Not yet XenbusStateClosed, and the back end has not taken its node away: it has not let go. */
static bool is_held(long state)
{
	return state >= 0 && state != XenbusStateClosed;
}

/*
 * Tell the back end that its device is to go. True when it has to let go of it first. In one transaction: a back end that closed between our look and our write would be told to close again,
 * when it has forgotten the device and does not answer.
 */
static bool ask_to_close(struct xs_handle *xs, const char *backend)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct dir d = { .xs = xs, .t = xs_transaction_start(xs), .ok = true };
		bool taken, open;
		long state;

		if (d.t == XBT_NULL)
			return false;
		snprintf(d.path, sizeof(d.path), "%s", backend);
		state = number_in(xs, d.t, backend, "state");
		taken = state > XenbusStateInitialising; /* a back end has it */
		open = taken && state != XenbusStateClosed;
		if (taken)
			dir_put(&d, "online", "0");
		if (open)
			dir_put(&d, "state", "%d", XenbusStateClosing);
		if (xs_transaction_end(xs, d.t, !d.ok))
			return d.ok && open;
		if (errno != EAGAIN)
			return false;
	}
	return false;
}

int device_remove(struct xs_handle *xs, const struct device *dev)
{
	char frontend[DEVICE_PATH_MAX], backend[DEVICE_PATH_MAX], error[DEVICE_PATH_MAX];

	device_frontend_path(frontend, dev);
	device_backend_path(backend, dev);
	error_path(error, dev);
	if (ask_to_close(xs, backend) && is_held(wait_state(xs, backend, is_held, DETACH_SECONDS)))
		caution("warning: %s %u of domain %d: the back end did not let go within %d s: removed all the same", dev->kind, dev->id, dev->domid,
			DETACH_SECONDS);
	xs_rm(xs, XBT_NULL, frontend);
	xs_rm(xs, XBT_NULL, error);
	if (!xs_rm(xs, XBT_NULL, backend) && errno != ENOENT)
		return complain("%s %u of domain %d: XenStore: %s", dev->kind, dev->id, dev->domid, strerror(errno));
	return 0;
}
