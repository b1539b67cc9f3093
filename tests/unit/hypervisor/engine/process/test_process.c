/* SPDX-License-Identifier: BSD-3-Clause */
/* The process engine against its contract, engine.h. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include "rig.h"

#define CODE(r, ...) \
	do { static const uint8_t code_[] = { __VA_ARGS__ }; rig_code((r), code_, sizeof(code_)); } while (0)
#define SYSCALL 0x0f, 0x05
#define SPIN 0xeb, 0xfe
#define ANY 99

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int setup(void **state)
{
	static struct rig r;

	rig_open(&r);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void hypercall_brings_number_and_arguments(void **state)
{
	struct rig *r = *state;
	struct cpu_user_regs *u = &r->regs.user;

	CODE(r, SYSCALL, 0x90);
	u->rax = 0x123456789abcull;
	u->rdi = 1, u->rsi = 2, u->rdx = 3, u->r10 = 4, u->r8 = 5, u->r9 = 6, u->rbx = 7, u->r15 = ~0ull;
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	assert_int_equal(u->rax, 0x123456789abcull);
	assert_int_equal(u->rip, RIG_CODE + 2);
	assert_true(u->rdi == 1 && u->rsi == 2 && u->rdx == 3 && u->r10 == 4 && u->r8 == 5 && u->r9 == 6 && u->rbx == 7 && u->r15 == ~0ull);
	assert_int_equal(u->rsp, RIG_DATA + 0x800);
}

/* Results that Linux would take for "restart this call" go to the guest as they are, and a kick between does not change that. */
static void results_reach_the_guest(void **state)
{
	struct rig *r = *state;

	CODE(r, SYSCALL, 0x48, 0x89, 0xc3, /* mov rbx, rax */ SYSCALL);
	for (long result = -520; result <= 0; result += 4) {
		r->regs.user.rip = RIG_CODE;
		rig_run(r);
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
		r->regs.user.rax = (uint64_t)result;
		syscall(SYS_pidfd_send_signal, engine_process.kick_fd(r->v), SIGURG, NULL, 0);
		do
			rig_run(r);
		while (r->exit.reason == ENGINE_EXIT_KICK);
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
		assert_int_equal(r->regs.user.rbx, (uint64_t)result);
		assert_int_equal(r->regs.user.rip, RIG_CODE + 7);
	}
}

static void bases_and_flags_are_kept(void **state)
{
	struct rig *r = *state;

	CODE(r, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, /* mov rax, fs:0 */ 0x65, 0x48, 0x8b, 0x1c, 0x25, 8, 0, 0, 0, /* mov rbx, gs:8 */ 0xf9 /* stc */, SYSCALL);
	memcpy(rig_frame(r, 2), (uint64_t[]){ 0x1111, 0x2222 }, 16);
	r->regs.fs_base = RIG_DATA;
	r->regs.gs_base = RIG_DATA;
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	assert_int_equal(r->regs.user.rax, 0x1111);
	assert_int_equal(r->regs.user.rbx, 0x2222);
	assert_true(r->regs.user.rflags & 1);
	assert_int_equal(r->regs.fs_base, RIG_DATA);
}

static void miss_and_refusal_are_told_apart(void **state)
{
	struct rig *r = *state;
	static const uint8_t load[] = { 0x48, 0x8b, 0x07 } /* mov rax, [rdi] */, store[] = { 0x48, 0x89, 0x07 };
	static const gva_t nowhere[] = { 0x3000000123ull, 0, 0xffff800000000008ull, 0xffffffff81000000ull, 0x7ffffffde000ull, 0x7ffe00001000ull };

	rig_code(r, load, sizeof(load));
	for (unsigned i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		r->regs.user.rdi = nowhere[i];
		rig_run_exception(r, 14);
		assert_int_equal(r->exit.cr2, nowhere[i]);
		/* Linux calls an address in its own half present or not as it likes. */
		if (nowhere[i] < engine_process.va_limit)
			assert_true(r->exit.not_present);
		assert_int_equal(r->regs.user.rip, RIG_CODE);
	}
	r->regs.user.rdi = 1ull << 60; /* not canonical */
	rig_run_exception(r, 13);
	rig_code(r, store, sizeof(store));
	r->regs.user.rdi = RIG_RO + 24;
	rig_run_exception(r, 14);
	assert_int_equal(r->exit.cr2, RIG_RO + 24);
	assert_false(r->exit.not_present);
	r->regs.user.rip = RIG_DATA; /* not executable */
	rig_run_exception(r, 14);
	assert_int_equal(r->exit.cr2, RIG_DATA);
	assert_false(r->exit.not_present);
}

static void exceptions_have_their_vectors(void **state)
{
	struct rig *r = *state;
	static const struct {
		uint8_t code[16];
		unsigned vector, skip;
	} c[] = {
		{ { 0x31, 0xd2, 0x31, 0xc9, 0xf7, 0xf1 }, 0, 4 },                /* div ecx by 0 */
		{ { 0xf1 }, 1, ANY },                                            /* int1: CPUs differ in rip */
		{ { 0xcc }, 3, 1 },                                              /* int3: rip past it */
		{ { 0x0f, 0x0b }, 6, 0 },                                        /* ud2 */
		{ { 0xf4 }, 13, 0 },                                             /* hlt */
		{ { 0xfa }, 13, 0 }, { { 0xe4, 0x40 }, 13, 0 }, { { 0x0f, 0x30 }, 13, 0 }, { { 0x0f, 0x20, 0xc0 }, 13, 0 },
		{ { 0xcd, 0x80 }, 13, 0 },                                       /* int 0x80 */
		{ { 0xcd, 0x20 }, 13, 0 },
		{ { 0x6a, 0x00, 0x0f, 0xae, 0x14, 0x24, 0x0f, 0x57, 0xc0, 0xf3, 0x0f, 0x5e, 0xc0 }, 19, 9 }, /* 0/0 with SSE exceptions on */
	};

	for (unsigned i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		rig_code(r, c[i].code, sizeof(c[i].code));
		r->regs.user.rsp = RIG_DATA + 0x800;
		rig_run_exception(r, c[i].vector);
		if (c[i].skip != ANY)
			assert_int_equal(r->regs.user.rip, RIG_CODE + c[i].skip);
	}
	CODE(r, 0x50); /* push with a stack that is not canonical */
	r->regs.user.rsp = 1ull << 60;
	rig_run_exception(r, 12);
}

/* The selectors that traps.c puts into a frame, after the kernel's `orb $3` on cs. */
static void a_frame_returns_without_a_fault(void **state)
{
	struct rig *r = *state;

	CODE(r, 0x6a, 0x2b, 0x54, 0x9c, 0x6a, 0x30, /* push ss; push rsp; pushf; push cs */ 0x48, 0x8d, 0x05, 8, 0, 0, 0, /* lea rax, [the syscall] */
	     0x50, 0x80, 0x4c, 0x24, 8, 3, /* push rax; orb 8(%rsp), 3 */ 0x48, 0xcf, SYSCALL);
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	assert_int_equal(r->regs.user.rip, RIG_CODE + 23);
}

static void map_replaces_and_flush_forgets(void **state)
{
	struct rig *r = *state;

	CODE(r, 0x48, 0x8b, 0x07, /* mov rax, [rdi] */ SYSCALL);
	for (mfn_t m = 10; m < 14; m++)
		memset(rig_frame(r, m), (int)m, SLUICE_PAGE_SIZE);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 4, 0), 0);
	assert_int_equal(engine_process.map(r->v, 0x1001000, 13, 1, 0), 0);
	for (unsigned page = 0; page < 4; page++) {
		static const uint64_t want[] = { 0x0a0a0a0a0a0a0a0aull, 0x0d0d0d0d0d0d0d0dull, 0x0c0c0c0c0c0c0c0cull, 0x0d0d0d0d0d0d0d0dull };

		r->regs.user.rip = RIG_CODE;
		r->regs.user.rdi = 0x1000000 + page * SLUICE_PAGE_SIZE;
		rig_run(r);
		assert_int_equal(r->regs.user.rax, want[page]);
	}
	assert_int_equal(engine_process.flush(r->v, 0x1001000, 1), 0);
	r->regs.user.rip = RIG_CODE;
	r->regs.user.rdi = 0x1001000;
	rig_run_exception(r, 14);
	assert_true(r->exit.not_present);
	assert_int_equal(engine_process.flush_all(r->v), 0);
	rig_run_exception(r, 14);
	assert_int_equal(r->exit.cr2, RIG_CODE);
	assert_int_equal(engine_process.map(r->v, RIG_CODE, 1, 1, ENGINE_PROT_EXEC), 0);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 1, 0), 0);
	r->regs.user.rdi = 0x1000000;
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	assert_int_equal(r->regs.user.rax, 0x0a0a0a0a0a0a0a0aull);
}

static void map_refuses_what_it_cannot_do(void **state)
{
	struct rig *r = *state;

	assert_int_equal(engine_process.map(r->v, engine_process.va_limit, 1, 1, 0), -EINVAL);
	assert_int_equal(engine_process.map(r->v, engine_process.va_limit - SLUICE_PAGE_SIZE, 1, 2, 0), -EINVAL);
	assert_int_equal(engine_process.map(r->v, engine_process.va_limit - SLUICE_PAGE_SIZE, 1, 1, 0), 0);
	assert_int_equal(engine_process.map(r->v, 0xffff800000000000ull, 1, 1, 0), -EINVAL);
	assert_int_equal(engine_process.map(r->v, RIG_DATA + 8, 1, 1, 0), -EINVAL);
	assert_int_equal(engine_process.map(r->v, RIG_DATA, 1, 0, 0), -EINVAL);
	assert_int_equal(engine_process.map(r->v, RIG_DATA, 1, ~(size_t)0, 0), -EINVAL);
	assert_int_equal(engine_process.flush(r->v, 0xffff800000000000ull, 1), 0);
	assert_int_equal(engine_process.flush(r->v, 0, ~(size_t)0), 0);
}

/* -ENOMEM is the word for "flush_all and try again". Sparse mappings are what costs Linux most: page tables for each. */
static void too_many_mappings_is_enomem(void **state)
{
	struct rig *r = *state;
	unsigned n = 0;

	assert_int_equal(engine_process.flush_all(r->v), 0);
	while (n < CAGE_MAPPINGS && !engine_process.map(r->v, 0x10000000 + ((gva_t)n << 30), 4, 1, 0))
		n++;
	assert_int_equal(n, CAGE_MAPPINGS);
	assert_int_equal(engine_process.map(r->v, 0x10000000 + ((gva_t)n << 30), 4, 1, 0), -ENOMEM);
	assert_int_equal(engine_process.flush_all(r->v), 0);
	assert_int_equal(engine_process.map(r->v, 0x10000000, 4, 1, 0), 0);
}

static void kick_before_run_is_kept(void **state)
{
	struct rig *r = *state;

	CODE(r, SPIN);
	engine_process.kick(r->v);
	engine_process.kick(r->v);
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_KICK);
	assert_int_equal(r->regs.user.rip, RIG_CODE);
}

/* A kick through the pidfd that lands in an injected call is not lost either. */
static void kick_by_fd_while_mapping_is_kept(void **state)
{
	struct rig *r = *state;

	CODE(r, SPIN);
	syscall(SYS_pidfd_send_signal, engine_process.kick_fd(r->v), SIGURG, NULL, 0);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 1, 0), 0);
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_KICK);
}

static void *kick_later(void *arg)
{
	usleep(20000);
	engine_process.kick(arg);
	return NULL;
}

static void kick_stops_a_spinning_guest(void **state)
{
	struct rig *r = *state;
	pthread_t t;

	CODE(r, SPIN);
	assert_int_equal(pthread_create(&t, NULL, kick_later, r->v), 0);
	rig_run(r);
	pthread_join(t, NULL);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_KICK);
	assert_int_equal(r->regs.user.rip, RIG_CODE);
}

struct storm {
	struct engine_vcpu *v;
	bool stop;
};

static void *kick_storm(void *arg)
{
	struct storm *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		engine_process.kick(s->v);
		syscall(SYS_pidfd_send_signal, engine_process.kick_fd(s->v), SIGURG, NULL, 0);
		usleep(50);
	}
	return NULL;
}

/* Each hypercall is seen once, whatever kicks and mapping calls come between. */
static void kicks_lose_and_repeat_nothing(void **state)
{
	struct rig *r = *state;
	struct storm s = { .v = r->v };
	unsigned kicks = 0;
	pthread_t t;

	CODE(r, 0x48, 0xff, 0xc3, /* inc rbx */ SYSCALL, 0xeb, 0xf9);
	r->regs.user.rbx = 0;
	assert_int_equal(pthread_create(&t, NULL, kick_storm, &s), 0);
	for (uint64_t n = 1; n <= 5000;) {
		rig_run(r);
		if (r->exit.reason == ENGINE_EXIT_KICK) {
			kicks++;
			continue;
		}
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
		assert_int_equal(r->regs.user.rbx, n);
		if (n % 10 == 0)
			assert_int_equal(engine_process.map(r->v, 0x1000000, 10 + n % 8, 1, 0), 0);
		n++;
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(kicks > 0);
}

/* Signals that somebody sends to the process are no exceptions of the guest's. */
static void foreign_signals_are_ignored(void **state)
{
	struct rig *r = *state;
	static const int sigs[] = { SIGSEGV, SIGTRAP, SIGTERM, SIGINT, SIGSTOP, SIGFPE, SIGBUS, SIGSYS, SIGHUP };

	CODE(r, SYSCALL);
	for (unsigned i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		kill(r->v->pid, sigs[i]);
		r->regs.user.rip = RIG_CODE;
		r->regs.user.rax = i;
		rig_run(r);
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
		assert_int_equal(r->regs.user.rax, i);
		kill(r->v->pid, sigs[i]);
		assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 1, 0), 0);
	}
}

static void *kill_later(void *arg)
{
	usleep(20000);
	kill(((struct engine_vcpu *)arg)->pid, SIGKILL);
	return NULL;
}

static void killed_from_outside_is_dead(void **state)
{
	struct rig *r = *state;
	pthread_t t;

	CODE(r, SPIN);
	assert_int_equal(pthread_create(&t, NULL, kill_later, r->v), 0);
	rig_run(r);
	pthread_join(t, NULL);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_DEAD);
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_DEAD);
	assert_int_equal(engine_process.map(r->v, 0x1000000, 10, 1, 0), -ESRCH);
	engine_process.kick(r->v);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* reaped already */
	assert_int_equal(errno, ECHILD);
}

static unsigned open_fds(void)
{
	unsigned n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void fifty_come_and_go(void **state)
{
	struct rig *r = *state;
	unsigned before;

	CODE(r, SYSCALL);
	before = open_fds();
	for (unsigned i = 0; i < 50; i++) {
		engine_process.destroy(r->v);
		rig_new_vcpu(r);
		rig_run(r);
		assert_int_equal(r->exit.reason, ENGINE_EXIT_HYPERCALL);
	}
	assert_int_equal(open_fds(), before);
	engine_process.destroy(r->v);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	rig_new_vcpu(r);
	engine_process.destroy(NULL);
}

static void create_refuses_a_bad_descriptor(void **state)
{
	struct engine_vcpu *v = NULL;

	(void)state;
	assert_int_equal(engine_process.create(-1, -1, &v), -EBADF);
	assert_null(v);
}

/* Information, not a judgement: this machine is shared. */
static void what_a_hypercall_costs(void **state)
{
	struct rig *r = *state;
	double best = 1e9;

	CODE(r, SYSCALL, 0xeb, 0xfc);
	for (unsigned round = 0; round < 50; round++) {
		double start = now_us();

		for (unsigned i = 0; i < 200; i++)
			rig_run(r);
		if (now_us() - start < best)
			best = now_us() - start;
	}
	print_message("          null hypercall: %.2f us (best of 50 rounds)\n", best / 200);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(hypercall_brings_number_and_arguments), T(results_reach_the_guest), T(bases_and_flags_are_kept), T(miss_and_refusal_are_told_apart),
		T(exceptions_have_their_vectors), T(a_frame_returns_without_a_fault), T(map_replaces_and_flush_forgets), T(map_refuses_what_it_cannot_do), T(too_many_mappings_is_enomem),
		T(kick_before_run_is_kept), T(kick_by_fd_while_mapping_is_kept), T(kick_stops_a_spinning_guest), T(kicks_lose_and_repeat_nothing),
		T(foreign_signals_are_ignored), T(killed_from_outside_is_dead), T(fifty_come_and_go), cmocka_unit_test(create_refuses_a_bad_descriptor),
		T(what_a_hypercall_costs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
