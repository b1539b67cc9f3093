/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cage of one vCPU: a process of our own launcher that is stopped before its first instruction, emptied, and stripped of everything that it
 * could ever ask Linux for. That no system call of the guest's runs at all is PTRACE_SYSEMU's work (process.c); the rest here is for the day
 * when that fails: a seccomp filter that knows only our mmap and munmap, no privileges but the one for mapping address 0, an
 * unprivileged user, namespaces of its own, and death with its supervisor. Called by process.c, in the vCPU's thread, which becomes the tracer.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "hypervisor/log.h"
#include "process.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u
#endif

extern const uint8_t launcher_elf[], launcher_elf_end[];

/* ---- the launcher ---- */

/* A memfd that can be executed; kernels before 6.3 do not know MFD_EXEC and need it not. -errno. */
static int launcher_open(void)
{
	size_t size = (size_t)(launcher_elf_end - launcher_elf);
	int fd = memfd_create("sluice-vcpu", MFD_CLOEXEC | MFD_EXEC);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("sluice-vcpu", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, launcher_elf, size) != (ssize_t)size) {
		close(fd);
		return -EIO;
	}
	return fd;
}

/* Handlers and ignored signals of sluiced must not reach the guest's process, nor its mask. By the system call itself: the C library keeps two
 * signals from sigaction, and make's children come with those ignored. */
static void default_signals(void)
{
	struct { void (*handler)(int); unsigned long flags; void (*restorer)(void); unsigned long mask; } dfl = { .handler = SIG_DFL };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		syscall(SYS_rt_sigaction, sig, &dfl, NULL, sizeof(dfl.mask));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child between fork and exec: sluiced has other threads, so only system calls. Leaves by exec, or with errno as its status. */
static void __attribute__((noreturn)) child_exec(int machine_fd, int launcher_fd)
{
	char *argv[] = { (char *)"sluice-vcpu", NULL }, *envp[] = { NULL };
	int machine, launcher;

	default_signals();
	personality(ADDR_NO_RANDOMIZE); /* else the stack may lie where the launcher belongs */
	machine = fcntl(machine_fd, F_DUPFD, 16);
	launcher = fcntl(launcher_fd, F_DUPFD_CLOEXEC, 16);
	if (machine < 0 || launcher < 0 || dup2(machine, CAGE_MACHINE_FD) < 0)
		_exit(errno);
	syscall(SYS_close_range, 0, CAGE_MACHINE_FD - 1, 0);
	syscall(SYS_close_range, CAGE_MACHINE_FD + 1, launcher - 1, 0);
	if (syscall(SYS_close_range, launcher + 1, ~0u, 0) || ptrace(PTRACE_TRACEME, 0, 0, 0))
		_exit(errno);
	syscall(SYS_execveat, launcher, "", argv, envp, AT_EMPTY_PATH);
	_exit(errno);
}

/* Until the child stops at the end of its exec. */
static int exec_wait(struct engine_vcpu *v)
{
	int status;

	if (!process_wait(v, &status))
		return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
	if (WSTOPSIG(status) != SIGTRAP || ptrace(PTRACE_SETOPTIONS, v->pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD) ||
	    ptrace(PTRACE_GETREGS, v->pid, 0, &v->child))
		return -EIO;
	return v->child.rip == CAGE_LAUNCHER ? 0 : -ENOEXEC;
}

static int launch(struct engine_vcpu *v, int machine_fd)
{
	int fd = launcher_open();

	if (fd < 0)
		return fd;
	v->pid = fork();
	if (!v->pid)
		child_exec(machine_fd, fd);
	close(fd);
	if (v->pid < 0) {
		v->reaped = true;
		return -errno;
	}
	return exec_wait(v);
}

/* ---- what closes the cage ---- */

/* Kernel structures that injected calls point to: written to the new process's stack while it still has one. */
struct confinement {
	struct __user_cap_header_struct cap_header;
	struct __user_cap_data_struct cap_rawio[2], cap_none[2];
	struct sock_fprog program;
	struct sock_filter filter[16];
};

#define FIELD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))

/* Only our own: munmap, and mmap of machine memory at a fixed place. What is refused raises SIGSYS, as a call through the vsyscall page must
 * (stop.c): that page answers without a SYSEMU stop. */
static const struct sock_filter only_mappings[] = {
	FIELD(arch), UNLESS(AUDIT_ARCH_X86_64, 8),
	FIELD(nr), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 5, 0), UNLESS(SYS_mmap, 5),
	FIELD(args[3]), UNLESS(MAP_SHARED | MAP_FIXED, 3),
	FIELD(args[4]), UNLESS(CAGE_MACHINE_FD, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
};

static void confinement_fill(struct confinement *c, uint64_t at)
{
	memset(c, 0, sizeof(*c));
	c->cap_header.version = _LINUX_CAPABILITY_VERSION_3;
	c->cap_rawio[0].effective = c->cap_rawio[0].permitted = 1u << CAP_SYS_RAWIO;
	memcpy(c->filter, only_mappings, sizeof(only_mappings));
	c->program.len = sizeof(only_mappings) / sizeof(only_mappings[0]);
	c->program.filter = (struct sock_filter *)(at + offsetof(struct confinement, filter));
}

static int poke(struct engine_vcpu *v, uint64_t at, const void *data, size_t n)
{
	const uint64_t *word = data;

	for (size_t i = 0; i < n / sizeof(*word); i++)
		if (ptrace(PTRACE_POKEDATA, v->pid, at + i * sizeof(*word), word[i]))
			return -errno;
	return 0;
}

/* Everything that may be refused: in a user namespace without that user, or without privileges to give up. */
static void drop_privileges(struct engine_vcpu *v, uint64_t at)
{
	uint64_t header = at + offsetof(struct confinement, cap_header);

	inject(v, SYS_unshare, CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS, 0, 0, 0, 0, 0);
	inject(v, SYS_setgroups, 0, 0, 0, 0, 0, 0);
	inject(v, SYS_setresgid, CAGE_UID, CAGE_UID, CAGE_UID, 0, 0, 0);
	inject(v, SYS_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0, 0);
	inject(v, SYS_setresuid, CAGE_UID, CAGE_UID, CAGE_UID, 0, 0, 0);
	/* Kernels linked at address 0 (GRUB) need their first pages mapped: below vm.mmap_min_addr only this capability allows it. */
	if (inject(v, SYS_capset, header, at + offsetof(struct confinement, cap_rawio), 0, 0, 0, 0))
		inject(v, SYS_capset, header, at + offsetof(struct confinement, cap_none), 0, 0, 0, 0);
}

/* What must succeed, or there is no guest. */
static int lock_up(struct engine_vcpu *v, uint64_t at)
{
	uint64_t above = CAGE_LAUNCHER + SLUICE_PAGE_SIZE;
	long rc = inject(v, SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0, 0);

	rc = rc ? rc : inject(v, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);
	rc = rc ? rc : inject(v, SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, at + offsetof(struct confinement, program), 0, 0, 0);
	rc = rc ? rc : inject(v, SYS_munmap, 0, CAGE_LAUNCHER, 0, 0, 0, 0);
	return (int)(rc ? rc : inject(v, SYS_munmap, above, CAGE_TASK_END - above, 0, 0, 0, 0));
}

static void limit(pid_t pid, unsigned resource, rlim_t most)
{
	struct rlimit l = { most, most };

	prlimit(pid, resource, &l, NULL);
}

static int confine(struct engine_vcpu *v)
{
	uint64_t at = (v->child.rsp - sizeof(struct confinement)) & ~63ull;
	struct confinement c;
	int rc;

	_Static_assert(sizeof(c) % sizeof(uint64_t) == 0, "poke writes whole words");
	_Static_assert(sizeof(only_mappings) <= sizeof(c.filter), "the filter fits");
	confinement_fill(&c, at);
	rc = poke(v, at, &c, sizeof(c));
	if (rc)
		return rc;
	limit(v->pid, RLIMIT_CORE, 0);
	limit(v->pid, RLIMIT_FSIZE, 0);
	limit(v->pid, RLIMIT_NOFILE, CAGE_MACHINE_FD + 1);
	limit(v->pid, RLIMIT_NPROC, 0);
	drop_privileges(v, at);
	return lock_up(v, at);
}

static void pin(pid_t pid, int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(pid, sizeof(set), &set);
}

int cage_start(struct engine_vcpu *v, int machine_fd, int cpu)
{
	int rc = launch(v, machine_fd);

	if (rc) {
		log_error("process engine: a guest's process cannot be started: %s", strerror(-rc));
		goto fail;
	}
	v->pidfd = (int)syscall(SYS_pidfd_open, v->pid, 0);
	if (v->pidfd < 0) {
		rc = -errno;
		log_error("process engine: no pidfd: %s; Linux 5.9 or later is needed", strerror(-rc));
		goto fail;
	}
	pin(v->pid, cpu);
	rc = confine(v);
	if (rc) {
		log_error("process engine: a guest's process cannot be locked up: %s; seccomp and ptrace must be allowed here", strerror(-rc));
		goto fail;
	}
	return 0;
fail:
	cage_kill(v);
	return rc;
}

void cage_kill(struct engine_vcpu *v)
{
	int status;

	if (!v->reaped)
		kill(v->pid, SIGKILL);
	while (!v->reaped)
		process_wait(v, &status); /* a stop that was under way may come first */
	if (v->pidfd >= 0)
		close(v->pidfd);
	v->pidfd = -1;
}
