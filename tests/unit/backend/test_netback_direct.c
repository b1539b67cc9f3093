/* SPDX-License-Identifier: BSD-3-Clause */
/* From guest to guest past mbufs: that packets go this way, every length and not a byte more, in order with those that do not, and what has to stay out of it. */
#include <tests/support/netback_world.h>
#include <tests/support/page_watch.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define RX_BYTES (FAKE_GUEST_BUFFERS * SLUICE_PAGE_SIZE)
#define UNTOUCHED 0xee

static struct world w;
static struct fake_guest a, b, c;
static uint8_t frame[SLUICE_PAGE_SIZE], got[NET_PACKET_MAX];
static struct net_packet p;

/* The bridge knows all three. */
static void let_learn(void)
{
	world_assert_traffic(&w, &a, &b);
	world_assert_traffic(&w, &b, &c);
	fake_guest_take_tx(&a);
	fake_guest_take_tx(&b);
	fake_guest_take_tx(&c);
}

static int setup(void **state)
{
	(void)state;
	fake_guest_static = true;
	world_create(&w);
	world_add_guest(&w, &a, 1);
	world_add_guest(&w, &b, 2);
	world_add_guest(&w, &c, 3);
	world_vif(&w, &a)->mtu = world_vif(&w, &b)->mtu = 1500;
	let_learn();
	a.tx_ok = a.tx_errors = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

static void send(uint32_t len, domid_t to, uint8_t mark)
{
	world_frame(frame, len, 1, to);
	frame[20] = mark;
	fake_guest_send(&a, frame, len, 0, NULL);
}

static void assert_received(struct fake_guest *g, uint32_t len, uint8_t mark)
{
	assert_int_equal(fake_guest_receive(g, got, sizeof(got), &p, true), len);
	assert_int_equal(got[20], mark);
}

static unsigned changed(const struct fake_guest *g)
{
	unsigned n = 0;

	for (unsigned i = 0; i < RX_BYTES; i++)
		n += g->rx_buffers[i] != UNTOUCHED;
	return n;
}

/* With no packet buffer left in the pool there is no other way. */
static void without_packet_buffers(void **state)
{
	unsigned nr = 0, most = rte_mempool_avail_count(w.nb.pool);
	struct rte_mbuf **all = test_malloc(most * sizeof(*all));

	(void)state;
	while (nr < most && (all[nr] = rte_pktmbuf_alloc(w.nb.pool)))
		nr++;
	for (unsigned i = 0; i < 40; i++)
		send(60 + i, 2, (uint8_t)i);
	poller_round(w.nb.poller, false);
	rte_pktmbuf_free_bulk(all, nr);
	test_free(all);
	for (unsigned i = 0; i < 40; i++)
		assert_received(&b, 60 + i, (uint8_t)i);
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_ok, 40);
	assert_int_equal(a.tx_errors, 0);
}

/* Each byte of the packet, and none beside it: what lies next to it in the sender's page is nobody's business (XSA-403). */
static void every_length_and_no_more(void **state)
{
	static const uint16_t len[] = {14, 31, 32, 33, 60, 63, 64, 65, 96, 128, 511, 512, 1514};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(len); i++) {
		memset(b.rx_buffers, UNTOUCHED, RX_BYTES);
		world_frame(frame, len[i], 1, 2);
		for (unsigned k = 14; k < len[i]; k++)
			frame[k] = (uint8_t)(k % 100);
		memset(a.tx_buffers, 0x77, RX_BYTES);
		fake_guest_send(&a, frame, len[i], 0, NULL);
		poller_round(w.nb.poller, false);
		assert_true(changed(&b) <= len[i]);
		assert_null(memchr(b.rx_buffers, 0x77, RX_BYTES));
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), len[i]);
		assert_memory_equal(got, frame, len[i]);
		assert_int_equal(fake_guest_take_tx(&a), 1);
	}
	assert_int_equal(a.tx_errors, 0);
}

/* Receivers in turn, in pairs, and nobody's address in between. */
static void several_receivers(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 120; i++)
		send(60, i % 5 == 4 ? 9 : i % 2 ? 2 : 3, (uint8_t)i);
	world_settle(&w);
	for (unsigned i = 0; i < 120; i++) {
		if (i % 5 == 4 || i % 2)
			assert_received(&b, 60, (uint8_t)i);
		if (i % 5 == 4 || i % 2 == 0)
			assert_received(&c, 60, (uint8_t)i);
	}
	assert_int_equal(fake_guest_take_tx(&a), 120);
	assert_int_equal(a.tx_errors, 0);
}

/* 256 pages are posted: what is more waits, and follows in order. */
static void no_room(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++)
		send(60, 2, (uint8_t)i);
	world_settle(&w);
	fake_guest_take_tx(&a);
	for (unsigned i = 200; i < 300; i++)
		send(60, 2, (uint8_t)i);
	poller_round(w.nb.poller, false);
	poller_round(w.nb.poller, false);
	for (unsigned i = 0; i < 256; i++)
		assert_received(&b, 60, (uint8_t)i);
	world_settle(&w);
	for (unsigned i = 256; i < 300; i++)
		assert_received(&b, 60, (uint8_t)i);
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_ok, 300);
}

static void too_long_for_the_receiver(void **state)
{
	uint64_t dropped = world_vif(&w, &b)->queue[0].stats.rx_dropped;

	(void)state;
	send(1523, 2, 1); /* mtu 1500, an Ethernet header, two VLAN tags: 1522 */
	send(1522, 2, 2);
	world_settle(&w);
	assert_received(&b, 1522, 2);
	assert_int_equal(world_vif(&w, &b)->queue[0].stats.rx_dropped, dropped + 1);
}

static void checked_by_the_sender(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		net_tx_slot slot = fake_guest_slot(&a, i, 60);

		world_frame(frame, 60, 1, 2);
		memcpy(fake_guest_tx_buffer(&a, i), frame, 60);
		slot.req.flags = i % 2 ? NETTXF_data_validated : 0;
		fake_guest_send_slots(&a, &slot, 1);
	}
	poller_round(w.nb.poller, false);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 60);
		assert_int_equal(p.data_validated, i % 2);
		assert_false(p.csum_blank);
	}
}

/* The bridge's counters know of what went past it. */
static void it_is_counted(void **state)
{
	struct bridge_port_stats from, to, from_before, to_before;

	(void)state;
	bridge_port_stats(&world_vif(&w, &a)->port, &from_before);
	bridge_port_stats(&world_vif(&w, &b)->port, &to_before);
	for (unsigned i = 0; i < 10; i++)
		send(100, 2, 0);
	poller_round(w.nb.poller, false);
	bridge_port_stats(&world_vif(&w, &a)->port, &from);
	bridge_port_stats(&world_vif(&w, &b)->port, &to);
	assert_int_equal(from.rx_packets - from_before.rx_packets, 10);
	assert_int_equal(from.rx_bytes - from_before.rx_bytes, 1000);
	assert_int_equal(to.tx_packets - to_before.tx_packets, 10);
	assert_int_equal(to.tx_bytes - to_before.tx_bytes, 1000);
	assert_int_equal(to.tx_dropped, to_before.tx_dropped);
}

/* ---- the sender rewrites an address after each look at it ---- */

static uint8_t *watched;
static unsigned looks;

static void count_look(unsigned at, bool write)
{
	(void)write;
	looks += at < 12;
}

static void rewrite(void)
{
	if (looks > 2) /* the first two are hints: what the first and the last packet of the burst say */
		watched[5] = (uint8_t)(2 + looks);
}

/* The address that was compared is the one that is delivered, also where a short packet's last bytes are loaded over its first (XSA-155). */
static void an_address_that_changes(void **state)
{
	struct netback_queue *q = &world_vif(&w, &a)->queue[0];

	(void)state;
	for (unsigned len = 32; len <= 65; len++) {
		net_tx_slot slot = fake_guest_slot(&a, 0, (uint16_t)len);

		world_frame(frame, len, 1, 2);
		memcpy(fake_guest_tx_buffer(&a, 0), frame, len);
		watched = static_grants_read(&q->grants, slot.req.gref); /* as the back end has it mapped */
		slot.req.offset = 0;
		fake_guest_send_slots(&a, &slot, 1);
		looks = 0;
		page_watch_begin(watched, count_look, rewrite);
		netback_tx_burst(q);
		page_watch_end();
		assert_true(looks >= 3);
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), len);
		assert_memory_equal(got, frame, 12);
		fake_guest_take_tx(&a);
	}
}

/* The link's own addresses, and the sender's own, are for nobody else. */
static void not_for_everybody(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++)
		send(60, 1, 0);
	world_frame(frame, 60, 1, 2);
	memcpy(frame, "\x01\x80\xc2\x00\x00\x02", 6);
	fake_guest_send(&a, frame, 60, 0, NULL);
	world_settle(&w);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 0);
	assert_int_equal(fake_guest_receive(&c, got, sizeof(got), &p, true), 0);
	assert_int_equal(fake_guest_take_tx(&a), 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_packet_buffers, setup, teardown),
		cmocka_unit_test_setup_teardown(every_length_and_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(several_receivers, setup, teardown),
		cmocka_unit_test_setup_teardown(no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(too_long_for_the_receiver, setup, teardown),
		cmocka_unit_test_setup_teardown(checked_by_the_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(an_address_that_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(not_for_everybody, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
