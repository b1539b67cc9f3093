/* SPDX-License-Identifier: BSD-3-Clause */
/* The little x86-64 decoder of decode.h. Called by fault.c and emulate_memory.c on a private copy of the guest's instruction. */
#include <errno.h>
#include <string.h>
#include "decode.h"

#define REX_W 8u
#define REX_R 4u
#define REX_B 1u

struct cursor {
	const uint8_t *bytes;
	unsigned n, at;
	bool over; /* went past the end */
};

static uint8_t next(struct cursor *c)
{
	if (c->at >= c->n) {
		c->over = true;
		return 0;
	}
	return c->bytes[c->at++];
}

static void skip(struct cursor *c, unsigned n)
{
	c->at += n;
	c->over |= c->at > c->n;
}

uint64_t *insn_reg(struct cpu_user_regs *r, unsigned n)
{
	uint64_t *const regs[16] = { &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
		&r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15 };

	return regs[n & 15];
}

/* Legacy prefixes, then REX. The last opcode-like byte read is returned. */
static uint8_t prefixes(struct cursor *c, struct insn *i, uint8_t *rex)
{
	for (;;) {
		uint8_t b = next(c);

		switch (b) {
		case 0x66:
			i->data16 = true;
			break;
		case 0xf2:
		case 0xf3:
			i->rep = b;
			break;
		case 0xf0: case 0x67: case 0x26: case 0x2e: case 0x36: case 0x3e: case 0x64: case 0x65:
			break;
		default:
			*rex = (b & 0xf0) == 0x40 ? b : 0;
			return *rex ? next(c) : b;
		}
	}
}

/* VEX: a second and a third byte carry what prefixes and map bytes do otherwise. */
static void vex(struct cursor *c, struct insn *i, bool three, uint8_t *rex)
{
	uint8_t a = next(c), b = three ? next(c) : a;

	*rex = (uint8_t)((a & 0x80 ? 0 : REX_R) | (three && !(a & 0x20) ? REX_B : 0) | (three && b & 0x80 ? REX_W : 0));
	i->map = !three || (a & 0x1f) == 1 ? 0x0f : 0xff;
	i->data16 = (b & 3) == 1;
	i->rep = (b & 3) == 2 ? 0xf3 : (b & 3) == 3 ? 0xf2 : 0;
	i->opcode = next(c);
}

static bool one_byte_modrm(uint8_t op)
{
	if (op < 0x40)
		return (op & 7) < 4;
	return op == 0x62 || op == 0x63 || op == 0x69 || op == 0x6b || (op >= 0x80 && op <= 0x8f) || op == 0xc0 || op == 0xc1 ||
	       op == 0xc6 || op == 0xc7 || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf) || op == 0xf6 || op == 0xf7 || op >= 0xfe;
}

static bool two_byte_modrm(uint8_t op)
{
	return !((op >= 0x05 && op <= 0x0c) || (op >= 0x30 && op <= 0x37) || op == 0x77 || (op >= 0x80 && op <= 0x8f) ||
		 (op >= 0xa0 && op <= 0xa2) || (op >= 0xa8 && op <= 0xaa) || (op >= 0xc8 && op <= 0xcf));
}

static void modrm(struct cursor *c, struct insn *i, uint8_t rex)
{
	uint8_t m = next(c), base;

	i->mod = m >> 6;
	i->reg = (uint8_t)((m >> 3 & 7) | (rex & REX_R ? 8 : 0));
	i->rm = (uint8_t)((m & 7) | (rex & REX_B ? 8 : 0));
	if (i->mod == 3)
		return;
	base = m & 7;
	if (base == 4)
		base = next(c) & 7; /* SIB; its base 5 without displacement is a bare 32 bits, as rm 5 is relative to rip */
	if (i->mod == 1)
		skip(c, 1);
	else if (i->mod == 2 || base == 5)
		skip(c, 4);
}

static void immediate(struct cursor *c, struct insn *i)
{
	unsigned size;
	int32_t v = 0;

	if (i->map)
		return;
	if (i->opcode == 0x80 || i->opcode == 0x83 || i->opcode == 0xc6)
		size = 1;
	else if (i->opcode == 0x81 || i->opcode == 0xc7)
		size = i->operand == 2 ? 2 : 4;
	else
		return;
	for (unsigned k = 0; k < size; k++)
		v |= (int32_t)((uint32_t)next(c) << (8 * k));
	i->imm = (int32_t)((uint32_t)v << (32 - 8 * size)) >> (32 - 8 * size);
}

int insn_decode(const uint8_t *bytes, unsigned n, struct insn *out)
{
	struct cursor c = { .bytes = bytes, .n = n };
	uint8_t rex = 0;

	memset(out, 0, sizeof(*out));
	out->opcode = prefixes(&c, out, &rex);
	if (out->opcode == 0xc4 || out->opcode == 0xc5) {
		vex(&c, out, out->opcode == 0xc4, &rex);
	} else if (out->opcode == 0x0f) {
		out->opcode = next(&c);
		out->map = out->opcode == 0x38 || out->opcode == 0x3a ? 0xff : 0x0f;
	}
	if (out->map == 0xff)
		return -EINVAL;
	out->operand = rex & REX_W ? 8 : out->data16 ? 2 : 4;
	out->has_modrm = out->map ? two_byte_modrm(out->opcode) : one_byte_modrm(out->opcode);
	if (out->has_modrm)
		modrm(&c, out, rex);
	immediate(&c, out);
	out->len = (uint8_t)c.at;
	return c.over ? -EINVAL : 0;
}

/* ---- what writes ---- */

static bool in(uint8_t op, const uint8_t *set, size_t n)
{
	return memchr(set, op, n) != NULL;
}

/* push, call and their like write just below rsp. */
static bool below_stack(const struct cpu_user_regs *r, gva_t va)
{
	return va < r->rsp && r->rsp - va <= 16;
}

static bool one_byte_stack(uint8_t op)
{
	static const uint8_t set[] = { 0x68, 0x6a, 0x9c, 0xc8, 0xe8 };

	return (op >= 0x50 && op <= 0x57) || in(op, set, sizeof(set));
}

/* movs, stos, ins: the destination is at rdi; movs also reads at rsi. With rep it may be anywhere from rdi on, in either direction. */
static bool string_writes(const struct insn *i, const struct cpu_user_regs *r, gva_t va)
{
	if (i->opcode != 0xa4 && i->opcode != 0xa5)
		return true;
	return va - r->rdi < SLUICE_PAGE_SIZE || va - r->rsi >= SLUICE_PAGE_SIZE;
}

static bool one_byte_writes(const struct insn *i, const struct cpu_user_regs *r, gva_t va)
{
	static const uint8_t strings[] = { 0x6c, 0x6d, 0xa4, 0xa5, 0xaa, 0xab };
	static const uint8_t stores[] = { 0x86, 0x87, 0x88, 0x89, 0x8c, 0x8f, 0xa2, 0xa3, 0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3 };
	uint8_t op = i->opcode, sub = i->reg & 7;

	if (one_byte_stack(op))
		return true;
	if (in(op, strings, sizeof(strings)))
		return string_writes(i, r, va);
	if (op < 0x38 && (op & 7) < 2) /* add .. xor r/m, r */
		return true;
	if (op >= 0x80 && op <= 0x83)
		return sub != 7; /* cmp */
	if (op == 0xf6 || op == 0xf7)
		return sub == 2 || sub == 3; /* not, neg */
	if (op == 0xfe || op == 0xff)
		return sub < 2 || (sub == 2 && below_stack(r, va)) || (sub == 6 && below_stack(r, va)); /* inc, dec; call, push */
	if (op >= 0xd8 && op <= 0xdf)
		return op & 1 && (sub == 2 || sub == 3); /* fst, fstp */
	return in(op, stores, sizeof(stores));
}

static bool two_byte_writes(const struct insn *i)
{
	static const uint8_t stores[] = { 0x11, 0x13, 0x17, 0x29, 0x2b, 0x7f, 0xa0, 0xa4, 0xa5, 0xa8, 0xab, 0xac, 0xad, 0xb0, 0xb1, 0xb3, 0xbb,
		0xc0, 0xc1, 0xc3, 0xc7, 0xd6, 0xe7 };
	uint8_t op = i->opcode, sub = i->reg & 7;

	if (op >= 0x90 && op <= 0x9f) /* setcc */
		return true;
	if (op == 0x7e) /* with rep: movq xmm, m */
		return !i->rep;
	if (op == 0xba) /* bts, btr, btc; sub 4 only tests */
		return sub > 4;
	if (op == 0xae) /* fxsave, stmxcsr, xsave, xsaveopt */
		return sub == 0 || sub == 3 || sub == 4 || sub == 6;
	return in(op, stores, sizeof(stores));
}

bool insn_writes(const struct insn *i, const struct cpu_user_regs *r, gva_t va)
{
	return i->map ? two_byte_writes(i) : one_byte_writes(i, r, va);
}
