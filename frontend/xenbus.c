/* SPDX-License-Identifier: BSD-3-Clause */
/* The XenStore client: one request at a time, watch events sorted out on the way. Called by netfront_connect.c and the kernel's applications. */
#include "xenbus.h"
#include <errno.h>
#include <sluice/port.h>
#include <string.h>

struct watch {
	bool used, raised;
	char path[XENBUS_PATH_MAX];
};

struct xenbus {
	uint32_t last_id;
	bool broken;       /* the stream is out of step: nothing can be said any more */
	bool more;         /* we stopped at a reply: events may wait behind it, and theirs was taken */
	struct watch watch[XENBUS_WATCHES];
	/* The message that is coming in. */
	size_t have;       /* bytes of head and body so far */
	struct xsd_sockmsg head;
	char body[XENSTORE_PAYLOAD_MAX + 1];
	char out[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX]; /* the request that goes out, in one piece: each piece would be a notification */
};

/* One stretch of a request's body. */
struct part {
	const void *bytes;
	size_t n;
};

struct path {
	struct part part[3]; /* dir, '/', key: the last one with its NUL where the protocol wants it */
	unsigned n;
};

static const struct {
	const char *name;
	int error;
} store_errors[] = {
	{ "EINVAL", EINVAL }, { "EACCES", EACCES }, { "EEXIST", EEXIST }, { "EISDIR", EISDIR }, { "ENOENT", ENOENT },
	{ "ENOMEM", ENOMEM }, { "ENOSPC", ENOSPC }, { "EIO", EIO }, { "ENOTEMPTY", ENOTEMPTY }, { "ENOSYS", ENOSYS },
	{ "EROFS", EROFS }, { "EBUSY", EBUSY }, { "EAGAIN", EAGAIN }, { "EISCONN", EISCONN }, { "E2BIG", E2BIG }, { "EPERM", EPERM },
};

struct xenbus *xenbus_create(void)
{
	return port_alloc(sizeof(struct xenbus));
}

void xenbus_destroy(struct xenbus *xb)
{
	port_free(xb);
}

static bool same(const char *a, const char *b)
{
	size_t n = strlen(a);

	return n == strlen(b) && !memcmp(a, b, n);
}

/* Decimal digits only, and not too many. */
static int parse_number(const char *text, uint64_t *out)
{
	uint64_t v = 0;
	unsigned n = 0;

	for (; text[n] >= '0' && text[n] <= '9' && n < 19; n++)
		v = v * 10 + (uint64_t)(text[n] - '0');
	if (!n || text[n])
		return -EINVAL;
	*out = v;
	return 0;
}

/* The digits of v with a NUL; buf has room for 21. */
static const char *number_text(uint64_t v, char *buf)
{
	char *at = buf + 20;

	*at = '\0';
	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	return at;
}

/* A watch event's token is the number of our watch. Tokens that we did not give out are ignored. */
static void watch_event(struct xenbus *xb)
{
	const char *path = xb->body, *token = path + strlen(path) + 1;
	uint64_t i;

	if (token > xb->body + xb->head.len || parse_number(token, &i) || i >= XENBUS_WATCHES)
		return;
	xb->watch[i].raised = xb->watch[i].used;
}

/* Take in bytes up to the end of one message. True when it is complete. */
static bool receive(struct xenbus *xb)
{
	size_t head = sizeof(xb->head), want = head;

	if (xb->have < head)
		xb->have += port_store_recv((char *)&xb->head + xb->have, head - xb->have);
	if (xb->have < head)
		return false;
	if (xb->head.len > XENSTORE_PAYLOAD_MAX) {
		xb->broken = true;
		return false;
	}
	want += xb->head.len;
	if (xb->have < want)
		xb->have += port_store_recv(xb->body + (xb->have - head), want - xb->have);
	if (xb->have < want)
		return false;
	xb->body[xb->head.len] = '\0';
	xb->have = 0;
	return true;
}

/* Handle what has come in, up to the reply that we wait for. A reply to an earlier request that we gave up is dropped. True: the reply is in head and body. */
static bool pump(struct xenbus *xb, uint32_t reply_id)
{
	xb->more = false;
	while (!xb->broken && receive(xb)) {
		if (xb->head.type == XS_WATCH_EVENT)
			watch_event(xb);
		else if (reply_id && xb->head.req_id == reply_id)
			return xb->more = true;
	}
	return false;
}

/* The store may wait for us to read before it reads from us: take in events while the request goes out. */
static int send_all(struct xenbus *xb, size_t n, uint64_t deadline)
{
	const char *at = xb->out;

	while (n) {
		size_t sent = port_store_send(at, n);

		at += sent;
		n -= sent;
		if (sent)
			continue;
		pump(xb, 0);
		if (xb->broken || port_now_ns() >= deadline)
			return -EPROTO;
		port_wait(deadline);
		port_store_take();
	}
	return 0;
}

static int error_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(store_errors) / sizeof(store_errors[0]); i++)
		if (same(store_errors[i].name, name))
			return -store_errors[i].error;
	return -EIO;
}

static int wait_reply(struct xenbus *xb, uint32_t id, uint32_t type, uint64_t deadline)
{
	while (!pump(xb, id)) {
		if (xb->broken)
			return -EPROTO;
		if (port_now_ns() >= deadline)
			return -ETIMEDOUT;
		port_wait(deadline);
		port_store_take();
	}
	if (xb->head.type == XS_ERROR)
		return error_of(xb->body);
	return xb->head.type == type ? (int)xb->head.len : -EPROTO;
}

/* Put the parts behind the header. Returns the bytes of the whole message, or -E2BIG. */
static int assemble(struct xenbus *xb, struct xsd_sockmsg *head, const struct part *parts, unsigned nr_parts)
{
	size_t at = sizeof(*head);

	for (unsigned i = 0; i < nr_parts; at += parts[i++].n) {
		if (parts[i].n > sizeof(xb->out) - at)
			return -E2BIG;
		memcpy(xb->out + at, parts[i].bytes, parts[i].n);
	}
	head->len = (uint32_t)(at - sizeof(*head));
	memcpy(xb->out, head, sizeof(*head));
	return (int)at;
}

/* Ask, and wait for the answer: its length, its bytes in xb->body with a NUL behind. */
static int request(struct xenbus *xb, uint32_t type, xenbus_txn_t txn, const struct part *parts, unsigned nr_parts)
{
	struct xsd_sockmsg head = { .type = type, .tx_id = txn };
	uint64_t deadline = port_now_ns() + XENBUS_TIMEOUT_NS;
	int n, rc;

	if (xb->broken)
		return -EPROTO;
	if (!++xb->last_id)
		xb->last_id = 1;
	head.req_id = xb->last_id;
	n = assemble(xb, &head, parts, nr_parts);
	if (n < 0)
		return n;
	rc = send_all(xb, (size_t)n, deadline);
	if (rc) {
		xb->broken = true; /* half a request stands in the stream */
		return rc;
	}
	return wait_reply(xb, head.req_id, type, deadline);
}

/* The path as a request carries it: with a NUL at its end. */
static struct path make_path(const char *dir, const char *key)
{
	struct path p = { .n = 1 };

	p.part[0] = (struct part){ dir, strlen(dir) + !key };
	if (key) {
		p.part[1] = (struct part){ "/", 1 };
		p.part[2] = (struct part){ key, strlen(key) + 1 };
		p.n = 3;
	}
	return p;
}

static int request_path(struct xenbus *xb, uint32_t type, xenbus_txn_t txn, const char *dir, const char *key)
{
	struct path p = make_path(dir, key);

	return request(xb, type, txn, p.part, p.n);
}

int xenbus_read(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, char *out, size_t size)
{
	int n = request_path(xb, XS_READ, txn, dir, key);

	if (n < 0)
		return n;
	if ((size_t)n >= size)
		return -E2BIG;
	memcpy(out, xb->body, (size_t)n + 1);
	return n;
}

int xenbus_read_number(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, uint64_t *out)
{
	int n = request_path(xb, XS_READ, txn, dir, key);

	return n < 0 ? n : parse_number(xb->body, out);
}

bool xenbus_read_feature(struct xenbus *xb, const char *dir, const char *key)
{
	uint64_t v;

	return !xenbus_read_number(xb, XENBUS_NO_TXN, dir, key, &v) && v;
}

int xenbus_write(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, const char *value)
{
	struct path p = make_path(dir, key);
	struct part parts[4];
	int rc;

	memcpy(parts, p.part, sizeof(p.part));
	parts[p.n] = (struct part){ value, strlen(value) }; /* the value goes without a NUL */
	rc = request(xb, XS_WRITE, txn, parts, p.n + 1);
	return rc < 0 ? rc : 0;
}

int xenbus_write_number(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, uint64_t value)
{
	char buf[21];

	return xenbus_write(xb, txn, dir, key, number_text(value, buf));
}

int xenbus_rm(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key)
{
	int rc = request_path(xb, XS_RM, txn, dir, key);

	return rc < 0 ? rc : 0;
}

int xenbus_directory(struct xenbus *xb, xenbus_txn_t txn, const char *dir, const char *key, char *out, size_t size)
{
	int n = request_path(xb, XS_DIRECTORY, txn, dir, key), names = 0;

	if (n < 0)
		return n;
	if ((size_t)n >= size)
		return -E2BIG;
	memcpy(out, xb->body, (size_t)n + 1);
	for (int i = 0; i < n; i++)
		names += !out[i];
	return names;
}

int xenbus_txn_start(struct xenbus *xb, xenbus_txn_t *txn)
{
	struct part empty = { "", 1 };
	int n = request(xb, XS_TRANSACTION_START, XENBUS_NO_TXN, &empty, 1);
	uint64_t id;

	if (n < 0)
		return n;
	if (parse_number(xb->body, &id) || !id || id > UINT32_MAX)
		return -EPROTO;
	*txn = (xenbus_txn_t)id;
	return 0;
}

int xenbus_txn_end(struct xenbus *xb, xenbus_txn_t txn, bool commit)
{
	struct part flag = { commit ? "T" : "F", 2 };
	int rc = request(xb, XS_TRANSACTION_END, txn, &flag, 1);

	return rc < 0 ? rc : 0;
}

/* XS_WATCH and XS_UNWATCH: path and token, each with its NUL. */
static int watch_request(struct xenbus *xb, uint32_t type, int watch)
{
	char buf[21];
	const char *token = number_text((uint64_t)watch, buf), *path = xb->watch[watch].path;
	struct part parts[2] = { { path, strlen(path) + 1 }, { token, strlen(token) + 1 } };

	return request(xb, type, XENBUS_NO_TXN, parts, 2);
}

int xenbus_watch(struct xenbus *xb, const char *dir, const char *key)
{
	size_t dir_len = strlen(dir), key_len = key ? strlen(key) : 0;
	int i = 0, rc;

	if (dir_len + 1 + key_len >= XENBUS_PATH_MAX)
		return -E2BIG;
	while (i < (int)XENBUS_WATCHES && xb->watch[i].used)
		i++;
	if (i == (int)XENBUS_WATCHES)
		return -ENOSPC;
	memcpy(xb->watch[i].path, dir, dir_len + 1);
	if (key) {
		xb->watch[i].path[dir_len] = '/';
		memcpy(xb->watch[i].path + dir_len + 1, key, key_len + 1);
	}
	xb->watch[i].used = xb->watch[i].raised = true;
	rc = watch_request(xb, XS_WATCH, i);
	if (rc < 0) {
		xb->watch[i].used = xb->watch[i].raised = false;
		return rc;
	}
	return i;
}

void xenbus_unwatch(struct xenbus *xb, int watch)
{
	if (watch < 0 || watch >= (int)XENBUS_WATCHES || !xb->watch[watch].used)
		return;
	watch_request(xb, XS_UNWATCH, watch);
	xb->watch[watch].used = xb->watch[watch].raised = false;
}

static void take_in(struct xenbus *xb)
{
	if (port_store_take() || xb->more)
		pump(xb, 0);
}

bool xenbus_watch_take(struct xenbus *xb, int watch)
{
	bool raised;

	if (watch < 0 || watch >= (int)XENBUS_WATCHES)
		return false;
	take_in(xb);
	raised = xb->watch[watch].raised;
	xb->watch[watch].raised = false;
	return raised;
}

bool xenbus_arm(struct xenbus *xb)
{
	bool raised = false;

	take_in(xb);
	for (unsigned i = 0; i < XENBUS_WATCHES; i++)
		raised |= xb->watch[i].raised;
	return !raised;
}

void xenbus_watch_raise(struct xenbus *xb, int watch)
{
	if (watch >= 0 && watch < (int)XENBUS_WATCHES)
		xb->watch[watch].raised = xb->watch[watch].used;
}

enum xenbus_state xenbus_read_state(struct xenbus *xb, const char *dir)
{
	uint64_t v;

	if (xenbus_read_number(xb, XENBUS_NO_TXN, dir, "state", &v) || v > XenbusStateReconfigured)
		return XenbusStateUnknown;
	return (enum xenbus_state)v;
}

int xenbus_switch_state(struct xenbus *xb, xenbus_txn_t txn, const char *dir, enum xenbus_state state)
{
	return xenbus_write_number(xb, txn, dir, "state", state);
}
