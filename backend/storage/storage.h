/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the storage providers share: their open functions (open.c chooses one), the list of ios, the check that each makes of an io before it trusts it,
 * and error lines.
 */
#ifndef BACKEND_STORAGE_STORAGE_H
#define BACKEND_STORAGE_STORAGE_H

#include "../blkdev.h"
#include <stddef.h>

#define STORAGE_ERR 256u
#define STORAGE_SECTOR 512u

/* Each: 0, or -errno and a line in err. A size is a multiple of STORAGE_SECTOR. */
int storage_uring_open(const char *path, bool readonly, struct blkdev **out, char err[STORAGE_ERR]);
int storage_tmpfs_open(const char *path, bool readonly, struct blkdev **out, char err[STORAGE_ERR]);
int storage_nbd_open(const char *uri, bool readonly, struct blkdev **out, char err[STORAGE_ERR]);
int storage_memory_open(uint64_t size, bool readonly, struct blkdev **out, char err[STORAGE_ERR]);
int storage_null_open(uint64_t size, bool readonly, struct blkdev **out, char err[STORAGE_ERR]);

/* Is it a regular file of a tmpfs? */
bool storage_is_tmpfs(const char *path);

/* "4096", "64M": bytes, or K, M, G, T of 1024. 0, -EINVAL, or -ERANGE. */
int storage_parse_size(const char *text, uint64_t *size);

/*
 * 0, or the result of an io that is not to be tried: a write to a read-only device, an operation that it does not have, a range outside of it, an iov
 * that does not add up.
 */
int storage_refused(const struct blkdev *d, const struct blkdev_io *io);

/* What is to do of a transfer of which `done` bytes, fewer than all, are done: into rest[BLKDEV_IOV_MAX]. How many pieces. */
unsigned storage_rest(const struct blkdev_io *io, uint64_t done, struct iovec *rest);

/* A line in err, and rc (a -errno) as the value. */
int storage_error(char err[STORAGE_ERR], int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* First in, first out; zeroed at first. */
struct io_list {
	struct blkdev_io *first, *last;
};

static inline void io_list_push(struct io_list *list, struct blkdev_io *io)
{
	io->next = NULL;
	if (list->first)
		list->last->next = io;
	else
		list->first = io;
	list->last = io;
}

static inline struct blkdev_io *io_list_pop(struct io_list *list)
{
	struct blkdev_io *io = list->first;

	if (io)
		list->first = io->next;
	return io;
}

static inline void io_list_push_front(struct io_list *list, struct blkdev_io *io)
{
	io->next = list->first;
	if (!list->first)
		list->last = io;
	list->first = io;
}

/* For ops->poll: up to max of the list. */
static inline unsigned io_list_take(struct io_list *list, struct blkdev_io **done, unsigned max)
{
	unsigned n = 0;

	while (n < max && list->first)
		done[n++] = io_list_pop(list);
	return n;
}

#endif
