/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file of tmpfs: its bytes are in memory, so that reading them is a copy. Opened by blkdev_open.
 *
 * tmpfs cannot say that an io would wait (RWF_NOWAIT), so io_uring hands each one to a thread of Linux's: several times the price of the copy, and that thread
 * competes with the poller. Here the poller copies: it waits for nothing, unless the host has swapped the page out. One poll does SLICE bytes and the io that
 * crosses it, so that the other vbds and vifs get their turn.
 */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>

#define SLICE (1u << 20)

struct tmpfs {
	struct blkdev dev;
	struct storage_file file;
	struct io_list queued;
	struct iovec rest[BLKDEV_IOV_MAX]; /* of a transfer that came short */
};

static struct tmpfs *to_tmpfs(struct blkdev *d)
{
	return (struct tmpfs *)d; /* dev is its first member */
}

/* Device nodes lie on a tmpfs, too. */
bool storage_is_tmpfs(const char *path)
{
	struct statfs fs;
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static int transfer(struct tmpfs *t, const struct blkdev_io *io)
{
	const struct iovec *iov = io->iov;
	int niov = (int)io->niov;
	uint64_t done = 0;

	while (done < io->len) {
		off_t at = (off_t)(io->offset + done);
		ssize_t n = io->op == BLKDEV_READ ? preadv(t->file.buffered, iov, niov, at) : pwritev(t->file.buffered, iov, niov, at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO; /* the file's end, where going on would not help */
		if (n < 0)
			continue;
		done += (uint64_t)n;
		if (done < io->len) {
			niov = (int)storage_rest(io, done, t->rest);
			iov = t->rest;
		}
	}
	return 0;
}

static int run(struct tmpfs *t, const struct blkdev_io *io)
{
	int rc = storage_refused(&t->dev, io);

	if (rc || io->op == BLKDEV_FLUSH)
		return rc; /* nothing lasts longer than the host here */
	if (io->op == BLKDEV_READ || io->op == BLKDEV_WRITE)
		return transfer(t, io);
	return fallocate(t->file.buffered, STORAGE_HOLE, (off_t)io->offset, (off_t)io->len) ? -errno : 0;
}

static void tmpfs_submit(struct blkdev *d, struct blkdev_io *io)
{
	io_list_push(&to_tmpfs(d)->queued, io);
}

static int tmpfs_kick(struct blkdev *d)
{
	(void)d;
	return 0;
}

static unsigned tmpfs_poll(struct blkdev *d, struct blkdev_io **done, unsigned max)
{
	struct tmpfs *t = to_tmpfs(d);
	uint64_t bytes = 0;
	unsigned n = 0;

	while (n < max && bytes < SLICE && t->queued.first) {
		struct blkdev_io *io = io_list_pop(&t->queued);

		io->result = run(t, io);
		bytes += io->len;
		done[n++] = io;
	}
	return n;
}

static int tmpfs_fd(struct blkdev *d)
{
	(void)d;
	return -1;
}

static bool tmpfs_refresh(struct blkdev *d)
{
	return storage_file_refresh(&to_tmpfs(d)->file, &d->info);
}

static void tmpfs_close(struct blkdev *d)
{
	if (!d)
		return;
	storage_file_close(&to_tmpfs(d)->file);
	free(d);
}

static const struct blkdev_ops tmpfs_ops = {
	.name = "tmpfs",
	.close = tmpfs_close,
	.submit = tmpfs_submit,
	.kick = tmpfs_kick,
	.poll = tmpfs_poll,
	.fd = tmpfs_fd,
	.refresh = tmpfs_refresh,
};

int storage_tmpfs_open(const char *path, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	struct tmpfs *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return storage_error(err, -ENOMEM, "%.120s: out of memory", path);
	t->dev.ops = &tmpfs_ops;
	rc = storage_file_open(path, readonly, &t->file, &t->dev.info, err);
	if (rc) {
		free(t);
		return rc;
	}
	*out = &t->dev;
	return 0;
}
