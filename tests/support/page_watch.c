/* SPDX-License-Identifier: BSD-3-Clause */
#include "page_watch.h"
#include <signal.h>
#include <sluice/types.h>
#include <sys/mman.h>
#include <ucontext.h>

#define TRAP_FLAG 0x100ll
#define FAULT_OF_WRITE 2 /* in the page fault's error code */

static uint8_t *watched;
static void (*tell_accessed)(unsigned at, bool write);
static void (*tell_after)(void);
static struct sigaction old_fault, old_step; /* cmocka's */

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uintptr_t at = (uintptr_t)info->si_addr - (uintptr_t)watched;

	(void)sig;
	if (at >= SLUICE_PAGE_SIZE) {
		signal(SIGSEGV, SIG_DFL); /* a real crash: let it happen */
		return;
	}
	tell_accessed((unsigned)at, uc->uc_mcontext.gregs[REG_ERR] & FAULT_OF_WRITE);
	mprotect(watched, SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	if (tell_after)
		tell_after();
	mprotect(watched, SLUICE_PAGE_SIZE, PROT_NONE);
	uc->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

void page_watch_begin(uint8_t *page, void (*accessed)(unsigned at, bool write), void (*after)(void))
{
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO }, step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	watched = page;
	tell_accessed = accessed;
	tell_after = after;
	sigaction(SIGSEGV, &fault, &old_fault);
	sigaction(SIGTRAP, &step, &old_step);
	mprotect(page, SLUICE_PAGE_SIZE, PROT_NONE);
}

void page_watch_end(void)
{
	mprotect(watched, SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &old_fault, NULL);
	sigaction(SIGTRAP, &old_step, NULL);
}
