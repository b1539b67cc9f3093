/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Exceptions and upcalls into a PV kernel, and its way back: the frames of Xen's x86-64 ABI (xen/arch-x86/xen-x86_64.h), and the hypercalls that
 * say where they go. Called by vcpu.c, fault.c and the hypercall table, with hv_lock held.
 *
 * From high to low: ss, rsp, rflags, cs, rip, [error code], r11, rcx. cs is Linux's user code segment with RPL 0, which is how Xen marks the
 * guest's kernel, and ss its user data segment: `orb $3` on cs and a plain iretq bring the kernel back in ring 3 without a fault. An
 * ss with RPL 0 would fault there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sluice/shm.h>
#include "guest_access.h"
#include "vcpu.h"

#define KERNEL_CS 0x30u /* 0x33 with RPL 0 */
#define KERNEL_SS 0x2bu
#define RFLAGS_TF 0x100ull
#define RFLAGS_IF 0x200ull
#define RFLAGS_IOPL 0x3000ull
#define RFLAGS_NT 0x4000ull
#define RFLAGS_RF 0x10000ull
#define RFLAGS_VM 0x20000ull
#define RFLAGS_AC 0x40000ull
#define RFLAGS_HANDLER_CLEARS (RFLAGS_AC | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT | RFLAGS_TF)
#define RFLAGS_FIXED 2ull
#define TRAP_DISABLES_EVENTS 4u /* in trap_info.flags */
#define TRAPS_MOST 257u         /* 256 vectors and the end mark */
#define FRAME_MOST 8u

static bool canonical(gva_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}

/* Push the frame and go to handler. -EFAULT: the stack cannot be written. */
static int bounce(struct vcpu *v, gva_t handler, const uint32_t *error_code)
{
	struct cpu_user_regs *r = &v->regs.user;
	uint64_t mask = shm_load(&v->info->evtchn_upcall_mask) != 0, frame[FRAME_MOST];
	unsigned n = 0;
	gva_t sp;

	frame[n++] = r->rcx;
	frame[n++] = r->r11;
	if (error_code)
		frame[n++] = *error_code;
	frame[n++] = r->rip;
	frame[n++] = KERNEL_CS | mask << 32; /* saved_upcall_mask */
	frame[n++] = (r->rflags & ~(RFLAGS_IF | RFLAGS_IOPL)) | (mask ? 0 : RFLAGS_IF);
	frame[n++] = r->rsp;
	frame[n++] = KERNEL_SS;
	sp = (r->rsp & ~15ull) - n * sizeof(frame[0]);
	if (copy_to_guest(v, sp, frame, n * sizeof(frame[0])))
		return -EFAULT;
	r->rsp = sp;
	r->rip = handler;
	r->rflags &= ~RFLAGS_HANDLER_CLEARS;
	return 0;
}

static void crash(struct vcpu *v, const char *what, unsigned vector, gva_t cr2)
{
	char why[128];

	snprintf(why, sizeof(why), "exception %u at rip %#llx (cr2 %#llx): %s", vector, (unsigned long long)v->regs.user.rip, (unsigned long long)cr2, what);
	domain_crash(v->domain, why);
}

void trap_deliver(struct vcpu *v, unsigned vector, bool has_error_code, uint32_t error_code, gva_t cr2)
{
	const struct trap_info *t = &v->traps[vector & 255];

	if (!t->address) {
		crash(v, "its kernel has no handler for it", vector, cr2);
		return;
	}
	if (vector == 14)
		shm_store(&v->info->arch.cr2, cr2);
	if (bounce(v, t->address, has_error_code ? &error_code : NULL)) {
		crash(v, "no stack to report it on", vector, cr2);
		return;
	}
	if (t->flags & TRAP_DISABLES_EVENTS)
		shm_store(&v->info->evtchn_upcall_mask, 1);
}

void trap_upcall(struct vcpu *v)
{
	if (bounce(v, v->event_callback, NULL)) {
		domain_crash(v->domain, "no stack for an event upcall");
		return;
	}
	shm_store(&v->info->evtchn_upcall_mask, 1);
}

long do_set_trap_table(struct vcpu *v, gva_t table)
{
	struct trap_info t;

	if (!table) {
		memset(v->traps, 0, sizeof(v->traps));
		return 0;
	}
	for (unsigned i = 0; i < TRAPS_MOST; i++) {
		if (get_guest(v, t, table + i * sizeof(t)))
			return -EFAULT;
		if (!t.address)
			return 0;
		if (!canonical(t.address))
			return -EINVAL;
		v->traps[t.vector] = t;
	}
	return -EINVAL;
}

long do_set_callbacks(struct vcpu *v, gva_t event, gva_t failsafe, gva_t syscall)
{
	if (!canonical(event) || !canonical(failsafe) || !canonical(syscall))
		return -EINVAL;
	v->event_callback = event;
	v->failsafe_callback = failsafe;
	v->syscall_callback = syscall;
	return 0;
}

/* No NMI is ever sent, and no guest user mode enters by syscall: those are taken and kept quiet. */
static long callback_set(struct vcpu *v, unsigned type, gva_t address)
{
	if (!canonical(address))
		return -EINVAL;
	switch (type) {
	case CALLBACKTYPE_event:
		v->event_callback = address;
		return 0;
	case CALLBACKTYPE_failsafe:
		v->failsafe_callback = address;
		return 0;
	case CALLBACKTYPE_syscall:
		v->syscall_callback = address;
		return 0;
	case CALLBACKTYPE_nmi:
		return 0;
	}
	return -ENOSYS;
}

/* As in Xen, only an NMI callback can be taken back. */
static long callback_unregister(unsigned type)
{
	switch (type) {
	case CALLBACKTYPE_event:
	case CALLBACKTYPE_failsafe:
	case CALLBACKTYPE_syscall:
		return -EINVAL;
	case CALLBACKTYPE_nmi:
		return 0;
	}
	return -ENOSYS;
}

long do_callback_op(struct vcpu *v, unsigned cmd, gva_t arg)
{
	struct callback_register reg;
	struct callback_unregister unreg;

	switch (cmd) {
	case CALLBACKOP_register:
		return get_guest(v, reg, arg) ? -EFAULT : callback_set(v, reg.type, reg.address);
	case CALLBACKOP_unregister:
		return get_guest(v, unreg, arg) ? -EFAULT : callback_unregister(unreg.type);
	}
	return -ENOSYS;
}

/* The stack for entries from user mode; ss is always ours. */
long do_stack_switch(struct vcpu *v, uint64_t ss, gva_t esp)
{
	(void)ss;
	v->kernel_sp = esp;
	return 0;
}

long do_set_segment_base(struct vcpu *v, unsigned which, uint64_t base)
{
	if (which == SEGBASE_GS_USER_SEL)
		return base & ~0xffffull ? -EINVAL : 0; /* a selector for user mode, which has none */
	if (base >= v->engine->va_limit)
		return -EINVAL;
	switch (which) {
	case SEGBASE_FS:
		v->regs.fs_base = base;
		return 0;
	case SEGBASE_GS_USER:
		v->gs_base_user = base;
		return 0;
	case SEGBASE_GS_KERNEL:
		v->regs.gs_base = base;
		return 0;
	}
	return -EINVAL;
}

/* struct iret_context at rsp. What is returned goes to rax, as for every hypercall. */
long do_iret(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	struct iret_context c;

	if (get_guest(v, c, r->rsp)) {
		domain_crash(v->domain, "iret from an unreadable stack");
		return 0;
	}
	if ((c.cs & 3) == 3) {
		domain_crash(v->domain, "iret to user mode, which has no page tables here");
		return 0;
	}
	if (!(c.flags & VGCF_in_syscall)) {
		r->r11 = c.r11;
		r->rcx = c.rcx;
	}
	r->rip = c.rip;
	r->rsp = c.rsp;
	r->rflags = (c.rflags & ~(RFLAGS_IOPL | RFLAGS_VM | RFLAGS_NT)) | RFLAGS_IF | RFLAGS_FIXED;
	shm_store(&v->info->evtchn_upcall_mask, !(c.rflags & RFLAGS_IF));
	return (long)c.rax;
}
