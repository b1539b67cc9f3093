/* SPDX-License-Identifier: BSD-3-Clause */
/* How DPDK is started: which uplinks mean PCI, and that the pool of a back end fits into what EAL is given without huge pages. */
#include <backend/eal.h>
#include <backend/log.h>
#include <errno.h>
#include <rte_mempool.h>
#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static void pci_addresses(void **state)
{
	(void)state;
	assert_true(eal_is_pci("0000:03:00.0"));
	assert_true(eal_is_pci("03:00.1,rx_vec=1"));
	assert_false(eal_is_pci("net_af_packet0,iface=eth1"));
	assert_false(eal_is_pci("net_tap0"));
	assert_false(eal_is_pci(""));
}

static void lists_of_cores(void **state)
{
	static const char *const bad[] = {"", ",", "1,", ",1", "1,,2", "-", "1-", "-1", "3-1", "1,1", "0-2,1", "0-8", "x", "1 ", "0x1", "1024", "1-2-3",
					  "99999999999"};
	struct eal_cores c;

	(void)state;
	assert_int_equal(eal_parse_cores("5", &c), 0);
	assert_int_equal(c.nr, 1);
	assert_int_equal(c.core[0], 5);
	assert_int_equal(eal_parse_cores("7,1-3,0", &c), 0);
	assert_int_equal(c.nr, 5);
	assert_memory_equal(c.core, ((unsigned[]){7, 1, 2, 3, 0}), 5 * sizeof(unsigned));
	assert_int_equal(eal_parse_cores("1016-1023", &c), 0);
	assert_int_equal(c.nr, EAL_CORES);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(eal_parse_cores(bad[i], &c), -EINVAL);
}

/* For devices, and for the caches: the first lines of a burst's buffers lie in as many different sets of a first-level cache (64 of 64 bytes) as chance would have them do, or more. */
static void buffers_fill_the_cache(struct rte_mempool *pool)
{
	struct rte_mbuf *m[64];
	uint64_t sets = 0;

	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, m, 64), 0);
	for (unsigned i = 0; i < 64; i++) {
		sets |= 1ull << ((uintptr_t)m[i] >> 6 & 63);
		if (!rte_eal_has_hugepages())
			assert_int_equal(rte_mbuf_data_iova_default(m[i]), (uintptr_t)m[i]->buf_addr + RTE_PKTMBUF_HEADROOM); /* what a NIC would be told */
	}
	assert_false(pool->flags & RTE_MEMPOOL_F_NON_IO);
	assert_true(__builtin_popcountll(sets) >= 40);
	rte_pktmbuf_free_bulk(m, 64);
}

static void starts_and_has_room(void **state)
{
	cpu_set_t before, after;
	struct rte_mempool *pool;
	char *uplinks[] = {(char[]){"net_null0"}};

	(void)state;
	sched_getaffinity(0, sizeof(before), &before);
	assert_int_equal(eal_start(&(struct eal_cores){.nr = 0}, uplinks, 1), 0);
	sched_getaffinity(0, sizeof(after), &after);
	assert_true(CPU_EQUAL(&before, &after)); /* without --cores, the scheduler still chooses */
	pool = eal_pool_create();
	assert_non_null(pool);
	assert_int_equal(rte_mempool_avail_count(pool), EAL_MBUFS);
	buffers_fill_the_cache(pool);
	rte_mempool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(pci_addresses), cmocka_unit_test(lists_of_cores), cmocka_unit_test(starts_and_has_room)};

	return cmocka_run_group_tests_name("eal", tests, NULL, NULL);
}
