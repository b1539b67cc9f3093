/* SPDX-License-Identifier: BSD-3-Clause */
/* list, info, domid, domname: what there is. */
#include <stdio.h>
#include <stdlib.h>

#include "toolstack.h"

static void print_row(const struct json_object *d)
{
	struct json_object *cpu;
	double seconds = json_object_object_get_ex(d, "cpu_time_s", &cpu) ? json_object_get_double(cpu) : 0;

	printf("%-40s %5s %5s %5s     %6s %9.1f\n", member_string(d, "name"), member_string(d, "domid"), member_string(d, "memory_mib"),
	       member_string(d, "vcpus"), member_string(d, "state"), seconds);
}

/* An array of all, or of the one that was asked for; NULL after a line. */
static struct json_object *domains(const struct call *c)
{
	struct json_object *reply, *all = NULL;

	if (c->argc) {
		struct json_object *one = control_find(c, c->argv[0]);

		if (!one)
			return NULL;
		all = json_object_new_array();
		json_object_array_add(all, one);
		return all;
	}
	reply = control_call(c, control_request("list", NULL));
	if (!reply)
		return NULL;
	if (json_object_object_get_ex(reply, "domains", &all))
		json_object_get(all);
	json_object_put(reply);
	return all;
}

int verb_list(struct call *c)
{
	struct json_object *all = domains(c);

	if (!all)
		return 1;
	if (c->json)
		return print_json(all);
	puts("Name                                        ID   Mem VCPUs      State   Time(s)");
	for (size_t i = 0; i < json_object_array_length(all); i++)
		print_row(json_object_array_get_idx(all, i));
	json_object_put(all);
	return 0;
}

int verb_info(struct call *c)
{
	struct json_object *reply = control_call(c, control_request("info", NULL));

	if (!reply)
		return 1;
	json_object_object_del(reply, "ok");
	if (c->json)
		return print_json(reply);
	json_object_object_foreach(reply, key, value)
		printf("%-23s: %s\n", key, json_object_get_string(value));
	json_object_put(reply);
	return 0;
}

static int print_member(struct call *c, const char *key)
{
	struct json_object *d = control_find(c, c->argv[0]);

	if (!d)
		return 1;
	if (c->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "domid", json_object_new_int64(member_int(d, "domid")));
		json_object_object_add(o, "name", json_object_new_string(member_string(d, "name")));
		print_json(o);
	} else {
		puts(member_string(d, key));
	}
	json_object_put(d);
	return 0;
}

int verb_domid(struct call *c)
{
	return print_member(c, "domid");
}

int verb_domname(struct call *c)
{
	return print_member(c, "name");
}
