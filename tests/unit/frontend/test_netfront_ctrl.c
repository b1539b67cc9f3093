/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/netfront_ctrl.c: what is asked on the control ring, of a back end that knows static grants, one that does not, a new one and a lying one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <frontend/netfront.h>
#include <frontend/netfront_private.h>
#include <tests/support/netback_script.h>
#include <tests/support/port_fake.h>

static struct hv *hv;
static struct xenbus *xb;
static struct netfront *nf;
static struct netback_script back;
static struct back_ring ring;
static evtchn_t port;
static void *page;

static int setup(void **state)
{
	struct netfront_options options = { .csum_blank = true };

	(void)state;
	memset(&back, 0, sizeof(back));
	page = NULL;
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, SCRIPT_DOMID);
	xb = xenbus_create();
	nf = netfront_create(xb, 0, &options);
	script_device(hv);
	script_back(hv, "feature-ctrl-ring", "1");
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	return nf ? 0 : -1;
}

/* A user who wants copies: no control ring, whatever the back end offers. */
static void test_no_static_grants_wanted(void **state)
{
	struct netfront_options options = { .no_static = true };

	(void)state;
	netfront_destroy(nf);
	nf = netfront_create(xb, 0, &options);
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_front_number(hv, "ctrl-ring-ref"), -1);
	assert_int_equal(script_front_number(hv, "event-channel-ctrl"), -1);
	assert_int_equal(script_connect(&back, hv), 0);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
}

static int teardown(void **state)
{
	unsigned left;

	(void)state;
	if (page)
		hv->ops->unmap_ring(hv, page, 1);
	script_disconnect(&back);
	netfront_destroy(nf);
	xenbus_destroy(xb);
	left = port_fake_pages() + port_fake_grants() + port_fake_ports();
	port_fake_close();
	hv->ops->close(hv);
	return left ? -1 : 0;
}

static void connect_ctrl(void)
{
	gref_t gref = (gref_t)script_front_number(hv, "ctrl-ring-ref");

	assert_int_equal(hv->ops->map_ring(hv, SCRIPT_DOMID, &gref, 1, &page), 0);
	assert_int_equal(hv->ops->evtchn_bind(back.channel, SCRIPT_DOMID, (evtchn_t)script_front_number(hv, "event-channel-ctrl"), &port), 0);
	assert_int_equal(back_ring_attach(&ring, page, 1, sizeof(union xen_netif_ctrl_sring_entry)), 0);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	netfront_step(nf);
}

static void connect_back(void)
{
	assert_int_equal(script_connect(&back, hv), 0);
	connect_ctrl();
}

static struct xen_netif_ctrl_request take(void)
{
	struct xen_netif_ctrl_request req;

	assert_int_equal(back_ring_pending(&ring), 1);
	back_ring_read(&ring, 0, &req, sizeof(req));
	back_ring_consume(&ring, 1);
	return req;
}

static void answer(const struct xen_netif_ctrl_request *req, uint32_t status, uint32_t data)
{
	struct xen_netif_ctrl_response rsp = { .id = req->id, .type = req->type, .status = status, .data = data };

	back_ring_put(&ring, &rsp, sizeof(rsp));
	assert_false(back_ring_push(&ring)); /* it wants no event for an answer */
	netfront_step(nf);
}

/* The message that asks to add a queue's pages from `first` on: n of them. */
static struct xen_netif_ctrl_request take_addition(uint32_t queue, uint32_t first, uint32_t n)
{
	struct xen_netif_ctrl_request req = take();
	struct xen_netif_gref list[NETFRONT_TX_BUFS];

	assert_int_equal(req.type, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING);
	assert_int_equal(req.data[0], queue);
	assert_int_equal(req.data[2], n);
	assert_int_equal(script_copy_in(&back, req.data[1], 0, list, (uint16_t)(n * sizeof(list[0]))), 0);
	for (uint32_t i = 0; i < n; i++) {
		bool tx = first + i < NETFRONT_TX_BUFS;

		assert_int_equal(list[i].ref, tx ? nf->queue[queue].tx_pool.gref[first + i] : nf->queue[queue].rx_pool.gref[first + i - NETFRONT_TX_BUFS]);
		assert_int_equal(list[i].flags, tx ? XEN_NETIF_CTRLF_GREF_readonly : 0);
	}
	return req;
}

/* In as many messages as it takes. */
static void test_all_pages_are_added(void **state)
{
	struct xen_netif_ctrl_request req;

	(void)state;
	connect_back();
	req = take();
	assert_int_equal(req.type, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 1024);
	req = take_addition(0, 0, 512);
	assert_int_equal(netfront_stats(nf)->static_pages, 0);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
	assert_int_equal(netfront_stats(nf)->static_pages, 0); /* not before all are there */
	req = take_addition(0, 512, NETFRONT_PAGES - 512);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
	assert_int_equal(netfront_stats(nf)->static_pages, NETFRONT_PAGES);
	netfront_step(nf);
	assert_int_equal(back_ring_pending(&ring), 0);
}

/* Each queue's pages in messages of their own, one after the other; a queue that is refused is not the end of it, and a new back end is asked about all. */
static void test_pages_of_two_queues(void **state)
{
	struct netfront_options options = { .queues = 2 };
	struct netback_script second;

	(void)state;
	netfront_destroy(nf);
	script_back(hv, "multi-queue-max-queues", "8");
	nf = netfront_create(xb, 0, &options);
	script_back(hv, "state", "2");
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTING);
	assert_int_equal(script_connect_queue(&second, hv, "queue-1/"), 0);
	assert_int_equal(script_connect_queue(&back, hv, "queue-0/"), 0);
	script_back(hv, "state", "4");
	connect_ctrl();
	for (unsigned life = 0; life < 2; life++) {
		for (unsigned q = 0; q < 2; q++) {
			struct xen_netif_ctrl_request req = take();

			assert_int_equal(req.type, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
			assert_int_equal(req.data[0], q);
			answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 1024);
			req = take_addition(q, 0, 512);
			answer(&req, life && !q ? XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER : XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
			if (life && !q)
				continue;
			req = take_addition(q, 512, NETFRONT_PAGES - 512);
			answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
		}
		assert_int_equal(back_ring_pending(&ring), 0);
		assert_int_equal(netfront_stats(nf)->static_pages, (life ? 1 : 2) * NETFRONT_PAGES);
		hv->ops->evtchn_notify(back.channel, port);
		netfront_step(nf);
	}
	script_disconnect(&second);
}

static void test_a_small_table(void **state)
{
	struct xen_netif_ctrl_request req;

	(void)state;
	connect_back();
	req = take();
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 40);
	req = take();
	assert_int_equal(req.data[2], 40);
	answer(&req, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER, 0);
	assert_int_equal(netfront_stats(nf)->static_pages, 0);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	assert_int_equal(back_ring_pending(&ring), 0);
}

static void test_a_back_end_that_does_not_know(void **state)
{
	struct xen_netif_ctrl_request req;

	(void)state;
	connect_back();
	req = take();
	answer(&req, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED, 1024);
	assert_int_equal(back_ring_pending(&ring), 0);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	assert_int_equal(port_fake_errors(), 0);
}

static void test_no_answer_at_all(void **state)
{
	struct netfront_buf buf;

	(void)state;
	connect_back();
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	assert_int_equal(back_ring_pending(&ring), 1);
	assert_int_equal(netfront_tx_alloc(nf, &buf, 1), 1);
	buf.len = 60;
	assert_int_equal(netfront_tx(nf, &buf, 1), 1);
	assert_true(netfront_arm(nf, false));
}

/* An event without an answer: whoever adopted the rings is asked as the one before was. */
static void test_a_new_back_end(void **state)
{
	struct xen_netif_ctrl_request req;

	(void)state;
	connect_back();
	req = take();
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 1024);
	for (unsigned message = 0; message < 2; message++) {
		req = take();
		answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
	}
	hv->ops->evtchn_notify(back.channel, port);
	netfront_step(nf);
	req = take();
	assert_int_equal(req.type, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	hv->ops->evtchn_notify(back.channel, port); /* while a message is under way: not another */
	netfront_step(nf);
	assert_int_equal(back_ring_pending(&ring), 0);
}

/* It dies between two messages that add pages: the new one finds the second in the ring, and knows nothing of the first. */
static void test_a_new_back_end_half_way(void **state)
{
	struct xen_netif_ctrl_request req;

	(void)state;
	connect_back();
	req = take();
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 1024);
	req = take_addition(0, 0, 512);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
	hv->ops->evtchn_notify(back.channel, port);
	netfront_step(nf);
	req = take_addition(0, 512, NETFRONT_PAGES - 512);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
	netfront_step(nf);
	req = take();
	assert_int_equal(req.type, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 1024);
	req = take_addition(0, 0, 512);
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 0);
	req = take_addition(0, 512, NETFRONT_PAGES - 512);
	answer(&req, XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER, 0); /* it has them already */
	assert_int_equal(netfront_stats(nf)->static_pages, NETFRONT_PAGES);
	netfront_step(nf);
	assert_int_equal(back_ring_pending(&ring), 0);
}

static void test_lies(void **state)
{
	struct xen_netif_ctrl_request req;

	(void)state;
	connect_back();
	req = take();
	req.id ^= 1;
	answer(&req, XEN_NETIF_CTRL_STATUS_SUCCESS, 1024);
	netfront_step(nf);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
}

static void test_index_out_of_range(void **state)
{
	(void)state;
	connect_back();
	shm_store_release(&ring.shared->rsp_prod, 2);
	netfront_step(nf);
	netfront_step(nf);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_pages_are_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pages_of_two_queues, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_small_table, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_back_end_that_does_not_know, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_answer_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_new_back_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_new_back_end_half_way, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_static_grants_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lies, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index_out_of_range, setup, teardown),
	};

	return cmocka_run_group_tests_name("frontend/netfront_ctrl", tests, NULL, NULL);
}
