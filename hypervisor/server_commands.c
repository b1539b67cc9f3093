/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The commands of the control socket (server_commands.h). A table of name and function; each gets the request's members and fills the
 * reply, or says in one line what is wrong.
 */
#include "server_commands.h"

#include <ctype.h>
#include <errno.h>
#include <sluice/shm.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "server_domain.h"

#define JSON_DEPTH 8
#define MEMORY_MIB_MAX (1u << 20)
#define FRAMES_PER_MIB 256u

struct command_call {
	struct json_object *request, *reply;
	struct domain *console;
	char err[256];
};

static int fail(struct command_call *call, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int fail(struct command_call *call, int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->err, sizeof(call->err), fmt, ap);
	va_end(ap);
	return rc;
}

/* A member that is a string; NULL in *out when it is absent and may be. */
static int get_string(struct command_call *call, const char *key, bool must, const char **out)
{
	struct json_object *value;

	*out = NULL;
	if (!json_object_object_get_ex(call->request, key, &value) || !value)
		return must ? fail(call, -EINVAL, "'%s' is missing: give it as a string", key) : 0;
	if (!json_object_is_type(value, json_type_string))
		return fail(call, -EINVAL, "'%s' is not a string", key);
	*out = json_object_get_string(value);
	if (strlen(*out) != (size_t)json_object_get_string_len(value))
		return fail(call, -EINVAL, "'%s' contains a NUL character", key);
	return 0;
}

static int get_number(struct command_call *call, const char *key, int64_t min, int64_t max, int64_t *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(call->request, key, &value) || !json_object_is_type(value, json_type_int))
		return fail(call, -EINVAL, "'%s' is missing or not a whole number", key);
	*out = json_object_get_int64(value);
	if (*out < min || *out > max)
		return fail(call, -ERANGE, "'%s' is %lld: between %lld and %lld is possible", key, (long long)*out, (long long)min, (long long)max);
	return 0;
}

static int get_action(struct command_call *call, const char *key, enum end_action unset, enum end_action *out)
{
	const char *name;
	int rc = get_string(call, key, false, &name);

	*out = unset;
	if (rc || !name)
		return rc;
	for (unsigned i = 0; i < END_ACTIONS; i++)
		if (!strcmp(name, end_action_names[i])) {
			*out = (enum end_action)i;
			return 0;
		}
	return fail(call, -EINVAL, "'%s' is '%.40s': destroy, preserve or restart is possible", key, name);
}

/* "domain": a name, or a domid as a number or as digits. */
static int get_domain(struct command_call *call, struct domain **out)
{
	struct json_object *value;
	const char *text, *p;

	if (!json_object_object_get_ex(call->request, "domain", &value) || !value)
		return fail(call, -EINVAL, "'domain' is missing: give a name or a domid");
	text = json_object_get_string(value);
	for (p = text; isdigit((unsigned char)*p); p++)
		;
	if (*text && !*p)
		*out = strlen(text) <= 4 ? domain_find((domid_t)atoi(text)) : NULL;
	else
		*out = domain_find_name(text);
	return *out ? 0 : fail(call, -ENOENT, "no domain '%.64s': see sluice list", text);
}

static int cmd_create(struct command_call *call)
{
	struct domain_request req = { 0 };
	struct domain *d;
	int64_t mib = 0;
	int rc;

	if ((rc = get_string(call, "name", true, &req.name)) || (rc = server_domain_check_name(req.name, call->err)) ||
	    (rc = get_string(call, "kernel", true, &req.kernel)) || (rc = get_string(call, "ramdisk", false, &req.ramdisk)) ||
	    (rc = get_string(call, "cmdline", false, &req.cmdline)) || (rc = get_number(call, "memory_mib", 1, MEMORY_MIB_MAX, &mib)) ||
	    (rc = get_action(call, "on_poweroff", END_DESTROY, &req.on_poweroff)) ||
	    (rc = get_action(call, "on_reboot", END_RESTART, &req.on_reboot)) ||
	    (rc = get_action(call, "on_crash", END_DESTROY, &req.on_crash)))
		return rc;
	req.memory_mib = (unsigned)mib;
	rc = server_domain_create(&req, &d, call->err);
	if (!rc)
		json_object_object_add(call->reply, "domid", json_object_new_int(d->domid));
	return rc;
}

/* Whose vCPU and console are ours: not a hosted domain. */
static int get_pv_domain(struct command_call *call, struct domain **out)
{
	int rc = get_domain(call, out);

	if (!rc && (*out)->hosted)
		rc = fail(call, -EOPNOTSUPP, "'%s' is a process that attached: it has no console and cannot be paused by sluiced", (*out)->name);
	return rc;
}

static int cmd_unpause(struct command_call *call)
{
	struct domain *d;
	int rc = get_pv_domain(call, &d);

	if (!rc && d->pause_count)
		domain_unpause(d);
	return rc;
}

static int cmd_pause(struct command_call *call)
{
	struct domain *d;
	int rc = get_pv_domain(call, &d);

	if (!rc && !d->pause_count)
		domain_pause(d);
	return rc;
}

static int cmd_destroy(struct command_call *call)
{
	struct domain *d;
	int rc = get_domain(call, &d);

	if (!rc)
		server_domain_destroy(d);
	return rc;
}

static int cmd_shutdown(struct command_call *call)
{
	const char *how;
	struct domain *d;
	int rc = get_domain(call, &d);

	if (!rc)
		rc = get_string(call, "how", false, &how);
	if (rc)
		return rc;
	if (!how)
		how = "poweroff";
	if (strcmp(how, "poweroff") && strcmp(how, "reboot") && strcmp(how, "halt"))
		return fail(call, -EINVAL, "'how' is '%.40s': poweroff, halt or reboot is possible", how);
	rc = server_nodes_shutdown(d, how);
	return rc ? fail(call, rc, "control/shutdown of '%s' cannot be written: %s", d->name, strerror(-rc)) : 0;
}

static int cmd_console(struct command_call *call)
{
	return get_pv_domain(call, &call->console);
}

/* A hosted domain says so by letting upcalls in. */
static bool is_blocked(const struct domain *d)
{
	if (d->hosted)
		return !shm_load(&d->vcpu[0].info->evtchn_upcall_mask);
	return __atomic_load_n(&d->vcpu[0].share->run_state, __ATOMIC_RELAXED) == HVSHARE_RUN_BLOCKED;
}

/* xl's six letters: running, blocked, paused, shut down, crashed, dying. */
static void state_letters(const struct domain *d, char out[7])
{
	bool over = d->run == DOMAIN_SHUTDOWN, crashed = over && d->shutdown_reason == SHUTDOWN_crash;
	bool blocked = is_blocked(d);

	memcpy(out, "------", 7);
	if (d->run == DOMAIN_DYING)
		out[5] = 'd';
	else if (over)
		out[3 + crashed] = crashed ? 'c' : 's';
	else if (d->pause_count)
		out[2] = 'p';
	else
		out[blocked] = blocked ? 'b' : 'r';
}

static struct json_object *describe(const struct domain *d)
{
	struct json_object *o = json_object_new_object();
	char uuid[37], state[7];

	server_uuid_format(d->uuid, uuid);
	state_letters(d, state);
	json_object_object_add(o, "domid", json_object_new_int(d->domid));
	json_object_object_add(o, "name", json_object_new_string(d->name));
	json_object_object_add(o, "type", json_object_new_string(d->hosted ? "hosted" : "pv"));
	json_object_object_add(o, "uuid", json_object_new_string(uuid));
	json_object_object_add(o, "memory_mib", json_object_new_int64((int64_t)(d->nr_pages / FRAMES_PER_MIB)));
	json_object_object_add(o, "vcpus", json_object_new_int(1));
	json_object_object_add(o, "state", json_object_new_string(state));
	json_object_object_add(o, "cpu_time_s", json_object_new_double((double)d->cpu_time_ns / 1e9));
	return o;
}

static int cmd_list(struct command_call *call)
{
	struct json_object *all = json_object_new_array();
	const struct domain *d = NULL;

	while ((d = domain_next(d)))
		json_object_array_add(all, describe(d));
	json_object_object_add(call->reply, "domains", all);
	return 0;
}

static int cmd_info(struct command_call *call)
{
	const struct domain *d = NULL;
	int n = 0;

	while ((d = domain_next(d)))
		n++;
	json_object_object_add(call->reply, "domains", json_object_new_int(n));
	json_object_object_add(call->reply, "total_memory_mib", json_object_new_int64((int64_t)((machine.nr_frames - MACHINE_FIRST_FRAME) / FRAMES_PER_MIB)));
	json_object_object_add(call->reply, "free_memory_mib", json_object_new_int64((int64_t)(machine_free_frames() / FRAMES_PER_MIB)));
	json_object_object_add(call->reply, "engine", json_object_new_string(engine_process.name));
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(struct command_call *call);
} commands[] = {
	{ "create", cmd_create },	{ "unpause", cmd_unpause }, { "pause", cmd_pause }, { "destroy", cmd_destroy },
	{ "shutdown", cmd_shutdown },	{ "list", cmd_list },	    { "info", cmd_info },   { "console", cmd_console },
};

static int run(struct command_call *call)
{
	const char *name;
	int rc = get_string(call, "command", true, &name);

	if (rc)
		return rc;
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(call);
	return fail(call, -ENOSYS, "no command '%.40s': sluice and sluiced may be of different versions", name);
}

/* The request as an object, or NULL with the reason in call->err. */
static struct json_object *parse(struct command_call *call, const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH);
	struct json_object *o = tok ? json_tokener_parse_ex(tok, line, (int)len) : NULL;
	enum json_tokener_error why = tok ? json_tokener_get_error(tok) : json_tokener_error_parse_unexpected;
	size_t end = tok ? json_tokener_get_parse_end(tok) : 0;

	while (end < len && isspace((unsigned char)line[end]))
		end++;
	if (!o || end < len || !json_object_is_type(o, json_type_object)) {
		fail(call, -EINVAL, "the request is not one JSON object on a line: %s",
		     o || why == json_tokener_success ? "something else is there" : json_tokener_error_desc(why));
		json_object_put(o);
		o = NULL;
	}
	if (tok)
		json_tokener_free(tok);
	return o;
}

struct json_object *server_command(const char *line, size_t len, struct domain **console)
{
	struct command_call call = { .reply = json_object_new_object() };
	int rc = -EINVAL;

	call.request = parse(&call, line, len);
	if (call.request)
		rc = run(&call);
	if (rc && !call.err[0])
		snprintf(call.err, sizeof(call.err), "%s", strerror(-rc));
	json_object_object_add(call.reply, "ok", json_object_new_boolean(!rc));
	if (rc)
		json_object_object_add(call.reply, "error", json_object_new_string(call.err));
	json_object_put(call.request);
	*console = rc ? NULL : call.console;
	return call.reply;
}
