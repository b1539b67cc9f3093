/* SPDX-License-Identifier: BSD-3-Clause */
/* rings/back_ring.h: geometry, attaching to a ring in use, lying indices, wrap-around, notification, and both views against each other in threads. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <rings/back_ring.h>
#include <rings/front_ring.h>

typedef union netif_tx_sring_entry slot;

static uint8_t page[4 * SLUICE_PAGE_SIZE] __attribute__((aligned(4096)));
static struct ring_indices *const idx = (struct ring_indices *)page;

static struct back_ring attached(uint32_t at)
{
	struct back_ring r;

	memset(page, 0, sizeof(page));
	*idx = (struct ring_indices){ at, at + 1, at, at + 1 };
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(slot)), 0);
	return r;
}

static void test_geometry(void **state)
{
	(void)state;
	assert_int_equal(ring_slots(1, sizeof(union netif_tx_sring_entry)), 256);
	assert_int_equal(ring_slots(1, sizeof(union netif_rx_sring_entry)), 256);
	assert_int_equal(ring_slots(1, sizeof(union blkif_sring_entry)), 32);
	assert_int_equal(ring_slots(4, sizeof(union netif_tx_sring_entry)), 1024);
	assert_int_equal(ring_slots(16, sizeof(union blkif_sring_entry)), 512);
	assert_int_equal(ring_slots(0, 12), 0);
	assert_int_equal(ring_slots(1, 0), 0);
	assert_int_equal(ring_slots(1, SLUICE_PAGE_SIZE), 0);
	assert_int_equal(ring_slots(1, SLUICE_PAGE_SIZE - SLUICE_RING_HEADER), 1);
}

static void test_attach_goes_on_after_published_responses(void **state)
{
	struct back_ring r;

	(void)state;
	memset(page, 0, sizeof(page));
	*idx = (struct ring_indices){ .req_prod = 1007, .rsp_prod = 1000 };
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(slot)), 0);
	assert_int_equal(back_ring_pending(&r), 7);
	assert_int_equal(r.rsp_prod, 1000);
	idx->req_prod = 1000 + 256;
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(slot)), 0);
	idx->req_prod = 1000 + 257;
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(slot)), -EINVAL);
	idx->req_prod = 999;
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(slot)), -EINVAL);
	assert_int_equal(back_ring_attach(&r, page, 0, sizeof(slot)), -EINVAL);
}

static void test_lying_request_index_xsa39_xsa155(void **state)
{
	struct back_ring r = attached(500);

	(void)state;
	idx->req_prod = 500 + 256;
	assert_int_equal(back_ring_pending(&r), 256);
	idx->req_prod = 500 + 257;
	assert_int_equal(back_ring_pending(&r), -EPROTO);
	idx->req_prod = 499;
	assert_int_equal(back_ring_pending(&r), -EPROTO);
	assert_int_equal(back_ring_arm(&r), -EPROTO);
	/* 10 taken, 4 answered: requests that were taken cannot be taken back, and unanswered ones still hold their slots. */
	idx->req_prod = 510;
	back_ring_consume(&r, 10);
	for (int i = 0; i < 4; i++)
		back_ring_put(&r, &(struct netif_tx_response){ 0 }, sizeof(struct netif_tx_response));
	assert_int_equal(back_ring_unanswered(&r), 6);
	idx->req_prod = 509;
	assert_int_equal(back_ring_pending(&r), -EPROTO);
	idx->req_prod = 504 + 256;
	assert_int_equal(back_ring_pending(&r), 250);
	idx->req_prod = 505 + 256;
	assert_int_equal(back_ring_pending(&r), -EPROTO);
}

static void test_published_index_of_ours_is_not_believed(void **state)
{
	struct back_ring r = attached(0);

	(void)state;
	idx->req_prod = 3;
	idx->rsp_prod = 0x80000000; /* the front end writes our index */
	idx->req_event = 77;
	assert_int_equal(back_ring_pending(&r), 3);
	back_ring_consume(&r, 3);
	for (uint16_t i = 0; i < 3; i++)
		back_ring_put(&r, &(struct netif_tx_response){ .id = i }, sizeof(struct netif_tx_response));
	back_ring_push(&r);
	assert_int_equal(idx->rsp_prod, 3);
}

static void test_wraps_at_ring_and_integer_end(void **state)
{
	uint32_t at = 0xffffffff - 100;
	struct back_ring r = attached(at);
	slot *ring = (slot *)(page + SLUICE_RING_HEADER);

	(void)state;
	for (uint32_t i = 0; i < 600; i += 150) {
		for (uint32_t k = 0; k < 150; k++)
			ring[(at + i + k) % 256].req = (struct netif_tx_request){ .gref = i + k, .id = (uint16_t)(i + k) };
		idx->req_prod = at + i + 150;
		assert_int_equal(back_ring_pending(&r), 150);
		for (uint32_t k = 0; k < 150; k++) {
			struct netif_tx_request t;

			back_ring_read(&r, k, &t, sizeof(t));
			assert_int_equal(t.gref, i + k);
		}
		back_ring_consume(&r, 150);
		for (uint32_t k = 0; k < 150; k++)
			back_ring_put(&r, &(struct netif_tx_response){ .id = (uint16_t)(i + k) }, sizeof(struct netif_tx_response));
		assert_int_equal(idx->rsp_prod, at + i);
		back_ring_push(&r);
		assert_int_equal(idx->rsp_prod, at + i + 150);
		for (uint32_t k = 0; k < 150; k++)
			assert_int_equal(ring[(at + i + k) % 256].rsp.id, i + k);
	}
}

/* A run of requests, one by one the same, also across the ring's end. */
static void test_a_run_is_taken_at_once(void **state)
{
	struct back_ring r = attached(250);
	slot taken[21], one;

	(void)state;
	idx->req_prod = 250 + 20;
	for (unsigned i = 0; i < 20; i++)
		memset(page + SLUICE_RING_HEADER + (250 + i) % 256 * sizeof(slot), (int)i + 1, sizeof(slot));
	memset(taken, 0xee, sizeof(taken));
	back_ring_take(&r, taken, 20, sizeof(slot));
	assert_int_equal(r.req_cons, 270);
	assert_int_equal(back_ring_pending(&r), 0);
	r.req_cons = 250;
	for (unsigned i = 0; i < 20; i++) {
		back_ring_read(&r, i, &one, sizeof(one));
		assert_memory_equal(&taken[i], &one, sizeof(one));
	}
	memset(&one, 0xee, sizeof(one));
	assert_memory_equal(&taken[20], &one, sizeof(one));
	back_ring_take(&r, taken, 0, sizeof(slot));
	assert_int_equal(r.req_cons, 250);
}

static void test_response_leaves_the_rest_of_the_slot_alone(void **state)
{
	struct back_ring r = attached(0);
	uint8_t *slot0 = page + SLUICE_RING_HEADER;

	(void)state;
	memset(slot0, 0xaa, 2 * sizeof(slot));
	idx->req_prod = 1;
	back_ring_consume(&r, 1);
	back_ring_put(&r, &(struct netif_tx_response){ .id = 0x1234, .status = -1 }, sizeof(struct netif_tx_response));
	assert_memory_equal(slot0, "\x34\x12\xff\xff\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 13);
}

static void test_notify_only_when_event_is_crossed(void **state)
{
	struct netif_tx_response rsp = { 0 };
	struct back_ring r = attached(0xfffffffe);

	(void)state;
	idx->req_prod = 0xfffffffe + 10;
	back_ring_consume(&r, 10);
	assert_false(back_ring_push(&r)); /* nothing to publish */
	idx->rsp_event = 0xfffffffe + 3;
	back_ring_put(&r, &rsp, sizeof(rsp));
	back_ring_put(&r, &rsp, sizeof(rsp));
	assert_false(back_ring_push(&r)); /* 2 < 3 */
	back_ring_put(&r, &rsp, sizeof(rsp));
	assert_true(back_ring_push(&r)); /* 3 */
	back_ring_put(&r, &rsp, sizeof(rsp));
	assert_false(back_ring_push(&r)); /* past it */
	assert_false(back_ring_push(&r));
}

static void test_arm_asks_for_the_next(void **state)
{
	struct back_ring r = attached(40);

	(void)state;
	assert_int_equal(back_ring_arm(&r), 0);
	assert_int_equal(idx->req_event, 41);
	assert_int_equal(back_ring_arm_for(&r, 5), 0);
	assert_int_equal(idx->req_event, 45);
	idx->req_prod = 42;
	assert_int_equal(back_ring_arm(&r), 2);
}

/* ---- both views in two threads: nothing is lost, reordered or left asleep ---- */

enum { PACKETS = 100000 };
static sem_t to_back, to_front;

static bool sleep_on(sem_t *s)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += 10;
	return sem_timedwait(s, &t) == 0;
}

static void *back_thread(void *arg)
{
	struct back_ring r;
	uint32_t seen = 0;

	if (back_ring_attach(&r, arg, 1, sizeof(slot)))
		return "attach";
	while (seen < PACKETS) {
		int n = back_ring_pending(&r);

		if (n < 0 || (!n && (n = back_ring_arm(&r)) < 0))
			return "index";
		if (!n && !sleep_on(&to_back))
			return "back end was never woken";
		for (int i = 0; i < n; i++) {
			struct netif_tx_request q;

			back_ring_read(&r, (uint32_t)i, &q, sizeof(q));
			if (q.gref != seen++)
				return "order";
		}
		back_ring_consume(&r, (uint32_t)n);
		for (int i = 0; i < n; i++)
			back_ring_put(&r, &(struct netif_tx_response){ .id = (uint16_t)(seen - (uint32_t)n + (uint32_t)i) },
				      sizeof(struct netif_tx_response));
		if (back_ring_push(&r))
			sem_post(&to_front);
	}
	return NULL;
}

static const char *front_work(struct front_ring *f)
{
	uint32_t sent = 0, done = 0;

	while (done < PACKETS) {
		int n;

		for (uint32_t k = sent % 7 + 1; k && sent < PACKETS && front_ring_free(f); k--, sent++)
			front_ring_put(f, &(struct netif_tx_request){ .gref = sent, .id = (uint16_t)sent }, sizeof(struct netif_tx_request));
		if (front_ring_push(f))
			sem_post(&to_back);
		n = front_ring_pending(f);
		if (!n && (sent == PACKETS || !front_ring_free(f)) && !(n = front_ring_arm(f)) && !sleep_on(&to_front))
			return "front end was never woken";
		if (n < 0)
			return "index";
		for (int i = 0; i < n; i++, done++) {
			struct netif_tx_response p;

			front_ring_read(f, (uint32_t)i, &p, sizeof(p));
			if (p.id != (uint16_t)done)
				return "order of responses";
		}
		front_ring_consume(f, (uint32_t)n);
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct front_ring f;
	pthread_t thread;
	const char *wrong;
	void *back_wrong;

	(void)state;
	sem_init(&to_back, 0, 0);
	sem_init(&to_front, 0, 0);
	assert_int_equal(front_ring_init(&f, page, 1, sizeof(slot)), 0);
	assert_int_equal(pthread_create(&thread, NULL, back_thread, page), 0);
	wrong = front_work(&f);
	pthread_join(thread, &back_wrong);
	assert_null(wrong);
	assert_null(back_wrong);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_geometry),
		cmocka_unit_test(test_attach_goes_on_after_published_responses),
		cmocka_unit_test(test_lying_request_index_xsa39_xsa155),
		cmocka_unit_test(test_published_index_of_ours_is_not_believed),
		cmocka_unit_test(test_wraps_at_ring_and_integer_end),
		cmocka_unit_test(test_a_run_is_taken_at_once),
		cmocka_unit_test(test_response_leaves_the_rest_of_the_slot_alone),
		cmocka_unit_test(test_notify_only_when_event_is_crossed),
		cmocka_unit_test(test_arm_asks_for_the_next),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests_name("rings/back_ring", tests, NULL, NULL);
}
