/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests below the transport: connections without one, and requests put to them directly. */
#ifndef TESTS_XENSTORE_CLIENT_H
#define TESTS_XENSTORE_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "hypervisor/xenstore/private.h"
#include "tests/unit/hypervisor/fake_guest.h"

static inline struct conn *client_add(domid_t domid)
{
	struct actor who = { .domid = domid, .target = DOMID_INVALID, .privileged = domid == 0 };
	struct conn *c = conn_new(&who);

	c->next = store_conns;
	store_conns = c;
	return c;
}

static inline void client_remove_all(void)
{
	while (store_conns) {
		struct conn *c = store_conns;

		store_conns = c->next;
		conn_free(c);
	}
}

/* The message that is queued in c: type and, NULs shown as '|', payload. Takes it. */
static inline const char *client_message(struct conn *c)
{
	static char text[XENSTORE_PAYLOAD_MAX + 32];
	struct xsd_sockmsg h;
	int n;

	if (!c->out_len)
		return "nothing";
	memcpy(&h, c->out, sizeof(h));
	n = h.type == XS_ERROR ? 0 : h.type == XS_WATCH_EVENT ? sprintf(text, "event ") : 0;
	for (uint32_t i = 0; i < h.len; i++) {
		char b = (char)c->out[sizeof(h) + i];

		text[n++] = b ? b : '|';
	}
	text[n] = '\0';
	c->out_len = 0;
	return text;
}

static inline const char *client_ask_len(struct conn *c, uint32_t type, uint32_t tx, const void *payload, size_t len)
{
	c->hdr = (struct xsd_sockmsg){ .type = type, .req_id = 7, .tx_id = tx, .len = (uint32_t)len };
	memcpy(c->in, payload, len);
	request_handle(c);
	return client_message(c);
}

/* payload is a literal with its NULs written out */
#define client_ask(c, type, tx, payload) client_ask_len((c), (type), (tx), (payload), sizeof(payload) - 1)

static inline const char *client_event(struct conn *c)
{
	return watch_next_event(c) ? client_message(c) : "none";
}

#endif
