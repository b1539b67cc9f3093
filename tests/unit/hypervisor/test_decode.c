/* SPDX-License-Identifier: BSD-3-Clause */
/* The little decoder, against instructions that an assembler made. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
#include "hypervisor/decode.h"

#define VA 0x5000ull /* what the memory operands below are taken to name */
#define STACK 0x9000ull

/* Assembled here; the labels around each give its length. r12 as base needs a SIB byte, r13 a displacement. */
#define INSNS(X) \
	X(load, "mov (%rdi), %rax", 0) X(store, "mov %rax, (%rdi)", 1) X(store_sib, "mov %r9, 8(%r12,%rcx,8)", 1) X(load_disp32, "mov 0x12345(%r13), %r8d", 0) \
	X(rip_relative, "mov %ebx, foo(%rip)", 1) X(absolute, "mov 0x1000, %rcx", 0) X(imm64, "movq $-5, (%rdi)", 1) X(imm16, "movw $5, 4(%rsp)", 1) \
	X(imm8, "movb $1, (%rdi)", 1) X(add_imm, "addq $0x12345, (%rdi)", 1) X(cmp_imm, "cmpq $7, (%rdi)", 0) X(cmp_mem, "cmp (%rdi), %rax", 0) \
	X(lock_or, "lock orl $2, (%rdi)", 1) X(xchg, "xchg %rax, (%rdi)", 1) X(test, "test %rax, (%rdi)", 0) X(not_, "notq (%rdi)", 1) X(mul, "mulq (%rdi)", 0) \
	X(inc, "incl (%rdi)", 1) X(movslq, "movslq (%rdi), %rax", 0) X(setcc, "setz (%rdi)", 1) X(cmpxchg, "lock cmpxchg %rcx, (%rdi)", 1) \
	X(xadd, "lock xadd %rcx, (%rdi)", 1) X(bts, "btsq $3, (%rdi)", 1) X(bt, "btq $3, (%rdi)", 0) X(movzx, "movzbl (%rdi), %eax", 0) \
	X(movaps_store, "movaps %xmm1, (%rdi)", 1) X(movaps_load, "movaps (%rdi), %xmm1", 0) X(movq_load, "movq (%rdi), %xmm1", 0) X(movq_store, "movq %xmm1, (%rdi)", 1) \
	X(movdqu_store, "movdqu %xmm9, (%rdi)", 1) X(vmovdqu_store, "vmovdqu %ymm9, (%rdi)", 1) X(vmovdqu_load, "vmovdqu (%rdi), %ymm9", 0) X(movnti, "movnti %rax, (%rdi)", 1) \
	X(stos, "rep stosq", 1) X(push_reg, "push %rbx", 1) X(pop_mem, "popq (%rdi)", 1) X(fst, "fstpl (%rdi)", 1) X(fld, "fldl (%rdi)", 0) X(fxsave, "fxsave (%rdi)", 1) \
	X(fxrstor, "fxrstor (%rdi)", 0) X(jmp_mem, "jmp *(%rdi)", 0) X(segment, "mov %rax, %fs:(%rdi)", 1) X(addr32, "mov %eax, (%edi)", 1)
#define AS(name, text, writes) "insn_" #name ": " text "\ninsn_" #name "_end:\n"
__asm__(".pushsection .rodata\n.set foo, .\n" INSNS(AS) ".popsection\n");
#define DECLARE(name, text, writes) extern const uint8_t insn_##name[], insn_##name##_end[];
INSNS(DECLARE)

static const struct sample {
	const char *text;
	const uint8_t *at, *end;
	bool writes;
} samples[] = {
#define SAMPLE(name, text, writes) { text, insn_##name, insn_##name##_end, writes },
	INSNS(SAMPLE)
};
#define NR (sizeof(samples) / sizeof(samples[0]))

/* Only what has an immediate that nobody emulates may come out short. */
static bool length_is_known(const struct insn *i)
{
	return !(i->map && i->opcode == 0xba);
}

static void lengths(void **state)
{
	struct insn i;

	(void)state;
	for (unsigned n = 0; n < NR; n++) {
		size_t len = (size_t)(samples[n].end - samples[n].at);

		assert_int_equal(insn_decode(samples[n].at, (unsigned)len, &i), 0);
		if (length_is_known(&i) && i.len != len)
			fail_msg("%s: %u bytes, not %zu", samples[n].text, i.len, len);
	}
}

static void cut_short_is_refused(void **state)
{
	struct insn i;

	(void)state;
	for (unsigned n = 0; n < NR; n++) {
		size_t len = (size_t)(samples[n].end - samples[n].at);

		assert_int_equal(insn_decode(samples[n].at, (unsigned)len, &i), 0);
		for (unsigned cut = 0; length_is_known(&i) && cut < len; cut++) {
			struct insn j;

			assert_int_equal(insn_decode(samples[n].at, cut, &j), -EINVAL);
		}
	}
}

static void who_writes(void **state)
{
	struct cpu_user_regs r = { .rsp = STACK, .rdi = VA };
	struct insn i;

	(void)state;
	for (unsigned n = 0; n < NR; n++) {
		assert_int_equal(insn_decode(samples[n].at, 15, &i), 0);
		if (insn_writes(&i, &r, VA) != samples[n].writes)
			fail_msg("%s: writes %d", samples[n].text, !samples[n].writes);
	}
}

/* movs reads at rsi and writes at rdi; call through memory reads its target and writes the stack. */
static void two_addresses(void **state)
{
	static const uint8_t movs[] = { 0xf3, 0x48, 0xa5 }, call[] = { 0xff, 0x17 }, push[] = { 0xff, 0x37 };
	struct cpu_user_regs r = { .rsp = STACK, .rdi = VA, .rsi = 0x7000 };
	struct insn i;

	(void)state;
	assert_int_equal(insn_decode(movs, sizeof(movs), &i), 0);
	assert_true(insn_writes(&i, &r, VA));
	assert_false(insn_writes(&i, &r, 0x7000));
	assert_int_equal(insn_decode(call, sizeof(call), &i), 0);
	assert_false(insn_writes(&i, &r, VA));
	assert_true(insn_writes(&i, &r, STACK - 8));
	assert_int_equal(insn_decode(push, sizeof(push), &i), 0);
	assert_false(insn_writes(&i, &r, VA));
	assert_true(insn_writes(&i, &r, STACK - 8));
}

static void operands(void **state)
{
	struct cpu_user_regs r;
	struct insn i;

	(void)state;
	assert_int_equal(insn_decode(insn_store_sib, 15, &i), 0);
	assert_true(i.operand == 8 && i.reg == 9 && i.mod == 1);
	assert_int_equal(insn_decode(insn_imm64, 15, &i), 0);
	assert_true(i.imm == -5 && i.operand == 8);
	assert_int_equal(insn_decode(insn_imm16, 15, &i), 0);
	assert_true(i.imm == 5 && i.operand == 2);
	assert_ptr_equal(insn_reg(&r, 0), &r.rax);
	assert_ptr_equal(insn_reg(&r, 4), &r.rsp);
	assert_ptr_equal(insn_reg(&r, 15), &r.r15);
}

/* Whatever the bytes are: an answer, and no byte past the end (ASan looks on). */
static void any_bytes(void **state)
{
	uint64_t x = 88172645463325252ull;
	struct cpu_user_regs r = { 0 };
	struct insn i;

	(void)state;
	for (unsigned n = 0; n < 200000; n++) {
		uint8_t b[15];
		unsigned len = n % 16;

		for (unsigned k = 0; k < sizeof(b); k++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			b[k] = (uint8_t)x;
		}
		if (!insn_decode(b + 15 - len, len, &i)) {
			assert_in_range(i.len, 1, len);
			insn_writes(&i, &r, x);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lengths), cmocka_unit_test(cut_short_is_refused), cmocka_unit_test(who_writes),
		cmocka_unit_test(two_addresses), cmocka_unit_test(operands), cmocka_unit_test(any_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
