/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a hypercall's number to its function. What is not implemented gives -ENOSYS and is logged once per domain and number.
 */
#ifndef SLUICE_HYPERCALL_H
#define SLUICE_HYPERCALL_H

#include "domain.h"

/* Does the hypercall in v->regs; the result goes to rax. hv_lock held. */
void hypercall(struct vcpu *v);

/* Write the 128 stubs of the hypercall page (32 bytes each) that a kernel asks for in its notes. */
void hypercall_page_fill(uint8_t page[4096]);

long do_sched_op(struct vcpu *v, unsigned cmd, gva_t arg);                   /* sched_op.c */
long do_sched_op_compat(struct vcpu *v, unsigned cmd, uint64_t arg);
long do_xen_version(struct vcpu *v, unsigned cmd, gva_t arg);                /* version.c */
long do_console_io(struct vcpu *v, unsigned cmd, unsigned count, gva_t buf); /* console.c */
long do_physdev_op(struct vcpu *v, unsigned cmd, gva_t arg);                 /* version.c: a domU has no physical devices */

#endif
