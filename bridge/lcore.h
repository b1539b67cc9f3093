/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the back end's lcores the caller runs on, as an index into what each lcore has of its own. The back end gives its lcores DPDK's ids from 0 on
 * (backend/eal.c), so an id is that index; a test's single thread may have any id.
 */
#ifndef SLUICE_BRIDGE_LCORE_H
#define SLUICE_BRIDGE_LCORE_H

#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_spinlock.h>
#include <sched.h>

#define BRIDGE_LCORES 8u /* at most */

/* One more than that of this thread; 0: not asked yet. DPDK's own variable is in a shared library, and each look at it a call. */
extern __thread unsigned bridge_lcore_plus_1;

static inline unsigned bridge_lcore(void)
{
	if (__builtin_expect(!bridge_lcore_plus_1, 0)) {
		unsigned id = rte_lcore_id();

		bridge_lcore_plus_1 = (id < BRIDGE_LCORES ? id : 0) + 1;
	}
	return bridge_lcore_plus_1 - 1;
}

/*
 * A lock that is held for a burst at most. Where lcores share a core with other work its holder may not be running: then let it. In C11's atomics, not in
 * rte_spinlock's assembly, so that ThreadSanitizer sees it.
 */
static inline void bridge_lock(rte_spinlock_t *lock)
{
	for (unsigned tries = 1; __atomic_exchange_n(&lock->locked, 1, __ATOMIC_ACQUIRE); tries++) {
		if (tries % 1024 == 0)
			sched_yield();
		else
			rte_pause();
	}
}

static inline void bridge_unlock(rte_spinlock_t *lock)
{
	__atomic_store_n(&lock->locked, 0, __ATOMIC_RELEASE);
}

#endif
