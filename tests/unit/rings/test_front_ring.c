/* SPDX-License-Identifier: BSD-3-Clause */
/* rings/front_ring.h: a fresh ring's page, room, lying back ends, notification. Both views together: test_back_ring.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include <rings/front_ring.h>

typedef union netif_rx_sring_entry slot;

static uint8_t page[SLUICE_PAGE_SIZE] __attribute__((aligned(4096)));
static struct ring_indices *const idx = (struct ring_indices *)page;

static struct front_ring fresh(void)
{
	struct front_ring r;

	memset(page, 0xee, sizeof(page));
	assert_int_equal(front_ring_init(&r, page, 1, sizeof(slot)), 0);
	return r;
}

static void put(struct front_ring *r, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		front_ring_put(r, &(struct netif_rx_request){ .id = (uint16_t)front_ring_next(r), .gref = i }, sizeof(struct netif_rx_request));
}

static void test_fresh_page_tells_nothing_xsa403(void **state)
{
	static const uint8_t zero[SLUICE_PAGE_SIZE];
	struct front_ring r = fresh();

	(void)state;
	assert_int_equal(idx->req_event, 1);
	assert_int_equal(idx->rsp_event, 1);
	assert_int_equal(idx->req_prod, 0);
	assert_int_equal(idx->rsp_prod, 0);
	assert_memory_equal(page + sizeof(*idx), zero, sizeof(page) - sizeof(*idx));
	assert_int_equal(front_ring_free(&r), 256);
	assert_int_equal(front_ring_init(&r, page, 0, sizeof(slot)), -EINVAL);
}

static void test_room_and_ids(void **state)
{
	struct front_ring r = fresh();

	(void)state;
	put(&r, 256);
	assert_int_equal(front_ring_free(&r), 0);
	assert_int_equal(idx->req_prod, 0);
	assert_true(front_ring_push(&r));
	assert_int_equal(idx->req_prod, 256);
	idx->rsp_prod = 10;
	assert_int_equal(front_ring_pending(&r), 10);
	front_ring_consume(&r, 10);
	assert_int_equal(front_ring_free(&r), 10);
	assert_int_equal(front_ring_index(&r, 0), 10);
	assert_int_equal(front_ring_next(&r), 0);
}

static void test_lying_response_index(void **state)
{
	struct front_ring r = fresh();

	(void)state;
	put(&r, 5);
	front_ring_push(&r);
	put(&r, 3); /* not published: cannot have been answered */
	idx->rsp_prod = 5;
	assert_int_equal(front_ring_pending(&r), 5);
	idx->rsp_prod = 6;
	assert_int_equal(front_ring_pending(&r), -EPROTO);
	idx->rsp_prod = 5;
	front_ring_consume(&r, 5);
	idx->rsp_prod = 4;
	assert_int_equal(front_ring_pending(&r), -EPROTO);
	assert_int_equal(front_ring_arm(&r), -EPROTO);
}

static void test_read_is_of_the_right_slot_across_the_end(void **state)
{
	struct front_ring r = fresh();
	slot *ring = (slot *)(page + SLUICE_RING_HEADER);
	struct netif_rx_response p;

	(void)state;
	put(&r, 250);
	front_ring_push(&r);
	idx->rsp_prod = 250;
	front_ring_consume(&r, 250);
	put(&r, 20);
	front_ring_push(&r);
	assert_int_equal(ring[13].req.id, 13);
	assert_int_equal(ring[13].req.gref, 19);
	for (unsigned i = 0; i < 20; i++)
		ring[(250 + i) % 256].rsp = (struct netif_rx_response){ .id = (uint16_t)i, .status = (int16_t)(60 + i) };
	idx->rsp_prod = 270;
	assert_int_equal(front_ring_pending(&r), 20);
	for (unsigned i = 0; i < 20; i++) {
		front_ring_read(&r, i, &p, sizeof(p));
		assert_int_equal(p.id, i);
		assert_int_equal(p.status, 60 + i);
	}
}

static void test_notify_and_arm(void **state)
{
	struct front_ring r = fresh();

	(void)state;
	idx->req_event = 3;
	put(&r, 2);
	assert_false(front_ring_push(&r));
	assert_false(front_ring_push(&r));
	put(&r, 1);
	assert_true(front_ring_push(&r));
	assert_int_equal(front_ring_arm(&r), 0);
	assert_int_equal(idx->rsp_event, 1);
	idx->rsp_prod = 2;
	assert_int_equal(front_ring_arm(&r), 2);
	front_ring_consume(&r, 2);
	assert_int_equal(front_ring_arm(&r), 0);
	assert_int_equal(idx->rsp_event, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh_page_tells_nothing_xsa403),
		cmocka_unit_test(test_room_and_ids),
		cmocka_unit_test(test_lying_response_index),
		cmocka_unit_test(test_read_is_of_the_right_slot_across_the_end),
		cmocka_unit_test(test_notify_and_arm),
	};

	return cmocka_run_group_tests_name("rings/front_ring", tests, NULL, NULL);
}
