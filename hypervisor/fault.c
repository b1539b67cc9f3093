/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What to do about an exception that the engine reports: a TLB miss is filled, a privileged instruction or a write to a page table is
 * emulated, and what remains is the guest's own. Called by vcpu.c with hv_lock held.
 */
#include "decode.h"
#include "log.h"
#include "mmu.h"
#include "vcpu.h"

enum { VEC_DF = 8, VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_AC = 17 };
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_FETCH = 16 };
#define INSN_MOST 15u
#define SOFT_INT 0xcd /* int imm8 */

/* cr2 lies in the instruction itself: in its first byte, or past the page boundary that it crosses. */
static bool is_fetch(const struct vcpu *v, gva_t cr2)
{
	gva_t rip = v->regs.user.rip;

	return cr2 == rip || (cr2 - rip < INSN_MOST && !(cr2 & (SLUICE_PAGE_SIZE - 1)));
}

static bool is_write(struct vcpu *v, gva_t cr2)
{
	uint8_t bytes[INSN_MOST];
	struct insn insn;

	return !insn_decode(bytes, emulate_fetch(v, bytes), &insn) && insn_writes(&insn, &v->regs.user, cr2);
}

/* The error code that Linux hides. All that the engine maps can be read: an access that was not allowed is a write or a fetch. Xen
 * reports its guest's kernel as a supervisor, though it runs in ring 3, so the user bit stays 0. */
static uint32_t pf_error_code(struct vcpu *v, const struct engine_exit *exit)
{
	struct mmu_walk w;
	uint32_t code = mmu_walk(v, exit->cr2, &w) ? 0 : PF_PRESENT;

	if (is_fetch(v, exit->cr2))
		return code | PF_FETCH;
	return code | (!exit->not_present || is_write(v, exit->cr2) ? PF_WRITE : 0);
}

/* The engine refused what the guest's tables allow: its entry is older than the tables. */
static bool refresh(struct vcpu *v, gva_t va)
{
	struct mmu_walk w;

	if (mmu_walk(v, va, &w) || !(is_fetch(v, va) ? w.exec : w.write))
		return false;
	tlb_flush_page(v, va);
	tlb_sync(v);
	return !tlb_fill(v, va);
}

static void page_fault(struct vcpu *v, const struct engine_exit *exit)
{
	if (exit->not_present ? !tlb_fill(v, exit->cr2) : refresh(v, exit->cr2))
		return;
	if (!emulate_memory(v, exit->cr2))
		trap_deliver(v, VEC_PF, true, pf_error_code(v, exit), exit->cr2);
}

/* `int n` through a gate that the kernel opened to itself (privilege level 1 or more in trap_info.flags). */
static bool software_interrupt(struct vcpu *v, const uint8_t *bytes, unsigned n)
{
	const struct trap_info *t = &v->traps[bytes[1]];

	if (n < 2 || bytes[0] != SOFT_INT || !t->address || !(t->flags & 3))
		return false;
	v->regs.user.rip += 2;
	trap_deliver(v, bytes[1], false, 0, 0);
	return true;
}

static void general_protection(struct vcpu *v)
{
	uint8_t bytes[INSN_MOST] = { 0 };
	unsigned n;

	if (emulate_privileged(v))
		return;
	n = emulate_fetch(v, bytes);
	if (software_interrupt(v, bytes, n))
		return;
	/* The CPU's own code for `int n`: the gate in the IDT. */
	trap_deliver(v, VEC_GP, true, n >= 2 && bytes[0] == SOFT_INT ? bytes[1] << 3 | 2u : 0, 0);
}

static bool has_error_code(unsigned vector)
{
	return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

void vcpu_fault(struct vcpu *v, const struct engine_exit *exit)
{
	switch (exit->vector) {
	case VEC_PF:
		page_fault(v, exit);
		break;
	case VEC_GP:
		general_protection(v);
		break;
	case 6: /* #UD */
		if (emulate_privileged(v))
			break;
		/* fall through */
	default:
		trap_deliver(v, exit->vector, has_error_code(exit->vector), 0, 0);
		break;
	}
}
