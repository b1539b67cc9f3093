/* SPDX-License-Identifier: BSD-3-Clause */
/* A vif's keys: what we offer, and what each key of the guest does to its connection. */
#include <tests/support/netback_world.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest a, b;

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	world_add_guest(&w, &b, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

static void assert_state(int state)
{
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&a), state);
}

static void assert_key(const char *path, const char *value)
{
	char *text = hv_fake_store_read(w.hv, 0, path);

	assert_non_null(text);
	assert_string_equal(text, value);
	free(text);
}

static void features_are_offered(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	assert_state(XenbusStateInitWait);
	assert_key("backend/vif/1/0/feature-sg", "1");
	assert_key("backend/vif/1/0/feature-gso-tcpv4", "1");
	assert_key("backend/vif/1/0/feature-gso-tcpv6", "1");
	assert_key("backend/vif/1/0/feature-ipv6-csum-offload", "1");
	assert_key("backend/vif/1/0/feature-rx-copy", "1");
	assert_key("backend/vif/1/0/feature-rx-flip", "0");
	assert_key("backend/vif/1/0/feature-split-event-channels", "1");
	assert_key("backend/vif/1/0/multi-queue-max-queues", "8");
}

static void split_event_channels(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	a.split = true;
	toolstack_add_vif(w.hv, 1, 0, NULL);
	world_settle(&w);
	fake_guest_connect(&a);
	assert_state(XenbusStateConnected);
	hv_fake_evtchn_take(w.hv, 1, a.tx_port);
	hv_fake_evtchn_take(w.hv, 1, a.rx_port);
	world_assert_traffic(&w, &a, &b);
	assert_true(hv_fake_evtchn_take(w.hv, 1, a.tx_port));
	assert_true(hv_fake_evtchn_take(w.hv, 1, a.rx_port));
}

static void error_node(void **state)
{
	char *text;

	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	assert_state(XenbusStateInitWait);
	fake_guest_rings(&a);
	fake_guest_keys(&a);
	fake_guest_key(&a, "tx-ring-ref", "77x");
	fake_guest_state(&a, XenbusStateConnected);
	assert_state(XenbusStateClosing);
	text = hv_fake_store_read(w.hv, 0, "error/backend/vif/1/0/error");
	assert_non_null(text);
	assert_memory_equal(text, "22 tx-ring-ref", 14);
	free(text);
}

/* All keys at their least: no sg, no offloads, nothing but the rings and one event channel. */
static void least_of_front_ends(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	assert_state(XenbusStateInitWait);
	fake_guest_rings(&a);
	fake_guest_number(&a, "tx-ring-ref", a.tx_ring_gref);
	fake_guest_number(&a, "rx-ring-ref", a.rx_ring_gref);
	fake_guest_number(&a, "event-channel", a.tx_port);
	fake_guest_number(&a, "request-rx-copy", 1);
	fake_guest_state(&a, XenbusStateConnected);
	assert_state(XenbusStateConnected);
	assert_false(world_vif(&w, &a)->sg || world_vif(&w, &a)->gso4 || world_vif(&w, &a)->csum6);
	assert_true(world_vif(&w, &a)->csum4); /* a front end has to say that it cannot */
	assert_int_equal(world_vif(&w, &a)->mtu, NETBACK_MTU_DEFAULT);
	world_assert_traffic(&w, &a, &b);
}

/* GSO without scatter-gather is not believed: such packets would not fit into one page. */
static void gso_needs_sg(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	a.gso = true;
	a.no_sg = true;
	toolstack_add_vif(w.hv, 1, 0, NULL);
	world_settle(&w);
	fake_guest_connect(&a);
	assert_state(XenbusStateConnected);
	assert_false(world_vif(&w, &a)->gso4 || world_vif(&w, &a)->gso6);
}

static void page_flipping_is_refused(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	world_settle(&w);
	fake_guest_rings(&a);
	fake_guest_keys(&a);
	fake_guest_number(&a, "request-rx-copy", 0);
	fake_guest_state(&a, XenbusStateConnected);
	assert_state(XenbusStateClosing);
}

static void more_queues_than_offered(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	world_settle(&w);
	fake_guest_rings(&a);
	fake_guest_keys(&a);
	fake_guest_number(&a, "multi-queue-num-queues", NETBACK_QUEUES + 1);
	fake_guest_state(&a, XenbusStateConnected);
	assert_state(XenbusStateClosing);
}

/* The mtu of our node, as the toolstack wrote it. */
static void mtu(void **state)
{
	static const struct {
		const char *extra;
		int state;
	} c[] = {{"mtu=67", XenbusStateClosing}, {"mtu=9000", XenbusStateConnected}, {"mtu=65536", XenbusStateClosing}, {"mtu=big", XenbusStateClosing}};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(c); i++) {
		fake_guest_init(&a, w.hv, (domid_t)(10 + i), 0);
		toolstack_add_vif(w.hv, a.domid, 0, c[i].extra);
		world_settle(&w);
		fake_guest_connect(&a);
		assert_state(c[i].state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(features_are_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(split_event_channels, setup, teardown),
		cmocka_unit_test_setup_teardown(error_node, setup, teardown),
		cmocka_unit_test_setup_teardown(least_of_front_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(gso_needs_sg, setup, teardown),
		cmocka_unit_test_setup_teardown(page_flipping_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(more_queues_than_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(mtu, setup, teardown),
	};

	return cmocka_run_group_tests_name("netback_connect", tests, NULL, NULL);
}
