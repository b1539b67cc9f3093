/* SPDX-License-Identifier: BSD-3-Clause */
/* Finds out which hypervisor this machine has: see hv_choose.h. */
#include "hv_choose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backend/log.h"

static bool sluice_here(const char *run_dir)
{
	char path[256];

	return (unsigned)snprintf(path, sizeof(path), "%s/hv.sock", run_dir) < sizeof(path) && access(path, F_OK) == 0;
}

static bool xen_here(void)
{
	static const char *const devices[] = {"/dev/xen/gntdev", "/proc/xen/privcmd", "/proc/xen/xenbus"};

	for (unsigned i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (access(devices[i], F_OK) == 0)
			return true;
	return false;
}

int hv_choose(const char *which, const char *run_dir, struct hv **out)
{
	bool any = strcmp(which, "auto") == 0;

	if (strcmp(which, "sluice") == 0 || (any && sluice_here(run_dir)))
		return hv_sluice_open(run_dir, out);
	if (strcmp(which, "xen") == 0 || (any && xen_here()))
		return hv_xen_open(out);
	if (!any) {
		backend_error("--hypervisor %s: not a hypervisor; give auto, sluice or xen", which);
		return -EINVAL;
	}
	backend_error("no hypervisor here: neither sluiced's socket %s/hv.sock nor Xen's /dev/xen/gntdev; start sluiced, or run in a domain of Xen", run_dir);
	return -ENODEV;
}
