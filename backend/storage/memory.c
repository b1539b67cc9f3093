/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "memory:<size>": a disk in the back end's memory, zero at first, gone with the back end. For tests and scratch disks. Pages are taken when they are
 * written and given back by discard, after which they read as zero: so its discard is a secure one as well. Opened by blkdev_open.
 */
#include "storage.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE 4096u

struct memory {
	struct blkdev dev;
	uint8_t *base;
	struct io_list ended;
};

static struct memory *to_memory(struct blkdev *d)
{
	return (struct memory *)d; /* dev is its first member */
}

static void memory_close(struct blkdev *d)
{
	if (!d)
		return;
	munmap(to_memory(d)->base, d->info.size);
	free(d);
}

static void copy(struct memory *m, const struct blkdev_io *io)
{
	uint8_t *at = m->base + io->offset;

	for (unsigned i = 0; i < io->niov; i++) {
		const struct iovec *v = &io->iov[i];

		if (io->op == BLKDEV_READ)
			memcpy(v->iov_base, at, v->iov_len);
		else
			memcpy(at, v->iov_base, v->iov_len);
		at += v->iov_len;
	}
}

/* Whole pages go back to Linux, the edges are cleared by hand. */
static int discard(struct memory *m, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len, first = (offset + PAGE - 1) / PAGE * PAGE, last = end / PAGE * PAGE;

	if (first >= last) {
		memset(m->base + offset, 0, len);
		return 0;
	}
	memset(m->base + offset, 0, first - offset);
	memset(m->base + last, 0, end - last);
	return madvise(m->base + first, last - first, MADV_DONTNEED) ? -errno : 0;
}

static int run(struct memory *m, const struct blkdev_io *io)
{
	int rc = storage_refused(&m->dev, io);

	if (rc || io->op == BLKDEV_FLUSH)
		return rc;
	if (io->op == BLKDEV_DISCARD || io->op == BLKDEV_SECURE_DISCARD)
		return discard(m, io->offset, io->len);
	copy(m, io);
	return 0;
}

static void memory_submit(struct blkdev *d, struct blkdev_io *io)
{
	io->result = run(to_memory(d), io);
	io_list_push(&to_memory(d)->ended, io);
}

static int memory_kick(struct blkdev *d)
{
	(void)d;
	return 0;
}

static unsigned memory_poll(struct blkdev *d, struct blkdev_io **done, unsigned max)
{
	return io_list_take(&to_memory(d)->ended, done, max);
}

static int memory_fd(struct blkdev *d)
{
	(void)d;
	return -1;
}

static const struct blkdev_ops memory_ops = {
	.name = "memory",
	.close = memory_close,
	.submit = memory_submit,
	.kick = memory_kick,
	.poll = memory_poll,
	.fd = memory_fd,
};

int storage_memory_open(uint64_t size, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	struct memory *m = calloc(1, sizeof(*m));

	if (!m)
		return storage_error(err, -ENOMEM, "memory: out of memory");
	m->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m->base == MAP_FAILED) {
		int rc = -errno;

		free(m);
		return storage_error(err, rc, "memory: no room for %llu bytes (%s); choose a smaller size", (unsigned long long)size, strerror(-rc));
	}
	m->dev.ops = &memory_ops;
	m->dev.info = (struct blkdev_info){
		.size = size,
		.sector_size = STORAGE_SECTOR,
		.physical_sector_size = PAGE,
		.readonly = readonly,
		.can_flush = true,
		.can_discard = true,
		.can_secure_discard = true,
		.discard_granularity = PAGE,
	};
	*out = &m->dev;
	return 0;
}
