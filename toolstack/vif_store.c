/* SPDX-License-Identifier: BSD-3-Clause */
/* vifs in XenStore (vif_store.h). Called by create.c before the guest first runs, and by network.c. */
#include "vif_store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <xenstore.h>

#include "toolstack.h"

#define TRIES_MAX 64
#define HANDLES_MAX 256
#define DETACH_SECONDS 10
#define DETACH_STEP_NS 20000000L

struct xs_handle *vif_store_open(const char *run_dir)
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

/* Where the writing of one directory stands. */
struct dir {
	struct xs_handle *xs;
	xs_transaction_t t;
	char path[96];
	bool ok; /* so far */
};

static void put(struct dir *d, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void put(struct dir *d, const char *key, const char *fmt, ...)
{
	char path[160], value[300];
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

static void backend_path(char out[96], int domid, unsigned handle)
{
	snprintf(out, 96, "/local/domain/0/backend/vif/%d/%u", domid, handle);
}

static void frontend_path(char out[96], int domid, unsigned handle)
{
	snprintf(out, 96, "/local/domain/%d/device/vif/%u", domid, handle);
}

static bool write_backend(struct xs_handle *xs, xs_transaction_t t, int domid, unsigned handle, const struct vif_config *vif)
{
	struct dir d = { .xs = xs, .t = t };
	char mac[18], frontend[96];

	backend_path(d.path, domid, handle);
	frontend_path(frontend, domid, handle);
	vif_mac_format(vif->mac, mac);
	dir_make(&d, 0, domid);
	put(&d, "frontend", "%s", frontend);
	put(&d, "frontend-id", "%d", domid);
	put(&d, "online", "1");
	put(&d, "state", "%d", XenbusStateInitialising);
	put(&d, "script", "%s", vif->script);
	if (vif->vifname[0])
		put(&d, "vifname", "%s", vif->vifname);
	put(&d, "mac", "%s", mac);
	if (vif->ip[0])
		put(&d, "ip", "%s", vif->ip);
	if (vif->rate[0])
		put(&d, "rate", "%s", vif->rate);
	put(&d, "bridge", "%s", vif->bridge);
	if (vif->mtu)
		put(&d, "mtu", "%u", vif->mtu);
	put(&d, "handle", "%u", handle);
	put(&d, "type", "vif");
	return d.ok;
}

static bool write_frontend(struct xs_handle *xs, xs_transaction_t t, int domid, unsigned handle, const struct vif_config *vif)
{
	struct dir d = { .xs = xs, .t = t };
	char mac[18], backend[96];

	frontend_path(d.path, domid, handle);
	backend_path(backend, domid, handle);
	vif_mac_format(vif->mac, mac);
	dir_make(&d, domid, 0);
	put(&d, "backend", "%s", backend);
	put(&d, "backend-id", "0");
	put(&d, "state", "%d", XenbusStateInitialising);
	put(&d, "handle", "%u", handle);
	put(&d, "mac", "%s", mac);
	if (vif->mtu)
		put(&d, "mtu", "%u", vif->mtu);
	return d.ok;
}

int vif_store_add(struct xs_handle *xs, int domid, unsigned first, const struct vif_config *vifs, unsigned n)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		xs_transaction_t t = xs_transaction_start(xs);
		bool ok = t != XBT_NULL;

		for (unsigned i = 0; i < n && ok; i++)
			ok = write_frontend(xs, t, domid, first + i, &vifs[i]) && write_backend(xs, t, domid, first + i, &vifs[i]);
		if (!ok) {
			int why = errno;

			if (t != XBT_NULL)
				xs_transaction_end(xs, t, true);
			return complain("vif of domain %d: XenStore refuses its nodes: %s", domid, strerror(why));
		}
		if (xs_transaction_end(xs, t, false))
			return 0;
		if (errno != EAGAIN)
			return complain("vif of domain %d: XenStore: %s", domid, strerror(errno));
	}
	return complain("vif of domain %d: XenStore is too busy: try again", domid);
}

/* Value as a number; -1: absent or none. */
static long read_number(struct xs_handle *xs, const char *dir, const char *key)
{
	char path[160], *value, *end;
	unsigned len;
	long v = -1;

	snprintf(path, sizeof(path), "%s/%s", dir, key);
	value = xs_read(xs, XBT_NULL, path, &len);
	if (value && *value) {
		v = strtol(value, &end, 10);
		v = *end ? -1 : v;
	}
	free(value);
	return v;
}

static bool exists(struct xs_handle *xs, int domid, unsigned handle)
{
	char path[96];

	frontend_path(path, domid, handle);
	return read_number(xs, path, "backend-id") >= 0;
}

int vif_store_free_handle(struct xs_handle *xs, int domid, unsigned *handle)
{
	for (*handle = 0; *handle < HANDLES_MAX; ++*handle)
		if (!exists(xs, domid, *handle))
			return 0;
	return complain("domain %d has %u vifs already", domid, HANDLES_MAX);
}

/* XenbusStateClosed, or the back end has taken its node away: it has let go. */
static bool wait_closed(struct xs_handle *xs, const char *backend)
{
	struct timespec step = { 0, DETACH_STEP_NS };

	for (long waited = 0; waited < DETACH_SECONDS * 1000000000L; waited += DETACH_STEP_NS) {
		long state = read_number(xs, backend, "state");

		if (state < 0 || state == XenbusStateClosed)
			return true;
		nanosleep(&step, NULL);
	}
	return false;
}

int vif_store_remove(struct xs_handle *xs, int domid, unsigned handle)
{
	struct dir d = { .xs = xs, .t = XBT_NULL, .ok = true };
	char frontend[96];

	frontend_path(frontend, domid, handle);
	backend_path(d.path, domid, handle);
	if (read_number(xs, d.path, "state") > XenbusStateInitialising) { /* a back end has it */
		put(&d, "online", "0");
		put(&d, "state", "%d", XenbusStateClosing);
	}
	if (d.ok && read_number(xs, d.path, "state") == XenbusStateClosing && !wait_closed(xs, d.path))
		caution("warning: vif %u of domain %d: the back end did not let go within %d s: removed all the same", handle, domid, DETACH_SECONDS);
	xs_rm(xs, XBT_NULL, frontend);
	if (!xs_rm(xs, XBT_NULL, d.path) && errno != ENOENT)
		return complain("vif %u of domain %d: XenStore: %s", handle, domid, strerror(errno));
	return 0;
}

static void add_number(struct xs_handle *xs, struct json_object *o, const char *dir, const char *key)
{
	json_object_object_add(o, key, json_object_new_int64(read_number(xs, dir, key)));
}

static struct json_object *describe(struct xs_handle *xs, int domid, unsigned handle)
{
	struct json_object *o = json_object_new_object();
	char frontend[96], backend[96], path[160], *mac;
	unsigned len;

	frontend_path(frontend, domid, handle);
	backend_path(backend, domid, handle);
	snprintf(path, sizeof(path), "%s/mac", backend);
	mac = xs_read(xs, XBT_NULL, path, &len);
	json_object_object_add(o, "handle", json_object_new_int64(handle));
	json_object_object_add(o, "mac", json_object_new_string(mac ? mac : ""));
	add_number(xs, o, frontend, "state");
	add_number(xs, o, frontend, "event-channel");
	add_number(xs, o, frontend, "tx-ring-ref");
	add_number(xs, o, frontend, "rx-ring-ref");
	json_object_object_add(o, "backend", json_object_new_string(backend));
	free(mac);
	return o;
}

struct json_object *vif_store_list(struct xs_handle *xs, int domid)
{
	struct json_object *all = json_object_new_array();

	for (unsigned handle = 0; handle < HANDLES_MAX; handle++)
		if (exists(xs, domid, handle))
			json_object_array_add(all, describe(xs, domid, handle));
	return all;
}

int vif_store_find(struct xs_handle *xs, int domid, const char *what, unsigned *handle)
{
	struct json_object *all = vif_store_list(xs, domid);
	bool found = false;

	for (size_t i = 0; i < json_object_array_length(all) && !found; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);

		found = !strcasecmp(member_string(o, "mac"), what) || !strcmp(member_string(o, "handle"), what);
		*handle = (unsigned)member_int(o, "handle");
	}
	json_object_put(all);
	return found ? 0 : complain("domain %d has no vif '%s': see sluice network-list", domid, what);
}
