/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end on three lcores, each with its own thread: where queues go, packets between vifs of different lcores in both directions at once, order within a flow,
 * connections that come and go meanwhile, a guest that is full, and one that breaks the protocol on an lcore that is not the first.
 */
#include <tests/support/netback_world.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define LCORES 3u
#define PACKETS 20000u
#define LEN 100u

static struct world w;
static struct fake_guest a, b, c;

static int setup(void **state)
{
	(void)state;
	world_lcores = LCORES;
	world_create(&w);
	world_add_guest(&w, &a, 1);
	world_add_guest(&w, &b, 2);
	world_add_guest(&w, &c, 3);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	world_destroy(&w);
	return 0;
}

static unsigned lcore_of(struct fake_guest *g)
{
	return (unsigned)(world_vif(&w, g)->queue[0].lcore - w.nb.lcore);
}

static void queues_are_dealt_out(void **state)
{
	(void)state;
	assert_int_equal(1u << lcore_of(&a) | 1u << lcore_of(&b) | 1u << lcore_of(&c), 7);
	for (unsigned i = 0; i < LCORES; i++)
		assert_int_equal(w.nb.lcore[i].nr_queues, 1);
	world_assert_traffic(&w, &a, &b);
	world_assert_traffic(&w, &b, &c);
	world_assert_traffic(&w, &c, &a);
}

/* A guest that sends numbered frames to another and checks those that it gets. */
struct talker {
	struct fake_guest *g, *to;
	pthread_t thread;
	uint32_t sent, got, next;
	unsigned disorder;
};

static bool stop;

static void take(struct talker *t)
{
	uint8_t frame[4096];
	struct net_packet p;
	uint32_t number;

	fake_guest_take_tx(t->g);
	while (fake_guest_receive(t->g, frame, sizeof(frame), &p, true) > 0) {
		if (frame[5] != t->g->domid)
			continue; /* flooded: for another */
		memcpy(&number, frame + 20, sizeof(number));
		t->disorder += number < t->next;
		t->next = number + 1;
		t->got++;
	}
}

static void *talk(void *arg)
{
	struct talker *t = arg;
	uint8_t frame[LEN];

	world_frame(frame, sizeof(frame), t->g->domid, t->to->domid);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < 32 && t->sent < PACKETS && front_ring_free(&t->g->tx) > 0; i++) {
			memcpy(frame + 20, &t->sent, sizeof(t->sent));
			fake_guest_send(t->g, frame, sizeof(frame), 0, NULL);
			__atomic_fetch_add(&t->sent, 1, __ATOMIC_RELAXED);
		}
		take(t);
		sched_yield();
	}
	return NULL;
}

static void run_talkers(struct talker *t, unsigned n, void (*meanwhile)(void))
{
	unsigned done;

	stop = false;
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&t[i].thread, NULL, talk, &t[i]), 0);
	for (unsigned ms = 0; ms < 20000; ms++) {
		world_run_ms(&w, 1);
		if (meanwhile)
			meanwhile();
		done = 0;
		for (unsigned i = 0; i < n; i++)
			done += __atomic_load_n(&t[i].sent, __ATOMIC_RELAXED) == PACKETS;
		if (done == n)
			break;
	}
	world_settle(&w);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < n; i++) {
		pthread_join(t[i].thread, NULL);
		take(&t[i]);
	}
}

static void assert_talked(const struct talker *t, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(t[i].sent, PACKETS);
		assert_int_equal(t[i].disorder, 0);
		assert_true(t[i].got > PACKETS / 2); /* a switch may drop, but not most */
	}
}

static void three_guests_talk(void **state)
{
	struct talker t[] = {{.g = &a, .to = &b}, {.g = &b, .to = &c}, {.g = &c, .to = &a}};

	(void)state;
	run_talkers(t, 3, NULL);
	assert_talked(t, 3);
}

/* A fourth vif comes and goes while the others talk. */
static void reconnect(void)
{
	static struct fake_guest d;
	static unsigned turn;

	if (turn++ == 0) {
		fake_guest_init(&d, w.hv, 4, 0);
		toolstack_add_vif(w.hv, 4, 0, NULL);
	}
	switch (turn % 8) {
	case 1:
		fake_guest_connect(&d);
		break;
	case 5:
		fake_guest_state(&d, XenbusStateClosed);
		break;
	case 7:
		if (fake_guest_backend_state(&d) == XenbusStateClosed) {
			fake_guest_disconnect(&d);
			fake_guest_state(&d, XenbusStateInitialising);
		} else {
			turn--;
		}
		break;
	case 0:
		turn -= fake_guest_backend_state(&d) != XenbusStateInitWait;
		break;
	default:
		break;
	}
}

static void others_come_and_go(void **state)
{
	struct talker t[] = {{.g = &a, .to = &b}, {.g = &b, .to = &a}};

	(void)state;
	run_talkers(t, 2, reconnect);
	assert_talked(t, 2);
}

/* Nobody reads at b: what waits for it is dropped by its own lcore's timer, whoever sent it; and then it is served again. */
static void a_full_guest_of_another_lcore(void **state)
{
	uint8_t frame[LEN], got[4096];
	struct net_packet p;
	struct netback_queue *q = &world_vif(&w, &b)->queue[0];

	(void)state;
	assert_int_not_equal(lcore_of(&b), 0);
	world_assert_traffic(&w, &a, &b); /* now b's address is known, and nothing is flooded */
	world_frame(frame, sizeof(frame), 1, 2);
	for (unsigned i = 0; i < 300; i++) {
		fake_guest_send(&a, frame, sizeof(frame), 0, NULL);
		if (i % 100 == 99)
			world_settle(&w);
		fake_guest_take_tx(&a);
	}
	for (unsigned i = 0; i < 100 && !__atomic_load_n(&q->stalled, __ATOMIC_RELAXED); i++)
		world_run_ms(&w, 20);
	assert_true(q->stalled);
	assert_int_equal(w.nb.waiting_segs, 0);
	while (fake_guest_receive(&b, got, sizeof(got), &p, true) > 0)
		;
	world_settle(&w);
	world_assert_traffic(&w, &a, &b);
}

static void protocol_broken_on_any_lcore(void **state)
{
	struct fake_guest *guests[] = {&a, &b, &c};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct fake_guest *g = guests[i];

		shm_store_release(&g->tx.shared->req_prod, g->tx.req_prod + 1000);
		hv_fake_evtchn_send(w.hv, g->domid, g->tx_port);
		world_settle(&w);
		assert_int_equal(fake_guest_backend_state(g), XenbusStateClosing);
		fake_guest_disconnect(g);
	}
	assert_int_equal(fake_guest_backend_state(&c), XenbusStateConnected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(queues_are_dealt_out, setup, teardown),
		cmocka_unit_test_setup_teardown(three_guests_talk, setup, teardown),
		cmocka_unit_test_setup_teardown(others_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_guest_of_another_lcore, setup, teardown),
		cmocka_unit_test_setup_teardown(protocol_broken_on_any_lcore, setup, teardown),
	};

	return cmocka_run_group_tests_name("lcores", tests, NULL, NULL);
}
