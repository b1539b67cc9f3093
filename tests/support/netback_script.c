/* SPDX-License-Identifier: BSD-3-Clause */
/* See netback_script.h. */
#include "netback_script.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void script_back(struct hv *hv, const char *key, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), SCRIPT_BACK "/%s", key);
	hv_fake_store_write(hv, 0, path, value);
}

void script_front(struct hv *hv, const char *key, const char *value)
{
	char path[256];

	snprintf(path, sizeof(path), SCRIPT_FRONT "/%s", key);
	hv_fake_store_write(hv, 0, path, value);
}

long script_front_number(struct hv *hv, const char *key)
{
	char path[256], *value, *end;
	long n;

	snprintf(path, sizeof(path), SCRIPT_FRONT "/%s", key);
	value = hv_fake_store_read(hv, 0, path);
	if (!value)
		return -1;
	n = strtol(value, &end, 10);
	n = *value && !*end ? n : -1;
	free(value);
	return n;
}

void script_device(struct hv *hv)
{
	script_back(hv, "state", "1");
	script_back(hv, "online", "1");
	script_back(hv, "feature-sg", "1");
	script_back(hv, "feature-gso-tcpv4", "1");
	script_back(hv, "feature-split-event-channels", "1");
	script_front(hv, "state", "1");
	script_front(hv, "backend-id", "0");
	script_front(hv, "mac", "00:16:3e:0a:0b:0c");
	script_front(hv, "backend", SCRIPT_BACK);
}

static long number_in(struct hv *hv, const char *dir, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "%s%s", dir, key);
	return script_front_number(hv, path);
}

static int map_one(struct hv *hv, const char *dir, const char *key, void **page)
{
	gref_t gref = (gref_t)number_in(hv, dir, key);

	return hv->ops->map_ring(hv, SCRIPT_DOMID, &gref, 1, page);
}

static int bind_one(struct netback_script *s, const char *dir, const char *key, evtchn_t *port)
{
	long remote = number_in(s->hv, dir, key);

	return remote <= 0 ? -ENOENT : s->hv->ops->evtchn_bind(s->channel, SCRIPT_DOMID, (evtchn_t)remote, port);
}

int script_connect_queue(struct netback_script *s, struct hv *hv, const char *dir)
{
	int rc;

	memset(s, 0, sizeof(*s));
	s->hv = hv;
	rc = hv->ops->evtchn_open(hv, &s->channel);
	if (rc)
		return rc;
	rc = bind_one(s, dir, "event-channel-tx", &s->tx_port);
	if (!rc)
		rc = bind_one(s, dir, "event-channel-rx", &s->rx_port);
	if (rc) {
		rc = bind_one(s, dir, "event-channel", &s->tx_port);
		s->rx_port = s->tx_port;
	}
	if (!rc)
		rc = map_one(hv, dir, "tx-ring-ref", &s->tx_page);
	if (!rc)
		rc = map_one(hv, dir, "rx-ring-ref", &s->rx_page);
	if (!rc)
		rc = back_ring_attach(&s->tx, s->tx_page, 1, sizeof(union netif_tx_sring_entry));
	if (!rc)
		rc = back_ring_attach(&s->rx, s->rx_page, 1, sizeof(union netif_rx_sring_entry));
	s->connected = true;
	if (rc)
		script_disconnect(s);
	return rc;
}

int script_connect(struct netback_script *s, struct hv *hv)
{
	int rc = script_connect_queue(s, hv, "");

	if (!rc)
		script_back(hv, "state", "4");
	return rc;
}

void script_disconnect(struct netback_script *s)
{
	if (!s->connected)
		return;
	if (s->tx_page)
		s->hv->ops->unmap_ring(s->hv, s->tx_page, 1);
	if (s->rx_page)
		s->hv->ops->unmap_ring(s->hv, s->rx_page, 1);
	s->hv->ops->evtchn_close(s->channel);
	s->connected = false;
}

static int copy(struct netback_script *s, struct hv_copy_op *op)
{
	int rc = s->hv->ops->copy(s->hv, op, 1);

	return rc ? rc : op->status;
}

int script_copy_in(struct netback_script *s, gref_t gref, unsigned offset, void *dst, unsigned n)
{
	struct hv_copy_op op = { .src = { .domid = SCRIPT_DOMID, .gref = gref, .offset = (uint16_t)offset }, .dst = { .local = dst }, .len = (uint16_t)n };

	return copy(s, &op);
}

int script_copy_out(struct netback_script *s, gref_t gref, unsigned offset, const void *src, unsigned n)
{
	struct hv_copy_op op = { .src = { .local = (void *)(uintptr_t)src }, .len = (uint16_t)n,
				 .dst = { .domid = SCRIPT_DOMID, .gref = gref, .offset = (uint16_t)offset } };

	return copy(s, &op);
}

static bool take(struct back_ring *r, void *req, size_t n)
{
	if (back_ring_pending(r) <= 0)
		return false;
	shm_copy_in(req, back_ring_slot(r, 0), n);
	back_ring_consume(r, 1);
	return true;
}

bool script_tx_take(struct netback_script *s, struct netif_tx_request *req)
{
	return take(&s->tx, req, sizeof(*req));
}

bool script_rx_take(struct netback_script *s, struct netif_rx_request *req)
{
	return take(&s->rx, req, sizeof(*req));
}

void script_tx_answer(struct netback_script *s, uint16_t id, int16_t status)
{
	struct netif_tx_response rsp = { .id = id, .status = status };

	back_ring_put(&s->tx, &rsp, sizeof(rsp));
}

void script_rx_answer(struct netback_script *s, uint16_t id, uint16_t offset, uint16_t flags, int16_t status)
{
	struct netif_rx_response rsp = { .id = id, .offset = offset, .flags = flags, .status = status };

	back_ring_put(&s->rx, &rsp, sizeof(rsp));
}

void script_rx_extra(struct netback_script *s, const struct netif_extra_info *extra)
{
	back_ring_put(&s->rx, extra, sizeof(*extra));
}

void script_push(struct netback_script *s)
{
	if (back_ring_push(&s->tx))
		s->hv->ops->evtchn_notify(s->channel, s->tx_port);
	if (back_ring_push(&s->rx))
		s->hv->ops->evtchn_notify(s->channel, s->rx_port);
}

void script_deliver(struct netback_script *s, const void *bytes, unsigned n)
{
	struct netif_rx_request req;

	if (!script_rx_take(s, &req) || script_copy_out(s, req.gref, 128, bytes, n) != GNTST_okay)
		return;
	script_rx_answer(s, req.id, 128, 0, (int16_t)n);
	script_push(s);
}
