/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file or block device, opened: its descriptors and what it can do. Used by uring.c and tmpfs.c.
 *
 * Two descriptors on the same inode. `direct` goes past the page cache; it asks for aligned memory and offsets, which a guest's 512-byte segments need not
 * be. What does not fit goes through `buffered`. Linux keeps the two coherent: a direct transfer first writes back what the cache holds of its range, a
 * direct write drops it.
 */
#ifndef BACKEND_STORAGE_FILE_H
#define BACKEND_STORAGE_FILE_H

#include "storage.h"

#define STORAGE_HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) /* a discard, for fallocate */

struct storage_file {
	int buffered;
	int direct; /* -1: the file system has none */
	uint32_t memory_align, offset_align; /* what direct asks for; powers of two */
	bool block;                          /* a block device */
};

/* Opens both and fills in info. 0, or -errno and a line in err. */
int storage_file_open(const char *path, bool readonly, struct storage_file *f, struct blkdev_info *info, char err[STORAGE_ERR]);
void storage_file_close(struct storage_file *f);

/* Bytes now; 0 or -errno. */
int storage_file_size(const struct storage_file *f, uint64_t *size);

/* blkdev_ops.refresh for both. */
bool storage_file_refresh(const struct storage_file *f, struct blkdev_info *info);

#endif
