/* SPDX-License-Identifier: BSD-3-Clause */
/* network-attach, network-detach, network-list: vifs of a domain that runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "device_store.h"
#include "toolstack.h"
#include "vif_store.h"

/* The words "key=value" of the command line as one vif specification; malloc'd. */
static char *join(char **words, int n)
{
	size_t room = 1;
	char *spec;

	for (int i = 0; i < n; i++)
		room += strlen(words[i]) + 1;
	spec = calloc(1, room);
	for (int i = 0; spec && i < n; i++) {
		if (i)
			strcat(spec, ",");
		strcat(spec, words[i]);
	}
	return spec;
}

static int attach(struct xs_handle *xs, const struct call *c, int domid, const struct vif_config *vif)
{
	unsigned handle;

	if (vif_store_free_handle(xs, domid, &handle) || vif_store_add(xs, domid, handle, vif, 1))
		return 1;
	if (c->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "domid", json_object_new_int(domid));
		json_object_object_add(o, "handle", json_object_new_int64(handle));
		return print_json(o);
	}
	printf("vif %u\n", handle);
	return 0;
}

int verb_network_attach(struct call *c)
{
	char *spec = join(c->argv + 1, c->argc - 1);
	struct xs_handle *xs = NULL;
	struct vif_config vif;
	int status = spec ? vif_parse(&vif, spec) : complain("out of memory"), domid = -1;

	if (!status && (domid = control_domid(c, c->argv[0])) < 0)
		status = 1;
	if (!status && !(xs = device_store_open(c->run_dir)))
		status = 1;
	if (!status)
		status = attach(xs, c, domid, &vif);
	if (xs)
		xs_close(xs);
	free(spec);
	return status;
}

int verb_network_detach(struct call *c)
{
	int domid = control_domid(c, c->argv[0]), status;
	struct xs_handle *xs = domid < 0 ? NULL : device_store_open(c->run_dir);
	unsigned handle;

	if (!xs)
		return 1;
	status = vif_store_find(xs, domid, c->argv[1], &handle);
	if (!status)
		status = vif_store_remove(xs, domid, handle);
	xs_close(xs);
	return status;
}

static void print_row(const struct json_object *o)
{
	printf("%-4s %-3d %-17s %-6s %-5s %-6s %4s/%-5s %s\n", member_string(o, "handle"), 0, member_string(o, "mac"), member_string(o, "handle"),
	       member_string(o, "state"), member_string(o, "event-channel"), member_string(o, "tx-ring-ref"), member_string(o, "rx-ring-ref"),
	       member_string(o, "backend"));
}

int verb_network_list(struct call *c)
{
	int domid = control_domid(c, c->argv[0]);
	struct xs_handle *xs = domid < 0 ? NULL : device_store_open(c->run_dir);
	struct json_object *all;

	if (!xs)
		return 1;
	all = vif_store_list(xs, domid);
	xs_close(xs);
	if (c->json)
		return print_json(all);
	puts("Idx  BE  Mac Addr.         handle state evt-ch tx-/rx-ring BE-path");
	for (size_t i = 0; i < json_object_array_length(all); i++)
		print_row(json_object_array_get_idx(all, i));
	json_object_put(all);
	return 0;
}
