/* SPDX-License-Identifier: BSD-3-Clause */
/* The control ring as a guest sees it: every message and its answer, packets over static grants, and what ends them. */
#include <tests/support/netback_world.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest a, b;
static struct xen_netif_ctrl_response rsp;

static void add_guest(struct fake_guest *g, domid_t domid, bool ctrl)
{
	fake_guest_init(g, w.hv, domid, 0);
	g->ctrl = ctrl;
	toolstack_add_vif(w.hv, domid, 0, NULL);
	world_settle(&w);
	fake_guest_connect(g);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(g), XenbusStateConnected);
}

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	add_guest(&a, 1, true);
	add_guest(&b, 2, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

static uint32_t ask(uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2)
{
	uint16_t id = (uint16_t)(a.ctrl_ring.req_prod + 7);

	fake_guest_ctrl_put(&a, type, d0, d1, d2);
	fake_guest_ctrl_push(&a);
	world_settle(&w);
	assert_true(fake_guest_ctrl_take(&a, &rsp));
	assert_int_equal(rsp.type, type);
	assert_int_equal(rsp.id, id);
	return rsp.status;
}

/* n tx buffers and n rx buffers into page 0 for lists. */
static uint32_t ask_list(uint16_t type, unsigned n)
{
	struct xen_netif_gref *list = fake_guest_list(&a, 0);

	for (unsigned i = 0; i < n; i++) {
		list[i] = (struct xen_netif_gref){.ref = a.tx_gref[i], .flags = XEN_NETIF_CTRLF_GREF_readonly, .status = 0xffff};
		list[n + i] = (struct xen_netif_gref){.ref = a.rx_gref[i], .status = 0xffff};
	}
	return ask(type, 0, a.list_gref[0], 2 * n);
}

static void hash_messages(void **state)
{
	uint32_t *entry = (uint32_t *)fake_guest_list(&a, 1);

	(void)state;
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ, 0, 0), 0);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0), 0);
	assert_int_equal(rsp.data, 15);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 3, 0, 0), 0);
	memset(entry, 0xab, 40);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, a.list_gref[1], 40, 0), 0);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0), 0);
	assert_int_equal(rsp.data, NET_CTRL_MAPPING_MAX);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 8, 0, 0), 0);
	memset(entry, 0, 32);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, a.list_gref[1], 8, 0), 0);
	assert_int_equal(world_vif(&w, &a)->ctrl.hash.key[39], 0xab);
	assert_int_equal(world_vif(&w, &a)->ctrl.hash.mapping_size, 8);
	assert_int_equal(world_vif(&w, &a)->ctrl.hash.types, 3);
}

static void table_size(void **state)
{
	(void)state;
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0, 0), 0);
	assert_true(rsp.data >= 1024);
	assert_int_equal(ask(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, NETBACK_QUEUES, 0, 0), XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
}

/* With all pages static, traffic makes no grant operation at all. */
static void no_grant_operation(void **state)
{
	uint64_t copies, maps;
	unsigned mapped = hv_fake_mapped(w.hv);

	(void)state;
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, FAKE_GUEST_BUFFERS), 0);
	assert_int_equal(hv_fake_mapped(w.hv), mapped + 2 * FAKE_GUEST_BUFFERS);
	copies = hv_fake_count(w.hv, HV_FAKE_COPY);
	world_assert_traffic(&w, &a, &b);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_COPY) - copies, 2); /* only b's ends */
	maps = hv_fake_count(w.hv, HV_FAKE_MAP) + hv_fake_count(w.hv, HV_FAKE_UNMAP);
	world_assert_traffic(&w, &a, &b);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_MAP) + hv_fake_count(w.hv, HV_FAKE_UNMAP), maps);
}

/* Some pages in the table, some not: both ways of reaching them within one packet. */
static void mixed(void **state)
{
	static uint8_t frame[9000], got[NET_PACKET_MAX];
	struct net_packet p;

	(void)state;
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 2), 0);
	world_vif(&w, &b)->mtu = world_vif(&w, &a)->mtu = 9000;
	for (unsigned round = 0; round < 2; round++) {
		world_frame(frame, sizeof(frame), 1, 2);
		fake_guest_send(&a, frame, sizeof(frame), 0, NULL);
		world_settle(&w);
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
		world_frame(frame, sizeof(frame), 2, 1);
		fake_guest_send(&b, frame, sizeof(frame), 0, NULL);
		world_settle(&w);
		assert_int_equal(fake_guest_receive(&a, got, sizeof(got), &p, true), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
	}
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_errors, 0);
}

static void del_gives_pages_back(void **state)
{
	struct xen_netif_gref *list = fake_guest_list(&a, 0);
	unsigned mapped = hv_fake_mapped(w.hv);

	(void)state;
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 8), 0);
	assert_int_equal(hv_fake_grant_busy(w.hv, 1, a.tx_gref[3]), 1);
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING, 10), 0);
	assert_int_equal(rsp.data, 16);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(list[i].status, i % 10 < 8 ? XEN_NETIF_CTRL_STATUS_SUCCESS : XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
	assert_int_equal(hv_fake_mapped(w.hv), mapped);
	world_assert_traffic(&w, &a, &b);
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 8), 0);
	world_assert_traffic(&w, &a, &b);
}

static void disconnect_unmaps(void **state)
{
	(void)state;
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, FAKE_GUEST_BUFFERS), 0);
	fake_guest_state(&a, XenbusStateClosed);
	world_settle(&w);
	fake_guest_disconnect(&a); /* asserts that nothing is mapped any more */
	fake_guest_state(&a, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_connect(&a);
	world_settle(&w);
	world_assert_traffic(&w, &a, &b);
}

/* A new back end adopts the rings with an empty table, and says so on the control channel. */
static void new_back_end(void **state)
{
	(void)state;
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, FAKE_GUEST_BUFFERS), 0);
	hv_fake_evtchn_take(w.hv, 1, a.ctrl_port);
	world_stop_backend(&w);
	world_start_backend(&w);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&a), XenbusStateConnected);
	assert_true(hv_fake_evtchn_take(w.hv, 1, a.ctrl_port));
	world_assert_traffic(&w, &a, &b);
	assert_int_equal(ask_list(XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, FAKE_GUEST_BUFFERS), 0);
	world_assert_traffic(&w, &a, &b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(hash_messages), CASE(table_size), CASE(no_grant_operation), CASE(mixed), CASE(del_gives_pages_back), CASE(disconnect_unmaps), CASE(new_back_end),
	};

	return cmocka_run_group_tests_name("netback_ctrl", tests, NULL, NULL);
}
