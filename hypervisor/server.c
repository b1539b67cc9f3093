/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket (server.h). Nothing here waits for a client: input and output are bounded buffers, and a client whose reply is not
 * taken is not read from either.
 */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "console.h"
#include "log.h"
#include "loop.h"
#include "server_commands.h"
#include "server_domain.h"

#define REQUEST_MAX 65536
#define CLIENTS_MAX 32

struct client {
	int fd;
	bool ended;   /* it sends no more */
	bool leaving; /* close when the reply is out */
	size_t in_len;
	char *out;
	size_t out_len, out_done;
	char in[REQUEST_MAX];
};

static struct client *clients[CLIENTS_MAX];
static struct server_socket listener = SERVER_SOCKET_CLOSED;

static bool reply_waits(const struct client *c)
{
	return c->out_done < c->out_len;
}

static void client_free(struct client *c)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (clients[i] == c)
			clients[i] = NULL;
	free(c->out);
	free(c);
}

static void client_close(struct client *c)
{
	loop_remove(c->fd);
	close(c->fd);
	client_free(c);
}

/* Send what waits, as much as goes. False: the client is gone. */
static bool client_flush(struct client *c)
{
	while (reply_waits(c)) {
		ssize_t n = send(c->fd, c->out + c->out_done, c->out_len - c->out_done, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0)
			return false;
		c->out_done += (size_t)n;
	}
	return true;
}

/* Takes reply. */
static bool client_reply(struct client *c, struct json_object *reply)
{
	const char *text = reply ? json_object_to_json_string_ext(reply, JSON_C_TO_STRING_PLAIN) : NULL;

	free(c->out);
	c->out = NULL;
	c->out_len = c->out_done = 0;
	if (text && asprintf(&c->out, "%s\n", text) >= 0)
		c->out_len = strlen(c->out);
	json_object_put(reply);
	return c->out_len && client_flush(c);
}

static struct json_object *error_reply(const char *what)
{
	struct json_object *reply = json_object_new_object();

	json_object_object_add(reply, "ok", json_object_new_boolean(false));
	json_object_object_add(reply, "error", json_object_new_string(what));
	return reply;
}

/* The connection becomes the console's. */
static void client_to_console(struct client *c, struct domain *d)
{
	int fd = c->fd;

	loop_remove(fd);
	client_free(c);
	if (console_attach(d, fd))
		close(fd);
}

/* One request, if a whole line is there. False: the client is no more. */
static bool client_request(struct client *c, bool *did)
{
	char *end = memchr(c->in, '\n', c->in_len);
	struct domain *console = NULL;
	struct json_object *reply;
	size_t used;

	*did = end;
	if (!end && c->in_len < REQUEST_MAX)
		return true;
	used = end ? (size_t)(end - c->in) + 1 : c->in_len;
	c->leaving = !end;
	reply = end ? server_command(c->in, used - 1, &console) : error_reply("a request may have at most 64 KiB, on one line");
	memmove(c->in, c->in + used, c->in_len - used);
	c->in_len -= used;
	if (!client_reply(c, reply) || (console && (c->in_len || reply_waits(c)))) {
		client_close(c);
		return false;
	}
	if (console)
		client_to_console(c, console);
	return !console;
}

/* Go on with a client as far as its reply buffer allows; close it when it is done. */
static void client_advance(struct client *c)
{
	bool did = true;

	while (did && !c->leaving && !reply_waits(c))
		if (!client_request(c, &did))
			return;
	if (reply_waits(c))
		loop_modify(c->fd, EPOLLOUT);
	else if (c->ended || c->leaving)
		client_close(c);
	else
		loop_modify(c->fd, EPOLLIN);
}

static void client_ready(int fd, uint32_t events, void *arg)
{
	struct client *c = arg;
	ssize_t n;

	if (reply_waits(c)) {
		if (!client_flush(c) || (events & (EPOLLERR | EPOLLHUP)))
			client_close(c);
		else
			client_advance(c);
		return;
	}
	n = recv(fd, c->in + c->in_len, REQUEST_MAX - c->in_len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		client_close(c);
		return;
	}
	c->ended = n == 0;
	c->in_len += (size_t)n;
	client_advance(c);
}

static void hang_up(int fd, const char *why)
{
	struct client c = { .fd = fd };

	client_reply(&c, error_reply(why));
	free(c.out);
	close(fd);
}

static void client_new(int fd, uint32_t events, void *arg)
{
	struct client *c;
	unsigned i = 0;

	(void)events;
	(void)arg;
	fd = server_accept(fd);
	if (fd < 0)
		return;
	while (i < CLIENTS_MAX && clients[i])
		i++;
	c = i < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		hang_up(fd, "too many connections to sluiced: close some");
		return;
	}
	c->fd = fd;
	if (loop_add(fd, EPOLLIN, client_ready, c)) {
		hang_up(fd, "sluiced cannot serve another connection");
		free(c);
		return;
	}
	clients[i] = c;
}

int server_init(const char *run_dir)
{
	int rc = server_domain_init();

	if (rc)
		return rc;
	return server_listen(&listener, run_dir, "control.sock", SOCK_STREAM, client_new);
}

void server_fini(void)
{
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		if (clients[i])
			client_close(clients[i]);
	server_domain_fini();
	server_unlisten(&listener);
}
