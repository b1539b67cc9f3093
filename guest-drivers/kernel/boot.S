/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where Xen enters the kernel: the start of day, the event upcall, the traps. Xen pushes rcx and r11 (which `syscall` clobbers) below what the
 * processor would have pushed: rcx, r11, [error code], rip, cs, rflags, rsp, ss. The upper half of the cs word carries the saved upcall mask.
 */
#include "layout.h"
#include <xen/elfnote.h>

/* What the domain builder reads (xen/elfnote.h). Physical addresses in the program headers equal the virtual ones: hence PADDR_OFFSET. */
	.macro xen_note type, kind, value:vararg
	.pushsection .note.Xen, "a", @note
	.balign 4
	.long 2f - 1f, 4f - 3f, \type
1:	.asciz "Xen"
2:	.balign 4
3:	\kind \value
4:	.balign 4
	.popsection
	.endm

	xen_note XEN_ELFNOTE_GUEST_OS, .asciz, "sluice-guest"
	xen_note XEN_ELFNOTE_GUEST_VERSION, .asciz, "1"
	xen_note XEN_ELFNOTE_XEN_VERSION, .asciz, "xen-3.0"
	xen_note XEN_ELFNOTE_VIRT_BASE, .quad, VIRT_BASE
	xen_note XEN_ELFNOTE_PADDR_OFFSET, .quad, VIRT_BASE
	xen_note XEN_ELFNOTE_ENTRY, .quad, _start
	xen_note XEN_ELFNOTE_HYPERCALL_PAGE, .quad, hypercall_page
	xen_note XEN_ELFNOTE_FEATURES, .asciz, ""
	xen_note XEN_ELFNOTE_PAE_MODE, .asciz, "yes"
	xen_note XEN_ELFNOTE_LOADER, .asciz, "generic"

	.section .text.boot, "ax", @progbits
	.globl _start
_start:
	cld
	lea boot_stack_top(%rip), %rsp
	xor %ebp, %ebp
	mov %rsi, %rdi                      /* start_info */
	call kernel_main
	ud2

/* Xen writes a stub of 32 bytes for each hypercall here when it builds the domain. */
	.balign 4096
	.globl hypercall_page
hypercall_page:
	.fill 4096, 1, 0x90

	.text
/*
 * Upcalls come only while port_wait blocks (events are masked everywhere else): see events.c. Xen has masked them again on the way in, and this return does
 * not unmask them, so it needs no hypercall and cannot nest. CS and SS arrive with the privilege level of a kernel, 0; iretq wants ours, 3.
 */
	.globl upcall_entry
upcall_entry:
	cld
	push %rax
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	call events_upcall
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rax
	pop %rcx
	pop %r11
	orb $3, 8(%rsp)
	orb $3, 32(%rsp)
	iretq

	.globl failsafe_entry
failsafe_entry:
	push $TRAP_FAILSAFE
	jmp trap_common

/* One entry of 16 bytes for each vector: traps.c finds entry n at trap_entries + 16 * n. */
	.balign 16
	.globl trap_entries
trap_entries:
	vector = 0
	.rept TRAP_VECTORS
	.balign 16
	push $vector
	jmp trap_common
	vector = vector + 1
	.endr

/* No trap returns: the registers are printed and the domain is reported as crashed. The order of the pushes is that of struct trap_frame. */
	.balign 16
trap_common:
	cld
	push %rax
	push %rbx
	push %rdx
	push %rsi
	push %rdi
	push %rbp
	push %r8
	push %r9
	push %r10
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	and $~15, %rsp
	call trap_fatal
	ud2

	.bss
	.balign 4096
	.fill BOOT_STACK_BYTES, 1, 0
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
