/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory by virtual address, through the guest's own page tables. Every byte is read or written once; what is read is a private
 * copy. -EFAULT when a page is not mapped, or not writable for copy_to_guest. Nothing is done half: the range is checked first.
 */
#ifndef SLUICE_GUEST_ACCESS_H
#define SLUICE_GUEST_ACCESS_H

#include "domain.h"

int copy_from_guest(struct vcpu *v, void *dst, gva_t src, size_t n);
int copy_to_guest(struct vcpu *v, gva_t dst, const void *src, size_t n);

/* The same for one variable. */
#define get_guest(v, var, va) copy_from_guest((v), &(var), (va), sizeof(var))
#define put_guest(v, va, var) copy_to_guest((v), (va), &(var), sizeof(var))

#endif
