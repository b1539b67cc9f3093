/* SPDX-License-Identifier: BSD-3-Clause */
/* vbds in XenStore: the two directories of each, with libxl's keys and permissions. Each function returns 0, or 1 after a line. */
#ifndef SLUICE_TOOLSTACK_VBD_STORE_H
#define SLUICE_TOOLSTACK_VBD_STORE_H

#include "config.h"

struct xs_handle;

/* n vbds of domid, in one transaction. */
int vbd_store_add(struct xs_handle *xs, int domid, const struct disk_config *disks, unsigned n);
/* Until the back end has offered each of them. */
int vbd_store_wait(struct xs_handle *xs, int domid, const struct disk_config *disks, unsigned n);
/* Is number in use? A line, then, and 1. */
int vbd_store_check_free(struct xs_handle *xs, int domid, const struct disk_config *disk);
/* Ask the back end to let go, wait until it has (10 s at most), remove both directories. */
int vbd_store_remove(struct xs_handle *xs, int domid, unsigned number);
/* The number of the vbd that is called what: a number or a name, as xvda. */
int vbd_store_find(struct xs_handle *xs, int domid, const char *what, unsigned *number);
/* An array of objects, one for each vbd, by number. */
struct json_object *vbd_store_list(struct xs_handle *xs, int domid);

#endif
