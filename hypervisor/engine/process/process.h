/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The process engine's inner parts: cage.c makes the guest's process and takes everything away from it, inject.c runs our own system calls
 * inside it, stop.c says what a stop means, process.c is the engine (engine.h). All of it is for x86-64 Linux.
 */
#ifndef SLUICE_ENGINE_PROCESS_H
#define SLUICE_ENGINE_PROCESS_H

#include <signal.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sluice/engine.h>

#define CAGE_LAUNCHER 0x7ffe00000000ull  /* the launcher's page (the Makefile links it there); guests can be mapped below */
#define CAGE_TASK_END 0x7ffffffff000ull  /* Linux's own limit with four-level page tables; also for the FS and GS bases */
#define CAGE_MACHINE_FD 3                /* machine memory in the guest's process: its only descriptor */
#define CAGE_CS 0x33                     /* Linux's 64-bit user segments */
#define CAGE_SS 0x2b
#define CAGE_MAPPINGS 8192u              /* most since everything was forgotten: each may cost Linux two pages of tables (64 MiB in all) */
#define CAGE_UID 65534                   /* nobody, nogroup */

struct engine_vcpu {
	pid_t pid;
	int pidfd;
	bool dead;                       /* reaped, or condemned: run says ENGINE_EXIT_DEAD from now on */
	bool reaped;
	bool running;                    /* inside run: a kick must interrupt it (atomic) */
	bool kicked;                     /* the next run returns at once (atomic) */
	unsigned mappings;               /* made since everything was forgotten */
	struct user_regs_struct child;   /* what the stopped process has in its registers */
};

/* ---- cage.c ---- */
/* Start a process that holds nothing but the launcher's page and machine_fd, stopped and traced by this thread. 0 or -errno, logged. */
int cage_start(struct engine_vcpu *v, int machine_fd, int cpu);
/* End it and reap it. */
void cage_kill(struct engine_vcpu *v);

/* ---- inject.c ---- */
/* Wait for the next stop. False: the process has ended, and was reaped. */
bool process_wait(struct engine_vcpu *v, int *status);
/* Give the stopped process these registers. 0 or -errno. */
int process_set_regs(struct engine_vcpu *v, const struct user_regs_struct *regs);
/* Run one system call in the stopped process: its result, or -ESRCH when the process has ended. The guest's registers are the caller's to restore. */
long inject(struct engine_vcpu *v, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);

/* ---- stop.c: pure ---- */
/* Linux's `syscall` instruction leaves the return address in rcx and the flags in r11; `int 0x80` and `sysenter` do not. */
bool stop_is_syscall(const struct user_regs_struct *r);
/* A signal that the guest's own instruction caused: fill in *exit, put rip back where the CPU had it. False: somebody sent it; ignore it.
 * mxcsr tells an SSE exception from an x87 one. */
bool stop_exception(const siginfo_t *si, uint32_t mxcsr, struct user_regs_struct *r, struct engine_exit *exit);

#endif
