/* SPDX-License-Identifier: BSD-3-Clause */
/* vifs in XenStore (vif_store.h). Called by create.c before the guest first runs, and by network.c. */
#include "vif_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_store.h"
#include "toolstack.h"

#define HANDLES_MAX 256

static struct device vif_device(int domid, unsigned handle)
{
	return (struct device){ "vif", domid, handle };
}

static void write_vif(struct dir *back, struct dir *front, const struct device *dev, const void *config)
{
	const struct vif_config *vif = config;
	char mac[18];

	vif_mac_format(vif->mac, mac);
	dir_put(front, "handle", "%u", dev->id);
	dir_put(front, "mac", "%s", mac);
	if (vif->mtu)
		dir_put(front, "mtu", "%u", vif->mtu);
	dir_put(back, "script", "%s", vif->script);
	if (vif->vifname[0])
		dir_put(back, "vifname", "%s", vif->vifname);
	dir_put(back, "mac", "%s", mac);
	if (vif->ip[0])
		dir_put(back, "ip", "%s", vif->ip);
	if (vif->rate[0])
		dir_put(back, "rate", "%s", vif->rate);
	dir_put(back, "bridge", "%s", vif->bridge);
	if (vif->mtu)
		dir_put(back, "mtu", "%u", vif->mtu);
	dir_put(back, "handle", "%u", dev->id);
	dir_put(back, "type", "vif");
}

int vif_store_add(struct xs_handle *xs, int domid, unsigned first, const struct vif_config *vifs, unsigned n)
{
	unsigned handles[CONFIG_VIFS_MAX];

	for (unsigned i = 0; i < n; i++)
		handles[i] = first + i;
	return device_add(xs, "vif", domid, handles, vifs, sizeof(*vifs), n, write_vif);
}

int vif_store_free_handle(struct xs_handle *xs, int domid, unsigned *handle)
{
	for (*handle = 0; *handle < HANDLES_MAX; ++*handle) {
		struct device dev = vif_device(domid, *handle);

		if (!device_exists(xs, &dev))
			return 0;
	}
	return complain("domain %d has %u vifs already", domid, HANDLES_MAX);
}

int vif_store_remove(struct xs_handle *xs, int domid, unsigned handle)
{
	struct device dev = vif_device(domid, handle);

	return device_remove(xs, &dev);
}

static void add_number(struct xs_handle *xs, struct json_object *o, const char *dir, const char *key)
{
	json_object_object_add(o, key, json_object_new_int64(device_number(xs, dir, key)));
}

static struct json_object *describe(struct xs_handle *xs, const struct device *dev)
{
	struct json_object *o = json_object_new_object();
	char frontend[DEVICE_PATH_MAX], backend[DEVICE_PATH_MAX], *mac;

	device_frontend_path(frontend, dev);
	device_backend_path(backend, dev);
	mac = device_string(xs, backend, "mac");
	json_object_object_add(o, "handle", json_object_new_int64(dev->id));
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

	for (unsigned handle = 0; handle < HANDLES_MAX; handle++) {
		struct device dev = vif_device(domid, handle);

		if (device_exists(xs, &dev))
			json_object_array_add(all, describe(xs, &dev));
	}
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
