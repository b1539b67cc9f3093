/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that a PV kernel expects and no process can have: the machine-to-physical table at 0xffff800000000000 (read), and its own page tables as
 * if they were writable (a store that is checked like mmu_update). Called by fault.c with hv_lock held, after #PF at an address that is
 * known exactly; so only the registers of the instruction are decoded, not its addressing.
 */
#include "decode.h"
#include "guest_access.h"
#include "machine.h"
#include "mmu.h"
#include "vcpu.h"

#define RFLAGS_LAHF 0xd5ull /* SF, ZF, AF, PF, CF */
#define RFLAGS_OF 0x800ull
#define ENTRY 8u

enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_MOV, ALU_XCHG };

/* What an instruction does: dst = dst op src, one of them in memory. */
struct access {
	enum alu op;
	unsigned size;    /* 4 or 8 */
	bool to_memory;
	uint64_t operand; /* the side that is not in memory */
	uint64_t *reg;    /* where that lives; NULL: an immediate */
	bool sign_extend; /* movslq: 4 bytes of memory to 8 of register */
};

/* ---- decoding ---- */

static bool from_register(const struct insn *i, struct cpu_user_regs *r, struct access *a)
{
	a->reg = insn_reg(r, i->reg);
	a->operand = *a->reg;
	return true;
}

static bool from_immediate(const struct insn *i, struct access *a, enum alu op)
{
	a->op = op;
	a->operand = (uint64_t)i->imm;
	a->to_memory = true;
	return true;
}

static bool access_decode(const struct insn *i, struct cpu_user_regs *r, struct access *a)
{
	*a = (struct access){ .size = i->operand, .op = ALU_MOV };
	if (i->map || !i->has_modrm || i->mod == 3 || i->operand == 2)
		return false;
	switch (i->opcode) {
	case 0x63:
		a->size = 4;
		a->sign_extend = i->operand == 8;
		return from_register(i, r, a);
	case 0x81:
	case 0x83:
		return from_immediate(i, a, (enum alu)(i->reg & 7));
	case 0x87:
		a->op = ALU_XCHG;
		a->to_memory = true;
		return from_register(i, r, a);
	case 0x89:
		a->to_memory = true;
		return from_register(i, r, a);
	case 0x8b:
		return from_register(i, r, a);
	case 0xc7:
		return !(i->reg & 7) && from_immediate(i, a, ALU_MOV);
	}
	if (i->opcode >= 0x40 || (i->opcode & 5) != 1) /* 01, 03, 09, 0b .. 39, 3b */
		return false;
	a->op = (enum alu)(i->opcode >> 3);
	a->to_memory = !(i->opcode & 2);
	return from_register(i, r, a);
}

/* ---- arithmetic, by the CPU itself ---- */

/* No push: the compiler may use the red zone below rsp. */
#define ALU_DO(insn)                                                                                                            \
	do {                                                                                                                    \
		if (size == ENTRY)                                                                                              \
			__asm__(insn "q %q[s], %q[d]\n\tlahf\n\tseto %%al" : [d] "+r"(dst), "=&a"(ax) : [s] "r"(src) : "cc");  \
		else                                                                                                            \
			__asm__(insn "l %k[s], %k[d]\n\tlahf\n\tseto %%al" : [d] "+r"(dst), "=&a"(ax) : [s] "r"(src) : "cc");  \
	} while (0)

/* False for adc and sbb, which nobody uses on a page table. */
static bool alu(enum alu op, unsigned size, uint64_t *result, uint64_t dst, uint64_t src, uint64_t *rflags)
{
	uint16_t ax;

	switch (op) {
	case ALU_ADD:
		ALU_DO("add");
		break;
	case ALU_OR:
		ALU_DO("or");
		break;
	case ALU_AND:
		ALU_DO("and");
		break;
	case ALU_SUB:
		ALU_DO("sub");
		break;
	case ALU_XOR:
		ALU_DO("xor");
		break;
	case ALU_CMP:
		ALU_DO("cmp");
		break;
	default:
		return false;
	}
	*rflags = (*rflags & ~(RFLAGS_OF | RFLAGS_LAHF)) | (ax >> 8 & RFLAGS_LAHF) | (ax & 1 ? RFLAGS_OF : 0);
	*result = dst;
	return true;
}

/* ---- memory ---- */

static bool in_m2p(gva_t va)
{
	return va >= MACH2PHYS_VIRT_START && (va - MACH2PHYS_VIRT_START) / ENTRY < machine.nr_frames;
}

/* A domain learns nothing of frames that are not its own. */
static uint64_t m2p_entry(const struct domain *d, mfn_t mfn)
{
	return machine_owner(mfn) == d->domid ? machine.m2p[mfn] : ~0ull;
}

/* The 8-byte entry that va lies in. */
static bool entry_read(struct vcpu *v, gva_t va, uint64_t *val)
{
	if (in_m2p(va)) {
		*val = m2p_entry(v->domain, (va - MACH2PHYS_VIRT_START) / ENTRY);
		return true;
	}
	return !copy_from_guest(v, val, va & ~(gva_t)(ENTRY - 1), sizeof(*val));
}

static uint64_t part_get(uint64_t entry, gva_t va, unsigned size)
{
	return size == ENTRY ? entry : (uint32_t)(entry >> (va & 4) * 8);
}

static uint64_t part_set(uint64_t entry, gva_t va, unsigned size, uint64_t val)
{
	unsigned shift = (unsigned)(va & 4) * 8;

	return size == ENTRY ? val : (entry & ~(0xffffffffull << shift)) | (uint64_t)(uint32_t)val << shift;
}

/* ---- doing it ---- */

static void to_register(struct access *a, uint64_t val)
{
	*a->reg = a->sign_extend ? (uint64_t)(int32_t)val : a->size == 4 ? (uint32_t)val : val;
}

static bool load(struct vcpu *v, struct access *a, uint64_t mem)
{
	uint64_t result = mem;

	if (a->op != ALU_MOV && !alu(a->op, a->size, &result, a->operand, mem, &v->regs.user.rflags))
		return false;
	if (a->op != ALU_CMP)
		to_register(a, result);
	return true;
}

static bool store(struct vcpu *v, struct access *a, gva_t va, uint64_t entry)
{
	uint64_t mem = part_get(entry, va, a->size), result = a->operand, rflags = v->regs.user.rflags;

	if (a->op < ALU_MOV && !alu(a->op, a->size, &result, mem, a->operand, &rflags))
		return false;
	if (a->op != ALU_CMP && (in_m2p(va) || mmu_emulate_pte_write(v, va & ~(gva_t)(ENTRY - 1), part_set(entry, va, a->size, result))))
		return false;
	v->regs.user.rflags = rflags;
	if (a->op == ALU_XCHG)
		to_register(a, mem);
	return true;
}

bool emulate_memory(struct vcpu *v, gva_t va)
{
	uint8_t bytes[15];
	struct access a;
	struct insn i;
	uint64_t entry;

	if (insn_decode(bytes, emulate_fetch(v, bytes), &i) || !access_decode(&i, &v->regs.user, &a) || (va & (a.size - 1)))
		return false;
	if (!entry_read(v, va, &entry))
		return false;
	if (!(a.to_memory ? store(v, &a, va, entry) : load(v, &a, part_get(entry, va, a.size))))
		return false;
	v->regs.user.rip += i.len;
	return true;
}
