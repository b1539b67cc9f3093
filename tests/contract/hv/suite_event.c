/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract of hv.h: event channels. */
#include "suite_private.h"

#include <errno.h>

struct hv_evtchn *open_channel(struct hv *h)
{
	struct hv_evtchn *e;

	assert_int_equal(h->ops->evtchn_open(h, &e), 0);
	assert_ptr_equal(e->hv, h);
	return e;
}

evtchn_t offer(domid_t domid, domid_t remote)
{
	evtchn_t port;

	assert_int_equal(peer->ops->evtchn(peer, domid, remote, &port), 0);
	return port;
}

static void guest_send(evtchn_t port)
{
	assert_int_equal(peer->ops->send(peer, dom, port), 0);
}

static int guest_take(evtchn_t port)
{
	return peer->ops->take(peer, dom, port);
}

evtchn_t bind_port(struct hv_evtchn *e, evtchn_t theirs)
{
	evtchn_t port = 0;

	assert_int_equal(hv->ops->evtchn_bind(e, dom, theirs, &port), 0);
	assert_int_not_equal(port, 0);
	return port;
}

void expect_fired(struct hv_evtchn *e, evtchn_t port)
{
	evtchn_t got[8];
	unsigned n = hv->ops->evtchn_pending(e, got, 8, true);

	if (!n) {
		assert_true(readable(hv->ops->evtchn_fd(e), SOON_MS));
		n = hv->ops->evtchn_pending(e, got, 8, false);
	}
	assert_int_equal(n, 1);
	assert_int_equal(got[0], port);
}

static void expect_silence(struct hv_evtchn *e)
{
	evtchn_t got[8];

	assert_int_equal(hv->ops->evtchn_pending(e, got, 8, true), 0);
	assert_false(readable(hv->ops->evtchn_fd(e), WHILE_MS));
	assert_int_equal(hv->ops->evtchn_pending(e, got, 8, false), 0);
}

void test_events_from_the_guest(void **state)
{
	struct hv_evtchn *e = open_channel(hv);
	evtchn_t theirs = offer(dom, 0), ours = bind_port(e, theirs);

	(void)state;
	expect_fired(e, ours); /* the peer may have notified before we bound */
	expect_silence(e);
	for (unsigned i = 0; i < 5; i++)
		guest_send(theirs);
	expect_fired(e, ours); /* five are one */
	if (peer->quirks & HV_QUIRK_REPEATS)
		expect_fired(e, ours);
	expect_silence(e);
	guest_send(theirs);
	expect_fired(e, ours);
	hv->ops->evtchn_close(e);
}

void test_the_fd_wakes_a_sleeper(void **state)
{
	struct hv_evtchn *e = open_channel(hv);
	evtchn_t theirs = offer(dom, 0), ours = bind_port(e, theirs), got[2];
	int fd = hv->ops->evtchn_fd(e);

	(void)state;
	expect_fired(e, ours);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(hv->ops->evtchn_pending(e, got, 2, true), 0);
		assert_false(readable(fd, 0));
		guest_send(theirs);
		assert_true(readable(fd, SOON_MS));
		assert_int_equal(hv->ops->evtchn_pending(e, got, 2, true), 1);
		assert_int_equal(got[0], ours);
		assert_false(readable(fd, 0));
	}
	hv->ops->evtchn_close(e);
}

void test_events_to_the_guest(void **state)
{
	struct hv_evtchn *e = open_channel(hv);
	evtchn_t theirs = offer(dom, 0), ours = bind_port(e, theirs);

	(void)state;
	assert_int_equal(guest_take(theirs), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(hv->ops->evtchn_notify(e, ours), 0);
		assert_int_equal(hv->ops->evtchn_notify(e, ours), 0);
		assert_int_equal(guest_take(theirs), 1);
		assert_int_equal(guest_take(theirs), 0);
	}
	hv->ops->evtchn_close(e);
}

void test_bind_needs_an_offer_to_us(void **state)
{
	struct hv_evtchn *e = open_channel(hv);
	evtchn_t theirs = offer(dom, 0), for_other, port;

	(void)state;
	second_domain();
	for_other = offer(dom, dom2);
	assert_int_equal(hv->ops->evtchn_bind(e, dom, for_other, &port), -EINVAL);
	assert_int_equal(hv->ops->evtchn_bind(e, dom, 0, &port), -EINVAL);
	assert_int_equal(hv->ops->evtchn_bind(e, dom, 200, &port), -EINVAL);
	assert_int_equal(hv->ops->evtchn_bind(e, dom, ~0u, &port), -EINVAL);
	assert_int_equal(hv->ops->evtchn_bind(e, NO_DOMAIN, theirs, &port), -EINVAL);
	bind_port(e, theirs);
	assert_int_equal(hv->ops->evtchn_bind(e, dom, theirs, &port), -EINVAL); /* taken */
	hv->ops->evtchn_close(e);
}

void test_unbind_lets_somebody_else_bind(void **state)
{
	struct hv_evtchn *e = open_channel(hv), *other = open_channel(hv);
	evtchn_t theirs = offer(dom, 0), ours = bind_port(e, theirs);

	(void)state;
	expect_fired(e, ours);
	assert_int_equal(hv->ops->evtchn_unbind(e, ours), 0);
	assert_true(hv->ops->evtchn_unbind(e, ours) < 0);
	assert_true(hv->ops->evtchn_notify(e, ours) < 0);
	guest_send(theirs); /* to nobody */
	expect_silence(e);
	ours = bind_port(other, theirs);
	expect_fired(other, ours);
	guest_send(theirs);
	expect_fired(other, ours);
	expect_silence(e);
	hv->ops->evtchn_close(other); /* unbinds */
	ours = bind_port(e, theirs);
	expect_fired(e, ours);
	hv->ops->evtchn_close(e);
	hv->ops->evtchn_close(NULL);
}

void test_the_peer_closes(void **state)
{
	struct hv_evtchn *e = open_channel(hv);
	evtchn_t theirs = offer(dom, 0), ours = bind_port(e, theirs);
	int gone = peer->quirks & HV_QUIRK_SILENT_NOTIFY ? 0 : -ENOTCONN;

	(void)state;
	assert_int_equal(peer->ops->close(peer, dom, theirs), 0);
	assert_int_equal(hv->ops->evtchn_notify(e, ours), gone);
	assert_int_equal(hv->ops->evtchn_unbind(e, ours), 0);
	theirs = offer(dom, 0);
	ours = bind_port(e, theirs);
	destroy();
	assert_int_equal(hv->ops->evtchn_notify(e, ours), gone);
	assert_int_equal(hv->ops->evtchn_unbind(e, ours), 0);
	hv->ops->evtchn_close(e);
}

void test_more_ports_than_fit(void **state)
{
	struct hv_evtchn *e = open_channel(hv);
	evtchn_t ours[5], got[2];
	unsigned seen = 0, n;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		ours[i] = bind_port(e, offer(dom, 0));
	for (unsigned calls = 0; calls < 10 && (n = hv->ops->evtchn_pending(e, got, 2, true)); calls++) {
		assert_in_range(n, 1, 2);
		for (unsigned i = 0; i < n; i++)
			for (unsigned j = 0; j < 5; j++)
				seen |= (unsigned)(got[i] == ours[j]) << j;
		if (seen != 0x1f)
			assert_true(readable(hv->ops->evtchn_fd(e), SOON_MS));
	}
	assert_int_equal(seen, 0x1f);
	hv->ops->evtchn_close(e);
}
