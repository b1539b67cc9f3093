/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One client's messages, in and out, over a guest's ring or a socket. Never waits: it moves what can be moved now. A client gets its next
 * request read only after it took all that was queued for it, replies and events alike, so one that does not read only stalls itself
 * and costs no memory. Called by server.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/shm.h>

#include "../log.h"
#include "private.h"

struct conn *conn_new(const struct actor *who)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->who = *who;
	c->fd = -1;
	c->events_end = &c->events;
	return c;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	watch_reset(c);
	txn_reset(c);
	if (c->fd >= 0)
		close(c->fd);
	free(c);
}

/* ---- bytes: how many were moved, 0 when none can be now, -errno when the connection is at its end ---- */

static int socket_result(ssize_t n)
{
	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static int conn_recv(struct conn *c, void *buf, size_t n)
{
	ssize_t got;

	if (c->domain) {
		int rc = xenstore_ring_read(&c->ring, buf, n);

		c->moved |= rc > 0;
		return rc;
	}
	got = recv(c->fd, buf, n, MSG_DONTWAIT);
	return got ? socket_result(got) : -ECONNRESET;
}

static int conn_send(struct conn *c, const void *buf, size_t n)
{
	if (c->domain) {
		int rc = xenstore_ring_write(&c->ring, buf, n);

		c->moved |= rc > 0;
		return rc;
	}
	return socket_result(send(c->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* ---- messages ---- */

void conn_put(struct conn *c, const struct xsd_sockmsg *hdr, const void *a, size_t a_len, const void *b, size_t b_len)
{
	struct xsd_sockmsg h = *hdr;
	uint8_t *at = c->out + sizeof(h);

	h.len = (uint32_t)(a_len + b_len);
	memcpy(c->out, &h, sizeof(h));
	if (a_len)
		memcpy(at, a, a_len);
	if (b_len)
		memcpy(at + a_len, b, b_len);
	c->out_len = (uint32_t)sizeof(h) + h.len;
	c->out_done = 0;
}

bool conn_has_output(const struct conn *c)
{
	return c->out_done < c->out_len;
}

/* 1: all of it is out; 0: not now; -errno. */
static int send_queued(struct conn *c)
{
	while (conn_has_output(c)) {
		int n = conn_send(c, c->out + c->out_done, c->out_len - c->out_done);

		if (n <= 0)
			return n;
		c->out_done += (uint32_t)n;
	}
	return 1;
}

/* 1: c->hdr and c->in hold a request; 0: not yet; -errno: -EMSGSIZE for a payload that is longer than the protocol allows. */
static int receive(struct conn *c)
{
	const uint32_t head = sizeof(c->hdr);

	for (;;) {
		bool in_head = c->have < head;
		void *to = in_head ? (void *)((uint8_t *)&c->hdr + c->have) : c->in + (c->have - head);
		uint32_t want = in_head ? head - c->have : c->hdr.len - (c->have - head);
		int n = want ? conn_recv(c, to, want) : 0;

		if (want && n <= 0)
			return n;
		c->have += (uint32_t)n;
		if (c->have == head && c->hdr.len > XENSTORE_PAYLOAD_MAX)
			return -EMSGSIZE;
		if (c->have >= head && c->have - head == c->hdr.len) {
			c->have = 0;
			return 1;
		}
	}
}

static void forget_state(struct conn *c)
{
	watch_reset(c);
	txn_reset(c);
	c->have = c->out_len = c->out_done = 0;
}

/* A guest broke the protocol, or a socket's peer left: nothing more is done for it. */
static void conn_break(struct conn *c, int rc)
{
	c->broken = true;
	forget_state(c);
	if (!c->domain)
		return;
	log_domain_limited(c->domain, "its XenStore connection is closed: %s; it may ask for a reconnect",
			   rc == -EMSGSIZE ? "a payload of more than 4096 bytes" : "an index beyond the ring");
	shm_store_release(&c->ring.shared->error, rc == -EMSGSIZE ? XENSTORE_ERROR_PROTO : XENSTORE_ERROR_RINGIDX);
	c->moved = true;
}

/* The guest asks for a fresh start (docs/misc/xenstore-ring.txt): it looks at nothing but `connection` until we are done. */
static void reconnect(struct conn *c)
{
	struct xenstore_domain_interface *s = c->ring.shared;

	forget_state(c);
	shm_store(&s->req_cons, 0);
	shm_store(&s->req_prod, 0);
	shm_store(&s->rsp_cons, 0);
	shm_store(&s->rsp_prod, 0);
	shm_store(&s->error, XENSTORE_ERROR_NONE);
	c->ring.in_cons = c->ring.out_prod = 0;
	shm_store_release(&s->connection, XENSTORE_CONNECTED); /* the indices before the guest may use them */
	c->broken = false;
	c->moved = true;
}

static int pump(struct conn *c, unsigned budget, bool *more)
{
	for (;;) {
		int rc = send_queued(c);

		if (rc <= 0)
			return rc;
		if (watch_next_event(c))
			continue;
		*more = !budget;
		if (!budget--)
			return 0;
		rc = receive(c);
		if (rc <= 0)
			return rc;
		request_handle(c);
	}
}

bool conn_pump(struct conn *c, unsigned budget)
{
	bool more = false;
	int rc;

	if (c->domain && shm_load_acquire(&c->ring.shared->connection) == XENSTORE_RECONNECT)
		reconnect(c);
	if (c->broken)
		return false;
	rc = pump(c, budget, &more);
	if (rc < 0)
		conn_break(c, rc);
	return more && rc >= 0;
}
