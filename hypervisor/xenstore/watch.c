/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watches, and the events that wait to be sent. A connection's queue is bounded without losing news: an event equal to one that waits is
 * not queued again, and when the queue is full, the watch is marked instead and later fires once with its own path, which tells the
 * client to look at everything below (XSA-349). Called by database.c for changes, by connection.c when there is room to send.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

struct watch {
	struct watch *next;
	size_t base;      /* bytes of path that its client does not see */
	unsigned depth;
	bool whole;       /* the queue was full: fire for path itself */
	const char *token;
	char path[];      /* and token behind it */
};

struct event {
	struct event *next;
	struct watch *watch;
	char path[];
};

static bool event_waits(const struct conn *c, const struct watch *w, const char *path)
{
	for (const struct event *e = c->events; e; e = e->next)
		if (e->watch == w && !strcmp(e->path, path))
			return true;
	return false;
}

static void event_add(struct conn *c, struct watch *w, const char *path)
{
	size_t len = strlen(path) + 1;
	struct event *e;

	if (w->whole || event_waits(c, w, path))
		return;
	e = c->nr_events < CONN_EVENTS ? malloc(sizeof(*e) + len) : NULL;
	if (!e) {
		w->whole = true;
		return;
	}
	e->next = NULL;
	e->watch = w;
	memcpy(e->path, path, len);
	*c->events_end = e;
	c->events_end = &e->next;
	c->nr_events++;
}

/* Forget the events of w, or all of them when w is NULL. */
static void events_drop(struct conn *c, const struct watch *w)
{
	struct event **at = &c->events, *e;

	while ((e = *at)) {
		if (w && e->watch != w) {
			at = &e->next;
			continue;
		}
		*at = e->next;
		free(e);
		c->nr_events--;
	}
	c->events_end = at;
}

static struct watch **watch_at(struct conn *c, const char *path, const char *token)
{
	struct watch **at = &c->watches;

	while (*at && (strcmp((*at)->path, path) || strcmp((*at)->token, token)))
		at = &(*at)->next;
	return at;
}

int watch_add(struct conn *c, const char *path, size_t base, const char *token, unsigned depth)
{
	size_t path_len = strlen(path) + 1, token_len = strlen(token) + 1;
	struct watch *w;

	if (*watch_at(c, path, token))
		return -EEXIST;
	if (!c->who.privileged && c->nr_watches >= GUEST_WATCHES)
		return -E2BIG;
	w = calloc(1, sizeof(*w) + path_len + token_len);
	if (!w)
		return -ENOMEM;
	w->base = base;
	w->depth = depth;
	memcpy(w->path, path, path_len);
	w->token = memcpy(w->path + path_len, token, token_len);
	w->next = c->watches;
	c->watches = w;
	c->nr_watches++;
	event_add(c, w, path);
	return 0;
}

static void watch_free(struct conn *c, struct watch **at)
{
	struct watch *w = *at;

	events_drop(c, w);
	*at = w->next;
	c->nr_watches--;
	free(w);
}

int watch_remove(struct conn *c, const char *path, const char *token)
{
	struct watch **at = watch_at(c, path, token);

	if (!*at)
		return -ENOENT;
	watch_free(c, at);
	return 0;
}

void watch_reset(struct conn *c)
{
	events_drop(c, NULL);
	while (c->watches)
		watch_free(c, &c->watches);
}

/* A client hears only of nodes that it can read now, or could until the change (XSA-115). */
static bool may_hear(const struct conn *c, const struct tree *before, const struct tree *after, const char *path)
{
	const struct node *was = tree_find(before, path), *is = tree_find(after, path);

	return c->who.privileged || (is && perms_allow(&is->data, &c->who) & PERM_READ) ||
	       (was && perms_allow(&was->data, &c->who) & PERM_READ);
}

static void fire_one(struct conn *c, struct watch *w, const struct tree *before, const struct tree *after, const char *path, bool removed)
{
	unsigned levels;

	if (path_is_below(path, w->path, &levels)) {
		if (levels <= w->depth && may_hear(c, before, after, path))
			event_add(c, w, path);
	} else if (removed && path_is_below(w->path, path, &levels)) {
		if (tree_find(before, w->path) && may_hear(c, before, after, w->path))
			event_add(c, w, w->path);
	}
}

void watch_fire(const struct tree *before, const struct tree *after, const char *path, bool removed)
{
	for (struct conn *c = store_conns; c; c = c->next)
		for (struct watch *w = c->watches; w; w = w->next)
			fire_one(c, w, before, after, path, removed);
}

void watch_fire_special(const char *name)
{
	for (struct conn *c = store_conns; c; c = c->next)
		for (struct watch *w = c->watches; w; w = w->next)
			if (!strcmp(w->path, name))
				event_add(c, w, name);
}

/* Queue a message for w's client; one that does not fit into a message is not sent, as xenstored has it. */
static bool event_send(struct conn *c, const struct watch *w, const char *path)
{
	struct xsd_sockmsg hdr = { .type = XS_WATCH_EVENT };
	size_t path_len = strlen(path + w->base) + 1, token_len = strlen(w->token) + 1;

	if (path_len + token_len > XENSTORE_PAYLOAD_MAX)
		return false;
	conn_put(c, &hdr, path + w->base, path_len, w->token, token_len);
	return true;
}

static bool send_queued(struct conn *c)
{
	bool sent = false;

	while (c->events && !sent) {
		struct event *e = c->events;

		sent = event_send(c, e->watch, e->path);
		c->events = e->next;
		if (!c->events)
			c->events_end = &c->events;
		c->nr_events--;
		free(e);
	}
	return sent;
}

bool watch_next_event(struct conn *c)
{
	if (send_queued(c))
		return true;
	for (struct watch *w = c->watches; w; w = w->next) {
		if (!w->whole)
			continue;
		w->whole = false;
		if (event_send(c, w, w->path))
			return true;
	}
	return false;
}
