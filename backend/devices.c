/* SPDX-License-Identifier: BSD-3-Clause */
/* All devices of a class: which there are, and what the store says of them (device.h). main.c makes one `struct devices` per class. */
#include "device_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_A_TURN 256u /* watch events taken before other work gets its turn */

struct device *devices_find(struct devices *d, domid_t domid, uint32_t devid)
{
	struct device *dev;

	TAILQ_FOREACH(dev, &d->list, next)
		if (dev->domid == domid && dev->devid == devid)
			return dev;
	return NULL;
}

unsigned devices_count(const struct devices *d)
{
	return d->count;
}

/* ---- watch events ---- */

static void scan_domain(struct devices *d, domid_t domid)
{
	char path[STORE_PATH];
	struct device *dev;
	unsigned n = 0;
	char **names;

	TAILQ_FOREACH(dev, &d->list, next)
		if (dev->domid == domid)
			dev->marked = true;
	snprintf(path, sizeof(path), "%s/%u", d->root, domid);
	names = d->hv->ops->store_directory(d->hv, HV_TXN_NONE, path, &n);
	for (unsigned i = 0; names && i < n; i++) {
		uint32_t devid;

		if (store_parse_number(names[i], strlen(names[i]), DEVICE_ID_MAX, &devid) == 0 && !devices_find(d, domid, devid))
			device_probe(d, domid, devid);
	}
	free(names);
}

static void scan_all(struct devices *d)
{
	struct device *dev;
	unsigned n = 0;
	char **names;

	TAILQ_FOREACH(dev, &d->list, next)
		dev->marked = true;
	names = d->hv->ops->store_directory(d->hv, HV_TXN_NONE, d->root, &n);
	for (unsigned i = 0; names && i < n; i++) {
		uint32_t domid;

		if (store_parse_number(names[i], strlen(names[i]), DOMID_FIRST_RESERVED - 1, &domid) == 0)
			scan_domain(d, (domid_t)domid);
	}
	free(names);
}

/* "1/0" or "1/0/..." to its two numbers: how many of them there are, -1 for nonsense. */
static int parse_pair(const char *text, uint32_t *domid, uint32_t *devid)
{
	size_t first = strcspn(text, "/"), second;

	if (first == 0)
		return 0;
	if (store_parse_number(text, first, DOMID_FIRST_RESERVED - 1, domid))
		return -1;
	if (text[first] == '\0')
		return 1;
	second = strcspn(text + first + 1, "/");
	return store_parse_number(text + first + 1, second, DEVICE_ID_MAX, devid) ? -1 : 2;
}

/* A change in a device's own node. */
static void own_event(struct device *dev, const char *path)
{
	const char *key = strrchr(path, '/');

	dev->marked = true;
	if (key && strcmp(key, "/params") == 0)
		dev->refused = false;
}

/* A change at or below backend/<class>. The store may name it by its full path or as we do. */
static void backend_event(struct devices *d, const char *path)
{
	const char *at = strstr(path, d->root);
	uint32_t domid, devid;
	struct device *dev;

	if (!at)
		return;
	at += strlen(d->root);
	switch (parse_pair(*at == '/' ? at + 1 : at, &domid, &devid)) {
	case 0:
		scan_all(d);
		break;
	case 1:
		scan_domain(d, (domid_t)domid);
		break;
	case 2:
		dev = devices_find(d, (domid_t)domid, devid);
		if (dev)
			own_event(dev, at);
		else if (!d->closing)
			device_probe(d, (domid_t)domid, devid);
		break;
	default:
		break;
	}
}

static void front_event(struct devices *d, const char *token)
{
	uint32_t domid, devid;
	struct device *dev;

	if (parse_pair(token, &domid, &devid) != 2)
		return;
	dev = devices_find(d, (domid_t)domid, devid);
	if (dev)
		dev->marked = true;
}

static void update_marked(struct devices *d)
{
	struct device *dev, *following;

	for (dev = TAILQ_FIRST(&d->list); dev; dev = following) {
		following = TAILQ_NEXT(dev, next);
		if (dev->marked || dev->failed)
			device_update(dev);
	}
}

/* "vif": our watch on backend/vif; "vif/1/0": on the state of that front end. */
static void dispatch(struct devices *d, const char *path, const char *token)
{
	size_t n;

	for (; d; d = d->beside) {
		n = strlen(d->cls->type);
		if (strncmp(token, d->cls->type, n) != 0)
			continue;
		if (token[n] == '\0')
			backend_event(d, path);
		else if (token[n] == '/')
			front_event(d, token + n + 1);
	}
}

static void store_ready(struct poll_fd *pfd)
{
	struct devices *d = (struct devices *)((char *)pfd - offsetof(struct devices, store));
	char *path, *token;

	for (unsigned i = 0; i < EVENTS_A_TURN && d->hv->ops->store_event(d->hv, &path, &token) == 0; i++) {
		dispatch(d, path, token);
		free(path);
		free(token);
	}
	for (; d; d = d->beside)
		update_marked(d);
}

static void work_due(struct poll_timer *timer)
{
	update_marked((struct devices *)((char *)timer - offsetof(struct devices, work)));
}

/* ---- all of them ---- */

static struct devices *devices_new(struct hv *hv, struct poller *p, const struct device_class *cls, void *ctx)
{
	struct devices *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->hv = hv;
	d->poller = p;
	d->cls = cls;
	d->ctx = ctx;
	d->first = d;
	d->work.fire = work_due;
	TAILQ_INIT(&d->list);
	snprintf(d->root, sizeof(d->root), "backend/%s", cls->type);
	return d;
}

int devices_create(struct hv *hv, struct poller *p, const struct device_class *cls, void *ctx, struct devices **out)
{
	struct devices *d = devices_new(hv, p, cls, ctx);
	int rc;

	if (!d)
		return -ENOMEM;
	d->store = (struct poll_fd){.fd = hv->ops->store_fd(hv), .ready = store_ready};
	rc = hv->ops->store_watch(hv, d->root, cls->type);
	if (rc)
		goto free_devices;
	rc = poller_add_fd(p, &d->store);
	if (rc)
		goto unwatch;
	*out = d;
	return 0;

unwatch:
	hv->ops->store_unwatch(hv, d->root, cls->type);
free_devices:
	free(d);
	return rc;
}

int devices_create_beside(struct devices *first, const struct device_class *cls, void *ctx, struct devices **out)
{
	struct devices *d = devices_new(first->hv, first->poller, cls, ctx);
	int rc;

	if (!d)
		return -ENOMEM;
	rc = d->hv->ops->store_watch(d->hv, d->root, cls->type);
	if (rc) {
		free(d);
		return rc;
	}
	d->first = first;
	d->beside = first->beside;
	first->beside = d;
	*out = d;
	return 0;
}

/* Out of the list of those that `first` reads the store for. */
static void leave_first(struct devices *d)
{
	struct devices *before = d->first;

	while (before->beside != d)
		before = before->beside;
	before->beside = d->beside;
}

void devices_destroy(struct devices *d)
{
	if (!d)
		return;
	while (!TAILQ_EMPTY(&d->list))
		device_free(TAILQ_FIRST(&d->list));
	poller_timer_cancel(d->poller, &d->work);
	if (d->first == d)
		poller_remove_fd(d->poller, &d->store);
	else
		leave_first(d);
	d->hv->ops->store_unwatch(d->hv, d->root, d->cls->type);
	free(d);
}

void devices_close(struct devices *d)
{
	struct device *dev;

	d->closing = true;
	TAILQ_FOREACH(dev, &d->list, next)
		device_close(dev);
	poller_timer_set(d->poller, &d->work, 0);
}

bool devices_closed(const struct devices *d)
{
	const struct device *dev;

	TAILQ_FOREACH(dev, &d->list, next)
		if (dev->state != XenbusStateClosed)
			return false;
	return true;
}
