/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hypercalls through the page that Xen filled in: number n is a call to byte 32 * n. Arguments in rdi, rsi, rdx, r10; rcx and r11 are lost, and a debug
 * build of Xen also destroys the arguments.
 */
#ifndef GUEST_HYPERCALL_H
#define GUEST_HYPERCALL_H

#include <sluice/abi.h>

extern uint8_t hypercall_page[4096];

static inline long hypercall4(unsigned nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	register uint64_t r10 __asm__("r10") = d;
	long rc;

	__asm__ volatile("call *%[entry]"
			 : "=a"(rc), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
			 : [entry] "a"(hypercall_page + 32 * nr)
			 : "rcx", "r11", "r8", "r9", "memory");
	return rc;
}

static inline long hypercall2(unsigned nr, uint64_t a, uint64_t b)
{
	return hypercall4(nr, a, b, 0, 0);
}

static inline long hypercall3(unsigned nr, uint64_t a, uint64_t b, uint64_t c)
{
	return hypercall4(nr, a, b, c, 0);
}

static inline long event_channel_op(unsigned cmd, void *arg)
{
	return hypercall2(__HYPERVISOR_event_channel_op, cmd, (uintptr_t)arg);
}

static inline long sched_op(unsigned cmd, void *arg)
{
	return hypercall2(__HYPERVISOR_sched_op, cmd, (uintptr_t)arg);
}

#endif
