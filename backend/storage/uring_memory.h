/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that Linux pins once for a ring, rather than for each transfer. Used by uring.c.
 *
 * What pays is the guest's own pages: those that blkback keeps mapped, each under a number. Not every mapping can be pinned for good: Linux before 6.5 takes no memory of
 * a device file, and Xen's gntdev is one. There the ring has pages of ours instead, one for each request, and small transfers go through them. In a PV domain Linux
 * spends 2900 instructions on finding one foreign page, where copying 4 KiB takes 600.
 * A kernel that refuses both (no such table before 5.19, or RLIMIT_MEMLOCK) is asked once, and the ring does without.
 */
#ifndef BACKEND_STORAGE_URING_MEMORY_H
#define BACKEND_STORAGE_URING_MEMORY_H

#include "storage.h"
#include <liburing.h>

#define URING_REQUESTS 256u
#define URING_OWN_PAGE 4096u /* as much as a transfer may have that goes through a page of ours: what is larger is dearer to copy than to pin */
#define URING_OWN 0u         /* the number of our pages; the guest's begin at 1 */

struct uring_memory {
	bool asks;    /* Linux has refused none so far */
	uint8_t *own; /* a page for each request; NULL: none */
};

/* Linux pins nothing yet. Zeroed before. */
void uring_memory_open(struct uring_memory *m, struct io_uring *ring);
/* Nothing is under way, the ring still open: all is unpinned when it returns. */
void uring_memory_close(struct uring_memory *m, struct io_uring *ring);

/* blkdev_ops.register_memory and forget_memory. */
int uring_memory_register(struct uring_memory *m, struct io_uring *ring, unsigned number, void *base, size_t len);
void uring_memory_forget(struct io_uring *ring, unsigned number);

/* The page of ours that this transfer goes through, of the request with that index; NULL: it needs none. */
uint8_t *uring_memory_own(const struct uring_memory *m, unsigned request, const struct blkdev_io *io);
/* From the io's memory into the page, and back. */
void uring_memory_gather(uint8_t *own, const struct blkdev_io *io);
void uring_memory_scatter(const uint8_t *own, const struct blkdev_io *io);

#endif
