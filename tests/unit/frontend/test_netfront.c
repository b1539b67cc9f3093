/* SPDX-License-Identifier: BSD-3-Clause */
/* frontend/netfront.c: bursts both ways, many fragments, offloads, full rings, events, and every lie that a back end can tell. */
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
static struct netfront_buf bufs[300];

static int setup(void **state)
{
	struct netfront_options options = { .csum_blank = true, .gso_tcpv4 = true };

	(void)state;
	memset(&back, 0, sizeof(back));
	if (hv_fake_open(&hv))
		return -1;
	port_fake_open(hv, SCRIPT_DOMID);
	xb = xenbus_create();
	nf = netfront_create(xb, 0, &options);
	script_device(hv);
	netfront_step(nf);
	script_back(hv, "state", "2");
	netfront_step(nf);
	if (script_connect(&back, hv) || netfront_step(nf) != NETFRONT_CONNECTED)
		return -1;
	netfront_arm(nf, false);
	port_fake_notifies();
	return 0;
}

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

/* The vif has been closed because of a lie, and nothing else has happened. */
static void assert_closed(void)
{
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	assert_int_equal(script_front_number(hv, "state"), XenbusStateClosed);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 1), 0);
	assert_int_equal(netfront_rx(nf, bufs, 64), 0);
	assert_int_equal(port_fake_ports(), 0);
}

/* Fill and send n packets of len bytes, the first byte of each its number. */
static void send(unsigned n, uint16_t len)
{
	assert_int_equal(netfront_tx_alloc(nf, bufs, n), n);
	for (unsigned i = 0; i < n; i++) {
		memset(bufs[i].data, 0, len);
		bufs[i].data[0] = (uint8_t)i;
		bufs[i].len = len;
	}
	assert_int_equal(netfront_tx(nf, bufs, n), n);
}

static void test_tx_burst(void **state)
{
	struct netif_tx_request req;
	uint8_t frame[64];
	unsigned offsets = 0;
	uint64_t seen = 0;

	(void)state;
	send(32, 64);
	assert_int_equal(port_fake_notifies(), 1);
	for (unsigned i = 0; i < 32; i++) {
		assert_true(script_tx_take(&back, &req));
		assert_int_equal(req.size, 64);
		assert_int_equal(req.flags, 0);
		assert_int_equal(script_copy_in(&back, req.gref, req.offset, frame, 64), GNTST_okay);
		assert_int_equal(frame[0], i);
		offsets += !(seen >> (req.offset / 64 % 64) & 1);
		seen |= 1ull << (req.offset / 64 % 64);
		assert_int_not_equal(script_copy_out(&back, req.gref, req.offset, frame, 1), GNTST_okay); /* granted read-only */
		script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
	}
	assert_false(script_tx_take(&back, &req));
	assert_true(offsets >= 30); /* spread over the cache sets */
	script_push(&back);
	assert_int_equal(netfront_stats(nf)->tx_packets, 32);
	assert_int_equal(netfront_stats(nf)->tx_bytes, 32 * 64);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 300), 256); /* all are back */
	netfront_tx_free(nf, bufs, 256);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 300), 256);
	netfront_tx_free(nf, bufs, 256);
}

/* A packet may start elsewhere in its page than where netfront proposed, and be as long as the page then. */
static void test_tx_moved(void **state)
{
	struct netif_tx_request req;

	(void)state;
	assert_int_equal(netfront_tx_alloc(nf, bufs, 2), 2);
	for (unsigned i = 0; i < 2; i++) {
		bufs[i].data -= (uintptr_t)bufs[i].data % SLUICE_PAGE_SIZE;
		bufs[i].data += 8 * i;
		bufs[i].len = SLUICE_PAGE_SIZE;
	}
	assert_int_equal(netfront_tx(nf, bufs, 2), 1); /* the second one does not fit its page */
	assert_true(script_tx_take(&back, &req));
	assert_int_equal(req.offset, 0);
	assert_int_equal(req.size, SLUICE_PAGE_SIZE);
	assert_false(script_tx_take(&back, &req));
	assert_int_equal(netfront_stats(nf)->tx_dropped, 1);
}

static void test_tx_notifies_only_when_asked(void **state)
{
	struct netif_tx_request req;

	(void)state;
	send(1, 60);
	assert_int_equal(port_fake_notifies(), 1);
	send(8, 60); /* the back end has not asked again */
	assert_int_equal(port_fake_notifies(), 0);
	while (script_tx_take(&back, &req))
		;
	assert_int_equal(back_ring_arm(&back.tx), 0);
	send(8, 60);
	assert_int_equal(port_fake_notifies(), 1);
}

static void test_tx_ring_full(void **state)
{
	struct netif_tx_request req;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		send(32, 1514);
	assert_int_equal(netfront_tx_room(nf), 0);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 1), 0);
	assert_true(netfront_arm(nf, true));
	for (unsigned i = 0; i < 127; i++) { /* a full ring wants to hear when half of it has been answered */
		script_tx_take(&back, &req);
		script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
	}
	script_push(&back);
	assert_false(port_evtchn_take((evtchn_t)script_front_number(hv, "event-channel-tx")));
	script_tx_take(&back, &req);
	script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
	script_push(&back);
	assert_true(port_evtchn_take((evtchn_t)script_front_number(hv, "event-channel-tx")));
	assert_int_equal(netfront_tx_room(nf), 128);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 300), 128);
	netfront_tx_free(nf, bufs, 128);
}

static void test_tx_answers_in_any_order(void **state)
{
	struct netif_tx_request reqs[64];

	(void)state;
	for (unsigned round = 0; round < 20; round++) {
		send(64, 100);
		for (unsigned i = 0; i < 64; i++)
			assert_true(script_tx_take(&back, &reqs[i]));
		for (unsigned i = 0; i < 64; i++)
			script_tx_answer(&back, reqs[(i * 37 + round) % 64].id, i % 2 ? NETIF_RSP_OKAY : NETIF_RSP_ERROR);
		script_push(&back);
	}
	assert_int_equal(netfront_tx_alloc(nf, bufs, 256), 256);
	netfront_tx_free(nf, bufs, 256);
	assert_int_equal(netfront_stats(nf)->tx_errors, 20 * 32);
}

static void test_tx_fragments_and_gso(void **state)
{
	struct netif_tx_request req;
	struct netif_extra_info extra;
	uint16_t ids[3];

	(void)state;
	assert_int_equal(netfront_tx_alloc(nf, bufs, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		bufs[i].len = (uint16_t)(1000 + i);
		bufs[i].flags = i < 2 ? NETFRONT_MORE : 0;
	}
	bufs[0].flags |= NETFRONT_CSUM_BLANK;
	bufs[0].gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
	bufs[0].gso_size = 1448;
	assert_int_equal(netfront_tx(nf, bufs, 3), 1);
	assert_true(script_tx_take(&back, &req));
	assert_int_equal(req.size, 3003); /* the first slot has the whole packet's size */
	assert_int_equal(req.flags, NETTXF_csum_blank | NETTXF_data_validated | NETTXF_extra_info | NETTXF_more_data);
	ids[0] = req.id;
	shm_copy_in(&extra, back_ring_slot(&back.tx, 0), sizeof(extra));
	back_ring_consume(&back.tx, 1);
	assert_int_equal(extra.type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(extra.u.gso.size, 1448);
	assert_int_equal(extra.u.gso.type, XEN_NETIF_GSO_TYPE_TCPV4);
	for (unsigned i = 1; i < 3; i++) {
		assert_true(script_tx_take(&back, &req));
		assert_int_equal(req.size, 1000 + i);
		assert_int_equal(req.flags, i == 1 ? NETTXF_more_data : 0);
		ids[i] = req.id;
	}
	assert_false(script_tx_take(&back, &req));
	script_tx_answer(&back, ids[0], NETIF_RSP_OKAY);
	script_tx_answer(&back, 0xbeef, NETIF_RSP_NULL); /* the extra-info slot's: its id means nothing */
	script_tx_answer(&back, ids[1], NETIF_RSP_OKAY);
	script_tx_answer(&back, ids[2], NETIF_RSP_OKAY);
	script_push(&back);
	assert_int_equal(netfront_tx_alloc(nf, bufs, 256), 256);
	netfront_tx_free(nf, bufs, 256);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
}

/* Packets that cannot be sent are dropped alone; their buffers come back. */
static void test_tx_drops_what_it_cannot_send(void **state)
{
	struct netif_tx_request req;

	(void)state;
	assert_int_equal(netfront_tx_alloc(nf, bufs, 30), 30);
	for (unsigned i = 0; i < 30; i++)
		bufs[i].len = 60;
	bufs[1].len = 13;                                             /* not even an Ethernet header */
	bufs[2].len = 4097;                                           /* beyond its page */
	bufs[3].len = 0;
	for (unsigned i = 5; i < 25; i++)                             /* 21 fragments */
		bufs[i].flags = NETFRONT_MORE;
	bufs[26].gso_type = XEN_NETIF_GSO_TYPE_TCPV6;                 /* not offered by this back end */
	bufs[27].id = bufs[28].id;                                    /* the same buffer twice */
	assert_int_equal(netfront_tx(nf, bufs, 30), 4);               /* 0, 4, 27, 29 */
	assert_int_equal(netfront_stats(nf)->tx_dropped, 6);          /* 1, 2, 3, 5 to 25, 26, 28 */
	for (unsigned i = 0; i < 4; i++)
		assert_true(script_tx_take(&back, &req));
	assert_false(script_tx_take(&back, &req));
	assert_int_equal(netfront_tx_alloc(nf, bufs, 256), 251);      /* four in flight, and one whose id the caller lost */
	bufs[0].id = 9999;
	assert_int_equal(netfront_tx(nf, bufs, 1), 0);
	netfront_tx_free(nf, bufs + 1, 250);
}

/* A packet with an extra-info slot takes two slots of the ring and one buffer: the ring is full with half of the buffers free, and empty again when all is answered. */
static void test_tx_gso_fills_the_ring(void **state)
{
	struct netif_tx_request req;

	(void)state;
	for (unsigned i = 0; i < 4 * 128; i++) {
		assert_int_equal(netfront_tx_alloc(nf, bufs, 1), 1);
		bufs[0].len = 1000;
		bufs[0].flags = NETFRONT_CSUM_BLANK;
		bufs[0].gso_type = XEN_NETIF_GSO_TYPE_TCPV4;
		bufs[0].gso_size = 500;
		assert_int_equal(netfront_tx(nf, bufs, 1), 1);
		if (i % 128 != 127)
			continue;
		for (unsigned k = 0; k < 128; k++) {
			assert_true(script_tx_take(&back, &req));
			back_ring_consume(&back.tx, 1);
			script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
			script_tx_answer(&back, 0, NETIF_RSP_NULL);
		}
		script_push(&back);
	}
	assert_int_equal(netfront_stats(nf)->tx_dropped, 0);
}

static void test_tx_responses_that_lie(void **state)
{
	static const struct {
		uint16_t id;
		int16_t status;
	} lies[] = { { 512, 0 }, { 511, 0 }, { 65535, 0 }, { 7, 0 }, { 7, -1 } };
	struct netif_tx_request req;

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		setup(state);
		send(1, 60);
		script_tx_take(&back, &req);
		script_tx_answer(&back, lies[i].id == req.id ? (uint16_t)(req.id + 1) : lies[i].id, lies[i].status);
		script_push(&back);
		assert_int_equal(netfront_tx_room(nf), 0);
		assert_closed();
		assert_int_equal(netfront_stats(nf)->tx_lost, 1);
		assert_int_equal(teardown(state), 0);
	}
}

static void test_tx_answered_twice(void **state)
{
	struct netif_tx_request req;

	(void)state;
	send(2, 60);
	script_tx_take(&back, &req);
	script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
	script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
	script_push(&back);
	assert_int_equal(netfront_tx_room(nf), 0);
	assert_closed();
}

static void test_response_indices_that_lie(void **state)
{
	static const uint32_t lies[] = { 1, 2, 257, 0x80000000u, 0xffffffffu };

	for (unsigned ring = 0; ring < 2; ring++) {
		for (unsigned i = ring ? 2 : 0; i < sizeof(lies) / sizeof(lies[0]); i++) { /* on rx, 1 and 2 are answers with ids 0 */
			setup(state);
			shm_store_release(ring ? &back.rx.shared->rsp_prod : &back.tx.shared->rsp_prod, lies[i]);
			assert_int_equal(ring ? netfront_rx(nf, bufs, 64) : netfront_tx_room(nf), 0);
			assert_false(netfront_arm(nf, true));
			assert_closed();
			assert_int_equal(teardown(state), 0);
		}
	}
}

/* ---- rx ---- */

static void test_rx_burst(void **state)
{
	uint8_t frame[1514];
	unsigned n;

	(void)state;
	for (unsigned round = 0; round < 20; round++) { /* several times around the ring */
		for (unsigned i = 0; i < 50; i++) {
			memset(frame, (int)(round + i), sizeof(frame));
			script_deliver(&back, frame, i % 2 ? 60 : 1514);
		}
		n = netfront_rx(nf, bufs, 64);
		assert_int_equal(n, 50);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(bufs[i].len, i % 2 ? 60 : 1514);
			assert_int_equal(bufs[i].data[0], round + i);
			assert_int_equal(bufs[i].data[bufs[i].len - 1], round + i);
			assert_int_equal(bufs[i].flags, 0);
		}
		assert_int_equal(netfront_rx(nf, bufs + 64, 64), 0);
		netfront_rx_done(nf, bufs, n);
		assert_int_equal(back_ring_pending(&back.rx), 256);
	}
	assert_int_equal(netfront_stats(nf)->rx_packets, 1000);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
}

static void test_rx_buffers_given_back_twice(void **state)
{
	uint8_t frame[60] = { 0 };

	(void)state;
	script_deliver(&back, frame, 60);
	script_deliver(&back, frame, 60);
	assert_int_equal(netfront_rx(nf, bufs, 64), 2);
	netfront_rx_done(nf, bufs, 1);
	netfront_rx_done(nf, bufs, 1);
	bufs[5].id = 9999;
	netfront_rx_done(nf, bufs + 5, 1);
	assert_true(netfront_arm(nf, false)); /* posts what was held back */
	assert_int_equal(back_ring_pending(&back.rx), 255);
	netfront_rx_done(nf, bufs + 1, 1);
	assert_true(netfront_arm(nf, false));
	assert_int_equal(back_ring_pending(&back.rx), 256);
}

/* One by one they are posted in bunches, as long as the back end has plenty; and each at once when it has not. */
static void test_rx_buffers_are_posted_in_bunches(void **state)
{
	uint8_t frame[60] = { 0 };

	(void)state;
	for (unsigned done = 1; done <= 40; done++) {
		script_deliver(&back, frame, 60);
		assert_int_equal(netfront_rx(nf, bufs, 64), 1);
		netfront_rx_done(nf, bufs, 1);
		assert_int_equal(back_ring_pending(&back.rx), 256 - done % 16);
	}
	for (unsigned i = 0; i < 136; i++)
		script_deliver(&back, frame, 60);
	assert_int_equal(netfront_rx(nf, bufs, 136), 136);
	for (unsigned done = 1; done <= 8; done++) {
		netfront_rx_done(nf, bufs + done - 1, 1);
		assert_int_equal(back_ring_pending(&back.rx), 256 - 136 + done);
	}
}

static void test_rx_checksum_flags(void **state)
{
	struct netif_rx_request req;

	(void)state;
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 0, NETRXF_csum_blank | NETRXF_data_validated, 60);
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 4036, NETRXF_data_validated, 60); /* up to the page's last byte */
	script_push(&back);
	assert_int_equal(netfront_rx(nf, bufs, 64), 2);
	assert_int_equal(bufs[0].flags, NETFRONT_CSUM_BLANK | NETFRONT_DATA_VALIDATED);
	assert_int_equal(bufs[1].flags, NETFRONT_DATA_VALIDATED);
}

/* First slot, an extra-info slot, n - 1 further slots of 1000 bytes. */
static void deliver_large(unsigned frags)
{
	struct netif_extra_info extra = { .type = XEN_NETIF_EXTRA_TYPE_GSO, .u.gso = { .size = 1448, .type = XEN_NETIF_GSO_TYPE_TCPV4 } };
	struct netif_rx_request req;

	for (unsigned i = 0; i < frags; i++) {
		uint16_t more = i + 1 < frags ? NETRXF_more_data : 0;
		uint8_t first = (uint8_t)i;

		script_rx_take(&back, &req);
		script_copy_out(&back, req.gref, 0, &first, 1);
		script_rx_answer(&back, req.id, 0, i ? more : more | NETRXF_extra_info | NETRXF_csum_blank, 1000);
		if (i)
			continue;
		script_rx_take(&back, &req);
		script_rx_extra(&back, &extra);
	}
	script_push(&back);
}

static void test_rx_fragments_and_gso(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 40; round++) {
		deliver_large(18);
		script_deliver(&back, "a packet of its own, right behind it", 36);
		assert_int_equal(netfront_rx(nf, bufs, 64), 19);
		assert_int_equal(bufs[0].gso_type, XEN_NETIF_GSO_TYPE_TCPV4);
		assert_int_equal(bufs[0].gso_size, 1448);
		for (unsigned i = 0; i < 18; i++) {
			assert_int_equal(bufs[i].len, 1000);
			assert_int_equal(bufs[i].data[0], i);
			assert_int_equal(bufs[i].flags & NETFRONT_MORE, i < 17 ? NETFRONT_MORE : 0);
		}
		assert_true(bufs[0].flags & NETFRONT_CSUM_BLANK);
		assert_int_equal(bufs[18].len, 36);
		assert_int_equal(bufs[18].gso_type, XEN_NETIF_GSO_TYPE_NONE);
		netfront_rx_done(nf, bufs, 19);
		assert_int_equal(back_ring_pending(&back.rx), 256); /* the extra-info slot's page, too, is back */
	}
	assert_int_equal(netfront_stats(nf)->rx_packets, 80);
	assert_int_equal(netfront_stats(nf)->rx_bytes, 40 * 18036);
}

static void test_rx_waits_for_room(void **state)
{
	(void)state;
	script_deliver(&back, "twenty bytes of data", 20);
	deliver_large(10);
	assert_int_equal(netfront_rx(nf, bufs, 10), 1);
	assert_int_equal(netfront_rx(nf, bufs, 9), 0);
	assert_int_equal(netfront_rx(nf, bufs, NETFRONT_RX_MIN), 10);
}

static void test_rx_errors_cost_only_themselves(void **state)
{
	struct netif_rx_request req;

	(void)state;
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 0, 0, NETIF_RSP_ERROR);
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 0, 0, 0);
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 0, 0, 13);
	script_rx_take(&back, &req); /* a fragment that failed spoils its packet */
	script_rx_answer(&back, req.id, 0, NETRXF_more_data, 1000);
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 0, 0, NETIF_RSP_ERROR);
	script_deliver(&back, "twenty bytes of data", 20);
	assert_int_equal(netfront_rx(nf, bufs, 64), 1);
	assert_memory_equal(bufs[0].data, "twenty", 6);
	netfront_rx_done(nf, bufs, 1);
	assert_true(netfront_arm(nf, false));
	assert_int_equal(back_ring_pending(&back.rx), 256);
	assert_int_equal(netfront_stats(nf)->rx_errors, 4);
	assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
}

static void test_rx_responses_that_lie(void **state)
{
	static const struct {
		uint16_t id_off, offset, flags;
		int16_t status;
	} lies[] = {
		{ 1, 0, 0, 60 },     { 0, 4037, 0, 60 },   { 0, 4097, 0, 0 }, { 0, 65535, 0, 60 }, { 0, 0, 0, 4097 }, { 0, 0, 0, 32767 },
		{ 0, 1, 0, 4096 },   { 0, 0, NETRXF_more_data, 60 }, /* and nothing follows */
		{ 0, 0, NETRXF_extra_info, 60 }, { 1, 0, NETRXF_more_data, 60 },
	};
	struct netif_rx_request req;

	for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		setup(state);
		script_deliver(&back, "twenty bytes of data", 20);
		script_rx_take(&back, &req);
		script_rx_answer(&back, (uint16_t)(req.id + lies[i].id_off), lies[i].offset, lies[i].flags, lies[i].status);
		script_push(&back);
		assert_int_equal(netfront_rx(nf, bufs, 64), 1); /* what came before the lie was true */
		netfront_rx_done(nf, bufs, 1);
		assert_closed();
		assert_int_equal(port_fake_errors(), 1);
		assert_int_equal(teardown(state), 0);
	}
}

static void test_rx_packet_without_end(void **state)
{
	struct netif_rx_request req;

	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		script_rx_take(&back, &req);
		script_rx_answer(&back, req.id, 0, NETRXF_more_data, 1000);
	}
	script_push(&back);
	assert_int_equal(netfront_rx(nf, bufs, 300), 0);
	assert_closed();
}

static void test_rx_extras_without_end(void **state)
{
	struct netif_extra_info extra = { .type = XEN_NETIF_EXTRA_TYPE_GSO, .flags = XEN_NETIF_EXTRA_FLAG_MORE, .u.gso = { .size = 1448, .type = 1 } };
	struct netif_rx_request req;

	(void)state;
	script_rx_take(&back, &req);
	script_rx_answer(&back, req.id, 0, NETRXF_extra_info, 1000);
	for (unsigned i = 0; i < 255; i++) {
		script_rx_take(&back, &req);
		script_rx_extra(&back, &extra);
	}
	script_push(&back);
	assert_int_equal(netfront_rx(nf, bufs, 300), 0);
	assert_closed();
}

/* A back end that goes on lying after each new start is not listened to for ever. */
static void test_violations_are_bounded(void **state)
{
	unsigned lives = 0;

	(void)state;
	while (lives < 10) {
		lives++;
		shm_store_release(&back.tx.shared->rsp_prod, 999);
		netfront_tx_room(nf);
		assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
		script_disconnect(&back);
		script_back(hv, "state", "6");
		assert_int_equal(netfront_step(nf), NETFRONT_CLOSED); /* Closed and online does not reopen it by itself */
		script_back(hv, "state", "2");
		if (netfront_step(nf) == NETFRONT_CLOSED)
			break;
		assert_int_equal(script_connect(&back, hv), 0);
		assert_int_equal(netfront_step(nf), NETFRONT_CONNECTED);
	}
	assert_int_equal(lives, 3);
}

/* ---- sleeping ---- */

static void test_arm(void **state)
{
	evtchn_t rx = (evtchn_t)script_front_number(hv, "event-channel-rx");

	(void)state;
	assert_true(netfront_arm(nf, false));
	assert_false(port_evtchn_take(rx));
	script_deliver(&back, "twenty bytes of data", 20);
	assert_true(port_evtchn_take(rx));
	assert_false(netfront_arm(nf, false)); /* something waits: do not sleep */
	assert_int_equal(netfront_rx(nf, bufs, 64), 1);
	script_deliver(&back, "twenty bytes of data", 20); /* not armed again: silent */
	assert_false(port_evtchn_take(rx));
	assert_int_equal(netfront_rx(nf, bufs + 1, 64), 1);
	assert_true(netfront_arm(nf, true)); /* nothing in flight: nothing to wait for on tx */
	script_back(hv, "state", "5");
	assert_false(netfront_arm(nf, false)); /* the back end moved: step first */
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	assert_true(netfront_arm(nf, false));
}

static void test_in_flight_packets_are_counted_as_lost(void **state)
{
	(void)state;
	send(10, 60);
	script_disconnect(&back);
	script_back(hv, "state", "5");
	assert_int_equal(netfront_step(nf), NETFRONT_CLOSED);
	assert_int_equal(netfront_stats(nf)->tx_lost, 10);
	assert_int_equal(netfront_tx(nf, bufs, 10), 0); /* buffers of the old connection are nobody's */
	assert_true(netfront_arm(nf, true));
}

/* Nobody has looked at the answers yet when the connection ends. */
static void test_answered_packets_are_not_lost(void **state)
{
	struct netif_tx_request req;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		send(1, 60);
		assert_true(script_tx_take(&back, &req));
		if (i < 97)
			script_tx_answer(&back, req.id, NETIF_RSP_OKAY);
		script_push(&back);
	}
	script_disconnect(&back);
	script_back(hv, "state", "5");
	netfront_step(nf);
	assert_int_equal(netfront_stats(nf)->tx_lost, 3);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tx_burst),
		T(test_answered_packets_are_not_lost),
		T(test_tx_moved),
		T(test_tx_notifies_only_when_asked),
		T(test_tx_ring_full),
		T(test_tx_answers_in_any_order),
		T(test_tx_fragments_and_gso),
		T(test_tx_drops_what_it_cannot_send),
		T(test_tx_gso_fills_the_ring),
		cmocka_unit_test(test_tx_responses_that_lie),
		T(test_tx_answered_twice),
		cmocka_unit_test(test_response_indices_that_lie),
		T(test_rx_burst),
		T(test_rx_buffers_given_back_twice),
		T(test_rx_buffers_are_posted_in_bunches),
		T(test_rx_checksum_flags),
		T(test_rx_fragments_and_gso),
		T(test_rx_waits_for_room),
		T(test_rx_errors_cost_only_themselves),
		cmocka_unit_test(test_rx_responses_that_lie),
		T(test_rx_packet_without_end),
		T(test_rx_extras_without_end),
		T(test_violations_are_bounded),
		T(test_arm),
		T(test_in_flight_packets_are_counted_as_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
