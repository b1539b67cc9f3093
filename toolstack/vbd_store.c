/* SPDX-License-Identifier: BSD-3-Clause */
/* vbds in XenStore (vbd_store.h). Called by create.c before the guest first runs, and by block.c. */
#include "vbd_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_store.h"
#include "toolstack.h"

static void write_vbd(struct dir *back, struct dir *front, const struct device *dev, const void *config)
{
	const struct disk_config *disk = config;
	const char *type = disk->cdrom ? "cdrom" : "disk";

	dir_put(front, "virtual-device", "%u", dev->id);
	dir_put(front, "device-type", "%s", type);
	dir_put(back, "params", "%s", disk->target);
	dir_put(back, "removable", "%d", disk->removable);
	dir_put(back, "bootable", "1");
	dir_put(back, "dev", "%s", disk->vdev);
	dir_put(back, "type", disk->block_device ? "phy" : "file");
	dir_put(back, "mode", disk->readonly ? "r" : "w");
	dir_put(back, "device-type", "%s", type);
	if (disk->direct_io_safe)
		dir_put(back, "direct-io-safe", "1");
	dir_put(back, "discard-enable", "%d", disk->discard);
}

int vbd_store_add(struct xs_handle *xs, int domid, const struct disk_config *disks, unsigned n)
{
	unsigned numbers[CONFIG_DISKS_MAX];

	for (unsigned i = 0; i < n; i++)
		numbers[i] = disks[i].number;
	return device_add(xs, "vbd", domid, numbers, disks, sizeof(*disks), n, write_vbd);
}

int vbd_store_wait(struct xs_handle *xs, int domid, const struct disk_config *disks, unsigned n)
{
	char name[32];
	int status = 0;

	for (unsigned i = 0; i < n && !status; i++) {
		struct device dev = { "vbd", domid, disks[i].number };

		snprintf(name, sizeof(name), "disk %s", disks[i].vdev);
		status = device_wait_offered(xs, &dev, name);
	}
	return status;
}

int vbd_store_check_free(struct xs_handle *xs, int domid, const struct disk_config *disk)
{
	struct device dev = { "vbd", domid, disk->number };

	return device_exists(xs, &dev) ? complain("domain %d has a disk %s already: see sluice block-list", domid, disk->vdev) : 0;
}

int vbd_store_remove(struct xs_handle *xs, int domid, unsigned number)
{
	struct device dev = { "vbd", domid, number };

	return device_remove(xs, &dev);
}

static void add_number(struct xs_handle *xs, struct json_object *o, const char *dir, const char *key)
{
	json_object_object_add(o, key, json_object_new_int64(device_number(xs, dir, key)));
}

static void add_string(struct xs_handle *xs, struct json_object *o, const char *dir, const char *key)
{
	char *value = device_string(xs, dir, key);

	json_object_object_add(o, key, json_object_new_string(value ? value : ""));
	free(value);
}

static struct json_object *describe(struct xs_handle *xs, const struct device *dev)
{
	struct json_object *o = json_object_new_object();
	char frontend[DEVICE_PATH_MAX], backend[DEVICE_PATH_MAX];

	device_frontend_path(frontend, dev);
	device_backend_path(backend, dev);
	json_object_object_add(o, "vdev", json_object_new_int64(dev->id));
	add_string(xs, o, backend, "dev");
	add_string(xs, o, backend, "params");
	add_string(xs, o, backend, "mode");
	add_string(xs, o, backend, "device-type");
	add_number(xs, o, frontend, "state");
	json_object_object_add(o, "backend-state", json_object_new_int64(device_number(xs, backend, "state")));
	add_number(xs, o, frontend, "event-channel");
	add_number(xs, o, frontend, "ring-ref");
	add_number(xs, o, backend, "sectors");
	add_number(xs, o, backend, "sector-size");
	json_object_object_add(o, "backend", json_object_new_string(backend));
	return o;
}

static int by_number(const void *a, const void *b)
{
	unsigned long x = strtoul(*(char *const *)a, NULL, 10), y = strtoul(*(char *const *)b, NULL, 10);

	return x < y ? -1 : x > y;
}

/* From the back ends' side: there no guest can add what it likes. */
struct json_object *vbd_store_list(struct xs_handle *xs, int domid)
{
	struct json_object *all = json_object_new_array();
	char path[DEVICE_PATH_MAX], **names;
	unsigned n = 0;

	snprintf(path, sizeof(path), "/local/domain/0/backend/vbd/%d", domid);
	names = xs_directory(xs, XBT_NULL, path, &n);
	if (names)
		qsort(names, n, sizeof(*names), by_number);
	for (unsigned i = 0; names && i < n; i++) {
		struct device dev = { "vbd", domid, (unsigned)strtoul(names[i], NULL, 10) };

		json_object_array_add(all, describe(xs, &dev));
	}
	free(names);
	return all;
}

int vbd_store_find(struct xs_handle *xs, int domid, const char *what, unsigned *number)
{
	struct json_object *all = vbd_store_list(xs, domid);
	bool found = false;

	for (size_t i = 0; i < json_object_array_length(all) && !found; i++) {
		struct json_object *o = json_object_array_get_idx(all, i);

		found = !strcmp(member_string(o, "dev"), what) || !strcmp(member_string(o, "vdev"), what);
		*number = (unsigned)member_int(o, "vdev");
	}
	json_object_put(all);
	return found ? 0 : complain("domain %d has no disk '%s': see sluice block-list", domid, what);
}
