/* SPDX-License-Identifier: BSD-3-Clause */
/* create: configuration → domain (by sluiced, paused) → its vifs and vbds → off it goes. What fails on the way undoes what went before. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xenstore.h>

#include "device_store.h"
#include "toolstack.h"
#include "vbd_store.h"
#include "vif_store.h"

static int add_devices(const struct call *c, const struct guest_config *g, int domid)
{
	struct xs_handle *xs;
	int status;

	if (!g->nr_vifs && !g->nr_disks)
		return 0;
	xs = device_store_open(c->run_dir);
	if (!xs)
		return 1;
	status = vif_store_add(xs, domid, 0, g->vif, g->nr_vifs) || vbd_store_add(xs, domid, g->disk, g->nr_disks) ||
		 vbd_store_wait(xs, domid, g->disk, g->nr_disks);
	xs_close(xs);
	return status;
}

static int say_created(const struct call *c, const struct guest_config *g, int domid)
{
	struct json_object *o;

	if (!c->json)
		return printf("%s: domain %d%s\n", g->name, domid, c->paused ? ", paused" : "") < 0;
	o = json_object_new_object();
	json_object_object_add(o, "domid", json_object_new_int(domid));
	json_object_object_add(o, "name", json_object_new_string(g->name));
	json_object_object_add(o, "paused", json_object_new_boolean(c->paused));
	return print_json(o);
}

/* The domain exists and is paused. *console: the connection to be, with -c. */
static int finish(const struct call *c, const struct guest_config *g, int domid, int *console)
{
	char id[16];

	snprintf(id, sizeof(id), "%d", domid);
	if (add_devices(c, g, domid))
		return 1;
	if (c->console && (*console = control_console(c, id)) < 0)
		return 1;
	if (!c->paused && control_do(c, control_request("unpause", id)))
		return 1;
	return say_created(c, g, domid);
}

static int create(const struct call *c, const struct guest_config *g, int *console)
{
	struct json_object *reply = control_call(c, config_request(g));
	char id[16];
	int domid;

	if (!reply)
		return 1;
	domid = (int)member_int(reply, "domid");
	json_object_put(reply);
	if (!finish(c, g, domid, console))
		return 0;
	snprintf(id, sizeof(id), "%d", domid);
	control_do(c, control_request("destroy", id));
	return 1;
}

int verb_create(struct call *c)
{
	struct guest_config g;
	int console = -1, status = config_read(&g, c->argv[0], c->argv + 1, c->argc - 1);

	if (!status)
		status = create(c, &g, &console);
	config_free(&g);
	if (!status && console >= 0)
		status = console_run(console);
	if (console >= 0)
		close(console);
	return status;
}
