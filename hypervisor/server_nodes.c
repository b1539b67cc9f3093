/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A domain's nodes in XenStore, but for its devices: those that libxl writes for a PV domain (xenstore-paths in Xen's documents). Called
 * by server_domain.c; devices are the toolstack's, only their end is here too: a guest may end while no toolstack runs.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "server_domain.h"
#include "xenstore/store.h"

#define CONSOLE_LIMIT 1048576 /* what xl gives */
#define KIB_PER_PAGE 4

static const char *const device_types[] = { "vif", "vbd" };

void server_uuid_format(const uint8_t uuid[16], char out[37])
{
	unsigned at = 0;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			out[at++] = '-';
		at += (unsigned)snprintf(out + at, 37 - at, "%02x", uuid[i]);
	}
}

struct writer {
	char home[32]; /* /local/domain/N */
	domid_t domid;
	int rc; /* of the first write that failed */
};

static void node(struct writer *w, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void node(struct writer *w, const char *name, const char *fmt, ...)
{
	char path[128], value[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "%s%s%s", name[0] == '/' ? "" : w->home, name[0] == '/' ? "" : "/", name);
	if (!w->rc)
		w->rc = store_write(path, value);
}

/* Empty nodes that the guest writes. */
static void guest_nodes(struct writer *w)
{
	static const char *const names[] = { "control/shutdown", "control/sysrq", "control/feature-poweroff", "control/feature-reboot",
					     "control/feature-suspend", "device/suspend/event-channel", "data", "drivers", "feature", "attr", "error" };
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names) && !w->rc; i++) {
		node(w, names[i], "%s", "");
		snprintf(path, sizeof(path), "%s/%s", w->home, names[i]);
		if (!w->rc)
			w->rc = store_set_owner(path, w->domid);
	}
}

static void home_nodes(struct writer *w, const struct domain *d, const char *vm)
{
	uint64_t kib = d->max_pages * KIB_PER_PAGE;

	node(w, "vm", "%s", vm);
	node(w, "name", "%s", d->name);
	node(w, "domid", "%u", d->domid);
	node(w, "cpu/0/availability", "online");
	node(w, "memory/static-max", "%" PRIu64, kib);
	node(w, "memory/target", "%" PRIu64, kib);
	node(w, "memory/videoram", "0");
	node(w, "control/platform-feature-multiprocessor-suspend", "1");
	node(w, "control/platform-feature-xs_reset_watches", "1");
	node(w, "store/port", "%u", d->store_port);
	node(w, "store/ring-ref", "%" PRIu64, d->store_mfn);
	if (d->hosted)
		return;
	node(w, "console/port", "%u", d->console_port);
	node(w, "console/ring-ref", "%" PRIu64, d->console_mfn);
	node(w, "console/type", "xenconsoled");
	node(w, "console/limit", "%d", CONSOLE_LIMIT);
}

static void vm_path(const struct domain *d, char out[48])
{
	char uuid[37];

	server_uuid_format(d->uuid, uuid);
	snprintf(out, 48, "/vm/%s", uuid);
}

int server_nodes_write(const struct domain *d)
{
	struct writer w = { .domid = d->domid };
	char vm[48], path[64], uuid[37];

	snprintf(w.home, sizeof(w.home), "/local/domain/%u", d->domid);
	vm_path(d, vm);
	server_uuid_format(d->uuid, uuid);
	w.rc = store_set_reader(w.home, d->domid);
	if (!w.rc)
		w.rc = store_set_reader(vm, d->domid);
	home_nodes(&w, d, vm);
	guest_nodes(&w);
	snprintf(path, sizeof(path), "%s/uuid", vm);
	node(&w, path, "%s", uuid);
	snprintf(path, sizeof(path), "%s/name", vm);
	node(&w, path, "%s", d->name);
	return w.rc;
}

/* Absent ones are no error: a domain may die before it was given any. Back ends watch theirs and let go of what vanishes. */
void server_nodes_remove(const struct domain *d)
{
	char path[64];

	for (size_t i = 0; i < sizeof(device_types) / sizeof(*device_types); i++) {
		snprintf(path, sizeof(path), "/local/domain/0/backend/%s/%u", device_types[i], d->domid);
		store_rm(path);
	}
	snprintf(path, sizeof(path), "/local/domain/%u", d->domid);
	store_rm(path);
	vm_path(d, path);
	store_rm(path);
}

int server_nodes_shutdown(const struct domain *d, const char *how)
{
	char path[64];

	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", d->domid);
	return store_write(path, how);
}
