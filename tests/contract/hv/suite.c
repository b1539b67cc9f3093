/* SPDX-License-Identifier: BSD-3-Clause */
/* The cases of the contract of hv.h, in order (suite.h). Each starts with a fresh domain and leaves none behind. */
#include "suite_private.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct hv_peer *peer;
struct hv *hv;
domid_t dom, dom2;

static int setup(void **state)
{
	(void)state;
	dom2 = 0;
	return peer->ops->domain_create(peer, &dom);
}

static int teardown(void **state)
{
	(void)state;
	if (dom)
		peer->ops->domain_destroy(peer, dom);
	if (dom2)
		peer->ops->domain_destroy(peer, dom2);
	return 0;
}

void second_domain(void)
{
	assert_int_equal(peer->ops->domain_create(peer, &dom2), 0);
}

void destroy(void)
{
	peer->ops->domain_destroy(peer, dom);
	dom = 0;
}

bool readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1 && (p.revents & POLLIN);
}

static void test_close_lets_go_of_everything(void **state)
{
	gref_t gref, ring;
	evtchn_t theirs, ours;
	struct hv_evtchn *e;
	struct hv *other;
	void *va;

	(void)state;
	if (!peer->ops->second)
		skip(); /* a provider in this process has no second handle: closing it ends its world */
	gref = grant(dom, page(dom), 0, false);
	ring = grant(dom, page(dom), 0, false);
	theirs = offer(dom, 0);
	assert_int_equal(peer->ops->second(peer, &other), 0);
	assert_int_equal(map_with(other, dom, gref, false).status, GNTST_okay);
	assert_int_equal(other->ops->map_ring(other, dom, &ring, 1, &va), 0);
	e = open_channel(other);
	assert_int_equal(other->ops->evtchn_bind(e, dom, theirs, &ours), 0);
	assert_int_equal(ungrant(dom, gref), -EBUSY);
	other->ops->close(other);
	assert_int_equal(ungrant(dom, gref), 0);
	assert_int_equal(ungrant(dom, ring), 0);
	e = open_channel(hv);
	ours = bind_port(e, theirs);
	expect_fired(e, ours);
	hv->ops->evtchn_close(e);
	hv->ops->close(NULL);
}

/* A back end at work, until it is killed. */
static void work(domid_t domid, gref_t gref)
{
	struct hv *own;
	uint8_t buffer[2048];

	if (peer->ops->second(peer, &own))
		_exit(1);
	for (unsigned n = 0;; n++) {
		struct hv_copy_op copy = {.src = {.domid = domid, .gref = gref}, .dst = {.local = buffer}, .len = sizeof(buffer)};
		struct hv_map_op m = {.domid = domid, .gref = gref, .readonly = n % 2};
		struct hv_unmap_op u;

		own->ops->copy(own, &copy, 1);
		own->ops->map(own, &m, 1);
		u = (struct hv_unmap_op){.va = m.va, .handle = m.handle};
		if (n % 100)
			own->ops->unmap(own, &u, 1);
	}
}

static int ungrant_soon(gref_t gref)
{
	int rc = -EBUSY;

	for (unsigned ms = 0; rc == -EBUSY && ms < SOON_MS; ms += 10) {
		poll(NULL, 0, 10);
		rc = ungrant(dom, gref);
	}
	return rc;
}

/* Wherever it was: in the middle of a copy, holding a lock, with pages mapped. */
static void test_a_killed_process_lets_go(void **state)
{
	unsigned n;

	(void)state;
	if (!peer->ops->second)
		skip(); /* as above */
	n = page(dom);
	for (unsigned round = 0; round < 10; round++) {
		gref_t gref = grant(dom, n, 0, false);
		pid_t pid = fork();

		if (!pid)
			work(dom, gref);
		assert_true(pid > 0);
		poll(NULL, 0, 20 + (int)round);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(ungrant_soon(gref), 0);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int hv_suite_run(struct hv_peer *p)
{
	const struct CMUnitTest cases[] = {
		CASE(test_map_is_the_guests_page),
		CASE(test_a_readonly_grant_is_not_mapped_writable),
		CASE(test_what_is_not_granted_to_us_is_refused),
		CASE(test_a_mapped_grant_is_busy),
		CASE(test_a_batch_goes_on_after_a_bad_entry),
		CASE(test_a_ring_is_contiguous),
		CASE(test_a_ring_is_all_or_nothing),
		CASE(test_copy_both_ways),
		CASE(test_copy_from_guest_to_guest),
		CASE(test_copy_stays_in_the_page),
		CASE(test_copy_has_a_status_for_each_segment),
		CASE(test_copy_with_memory_for_devices),
		CASE(test_a_domain_may_vanish_while_mapped),
		CASE(test_events_from_the_guest),
		CASE(test_the_fd_wakes_a_sleeper),
		CASE(test_events_to_the_guest),
		CASE(test_bind_needs_an_offer_to_us),
		CASE(test_unbind_lets_somebody_else_bind),
		CASE(test_the_peer_closes),
		CASE(test_more_ports_than_fit),
		CASE(test_store_nodes),
		CASE(test_store_transactions),
		CASE(test_store_watches),
		CASE(test_close_lets_go_of_everything),
		CASE(test_a_killed_process_lets_go),
	};

	peer = p;
	hv = p->hv;
	return cmocka_run_group_tests(cases, NULL, NULL);
}
