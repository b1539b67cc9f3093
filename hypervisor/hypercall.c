/* SPDX-License-Identifier: BSD-3-Clause */
/* Dispatch of hypercalls (hypercall.h; vcpu.c calls it for each one), multicall, and the hypercall page. */
#include "hypercall.h"

#include <errno.h>
#include <string.h>

#include "event.h"
#include "grant.h"
#include "guest_access.h"
#include "log.h"
#include "mmu.h"
#include "time.h"
#include "vcpu.h"

#define HYPERCALL_ARGS 6u
#define HYPERCALL_STUBS 128u
#define HYPERCALL_STUB_SIZE 32u
#define MULTICALL_MAX 65536u
#define UNKNOWN_ABOVE 63u /* the bit of unknown_hypercalls for all numbers from here on */
#define INT3 0xcc

static long unknown(struct vcpu *v, uint64_t nr)
{
	struct domain *d = v->domain;
	uint64_t bit = 1ull << (nr < UNKNOWN_ABOVE ? nr : UNKNOWN_ABOVE);

	if (!(d->unknown_hypercalls & bit))
		log_domain_limited(d, "hypercall %lu is not implemented", nr);
	d->unknown_hypercalls |= bit;
	return -ENOSYS;
}

/* The tables of another domain are nobody's business. Bits 16 and up of the word say whose tables, below whose pages. */
static long mmu_update(struct vcpu *v, const uint64_t a[HYPERCALL_ARGS])
{
	uint32_t tables = (uint32_t)a[3] >> 16;

	if (tables && tables - 1 != v->domain->domid && tables - 1 != DOMID_SELF)
		return -EPERM;
	return do_mmu_update(v, a[0], (unsigned)a[1], a[2], (domid_t)a[3]);
}

static long memory_call(struct vcpu *v, uint64_t nr, const uint64_t a[HYPERCALL_ARGS])
{
	switch (nr) {
	case __HYPERVISOR_mmu_update:
		return mmu_update(v, a);
	case __HYPERVISOR_update_va_mapping:
		return do_update_va_mapping(v, a[0], a[1], a[2]);
	case __HYPERVISOR_mmuext_op:
		return do_mmuext_op(v, a[0], (unsigned)a[1], a[2], (domid_t)a[3]);
	case __HYPERVISOR_memory_op:
		return do_memory_op(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_set_gdt:
		return do_set_gdt(v, a[0], (unsigned)a[1]);
	case __HYPERVISOR_update_descriptor:
		return do_update_descriptor(v, a[0], a[1]);
	case __HYPERVISOR_vm_assist:
		return do_vm_assist(v, (unsigned)a[0], (unsigned)a[1]);
	default:
		return unknown(v, nr);
	}
}

static long cpu_call(struct vcpu *v, uint64_t nr, const uint64_t a[HYPERCALL_ARGS])
{
	switch (nr) {
	case __HYPERVISOR_set_trap_table:
		return do_set_trap_table(v, a[0]);
	case __HYPERVISOR_stack_switch:
		return do_stack_switch(v, a[0], a[1]);
	case __HYPERVISOR_set_callbacks:
		return do_set_callbacks(v, a[0], a[1], a[2]);
	case __HYPERVISOR_callback_op:
		return do_callback_op(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_fpu_taskswitch:
		return 0; /* each vCPU process has its own FPU state: nothing is ever switched lazily */
	case __HYPERVISOR_set_segment_base:
		return do_set_segment_base(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_vcpu_op:
		return do_vcpu_op(v, (unsigned)a[0], (unsigned)a[1], a[2]);
	default:
		return memory_call(v, nr, a);
	}
}

/* All but iret and multicall, which work on more than their arguments. */
static long call(struct vcpu *v, uint64_t nr, const uint64_t a[HYPERCALL_ARGS])
{
	switch (nr) {
	case __HYPERVISOR_sched_op:
		return do_sched_op(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_sched_op_compat:
		return do_sched_op_compat(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_event_channel_op:
		return do_event_channel_op(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_grant_table_op:
		return do_grant_table_op(v, (unsigned)a[0], a[1], (unsigned)a[2]);
	case __HYPERVISOR_set_timer_op:
		return do_set_timer_op(v, a[0]);
	case __HYPERVISOR_xen_version:
		return do_xen_version(v, (unsigned)a[0], a[1]);
	case __HYPERVISOR_console_io:
		return do_console_io(v, (unsigned)a[0], (unsigned)a[1], a[2]);
	case __HYPERVISOR_physdev_op:
		return do_physdev_op(v, (unsigned)a[0], a[1]);
	default:
		return cpu_call(v, nr, a);
	}
}

static long multicall(struct vcpu *v, gva_t entries, unsigned n)
{
	if (n > MULTICALL_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n && v->domain->run == DOMAIN_RUNNING; i++) {
		gva_t at = entries + (gva_t)i * sizeof(struct multicall_entry);
		struct multicall_entry e;

		if (get_guest(v, e, at))
			return -EFAULT;
		if (e.op == __HYPERVISOR_multicall || e.op == __HYPERVISOR_iret)
			e.result = (xen_ulong_t)-EINVAL;
		else
			e.result = (xen_ulong_t)call(v, e.op, e.args);
		if (copy_to_guest(v, at + offsetof(struct multicall_entry, result), &e.result, sizeof(e.result)))
			return -EFAULT;
		hv_lock_breathe();
	}
	return 0;
}

void hypercall(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	const uint64_t a[HYPERCALL_ARGS] = { r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9 };
	uint64_t nr = r->rax;

	if (nr == __HYPERVISOR_iret)
		r->rax = (uint64_t)do_iret(v);
	else if (nr == __HYPERVISOR_multicall)
		r->rax = (uint64_t)multicall(v, a[0], (unsigned)a[1]);
	else
		r->rax = (uint64_t)call(v, nr, a);
}

/* `syscall` destroys rcx and r11, so a stub saves them; iret finds them, and rax, in its frame, and does not come back. */
void hypercall_page_fill(uint8_t page[4096])
{
	static const uint8_t stub[] = { 0x51, 0x41, 0x53, 0xb8, 0, 0, 0, 0, 0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };
	static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, __HYPERVISOR_iret, 0, 0, 0, 0x0f, 0x05 };
	const unsigned number_at = 4; /* the operand of mov to eax */

	memset(page, INT3, HYPERCALL_STUBS * HYPERCALL_STUB_SIZE);
	for (unsigned nr = 0; nr < HYPERCALL_STUBS; nr++) {
		uint8_t *at = page + nr * HYPERCALL_STUB_SIZE;

		memcpy(at, stub, sizeof(stub));
		at[number_at] = (uint8_t)nr;
	}
	memset(page + __HYPERVISOR_iret * HYPERCALL_STUB_SIZE, INT3, HYPERCALL_STUB_SIZE);
	memcpy(page + __HYPERVISOR_iret * HYPERCALL_STUB_SIZE, iret, sizeof(iret));
}
