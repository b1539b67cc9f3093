/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The only way to touch memory that another domain can write (DESIGN.md section 4; scripts/check-shm enforces it).
 *
 * A peer may change a shared byte between any two loads. So every shared value is read exactly once, into private memory,
 * and only the private copy is bounded and used. A plain struct assignment does not do that: gcc and clang at -O2 may
 * drop the private copy and load from the shared page again wherever a field is used (XSA-155).
 */
#ifndef SLUICE_SHM_H
#define SLUICE_SHM_H

#include <sluice/types.h>

/* Read an index that the peer publishes. Orders: this load before the loads of the slots that it covers. */
#define shm_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)

/* Publish an index. Orders: the stores to the slots that it covers before this store. */
#define shm_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Read or write one shared word with no order against anything else. */
#define shm_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define shm_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

/* Full barrier. Orders: our earlier stores before our later loads (publish an index, then look at the peer's event). */
#define shm_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* Tells the compiler that memory may have changed: it must not reuse or repeat a load across this line. */
#define shm_compiler_barrier() __asm__ volatile("" ::: "memory")

typedef uint64_t shm_wide_alias __attribute__((vector_size(16), may_alias, aligned(1)));
typedef uint64_t shm_u64_alias __attribute__((may_alias, aligned(1)));
typedef uint32_t shm_u32_alias __attribute__((may_alias, aligned(1)));
typedef uint16_t shm_u16_alias __attribute__((may_alias, aligned(1)));
typedef uint8_t shm_u8_alias __attribute__((may_alias));

/*
 * Copy n bytes of shared memory into private memory, each byte read exactly once. Meant for ring slots (n is a small
 * constant); bulk data goes through shm_copy_bulk.
 */
static inline __attribute__((always_inline)) void shm_copy_in(void *private_dst, const volatile void *shared_src, size_t n)
{
	uint8_t *d = private_dst;
	const volatile uint8_t *s = shared_src;

	for (; n >= 8; n -= 8, d += 8, s += 8)
		*(shm_u64_alias *)d = *(const volatile shm_u64_alias *)s;
	if (n & 4) {
		*(shm_u32_alias *)d = *(const volatile shm_u32_alias *)s;
		d += 4;
		s += 4;
	}
	if (n & 2) {
		*(shm_u16_alias *)d = *(const volatile shm_u16_alias *)s;
		d += 2;
		s += 2;
	}
	if (n & 1)
		*d = *s;
	shm_compiler_barrier();
}

/* 16 bytes in one load: a private copy that fits a register. */
static inline __attribute__((always_inline)) shm_wide_alias shm_load_wide(const volatile void *shared_src)
{
	return *(const volatile shm_wide_alias *)shared_src;
}

/* Copy n private bytes out to shared memory; the peer may read them half-written until an index is published. */
static inline __attribute__((always_inline)) void shm_copy_out(volatile void *shared_dst, const void *private_src, size_t n)
{
	volatile uint8_t *d = shared_dst;
	const uint8_t *s = private_src;

	for (; n >= 8; n -= 8, d += 8, s += 8)
		*(volatile shm_u64_alias *)d = *(const shm_u64_alias *)s;
	if (n & 4) {
		*(volatile shm_u32_alias *)d = *(const shm_u32_alias *)s;
		d += 4;
		s += 4;
	}
	if (n & 2) {
		*(volatile shm_u16_alias *)d = *(const shm_u16_alias *)s;
		d += 2;
		s += 2;
	}
	if (n & 1)
		*d = *s;
	shm_compiler_barrier();
}

/*
 * Have the cache line at p brought here, to be read, or to be written (taken away from whoever has it). Only a hint: p may be anything. In assembly because gcc
 * takes a function that does nothing but __builtin_prefetch for one without effect and drops its calls, and because it knows no prefetchw below
 * x86-64-v3; every x86-64 processor executes that (as nothing, where it is not known).
 */
static inline __attribute__((always_inline)) void shm_prefetch(const volatile void *p)
{
	__asm__ volatile("prefetcht0 %0" : : "m"(*(const volatile char *)p));
}

static inline __attribute__((always_inline)) void shm_prefetch_write(const volatile void *p)
{
	__asm__ volatile("prefetchw %0" : : "m"(*(const volatile char *)p));
}

/* Move payload between a granted page and private memory: no field of it is interpreted before the copy is done. */
static inline __attribute__((always_inline)) void shm_copy_bulk(void *dst, const void *src, size_t n)
{
	if (n - 32 <= 32) { /* the smallest packets: two halves that may overlap */
		const shm_wide_alias *first = src, *last = (const void *)((const uint8_t *)src + n - 32);
		shm_wide_alias a = first[0], b = first[1], c = last[0], d = last[1];

		((shm_wide_alias *)dst)[0] = a;
		((shm_wide_alias *)dst)[1] = b;
		((shm_wide_alias *)((uint8_t *)dst + n - 32))[0] = c;
		((shm_wide_alias *)((uint8_t *)dst + n - 32))[1] = d;
	} else {
		__builtin_memcpy(dst, src, n);
	}
	shm_compiler_barrier();
}

#endif
