/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From Linux's signals back to the x86 exceptions that caused them. Called by process.c at every stop that is no system call. Linux hides the
 * hardware's error code and trap number; what can be told from siginfo is told here, the rest is for the core (fault.c).
 */
#include "process.h"

#define RFLAGS_RF 0x10000u
#define VSYSCALL_PAGE 0xffffffffff600000ull

enum { VEC_DE = 0, VEC_DB = 1, VEC_BP = 3, VEC_UD = 6, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16, VEC_AC = 17, VEC_XM = 19 };

bool stop_is_syscall(const struct user_regs_struct *r)
{
	return r->rcx == r->rip && !((r->r11 ^ r->eflags) & ~(uint64_t)RFLAGS_RF);
}

static void page_fault(struct engine_exit *exit, gva_t va, bool not_present)
{
	exit->vector = VEC_PF;
	exit->cr2 = va;
	exit->not_present = not_present;
}

/* SI_KERNEL: the CPU raised #GP, and there is no address; or Linux says so of a jump into the vsyscall page beside its entries. */
static void segv(const siginfo_t *si, const struct user_regs_struct *r, struct engine_exit *exit)
{
	if (si->si_code == SI_KERNEL && r->rip >> SLUICE_PAGE_SHIFT == VSYSCALL_PAGE >> SLUICE_PAGE_SHIFT)
		page_fault(exit, r->rip, true);
	else if (si->si_code == SI_KERNEL)
		exit->vector = VEC_GP;
	else
		page_fault(exit, (gva_t)si->si_addr, si->si_code == SEGV_MAPERR);
}

static void bus(const siginfo_t *si, struct engine_exit *exit)
{
	if (si->si_code == SI_KERNEL)
		exit->vector = VEC_SS;
	else if (si->si_code == BUS_ADRALN)
		exit->vector = VEC_AC;
	else
		page_fault(exit, (gva_t)si->si_addr, false);
}

/* SSE: a raised flag whose mask bit, seven places higher, is clear. */
static uint8_t fpe_vector(const siginfo_t *si, uint32_t mxcsr)
{
	if (si->si_code == FPE_INTDIV)
		return VEC_DE;
	return mxcsr & ~(mxcsr >> 7) & 0x3f ? VEC_XM : VEC_MF;
}

/* The seccomp filter refused a call through the vsyscall page, and Linux already made it return to its caller. For a guest that page does not exist: it
 * is a fetch from an unmapped address, with the return address still on the stack. */
static void vsyscall(const siginfo_t *si, struct user_regs_struct *r, struct engine_exit *exit)
{
	r->rip = (gva_t)si->si_call_addr;
	r->rsp -= 8;
	page_fault(exit, r->rip, true);
}

bool stop_exception(const siginfo_t *si, uint32_t mxcsr, struct user_regs_struct *r, struct engine_exit *exit)
{
	if (si->si_code <= 0) /* kill, tgkill, sigqueue */
		return false;
	exit->reason = ENGINE_EXIT_EXCEPTION;
	switch (si->si_signo) {
	case SIGSEGV:
		segv(si, r, exit);
		return true;
	case SIGBUS:
		bus(si, exit);
		return true;
	case SIGFPE:
		exit->vector = fpe_vector(si, mxcsr);
		return true;
	case SIGILL:
		exit->vector = VEC_UD;
		return true;
	case SIGTRAP:
		exit->vector = si->si_code == SI_KERNEL ? VEC_BP : VEC_DB;
		return true;
	case SIGSYS:
		vsyscall(si, r, exit);
		return true;
	}
	return false;
}
