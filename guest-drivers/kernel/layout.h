/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers that boot.S, kernel.lds and the C code share. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

#define VIRT_BASE 0x400000 /* the same as in kernel.lds */
#define BOOT_STACK_BYTES 32768
#define TRAP_VECTORS 20
#define TRAP_FAILSAFE 0x7f /* what trap_fatal is told when Xen could not return to a selector of ours */

#endif
