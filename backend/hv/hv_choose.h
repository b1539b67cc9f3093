/* SPDX-License-Identifier: BSD-3-Clause */
/* Which hypervisor are we on? For main.c. */
#ifndef BACKEND_HV_CHOOSE_H
#define BACKEND_HV_CHOOSE_H

#include <sluice/hv.h>

/*
 * Opens the provider that `which` names: "sluice", "xen" or "auto". With "auto", sluiced's socket in run_dir means ours, Xen's devices in this domain mean Xen,
 * and where there is neither: -ENODEV. 0 or -errno after one line in the log; -EINVAL for another name.
 */
int hv_choose(const char *which, const char *run_dir, struct hv **out);

#endif
