/* SPDX-License-Identifier: BSD-3-Clause */
/* The launcher's ELF file, carried inside sluiced: cage.c writes it to a memfd and executes that. */
	.section .rodata
	.globl launcher_elf
	.globl launcher_elf_end
	.balign 16
launcher_elf:
	.incbin "launcher.elf"
launcher_elf_end:
	.section .note.GNU-stack, "", @progbits
