/* SPDX-License-Identifier: BSD-3-Clause */
/* From Linux's signals to x86 exceptions, with made-up signals. */
#include "rig.h"

#define MXCSR_ALL_MASKED 0x1f80u
#define CODE_PAGE_FAULT 14

static struct engine_exit translate(int signo, int code, gva_t addr, uint32_t mxcsr)
{
	struct user_regs_struct r = { .rip = 0x1000, .rsp = 0x2000 };
	struct engine_exit exit = { 0 };
	siginfo_t si = { .si_signo = signo, .si_code = code };

	si.si_addr = (void *)addr;
	assert_true(stop_exception(&si, mxcsr, &r, &exit));
	assert_int_equal(exit.reason, ENGINE_EXIT_EXCEPTION);
	assert_true(r.rip == 0x1000 && r.rsp == 0x2000);
	return exit;
}

static void vectors(void **state)
{
	static const struct {
		int signo, code;
		uint32_t mxcsr;
		unsigned vector;
	} t[] = {
		{ SIGSEGV, SI_KERNEL, 0, 13 }, { SIGBUS, SI_KERNEL, 0, 12 }, { SIGBUS, BUS_ADRALN, 0, 17 }, { SIGILL, ILL_ILLOPN, 0, 6 },
		{ SIGFPE, FPE_INTDIV, 0, 0 }, { SIGFPE, FPE_FLTDIV, MXCSR_ALL_MASKED, 16 }, { SIGFPE, FPE_FLTDIV, 0x1d84, 19 },
		{ SIGTRAP, SI_KERNEL, 0, 3 }, { SIGTRAP, TRAP_TRACE, 0, 1 },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(t) / sizeof(t[0]); i++)
		assert_int_equal(translate(t[i].signo, t[i].code, 0, t[i].mxcsr).vector, t[i].vector);
}

static void page_faults(void **state)
{
	struct engine_exit e = translate(SIGSEGV, SEGV_MAPERR, 0xffff800000000018ull, 0);

	(void)state;
	assert_true(e.vector == CODE_PAGE_FAULT && e.not_present && e.cr2 == 0xffff800000000018ull);
	e = translate(SIGSEGV, SEGV_ACCERR, 0x1234, 0);
	assert_true(e.vector == CODE_PAGE_FAULT && !e.not_present && e.cr2 == 0x1234);
	e = translate(SIGBUS, BUS_ADRERR, 0x5678, 0); /* past the end of machine memory */
	assert_true(e.vector == CODE_PAGE_FAULT && !e.not_present && e.cr2 == 0x5678);
}

static void vsyscall_is_a_fetch_from_nowhere(void **state)
{
	struct user_regs_struct r = { .rip = 0x400123, .rsp = 0x2008 };
	struct engine_exit exit = { 0 };
	siginfo_t si = { .si_signo = SIGSYS, .si_code = 1 };

	(void)state;
	si.si_call_addr = (void *)0xffffffffff600400ull;
	assert_true(stop_exception(&si, 0, &r, &exit));
	assert_true(exit.vector == CODE_PAGE_FAULT && exit.not_present && exit.cr2 == 0xffffffffff600400ull);
	assert_int_equal(r.rip, 0xffffffffff600400ull);
	assert_int_equal(r.rsp, 0x2000); /* the return address is back on the stack */
	/* Beside the three entries Linux raises what looks like #GP, and has not touched the stack. */
	si = (siginfo_t){ .si_signo = SIGSEGV, .si_code = SI_KERNEL };
	r.rip = 0xffffffffff600123ull;
	assert_true(stop_exception(&si, 0, &r, &exit));
	assert_true(exit.vector == CODE_PAGE_FAULT && exit.not_present && exit.cr2 == 0xffffffffff600123ull && r.rsp == 0x2000);
}

static void sent_signals_are_nobodys_exception(void **state)
{
	struct user_regs_struct r = { 0 };
	struct engine_exit exit = { 0 };

	(void)state;
	for (int signo = 1; signo < 32; signo++) {
		siginfo_t si = { .si_signo = signo, .si_code = SI_USER };

		assert_false(stop_exception(&si, 0, &r, &exit));
		si.si_code = SI_TKILL;
		assert_false(stop_exception(&si, 0, &r, &exit));
		si.si_code = SI_QUEUE;
		assert_false(stop_exception(&si, 0, &r, &exit));
	}
}

static void only_syscall_looks_like_syscall(void **state)
{
	struct user_regs_struct r = { .rip = 0x1002, .rcx = 0x1002, .eflags = 0x246, .r11 = 0x246 };

	(void)state;
	assert_true(stop_is_syscall(&r));
	r.eflags |= 0x10000; /* RF is not in r11 */
	assert_true(stop_is_syscall(&r));
	r.rcx = 0x1000;
	assert_false(stop_is_syscall(&r));
	r.rcx = 0x1002;
	r.r11 = 0;
	assert_false(stop_is_syscall(&r));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),
		cmocka_unit_test(page_faults),
		cmocka_unit_test(vsyscall_is_a_fetch_from_nowhere),
		cmocka_unit_test(sent_signals_are_nobodys_exception),
		cmocka_unit_test(only_syscall_looks_like_syscall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
