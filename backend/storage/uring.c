/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file or block device through io_uring: the granted pages themselves are what Linux transfers to and from, past the page cache where that can be.
 * Opened by blkdev_open; file.c knows the file, this one only the ring.
 *
 * An io holds a request while Linux has it; the submission queue has room for every request, so that an entry is always to be had. What comes when none is
 * free waits in `queued`. A refused io goes through the ring as well, as a no-op: so the ring's descriptor tells of it like of any other.
 *
 * A transfer that fails is tried once more in a way that asks less of the file system, before the guest sees an error: see `enum way`.
 */
#include "../log.h"
#include "file.h"
#include "uring_memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BATCH 4u   /* entries that an idle disk is given at once */
#define ENTER_TRIES 100u /* while Linux says that it has no memory for a request just now */

enum { FILE_BUFFERED, FILE_DIRECT }; /* of the registered files */

/* How a request is tried, what asks most first. */
enum way {
	WAY_BEST,   /* past the page cache where the request's alignment allows */
	WAY_CACHED, /* through the page cache: a file system need not do direct transfers at every place */
	WAY_THREAD, /* in a thread of Linux's that may wait for whatever it lacks: the answer to -EAGAIN */
};

struct request {
	struct blkdev_io *io;
	uint64_t done;      /* bytes of it */
	enum way way;
	bool direct;        /* is under way past the page cache */
	int refused;
	const struct iovec *iov; /* what is still to be transferred: the io's, `rest` or `piece` */
	unsigned niov;
	uint8_t *own;       /* the page of ours that it goes through; NULL: none */
	struct iovec piece; /* of that page */
	struct iovec *rest; /* of a transfer that came short; kept for the next time */
};

struct uring {
	struct blkdev dev;
	struct io_uring ring;
	struct storage_file file;
	struct uring_memory memory;
	char *path;
	struct backend_log_limit limit;
	struct io_list queued, ended; /* ended: without Linux */
	unsigned nr_free;
	struct request *free[URING_REQUESTS];
	struct request requests[URING_REQUESTS];
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
	const struct iovec *iov = r->iov;
	bool read = io->op == BLKDEV_READ, registered = r->own || io->buffer;
	unsigned number = r->own ? URING_OWN : io->buffer;
	uint64_t offset = io->offset + r->done;
	int file;

	r->direct = r->way == WAY_BEST && direct_can(u, offset, iov, r->niov);
	file = r->direct ? FILE_DIRECT : FILE_BUFFERED;
	if (registered && read)
		io_uring_prep_read_fixed(sqe, file, iov->iov_base, (unsigned)iov->iov_len, offset, (int)number);
	else if (registered)
		io_uring_prep_write_fixed(sqe, file, iov->iov_base, (unsigned)iov->iov_len, offset, (int)number);
	else if (r->niov == 1 && read)
		io_uring_prep_read(sqe, file, iov->iov_base, (unsigned)iov->iov_len, offset);
	else if (r->niov == 1)
		io_uring_prep_write(sqe, file, iov->iov_base, (unsigned)iov->iov_len, offset);
	else if (read)
		io_uring_prep_readv(sqe, file, iov, r->niov, offset);
	else
		io_uring_prep_writev(sqe, file, iov, r->niov, offset);
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
		io_uring_prep_fallocate(sqe, FILE_BUFFERED, STORAGE_HOLE, (off_t)r->io->offset, (off_t)r->io->len);
		break;
	default:
		prepare_transfer(u, sqe, r);
	}
	io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE | (r->way == WAY_THREAD ? IOSQE_ASYNC : 0));
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
	unsigned tries = 0;

	while (io_uring_sq_ready(&u->ring)) {
		int rc = io_uring_submit(&u->ring);

		if (rc == -EINTR || ((rc == -EAGAIN || rc == -EBUSY) && tries++ < ENTER_TRIES))
			continue;
		if (rc <= 0) {
			take_back(u, rc ? rc : -EIO);
			return rc ? rc : -EIO;
		}
	}
	return 0;
}

/* Where its bytes come from or go to: the guest's memory, or a page of ours. */
static void set_memory(struct uring *u, struct request *r)
{
	const struct blkdev_io *io = r->io;

	r->own = r->refused ? NULL : uring_memory_own(&u->memory, (unsigned)(r - u->requests), io);
	r->piece = (struct iovec){.iov_base = r->own, .iov_len = io->len};
	r->iov = r->own ? &r->piece : io->iov;
	r->niov = r->own ? 1 : io->niov;
	if (r->own && io->op == BLKDEV_WRITE)
		uring_memory_gather(r->own, io);
}

static void begin(struct uring *u)
{
	struct request *r = u->free[--u->nr_free];

	r->io = io_list_pop(&u->queued);
	r->done = 0;
	r->way = WAY_BEST;
	r->direct = false;
	r->refused = storage_refused(&u->dev, r->io);
	set_memory(u, r);
	prepare(u, r);
}

/*
 * Linux gets as many entries at a time as it has under way already: an idle disk begins with the first few while the rest are prepared (a request costs 2 to 3 us
 * of the file system's and block layer's time, and a plugged batch starts only after its last), a busy one costs one entry to Linux a burst. So does storage that
 * has answered when it is entered for the first few, such as a RAM disk: there is nothing to begin early.
 */
static int start(struct uring *u)
{
	int rc = 0;

	while (u->nr_free && u->queued.first) {
		unsigned under_way = URING_REQUESTS - u->nr_free, batch = under_way > FIRST_BATCH ? under_way : FIRST_BATCH;

		if (io_uring_cq_ready(&u->ring))
			batch = URING_REQUESTS;
		while (batch-- && u->nr_free && u->queued.first)
			begin(u);
		rc = enter(u);
	}
	return io_uring_sq_ready(&u->ring) ? enter(u) : rc;
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
	if (r->own) {
		r->piece = (struct iovec){.iov_base = r->own + r->done, .iov_len = r->io->len - r->done};
		return 0;
	}
	if (!r->rest)
		r->rest = calloc(BLKDEV_IOV_MAX, sizeof(*r->rest));
	if (!r->rest)
		return -ENOMEM;
	r->niov = storage_rest(r->io, r->done, r->rest);
	r->iov = r->rest;
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

static bool moves_data(const struct request *r)
{
	return r->io->op == BLKDEV_READ || r->io->op == BLKDEV_WRITE;
}

/* Which way is worth a try after this result? r->way: none, it is final. */
static enum way next_way(const struct request *r, int res)
{
	bool nothing_written = res == 0 && r->io->op == BLKDEV_WRITE;

	if (r->refused)
		return r->way;
	if (moves_data(r) && r->direct && (nothing_written || res == -EIO || res == -EBUSY || res == -EAGAIN || res == -EINVAL || res == -EOPNOTSUPP))
		return WAY_CACHED;
	return res == -EAGAIN ? WAY_THREAD : r->way;
}

static bool tried_again(struct uring *u, struct request *r, int res)
{
	enum way way = next_way(r, res);

	if (way == r->way)
		return false;
	if (backend_log_allowed(&u->limit))
		backend_info("%.120s: io of %llu bytes at %llu %s: %s; trying again %s", u->path, (unsigned long long)r->io->len, (unsigned long long)r->io->offset,
			     r->direct ? "past the page cache" : "through the page cache", res ? strerror(-res) : "nothing was written",
			     way == WAY_CACHED ? "through the page cache" : "where it may wait");
	r->way = way;
	prepare(u, r);
	return true;
}

/* NULL: it goes on. */
static struct blkdev_io *finish(struct uring *u, struct request *r, int res)
{
	int rc = r->refused ? r->refused : res < 0 ? res : 0;

	if (tried_again(u, r, res))
		return NULL;
	if (rc == 0 && moves_data(r))
		rc = transferred(u, r, res);
	if (rc == 0 && r->own && r->io->op == BLKDEV_READ)
		uring_memory_scatter(r->own, r->io);
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

static int uring_register(struct blkdev *d, unsigned number, void *base, size_t len)
{
	return uring_memory_register(&to_uring(d)->memory, &to_uring(d)->ring, number, base, len);
}

static void uring_forget(struct blkdev *d, unsigned number)
{
	uring_memory_forget(&to_uring(d)->ring, number);
}

static bool uring_refresh(struct blkdev *d)
{
	return storage_file_refresh(&to_uring(d)->file, &d->info);
}

/* Linux transfers to and from the guests' memory until each request has come back. */
static void wait_for_all(struct uring *u)
{
	struct io_uring_cqe *cqe;

	while (u->nr_free < URING_REQUESTS) {
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
	uring_memory_close(&u->memory, &u->ring);
	io_uring_queue_exit(&u->ring);
	storage_file_close(&u->file);
	for (unsigned i = 0; i < URING_REQUESTS; i++)
		free(u->requests[i].rest);
	free(u->path);
	free(u);
}

static const struct blkdev_ops uring_ops = {
	.name = "uring",
	.close = uring_close,
	.submit = uring_submit,
	.kick = uring_kick,
	.poll = uring_poll,
	.fd = uring_fd,
	.register_memory = uring_register,
	.forget_memory = uring_forget,
	.refresh = uring_refresh,
};

/* Completions wait for our next entry to Linux or our looking (peek enters when the flag says so), instead of interrupting us. Older kernels lack the flags. */
static int open_ring(struct uring *u)
{
	int files[] = {[FILE_BUFFERED] = u->file.buffered, [FILE_DIRECT] = u->file.direct};
	int rc = io_uring_queue_init(URING_REQUESTS, &u->ring, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);

	if (rc == -EINVAL)
		rc = io_uring_queue_init(URING_REQUESTS, &u->ring, 0);
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
	u->path = strdup(path);
	rc = u->path ? storage_file_open(path, readonly, &u->file, &u->dev.info, err) : storage_error(err, -ENOMEM, "%.120s: out of memory", path);
	if (rc)
		goto fail;
	rc = open_ring(u);
	if (rc) {
		storage_error(err, rc, "%.120s: io_uring cannot be set up: %s; allow it (sysctl kernel.io_uring_disabled=0, or the container's seccomp profile)", path,
			      strerror(-rc));
		goto fail_file;
	}
	uring_memory_open(&u->memory, &u->ring);
	for (; u->nr_free < URING_REQUESTS; u->nr_free++)
		u->free[u->nr_free] = &u->requests[u->nr_free];
	*out = &u->dev;
	return 0;

fail_file:
	storage_file_close(&u->file);
fail:
	free(u->path);
	free(u);
	return rc;
}
