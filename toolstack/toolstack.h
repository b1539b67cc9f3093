/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `sluice` command: xl's verbs for sluiced. main.c reads the command line and calls a verb; the verbs speak to sluiced over its control
 * socket (control.c) and write devices into XenStore themselves (vif_store.c, vbd_store.c), as libxl does.
 */
#ifndef SLUICE_TOOLSTACK_H
#define SLUICE_TOOLSTACK_H

#include <json-c/json.h>
#include <sluice/abi.h>

/* What the command line says. */
struct call {
	const char *run_dir;
	bool json, paused, console, wait;
	int argc;    /* words after the verb and its options */
	char **argv;
};

/* "sluice: ..." on standard error; returns 1, a verb's exit status for failure. */
int complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void caution(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- control.c ---- */

/* A request object {"command": command}; with domain, if that is not NULL. */
struct json_object *control_request(const char *command, const char *domain);
/* Send request (which it puts) and wait for the reply; NULL after a line when that is an error. The caller puts the reply. */
struct json_object *control_call(const struct call *c, struct json_object *request);
/* The same for a request whose reply is of no interest: an exit status. */
int control_do(const struct call *c, struct json_object *request);
/* A connection that is now the console of domain, or -1 after a line. */
int control_console(const struct call *c, const char *domain);
/* domain (a name or a domid) as sluiced's list describes it, which the caller puts; NULL after a line. */
struct json_object *control_find(const struct call *c, const char *domain);
int control_domid(const struct call *c, const char *domain); /* -1 after a line */

int64_t member_int(const struct json_object *o, const char *key);
const char *member_string(const struct json_object *o, const char *key); /* "" when absent */
/* Pretty, on standard output. Puts o. Exit status 0. */
int print_json(struct json_object *o);

/* ---- verbs: each returns the exit status, after a line if that is not 0 ---- */
int verb_create(struct call *c);
int verb_list(struct call *c);
int verb_info(struct call *c);
int verb_console(struct call *c);
int verb_destroy(struct call *c);
int verb_pause(struct call *c);
int verb_unpause(struct call *c);
int verb_shutdown(struct call *c);
int verb_reboot(struct call *c);
int verb_domid(struct call *c);
int verb_domname(struct call *c);
int verb_network_attach(struct call *c);
int verb_network_detach(struct call *c);
int verb_network_list(struct call *c);
int verb_block_attach(struct call *c);
int verb_block_detach(struct call *c);
int verb_block_list(struct call *c);

/* Be the console on fd until either side ends: what create -c and console do. */
int console_run(int fd);

#endif
