/* SPDX-License-Identifier: BSD-3-Clause */
/* vifs in XenStore: the two directories of each, with libxl's keys and permissions. Each function returns 0, or 1 after a line. */
#ifndef SLUICE_TOOLSTACK_VIF_STORE_H
#define SLUICE_TOOLSTACK_VIF_STORE_H

#include "config.h"

struct xs_handle;

/* n vifs of domid with handles from first, in one transaction. */
int vif_store_add(struct xs_handle *xs, int domid, unsigned first, const struct vif_config *vifs, unsigned n);
/* The lowest handle that domid does not use. */
int vif_store_free_handle(struct xs_handle *xs, int domid, unsigned *handle);
/* Ask the back end to let go, wait until it has (10 s at most), remove both directories. */
int vif_store_remove(struct xs_handle *xs, int domid, unsigned handle);
/* The handle of the vif that is called what: a handle or a MAC address. */
int vif_store_find(struct xs_handle *xs, int domid, const char *what, unsigned *handle);
/* An array of objects, one for each vif. */
struct json_object *vif_store_list(struct xs_handle *xs, int domid);

#endif
