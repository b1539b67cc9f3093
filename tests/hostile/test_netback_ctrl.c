/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that lies on its control ring: indices, types, lists and their pages. After each case its neighbours exchange packets, and nothing is left mapped.
 */
#include <tests/support/netback_world.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define INVALID XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER
#define ADD XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING
#define DEL XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING

static struct world w;
static struct fake_guest evil, n1, n2;
static struct xen_netif_ctrl_response rsp;
static unsigned mapped; /* when evil has no static grant */

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	world_add_guest(&w, &n1, 1);
	world_add_guest(&w, &n2, 2);
	fake_guest_init(&evil, w.hv, 3, 0);
	evil.ctrl = true;
	toolstack_add_vif(w.hv, 3, 0, NULL);
	world_settle(&w);
	fake_guest_connect(&evil);
	world_settle(&w);
	mapped = hv_fake_mapped(w.hv);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_assert_traffic(&w, &n1, &n2);
	world_destroy(&w);
	return 0;
}

static void assert_disabled(void)
{
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosing);
	fake_guest_disconnect(&evil);
	fake_guest_state(&evil, XenbusStateClosed);
	world_settle(&w);
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_connect(&evil);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
}

static uint32_t ask(uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2)
{
	fake_guest_ctrl_put(&evil, type, d0, d1, d2);
	fake_guest_ctrl_push(&evil);
	world_settle(&w);
	assert_true(fake_guest_ctrl_take(&evil, &rsp));
	return rsp.status;
}

/* The first n rx buffers in list page 0. */
static struct xen_netif_gref *rx_list(unsigned n)
{
	struct xen_netif_gref *list = fake_guest_list(&evil, 0);

	for (unsigned i = 0; i < n; i++)
		list[i] = (struct xen_netif_gref){.ref = evil.rx_gref[i]};
	return list;
}

static void xsa_39_control_index_out_of_range(void **state)
{
	static const uint32_t ahead[] = {130, 0x80000000, 0xffffffff}; /* one message was answered before */

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(ahead); i++) {
		rx_list(64);
		assert_int_equal(ask(ADD, 0, evil.list_gref[0], 64), 0);
		shm_store_release(&evil.ctrl_ring.shared->req_prod, ahead[i]);
		hv_fake_evtchn_send(w.hv, 3, evil.ctrl_port);
		assert_disabled();
	}
}

static void xsa_270_hash_mapping_out_of_bounds(void **state)
{
	struct net_ctrl_hash before;

	(void)state;
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 16, 0, 0), 0);
	memset(fake_guest_list(&evil, 1), 0xff, SLUICE_PAGE_SIZE);
	before = world_vif(&w, &evil)->ctrl.hash;
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, evil.list_gref[1], 17, 0), 0);
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, evil.list_gref[1], 1, 16), 0);
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, evil.list_gref[1], 2, 0xffffffff), 0);
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, evil.list_gref[1], 0x40000001, 0), 0);
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, evil.list_gref[1], 16, 0), 0); /* queues that are not there */
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, evil.list_gref[1], 4096, 0), 0);
	assert_int_not_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 4000, 40, 0), 0); /* not granted */
	assert_memory_equal(&before, &world_vif(&w, &evil)->ctrl.hash, sizeof(before));
}

static void messages_of_every_kind(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		uint32_t d[3];

		for (unsigned k = 0; k < 3; k++) {
			seed = seed * 1664525 + 1013904223;
			d[k] = seed >> (seed >> 27);
		}
		fake_guest_ctrl_put(&evil, (uint16_t)(seed >> 9 & 15), d[0], i % 3 ? d[1] : evil.list_gref[1], d[2]);
		fake_guest_ctrl_push(&evil);
		poller_round(w.nb.poller, false);
		if (front_ring_free(&evil.ctrl_ring) == 0)
			world_settle(&w);
		while (fake_guest_ctrl_take(&evil, &rsp))
			;
	}
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
}

/* One entry is bad: none is added, whatever is wrong with it and wherever it stands. */
static void xsa_367_all_or_none(void **state)
{
	gref_t foreign;
	const struct xen_netif_gref bad[] = {
		{.ref = 4000},       /* free */
		{.ref = 0},          /* never given out */
		{.ref = 65536},      /* beyond the table */
		{.ref = 0xffffffff},
		{.ref = evil.tx_gref[1]}, /* read-only, and asked for writing */
		{.ref = evil.rx_gref[0]}, /* twice in the list */
		{.ref = evil.rx_gref[60], .flags = 2},
		{.ref = evil.rx_gref[60], .flags = 0xffff},
	};

	(void)state;
	assert_int_equal(hv_fake_grant(w.hv, 3, 1, evil.tx_buffers, false, &foreign), 0);
	for (unsigned at = 1; at < 32; at += 15) {
		for (unsigned i = 0; i <= RTE_DIM(bad); i++) {
			struct xen_netif_gref *list = rx_list(32);

			list[at] = i < RTE_DIM(bad) ? bad[i] : (struct xen_netif_gref){.ref = foreign};
			assert_int_equal(ask(ADD, 0, evil.list_gref[0], 32), INVALID);
			assert_int_equal(hv_fake_mapped(w.hv), mapped);
			assert_int_equal(world_vif(&w, &evil)->queue[0].grants.nr, 0);
		}
	}
	world_assert_traffic(&w, &evil, &n1);
}

static void a_map_fails_in_the_middle(void **state)
{
	(void)state;
	rx_list(32);
	hv_fake_fail(w.hv, HV_FAKE_MAP, 20, GNTST_no_device_space);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 32), INVALID);
	assert_int_equal(hv_fake_mapped(w.hv), mapped);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 32), 0);
	assert_int_equal(hv_fake_mapped(w.hv), mapped + 32);
}

static void add_twice(void **state)
{
	(void)state;
	rx_list(32);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 32), 0);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 32), INVALID);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 1), INVALID);
	assert_int_equal(hv_fake_mapped(w.hv), mapped + 32);
}

/* More pages than the back end said that it keeps. */
static void more_than_advertised(void **state)
{
	struct xen_netif_gref *list = fake_guest_list(&evil, 0);
	uint8_t *pages = hv_fake_pages_alloc(w.hv, 3, 1);
	unsigned most;

	(void)state;
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0, 0), 0);
	most = rsp.data;
	for (unsigned done = 0; done < most; done += 512) {
		for (unsigned i = 0; i < 512; i++) {
			gref_t gref;

			assert_int_equal(hv_fake_grant(w.hv, 3, 0, pages, false, &gref), 0);
			list[i] = (struct xen_netif_gref){.ref = gref};
		}
		assert_int_equal(ask(ADD, 0, evil.list_gref[0], 512), 0);
	}
	rx_list(1);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 1), INVALID);
	assert_int_equal(hv_fake_mapped(w.hv), mapped + most);
}

static void del_what_is_not_there(void **state)
{
	struct xen_netif_gref *list = rx_list(4);

	(void)state;
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 2), 0);
	list[1].ref = list[0].ref; /* twice */
	list[2].ref = 0xffffffff;
	list[3].ref = 65535;
	assert_int_equal(ask(DEL, 0, evil.list_gref[0], 4), 0);
	assert_int_equal(rsp.data, 1);
	assert_int_equal(list[0].status, 0);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(list[i].status, INVALID);
	assert_int_equal(hv_fake_mapped(w.hv), mapped + 1);
}

/* The list is in a page that is not granted, or only to be read: nothing is written there. */
static void lists_that_are_not_ours(void **state)
{
	struct xen_netif_gref *list = (struct xen_netif_gref *)fake_guest_tx_buffer(&evil, 0);

	(void)state;
	assert_int_equal(ask(ADD, 0, 4000, 2), INVALID);
	assert_int_equal(ask(DEL, 0, 0xffffffff, 2), INVALID);
	list[0] = (struct xen_netif_gref){.ref = evil.rx_gref[0], .status = 0x5555};
	assert_int_equal(ask(ADD, 0, evil.tx_gref[0], 1), 0);
	assert_int_equal(ask(DEL, 0, evil.tx_gref[0], 1), INVALID);
	assert_int_equal(list[0].status, 0x5555);
	assert_int_equal(hv_fake_mapped(w.hv), mapped);
}

/* A page that is in the table read-only is not written through it; the grant itself says what is allowed. */
static void read_only_pages_for_receiving(void **state)
{
	struct xen_netif_gref *list = fake_guest_list(&evil, 0);
	static uint8_t frame[100], got[NET_PACKET_MAX];
	struct net_packet p;

	(void)state;
	list[0] = (struct xen_netif_gref){.ref = evil.tx_gref[0], .flags = XEN_NETIF_CTRLF_GREF_readonly};
	list[1] = (struct xen_netif_gref){.ref = evil.rx_gref[1], .flags = XEN_NETIF_CTRLF_GREF_readonly};
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 2), 0);
	fake_guest_state(&evil, XenbusStateClosed);
	world_settle(&w);
	fake_guest_disconnect(&evil);
	evil.rx_gref[0] = evil.tx_gref[0];
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_connect(&evil);
	world_settle(&w);
	list[0].ref = evil.tx_gref[0];
	list[1].ref = evil.rx_gref[1];
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 2), 0);
	memset(fake_guest_tx_buffer(&evil, 0), 0x55, SLUICE_PAGE_SIZE);
	world_frame(frame, sizeof(frame), 1, 3);
	fake_guest_send(&n1, frame, sizeof(frame), 0, NULL);
	fake_guest_send(&n1, frame, sizeof(frame), 0, NULL);
	world_settle(&w);
	fake_guest_take_tx(&n1);
	assert_int_equal(fake_guest_receive(&evil, got, sizeof(got), &p, false), -1);
	assert_int_equal(fake_guest_receive(&evil, got, sizeof(got), &p, false), sizeof(frame));
	for (unsigned i = 0; i < SLUICE_PAGE_SIZE; i++)
		assert_int_equal(fake_guest_tx_buffer(&evil, 0)[i], 0x55);
}

/* Maps and unmaps without end: its neighbours' packets still go through while its messages wait. */
static void xsa_391_storm_of_messages(void **state)
{
	static uint8_t frame[100], got[NET_PACKET_MAX];
	struct net_packet p;
	unsigned received = 0;

	(void)state;
	rx_list(256);
	world_frame(frame, sizeof(frame), 1, 2);
	for (unsigned i = 0; i < 100; i++) {
		while (front_ring_free(&evil.ctrl_ring) > 1) {
			fake_guest_ctrl_put(&evil, ADD, 0, evil.list_gref[0], 256);
			fake_guest_ctrl_put(&evil, DEL, 0, evil.list_gref[0], 256);
		}
		fake_guest_ctrl_push(&evil);
		fake_guest_send(&n1, frame, sizeof(frame), 0, NULL);
		poller_round(w.nb.poller, false);
		poller_round(w.nb.poller, false);
		received += fake_guest_receive(&n2, got, sizeof(got), &p, true) > 0;
		fake_guest_take_tx(&n1);
		while (fake_guest_ctrl_take(&evil, &rsp))
			;
	}
	assert_true(received >= 99);
	fake_guest_state(&evil, XenbusStateClosed);
	world_settle(&w);
	while (fake_guest_receive(&n2, got, sizeof(got), &p, true) > 0)
		;
}

static void leaves_with_messages_under_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		rx_list(128);
		for (unsigned k = 0; k < 20; k++)
			fake_guest_ctrl_put(&evil, k % 2 ? DEL : ADD, 0, evil.list_gref[0], 128);
		fake_guest_ctrl_push(&evil);
		for (unsigned k = 0; k < i; k++)
			poller_round(w.nb.poller, false);
		fake_guest_state(&evil, XenbusStateClosed);
		world_settle(&w);
		fake_guest_disconnect(&evil);
		fake_guest_state(&evil, XenbusStateInitialising);
		world_settle(&w);
		fake_guest_connect(&evil);
		world_settle(&w);
	}
	world_assert_traffic(&w, &evil, &n1);
}

/* A domain that is gone keeps nothing of ours, and we touch nothing of its. */
static void domain_dies_with_pages_mapped(void **state)
{
	(void)state;
	rx_list(128);
	assert_int_equal(ask(ADD, 0, evil.list_gref[0], 128), 0);
	hv_fake_domain_destroy(w.hv, 3);
	toolstack_remove_vif(w.hv, 3, 0);
	world_settle(&w);
	assert_true(hv_fake_mapped(w.hv) < mapped);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(xsa_39_control_index_out_of_range), CASE(xsa_270_hash_mapping_out_of_bounds), CASE(messages_of_every_kind), CASE(xsa_367_all_or_none),
		CASE(a_map_fails_in_the_middle), CASE(add_twice), CASE(more_than_advertised), CASE(del_what_is_not_there), CASE(lists_that_are_not_ours),
		CASE(read_only_pages_for_receiving), CASE(xsa_391_storm_of_messages), CASE(leaves_with_messages_under_way), CASE(domain_dies_with_pages_mapped),
	};

	return cmocka_run_group_tests_name("hostile control ring", tests, NULL, NULL);
}
