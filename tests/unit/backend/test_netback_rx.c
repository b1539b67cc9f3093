/* SPDX-License-Identifier: BSD-3-Clause */
/* Bridge to guest: bytes, flags and extra-info as the guest negotiated them, bounded queues, batched copies, few events. */
#include <tests/support/netback_world.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest a;
static uint8_t frame[NET_PACKET_MAX], got[NET_PACKET_MAX];
static struct net_packet p;

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

static void add_guest(bool gso, bool no_csum, bool no_sg, const char *extra)
{
	fake_guest_init(&a, w.hv, 1, 0);
	a.gso = gso;
	a.no_csum = no_csum;
	a.no_sg = no_sg;
	toolstack_add_vif(w.hv, 1, 0, extra);
	world_settle(&w);
	fake_guest_connect(&a);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&a), XenbusStateConnected);
}

static struct netback_queue *queue(void)
{
	return &world_vif(&w, &a)->queue[0];
}

/* A packet of the frame's first len bytes in mbufs of at most `chunk` bytes. */
static struct rte_mbuf *packet(uint32_t len, uint16_t chunk)
{
	struct rte_mbuf *m = NULL;

	for (uint32_t at = 0; at < len; at += chunk) {
		struct rte_mbuf *seg = rte_pktmbuf_alloc(w.nb.pool);
		uint16_t n = (uint16_t)(len - at < chunk ? len - at : chunk);

		assert_non_null(seg);
		memcpy(rte_pktmbuf_append(seg, n), frame + at, n);
		if (m)
			assert_int_equal(rte_pktmbuf_chain(m, seg), 0);
		else
			m = seg;
	}
	return m;
}

static unsigned deliver(struct rte_mbuf *m)
{
	struct bridge_port *port = &world_vif(&w, &a)->port;

	return port->tx(port, &m, 1);
}

static int receive(bool post)
{
	return fake_guest_receive(&a, got, sizeof(got), &p, post);
}

static void sizes(void **state)
{
	static const uint32_t len[] = {14, 60, 1514, 1522};

	(void)state;
	add_guest(false, false, false, NULL);
	for (unsigned i = 0; i < RTE_DIM(len); i++) {
		world_frame(frame, len[i], 9, 1);
		assert_int_equal(deliver(packet(len[i], 2048)), 1);
		assert_int_equal(receive(true), (int)len[i]);
		assert_memory_equal(got, frame, len[i]);
		assert_int_equal(p.nr_slots, 1);
		assert_false(p.csum_blank);
	}
	assert_true(hv_fake_evtchn_take(w.hv, 1, a.rx_port));
}

static void jumbo(void **state)
{
	static const uint32_t len[] = {4096, 4097, 9014, NET_PACKET_MAX};

	(void)state;
	add_guest(false, false, false, "mtu=65513");
	for (unsigned i = 0; i < RTE_DIM(len); i++) {
		world_frame(frame, len[i], 9, 1);
		assert_int_equal(deliver(packet(len[i], 1999)), 1);
		assert_int_equal(receive(true), (int)len[i]);
		assert_memory_equal(got, frame, len[i]);
		assert_int_equal(p.nr_slots, (len[i] + 4095) / 4096);
	}
}

static void mtu_is_kept(void **state)
{
	(void)state;
	add_guest(false, false, false, "mtu=1600");
	world_frame(frame, 1700, 9, 1);
	assert_int_equal(deliver(packet(1622, 2048)), 1);
	assert_int_equal(deliver(packet(1623, 2048)), 0);
	assert_int_equal(receive(true), 1622);
	assert_int_equal(receive(true), 0);
	assert_int_equal(queue()->stats.rx_dropped, 1);
}

static void without_sg_one_page(void **state)
{
	(void)state;
	add_guest(false, false, true, "mtu=9000");
	world_frame(frame, 5000, 9, 1);
	assert_int_equal(deliver(packet(4096, 2048)), 1);
	assert_int_equal(deliver(packet(4097, 2048)), 0);
	assert_int_equal(receive(true), 4096);
	assert_int_equal(receive(true), 0);
}

/* Small packets do not all start at a page's beginning. */
static void offsets_spread(void **state)
{
	unsigned distinct = 0;
	bool used[4096] = {0};

	(void)state;
	add_guest(false, false, false, NULL);
	world_frame(frame, 64, 9, 1);
	for (unsigned i = 0; i < 64; i++) {
		deliver(packet(64, 2048));
		assert_int_equal(receive(true), 64);
		distinct += !used[p.frags[0].offset];
		used[p.frags[0].offset] = true;
	}
	assert_int_equal(distinct, 64);
}

static struct rte_mbuf *tcp_packet(uint32_t len, uint16_t mss, bool v6)
{
	struct rte_mbuf *m;
	struct rte_tcp_hdr *th;

	world_frame(frame, len, 9, 1);
	world_tcp(frame, len, v6);
	m = packet(len, 2000);
	m->l2_len = 14;
	m->l3_len = v6 ? 40 : 20;
	m->l4_len = 20;
	m->ol_flags = RTE_MBUF_F_TX_TCP_CKSUM | (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4);
	if (mss) {
		m->tso_segsz = mss;
		m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (v6 ? 0 : RTE_MBUF_F_TX_IP_CKSUM);
		th = rte_pktmbuf_mtod_offset(m, void *, 14 + m->l3_len);
		th->cksum = v6 ? rte_ipv6_phdr_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), m->ol_flags)
			       : rte_ipv4_phdr_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), m->ol_flags);
	}
	return m;
}

static void blank_checksum_goes_through(void **state)
{
	(void)state;
	add_guest(false, false, false, NULL);
	for (int v6 = 0; v6 <= 1; v6++) {
		deliver(tcp_packet(500, 0, v6));
		assert_int_equal(receive(true), 500);
		assert_true(p.csum_blank && p.data_validated);
		assert_memory_equal(got, frame, 500);
	}
}

static void checksum_is_finished_for_a_guest_that_cannot(void **state)
{
	(void)state;
	add_guest(false, true, false, NULL);
	deliver(tcp_packet(500, 0, false));
	assert_int_equal(receive(true), 500);
	assert_false(p.csum_blank);
	assert_int_equal(rte_ipv4_udptcp_cksum((void *)(got + 14), got + 34), 0); /* over a right sum */
}

static void validated(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	add_guest(false, false, false, NULL);
	world_frame(frame, 100, 9, 1);
	m = packet(100, 2048);
	m->ol_flags |= RTE_MBUF_F_RX_L4_CKSUM_GOOD;
	deliver(m);
	assert_int_equal(receive(true), 100);
	assert_true(p.data_validated && !p.csum_blank);
}

/* The extra-info is there, and the guest sees its own kind of pseudo-header sum: exactly the frame that a guest would have sent. */
static void gso_goes_through(void **state)
{
	(void)state;
	add_guest(true, false, false, NULL);
	for (int v6 = 0; v6 <= 1; v6++) {
		struct rte_mbuf *m = tcp_packet(60000, 1448, v6);

		rte_mbuf_refcnt_update(m, 1); /* shared: must not be written to */
		deliver(m);
		assert_int_equal(receive(true), 60000);
		assert_int_equal(p.gso_type, v6 ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_TCPV4);
		assert_int_equal(p.gso_size, 1448);
		assert_int_equal(p.nr_slots, 16);
		assert_true(p.csum_blank);
		assert_memory_equal(got, frame, 60000);
		assert_memory_not_equal(rte_pktmbuf_mtod(m, void *), frame, 80);
		rte_pktmbuf_free(m);
	}
}

static void gso_is_cut_for_a_guest_that_cannot(void **state)
{
	uint32_t payload = 0, n = 0;
	int len;

	(void)state;
	add_guest(false, false, false, NULL);
	deliver(tcp_packet(20054, 1000, false));
	while ((len = receive(true)) > 0) {
		assert_int_equal(p.gso_type, XEN_NETIF_GSO_TYPE_NONE);
		assert_true(len <= 1054);
		payload += (uint32_t)len - 54;
		n++;
	}
	assert_int_equal(payload, 20000);
	assert_int_equal(n, 20);
}

static void copies_and_events_are_batched(void **state)
{
	struct rte_mbuf *pkts[64];
	struct bridge_port *port;
	uint64_t calls, events;

	(void)state;
	add_guest(false, false, false, NULL);
	port = &world_vif(&w, &a)->port;
	world_frame(frame, 64, 9, 1);
	for (unsigned i = 0; i < 64; i++)
		pkts[i] = packet(64, 2048);
	calls = hv_fake_count(w.hv, HV_FAKE_COPY_BATCH);
	events = hv_fake_count(w.hv, HV_FAKE_NOTIFY);
	assert_int_equal(port->tx(port, pkts, 64), 64);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_COPY_BATCH) - calls, 1);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_NOTIFY) - events, 1);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(receive(true), 64);
}

/* A guest without room: its queue is bounded, drains when requests come, and order is kept. */
static void waits_for_room(void **state)
{
	(void)state;
	add_guest(false, false, false, NULL);
	world_frame(frame, 64, 9, 1);
	for (unsigned i = 0; i < 256 + 100; i++) {
		frame[20] = (uint8_t)i;
		frame[21] = (uint8_t)(i >> 8);
		assert_int_equal(deliver(packet(64, 2048)), 1);
	}
	for (unsigned i = 0; i < 256 + 100; i++) {
		int len = receive(true);

		if (len == 0) {
			world_settle(&w);
			len = receive(true);
		}
		assert_int_equal(len, 64);
		assert_int_equal(got[20] | got[21] << 8, i);
	}
}

static void queue_is_bounded(void **state)
{
	(void)state;
	add_guest(false, false, false, NULL);
	world_frame(frame, 64, 9, 1);
	for (unsigned i = 0; i < 1000; i++)
		deliver(packet(64, 2048));
	assert_int_equal(queue()->wait_tail - queue()->wait_head, NETBACK_WAIT_PACKETS);
	assert_int_equal(queue()->stats.rx_dropped, 1000 - 256 - NETBACK_WAIT_PACKETS);
}

/* What waits for a stalled guest is freed after a while, and nothing waits for it any more until it has room for the largest packet. */
static void stalled_guest(void **state)
{
	(void)state;
	add_guest(false, false, false, NULL);
	world_frame(frame, 64, 9, 1);
	for (unsigned i = 0; i < 256 + 10; i++)
		deliver(packet(64, 2048));
	assert_int_equal(queue()->wait_segs, 10);
	world_run_ms(&w, NETBACK_STALL_US / 1000 + 20);
	assert_int_equal(queue()->wait_segs, 0);
	assert_int_equal(w.nb.waiting_segs, 0);
	assert_int_equal(deliver(packet(64, 2048)), 0);
	for (unsigned i = 0; i < XEN_NETIF_NR_SLOTS_MIN - 1; i++)
		receive(true);
	assert_int_equal(deliver(packet(64, 2048)), 0);
	receive(true);
	assert_int_equal(deliver(packet(64, 2048)), 1);
}

/* The guest arms its ring only when it sleeps: an event comes when what it waits for is there, and wakes an idle queue of ours. */
static void room_wakes_the_queue(void **state)
{
	(void)state;
	add_guest(false, false, false, NULL);
	world_frame(frame, 64, 9, 1);
	for (unsigned i = 0; i < 257; i++)
		deliver(packet(64, 2048));
	world_settle(&w);
	assert_false(queue()->item.active);
	assert_int_equal(queue()->wait_segs, 1);
	receive(true);
	poller_round(w.nb.poller, false);
	poller_round(w.nb.poller, false);
	assert_int_equal(queue()->wait_segs, 0);
}

static void bad_page_only_marks_its_slot(void **state)
{
	(void)state;
	add_guest(false, false, false, "mtu=9000");
	world_frame(frame, 9000, 9, 1);
	hv_fake_fail(w.hv, HV_FAKE_COPY, 3, GNTST_general_error);
	deliver(packet(9000, 2048));
	deliver(packet(64, 2048));
	assert_int_equal(receive(true), -1);
	assert_int_equal(p.nr_slots, 3);
	assert_int_equal(receive(true), 64);
	assert_int_equal(queue()->stats.rx_bad, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(jumbo, setup, teardown),
		cmocka_unit_test_setup_teardown(mtu_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(without_sg_one_page, setup, teardown),
		cmocka_unit_test_setup_teardown(offsets_spread, setup, teardown),
		cmocka_unit_test_setup_teardown(blank_checksum_goes_through, setup, teardown),
		cmocka_unit_test_setup_teardown(checksum_is_finished_for_a_guest_that_cannot, setup, teardown),
		cmocka_unit_test_setup_teardown(validated, setup, teardown),
		cmocka_unit_test_setup_teardown(gso_goes_through, setup, teardown),
		cmocka_unit_test_setup_teardown(gso_is_cut_for_a_guest_that_cannot, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_and_events_are_batched, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_room, setup, teardown),
		cmocka_unit_test_setup_teardown(queue_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(stalled_guest, setup, teardown),
		cmocka_unit_test_setup_teardown(room_wakes_the_queue, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_page_only_marks_its_slot, setup, teardown),
	};

	return cmocka_run_group_tests_name("netback_rx", tests, NULL, NULL);
}
