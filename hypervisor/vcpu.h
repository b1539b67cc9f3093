/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vCPU's thread: enter the guest through the engine, handle the exit, again. See vcpu_main in vcpu.c for the whole loop.
 */
#ifndef SLUICE_VCPU_H
#define SLUICE_VCPU_H

#include "domain.h"

/* Start v's thread: it creates the engine's vCPU and waits until the domain is unpaused. 0 or -errno (also of the engine). */
int vcpu_start(struct vcpu *v);
/* Ask the thread to end, and join it; the engine's vCPU is gone then. hv_lock must not be held. Nothing for a vCPU that was never started. */
void vcpu_stop(struct vcpu *v);

/* Make v look at its events, its timer and its domain's state soon, wherever it is. hv_lock held, or called in v's own thread. */
void vcpu_kick(struct vcpu *v);

/* SCHEDOP_block and SCHEDOP_poll: called in v's thread with hv_lock held; sleeps (with the lock released) until an upcall is due (block),
 * one of ports is pending (poll), deadline_ns (0: none) has come, or the domain is paused, shut down or dying. */
void vcpu_block(struct vcpu *v, const evtchn_t *ports, unsigned n, uint64_t deadline_ns);
/* Set or clear (0) the one-shot timer that kicks v, in its own thread: v->timer_deadline. It costs a system call only when v enters the
 * guest with a deadline earlier than the one that is armed; a spare kick does no harm. */
void vcpu_set_timer(struct vcpu *v, uint64_t deadline_ns);

/* ---- traps.c: Xen's frames on the guest's stack ---- */
/* Deliver an exception through the guest's trap table, or crash the domain when it cannot be. */
void trap_deliver(struct vcpu *v, unsigned vector, bool has_error_code, uint32_t error_code, gva_t cr2);
/* Deliver the event upcall; masks further ones. */
void trap_upcall(struct vcpu *v);
long do_set_trap_table(struct vcpu *v, gva_t table);
long do_set_callbacks(struct vcpu *v, gva_t event, gva_t failsafe, gva_t syscall);
long do_callback_op(struct vcpu *v, unsigned cmd, gva_t arg);
long do_stack_switch(struct vcpu *v, uint64_t ss, gva_t esp);
long do_set_segment_base(struct vcpu *v, unsigned which, uint64_t base);
long do_iret(struct vcpu *v);

/* ---- fault.c: what to do about an exception that the engine reports ---- */
void vcpu_fault(struct vcpu *v, const struct engine_exit *exit);

/* ---- emulate.c, emulate_memory.c: instructions that a de-privileged kernel may use. True: done, rip moved on. ---- */
bool emulate_privileged(struct vcpu *v); /* after #GP or #UD: cpuid, rdmsr, wrmsr of bases, cli/sti/hlt, iretq to Xen selectors, segment loads, cr reads */
bool emulate_memory(struct vcpu *v, gva_t va); /* after #PF: reads of the m2p table, writes to page-table pages */
/* Up to 15 bytes of the instruction at rip, each read once: how many could be. */
unsigned emulate_fetch(struct vcpu *v, uint8_t bytes[15]);
void emulate_cpuid(struct vcpu *v); /* cpuid.c: what Xen shows a PV guest, into rax, rbx, rcx, rdx */

#endif
