/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: XenStore as a guest sees it. The input is a list of actions: mostly whole requests, their paths taken from a small set so
 * that they meet each other's nodes, watches and transactions, some raw bytes, index lies and reconnects. What must hold after each: the
 * guest's quotas, domain 0's nodes untouched, the other guest's connection alive.
 */
#include <sluice/shm.h>

#include "hypervisor/xenstore/private.h"
#include "hypervisor/xenstore/store.h"
#include "tests/unit/hypervisor/fake_guest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = { "a", "a/b", "a/b/c", "d", "/", "/local/domain/1", "/local/domain/2/x", "/local/domain/0/name", "@releaseDomain",
				     "//", "n1", "r2", "0", "T", "F", "" };

struct input {
	const uint8_t *at, *end;
};

static uint8_t next(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* Feed bytes to the guest's ring, the server running in between; the guest reads what it is sent unless it plays deaf. */
static void feed(struct conn *c, struct xenstore_ring *ring, const void *bytes, size_t n, bool deaf)
{
	uint8_t sink[XENSTORE_RING_SIZE];
	const uint8_t *at = bytes;

	for (unsigned turn = 0; turn < 40; turn++) {
		int done = n ? xenstore_ring_write(ring, at, n) : 0;

		if (done < 0)
			return;
		at += done;
		n -= (size_t)done;
		conn_pump(c, CONN_BUDGET);
		if (!deaf && xenstore_ring_read(ring, sink, sizeof(sink)) < 0)
			return;
		if (!n && !conn_has_output(c))
			return;
	}
}

/* A request of up to three words from the set, each with its NUL most of the time. */
static void feed_request(struct conn *c, struct xenstore_ring *ring, struct input *in, uint8_t action)
{
	uint8_t message[sizeof(struct xsd_sockmsg) + 128], *at = message + sizeof(struct xsd_sockmsg), shape = next(in);
	struct xsd_sockmsg h = { .type = action % (XS_TYPE_COUNT + 1), .req_id = shape, .tx_id = shape & 4 ? shape >> 6 : 0 };

	for (unsigned i = 0; i < (shape & 3u); i++) {
		const char *word = paths[next(in) % (sizeof(paths) / sizeof(paths[0]))];
		size_t len = strlen(word) + !(shape & 8);

		memcpy(at, word, len);
		at += len;
	}
	if (shape & 16)
		*at++ = next(in);
	h.len = (uint32_t)(at - message - sizeof(h)) + (shape == 0xff);
	memcpy(message, &h, sizeof(h));
	feed(c, ring, message, (size_t)(at - message), shape & 32);
}

static void act(struct conn *c, struct xenstore_ring *ring, struct input *in)
{
	uint8_t action = next(in), raw[64];
	struct xenstore_domain_interface *page = ring->shared;

	if (action < 224) {
		feed_request(c, ring, in, action);
	} else if (action < 236) {
		for (unsigned i = 0; i < sizeof(raw); i++)
			raw[i] = next(in);
		feed(c, ring, raw, sizeof(raw), false);
	} else if (action < 240) {
		shm_store(action & 1 ? &page->req_prod : &page->rsp_cons, next(in) * 0x01010101u);
		conn_pump(c, CONN_BUDGET);
	} else if (action < 248) {
		shm_store(&page->connection, XENSTORE_RECONNECT);
		conn_pump(c, CONN_BUDGET);
		xenstore_ring_attach(ring, page, XENSTORE_RING_GUEST);
	} else {
		store_write("/local/domain/1/a/b", "by domain 0");
	}
}

static unsigned owned_by(const struct node *n, domid_t domid)
{
	unsigned sum = n->data.perms[0].domid == domid;

	for (unsigned i = 0; i < n->nr_children; i++)
		sum += owned_by(n->children[i], domid);
	return sum;
}

static void check(struct conn *dom0, struct conn *c)
{
	const struct node *n;

	must(c->nr_watches <= GUEST_WATCHES && c->nr_txns <= GUEST_TXNS && c->nr_events <= CONN_EVENTS);
	must(!db_read(dom0, NULL, "/", &n) && owned_by(n, 1) <= GUEST_NODES + 3 && owned_by(n, 2) == 1);
	must(!db_read(dom0, NULL, "/local/domain/0/name", &n) && n->data.value_len == 8 && n->data.nr_perms == 1);
	must(!db_read(dom0, NULL, "/local/domain/2", &n) && !n->nr_children);
	must(!store_guest(2)->broken && !store_guest(2)->nr_events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct actor privileged = { .target = DOMID_INVALID, .privileged = true };
	struct domain *evil = fake_domain(1), *good = fake_domain(2);
	struct conn *dom0 = conn_new(&privileged);
	struct input in = { data, data + size };
	struct xenstore_ring ring;

	evil->log_lines = 1000; /* quiet */
	must(!db_init() && !store_set_owner("/local/domain/1", 1) && !store_set_owner("/local/domain/2", 2));
	must(!store_introduce(evil) && !store_introduce(good));
	xenstore_ring_attach(&ring, machine_ptr(evil->store_mfn), XENSTORE_RING_GUEST);
	for (unsigned steps = 0; in.at < in.end && steps < 400; steps++) {
		act(store_guest(1), &ring, &in);
		check(dom0, store_guest(1));
	}
	store_release(evil);
	store_release(good);
	must(!store_conns && !fake_pages_held);
	conn_free(dom0);
	db_fini();
	free(evil);
	free(good);
	return 0;
}
