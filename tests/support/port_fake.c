/* SPDX-License-Identifier: BSD-3-Clause */
/* See port_fake.h. The store daemon handles one request as soon as its last byte is there; watch events come from hv_fake's own watches. */
#include "port_fake.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM 65536u
#define FREE_PAGES 8192u

struct port_fake_faults port_fake_faults;

static struct {
	struct hv *hv;
	domid_t domid;
	void (*world)(void *arg);
	void *world_arg;
	uint64_t now;
	uint8_t request[STREAM], reply[STREAM]; /* bytes from and to the guest */
	size_t nr_request, nr_reply;
	bool store_fired;
	void *free_pages[FREE_PAGES]; /* single pages that came back */
	unsigned nr_free, pages, grants, ports, notifies, errors;
} fake;

void port_fake_open(struct hv *hv, domid_t domid)
{
	memset(&fake, 0, sizeof(fake));
	memset(&port_fake_faults, 0, sizeof(port_fake_faults));
	fake.hv = hv;
	fake.domid = domid;
	fake.now = 1000;
	hv_fake_domain_create(hv, domid);
}

void port_fake_close(void)
{
	hv_fake_domain_destroy(fake.hv, fake.domid);
}

void port_fake_set_world(void (*step)(void *arg), void *arg)
{
	fake.world = step;
	fake.world_arg = arg;
}

unsigned port_fake_pages(void)
{
	return fake.pages;
}

unsigned port_fake_grants(void)
{
	return fake.grants;
}

unsigned port_fake_ports(void)
{
	return fake.ports;
}

unsigned port_fake_notifies(void)
{
	unsigned n = fake.notifies;

	fake.notifies = 0;
	return n;
}

unsigned port_fake_errors(void)
{
	return fake.errors;
}

/* ---- memory ---- */

void *port_pages_alloc(unsigned n)
{
	void *pages = n == 1 && fake.nr_free ? fake.free_pages[--fake.nr_free] : hv_fake_pages_alloc(fake.hv, fake.domid, n);

	if (!pages)
		return NULL;
	fake.pages += n;
	return memset(pages, 0, (size_t)n * SLUICE_PAGE_SIZE);
}

void port_pages_free(void *pages, unsigned n)
{
	if (!pages)
		return;
	fake.pages -= n;
	if (n == 1 && fake.nr_free < FREE_PAGES)
		fake.free_pages[fake.nr_free++] = pages;
}

void *port_alloc(size_t n)
{
	void *p = calloc(1, n);

	fake.pages += p != NULL;
	return p;
}

void port_free(void *p)
{
	fake.pages -= p != NULL;
	free(p);
}

/* ---- grants and events ---- */

int port_grant(domid_t to, void *page, bool readonly, gref_t *gref)
{
	int rc;

	if (port_fake_faults.fail_grants_after == 1)
		return -ENOSPC;
	if (port_fake_faults.fail_grants_after)
		port_fake_faults.fail_grants_after--;
	rc = hv_fake_grant(fake.hv, fake.domid, to, page, readonly, gref);
	fake.grants += !rc;
	return rc;
}

int port_grant_end(gref_t gref)
{
	int rc = hv_fake_grant_end(fake.hv, fake.domid, gref);

	fake.grants -= !rc;
	return rc;
}

int port_evtchn_alloc(domid_t remote, evtchn_t *port)
{
	int rc = hv_fake_evtchn_alloc(fake.hv, fake.domid, remote, port);

	fake.ports += !rc;
	return rc;
}

void port_evtchn_close(evtchn_t port)
{
	hv_fake_evtchn_close(fake.hv, fake.domid, port);
	fake.ports--;
}

void port_evtchn_notify(evtchn_t port)
{
	fake.notifies++;
	hv_fake_evtchn_send(fake.hv, fake.domid, port);
}

bool port_evtchn_take(evtchn_t port)
{
	return hv_fake_evtchn_take(fake.hv, fake.domid, port);
}

/* ---- time ---- */

void port_wait(uint64_t deadline_ns)
{
	if (fake.world)
		fake.world(fake.world_arg);
	if (!fake.store_fired && !fake.nr_reply && deadline_ns > fake.now)
		fake.now = deadline_ns;
}

uint64_t port_now_ns(void)
{
	return fake.now++;
}

void port_log(enum port_log_level level, const char *fmt, ...)
{
	va_list args;

	fake.errors += level == PORT_LOG_ERROR;
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

/* ---- the store daemon ---- */

void port_fake_inject(uint32_t type, uint32_t req_id, uint32_t claimed_len, const void *body, size_t n)
{
	struct xsd_sockmsg head = { .type = type, .req_id = req_id, .len = claimed_len };

	if (fake.nr_reply + sizeof(head) + n > STREAM)
		return;
	memcpy(fake.reply + fake.nr_reply, &head, sizeof(head));
	if (n)
		memcpy(fake.reply + fake.nr_reply + sizeof(head), body, n);
	fake.nr_reply += sizeof(head) + n;
	fake.store_fired = true;
}

static void answer(const struct xsd_sockmsg *req, const void *body, size_t n)
{
	if (port_fake_faults.lose_replies) {
		port_fake_faults.lose_replies--;
		return;
	}
	if (port_fake_faults.stale_replies) {
		port_fake_faults.stale_replies--;
		port_fake_inject(req->type, req->req_id + 77, 5, "stale", 5);
	}
	port_fake_inject(req->type, req->req_id, (uint32_t)n, body, n);
}

static void answer_rc(const struct xsd_sockmsg *req, int rc)
{
	const char *name = rc == -ENOENT ? "ENOENT" : rc == -EAGAIN ? "EAGAIN" : rc == -EACCES ? "EACCES" : "EINVAL";
	struct xsd_sockmsg error = *req;

	if (!rc)
		return answer(req, "OK", 3);
	error.type = XS_ERROR;
	answer(&error, name, strlen(name) + 1);
}

static const char *absolute(const char *path, char *buf, size_t size)
{
	if (*path == '/')
		return path;
	snprintf(buf, size, "/local/domain/%u/%s", fake.domid, path);
	return buf;
}

static void serve_read(const struct xsd_sockmsg *req, const char *path)
{
	size_t len;
	char *value = fake.hv->ops->store_read(fake.hv, req->tx_id, path, &len);

	if (!value)
		return answer_rc(req, -ENOENT);
	answer(req, value, len);
	free(value);
}

static void serve_directory(const struct xsd_sockmsg *req, const char *path)
{
	char body[XENSTORE_PAYLOAD_MAX];
	unsigned n;
	char **names = fake.hv->ops->store_directory(fake.hv, req->tx_id, path, &n);
	size_t at = 0;

	if (!names)
		return answer_rc(req, -ENOENT);
	for (unsigned i = 0; i < n; at += strlen(names[i++]) + 1)
		memcpy(body + at, names[i], strlen(names[i]) + 1);
	answer(req, body, at);
	free(names);
}

static void serve_txn_start(const struct xsd_sockmsg *req)
{
	char text[16];
	hv_txn_t t;
	int rc = fake.hv->ops->txn_start(fake.hv, &t);

	if (rc)
		return answer_rc(req, rc);
	answer(req, text, (size_t)snprintf(text, sizeof(text), "%u", t) + 1);
}

static void serve_txn_end(const struct xsd_sockmsg *req, const char *flag)
{
	bool conflict = *flag == 'T' && port_fake_faults.conflicts;
	int rc = fake.hv->ops->txn_end(fake.hv, req->tx_id, *flag != 'T' || conflict);

	port_fake_faults.conflicts -= conflict;
	answer_rc(req, conflict ? -EAGAIN : rc);
}

static void serve(const struct xsd_sockmsg *req, const char *body)
{
	const struct hv_ops *ops = fake.hv->ops;
	const char *second = body + strnlen(body, req->len) + 1; /* a value or a token; the buffer ends with a NUL */
	char buf[512];
	const char *path = absolute(body, buf, sizeof(buf));

	switch (req->type) {
	case XS_READ:
		return serve_read(req, path);
	case XS_DIRECTORY:
		return serve_directory(req, path);
	case XS_WRITE:
		return answer_rc(req, ops->store_write(fake.hv, req->tx_id, path, second));
	case XS_RM:
		return answer_rc(req, ops->store_rm(fake.hv, req->tx_id, path));
	case XS_WATCH:
		return answer_rc(req, ops->store_watch(fake.hv, path, second));
	case XS_UNWATCH:
		return answer_rc(req, ops->store_unwatch(fake.hv, path, second));
	case XS_TRANSACTION_START:
		return serve_txn_start(req);
	case XS_TRANSACTION_END:
		return serve_txn_end(req, body);
	default:
		return answer_rc(req, -EINVAL);
	}
}

/* Watch events of hv_fake become messages. */
static void events_out(void)
{
	char *path, *token;

	while (!fake.hv->ops->store_event(fake.hv, &path, &token)) {
		char body[1024];
		size_t n = (size_t)snprintf(body, sizeof(body), "%s%c%s", path, 0, token) + 1;

		port_fake_inject(XS_WATCH_EVENT, 0, (uint32_t)n, body, n);
		free(path);
		free(token);
	}
}

size_t port_store_send(const void *buf, size_t n)
{
	struct xsd_sockmsg req;

	if (port_fake_faults.chunk && n > port_fake_faults.chunk)
		n = port_fake_faults.chunk;
	memcpy(fake.request + fake.nr_request, buf, n);
	fake.nr_request += n;
	if (fake.nr_request < sizeof(req))
		return n;
	memcpy(&req, fake.request, sizeof(req));
	if (fake.nr_request < sizeof(req) + req.len)
		return n;
	fake.request[fake.nr_request] = '\0';
	fake.nr_request = 0;
	serve(&req, (const char *)fake.request + sizeof(req));
	events_out();
	return n;
}

size_t port_store_recv(void *buf, size_t n)
{
	events_out();
	if (n > fake.nr_reply)
		n = fake.nr_reply;
	if (port_fake_faults.chunk && n > port_fake_faults.chunk)
		n = port_fake_faults.chunk;
	memcpy(buf, fake.reply, n);
	fake.nr_reply -= n;
	memmove(fake.reply, fake.reply + n, fake.nr_reply);
	return n;
}

bool port_store_take(void)
{
	bool fired;

	events_out();
	fired = fake.store_fired;
	fake.store_fired = false;
	return fired;
}
