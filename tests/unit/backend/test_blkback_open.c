/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk whose server takes its time: everybody else is served meanwhile, and whoever does not wait for it leaves nothing behind. */
#include <tests/support/blk_world.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <semaphore.h>
#include <string.h>
#include <cmocka.h>

static struct blk_world w;
static struct blk_disk quick, slow;
static struct blk_peer p, neighbour;
static sem_t may_open;
static int (*open_disk)(const char *target, bool readonly, struct blkdev **out, char err[256]);

static int open_slowly(const char *target, bool readonly, struct blkdev **out, char err[256])
{
	if (strcmp(target, "quick") != 0)
		sem_wait(&may_open);
	return open_disk(target, readonly, out, err);
}

static int setup(void **state)
{
	(void)state;
	sem_init(&may_open, 0, 0);
	blk_world_create(&w);
	open_disk = w.bb.open;
	w.bb.open = open_slowly;
	blk_disk_init(&quick, "quick", 1 << 20, 512);
	blk_disk_init(&slow, "slow", 1 << 20, 512);
	blk_peer_init(&p, &w, 1);
	blk_peer_init(&neighbour, &w, 2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	blk_world_destroy(&w);
	blk_disk_fini(&quick);
	blk_disk_fini(&slow);
	sem_destroy(&may_open);
	return 0;
}

static void begin(const char *params)
{
	toolstack_add_vbd(w.hv, 1, p.devid, params, "w", NULL);
	blk_world_run_ms(&w, 10);
	assert_false(TAILQ_EMPTY(&w.bb.opens));
	assert_int_equal(blk_peer_backend_state(&p), XenbusStateInitialising);
}

/* The neighbour comes, with a disk that is opened at once, while the other is still being opened. */
static void the_neighbour_is_served(void)
{
	toolstack_add_vbd(w.hv, 2, neighbour.devid, "quick", "w", NULL);
	for (unsigned i = 0; i < 1000 && blk_peer_backend_state(&neighbour) != XenbusStateInitWait; i++)
		blk_world_run_ms(&w, 2);
	blk_peer_connect(&neighbour);
	for (unsigned i = 0; i < 1000 && blk_peer_backend_state(&neighbour) != XenbusStateConnected; i++)
		blk_world_run_ms(&w, 2);
	assert_int_equal(blk_peer_backend_state(&neighbour), XenbusStateConnected);
	assert_int_equal(blk_peer_backend_state(&p), XenbusStateInitialising);
}

static void others_do_not_wait(void **state)
{
	(void)state;
	begin("slow");
	the_neighbour_is_served();
	sem_post(&may_open);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&p), XenbusStateInitWait);
	blk_peer_connect(&p);
	blk_world_settle(&w);
	blk_peer_assert_works(&p);
	blk_peer_assert_works(&neighbour);
}

static void fails_after_a_while(void **state)
{
	(void)state;
	begin("nowhere");
	sem_post(&may_open);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&p), XenbusStateClosing);
}

/* The toolstack names another disk while the first is being opened: the first is closed once it is open. */
static void another_disk_meanwhile(void **state)
{
	(void)state;
	begin("slow");
	assert_int_equal(hv_fake_store_write(w.hv, 0, "backend/vbd/1/51712/params", "quick"), 0);
	for (unsigned i = 0; i < 1000 && blk_peer_backend_state(&p) != XenbusStateInitWait; i++)
		blk_world_run_ms(&w, 2);
	assert_int_equal(blk_peer_backend_state(&p), XenbusStateInitWait);
	assert_true(quick.opened);
	sem_post(&may_open);
	blk_world_settle(&w);
	assert_false(slow.opened);
	blk_peer_connect(&p);
	blk_world_settle(&w);
	blk_peer_assert_works(&p);
}

static void the_back_end_ends_meanwhile(void **state)
{
	(void)state;
	begin("slow");
	sem_post(&may_open);
	blk_world_stop(&w);
	assert_false(slow.opened);
	blk_world_start(&w);
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&p), XenbusStateInitWait);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(others_do_not_wait), TEST(fails_after_a_while), TEST(another_disk_meanwhile), TEST(the_back_end_ends_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
