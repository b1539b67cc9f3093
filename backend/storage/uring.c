/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file or block device through io_uring: the granted pages themselves are what Linux transfers to and from, past the page cache where that can be.
 * Opened by blkdev_open; file.c knows the file, this one only the ring.
 *
 * An io holds a request while Linux has it; the submission queue has room for every request, so that an entry is always to be had. What comes when none is
 * free waits in `queued`. A refused io goes through the ring as well, as a no-op: so the ring's descriptor tells of it like of any other.
 */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 256u
#define HOLE (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)

enum { FILE_BUFFERED, FILE_DIRECT }; /* of the registered files */

struct request {
	struct blkdev_io *io;
	uint64_t done;      /* bytes of it */
	int refused;
	struct iovec *rest; /* of a transfer that came short: what is still to do; kept for the next time */
	unsigned nrest;
};

struct uring {
	struct blkdev dev;
	struct io_uring ring;
	struct storage_file file;
	struct io_list queued, ended; /* ended: without Linux */
	unsigned nr_free;
	struct request *free[QUEUE];
	struct request requests[QUEUE];
};

static struct uring *to_uring(struct blkdev *d)
{
	return (struct uring *)d; /* dev is its first member */
}

static bool direct_can(const struct uring *u, uint64_t offset, const struct iovec *iov, unsigned niov)
{
	uint64_t offsets = offset, addresses = 0;

	if (u->file.direct < 0)
		return false;
	for (unsigned i = 0; i < niov; i++) {
		addresses |= (uintptr_t)iov[i].iov_base;
		offsets |= iov[i].iov_len;
	}
	return !(offsets & (u->file.offset_align - 1)) && !(addresses & (u->file.memory_align - 1));
}

static void prepare_transfer(struct uring *u, struct io_uring_sqe *sqe, struct request *r)
{
	const struct blkdev_io *io = r->io;
	const struct iovec *iov = r->done ? r->rest : io->iov;
	unsigned niov = r->done ? r->nrest : io->niov;
	uint64_t offset = io->offset + r->done;
	int file = direct_can(u, offset, iov, niov) ? FILE_DIRECT : FILE_BUFFERED;

	if (niov == 1 && io->op == BLKDEV_READ)
		io_uring_prep_read(sqe, file, iov->iov_base, (unsigned)iov->iov_len, offset);
	else if (niov == 1)
		io_uring_prep_write(sqe, file, iov->iov_base, (unsigned)iov->iov_len, offset);
	else if (io->op == BLKDEV_READ)
		io_uring_prep_readv(sqe, file, iov, niov, offset);
	else
		io_uring_prep_writev(sqe, file, iov, niov, offset);
}

static void prepare(struct uring *u, struct request *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring); /* never NULL: see the top */

	if (r->refused) {
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data(sqe, r);
		return;
	}
	switch (r->io->op) {
	case BLKDEV_FLUSH:
		io_uring_prep_fsync(sqe, FILE_BUFFERED, IORING_FSYNC_DATASYNC);
		break;
	case BLKDEV_DISCARD:
	case BLKDEV_SECURE_DISCARD:
		io_uring_prep_fallocate(sqe, FILE_BUFFERED, HOLE, (off_t)r->io->offset, (off_t)r->io->len);
		break;
	default:
		prepare_transfer(u, sqe, r);
	}
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
	io_uring_sqe_set_data(sqe, r);
}

static struct blkdev_io *release(struct uring *u, struct request *r, int result)
{
	struct blkdev_io *io = r->io;

	io->result = result;
	u->free[u->nr_free++] = r;
	return io;
}

/* Linux took some entries and refuses the next: take the rest out of the submission queue, which it reads only within io_uring_enter. */
static void take_back(struct uring *u, int rc)
{
	struct io_uring_sq *sq = &u->ring.sq;
	unsigned head = __atomic_load_n(sq->khead, __ATOMIC_ACQUIRE);

	for (unsigned i = head; i != sq->sqe_tail; i++) {
		struct request *r = (struct request *)(uintptr_t)sq->sqes[i & *sq->kring_mask].user_data;

		io_list_push(&u->ended, release(u, r, rc));
	}
	sq->sqe_head = sq->sqe_tail = head;
	__atomic_store_n(sq->ktail, head, __ATOMIC_RELEASE);
}

static int enter(struct uring *u)
{
	while (io_uring_sq_ready(&u->ring)) {
		int rc = io_uring_submit(&u->ring);

		if (rc == -EINTR)
			continue;
		if (rc <= 0) {
			take_back(u, rc ? rc : -EIO);
			return rc ? rc : -EIO;
		}
	}
	return 0;
}

static int start(struct uring *u)
{
	while (u->nr_free && u->queued.first) {
		struct request *r = u->free[--u->nr_free];

		r->io = io_list_pop(&u->queued);
		r->done = 0;
		r->refused = storage_refused(&u->dev, r->io);
		prepare(u, r);
	}
	return enter(u);
}

static void uring_submit(struct blkdev *d, struct blkdev_io *io)
{
	io_list_push(&to_uring(d)->queued, io);
}

static int uring_kick(struct blkdev *d)
{
	return start(to_uring(d));
}

/* What is still to do of a transfer of which r->done bytes are done. */
static int make_rest(struct request *r)
{
	const struct blkdev_io *io = r->io;
	uint64_t skip = r->done;
	unsigned i = 0;

	if (!r->rest)
		r->rest = calloc(BLKDEV_IOV_MAX, sizeof(*r->rest));
	if (!r->rest)
		return -ENOMEM;
	while (skip >= io->iov[i].iov_len) /* ends: skip is less than the whole */
		skip -= io->iov[i++].iov_len;
	r->nrest = io->niov - i;
	memcpy(r->rest, io->iov + i, r->nrest * sizeof(*r->rest));
	r->rest[0].iov_base = (char *)r->rest[0].iov_base + skip;
	r->rest[0].iov_len -= skip;
	return 0;
}

/* A transfer came to an end: 0, -errno, or 1: it came short and goes on. Nothing more at all is the end of the file, where reading on would not help. */
static int transferred(struct uring *u, struct request *r, int res)
{
	int rc;

	if (res == 0 && r->done < r->io->len)
		return -EIO;
	r->done += (uint64_t)res;
	if (r->done >= r->io->len)
		return 0;
	rc = make_rest(r);
	if (rc)
		return rc;
	prepare(u, r);
	return 1;
}

/* NULL: it goes on. */
static struct blkdev_io *finish(struct uring *u, struct request *r, int res)
{
	bool transfer = r->io->op == BLKDEV_READ || r->io->op == BLKDEV_WRITE;
	int rc = r->refused ? r->refused : res < 0 ? res : 0;

	if (rc == 0 && transfer)
		rc = transferred(u, r, res);
	return rc == 1 ? NULL : release(u, r, rc);
}

static unsigned uring_poll(struct blkdev *d, struct blkdev_io **done, unsigned max)
{
	struct uring *u = to_uring(d);
	unsigned n = io_list_take(&u->ended, done, max);
	struct io_uring_cqe *cqe;

	while (n < max && io_uring_peek_cqe(&u->ring, &cqe) == 0) {
		struct blkdev_io *io = finish(u, io_uring_cqe_get_data(cqe), cqe->res);

		io_uring_cqe_seen(&u->ring, cqe);
		if (io)
			done[n++] = io;
	}
	if (io_uring_sq_ready(&u->ring) || (n && u->queued.first))
		start(u);
	return n;
}

static int uring_fd(struct blkdev *d)
{
	return to_uring(d)->ring.ring_fd;
}

static bool uring_refresh(struct blkdev *d)
{
	uint64_t size;

	if (storage_file_size(&to_uring(d)->file, &size))
		return false;
	size -= size % d->info.sector_size;
	if (size == d->info.size)
		return false;
	d->info.size = size;
	return true;
}

/* Linux transfers to and from the guests' memory until each request has come back. */
static void wait_for_all(struct uring *u)
{
	struct io_uring_cqe *cqe;

	while (u->nr_free < QUEUE) {
		int rc = io_uring_wait_cqe(&u->ring, &cqe);

		if (rc == -EINTR)
			continue;
		if (rc)
			return; /* the ring is gone, and Linux with it has waited */
		release(u, io_uring_cqe_get_data(cqe), cqe->res);
		io_uring_cqe_seen(&u->ring, cqe);
	}
}

static void uring_close(struct blkdev *d)
{
	struct uring *u = to_uring(d);

	if (!u)
		return;
	wait_for_all(u);
	io_uring_queue_exit(&u->ring);
	storage_file_close(&u->file);
	for (unsigned i = 0; i < QUEUE; i++)
		free(u->requests[i].rest);
	free(u);
}

static const struct blkdev_ops uring_ops = {
	.name = "uring",
	.close = uring_close,
	.submit = uring_submit,
	.kick = uring_kick,
	.poll = uring_poll,
	.fd = uring_fd,
	.refresh = uring_refresh,
};

/* Completions wait for our next entry to Linux or our looking (peek enters when the flag says so), instead of interrupting us. Older kernels lack the flags. */
static int open_ring(struct uring *u)
{
	int files[] = {[FILE_BUFFERED] = u->file.buffered, [FILE_DIRECT] = u->file.direct};
	int rc = io_uring_queue_init(QUEUE, &u->ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	if (rc == -EINVAL)
		rc = io_uring_queue_init(QUEUE, &u->ring, 0);
	if (rc)
		return rc;
	rc = io_uring_register_files(&u->ring, files, 2);
	if (rc)
		io_uring_queue_exit(&u->ring);
	return rc;
}

int storage_uring_open(const char *path, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	struct uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return storage_error(err, -ENOMEM, "%.120s: out of memory", path);
	u->dev.ops = &uring_ops;
	rc = storage_file_open(path, readonly, &u->file, &u->dev.info, err);
	if (rc)
		goto fail;
	rc = open_ring(u);
	if (rc) {
		storage_error(err, rc, "%.120s: io_uring cannot be set up: %s; allow it (sysctl kernel.io_uring_disabled=0, or the container's seccomp profile)", path,
			      strerror(-rc));
		goto fail_file;
	}
	for (; u->nr_free < QUEUE; u->nr_free++)
		u->free[u->nr_free] = &u->requests[u->nr_free];
	*out = &u->dev;
	return 0;

fail_file:
	storage_file_close(&u->file);
fail:
	free(u);
	return rc;
}
