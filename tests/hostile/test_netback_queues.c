/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that lies about its queues: their number, their keys, their pages. Each time its vif alone is closed, with an error in XenStore, and may come again. */
#include <tests/support/netback_world.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define QUEUES 3u

static struct world w;
static struct fake_guest evil[QUEUES], n1, n2;

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	world_add_guest(&w, &n1, 1);
	world_add_guest(&w, &n2, 2);
	for (unsigned i = 0; i < QUEUES; i++)
		fake_guest_init(&evil[i], w.hv, 3, 0);
	toolstack_add_vif(w.hv, 3, 0, NULL);
	world_settle(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_assert_traffic(&w, &n1, &n2);
	world_destroy(&w);
	return 0;
}

static void try_again(unsigned queues)
{
	for (unsigned i = 0; i < queues; i++)
		fake_guest_disconnect(&evil[i]); /* asserts that nothing of it is mapped */
	fake_guest_state(evil, XenbusStateClosed);
	world_settle(&w);
	fake_guest_state(evil, XenbusStateInitialising);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(evil), XenbusStateInitWait);
}

/* Says Connected and is refused. */
static void assert_refused(unsigned queues, const char *why)
{
	char *text;

	fake_guest_state(evil, XenbusStateConnected);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(evil), XenbusStateClosing);
	text = hv_fake_store_read(w.hv, 0, "error/backend/vif/3/0/error");
	assert_non_null(text);
	assert_non_null(strstr(text, why));
	free(text);
	hv_fake_store_rm(w.hv, 0, "error/backend/vif/3/0");
	try_again(queues);
}

static void assert_accepted(unsigned queues)
{
	fake_guest_connect_queues(evil, queues);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(evil), XenbusStateConnected);
	assert_int_equal(world_vif(&w, evil)->nr_queues, queues);
}

static void numbers_of_queues(void **state)
{
	static const char *const values[] = {"0", "9", "65", "4294967295", "4294967298", "18446744073709551618", "-1", "2x", " 2", "", "two", "2.0"};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(values); i++) {
		fake_guest_rings_queues(evil, QUEUES);
		fake_guest_key(evil, "multi-queue-num-queues", values[i]);
		assert_refused(QUEUES, "multi-queue-num-queues");
	}
	assert_accepted(QUEUES);
}

static void missing_keys(void **state)
{
	static const char *const keys[] = {"tx-ring-ref", "rx-ring-ref", "event-channel"};
	char path[64];

	(void)state;
	for (unsigned q = 0; q < QUEUES; q++) {
		for (unsigned i = 0; i < RTE_DIM(keys); i++) {
			fake_guest_rings_queues(evil, QUEUES);
			snprintf(path, sizeof(path), "device/vif/0/queue-%u/%s", q, keys[i]);
			assert_int_equal(hv_fake_store_rm(w.hv, 3, path), 0);
			assert_refused(QUEUES, i < 2 ? "ring-ref" : "event-channel");
		}
		fake_guest_rings_queues(evil, QUEUES);
		snprintf(path, sizeof(path), "device/vif/0/queue-%u", q);
		assert_int_equal(hv_fake_store_rm(w.hv, 3, path), 0); /* the whole of it */
		assert_refused(QUEUES, "ring-ref");
	}
	assert_accepted(QUEUES);
}

static void keys_that_are_no_numbers(void **state)
{
	static const char *const keys[] = {"tx-ring-ref", "rx-ring-ref", "event-channel"};
	static const char *const values[] = {"", "-1", "8x", " 8", "4294967296", "99999999999999999999"};
	char path[64];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(keys) * RTE_DIM(values); i++) {
		fake_guest_rings_queues(evil, QUEUES);
		snprintf(path, sizeof(path), "queue-%u/%s", i % QUEUES, keys[i % RTE_DIM(keys)]);
		fake_guest_key(evil, path, values[i / RTE_DIM(keys)]);
		assert_refused(QUEUES, i % RTE_DIM(keys) < 2 ? "ring-ref" : "event-channel");
	}
}

/* More queues said than described, and the other way round; a flat key does not stand in for a queue's. */
static void numbers_that_do_not_agree(void **state)
{
	(void)state;
	fake_guest_rings_queues(evil, 2);
	fake_guest_number(evil, "multi-queue-num-queues", 3);
	fake_guest_queue_keys(&evil[0], "");
	assert_refused(2, "ring-ref");
	fake_guest_rings_queues(evil, 3);
	fake_guest_number(evil, "multi-queue-num-queues", 2); /* the third is nobody's */
	fake_guest_state(evil, XenbusStateConnected);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(evil), XenbusStateConnected);
	assert_int_equal(world_vif(&w, evil)->nr_queues, 2);
}

static void one_page_for_two_queues(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		fake_guest_rings_queues(evil, QUEUES);
		fake_guest_number(evil, i % 2 ? "queue-2/tx-ring-ref" : "queue-2/rx-ring-ref", i / 2 ? evil[0].tx_ring_gref : evil[1].rx_ring_gref);
		assert_refused(QUEUES, "same ring page");
	}
}

/* The last of the queues cannot be had: the others are let go of. */
static void pages_and_ports_that_are_not_there(void **state)
{
	(void)state;
	fake_guest_rings_queues(evil, QUEUES);
	fake_guest_number(evil, "queue-2/rx-ring-ref", 4000);
	assert_refused(QUEUES, "cannot map the rx ring");
	fake_guest_rings_queues(evil, QUEUES);
	fake_guest_number(evil, "queue-2/event-channel", evil[0].tx_port); /* bound already */
	assert_refused(QUEUES, "event channel");
	fake_guest_rings_queues(evil, QUEUES);
	shm_store(&evil[2].rx.shared->req_prod, 7000);
	assert_refused(QUEUES, "index");
}

/* One queue breaks the protocol: the vif goes with all its queues. */
static void one_broken_queue(void **state)
{
	(void)state;
	for (unsigned q = 0; q < QUEUES; q++) {
		assert_accepted(QUEUES);
		shm_store_release(&evil[q].tx.shared->req_prod, evil[q].tx.req_prod + 1000);
		hv_fake_evtchn_send(w.hv, 3, evil[q].tx_port);
		world_settle(&w);
		assert_int_equal(fake_guest_backend_state(evil), XenbusStateClosing);
		try_again(QUEUES);
	}
}

/* Gone while it is served. */
static void node_vanishes(void **state)
{
	const struct netback_vif *vif;

	(void)state;
	assert_accepted(QUEUES);
	assert_int_equal(hv_fake_store_rm(w.hv, 3, "device/vif/0/queue-1"), 0);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(evil), XenbusStateConnected); /* a key is read once */
	assert_int_equal(hv_fake_store_rm(w.hv, 3, "device/vif/0"), 0);
	world_settle(&w);
	vif = world_vif(&w, evil);
	assert_true(!vif || vif->nr_queues == 0);
}

/* A new back end takes the rings of a dead one, of all queues; what waited on them is served. */
static void adopted_by_a_new_back_end(void **state)
{
	uint8_t frame[100];

	(void)state;
	assert_accepted(QUEUES);
	world_stop_backend(&w);
	world_frame(frame, sizeof(frame), 3, 1);
	for (unsigned q = 0; q < QUEUES; q++)
		fake_guest_send(&evil[q], frame, sizeof(frame), 0, NULL);
	world_start_backend(&w);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(evil), XenbusStateConnected);
	assert_int_equal(world_vif(&w, evil)->nr_queues, QUEUES);
	for (unsigned q = 0; q < QUEUES; q++) {
		fake_guest_take_tx(&evil[q]);
		assert_int_equal(evil[q].tx_ok, 1);
	}
	while (fake_guest_receive(&n1, frame, sizeof(frame), &(struct net_packet){0}, true))
		;
	while (fake_guest_receive(&n2, frame, sizeof(frame), &(struct net_packet){0}, true))
		;
}

/* Control messages about queues that are not there. */
static void control_messages_for_other_queues(void **state)
{
	static const uint16_t types[] = {XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING,
					 XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING};
	struct xen_netif_ctrl_response rsp;

	(void)state;
	evil[0].ctrl = true;
	assert_accepted(QUEUES);
	for (unsigned i = 0; i < RTE_DIM(types); i++) {
		static const uint32_t queues[] = {QUEUES, NETBACK_QUEUES, UINT32_MAX};

		for (unsigned k = 0; k < RTE_DIM(queues); k++) {
			*fake_guest_list(evil, 0) = (struct xen_netif_gref){.ref = evil[0].tx_gref[0]};
			fake_guest_ctrl_put(evil, types[i], queues[k], evil[0].list_gref[0], 1);
			fake_guest_ctrl_push(evil);
			world_settle(&w);
			assert_true(fake_guest_ctrl_take(evil, &rsp));
			assert_int_equal(rsp.status, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
		}
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(numbers_of_queues),
		CASE(missing_keys),
		CASE(keys_that_are_no_numbers),
		CASE(numbers_that_do_not_agree),
		CASE(one_page_for_two_queues),
		CASE(pages_and_ports_that_are_not_there),
		CASE(one_broken_queue),
		CASE(node_vanishes),
		CASE(adopted_by_a_new_back_end),
		CASE(control_messages_for_other_queues),
	};

	return cmocka_run_group_tests_name("hostile netback queues", tests, NULL, NULL);
}
