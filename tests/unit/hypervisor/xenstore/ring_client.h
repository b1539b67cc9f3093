/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of the whole server: a guest that talks over its ring, with the main loop stepped by hand. */
#ifndef TESTS_XENSTORE_RING_CLIENT_H
#define TESTS_XENSTORE_RING_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "hypervisor/log.h"
#include "hypervisor/xenstore/private.h"
#include "hypervisor/xenstore/store.h"
#include "tests/unit/hypervisor/fake_guest.h"

struct ring_client {
	struct domain *d;
	struct xenstore_domain_interface *page;
	struct xenstore_ring ring;
	char reply[2 * XENSTORE_PAYLOAD_MAX]; /* NULs as '|' */
	struct xsd_sockmsg hdr;
};

static char ring_run_dir[64];

static inline int ring_server_start(void **state)
{
	(void)state;
	strcpy(ring_run_dir, "/tmp/sluice-test-XXXXXX");
	return mkdtemp(ring_run_dir) ? store_init(ring_run_dir) : -1;
}

static inline int ring_server_stop(void **state)
{
	(void)state;
	store_fini();
	return rmdir(ring_run_dir); /* fails when the socket was left behind */
}

static inline void ring_client_attach(struct ring_client *g)
{
	g->page = machine_ptr(g->d->store_mfn);
	xenstore_ring_attach(&g->ring, g->page, XENSTORE_RING_GUEST);
}

/* A domain with a home of its own, introduced. */
static inline struct ring_client *ring_client_new(domid_t domid)
{
	struct ring_client *g = calloc(1, sizeof(*g));
	char home[32];

	snprintf(home, sizeof(home), "/local/domain/%u", domid);
	g->d = fake_domain(domid);
	assert_int_equal(store_set_owner(home, domid), 0);
	assert_int_equal(store_introduce(g->d), 0);
	ring_client_attach(g);
	return g;
}

static inline void ring_client_free(struct ring_client *g)
{
	store_release(g->d);
	free(g->d);
	free(g);
}

static inline void ring_step(void)
{
	fake_loop_step(store_event_fd());
}

/* Send n bytes, stepping the server whenever the ring is full. False: it does not take them any more. */
static inline bool ring_send(struct ring_client *g, const void *bytes, size_t n)
{
	const char *at = bytes;

	for (unsigned idle = 0; n && idle < 4;) {
		int done = xenstore_ring_write(&g->ring, at, n);

		if (done < 0)
			return false;
		idle = done ? 0 : idle + 1;
		at += done;
		n -= (size_t)done;
		ring_step();
	}
	return !n;
}

static inline bool ring_send_request(struct ring_client *g, uint32_t type, uint32_t tx, const void *payload, size_t len)
{
	struct xsd_sockmsg h = { .type = type, .req_id = 3, .tx_id = tx, .len = (uint32_t)len };

	return ring_send(g, &h, sizeof(h)) && ring_send(g, payload, len);
}

static inline bool ring_recv(struct ring_client *g, void *to, size_t n)
{
	char *at = to;

	for (unsigned idle = 0; n && idle < 4;) {
		int done = xenstore_ring_read(&g->ring, at, n);

		if (done < 0)
			return false;
		idle = done ? 0 : idle + 1;
		at += done;
		n -= (size_t)done;
		ring_step();
	}
	return !n;
}

/* The next message, or NULL. g->hdr is its header. */
static inline const char *ring_message(struct ring_client *g)
{
	if (!ring_recv(g, &g->hdr, sizeof(g->hdr)) || g->hdr.len > XENSTORE_PAYLOAD_MAX || !ring_recv(g, g->reply, g->hdr.len))
		return NULL;
	for (uint32_t i = 0; i < g->hdr.len; i++)
		if (!g->reply[i])
			g->reply[i] = '|';
	g->reply[g->hdr.len] = '\0';
	return g->reply;
}

/* The reply; events that come before it are skipped. */
static inline const char *ring_ask_len(struct ring_client *g, uint32_t type, uint32_t tx, const void *payload, size_t len)
{
	const char *reply = ring_send_request(g, type, tx, payload, len) ? ring_message(g) : NULL;

	while (reply && g->hdr.type == XS_WATCH_EVENT)
		reply = ring_message(g);
	return reply ? reply : "nothing";
}

#define ring_ask(g, type, tx, payload) ring_ask_len((g), (type), (tx), (payload), sizeof(payload) - 1)

#endif
