/* SPDX-License-Identifier: BSD-3-Clause */
/* The handshake, every way through it: start, close, reconnect, removal, restart of the back end, failures of the hypervisor at every step. */
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
	world_add_guest(&w, &b, 2); /* the neighbour whom nothing may touch */
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

static void toolstack_write(const char *path, const char *value)
{
	assert_int_equal(hv_fake_store_write(w.hv, 0, path, value), 0);
}

static void connects(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	world_assert_traffic(&w, &a, &b);
}

/* Initialised(3) is as good as Connected(4). */
static void initialised_connects(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	world_settle(&w);
	fake_guest_rings(&a);
	fake_guest_keys(&a);
	fake_guest_state(&a, XenbusStateInitialised);
	assert_state(XenbusStateConnected);
}

static void two_vifs_of_a_domain(void **state)
{
	static struct fake_guest second;

	(void)state;
	world_add_guest(&w, &a, 1);
	fake_guest_init(&second, w.hv, 1, 1);
	toolstack_add_vif(w.hv, 1, 1, NULL);
	world_settle(&w);
	fake_guest_connect(&second);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&second), XenbusStateConnected);
	world_assert_traffic(&w, &a, &b);
	assert_int_equal(devices_count(w.devices), 3);
}

/* Front Closing, Closed, then Initialising again: like a driver that is unloaded and loaded. */
static void closes_and_comes_back(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	for (unsigned i = 0; i < 5; i++) {
		fake_guest_state(&a, XenbusStateClosing);
		assert_state(XenbusStateClosing);
		fake_guest_state(&a, XenbusStateClosed);
		assert_state(XenbusStateClosed);
		fake_guest_disconnect(&a);
		fake_guest_state(&a, XenbusStateInitialising);
		assert_state(XenbusStateInitWait);
		fake_guest_connect(&a);
		assert_state(XenbusStateConnected);
		world_assert_traffic(&w, &a, &b);
	}
}

/* Without a word of closing, as after kexec. */
static void starts_over(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	fake_guest_state(&a, XenbusStateInitialising);
	assert_state(XenbusStateInitWait);
	fake_guest_disconnect(&a);
	fake_guest_connect(&a);
	assert_state(XenbusStateConnected);
	world_assert_traffic(&w, &a, &b);
}

static void toolstack_detaches(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	toolstack_write("backend/vif/1/0/online", "0");
	toolstack_write("backend/vif/1/0/state", "5");
	assert_state(XenbusStateClosing);
	assert_non_null(world_vif(&w, &a)); /* until the front end closes */
	fake_guest_state(&a, XenbusStateClosed);
	assert_state(XenbusStateClosed);
	assert_null(world_vif(&w, &a));
	toolstack_remove_vif(w.hv, 1, 0);
	world_settle(&w);
	assert_int_equal(devices_count(w.devices), 1);
}

static void toolstack_detaches_a_guest_without_driver(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	assert_state(XenbusStateInitWait);
	toolstack_write("backend/vif/1/0/online", "0");
	toolstack_write("backend/vif/1/0/state", "5");
	assert_state(XenbusStateClosed);
	assert_null(world_vif(&w, &a));
}

static void node_is_removed(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	hv_fake_store_rm(w.hv, 0, "backend/vif/1");
	world_settle(&w);
	assert_int_equal(devices_count(w.devices), 1);
	fake_guest_disconnect(&a); /* nothing of it is in use */
}

/* A domain dies: its nodes go, its grants cannot be used any more, its ports are closed. */
static void domain_dies_under_traffic(void **state)
{
	uint8_t frame[60];

	(void)state;
	world_add_guest(&w, &a, 1);
	world_assert_traffic(&w, &a, &b);
	world_frame(frame, sizeof(frame), 2, 1);
	hv_fake_domain_destroy(w.hv, 1);
	fake_guest_send(&b, frame, sizeof(frame), 0, NULL);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&b), XenbusStateConnected);
	hv_fake_store_rm(w.hv, 0, "backend/vif/1");
	world_settle(&w);
	assert_int_equal(devices_count(w.devices), 1);
	memset(&a, 0, sizeof(a));
	world_add_guest(&w, &a, 1); /* a new domain with the old number */
	world_assert_traffic(&w, &a, &b);
}

/* The back end is killed and started again: the guests, front ends like Linux's too, notice nothing. */
static void killed_back_end_is_replaced(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	world_assert_traffic(&w, &a, &b);
	world_stop_backend(&w); /* writes nothing: the store is as after SIGKILL */
	assert_int_equal(hv_fake_mapped(w.hv), 0);
	assert_int_equal(fake_guest_backend_state(&a), XenbusStateConnected);
	world_start_backend(&w);
	assert_state(XenbusStateConnected);
	world_assert_traffic(&w, &a, &b);
}

/* What was sent while nobody was there is carried on. */
static void requests_survive_the_gap(void **state)
{
	uint8_t frame[60], got[4096];
	struct net_packet p;

	(void)state;
	world_add_guest(&w, &a, 1);
	world_assert_traffic(&w, &a, &b);
	world_stop_backend(&w);
	world_frame(frame, sizeof(frame), 1, 2);
	fake_guest_send(&a, frame, sizeof(frame), 0, NULL);
	world_start_backend(&w);
	world_settle(&w);
	world_settle(&w);
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_ok, 2);
	while (fake_guest_receive(&b, got, sizeof(got), &p, true) > 0)
		;
	world_assert_traffic(&w, &a, &b);
}

/* When the old rings cannot be taken over, the front end is asked to close, and comes back. */
static void takeover_fails_then_handshake(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	world_stop_backend(&w);
	fake_guest_disconnect(&a); /* its grants are gone, its state is still Connected */
	world_start_backend(&w);
	assert_state(XenbusStateClosing);
	fake_guest_state(&a, XenbusStateClosed);
	assert_state(XenbusStateInitWait);
	fake_guest_state(&a, XenbusStateInitialising);
	fake_guest_connect(&a);
	assert_state(XenbusStateConnected);
	world_assert_traffic(&w, &a, &b);
}

/* A front end that does not react is offered InitWait after a second all the same. */
static void patience_ends(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	world_stop_backend(&w);
	fake_guest_disconnect(&a);
	fake_guest_state(&a, XenbusStateClosing);
	world_start_backend(&w);
	assert_state(XenbusStateClosing);
	world_run_ms(&w, 1050);
	assert_state(XenbusStateClosing); /* InitWait, and the front end that is still Closing closes it */
	fake_guest_state(&a, XenbusStateInitialising);
	assert_state(XenbusStateInitWait);
}

static void stops_in_good_order(void **state)
{
	(void)state;
	world_add_guest(&w, &a, 1);
	devices_close(w.devices);
	assert_state(XenbusStateClosing);
	assert_false(devices_closed(w.devices));
	fake_guest_state(&a, XenbusStateClosed);
	fake_guest_state(&b, XenbusStateClosed);
	assert_state(XenbusStateClosed);
	assert_true(devices_closed(w.devices));
	world_stop_backend(&w);
	fake_guest_disconnect(&a);
	world_start_backend(&w);
	assert_state(XenbusStateInitWait);
	fake_guest_state(&a, XenbusStateInitialising);
	fake_guest_connect(&a);
	assert_state(XenbusStateConnected);
}

/* Each hypervisor call of the connection fails in turn: nothing stays mapped or bound, the error is in the store, a second try succeeds. */
static void failure_at_every_step(void **state)
{
	static const struct {
		enum hv_fake_call call;
		unsigned nth;
	} step[] = {{HV_FAKE_MAP_RING, 1}, {HV_FAKE_MAP_RING, 2}, {HV_FAKE_BIND, 1}, {HV_FAKE_BIND, 2}};

	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	a.split = true;
	toolstack_add_vif(w.hv, 1, 0, NULL);
	assert_state(XenbusStateInitWait);
	for (unsigned i = 0; i < RTE_DIM(step); i++) {
		unsigned mapped = hv_fake_mapped(w.hv), bound = hv_fake_bound(w.hv);

		hv_fake_fail(w.hv, step[i].call, step[i].nth, -ENOMEM);
		fake_guest_connect(&a);
		assert_state(XenbusStateClosing);
		assert_int_equal(hv_fake_mapped(w.hv), mapped);
		assert_int_equal(hv_fake_bound(w.hv), bound);
		fake_guest_disconnect(&a);
		fake_guest_state(&a, XenbusStateClosed);
		assert_state(XenbusStateClosed);
		fake_guest_state(&a, XenbusStateInitialising);
		assert_state(XenbusStateInitWait);
	}
	fake_guest_connect(&a);
	assert_state(XenbusStateConnected);
	world_assert_traffic(&w, &a, &b);
}

/* The features are written again when somebody interferes with the transaction. */
static void transaction_is_tried_again(void **state)
{
	(void)state;
	fake_guest_init(&a, w.hv, 1, 0);
	hv_fake_fail(w.hv, HV_FAKE_TXN_END, 1, -EAGAIN);
	toolstack_add_vif(w.hv, 1, 0, NULL);
	assert_state(XenbusStateInitWait);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(connects, setup, teardown),
		cmocka_unit_test_setup_teardown(initialised_connects, setup, teardown),
		cmocka_unit_test_setup_teardown(two_vifs_of_a_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(closes_and_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(starts_over, setup, teardown),
		cmocka_unit_test_setup_teardown(toolstack_detaches, setup, teardown),
		cmocka_unit_test_setup_teardown(toolstack_detaches_a_guest_without_driver, setup, teardown),
		cmocka_unit_test_setup_teardown(node_is_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(domain_dies_under_traffic, setup, teardown),
		cmocka_unit_test_setup_teardown(killed_back_end_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(requests_survive_the_gap, setup, teardown),
		cmocka_unit_test_setup_teardown(takeover_fails_then_handshake, setup, teardown),
		cmocka_unit_test_setup_teardown(patience_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(stops_in_good_order, setup, teardown),
		cmocka_unit_test_setup_teardown(failure_at_every_step, setup, teardown),
		cmocka_unit_test_setup_teardown(transaction_is_tried_again, setup, teardown),
	};

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
