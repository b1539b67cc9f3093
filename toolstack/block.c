/* SPDX-License-Identifier: BSD-3-Clause */
/* block-attach, block-detach, block-list: disks of a domain that runs. */
#include <stdio.h>
#include <xenstore.h>

#include "device_store.h"
#include "toolstack.h"
#include "vbd_store.h"

static int attach(struct xs_handle *xs, const struct call *c, int domid, const struct disk_config *disk)
{
	if (vbd_store_check_free(xs, domid, disk) || vbd_store_add(xs, domid, disk, 1))
		return 1;
	if (vbd_store_wait(xs, domid, disk, 1)) {
		vbd_store_remove(xs, domid, disk->number);
		return 1;
	}
	if (c->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "domid", json_object_new_int(domid));
		json_object_object_add(o, "vdev", json_object_new_int64(disk->number));
		return print_json(o);
	}
	printf("disk %s: vbd %u\n", disk->vdev, disk->number);
	return 0;
}

int verb_block_attach(struct call *c)
{
	struct disk_config disk;
	struct xs_handle *xs;
	int domid, status;

	if (disk_parse(&disk, (const char *const *)c->argv + 1, c->argc - 1))
		return 1;
	domid = control_domid(c, c->argv[0]);
	xs = domid < 0 ? NULL : device_store_open(c->run_dir);
	if (!xs)
		return 1;
	status = attach(xs, c, domid, &disk);
	xs_close(xs);
	return status;
}

int verb_block_detach(struct call *c)
{
	int domid = control_domid(c, c->argv[0]), status;
	struct xs_handle *xs = domid < 0 ? NULL : device_store_open(c->run_dir);
	unsigned number;

	if (!xs)
		return 1;
	status = vbd_store_find(xs, domid, c->argv[1], &number);
	if (!status)
		status = vbd_store_remove(xs, domid, number);
	xs_close(xs);
	return status;
}

static void print_row(const struct json_object *o)
{
	printf("%-6s %-5s %-4s %-5s %-6s %-8s %-10s %s\n", member_string(o, "vdev"), member_string(o, "dev"), member_string(o, "mode"),
	       member_string(o, "state"), member_string(o, "event-channel"), member_string(o, "ring-ref"), member_string(o, "sectors"),
	       member_string(o, "params"));
}

int verb_block_list(struct call *c)
{
	int domid = control_domid(c, c->argv[0]);
	struct xs_handle *xs = domid < 0 ? NULL : device_store_open(c->run_dir);
	struct json_object *all;

	if (!xs)
		return 1;
	all = vbd_store_list(xs, domid);
	xs_close(xs);
	if (c->json)
		return print_json(all);
	puts("Vdev   name  mode state evt-ch ring-ref sectors    target");
	for (size_t i = 0; i < json_object_array_length(all); i++)
		print_row(json_object_array_get_idx(all, i));
	json_object_put(all);
	return 0;
}
