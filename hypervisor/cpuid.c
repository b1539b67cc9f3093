/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a PV guest sees when it asks with Xen's forced emulation prefix (ud2; "xen"; cpuid): the host's leaves without what it must not use, and Xen's own.
 * A plain cpuid is not stopped and shows the host's (engine/process/process.c).
 */
#include <cpuid.h>
#include "hypercall.h"
#include "vcpu.h"

struct leaf {
	uint32_t a, b, c, d;
};

#define BIT(n) (1u << (n))
#define XEN_LEAF 0x40000000u
#define XEN_HYPERCALL_MSR 0x40000000u /* where xen writes hypercall pages: PV kernels get theirs by ELF note */

/* Leaf 1. ecx: MONITOR, VMX, SMX, EIST, TM2, PDCM, PCID, DCA, x2APIC, TSC deadline. */
#define LEAF1_ECX_HIDDEN (BIT(3) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(15) | BIT(17) | BIT(18) | BIT(21) | BIT(24))
#define LEAF1_ECX_HYPERVISOR BIT(31)
/* edx: VME, PSE, MCE, APIC, MTRR, PGE, MCA, PSE36, and the thermal ones DTS, ACPI, HTT, TM. */
#define LEAF1_EDX_HIDDEN (BIT(1) | BIT(3) | BIT(7) | BIT(9) | BIT(12) | BIT(13) | BIT(14) | BIT(17) | BIT(21) | BIT(22) | BIT(28) | BIT(29))
/* Leaf 7. ebx: SMEP, INVPCID, SMAP; ecx: UMIP, PKU, OSPKE. */
#define LEAF7_EBX_HIDDEN (BIT(7) | BIT(10) | BIT(20))
#define LEAF7_ECX_HIDDEN (BIT(2) | BIT(3) | BIT(4))
/* 0x80000001. ecx: SVM, extended APIC, OSVW, IBS, SKINIT, WDT, NodeId, performance counters; edx: PSE, APIC, PGE, PSE36, 1 GiB pages, RDTSCP. */
#define EXT1_ECX_HIDDEN (BIT(2) | BIT(3) | BIT(9) | BIT(10) | BIT(12) | BIT(13) | BIT(19) | BIT(23) | BIT(24))
#define EXT1_EDX_HIDDEN (BIT(3) | BIT(9) | BIT(13) | BIT(17) | BIT(26) | BIT(27))

static struct leaf host_leaf(uint32_t leaf, uint32_t subleaf)
{
	struct leaf l;

	__cpuid_count(leaf, subleaf, l.a, l.b, l.c, l.d);
	return l;
}

/* xen/arch-x86/cpuid.h: signature and highest leaf; version; hypercall pages. */
static struct leaf xen_leaf(struct vcpu *v, uint32_t leaf)
{
	switch (leaf - XEN_LEAF) {
	case 0:
		return (struct leaf){ XEN_LEAF + 2, 0x566e6558, 0x65584d4d, 0x4d4d566e }; /* "XenV" "MMXe" "nVMM" */
	case 1:
		return (struct leaf){ .a = (uint32_t)do_xen_version(v, XENVER_version, 0) };
	case 2:
		return (struct leaf){ .a = 1, .b = XEN_HYPERCALL_MSR };
	}
	return (struct leaf){ 0 };
}

static struct leaf filtered_leaf(uint32_t leaf, uint32_t subleaf)
{
	struct leaf l = host_leaf(leaf, subleaf);

	switch (leaf) {
	case 1:
		l.b = (l.b & 0xffff) | 1u << 16; /* one logical processor, APIC id 0 */
		l.c = (l.c & ~LEAF1_ECX_HIDDEN) | LEAF1_ECX_HYPERVISOR;
		l.d &= ~LEAF1_EDX_HIDDEN;
		return l;
	case 5: case 6: case 0xa: case 0xb: case 0x1f: case 0x8000000a: /* mwait, power, counters, topology, SVM */
		return (struct leaf){ 0 };
	case 7:
		l.b &= ~LEAF7_EBX_HIDDEN;
		l.c &= ~LEAF7_ECX_HIDDEN;
		return l;
	case 0x80000001:
		l.c &= ~EXT1_ECX_HIDDEN;
		l.d &= ~EXT1_EDX_HIDDEN;
		return l;
	}
	return l;
}

void emulate_cpuid(struct vcpu *v)
{
	struct cpu_user_regs *r = &v->regs.user;
	uint32_t leaf = (uint32_t)r->rax;
	struct leaf l = leaf >= XEN_LEAF && leaf < XEN_LEAF + 0x100 ? xen_leaf(v, leaf) : filtered_leaf(leaf, (uint32_t)r->rcx);

	r->rax = l.a;
	r->rbx = l.b;
	r->rcx = l.c;
	r->rdx = l.d;
}
