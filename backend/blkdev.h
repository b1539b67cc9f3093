/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam between blkback and storage. Providers: backend/storage/{uring,tmpfs,memory,null,nbd}.c; every one passes tests/contract/blkdev.
 *
 * One thread, the poller's, owns a device and makes every call. Nothing blocks: submit queues, kick starts what was queued (one doorbell a burst),
 * poll collects what ended, in any order. The memory of an io belongs to the caller and must stay until the io is polled out; a provider changes
 * nothing in it but `result` and `next`. Any number of ios may be submitted: what the storage cannot take yet waits in order.
 */
#ifndef SLUICE_BLKDEV_H
#define SLUICE_BLKDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct blkdev;

enum blkdev_op {
	BLKDEV_READ,
	BLKDEV_WRITE,
	BLKDEV_FLUSH,          /* everything that was polled out before this was submitted is durable when it is polled out */
	BLKDEV_DISCARD,        /* offset and len; the content may be anything after */
	BLKDEV_SECURE_DISCARD, /* the content is gone for good */
};

#define BLKDEV_IOV_MAX 256u
#define BLKDEV_BUFFERS 1056u

struct blkdev_io {
	enum blkdev_op op;
	uint64_t offset;        /* bytes; a multiple of sector_size */
	uint64_t len;           /* bytes; a multiple of sector_size; the sum of iov for READ and WRITE, below 2 GiB there */
	unsigned buffer;        /* all of it is in iov[0] and in the registered memory of this number; 0: it is not */
	struct iovec iov[BLKDEV_IOV_MAX];
	unsigned niov;
	int result;             /* out: 0 or -errno. A short transfer is -EIO, never success */
	void *owner;            /* the caller's */
	struct blkdev_io *next; /* the provider's while submitted */
};

/* What does not change while a device is open, but size: resize is seen by `refresh`. */
struct blkdev_info {
	uint64_t size;                  /* bytes, a multiple of sector_size */
	uint32_t sector_size;           /* logical: 512 or 4096 */
	uint32_t physical_sector_size;  /* a hint for the guest's alignment */
	bool readonly;
	bool can_flush, can_discard, can_secure_discard;
	uint32_t discard_granularity, discard_alignment; /* bytes */
};

struct blkdev_ops {
	const char *name; /* "uring", "tmpfs", "memory", "null", "nbd" */

	/*
	 * Waits for what is under way (nbd: a second at most), drops what waits, then releases everything; no memory of an io is touched after.
	 * NULL is fine.
	 */
	void (*close)(struct blkdev *d);

	/* Queue one io. Its range was checked against info by the caller. Never fails: an error comes as its result. */
	void (*submit)(struct blkdev *d, struct blkdev_io *io);
	/* Start what is queued. 0 or -errno: then some ios end with that result, and the next poll gives them at once. */
	int (*kick)(struct blkdev *d);
	/* Up to max ios that ended. No system call when none did (nbd: one, while ios are under way). Call it when fd is readable, too: nbd reconnects here. */
	unsigned (*poll)(struct blkdev *d, struct blkdev_io **done, unsigned max);
	/*
	 * Readable after kick when ios have ended, refused ones included; stays the same while the device is open. -1: nothing is ever waited for
	 * (tmpfs, memory, null), so poll right after kick and for as long as that gives any.
	 */
	int (*fd)(struct blkdev *d);

	/*
	 * Memory that ios will name often, under a number of 1 to BLKDEV_BUFFERS that is free: lets the storage pin it once. 0, or -errno: no io may say that it lies there.
	 * forget_memory: before that memory goes, with no io under way that names the number. Closing forgets all. Both NULL: the storage pins nothing.
	 */
	int (*register_memory)(struct blkdev *d, unsigned number, void *base, size_t len);
	void (*forget_memory)(struct blkdev *d, unsigned number);

	/* Look at the storage's size again; true when it changed (info is then the new one). May block briefly. May be NULL. */
	bool (*refresh)(struct blkdev *d);
};

struct blkdev {
	const struct blkdev_ops *ops;
	struct blkdev_info info;
};

/*
 * Open storage by name: a path (file or block device, through io_uring; a file of a tmpfs by plain copies), "null:<size>", "memory:<size>" (sizes as 64M), or an NBD URI
 * ("nbd://host/export", "nbd+unix:///?socket=/path"). err: one line that says what is wrong and what to do. May block: nbd for BLKDEV_OPEN_MS at most
 * (and as long as the resolver takes). Any thread may open; the device then belongs to one, which need not be the same.
 */
#define BLKDEV_OPEN_MS 3000
int blkdev_open(const char *target, bool readonly, struct blkdev **out, char err[256]);

#endif
