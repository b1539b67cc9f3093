/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Just enough of an x86-64 decoder: how long the instructions are that the emulator does, and which instructions write memory (the bit of
 * the page-fault error code that Linux does not pass on). Pure.
 */
#ifndef SLUICE_DECODE_H
#define SLUICE_DECODE_H

#include <sluice/abi.h>

struct insn {
	uint8_t map;        /* 0: one-byte opcodes; 0x0f: two-byte opcodes (also VEX map 1); others are not told apart */
	uint8_t opcode;
	uint8_t rep;        /* 0, 0xf2 or 0xf3 */
	uint8_t operand;    /* operand size of non-byte opcodes: 2, 4 or 8 */
	bool data16;        /* the 0x66 prefix (or VEX pp 1): chooses among SSE moves */
	bool has_modrm;
	uint8_t mod, reg, rm; /* reg and rm with REX.R and REX.B */
	int64_t imm;        /* sign-extended, of 80, 81, 83, c6 and c7 */
	uint8_t len;        /* right for those, and for every instruction without an immediate */
};

/* 0, or -EINVAL: longer than n bytes, or not an instruction that is known here. */
int insn_decode(const uint8_t *bytes, unsigned n, struct insn *out);

/* Does it write at va? It is known that it accesses va. */
bool insn_writes(const struct insn *i, const struct cpu_user_regs *r, gva_t va);

/* General register 0 (rax) .. 15. */
uint64_t *insn_reg(struct cpu_user_regs *r, unsigned n);

#endif
