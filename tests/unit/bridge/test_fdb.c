/* SPDX-License-Identifier: BSD-3-Clause */
/* bridge/fdb.c: learning, moving, ageing, a full table, a port's share, forgetting a port. */
#include "bridge_test.h"
#include <bridge/fdb.h>
#include <pthread.h>
#include <rte_lcore.h>

static struct fdb *f;

static void learn(unsigned n, uint16_t port, uint32_t now)
{
	struct rte_ether_addr a = mac(n);

	fdb_learn(f, &a, port, now);
}

static int lookup(unsigned n, uint32_t now)
{
	struct rte_ether_addr a = mac(n);

	return fdb_lookup(f, &a, now);
}

static int create(void **state)
{
	(void)state;
	f = fdb_create("t", 64, 48, 8, 300);
	return f ? 0 : -1;
}

static int destroy(void **state)
{
	(void)state;
	fdb_destroy(f);
	f = NULL;
	return 0;
}

static void test_learn_and_move(void **state)
{
	(void)state;
	assert_int_equal(lookup(1, 10), -1);
	learn(1, 3, 10);
	learn(2, 4, 10);
	assert_int_equal(lookup(1, 10), 3);
	assert_int_equal(lookup(2, 10), 4);
	assert_int_equal(lookup(1, 10), 3);
	learn(1, 5, 11);
	assert_int_equal(lookup(1, 11), 5);
	assert_int_equal(fdb_count(f), 2);
}

/* It says what has not found room, and each change has another number. */
static void test_it_tells_what_was_not_learnt(void **state)
{
	struct rte_ether_addr a = mac(1000);
	uint64_t changes = fdb_changes(f);

	(void)state;
	assert_true(changes > 0);
	assert_true(fdb_learn(f, &BROADCAST, 3, 10));
	assert_true(fdb_changes(f) == changes);
	for (unsigned i = 0; i < 48; i++) { /* a port's share */
		learn(i, 3, 10);
		assert_true(fdb_changes(f) != changes);
		changes = fdb_changes(f);
	}
	assert_false(fdb_learn(f, &a, 3, 10));
	learn(7, 3, 11); /* nothing new */
	assert_true(fdb_changes(f) == changes);
	assert_true(fdb_learn(f, &a, 4, 10));
	fdb_forget_port(f, 7); /* nothing learnt there */
	assert_true(fdb_changes(f) != changes);
}

static void test_group_and_zero_addresses_are_not_learnt(void **state)
{
	struct rte_ether_addr group = { { 0x01, 0, 0x5e, 1, 2, 3 } }, zero = { { 0 } };

	(void)state;
	fdb_learn(f, &group, 1, 0);
	fdb_learn(f, &BROADCAST, 1, 0);
	fdb_learn(f, &zero, 1, 0);
	assert_int_equal(fdb_count(f), 0);
	assert_int_equal(fdb_lookup(f, &zero, 0), -1);
	assert_int_equal(fdb_lookup(f, &group, 0), -1);
}

static void test_ageing(void **state)
{
	(void)state;
	learn(1, 3, 1000);
	learn(2, 4, 1000);
	assert_int_equal(lookup(1, 1300), 3);
	learn(2, 4, 1200); /* heard again */
	assert_int_equal(lookup(1, 1301), -1);
	assert_int_equal(fdb_count(f), 1);
	assert_int_equal(lookup(2, 1500), 4);
	assert_int_equal(lookup(2, 1501), -1);
	assert_int_equal(lookup(2, 1501), -1);
	learn(1, 2, 1600);
	assert_int_equal(lookup(1, 1600), 2);
}

static void test_clock_wraps(void **state)
{
	(void)state;
	learn(1, 3, 0xffffffff);
	assert_int_equal(lookup(1, 200), 3);
	assert_int_equal(lookup(1, 300), -1);
}

static void test_share_of_a_port(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 500; i++)
		learn(i, 1, 0);
	assert_int_equal(fdb_count(f), 48);
	learn(1000, 2, 0); /* another port still has room */
	assert_int_equal(lookup(1000, 0), 2);
	learn(1000, 1, 0); /* moved to the port that has none: unknown, not wrong */
	assert_int_equal(lookup(1000, 0), -1);
	assert_int_equal(fdb_count(f), 48);
}

static void test_full_table(void **state)
{
	unsigned known = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++)
		learn(i, (uint16_t)(i % 8), 0);
	assert_in_range(fdb_count(f), 32, 64);
	for (unsigned i = 0; i < 400; i++) {
		int port = lookup(i, 0);

		assert_true(port == -1 || port == (int)(i % 8));
		known += port >= 0;
	}
	assert_int_equal(known, fdb_count(f));
	/* Silent ones make room, without a look at the whole table at once. */
	for (unsigned i = 0; i < 400; i++)
		learn(1000 + i % 20, 7, 1000);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(lookup(1000 + i, 1000), 7);
}

static void test_forget_port(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 30; i++)
		learn(i, (uint16_t)(i % 3), 0);
	assert_int_equal(lookup(4, 0), 1);
	fdb_forget_port(f, 1);
	assert_int_equal(fdb_count(f), 20);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(lookup(i, 0), i % 3 == 1 ? -1 : (int)(i % 3));
	fdb_forget_port(f, 1);
	learn(4, 2, 0);
	assert_int_equal(lookup(4, 0), 2);
}

/* ---- several lcores at once ---- */

#define LCORES 3u
#define ADDRESSES 200u /* more than fit: entries are taken over all the time */
#define ROUNDS 200000u

static unsigned wrong, found;

/* Each address lives on two ports only; whatever others do, it is never found anywhere else. */
static void *one_lcore(void *arg)
{
	unsigned self = (unsigned)(uintptr_t)arg, seed = self, hits = 0;

	assert_int_equal(rte_thread_register(), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned r = (unsigned)rand_r(&seed), n = r % ADDRESSES, now = 1000 + i / 256;
		int at = lookup(n, now);

		if (at >= 0 && (unsigned)at % 4 != n % 4)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		hits += at >= 0;
		if (r / ADDRESSES % 4 == 0)
			learn(n, (uint16_t)(n % 4 + (r / ADDRESSES / 4 % 2) * 4), now);
	}
	__atomic_fetch_add(&found, hits, __ATOMIC_RELAXED);
	rte_thread_unregister();
	return NULL;
}

static void test_several_lcores(void **state)
{
	pthread_t thread[LCORES];
	unsigned known = 0;

	(void)state;
	fdb_destroy(f);
	f = fdb_create("lcores", 64, 48, 8, 3);
	assert_non_null(f);
	wrong = found = 0;
	for (unsigned i = 0; i < LCORES; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, one_lcore, (void *)(uintptr_t)(i + 1)), 0);
	for (unsigned i = 0; i < LCORES; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(wrong, 0);
	assert_true(found > ROUNDS / 10);
	for (unsigned n = 0; n < ADDRESSES; n++)
		known += lookup(n, 1000 + ROUNDS / 256) >= 0;
	assert_in_range(known, 1, 64);
	for (uint16_t port = 0; port < 8; port++)
		fdb_forget_port(f, port);
	assert_int_equal(fdb_count(f), 0); /* and the ports' counts were right, or some would have stayed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_learn_and_move, create, destroy),
		cmocka_unit_test_setup_teardown(test_it_tells_what_was_not_learnt, create, destroy),
		cmocka_unit_test_setup_teardown(test_group_and_zero_addresses_are_not_learnt, create, destroy),
		cmocka_unit_test_setup_teardown(test_ageing, create, destroy),
		cmocka_unit_test_setup_teardown(test_clock_wraps, create, destroy),
		cmocka_unit_test_setup_teardown(test_share_of_a_port, create, destroy),
		cmocka_unit_test_setup_teardown(test_full_table, create, destroy),
		cmocka_unit_test_setup_teardown(test_forget_port, create, destroy),
		cmocka_unit_test_setup_teardown(test_several_lcores, create, destroy),
	};

	return cmocka_run_group_tests_name("bridge/fdb", tests, start_dpdk, stop_dpdk);
}
