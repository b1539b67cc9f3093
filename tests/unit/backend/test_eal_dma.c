/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK on memory whose addresses the hypervisor tells (backend/eal_dma.c): buffers and rings get those addresses, and none that Linux would tell. Needs no device and no Xen. */
#include <backend/eal.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_memzone.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <cmocka.h>

#define FIRST 0x7b200000ul /* addresses go down chunk by chunk, as Xen's do */

static char *memory;
static unsigned chunks;

static int give_memory(struct hv *hv, unsigned n, void **va, uint64_t *addr)
{
	(void)hv;
	memory = aligned_alloc(HV_DMA_CHUNK, n * HV_DMA_CHUNK);
	assert_non_null(memory);
	for (size_t i = 0; i < n * HV_DMA_CHUNK; i++)
		memory[i] = 0;
	for (unsigned i = 0; i < n; i++)
		addr[i] = FIRST - i * HV_DMA_CHUNK;
	*va = memory;
	chunks = n;
	return 0;
}

static int no_need(struct hv *hv, unsigned n, void **va, uint64_t *addr)
{
	(void)hv;
	(void)n;
	(void)va;
	(void)addr;
	return -ENOTSUP;
}

static int no_memory(struct hv *hv, unsigned n, void **va, uint64_t *addr)
{
	(void)hv;
	(void)n;
	(void)va;
	(void)addr;
	return -ENOMEM;
}

static uint64_t addr_of(const void *va)
{
	size_t at = (size_t)((const char *)va - memory);

	assert_true(at < chunks * HV_DMA_CHUNK);
	return FIRST - at / HV_DMA_CHUNK * HV_DMA_CHUNK + at % HV_DMA_CHUNK;
}

static void where_any_memory_will_do(void **state)
{
	struct hv_ops ops = {0};
	struct hv hv = {.ops = &ops};

	(void)state;
	assert_int_equal(eal_dma_prepare(&hv), 0);
	ops.dma_memory = no_need;
	assert_int_equal(eal_dma_prepare(&hv), 0);
	ops.dma_memory = no_memory;
	assert_int_equal(eal_dma_prepare(&hv), -ENOMEM);
	assert_false(eal_dma_wanted());
}

static void check_addresses(struct rte_mempool *pool, struct rte_mbuf **m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		m[i] = rte_pktmbuf_alloc(pool);
		assert_non_null(m[i]);
		assert_int_equal(m[i]->buf_iova, addr_of(m[i]->buf_addr));
		assert_int_equal(((uintptr_t)m[i]->buf_addr + m[i]->buf_len) % SLUICE_PAGE_SIZE, 0); /* its last page is a whole one */
		assert_true(m[i]->buf_len > SLUICE_PAGE_SIZE + RTE_PKTMBUF_HEADROOM + 1600);
		assert_int_equal(m[i]->buf_iova + m[i]->buf_len - 1, addr_of((char *)m[i]->buf_addr + m[i]->buf_len - 1));
	}
}

static void addresses_are_those_told(void **state)
{
	struct hv_ops ops = {.dma_memory = give_memory};
	struct hv hv = {.ops = &ops};
	const struct rte_memzone *ring;
	struct rte_mempool *pool;
	struct rte_mbuf **m;

	(void)state;
	assert_int_equal(eal_dma_prepare(&hv), 0);
	assert_true(eal_dma_wanted());
	assert_int_equal(eal_start(&(struct eal_cores){.nr = 0}, NULL, 0), 0);
	assert_int_equal(rte_eal_iova_mode(), RTE_IOVA_PA); /* else the PCI bus attaches no NIC without an IOMMU */
	ring = rte_memzone_reserve_aligned("early", 65536, SOCKET_ID_ANY, RTE_MEMZONE_IOVA_CONTIG, 4096); /* of a driver, while EAL starts */
	assert_non_null(ring);
	assert_int_equal(ring->iova, addr_of(ring->addr));
	pool = eal_pool_create();
	assert_non_null(pool);
	m = calloc(pool->size, sizeof(*m));
	check_addresses(pool, m, pool->size);
	for (unsigned i = 0; i < 8; i++) { /* a ring of 4096 descriptors each way, for four NICs */
		char name[] = {'r', (char)('0' + i), 0};

		ring = rte_memzone_reserve_aligned(name, 65536, pool->socket_id, RTE_MEMZONE_IOVA_CONTIG, 128);
		assert_non_null(ring);
		assert_int_equal(ring->iova, addr_of(ring->addr));
		assert_int_equal(ring->iova + 65535, addr_of((char *)ring->addr + 65535));
		rte_memzone_free(ring);
	}
	rte_pktmbuf_free_bulk(m, pool->size);
	free(m);
	rte_mempool_free(pool);
	rte_memzone_free(rte_memzone_lookup("early"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(where_any_memory_will_do), cmocka_unit_test(addresses_are_those_told)};

	return cmocka_run_group_tests_name("eal_dma", tests, NULL, NULL);
}
