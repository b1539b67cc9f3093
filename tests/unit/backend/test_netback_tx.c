/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest to bridge: what arrives is what was sent, in every shape that a front end may give it, and each slot is read once. */
#include <tests/support/netback_world.h>
#include <tests/support/page_watch.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest a;
static uint8_t frame[NET_PACKET_MAX];

/* A port of the bridge that keeps what it is given. */
static struct rte_mbuf *seen[256];
static unsigned nr_seen;

static unsigned spy_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n)
{
	(void)port;
	for (unsigned i = 0; i < n; i++) {
		assert_true(nr_seen < RTE_DIM(seen));
		seen[nr_seen++] = pkts[i];
	}
	return n;
}

static struct bridge_port spy = {.tx = spy_tx, .name = "spy"};

static void forget(void)
{
	while (nr_seen > 0)
		rte_pktmbuf_free(seen[--nr_seen]);
}

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	world_add_guest(&w, &a, 1);
	memset(&spy.of, 0, sizeof(spy.of));
	return bridge_add_port(w.nb.bridge, &spy);
}

static int teardown(void **state)
{
	(void)state;
	forget();
	bridge_remove_port(&spy);
	world_destroy(&w);
	return 0;
}

static void assert_seen(unsigned i, const uint8_t *data, uint32_t len)
{
	static uint8_t flat[NET_PACKET_MAX];

	assert_true(i < nr_seen);
	assert_int_equal(seen[i]->pkt_len, len);
	assert_memory_equal(rte_pktmbuf_read(seen[i], 0, len, flat), data, len);
	assert_int_equal(rte_mbuf_check(seen[i], 1, &(const char *){NULL}), 0);
}

static void one_frame(void **state)
{
	(void)state;
	world_frame(frame, 60, 1, 9);
	fake_guest_send(&a, frame, 60, 0, NULL);
	world_settle(&w);
	assert_int_equal(nr_seen, 1);
	assert_seen(0, frame, 60);
	assert_int_equal(fake_guest_take_tx(&a), 1);
	assert_int_equal(a.tx_ok, 1);
}

/* One slot, to both sides of what one mbuf holds. */
static void one_slot_of_any_size(void **state)
{
	static const uint32_t len[] = {14, 2047, 2048, 2049, 4095, 4096};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(len); i++) {
		world_frame(frame, len[i], 1, 9);
		fake_guest_send(&a, frame, len[i], 0, NULL);
		world_settle(&w);
		assert_int_equal(nr_seen, 1);
		assert_seen(0, frame, len[i]);
		assert_int_equal(fake_guest_take_tx(&a), 1);
		forget();
	}
	assert_int_equal(a.tx_errors, 0);
}

/* 18 slots of every chunk size that fits, and the largest packet. */
static void scatter_gather(void **state)
{
	static const unsigned chunk[] = {14, 100, 1000, 2048, 2049, 3640};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(chunk); i++) {
		uint32_t len = 18 * chunk[i];

		world_frame(frame, len, 1, 9);
		fake_guest_send(&a, frame, len, chunk[i], NULL);
		world_settle(&w);
		assert_int_equal(nr_seen, 1);
		assert_seen(0, frame, len);
		assert_int_equal(fake_guest_take_tx(&a), 18);
		forget();
	}
	world_frame(frame, NET_PACKET_MAX, 1, 9);
	fake_guest_send(&a, frame, NET_PACKET_MAX, 0, NULL);
	world_settle(&w);
	assert_seen(0, frame, NET_PACKET_MAX);
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_errors, 0);
}

/* More than a burst, more than the window, round the ring several times; order is kept. */
static void many(void **state)
{
	uint64_t notified = hv_fake_count(w.hv, HV_FAKE_NOTIFY);
	unsigned sent = 0, got = 0;

	(void)state;
	for (unsigned round = 0; round < 8; round++) {
		for (unsigned i = 0; i < 200; i++, sent++) {
			uint32_t len = 60 + sent % 1400;

			world_frame(frame, len, 1, 9);
			memcpy(frame + 20, &sent, sizeof(sent));
			fake_guest_send(&a, frame, len, 700, NULL);
			if (front_ring_free(&a.tx) < 3) {
				sent++;
				break;
			}
		}
		world_settle(&w);
		fake_guest_take_tx(&a);
		for (unsigned i = 0; i < nr_seen; i++, got++)
			assert_memory_equal(rte_pktmbuf_mtod_offset(seen[i], void *, 20), &got, sizeof(got));
		forget();
	}
	assert_true(sent > 800);
	assert_int_equal(got, sent);
	assert_true(hv_fake_count(w.hv, HV_FAKE_NOTIFY) - notified <= 8 * 8);
}

/* One batch for the burst, not one call per packet. */
static void copies_are_batched(void **state)
{
	uint64_t calls;

	(void)state;
	world_frame(frame, 60, 1, 9);
	calls = hv_fake_count(w.hv, HV_FAKE_COPY_BATCH);
	for (unsigned i = 0; i < 64; i++)
		fake_guest_send(&a, frame, 60, 0, NULL);
	world_settle(&w);
	assert_int_equal(nr_seen, 64);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_COPY_BATCH) - calls, 1);
}

static void blank_checksum(void **state)
{
	const struct net_packet blank = {.csum_blank = true};

	(void)state;
	for (int v6 = 0; v6 <= 1; v6++) {
		world_frame(frame, 200, 1, 9);
		world_tcp(frame, 200, v6);
		fake_guest_send(&a, frame, 200, 0, &blank);
		world_settle(&w);
		assert_int_equal(nr_seen, 1);
		assert_seen(0, frame, 200);
		assert_int_equal(seen[0]->ol_flags & RTE_MBUF_F_TX_L4_MASK, RTE_MBUF_F_TX_TCP_CKSUM);
		assert_true(seen[0]->ol_flags & (v6 ? RTE_MBUF_F_TX_IPV6 : RTE_MBUF_F_TX_IPV4));
		assert_int_equal(seen[0]->l2_len, 14);
		assert_int_equal(seen[0]->l3_len, v6 ? 40 : 20);
		assert_int_equal(seen[0]->l4_len, 20);
		forget();
	}
}

static void data_validated(void **state)
{
	const struct net_packet valid = {.data_validated = true};

	(void)state;
	world_frame(frame, 100, 1, 9);
	fake_guest_send(&a, frame, 100, 0, &valid);
	world_settle(&w);
	assert_int_equal(seen[0]->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK, RTE_MBUF_F_RX_L4_CKSUM_GOOD);
}

static void gso(void **state)
{
	(void)state;
	for (int v6 = 0; v6 <= 1; v6++) {
		const struct net_packet p = {.csum_blank = true, .gso_size = 1448,
					     .gso_type = v6 ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_TCPV4};

		world_frame(frame, 60000, 1, 9);
		world_tcp(frame, 60000, v6);
		fake_guest_send(&a, frame, 60000, 0, &p);
		world_settle(&w);
		assert_int_equal(nr_seen, 1);
		assert_int_equal(seen[0]->pkt_len, 60000);
		assert_true(seen[0]->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
		assert_int_equal(seen[0]->tso_segsz, 1448);
		assert_int_equal(fake_guest_take_tx(&a), 16); /* 15 pages and the extra-info */
		forget();
	}
	assert_int_equal(a.tx_ok, 30);
}

/* The page of one fragment cannot be read: that packet gets its errors, the others of the burst arrive. */
static void copy_fails(void **state)
{
	(void)state;
	world_frame(frame, 3000, 1, 9);
	hv_fake_fail(w.hv, HV_FAKE_COPY, 4, GNTST_general_error);
	for (unsigned i = 0; i < 3; i++)
		fake_guest_send(&a, frame, 1500, 750, NULL);
	world_settle(&w);
	assert_int_equal(nr_seen, 2);
	assert_int_equal(fake_guest_take_tx(&a), 6);
	assert_int_equal(a.tx_ok, 4);
	assert_int_equal(a.tx_errors, 2);
}

static void batch_fails(void **state)
{
	(void)state;
	world_frame(frame, 60, 1, 9);
	hv_fake_fail(w.hv, HV_FAKE_COPY_BATCH, 1, -ENOMEM);
	fake_guest_send(&a, frame, 60, 0, NULL);
	world_settle(&w);
	assert_int_equal(nr_seen, 0);
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_errors, 1);
}

/* An idle queue costs no look at the ring, and one event wakes it. */
static void idle_then_event(void **state)
{
	(void)state;
	world_settle(&w);
	assert_false(world_vif(&w, &a)->queue[0].item.active);
	world_frame(frame, 60, 1, 9);
	fake_guest_send(&a, frame, 60, 0, NULL);
	poller_round(w.nb.poller, false);
	poller_round(w.nb.poller, false);
	assert_int_equal(nr_seen, 1);
}

/* Two pages a buffer, as eal_dma.c has them. */
static struct rte_mempool *two_page_pool(void *memory, size_t bytes)
{
	struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = 2 * SLUICE_PAGE_SIZE - 64 - sizeof(struct rte_mbuf) - LENT_PRIVATE, .mbuf_priv_size = LENT_PRIVATE};
	struct rte_mempool *pool = rte_mempool_create_empty("two pages", 255, sizeof(struct rte_mbuf) + LENT_PRIVATE + priv.mbuf_data_room_size, 0, sizeof(priv), SOCKET_ID_ANY,
							    RTE_MEMPOOL_F_NO_SPREAD);

	assert_non_null(pool);
	rte_pktmbuf_pool_init(pool, &priv);
	assert_true(rte_mempool_populate_iova(pool, memory, RTE_BAD_IOVA, bytes, NULL, NULL) > 0);
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

/* The second slot has the rest of the headers, and so many bytes that it begins in a page of its own. */
static void headers_in_two_slots(void **state)
{
	const size_t bytes = 2 << 20;
	const uint32_t first = 40, second = 3600;
	void *memory = aligned_alloc(bytes, bytes);
	struct rte_mempool *ordinary = w.nb.pool;
	net_tx_slot slots[2] = {fake_guest_slot(&a, 0, first + second), fake_guest_slot(&a, 1, second)};

	(void)state;
	w.nb.pool = two_page_pool(memory, bytes);
	world_frame(frame, first + second, 1, 9);
	world_tcp(frame, first + second, false);
	memcpy(fake_guest_tx_buffer(&a, 0), frame, first);
	memcpy(fake_guest_tx_buffer(&a, 1), frame + first, second);
	slots[0].req.flags = NETTXF_csum_blank | NETTXF_data_validated | NETTXF_more_data;
	slots[0].req.offset = slots[1].req.offset = 0;
	fake_guest_send_slots(&a, slots, 2);
	world_settle(&w);
	assert_int_equal(nr_seen, 1);
	assert_int_equal(fake_guest_take_tx(&a), 2);
	assert_int_equal(a.tx_errors, 0);
	forget();
	rte_mempool_free(w.nb.pool);
	w.nb.pool = ordinary;
	free(memory);
}

/* ---- fetch once: the ring page is out of reach, each access is let through one by one and counted ---- */

static uint8_t reads[SLUICE_PAGE_SIZE];

static void count_read(unsigned at, bool write)
{
	reads[at] = (uint8_t)(reads[at] + !write);
}

static void each_slot_is_read_once(void **state)
{
	struct netback_queue *q = &world_vif(&w, &a)->queue[0];
	const struct net_packet p = {.csum_blank = true, .gso_size = 1448, .gso_type = XEN_NETIF_GSO_TYPE_TCPV4};
	uint32_t first = q->tx.req_cons;

	(void)state;
	world_frame(frame, 9000, 1, 9);
	world_tcp(frame, 9000, false);
	fake_guest_send(&a, frame, 9000, 0, &p);
	for (unsigned i = 0; i < 3; i++)
		fake_guest_send(&a, frame, 60, 0, NULL);
	memset(reads, 0, sizeof(reads));
	page_watch_begin(q->tx_page, count_read, NULL);
	netback_tx_burst(q);
	page_watch_end();
	bridge_flush(w.nb.bridge);
	assert_int_equal(nr_seen, 4);
	for (unsigned slot = 0; slot < 7; slot++) { /* 3 pages, extra-info, 3 packets: each as one word of 8 and one of 4 bytes */
		unsigned at = SLUICE_RING_HEADER + ((first + slot) & q->tx.mask) * sizeof(net_tx_slot);

		assert_int_equal(reads[at], 1);
		assert_int_equal(reads[at + 8], 1);
		for (unsigned i = 0; i < sizeof(net_tx_slot); i++)
			assert_true(reads[at + i] <= 1 && (reads[at + i] == 0 || i == 0 || i == 8));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_frame, setup, teardown),
		cmocka_unit_test_setup_teardown(one_slot_of_any_size, setup, teardown),
		cmocka_unit_test_setup_teardown(scatter_gather, setup, teardown),
		cmocka_unit_test_setup_teardown(headers_in_two_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(many, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_are_batched, setup, teardown),
		cmocka_unit_test_setup_teardown(blank_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(data_validated, setup, teardown),
		cmocka_unit_test_setup_teardown(gso, setup, teardown),
		cmocka_unit_test_setup_teardown(copy_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(batch_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(idle_then_event, setup, teardown),
		cmocka_unit_test_setup_teardown(each_slot_is_read_once, setup, teardown),
	};

	return cmocka_run_group_tests_name("netback_tx", tests, NULL, NULL);
}
