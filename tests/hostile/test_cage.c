/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile guest in the process engine's cage: every system call number by every instruction that can make one, privileged
 * instructions, other CPU modes, our own launcher page, foreign memory. It must get nothing: each attempt is an exit or an exception of its own, and
 * what Linux shows of its process stays as it was. The guest is the assembly below.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "tests/unit/hypervisor/engine/process/rig.h"

#define CANARY "/tmp/sluice-test-cage-canary"
#define ENDMARK 0xd00dull
#define VSYSCALL 0xffffffffff600000ull
#define MARK_FRAME 20u /* never mapped: somebody else's */

/*
 * All position-independent. r12: first number, r13: past the last, r14: the path of the canary. What a real call would need is in place: a path, flags
 * that create, a descriptor that exists. ENDMARK in rax says "done".
 */
__asm__(".pushsection .rodata\n"
	".macro ARGS\n"
	"	mov %r14, %rdi; mov $0x42, %esi; mov $0777, %edx; xor %r10d, %r10d; xor %r8d, %r8d; xor %r9d, %r9d\n"
	".endm\n"
	".macro LOOP insn\n"
	"1:	cmp %r13, %r12; je 2f\n"
	"	ARGS\n"
	"	mov %r12, %rax; \\insn; inc %r12; jmp 1b\n"
	"2:	mov $0xd00d, %eax; syscall; jmp 2b\n"
	".endm\n"
	"by_syscall: LOOP syscall\nby_syscall_end:\n"
	"by_int80: LOOP \"int $0x80\"\nby_int80_end:\n"
	"by_sysenter: ARGS; mov %r12, %rax; mov %rsp, %rbp; sysenter\nby_sysenter_end:\n"
	"by_vsyscall: ARGS; mov %r12, %rax; call *%r15; mov $0xd00d, %eax; syscall\nby_vsyscall_end:\n"
	/* From 32-bit code, where int 0x80 numbers are i386's; the code segment that Linux gives to 32-bit processes. */
	"by_compat: push $0x23; lea 1f(%rip), %rax; push %rax; lretq\n"
	".code32\n1: mov $20, %eax; int $0x80; mov $0xd00d, %eax; int $0x80; jmp 1b\n.code64\nby_compat_end:\n"
	".popsection\n");
extern const uint8_t by_syscall[], by_syscall_end[], by_int80[], by_int80_end[], by_sysenter[], by_sysenter_end[], by_vsyscall[], by_vsyscall_end[],
	by_compat[], by_compat_end[];

/* What Linux knows of the guest's process, to be the same before and after. */
struct evidence {
	char maps[8192], status[8192];
};

static void take_evidence(struct rig *r, struct evidence *e)
{
	static const char *const kept[] = { "Uid:", "Gid:", "SigBlk:", "SigCgt:", "SigIgn:", "CapEff:", "CapPrm:", "NoNewPrivs:", "Seccomp:", "Threads:", "VmSize:" };
	char status[8192];
	size_t n = 0;

	rig_proc(r, "maps", e->maps, sizeof(e->maps));
	rig_proc(r, "status", status, sizeof(status));
	for (unsigned i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		const char *at = strstr(status, kept[i]);

		assert_non_null(at);
		n += (size_t)snprintf(e->status + n, sizeof(e->status) - n, "%.*s", (int)strcspn(at, "\n") + 1, at);
	}
}

static void assert_untouched(struct rig *r, const struct evidence *before)
{
	struct evidence now;
	struct stat st;

	take_evidence(r, &now);
	assert_string_equal(now.maps, before->maps);
	assert_string_equal(now.status, before->status);
	assert_int_equal(stat(CANARY, &st), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), 0); /* alive, no other child, and nothing to report */
	for (unsigned i = 0; i < SLUICE_PAGE_SIZE; i++)
		assert_int_equal(rig_frame(r, MARK_FRAME)[i], 0x5a);
}

static int setup(void **state)
{
	static struct rig r;

	unlink(CANARY);
	rig_open(&r);
	memset(rig_frame(&r, MARK_FRAME), 0x5a, SLUICE_PAGE_SIZE);
	strcpy((char *)rig_frame(&r, 2), CANARY);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	unlink(CANARY);
	return 0;
}

static const struct range {
	uint64_t first, last;
} numbers[] = {
	{ 0, 1024 },                                        /* every native number, and room for new ones */
	{ 0x40000000ull, 0x40000000ull + 1024 },            /* x32 */
	{ 0xffffffffffffff00ull, 0xffffffffffffffffull },   /* negative: -1 means "no call" to Linux */
	{ 0xffffff00ull, 0x100000010ull },                  /* around 32 bits */
	{ 0x8000000000000000ull, 0x8000000000000010ull },
};

/* Each comes to us with its number, and its arguments as they were. */
static void every_number_by_syscall(void **state)
{
	struct rig *r = *state;
	struct evidence before;

	take_evidence(r, &before);
	for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		rig_code(r, by_syscall, (size_t)(by_syscall_end - by_syscall));
		r->regs.user.r12 = numbers[i].first;
		r->regs.user.r13 = numbers[i].last;
		r->regs.user.r14 = RIG_DATA;
		for (uint64_t nr = numbers[i].first; nr != numbers[i].last; nr++) {
			rig_run(r);
			assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
			assert_int_equal(r->regs.user.rax, nr);
			assert_true(r->regs.user.rdi == RIG_DATA && r->regs.user.rsi == 0x42 && r->regs.user.rdx == 0777);
			r->regs.user.rax = 0;
		}
		rig_run(r);
		assert_int_equal(r->regs.user.rax, ENDMARK);
	}
	assert_untouched(r, &before);
}

/* #GP at the instruction: nobody opened that gate. */
static void every_number_by_int80(void **state)
{
	struct rig *r = *state;
	struct evidence before;

	take_evidence(r, &before);
	for (unsigned i = 0; i < 2; i++) {
		rig_code(r, by_int80, (size_t)(by_int80_end - by_int80));
		r->regs.user.r12 = numbers[i].first;
		r->regs.user.r13 = numbers[i].last;
		r->regs.user.r14 = RIG_DATA;
		for (uint64_t nr = numbers[i].first; nr != numbers[i].last; nr++) {
			rig_run_exception(r, 13);
			assert_int_equal(r->regs.user.r12, nr);
			assert_int_equal(rig_frame(r, 1)[r->regs.user.rip - RIG_CODE], 0xcd);
			r->regs.user.rip += 2;
		}
		rig_run(r);
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
		assert_int_equal(r->regs.user.rax, ENDMARK);
	}
	assert_untouched(r, &before);
}

/* gettimeofday, time, getcpu, and the gaps between: a fetch from a page that is not there. */
static void every_vsyscall(void **state)
{
	struct rig *r = *state;
	struct evidence before;

	take_evidence(r, &before);
	for (unsigned at = 0; at < 0x1000; at += 0x100) {
		uint64_t sp = RIG_DATA + 0x800;

		rig_code(r, by_vsyscall, (size_t)(by_vsyscall_end - by_vsyscall));
		r->regs.user.r14 = RIG_DATA;
		r->regs.user.r15 = VSYSCALL + at;
		r->regs.user.rsp = sp;
		rig_run_exception(r, 14);
		assert_int_equal(r->exit.cr2, VSYSCALL + at);
		assert_int_equal(r->regs.user.rip, VSYSCALL + at);
		assert_int_equal(r->regs.user.rsp, sp - 8);
		/* Linux's time() would have stored through rdi. */
		assert_string_equal((char *)rig_frame(r, 2), CANARY);
	}
	assert_untouched(r, &before);
}

/* Out of 64-bit mode: that vCPU ends. */
static void other_modes_end_the_vcpu(void **state)
{
	struct rig *r = *state;
	struct evidence before;
	struct stat st;

	take_evidence(r, &before);
	rig_code(r, by_compat, (size_t)(by_compat_end - by_compat));
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_DEAD);
	assert_untouched(r, &before);
	for (uint64_t nr = 0; nr < 500; nr += 20) {
		engine_process.destroy(r->v);
		rig_new_vcpu(r);
		rig_code(r, by_sysenter, (size_t)(by_sysenter_end - by_sysenter));
		r->regs.user.r12 = nr;
		r->regs.user.r14 = RIG_DATA;
		rig_run(r);
		/* A CPU that raises #UD for it here is as good. */
		assert_true(r->exit.reason == ENGINE_EXIT_DEAD || (r->exit.reason == ENGINE_EXIT_EXCEPTION && r->exit.vector == 6));
	}
	assert_int_equal(stat(CANARY, &st), -1);
}

/* Our own system call gadget, entered by the guest, is a hypercall; its page can be neither written nor replaced. */
static void the_launcher_is_of_no_use(void **state)
{
	struct rig *r = *state;
	static const uint8_t jump[] = { 0xff, 0xe3 }, store[] = { 0x48, 0x89, 0x03 }; /* jmp rbx; mov [rbx], rax */
	struct evidence before;

	take_evidence(r, &before);
	for (uint64_t nr = 0; nr < 600; nr++) {
		rig_code(r, jump, sizeof(jump));
		r->regs.user.rbx = CAGE_LAUNCHER;
		r->regs.user.rax = nr;
		r->regs.user.rdi = RIG_DATA;
		rig_run(r);
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
		assert_int_equal(r->regs.user.rax, nr);
		assert_int_equal(r->regs.user.rip, CAGE_LAUNCHER + 2);
	}
	rig_run_exception(r, 3); /* its int3, without an injection */
	rig_code(r, store, sizeof(store));
	rig_run_exception(r, 14);
	assert_false(r->exit.not_present);
	assert_int_equal(engine_process.map(r->v, CAGE_LAUNCHER, 1, 1, RIG_WX), -EINVAL);
	assert_untouched(r, &before);
}

static void foreign_memory_is_out_of_reach(void **state)
{
	struct rig *r = *state;
	static const uint8_t load[] = { 0x48, 0x8b, 0x07 }, store[] = { 0x48, 0x89, 0x07 }, jump[] = { 0xff, 0xe7 };
	static const gva_t places[] = { 0, 0x1000, 0x10000, RIG_CODE - 8, RIG_CODE + 0x1000, RIG_DATA + 0x1000, RIG_RO + 0x1000, 0x7ffdfffff000ull, 0x7ffe00001000ull,
		0x7ffffffde000ull, 0x7ffff7ff8000ull, 0x7fffffffe000ull, 0xffff800000000000ull, 0xffff888000000000ull, 0xffffffff81000000ull, 0xfffffffffffffff8ull };
	struct evidence before;

	take_evidence(r, &before);
	for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		r->regs.user.rdi = places[i];
		rig_code(r, load, sizeof(load));
		rig_run_exception(r, 14);
		rig_code(r, store, sizeof(store));
		rig_run_exception(r, 14);
		rig_code(r, jump, sizeof(jump));
		rig_run_exception(r, 14);
		assert_int_equal(r->exit.cr2, places[i]);
	}
	/* Frames that were not given to it, and rights that were not. */
	rig_code(r, store, sizeof(store));
	r->regs.user.rdi = RIG_CODE;
	rig_run_exception(r, 14);
	assert_false(r->exit.not_present);
	r->regs.user.rdi = RIG_RO;
	rig_run_exception(r, 14);
	assert_false(r->exit.not_present);
	assert_untouched(r, &before);
}

static void privileged_instructions_fault(void **state)
{
	struct rig *r = *state;
	static const uint8_t insns[][8] = {
		{ 0xfa }, { 0xfb }, { 0xf4 },                                        /* cli, sti, hlt */
		{ 0xe4, 0x60 }, { 0xe6, 0x60 }, { 0xec }, { 0xee }, { 0x6c }, { 0x6e }, /* in, out, ins, outs */
		{ 0x0f, 0x30 }, { 0x0f, 0x32 }, { 0x0f, 0x33 },                      /* wrmsr, rdmsr, rdpmc */
		{ 0x0f, 0x20, 0xc0 }, { 0x0f, 0x22, 0xc0 }, { 0x0f, 0x22, 0xd8 }, { 0x0f, 0x22, 0xe0 }, { 0x0f, 0x21, 0xf8 }, { 0x0f, 0x23, 0xf8 },
		{ 0x0f, 0x06 }, { 0x0f, 0x08 }, { 0x0f, 0x09 }, { 0x0f, 0x07 },      /* clts, invd, wbinvd, sysret */
		{ 0x0f, 0x01, 0x14, 0x24 }, { 0x0f, 0x01, 0x1c, 0x24 }, { 0x0f, 0x00, 0xd0 }, { 0x0f, 0x00, 0xd8 }, /* lgdt, lidt, lldt, ltr */
		{ 0x0f, 0x01, 0xf0 }, { 0x0f, 0x01, 0xf8 }, { 0x0f, 0x01, 0x3c, 0x24 }, { 0x0f, 0x01, 0xd1 }, /* lmsw, swapgs, invlpg, xsetbv */
	};
	struct evidence before;

	take_evidence(r, &before);
	for (unsigned i = 0; i < sizeof(insns) / sizeof(insns[0]); i++) {
		rig_code(r, insns[i], sizeof(insns[i]));
		r->regs.user.rsp = RIG_DATA + 0x800;
		r->regs.user.rcx = 0xc0000080; /* EFER */
		rig_run_exception(r, 13);
		assert_int_equal(r->regs.user.rip, RIG_CODE);
	}
	assert_untouched(r, &before);
}

/* Register contents that Linux takes back from nobody: only that vCPU ends, or nothing happens at all. */
static void poisoned_registers_harm_nobody_else(void **state)
{
	struct rig *r = *state;
	static const uint8_t selector[] = { 0xb8, 0x28, 0, 0, 0, 0x8e, 0xd8, 0x8e, 0xe0, 0x0f, 0x05 }; /* ds, fs = 0x28 (RPL 0); syscall */
	static const uint8_t wrgsbase[] = { 0xf3, 0x48, 0x0f, 0xae, 0xdb, 0x0f, 0x05, 0x0f, 0x05 };
	static const uint8_t step[] = { 0x9c, 0x48, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90, 0x90 }; /* set TF */

	rig_code(r, selector, sizeof(selector));
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 1, 0), 0);
	rig_code(r, selector, sizeof(selector));
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	rig_code(r, step, sizeof(step));
	rig_run_exception(r, 1);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 11, 1, 0), 0); /* injected without the single step */
	rig_run_exception(r, 1);
	r->regs.user.rflags = ~0ull;
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_EXCEPTION);
	r->regs.user.rflags = RIG_RFLAGS;
	rig_code(r, wrgsbase, sizeof(wrgsbase));
	r->regs.user.rbx = 0xffff800000000000ull;
	rig_run(r);
	if (r->exit.reason == ENGINE_EXIT_EXCEPTION) /* no fsgsbase here */
		return;
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 1, 0), 0);
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_DEAD);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(every_number_by_syscall), T(every_number_by_int80), T(every_vsyscall), T(other_modes_end_the_vcpu), T(the_launcher_is_of_no_use),
		T(foreign_memory_is_out_of_reach), T(privileged_instructions_fault), T(poisoned_registers_harm_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
