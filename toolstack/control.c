/* SPDX-License-Identifier: BSD-3-Clause */
/* sluiced's control socket, the client's side: a line of JSON there, a line of JSON back (hypervisor/server.h). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "toolstack.h"

#define REPLY_MAX (1u << 20)

static int control_open(const struct call *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", c->run_dir);
	int fd;

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path)) {
		complain("%s: longer than a socket's path may be: give a shorter --run-dir", c->run_dir);
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR)
		complain("no sluiced at %s: start it, or give --run-dir", c->run_dir);
	else if (errno == EACCES || errno == EPERM)
		complain("%s: %s: run as root, or as who started sluiced", addr.sun_path, strerror(errno));
	else
		complain("%s: %s", addr.sun_path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int send_line(int fd, struct json_object *request)
{
	const char *text = json_object_to_json_string_ext(request, JSON_C_TO_STRING_PLAIN);
	size_t len = strlen(text), done = 0;

	while (done <= len) { /* the last byte is the end of the line */
		bool last = done == len;
		ssize_t n = send(fd, last ? "\n" : text + done, last ? 1 : len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* One line and not a byte more: what follows may be a console's. NULL: the connection ended before. */
static char *receive_line(int fd)
{
	size_t len = 0, size = 0;
	char *line = NULL, *grown;

	while (len < REPLY_MAX) {
		ssize_t n, take = 0;

		if (size - len < 4096) {
			grown = realloc(line, size += 8192);
			if (!grown)
				break;
			line = grown;
		}
		n = recv(fd, line + len, size - len - 1, MSG_PEEK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		while (take < n && line[len + (size_t)take++] != '\n')
			;
		if (recv(fd, line + len, (size_t)take, 0) != take)
			break;
		len += (size_t)take;
		if (line[len - 1] == '\n') {
			line[len - 1] = 0;
			return line;
		}
	}
	free(line);
	return NULL;
}

struct json_object *control_request(const char *command, const char *domain)
{
	struct json_object *request = json_object_new_object();

	json_object_object_add(request, "command", json_object_new_string(command));
	if (domain)
		json_object_object_add(request, "domain", json_object_new_string(domain));
	return request;
}

/* On an open connection; NULL after a line. Puts request. */
static struct json_object *exchange(const struct call *c, int fd, struct json_object *request)
{
	int rc = send_line(fd, request);
	char *line = rc ? NULL : receive_line(fd);
	struct json_object *reply = line ? json_tokener_parse(line) : NULL, *ok;

	json_object_put(request);
	if (!line)
		complain("sluiced at %s hung up: it ended, or only root and its own user may command it", c->run_dir);
	else if (!json_object_is_type(reply, json_type_object))
		complain("sluiced at %s: a reply that is not understood: is it of this version?", c->run_dir);
	else if (!json_object_object_get_ex(reply, "ok", &ok) || !json_object_get_boolean(ok))
		complain("%s", member_string(reply, "error"));
	else {
		free(line);
		return reply;
	}
	free(line);
	json_object_put(reply);
	return NULL;
}

struct json_object *control_call(const struct call *c, struct json_object *request)
{
	int fd = control_open(c);
	struct json_object *reply;

	if (fd < 0) {
		json_object_put(request);
		return NULL;
	}
	reply = exchange(c, fd, request);
	close(fd);
	return reply;
}

int control_do(const struct call *c, struct json_object *request)
{
	struct json_object *reply = control_call(c, request);
	int status = reply ? 0 : 1;

	json_object_put(reply);
	return status;
}

int control_console(const struct call *c, const char *domain)
{
	int fd = control_open(c);
	struct json_object *reply;

	if (fd < 0)
		return -1;
	reply = exchange(c, fd, control_request("console", domain));
	if (!reply) {
		close(fd);
		return -1;
	}
	json_object_put(reply);
	return fd;
}

struct json_object *control_find(const struct call *c, const char *domain)
{
	struct json_object *reply = control_call(c, control_request("list", NULL)), *all = NULL, *found = NULL;
	bool is_number = *domain && strspn(domain, "0123456789") == strlen(domain);

	if (!reply)
		return NULL;
	json_object_object_get_ex(reply, "domains", &all);
	for (size_t i = 0; all && i < json_object_array_length(all) && !found; i++) {
		struct json_object *d = json_object_array_get_idx(all, i);

		if (is_number ? member_int(d, "domid") == atoll(domain) : !strcmp(member_string(d, "name"), domain))
			found = json_object_get(d);
	}
	if (!found)
		complain("no domain '%s': see sluice list", domain);
	json_object_put(reply);
	return found;
}

int control_domid(const struct call *c, const char *domain)
{
	struct json_object *d = control_find(c, domain);
	int domid = d ? (int)member_int(d, "domid") : -1;

	json_object_put(d);
	return domid;
}

int64_t member_int(const struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : 0;
}

const char *member_string(const struct json_object *o, const char *key)
{
	struct json_object *value;
	const char *text = json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : NULL;

	return text ? text : "";
}

int print_json(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return 0;
}
