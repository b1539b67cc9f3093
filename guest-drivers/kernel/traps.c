/* SPDX-License-Identifier: BSD-3-Clause */
/* Exceptions: this kernel expects none, so each one is printed with its registers and ends the domain as crashed. Called by main.c and boot.S. */
#include "hypercall.h"
#include "kernel.h"
#include "layout.h"

/* As boot.S pushes it. From `rest` on it is Xen's frame, with an error code first when the vector has one. */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r10, r9, r8, rbp, rdi, rsi, rdx, rbx, rax;
	uint64_t vector, rcx, r11;
	uint64_t rest[];
};

extern uint8_t trap_entries[];
void trap_fatal(const struct trap_frame *f);

/* 8 #DF, 10 #TS, 11 #NP, 12 #SS, 13 #GP, 14 #PF, 17 #AC push an error code. */
static bool has_error_code(uint64_t vector)
{
	return vector < 32 && (0x27d00u >> vector & 1);
}

void traps_init(void)
{
	struct trap_info table[TRAP_VECTORS + 1] = { 0 };
	unsigned n = 0;

	for (unsigned vector = 0; vector < TRAP_VECTORS; vector++) {
		if (vector == 2 || vector == 9 || vector == 15)
			continue; /* NMI has a call of its own; the other two do not exist */
		table[n++] = (struct trap_info){
			.vector = (uint8_t)vector, .cs = FLAT_KERNEL_CS, .address = (uintptr_t)trap_entries + 16 * vector
		};
	}
	hypercall2(__HYPERVISOR_set_trap_table, (uintptr_t)table, 0);
}

void trap_fatal(const struct trap_frame *f)
{
	const uint64_t *iret = f->rest + has_error_code(f->vector);
	uint64_t error = has_error_code(f->vector) ? f->rest[0] : 0;
	uint64_t cr2 = shared_info ? shared_info->vcpu_info[0].arch.cr2 : 0;

	print_line("sluice-guest: trap %lu error %lx at rip %016lx, cr2 %016lx: the domain ends as crashed", f->vector, error, iret[0], cr2);
	print_line("  rsp %016lx rflags %08lx cs %lx ss %lx", iret[3], iret[2], iret[1] & 0xffff, iret[4] & 0xffff);
	print_line("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	print_line("  rsi %016lx rdi %016lx rbp %016lx r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
	print_line("  r9  %016lx r10 %016lx r11 %016lx r12 %016lx", f->r9, f->r10, f->r11, f->r12);
	print_line("  r13 %016lx r14 %016lx r15 %016lx", f->r13, f->r14, f->r15);
	kernel_shutdown(SHUTDOWN_crash);
}
