/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process engine: a vCPU is a traced Linux process in which the guest's kernel runs in ring 3. PTRACE_SYSEMU stops it at every system call before
 * Linux does anything, so `syscall` is a hypercall; faults stop it as signals; the TLB is its address space. engine.h is the contract; FACTS.md
 * sections 2 and 10 say what things cost.
 *
 * Not stopped, and so seen by a guest as the host has them: cpuid without Xen's prefix, rdtscp and rdpid (host CPU number), xgetbv, and dummy
 * values for sgdt and friends.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hypervisor/log.h"
#include "process.h"

#define STOP_SYSCALL (SIGTRAP | 0x80) /* PTRACE_O_TRACESYSGOOD */
#define INT80_BYTES 2
#define VEC_GP 13

static int process_create(int machine_fd, int cpu, struct engine_vcpu **out)
{
	struct engine_vcpu *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return -ENOMEM;
	v->pidfd = -1;
	rc = cage_start(v, machine_fd, cpu);
	if (rc) {
		free(v);
		return rc;
	}
	*out = v;
	return 0;
}

static void process_destroy(struct engine_vcpu *v)
{
	if (!v)
		return;
	cage_kill(v);
	free(v);
}

/* ---- registers ---- */

/* Linux takes back only null and RPL 3 selectors, though the CPU lets a guest load others. In 64-bit mode they mean nothing. */
static unsigned long long data_selector(uint16_t sel)
{
	return (sel & 3) == 3 ? sel : 0;
}

/* False: bases that Linux takes from nobody (a guest can load them with wrgsbase, and so end itself). */
static bool to_linux(const struct engine_regs *from, struct user_regs_struct *r)
{
	const struct cpu_user_regs *u = &from->user;

	*r = (struct user_regs_struct){
		.r15 = u->r15, .r14 = u->r14, .r13 = u->r13, .r12 = u->r12, .rbp = u->rbp, .rbx = u->rbx, .r11 = u->r11, .r10 = u->r10,
		.r9 = u->r9, .r8 = u->r8, .rax = u->rax, .rcx = u->rcx, .rdx = u->rdx, .rsi = u->rsi, .rdi = u->rdi,
		.rip = u->rip, .eflags = u->rflags, .rsp = u->rsp, .cs = CAGE_CS, .ss = CAGE_SS,
		.ds = data_selector(u->ds), .es = data_selector(u->es), .fs = data_selector(u->fs), .gs = data_selector(u->gs),
		.fs_base = from->fs_base, .gs_base = from->gs_base,
		.orig_rax = ~0ull, /* else Linux may take rax for the result of a call to restart */
	};
	return from->fs_base < CAGE_TASK_END && from->gs_base < CAGE_TASK_END;
}

static void from_linux(const struct user_regs_struct *r, struct engine_regs *to)
{
	struct cpu_user_regs *u = &to->user;

	u->r15 = r->r15, u->r14 = r->r14, u->r13 = r->r13, u->r12 = r->r12;
	u->rbp = r->rbp, u->rbx = r->rbx, u->r11 = r->r11, u->r10 = r->r10;
	u->r9 = r->r9, u->r8 = r->r8, u->rax = r->rax, u->rcx = r->rcx;
	u->rdx = r->rdx, u->rsi = r->rsi, u->rdi = r->rdi;
	u->rip = r->rip, u->rflags = r->eflags, u->rsp = r->rsp;
	u->ds = (uint16_t)r->ds, u->es = (uint16_t)r->es, u->fs = (uint16_t)r->fs, u->gs = (uint16_t)r->gs;
	to->fs_base = r->fs_base;
	to->gs_base = r->gs_base;
}

/* ---- running ---- */

static void die(struct engine_vcpu *v, struct engine_exit *exit, const char *why)
{
	if (!v->dead && why)
		log_error("process engine: process %d %s; its vCPU ends here", (int)v->pid, why);
	v->dead = true;
	exit->reason = ENGINE_EXIT_DEAD;
}

/* The call's number is in orig_rax: Linux has already put -ENOSYS into rax. */
static void system_call(struct user_regs_struct *r, struct engine_exit *exit)
{
	r->rax = r->orig_rax;
	if (stop_is_syscall(r)) {
		exit->reason = ENGINE_EXIT_HYPERCALL;
		return;
	}
	exit->reason = ENGINE_EXIT_EXCEPTION; /* int 0x80: no gate for it */
	exit->vector = VEC_GP;
	r->rip -= INT80_BYTES;
}

static bool signal_stop(struct engine_vcpu *v, int sig, struct user_regs_struct *r, struct engine_exit *exit)
{
	struct user_fpregs_struct fp = { 0 };
	siginfo_t si;

	if (sig == SIGURG) {
		__atomic_store_n(&v->kicked, false, __ATOMIC_SEQ_CST);
		exit->reason = ENGINE_EXIT_KICK;
		return true;
	}
	if (ptrace(PTRACE_GETSIGINFO, v->pid, 0, &si))
		return false;
	if (sig == SIGFPE)
		ptrace(PTRACE_GETFPREGS, v->pid, 0, &fp);
	return stop_exception(&si, fp.mxcsr, r, exit);
}

/* Into the guest and out again. False: nothing that concerns it. */
static bool step(struct engine_vcpu *v, struct user_regs_struct *r, struct engine_exit *exit)
{
	int status, rc = memcmp(&v->child, r, sizeof(*r)) ? process_set_regs(v, r) : 0;

	if (rc && rc != -ESRCH) {
		die(v, exit, "has registers that Linux does not take");
		return true;
	}
	ptrace(PTRACE_SYSEMU, v->pid, 0, 0); /* fails only when it was killed: the wait says so */
	if (!process_wait(v, &status) || ptrace(PTRACE_GETREGS, v->pid, 0, &v->child)) {
		die(v, exit, NULL);
		return true;
	}
	*r = v->child;
	if (r->cs != CAGE_CS) {
		die(v, exit, "left 64-bit mode");
		return true;
	}
	if (WSTOPSIG(status) != STOP_SYSCALL)
		return signal_stop(v, WSTOPSIG(status), r, exit);
	system_call(r, exit);
	return true;
}

static void process_run(struct engine_vcpu *v, struct engine_regs *regs, struct engine_exit *exit)
{
	struct user_regs_struct r;

	*exit = (struct engine_exit){ .reason = ENGINE_EXIT_KICK };
	if (v->dead || !to_linux(regs, &r)) {
		die(v, exit, "has a segment base in the upper half");
		return;
	}
	/* Orders: this store before the load of kicked; kick stores kicked and then loads running, so one of us sees the other. */
	__atomic_store_n(&v->running, true, __ATOMIC_SEQ_CST);
	if (!__atomic_exchange_n(&v->kicked, false, __ATOMIC_SEQ_CST)) {
		while (!step(v, &r, exit))
			;
		from_linux(&r, regs);
	}
	__atomic_store_n(&v->running, false, __ATOMIC_SEQ_CST);
}

static void process_kick(struct engine_vcpu *v)
{
	int saved = errno;

	if (!__atomic_exchange_n(&v->kicked, true, __ATOMIC_SEQ_CST) && __atomic_load_n(&v->running, __ATOMIC_SEQ_CST))
		syscall(SYS_pidfd_send_signal, v->pidfd, SIGURG, NULL, 0);
	errno = saved;
}

static int process_kick_fd(struct engine_vcpu *v)
{
	return v->pidfd;
}

/* ---- the TLB ---- */

/* Is [va, va + n pages) a place where guests can be mapped? */
static bool mappable(gva_t va, size_t n)
{
	return !(va & (SLUICE_PAGE_SIZE - 1)) && va < CAGE_LAUNCHER && n <= (CAGE_LAUNCHER - va) >> SLUICE_PAGE_SHIFT;
}

static int process_map(struct engine_vcpu *v, gva_t va, mfn_t mfn, size_t n, unsigned prot)
{
	uint64_t p = PROT_READ | (prot & ENGINE_PROT_WRITE ? PROT_WRITE : 0) | (prot & ENGINE_PROT_EXEC ? PROT_EXEC : 0);
	long rc;

	if (!n || !mappable(va, n))
		return -EINVAL;
	if (v->mappings++ >= CAGE_MAPPINGS)
		return -ENOMEM;
	rc = inject(v, SYS_mmap, va, n << SLUICE_PAGE_SHIFT, p, MAP_SHARED | MAP_FIXED, CAGE_MACHINE_FD, mfn << SLUICE_PAGE_SHIFT);
	if (rc == (long)va)
		return 0;
	/* EPERM: below vm.mmap_min_addr without the privilege; EOVERFLOW, EACCES: no such frame. */
	return rc == -ENOMEM || rc == -ESRCH ? (int)rc : -EINVAL;
}

static int process_flush(struct engine_vcpu *v, gva_t va, size_t n)
{
	if (!n || va >= CAGE_LAUNCHER) /* nothing was ever mapped there */
		return 0;
	if (n > (CAGE_LAUNCHER - va) >> SLUICE_PAGE_SHIFT)
		n = (CAGE_LAUNCHER - va) >> SLUICE_PAGE_SHIFT;
	return (int)inject(v, SYS_munmap, va, n << SLUICE_PAGE_SHIFT, 0, 0, 0, 0);
}

static int process_flush_all(struct engine_vcpu *v)
{
	v->mappings = 0;
	return process_flush(v, 0, CAGE_LAUNCHER >> SLUICE_PAGE_SHIFT);
}

const struct engine_ops engine_process = {
	.name = "process",
	.create = process_create,
	.destroy = process_destroy,
	.run = process_run,
	.kick = process_kick,
	.kick_fd = process_kick_fd,
	.map = process_map,
	.flush = process_flush,
	.flush_all = process_flush_all,
	.va_limit = CAGE_LAUNCHER,
};
