/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What vifs and vbds in XenStore have in common: two directories, written in one transaction, with libxl's permissions; and how a device is taken
 * away. For vif_store.c and vbd_store.c. Functions that return int: 0, or 1 after a line.
 */
#ifndef SLUICE_TOOLSTACK_DEVICE_STORE_H
#define SLUICE_TOOLSTACK_DEVICE_STORE_H

#include <stdbool.h>
#include <xenstore.h>

#define DEVICE_PATH_MAX 96

/* One device, by its place in XenStore. */
struct device {
	const char *kind; /* "vif", "vbd" */
	int domid;        /* of the front end */
	unsigned id;      /* handle or virtual device number */
};

/* Where the writing of one directory stands. */
struct dir {
	struct xs_handle *xs;
	xs_transaction_t t;
	char path[DEVICE_PATH_MAX];
	bool ok; /* so far */
};

/* sluiced's XenStore; NULL after a line. */
struct xs_handle *device_store_open(const char *run_dir);

void device_backend_path(char out[DEVICE_PATH_MAX], const struct device *dev);
void device_frontend_path(char out[DEVICE_PATH_MAX], const struct device *dev);

void dir_put(struct dir *d, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Keys of one device beyond those that every device has: of its back end's directory, then of its front end's. */
typedef void (*device_write_fn)(struct dir *back, struct dir *front, const struct device *dev, const void *config);

/* n devices in one transaction; ids and configs (of `size` bytes each) beside each other. */
int device_add(struct xs_handle *xs, const char *kind, int domid, const unsigned *ids, const void *configs, size_t size, unsigned n,
	       device_write_fn write);
/* Until a back end has offered it (10 s at most), so that a guest finds it when it looks, once, at its start. name: for the line. */
int device_wait_offered(struct xs_handle *xs, const struct device *dev, const char *name);
/* Ask the back end to let go, wait until it has (10 s at most), remove both directories. */
int device_remove(struct xs_handle *xs, const struct device *dev);
bool device_exists(struct xs_handle *xs, const struct device *dev);
/* dir/key as a number; -1: absent or none. */
long device_number(struct xs_handle *xs, const char *dir, const char *key);
/* The same as text, malloc'd; NULL: absent. */
char *device_string(struct xs_handle *xs, const char *dir, const char *key);

#endif
