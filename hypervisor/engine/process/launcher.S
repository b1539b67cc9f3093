/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything of ours that ever lives in a guest's process: one page, no libc, never entered at its start. While the guest is stopped the
 * supervisor points rip here with a system call in the registers (inject.c); int3 gives control back. A guest that jumps here itself gains
 * nothing: its `syscall` is a hypercall stop like any other.
 */
	.text
	.globl _start
_start:	syscall
	int3
	.balign 4096, 0xcc
	.section .note.GNU-stack, "", @progbits
