/* SPDX-License-Identifier: BSD-3-Clause */
/* A vif with several queues: how many are agreed upon and with which keys, with one back end after the other; that flows keep their queue and their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <frontend/netfront.h>
#include <rings/net_flow.h>
#include <tests/support/netback_script.h>
#include <tests/support/port_fake.h>

#define QUEUES 8u
#define PAGES (512 + 256 + 2) /* granted for each queue */

static struct hv *hv;
static struct xenbus *xb;
static struct netfront *nf;
static struct netback_script back[QUEUES];
static struct netfront_buf bufs[300];

static int setup(void **state)
{
	(void)state;
	memset(back, 0, sizeof(back));
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, SCRIPT_DOMID);
	xb = xenbus_create();
	return xb ? 0 : -1;
}

static void back_gone(void)
{
	for (unsigned i = 0; i < QUEUES; i++)
		script_disconnect(&back[i]);
}

static int teardown(void **state)
{
	unsigned left;

	(void)state;
	back_gone();
	netfront_destroy(nf);
	nf = NULL;
	xenbus_destroy(xb);
	left = port_fake_pages() + port_fake_grants() + port_fake_ports();
	port_fake_close();
	hv->ops->close(hv);
	return left ? -1 : 0;
}

static void make(unsigned queues)
{
	struct netfront_options options = { .csum_blank = true, .queues = queues };

	nf = netfront_create(xb, 0, &options);
	assert_non_null(nf);
	script_device(hv);
	netfront_step(nf);
}

static long queue_number(unsigned queue, const char *key)
{
	char path[64];

	snprintf(path, sizeof(path), "queue-%u/%s", queue, key);
	return script_front_number(hv, path);
}

static void assert_no_queue_keys(unsigned from)
{
	for (unsigned i = from; i < NETFRONT_QUEUES; i++)
		for (unsigned k = 0; k < 2; k++)
			assert_int_equal(queue_number(i, k ? "tx-ring-ref" : "event-channel-rx"), -1);
}

/* The back end offers so many queues (NULL: does not know the key), and finds the keys of `agreed` ones, no others. */
static void handshake(const char *offer, unsigned agreed)
{
	char dir[16];

	if (offer)
		script_back(hv, "multi-queue-max-queues", offer);
	else
		hv_fake_store_rm(hv, 0, SCRIPT_BACK "/multi-queue-max-queues");
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "multi-queue-num-queues"), agreed > 1 ? (long)agreed : -1);
	for (unsigned i = 0; agreed > 1 && i < agreed; i++) {
		snprintf(dir, sizeof(dir), "queue-%u/", i);
		assert_int_equal(script_connect_queue(&back[i], hv, dir), 0);
	}
	if (agreed == 1)
		assert_int_equal(script_connect_queue(&back[0], hv, ""), 0);
	else
		assert_int_equal(script_front_number(hv, "tx-ring-ref") + script_front_number(hv, "rx-ring-ref") + script_front_number(hv, "event-channel-tx"), -3);
	assert_no_queue_keys(agreed > 1 ? agreed : 0);
	script_back(hv, "state", "4");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	assert_int_equal(netfront_queues(nf), agreed);
	assert_int_equal(port_fake_grants(), agreed * PAGES);
	assert_int_equal(port_fake_ports(), agreed * 2);
}

static void back_dies(void)
{
	back_gone();
	script_back(hv, "state", "5");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	assert_int_equal(port_fake_grants(), 0);
	assert_int_equal(port_fake_ports(), 0);
}

/* A flow's hash that picks this queue of so many. */
static uint32_t flow_of(unsigned queue, unsigned queues)
{
	return (uint32_t)(((uint64_t)queue << 32) / queues) + 1;
}

/* One packet of each queue, both ways. */
static void traffic(unsigned queues)
{
	struct netif_tx_request req;

	for (unsigned q = 0; q < queues; q++) {
		assert_int_equal(netfront_tx_alloc_flow(nf, flow_of(q, queues), bufs, 1), 1);
		assert_int_equal(bufs->queue, q);
		bufs->len = (uint16_t)(100 + q);
		assert_int_equal(netfront_tx(nf, bufs, 1), 1);
		assert_true(script_tx_take(&back[q], &req));
		assert_int_equal(req.size, 100 + q);
		script_tx_answer(&back[q], req.id, NETIF_RSP_OKAY);
		script_deliver(&back[q], "twenty bytes of data", 20);
		assert_int_equal(netfront_rx(nf, bufs, NETFRONT_BURST), 1);
		assert_int_equal(bufs->queue, q);
		netfront_rx_done(nf, bufs, 1);
		assert_true(netfront_arm(nf, false)); /* before it sleeps, all buffers are posted */
		assert_int_equal(back_ring_pending(&back[q].rx), 256);
		assert_int_equal(netfront_tx_room_flow(nf, flow_of(q, queues)), 256);
	}
}

static void test_negotiation(void **state)
{
	static const struct {
		unsigned wanted;
		const char *offer;
		unsigned agreed;
	} cases[] = { { 0, "8", 1 }, { 1, "8", 1 }, { 2, "8", 2 }, { 8, "8", 8 }, { 100, "8", 8 }, { 8, "2", 2 }, { 8, "1", 1 }, { 8, NULL, 1 },
		      { 8, "0", 1 }, { 8, "many", 1 }, { 2, "4294967297", 2 } };

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(setup(state), 0);
		make(cases[i].wanted);
		handshake(cases[i].offer, cases[i].agreed);
		traffic(cases[i].agreed);
		assert_int_equal(netfront_stats(nf)->tx_packets, cases[i].agreed);
		assert_int_equal(netfront_stats(nf)->rx_bytes, 20 * cases[i].agreed);
		if (i + 1 < sizeof(cases) / sizeof(cases[0]))
			assert_int_equal(teardown(state), 0);
	}
}

/* Each new back end offers another number; what a connection had in flight is counted, and no queue of it is left in XenStore. */
static void test_another_number_after_a_death(void **state)
{
	static const struct {
		const char *offer;
		unsigned agreed;
	} lives[] = { { "4", 4 }, { "2", 2 }, { NULL, 1 }, { "8", 8 }, { "1", 1 }, { "3", 3 } };

	(void)state;
	make(8);
	for (unsigned i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
		unsigned last = lives[i].agreed - 1;

		handshake(lives[i].offer, lives[i].agreed);
		traffic(lives[i].agreed);
		assert_int_equal(netfront_tx_alloc_flow(nf, flow_of(last, lives[i].agreed), bufs, 1), 1);
		bufs->len = 60;
		assert_int_equal(netfront_tx(nf, bufs, 1), 1); /* and is never answered */
		back_dies();
		assert_int_equal(netfront_stats(nf)->tx_lost, i + 1);
		assert_int_equal(netfront_tx(nf, bufs, 1), 0);
		netfront_rx_done(nf, bufs, 1);
	}
	assert_int_equal(netfront_stats(nf)->tx_packets, 4 + 2 + 1 + 8 + 1 + 3 + 6);
}

/* A busy page of a queue that the next connection does not have is freed all the same once it is let go. */
static void test_busy_page_of_a_lost_queue(void **state)
{
	struct hv_map_op map = { .domid = SCRIPT_DOMID };
	struct netif_rx_request req;
	struct hv_unmap_op unmap;

	(void)state;
	make(2);
	handshake("2", 2);
	assert_true(script_rx_take(&back[1], &req));
	map.gref = req.gref;
	assert_int_equal(hv->ops->map(hv, &map, 1), 0);
	back_gone();
	script_back(hv, "state", "5");
	netfront_step(nf);
	assert_int_equal(port_fake_grants(), 1);
	unmap = (struct hv_unmap_op){ .va = map.va, .handle = map.handle };
	assert_int_equal(hv->ops->unmap(hv, &unmap, 1), 0);
	handshake("1", 1);
}

/* Packets of 40 flows in turn, some of several buffers: each flow on one queue, in its order, one notification for each change of the queue. */
static void test_flows_keep_queue_and_order(void **state)
{
	uint16_t next[40] = { 0 };
	unsigned per_queue[4] = { 0 };

	(void)state;
	make(4);
	handshake("4", 4);
	for (unsigned round = 0; round < 5; round++) {
		struct netif_tx_request req;
		struct netif_tx_request rest;

		for (unsigned f = 0; f < 40; f++) {
			struct net_flow flow = { .kind = NET_FLOW_IPV4, .proto = NET_FLOW_PROTO_UDP, .addresses = 8, .len = 12, .bytes = { [9] = (uint8_t)f } };

			assert_int_equal(netfront_tx_alloc_flow(nf, net_flow_hash(&flow), &bufs[2 * f], 2), 2);
			assert_int_equal(bufs[2 * f].queue, net_flow_queue(net_flow_hash(&flow), 4));
			bufs[2 * f].len = (uint16_t)(100 + f);
			bufs[2 * f].flags = NETFRONT_MORE;
			bufs[2 * f + 1].len = (uint16_t)(1000 + round);
		}
		assert_int_equal(netfront_tx(nf, bufs, 80), 40);
		for (unsigned q = 0; q < 4; q++) {
			while (script_tx_take(&back[q], &req)) {
				unsigned f = req.size - 1100 - round;

				assert_true(script_tx_take(&back[q], &rest));
				assert_true(f < 40);
				assert_int_equal(rest.size, 1000 + round);
				assert_int_equal(next[f]++, round);
				per_queue[q]++;
				script_tx_answer(&back[q], req.id, NETIF_RSP_OKAY);
				script_tx_answer(&back[q], rest.id, NETIF_RSP_OKAY);
			}
			script_push(&back[q]);
		}
	}
	for (unsigned q = 0; q < 4; q++) {
		assert_true(per_queue[q] > 0);
		assert_int_equal(netfront_queue_stats(nf, q)->tx_packets, per_queue[q]);
	}
	assert_int_equal(per_queue[0] + per_queue[1] + per_queue[2] + per_queue[3], 200);
	for (unsigned q = 0; q < 4; q++)
		assert_int_equal(netfront_tx_room_flow(nf, flow_of(q, 4)), 256);
	assert_int_equal(netfront_tx_room(nf), 256);
}

/* A full queue does not keep the others from sending; a packet whose buffers are of two queues is dropped alone. */
static void test_queues_are_apart(void **state)
{
	(void)state;
	make(2);
	handshake("2", 2);
	assert_int_equal(netfront_tx_alloc_flow(nf, flow_of(1, 2), bufs, 300), 256);
	assert_int_equal(netfront_tx_room_flow(nf, flow_of(1, 2)), 0);
	assert_int_equal(netfront_tx_room(nf), 256);
	netfront_tx_free(nf, bufs, 256);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 1), 1);
	assert_int_equal(netfront_tx_alloc_flow(nf, flow_of(1, 2), bufs + 1, 2), 2);
	for (unsigned i = 0; i < 3; i++)
		bufs[i].len = 60;
	bufs[0].flags = NETFRONT_MORE;
	port_fake_notifies();
	assert_int_equal(netfront_tx(nf, bufs, 3), 1);
	assert_int_equal(port_fake_notifies(), 1);
	assert_int_equal(netfront_stats(nf)->tx_dropped, 1);
	assert_int_equal(netfront_tx_room(nf), 256);
	assert_int_equal(netfront_tx_room_flow(nf, flow_of(1, 2)), 255);
	bufs[2].queue = 200; /* nobody's */
	assert_int_equal(netfront_tx(nf, bufs + 2, 1), 0);
	netfront_tx_free(nf, bufs + 2, 1);
	netfront_rx_done(nf, bufs + 2, 1);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
}

/* A queue that always has something does not keep the others from being heard. */
static void test_rx_takes_turns(void **state)
{
	unsigned seen[2] = { 0 };

	(void)state;
	make(2);
	handshake("2", 2);
	for (unsigned i = 0; i < 100; i++) {
		script_deliver(&back[0], "twenty bytes of data", 20);
		script_deliver(&back[1], "twenty bytes of data", 20);
	}
	for (unsigned call = 0; call < 4; call++) {
		assert_int_equal(netfront_rx(nf, bufs, 25), 25);
		for (unsigned i = 0; i < 25; i++)
			seen[bufs[i].queue]++;
		netfront_rx_done(nf, bufs, 25);
	}
	assert_int_equal(seen[0], 50);
	assert_int_equal(seen[1], 50);
	assert_int_equal(netfront_queue_stats(nf, 1)->rx_packets, 50);
	assert_int_equal(netfront_rx(nf, bufs, 300), 100); /* both in one call */
	netfront_rx_done(nf, bufs, 100);
	assert_int_equal(back_ring_pending(&back[0].rx), 256);
	assert_int_equal(back_ring_pending(&back[1].rx), 256);
}

static void test_sleeps_only_when_all_are_idle(void **state)
{
	(void)state;
	make(2);
	handshake("2", 2);
	assert_true(netfront_arm(nf, true));
	script_deliver(&back[1], "twenty bytes of data", 20);
	assert_true(port_evtchn_take((evtchn_t)queue_number(1, "event-channel-rx")));
	assert_false(netfront_arm(nf, false));
	assert_int_equal(netfront_rx(nf, bufs, 64), 1);
	assert_true(netfront_arm(nf, false));
	script_deliver(&back[0], "twenty bytes of data", 20);
	assert_true(port_evtchn_take((evtchn_t)queue_number(0, "event-channel-rx")));
}

/* The last queue's lies close the vif as the first one's do. */
static void test_a_queue_that_lies(void **state)
{
	(void)state;
	make(2);
	for (unsigned ring = 0; ring < 2; ring++) {
		handshake("2", 2);
		shm_store_release(ring ? &back[1].rx.shared->rsp_prod : &back[1].tx.shared->rsp_prod, 999);
		assert_int_equal(ring ? netfront_rx(nf, bufs, 64) : netfront_tx_room_flow(nf, flow_of(1, 2)), 0);
		assert_int_equal(netfront_tx_alloc(nf, bufs, 1), 0);
		assert_false(netfront_arm(nf, true));
		assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
		back_gone();
		assert_int_equal(port_fake_ports(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_negotiation, teardown),
		cmocka_unit_test_setup_teardown(test_another_number_after_a_death, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy_page_of_a_lost_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flows_keep_queue_and_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queues_are_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rx_takes_turns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sleeps_only_when_all_are_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_queue_that_lies, setup, teardown),
	};

	return cmocka_run_group_tests_name("frontend/netfront_queues", tests, NULL, NULL);
}
