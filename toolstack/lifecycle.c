/* SPDX-License-Identifier: BSD-3-Clause */
/* destroy, pause, unpause, shutdown, reboot. */
#include <string.h>
#include <time.h>

#include "toolstack.h"

#define WAIT_STEP_NS 100000000L

int verb_destroy(struct call *c)
{
	return control_do(c, control_request("destroy", c->argv[0]));
}

int verb_pause(struct call *c)
{
	return control_do(c, control_request("pause", c->argv[0]));
}

int verb_unpause(struct call *c)
{
	return control_do(c, control_request("unpause", c->argv[0]));
}

/* Until the domain with this domid is gone, or over and preserved. */
static int wait_gone(const struct call *c, const char *domid)
{
	struct timespec step = { 0, WAIT_STEP_NS };

	for (;;) {
		struct json_object *reply = control_call(c, control_request("list", NULL)), *all = NULL;
		bool there = false;

		if (!reply)
			return 1;
		json_object_object_get_ex(reply, "domains", &all);
		for (size_t i = 0; all && i < json_object_array_length(all); i++) {
			struct json_object *d = json_object_array_get_idx(all, i);

			there |= !strcmp(member_string(d, "domid"), domid) && !strpbrk(member_string(d, "state"), "scd");
		}
		json_object_put(reply);
		if (!there)
			return 0;
		nanosleep(&step, NULL);
	}
}

static int ask(const struct call *c, const char *how)
{
	struct json_object *d = control_find(c, c->argv[0]), *request;
	int status;

	if (!d)
		return 1;
	request = control_request("shutdown", member_string(d, "domid"));
	json_object_object_add(request, "how", json_object_new_string(how));
	status = control_do(c, request);
	if (!status && c->wait)
		status = wait_gone(c, member_string(d, "domid"));
	json_object_put(d);
	return status;
}

int verb_shutdown(struct call *c)
{
	return ask(c, "poweroff");
}

int verb_reboot(struct call *c)
{
	return ask(c, "reboot");
}
