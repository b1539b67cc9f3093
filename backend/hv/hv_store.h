/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The XenStore half of hv.h on libxenstore: the same for sluiced's store and for Xen's. A provider has a struct hv_store as the first member
 * of its handle and names these functions in its hv_ops.
 */
#ifndef BACKEND_HV_STORE_H
#define BACKEND_HV_STORE_H

#include <sluice/hv.h>

struct xs_handle;

struct hv_store {
	struct hv hv;
	struct xs_handle *xs;
};

/* socket: path of the store's socket, or NULL for where libxenstore looks by itself. 0 or -errno after a line in the log. */
int hv_store_open(struct hv_store *s, const char *socket);
void hv_store_close(struct hv_store *s);

char *hv_store_read(struct hv *hv, hv_txn_t t, const char *path, size_t *len);
int hv_store_write(struct hv *hv, hv_txn_t t, const char *path, const char *value);
int hv_store_rm(struct hv *hv, hv_txn_t t, const char *path);
char **hv_store_directory(struct hv *hv, hv_txn_t t, const char *path, unsigned *n);
int hv_store_txn_start(struct hv *hv, hv_txn_t *t);
int hv_store_txn_end(struct hv *hv, hv_txn_t t, bool abort);
int hv_store_watch(struct hv *hv, const char *path, const char *token);
int hv_store_unwatch(struct hv *hv, const char *path, const char *token);
int hv_store_fd(struct hv *hv);
int hv_store_event(struct hv *hv, char **path, char **token);

#endif
