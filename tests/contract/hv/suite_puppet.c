/* SPDX-License-Identifier: BSD-3-Clause */
/* See suite_puppet.h. */
#include "suite_puppet.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A guest's console, and what came of it that was not looked at yet. */
static struct console {
	int fd_plus_1;
	int answer_ms;
	char text[16384];
	size_t len;
} consoles[PUPPETS];

static bool console_more(struct console *c)
{
	struct pollfd p = {.fd = c->fd_plus_1 - 1, .events = POLLIN};
	ssize_t n;

	if (c->len == sizeof(c->text) - 1) { /* what is old was looked at */
		memmove(c->text, c->text + c->len / 2, c->len - c->len / 2);
		c->len -= c->len / 2;
	}
	if (poll(&p, 1, c->answer_ms) != 1)
		return false;
	n = read(c->fd_plus_1 - 1, c->text + c->len, sizeof(c->text) - 1 - c->len);
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->text[c->len] = '\0';
	return true;
}

/* The guest's next answer: what follows "puppet: " on a whole line. Everything up to it is forgotten. */
static bool answer(struct console *c, char *out, size_t max)
{
	static const char prefix[] = "puppet: ";

	for (;;) {
		char *at = strstr(c->text, prefix), *end = at ? strpbrk(at, "\r\n") : NULL;

		if (end) {
			snprintf(out, max, "%.*s", (int)(end - at - (ptrdiff_t)strlen(prefix)), at + strlen(prefix));
			c->len -= (size_t)(end - c->text);
			memmove(c->text, end, c->len + 1);
			return true;
		}
		if (!console_more(c)) {
			fprintf(stderr, "no answer from the guest; it said: %s\n", c->text);
			return false;
		}
	}
}

/* One move of the puppet. 0 with what follows "ok" in *value, or -errno. */
static int move(domid_t domid, uint64_t *value, const char *fmt, ...)
{
	struct console *c = &consoles[domid % PUPPETS];
	char said[256];
	va_list ap;

	va_start(ap, fmt);
	vdprintf(c->fd_plus_1 - 1, fmt, ap);
	va_end(ap);
	if (!answer(c, said, sizeof(said)))
		return -EIO;
	if (!strcmp(said, "busy"))
		return -EBUSY;
	if (strncmp(said, "ok", 2)) {
		fprintf(stderr, "the guest says: %s\n", said);
		return -EINVAL;
	}
	if (value)
		*value = strtoull(said + 2, NULL, 10);
	return 0;
}

void puppet_open(domid_t domid, int fd, int answer_ms)
{
	consoles[domid % PUPPETS] = (struct console){.fd_plus_1 = fd + 1, .answer_ms = answer_ms};
}

int puppet_ready(domid_t domid)
{
	char said[64];

	return answer(&consoles[domid % PUPPETS], said, sizeof(said)) && !strcmp(said, "ready") ? 0 : -EIO;
}

void puppet_close(domid_t domid)
{
	struct console *c = &consoles[domid % PUPPETS];

	if (c->fd_plus_1)
		close(c->fd_plus_1 - 1);
	c->fd_plus_1 = 0;
}

/* ---- its moves, as hv_peer_ops has them ---- */

int puppet_page(struct hv_peer *p, domid_t domid, unsigned *n)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "page\n");

	(void)p;
	*n = (unsigned)value;
	return rc;
}

int puppet_poke(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset, uint8_t byte, unsigned count)
{
	(void)p;
	return move(domid, NULL, "poke %u %u %u %u\n", n, offset, byte, count);
}

int puppet_peek(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "peek %u %u\n", n, offset);

	(void)p;
	return rc ? rc : (int)value;
}

int puppet_grant(struct hv_peer *p, domid_t domid, unsigned n, domid_t to, bool readonly, gref_t *gref)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "grant %u %u %u\n", n, to, readonly);

	(void)p;
	*gref = (gref_t)value;
	return rc;
}

int puppet_ungrant(struct hv_peer *p, domid_t domid, gref_t gref)
{
	(void)p;
	return move(domid, NULL, "ungrant %u\n", gref);
}

int puppet_evtchn(struct hv_peer *p, domid_t domid, domid_t remote, evtchn_t *port)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "evtchn %u\n", remote);

	(void)p;
	*port = (evtchn_t)value;
	return rc;
}

int puppet_send(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	(void)p;
	return move(domid, NULL, "send %u\n", port);
}

int puppet_take(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "take %u\n", port);

	(void)p;
	return rc ? rc : (int)value;
}

int puppet_close_port(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	(void)p;
	return move(domid, NULL, "close %u\n", port);
}

int puppet_store(struct hv_peer *p, domid_t domid, const char *path, const char *value)
{
	(void)p;
	return move(domid, NULL, "store %s %s\n", path, value);
}
