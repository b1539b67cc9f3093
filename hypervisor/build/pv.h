/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domain builder for Xen PV ELF kernels: places kernel, initrd, p2m, start_info, store and console pages, page tables and a stack in the
 * order that the ABI fixes (xen.h, "start-of-day memory layout"), and sets vCPU 0's registers.
 */
#ifndef SLUICE_BUILD_PV_H
#define SLUICE_BUILD_PV_H

#include "../domain.h"

/* d is fresh from domain_create. ramdisk and cmdline may be NULL. 0 or -errno; err: one line, what is wrong and what to do. */
int build_pv(struct domain *d, const char *kernel, const char *ramdisk, const char *cmdline, char err[256]);

#endif
