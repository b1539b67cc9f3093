/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths of XenStore: which are valid, and what relative ones mean (docs/misc/xenstore.txt of Xen). */
#ifndef SLUICE_XENSTORE_PATH_H
#define SLUICE_XENSTORE_PATH_H

#include <sluice/abi.h>

#define STORE_PATH_SIZE (XENSTORE_ABS_PATH_MAX + 1)

/* The absolute form of a path that domid gave, in out. -EINVAL: not a path. */
int path_resolve(domid_t domid, const char *given, char out[STORE_PATH_SIZE]);

/* Length of "/local/domain/<domid>/", which a relative path stands behind. */
size_t path_base_length(domid_t domid);

/* Is path the same as ancestor, or below it? *levels says how many levels below. */
bool path_is_below(const char *path, const char *ancestor, unsigned *levels);

/* Cut the last component off; "/" stays. */
void path_to_parent(char *path);

#endif
