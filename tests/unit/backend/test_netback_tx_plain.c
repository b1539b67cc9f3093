/* SPDX-License-Identifier: BSD-3-Clause */
/* The short way from guest to bridge: every length at every edge of its page, in order with packets that go the long way, and with an empty pool. */
#include <tests/support/netback_world.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest a, b;
static uint8_t frame[SLUICE_PAGE_SIZE], got[NET_PACKET_MAX];
static struct net_packet p;

static int setup(void **state)
{
	(void)state;
	fake_guest_static = true;
	world_create(&w);
	world_add_guest(&w, &a, 1);
	world_add_guest(&w, &b, 2);
	world_vif(&w, &a)->mtu = world_vif(&w, &b)->mtu = 9000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

/* One slot with its bytes at an offset of its page. */
static net_tx_slot put_at(unsigned buffer, uint16_t offset, uint16_t len)
{
	net_tx_slot slot = fake_guest_slot(&a, buffer, len);

	world_frame(frame, len, 1, 2);
	memcpy(fake_guest_tx_buffer(&a, buffer) + offset, frame, len);
	slot.req.offset = offset;
	return slot;
}

static void assert_got(uint16_t len)
{
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), len);
	assert_memory_equal(got, frame, len);
}

static void every_place_in_a_page(void **state)
{
	static const uint16_t len[] = {14, 60, 64, 65, 128, LENT_LEAST - 1, LENT_LEAST, 1514, 4000};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(len); i++) {
		const uint16_t offset[] = {0, 1, (uint16_t)(SLUICE_PAGE_SIZE - len[i] - 1), (uint16_t)(SLUICE_PAGE_SIZE - len[i])};

		for (unsigned at = 0; at < RTE_DIM(offset); at++) {
			net_tx_slot slot = put_at(FAKE_GUEST_BUFFERS - 1, offset[at], len[i]); /* nothing lies behind the last page */

			fake_guest_send_slots(&a, &slot, 1);
			poller_round(w.nb.poller, false);
			assert_got(len[i]);
			assert_int_equal(fake_guest_take_tx(&a), 1);
		}
	}
	assert_int_equal(a.tx_errors, 0);
}

static void beyond_the_page(void **state)
{
	net_tx_slot slot = put_at(0, 100, 64);

	(void)state;
	slot.req.offset = SLUICE_PAGE_SIZE - 63;
	fake_guest_send_slots(&a, &slot, 1);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&a), XenbusStateClosing);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 0);
}

static void too_short(void **state)
{
	net_tx_slot slot = put_at(0, 0, 14);

	(void)state;
	slot.req.size = 13;
	fake_guest_send_slots(&a, &slot, 1);
	world_settle(&w);
	assert_int_equal(fake_guest_take_tx(&a), 1);
	assert_int_equal(a.tx_errors, 1);
	assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 0);
}

/* Packets of one slot, of two, and with an extra-info in turn: none overtakes another. */
static void short_and_long_in_order(void **state)
{
	const struct net_packet validated = {.data_validated = true};

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		world_frame(frame, 100 + i, 1, 2);
		frame[20] = (uint8_t)i;
		fake_guest_send(&a, frame, 100 + i, i % 3 == 1 ? 64 : 0, i % 3 == 2 ? &validated : NULL);
	}
	world_settle(&w);
	for (unsigned i = 0; i < 60; i++) {
		assert_int_equal(fake_guest_receive(&b, got, sizeof(got), &p, true), 100 + i);
		assert_int_equal(got[20], i);
		assert_int_equal(p.data_validated, i % 3 == 2);
	}
	fake_guest_take_tx(&a);
	assert_int_equal(a.tx_errors, 0);
}

static void the_pool_is_empty(void **state)
{
	struct rte_mempool *pool = w.nb.pool;
	unsigned nr = 0, most = rte_mempool_avail_count(pool);
	struct rte_mbuf **all = test_malloc(most * sizeof(*all));
	net_tx_slot slot = put_at(3, 0, 1514);

	(void)state;
	while (nr < most && (all[nr] = rte_pktmbuf_alloc(pool)))
		nr++;
	fake_guest_send_slots(&a, &slot, 1);
	poller_round(w.nb.poller, false);
	assert_int_equal(fake_guest_take_tx(&a), 1);
	assert_int_equal(a.tx_errors, 1);
	rte_pktmbuf_free_bulk(all, nr);
	fake_guest_send_slots(&a, &slot, 1);
	poller_round(w.nb.poller, false);
	assert_got(1514);
	test_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(every_place_in_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_page, setup, teardown),
		cmocka_unit_test_setup_teardown(too_short, setup, teardown),
		cmocka_unit_test_setup_teardown(short_and_long_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(the_pool_is_empty, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
