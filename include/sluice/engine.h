/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam between the hypervisor core and what runs a vCPU. Providers: hypervisor/engine/process (a caged Linux process),
 * later hypervisor/engine/kvm. An engine knows nothing of grants, events, devices or page-table rules.
 *
 * The mapping side is a TLB in the exact sense of the word: the core fills it when a fault shows that an address which the
 * guest's page tables map is not there, and flushes it when those tables change. An engine may forget mappings, never invent them.
 *
 * Every member but kick is called by the vCPU's own thread, the one that called create.
 */
#ifndef SLUICE_ENGINE_H
#define SLUICE_ENGINE_H

#include <sluice/abi.h>

struct engine_vcpu; /* private to the engine */

/* The guest's registers as Xen's ABI names them, and the two bases that cpu_user_regs does not carry.
 * cs and ss are the engine's business: the core neither reads nor writes them. */
struct engine_regs {
	struct cpu_user_regs user;
	uint64_t fs_base, gs_base;
};

enum engine_exit_reason {
	ENGINE_EXIT_HYPERCALL, /* a 64-bit `syscall` instruction: number in rax, arguments rdi rsi rdx r10 r8 r9; rip is past it */
	ENGINE_EXIT_EXCEPTION, /* vector below; rip at the instruction (past it for #BP) */
	ENGINE_EXIT_KICK,      /* kicked, or the slice is over: nothing happened to the guest */
	ENGINE_EXIT_DEAD,      /* the vCPU is gone (killed from outside, or it left 64-bit mode): registers are of no use */
};

struct engine_exit {
	enum engine_exit_reason reason;
	uint8_t vector;     /* x86 vector of an exception: 0 #DE, 1 #DB, 3 #BP, 6 #UD, 12 #SS, 13 #GP, 14 #PF, 16, 17, 19 */
	bool not_present;   /* #PF only: nothing was mapped at cr2 in the engine (a TLB miss); false: mapped, access not allowed */
	gva_t cr2;          /* #PF only: the faulting address, all 64 bits */
};

enum engine_prot { ENGINE_PROT_WRITE = 1, ENGINE_PROT_EXEC = 2 }; /* read is implied */

struct engine_ops {
	const char *name; /* "process", "kvm" */

	/* Make a vCPU with an empty TLB. machine_fd: the memfd of machine memory; cpu: the pCPU to stay on, or -1.
	 * 0 or -errno after one line in the log. */
	int (*create)(int machine_fd, int cpu, struct engine_vcpu **out);

	/* Ends it at once, in whatever state. NULL is fine. */
	void (*destroy)(struct engine_vcpu *v);

	/* Run from *regs until something happens; *regs is then the guest's state. Blocks. */
	void (*run)(struct engine_vcpu *v, struct engine_regs *regs, struct engine_exit *exit);

	/* Make a running `run` return soon, or the next one at once. Any thread, async-signal-safe, never blocks. */
	void (*kick)(struct engine_vcpu *v);

	/* A pidfd (or other fd) that another privileged process can kick it with (pidfd_send_signal SIGURG); owned by the engine. */
	int (*kick_fd)(struct engine_vcpu *v);

	/* Map n machine frames from mfn at va, replacing what was there. -ENOMEM when the engine has no room for another
	 * separate mapping: flush_all and try again. -EINVAL for addresses that it can never map. */
	int (*map)(struct engine_vcpu *v, gva_t va, mfn_t mfn, size_t n, unsigned prot);

	/* Forget [va, va + n pages); forget everything. */
	int (*flush)(struct engine_vcpu *v, gva_t va, size_t n);
	int (*flush_all)(struct engine_vcpu *v);

	gva_t va_limit; /* addresses at or above it can never be mapped */
};

extern const struct engine_ops engine_process;

#endif
