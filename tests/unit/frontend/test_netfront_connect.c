/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/netfront_connect.c: the handshake with each kind of back end, its death and return, what is left behind, and nodes that make no sense. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <frontend/netfront.h>
#include <tests/support/netback_script.h>
#include <tests/support/port_fake.h>

static struct hv *hv;
static struct xenbus *xb;
static struct netfront *nf;
static struct netback_script back;

static int setup(void **state)
{
	struct netfront_options options = { .csum_blank = true };

	(void)state;
	memset(&back, 0, sizeof(back));
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, SCRIPT_DOMID);
	xb = xenbus_create();
	nf = netfront_create(xb, 0, &options);
	return nf ? 0 : -1;
}

/* Whatever a test did: nothing is left of a vif that was destroyed. */
static int teardown(void **state)
{
	unsigned left;

	(void)state;
	script_disconnect(&back);
	netfront_destroy(nf);
	xenbus_destroy(xb);
	left = port_fake_pages() + port_fake_grants() + port_fake_ports();
	port_fake_close();
	hv->ops->close(hv);
	return left ? -1 : 0;
}

static void handshake(void)
{
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateConnected);
	assert_int_equal(script_connect(&back, hv), 0);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
}

static void test_connects_with_split_channels(void **state)
{
	static const uint8_t mac[6] = { 0x00, 0x16, 0x3e, 0x0a, 0x0b, 0x0c };

	(void)state;
	script_device(hv);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateInitialising);
	handshake();
	assert_memory_equal(netfront_mac(nf), mac, 6);
	assert_int_equal(script_front_number(hv, "request-rx-copy"), 1);
	assert_int_equal(script_front_number(hv, "feature-rx-notify"), 1);
	assert_int_equal(script_front_number(hv, "feature-sg"), 1);
	assert_int_equal(script_front_number(hv, "feature-gso-tcpv4"), -1); /* not taken by this user */
	assert_int_equal(script_front_number(hv, "feature-no-csum-offload"), -1);
	assert_int_equal(script_front_number(hv, "event-channel"), -1);
	assert_int_not_equal(back.tx_port, back.rx_port);
	assert_int_equal(back_ring_pending(&back.rx), 256); /* all pages are posted */
	assert_int_equal(back_ring_pending(&back.tx), 0);
	assert_int_equal(netfront_stats(nf)->connections, 1);
}

static void test_connects_with_one_channel(void **state)
{
	(void)state;
	script_device(hv);
	script_back(hv, "feature-split-event-channels", "0");
	netfront_step(nf);
	handshake();
	assert_true(script_front_number(hv, "event-channel") > 0);
	assert_int_equal(script_front_number(hv, "event-channel-tx"), -1);
	assert_int_equal(back.tx_port, back.rx_port);
	assert_int_equal(port_fake_ports(), 1);
}

static void test_a_vif_that_comes_later(void **state)
{
	(void)state;
	assert_int_equal(netfront_step(nf), NETFRONT_ABSENT);
	assert_int_equal(netfront_step(nf), NETFRONT_ABSENT);
	script_device(hv);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	handshake();
}

static void test_a_back_end_that_was_ready_first(void **state)
{
	(void)state;
	script_device(hv);
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateConnected);
}

static void test_transaction_conflicts(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	port_fake_faults.conflicts = 3;
	handshake();
	assert_int_equal(port_fake_faults.conflicts, 0);
}

static void test_conflicts_without_end(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	port_fake_faults.conflicts = 1000;
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	assert_int_equal(port_fake_faults.conflicts, 1000 - XENBUS_TXN_TRIES);
	assert_int_equal(port_fake_grants(), 0);
	assert_int_equal(port_fake_ports(), 0);
	port_fake_faults.conflicts = 0;
	script_back(hv, "state", "2"); /* says it again */
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
}

/* The back end was killed; a new one says Closing, waits for Closed, and starts over. */
static void test_back_end_dies_and_returns(void **state)
{
	long old_ref;

	(void)state;
	script_device(hv);
	netfront_step(nf);
	handshake();
	old_ref = script_front_number(hv, "tx-ring-ref");
	for (unsigned life = 2; life < 6; life++) {
		script_disconnect(&back);
		script_back(hv, "state", "5");
		assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
		assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
		assert_int_equal(port_fake_grants(), 0);
		assert_int_equal(port_fake_ports(), 0);
		handshake();
		assert_int_equal(netfront_stats(nf)->connections, life);
		assert_int_equal(back_ring_pending(&back.rx), 256);
	}
	assert_true(old_ref >= 8);
}

/* Some back ends do not say Closing: the new one is simply in InitWait, which the old one was before Connected. */
static void test_back_end_returns_in_init_wait(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	handshake();
	script_disconnect(&back);
	script_back(hv, "state", "1");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	handshake();
	assert_int_equal(netfront_stats(nf)->connections, 2);
}

/* A late watch event that still shows InitWait after we said Connected must not end the connection. */
static void test_init_wait_seen_late(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	script_back(hv, "state", "2");
	netfront_step(nf);
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateConnected);
	assert_int_equal(script_connect(&back, hv), 0);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	assert_int_equal(netfront_stats(nf)->connections, 1);
}

/* Linux's netback stays in Closed while its device is online, and waits for Initialising. */
static void test_linux_netback_reopens(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	handshake();
	script_disconnect(&back);
	script_back(hv, "state", "5");
	netfront_step(nf);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
	script_back(hv, "state", "6");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateInitialising);
	handshake();
}

static void test_device_detached(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	handshake();
	script_disconnect(&back);
	script_back(hv, "online", "0");
	script_back(hv, "state", "5");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	script_back(hv, "state", "6");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
	hv_fake_store_rm(hv, 0, SCRIPT_FRONT);
	hv_fake_store_rm(hv, 0, SCRIPT_BACK);
	assert_int_equal(netfront_step(nf), NETFRONT_ABSENT);
	script_device(hv); /* attached again */
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	handshake();
}

/* A page that the dead back end still holds must be neither freed nor used again, until it lets go (XSA-396, XSA-403). */
static void test_busy_pages_wait(void **state)
{
	struct netif_rx_request req;
	struct hv_map_op map = { .domid = SCRIPT_DOMID };
	struct hv_unmap_op unmap;
	struct netfront_buf bufs[64];
	uint8_t frame[64] = { 0 };

	(void)state;
	script_device(hv);
	netfront_step(nf);
	handshake();
	assert_true(script_rx_take(&back, &req));
	map.gref = req.gref;
	assert_int_equal(hv->ops->map(hv, &map, 1), 0);
	assert_int_equal(map.status, GNTST_okay);
	script_disconnect(&back);
	script_back(hv, "state", "5");
	netfront_step(nf);
	assert_int_equal(port_fake_grants(), 1);
	handshake();
	memset(map.va, 0xee, SLUICE_PAGE_SIZE); /* the zombie writes */
	for (unsigned i = 0; i < 256; i++)
		script_deliver(&back, frame, sizeof(frame));
	for (unsigned seen = 0, n; seen < 256; seen += n) {
		n = netfront_rx(nf, bufs, 64);
		assert_true(n > 0);
		for (unsigned i = 0; i < n; i++)
			assert_memory_equal(bufs[i].data, frame, sizeof(frame));
	}
	unmap = (struct hv_unmap_op){ .va = map.va, .handle = map.handle };
	assert_int_equal(hv->ops->unmap(hv, &unmap, 1), 0);
	script_disconnect(&back);
	script_back(hv, "state", "5");
	netfront_step(nf);
	handshake(); /* connecting again is when the deferred page is freed */
	assert_int_equal(port_fake_grants(), 2 + 512 + 256);
}

static void test_no_grants_left(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	for (unsigned after = 1; after < 900; after += 61) {
		port_fake_faults.fail_grants_after = after;
		script_back(hv, "state", "2");
		netfront_step(nf);
		if (after > 770)
			break;
		assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
		assert_int_equal(port_fake_grants(), 0);
		assert_int_equal(port_fake_ports(), 0);
	}
	assert_int_equal(script_front_number(hv, "state"), XenbusStateConnected);
}

static void test_senseless_nodes(void **state)
{
	static const char *const bad_macs[] = { "", "00:16:3e:0a:0b", "00:16:3e:0a:0b:0c:0d", "00-16-3e-0a-0b-0c", "0g:16:3e:0a:0b:0c", "0016:3e:0a:0b:0c" };

	(void)state;
	script_device(hv);
	for (unsigned i = 0; i < sizeof(bad_macs) / sizeof(bad_macs[0]); i++) {
		script_front(hv, "mac", bad_macs[i]);
		script_front(hv, "backend", SCRIPT_BACK); /* raises the watch */
		assert_int_equal(netfront_step(nf), NETFRONT_ABSENT);
	}
	script_front(hv, "mac", "00:16:3E:0A:0B:0C");
	script_front(hv, "backend-id", "40000");
	script_front(hv, "backend", SCRIPT_BACK);
	assert_int_equal(netfront_step(nf), NETFRONT_ABSENT);
	script_front(hv, "backend-id", "0");
	script_front(hv, "backend", SCRIPT_BACK);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	handshake();
}

static void test_back_end_closes_before_connecting(void **state)
{
	(void)state;
	script_device(hv);
	netfront_step(nf);
	script_back(hv, "state", "5");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	script_back(hv, "state", "6"); /* after we said Connected, before it did */
	netfront_step(nf);
	assert_int_equal(port_fake_ports(), 0);
	assert_int_equal(port_fake_grants(), 0);
	handshake();
}

static void test_quiet_when_nothing_changes(void **state)
{
	uint64_t reads;

	(void)state;
	script_device(hv);
	netfront_step(nf);
	handshake();
	reads = hv_fake_count(hv, HV_FAKE_STORE_READ);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	assert_true(hv_fake_count(hv, HV_FAKE_STORE_READ) - reads <= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connects_with_split_channels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connects_with_one_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_vif_that_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_back_end_that_was_ready_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transaction_conflicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_conflicts_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_end_dies_and_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_end_returns_in_init_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_init_wait_seen_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_linux_netback_reopens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_device_detached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy_pages_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_grants_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_senseless_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_back_end_closes_before_connecting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_quiet_when_nothing_changes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
