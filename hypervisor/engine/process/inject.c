/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Our own system calls inside the guest's process: mmap and munmap for the TLB, and, while the cage is being built, what closes it. The process
 * is stopped; it runs `syscall; int3` of the launcher's page and stops again.
 */
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include "hypervisor/log.h"
#include "process.h"

#define INJECT_END (CAGE_LAUNCHER + 3) /* past syscall (2 bytes) and int3 (1) */
#define RFLAGS_IF 0x202u

bool process_wait(struct engine_vcpu *v, int *status)
{
	pid_t got;

	do
		got = waitpid(v->pid, status, __WALL);
	while (got < 0 && errno == EINTR);
	if (got == v->pid && WIFSTOPPED(*status))
		return true;
	v->dead = v->reaped = true;
	return false;
}

int process_set_regs(struct engine_vcpu *v, const struct user_regs_struct *regs)
{
	if (ptrace(PTRACE_SETREGS, v->pid, 0, regs))
		return -errno;
	v->child = *regs;
	return 0;
}

static long give_up(struct engine_vcpu *v, long nr, const char *why)
{
	if (!v->dead)
		log_error("process engine: system call %ld inside process %d %s; its vCPU ends here", nr, (int)v->pid, why);
	v->dead = true;
	return -ESRCH;
}

/* A stop other than the expected one: a kick to remember, or a signal that somebody sent. False: the call itself went wrong. */
static bool stray_stop(struct engine_vcpu *v, int status)
{
	siginfo_t si;

	if (WSTOPSIG(status) == SIGURG) {
		__atomic_store_n(&v->kicked, true, __ATOMIC_SEQ_CST);
		return true;
	}
	return !ptrace(PTRACE_GETSIGINFO, v->pid, 0, &si) && si.si_code <= 0;
}

long inject(struct engine_vcpu *v, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
	struct user_regs_struct r = {
		.rax = (unsigned long long)nr, .rdi = a, .rsi = b, .rdx = c, .r10 = d, .r8 = e, .r9 = f, .rip = CAGE_LAUNCHER,
		.eflags = RFLAGS_IF, .cs = CAGE_CS, .ss = CAGE_SS, .orig_rax = ~0ull,
	};
	int status;

	if (v->dead || process_set_regs(v, &r))
		return give_up(v, nr, "found it gone");
	for (;;) {
		/* When it was killed meanwhile this fails, and the wait says so. */
		ptrace(PTRACE_CONT, v->pid, 0, 0);
		if (!process_wait(v, &status))
			return give_up(v, nr, "was killed");
		if (ptrace(PTRACE_GETREGS, v->pid, 0, &v->child))
			return give_up(v, nr, "left no registers");
		if (WSTOPSIG(status) == SIGTRAP && v->child.rip == INJECT_END)
			return (long)v->child.rax;
		if (!stray_stop(v, status))
			return give_up(v, nr, "was refused");
	}
}
