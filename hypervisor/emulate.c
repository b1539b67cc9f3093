/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Privileged instructions that a de-privileged kernel may use, as Xen emulates them for PV guests. Called by fault.c after #GP or #UD, with hv_lock
 * held. The instruction is read once; what is not known here is the guest's own fault.
 */
#include <string.h>
#include <sluice/shm.h>
#include "decode.h"
#include "guest_access.h"
#include "hypercall.h"
#include "vcpu.h"

#define INSN_MOST 15u
#define MSR_EFER 0xc0000080u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define EFER_OF_PV 0xd01ull     /* NX, LMA, LME, SCE */
#define CR0_OF_PV 0x80050033ull /* PG, AM, WP, NE, ET, MP, PE */
#define CR0_TS 8ull
#define CR4_OF_PV 0x620ull      /* OSXMMEXCPT, OSFXSR, PAE */
#define CR4_OSXSAVE 0x40000ull
#define RFLAGS_FROM_IRET 0x50dd5ull /* what iretq in ring 3 may change: AC, RF, OF, DF, TF, SF, ZF, AF, PF, CF */
#define RFLAGS_FIXED 0x202ull

static const uint8_t forced_cpuid[7] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2 };

unsigned emulate_fetch(struct vcpu *v, uint8_t bytes[INSN_MOST])
{
	gva_t rip = v->regs.user.rip;
	unsigned here = SLUICE_PAGE_SIZE - (rip & (SLUICE_PAGE_SIZE - 1));

	if (here >= INSN_MOST)
		return copy_from_guest(v, bytes, rip, INSN_MOST) ? 0 : INSN_MOST;
	if (copy_from_guest(v, bytes, rip, here))
		return 0;
	return copy_from_guest(v, bytes + here, rip + here, INSN_MOST - here) ? here : INSN_MOST;
}

/* ---- model-specific registers ---- */

static uint64_t *base_msr(struct vcpu *v, uint32_t msr)
{
	switch (msr) {
	case MSR_FS_BASE:
		return &v->regs.fs_base;
	case MSR_GS_BASE:
		return &v->regs.gs_base;
	case MSR_KERNEL_GS_BASE: /* the one not in force: user mode's */
		return &v->gs_base_user;
	}
	return NULL;
}

static bool rdmsr(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	const uint64_t *base = base_msr(v, (uint32_t)r->rcx);
	uint64_t val = base ? *base : EFER_OF_PV;

	if (!base && (uint32_t)r->rcx != MSR_EFER)
		return false;
	r->rax = (uint32_t)val;
	r->rdx = val >> 32;
	return true;
}

static bool wrmsr(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	uint64_t *base = base_msr(v, (uint32_t)r->rcx), val = r->rdx << 32 | (uint32_t)r->rax;

	if (!base)
		return (uint32_t)r->rcx == MSR_EFER && val == EFER_OF_PV;
	if (val >= v->engine->va_limit)
		return false;
	*base = val;
	return true;
}

/* ---- control registers ---- */

static uint64_t cr4(void)
{
	uint32_t a = 1, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return CR4_OF_PV | (c & 1u << 27 ? CR4_OSXSAVE : 0);
}

static bool read_cr(struct vcpu *v, unsigned cr, uint64_t *to)
{
	switch (cr) {
	case 0:
		*to = CR0_OF_PV;
		return true;
	case 2:
		*to = shm_load(&v->info->arch.cr2);
		return true;
	case 3:
		*to = v->cr3 << SLUICE_PAGE_SHIFT;
		return true;
	case 4:
		*to = cr4();
		return true;
	}
	return false;
}

/* cr3 changes by MMUEXT_NEW_BASEPTR only. TS needs no trap here: the FPU belongs to the vCPU's process alone. */
static bool write_cr(struct vcpu *v, unsigned cr, uint64_t val)
{
	switch (cr) {
	case 0:
		return (val & ~CR0_TS) == CR0_OF_PV;
	case 2:
		shm_store(&v->info->arch.cr2, val);
		return true;
	case 4:
		return val == cr4();
	}
	return false;
}

/* xsetbv of what the host has switched on already changes nothing. */
static bool xsetbv(const struct cpu_user_regs *r)
{
	uint32_t lo, hi;

	if (!(cr4() & CR4_OSXSAVE) || (uint32_t)r->rcx)
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (r->rax & 1) && !((uint32_t)r->rax & ~lo) && !((uint32_t)r->rdx & ~hi);
}

/* ---- selectors ---- */

/* Linux's user segments and Xen's flat ones, with either RPL. */
static bool is_code_selector(uint64_t sel)
{
	return (sel | 3) == 0x33 || (sel | 3) == FLAT_KERNEL_CS64;
}

static bool is_data_selector(uint64_t sel)
{
	return !(sel & ~3ull) || (sel | 3) == 0x2b || (sel | 3) == FLAT_KERNEL_SS || (sel | 3) == FLAT_KERNEL_CS64;
}

static bool iretq(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	uint64_t frame[5]; /* rip, cs, rflags, rsp, ss */

	if (get_guest(v, frame, r->rsp) || !is_code_selector(frame[1]) || !is_data_selector(frame[4]))
		return false;
	r->rip = frame[0];
	r->rflags = (frame[2] & RFLAGS_FROM_IRET) | RFLAGS_FIXED;
	r->rsp = frame[3];
	return true;
}

static bool lretq(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	uint64_t frame[2]; /* rip, cs */

	if (get_guest(v, frame, r->rsp) || !is_code_selector(frame[1]))
		return false;
	r->rip = frame[0];
	r->rsp += sizeof(frame);
	return true;
}

/* ---- which instruction ---- */

/* After a prefix or two: 0f xx. */
static bool two_byte(struct vcpu *v, const struct insn *i)
{
	struct cpu_user_regs *r = &v->regs.user;

	switch (i->opcode) {
	case 0x01:
		return i->mod == 3 && (i->reg & 7) == 2 && (i->rm & 7) == 1 && xsetbv(r);
	case 0x06: /* clts */
	case 0x08: /* invd */
	case 0x09: /* wbinvd: guests own no device that needs it */
		return true;
	case 0x20:
		return read_cr(v, i->reg, insn_reg(r, i->rm));
	case 0x22:
		return write_cr(v, i->reg, *insn_reg(r, i->rm));
	case 0x30:
		return wrmsr(v);
	case 0x32:
		return rdmsr(v);
	}
	return false;
}

/* What ends right after its opcode, or is a register form. */
static bool one_byte(struct vcpu *v, const struct insn *i)
{
	switch (i->opcode) {
	case 0xfa: /* cli, sti: no effect, as in Xen; kernels use evtchn_upcall_mask */
	case 0xfb:
		return true;
	case 0x8e: /* mov sreg, r: loads that Linux's descriptor table does not have; in 64-bit mode they mean nothing */
		return i->mod == 3 && i->reg != 1 && is_data_selector(*insn_reg(&v->regs.user, i->rm) & 0xffff);
	}
	return false;
}

/* Instructions that set rip themselves, or are done only after it moved on. */
static bool leaves(struct vcpu *v, const struct insn *i)
{
	if (i->map)
		return false;
	switch (i->opcode) {
	case 0xcf:
		return i->operand == 8 && iretq(v);
	case 0xcb:
		return i->operand == 8 && lretq(v);
	case 0xf4: /* hlt */
		v->regs.user.rip += i->len;
		do_sched_op_compat(v, SCHEDOP_block, 0);
		return true;
	}
	return false;
}

bool emulate_privileged(struct vcpu *v)
{
	uint8_t bytes[INSN_MOST];
	unsigned n = emulate_fetch(v, bytes);
	struct insn i;

	if (n >= sizeof(forced_cpuid) && !memcmp(bytes, forced_cpuid, sizeof(forced_cpuid))) {
		v->regs.user.rip += sizeof(forced_cpuid);
		emulate_cpuid(v);
		return true;
	}
	if (insn_decode(bytes, n, &i))
		return false;
	if (leaves(v, &i))
		return true;
	if (!(i.map ? two_byte(v, &i) : one_byte(v, &i)))
		return false;
	v->regs.user.rip += i.len;
	return true;
}
