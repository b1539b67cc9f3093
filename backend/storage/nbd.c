/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storage behind an NBD server: qcow2 by qemu-nbd, Ceph, whatever nbdkit has (docs/storage.md). Opened by blkdev_open.
 *
 * The ios of a lost connection are sent again on the next one: NBD's commands can be repeated. So a server may be restarted, as long as it keeps what it
 * acknowledged. When nothing works for 30 s, ios fail with -EIO until it is back; so a guest sees an error instead of a disk that hangs for good.
 *
 * An io in one piece of memory goes between the socket and the guest's pages; a scattered one through a bounce buffer, since libnbd has no iovec.
 */
#include "nbd_link.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE 256u
#define CLOSE_TIME 1000000000ull  /* ns for what is under way */
#define GOODBYE_TIME 200000000ull /* ns for the server to close after us */
#define TRIM_MAX (1u << 30)       /* a command's length has 32 bits */

struct nbd;

struct request {
	struct nbd *nbd;
	struct blkdev_io *io; /* NULL: free */
	uint8_t *bounce;
	unsigned pieces;      /* commands on their way, and one while they are issued */
	int error;
};

struct nbd {
	struct blkdev dev;
	struct nbd_link link;
	struct io_list queued, ended;
	uint64_t outage; /* when it began; 0: none */
	bool worked;     /* the server answered since it was last looked at */
	bool failing;    /* the outage is one of errors, and the log knows */
	unsigned nr_free;
	struct request *free[QUEUE];
	struct request requests[QUEUE];
};

static struct nbd *to_nbd(struct blkdev *d)
{
	return (struct nbd *)d; /* dev is its first member */
}

static void end(struct nbd *n, struct blkdev_io *io, int result)
{
	io->result = result;
	io_list_push(&n->ended, io);
}

static void release(struct request *r)
{
	free(r->bounce);
	r->bounce = NULL;
	r->io = NULL;
	r->nbd->free[r->nbd->nr_free++] = r;
}

uint64_t nbd_outage_ns = 30000000000ull;

static unsigned outage_s(void)
{
	return (unsigned)(nbd_outage_ns / 1000000000ull);
}

/* ---- the bounce buffer ---- */

static void gather(uint8_t *to, const struct blkdev_io *io)
{
	for (unsigned i = 0; i < io->niov; i++) {
		memcpy(to, io->iov[i].iov_base, io->iov[i].iov_len);
		to += io->iov[i].iov_len;
	}
}

static void scatter(const struct blkdev_io *io, const uint8_t *from)
{
	for (unsigned i = 0; i < io->niov; i++) {
		memcpy(io->iov[i].iov_base, from, io->iov[i].iov_len);
		from += io->iov[i].iov_len;
	}
}

/* Where the bytes of a transfer are in one piece; NULL: out of memory. */
static uint8_t *one_piece(struct request *r)
{
	const struct blkdev_io *io = r->io;

	if (io->niov == 1)
		return io->iov[0].iov_base;
	r->bounce = malloc(io->len);
	if (r->bounce && io->op == BLKDEV_WRITE)
		gather(r->bounce, io);
	return r->bounce;
}

/* ---- commands ---- */

static void piece_done(struct request *r)
{
	if (--r->pieces)
		return;
	if (r->error == 0 && r->bounce && r->io->op == BLKDEV_READ)
		scatter(r->io, r->bounce);
	end(r->nbd, r->io, r->error);
	release(r);
}

static bool means_lost(int error)
{
	return error == ENOTCONN || error == ESHUTDOWN;
}

/* libnbd calls it with its lock held. Of a lost connection the request stays as it is: connection_lost sends it again. */
static int command_ended(void *opaque, int *error)
{
	struct request *r = opaque;

	if (means_lost(*error)) {
		r->nbd->link.lost = true;
		return 1;
	}
	if (*error)
		r->error = -*error;
	r->nbd->worked = true;
	piece_done(r);
	return 1;
}

static int64_t command(struct request *r, uint8_t *at, uint64_t offset, uint64_t count)
{
	nbd_completion_callback done = {.callback = command_ended, .user_data = r};
	struct nbd_handle *h = r->nbd->link.h;

	switch (r->io->op) {
	case BLKDEV_READ:
		return nbd_aio_pread(h, at, count, offset, done, 0);
	case BLKDEV_WRITE:
		return nbd_aio_pwrite(h, at, count, offset, done, 0);
	case BLKDEV_FLUSH:
		return nbd_aio_flush(h, done, 0);
	default:
		return nbd_aio_trim(h, count, offset, done, 0);
	}
}

/* One piece; false: no more of this io. */
static bool issue_piece(struct request *r, uint8_t *at, uint64_t offset, uint64_t count)
{
	int e;

	r->pieces++;
	if (command(r, at, offset, count) >= 0)
		return !r->nbd->link.lost;
	e = nbd_get_errno();
	if (means_lost(e) || nbd_aio_is_dead(r->nbd->link.h) || nbd_aio_is_closed(r->nbd->link.h)) {
		r->nbd->link.lost = true;
		return false;
	}
	r->pieces--;
	r->error = e ? -e : -EIO;
	return false;
}

static void issue(struct request *r)
{
	const struct blkdev_io *io = r->io;
	bool transfer = io->op == BLKDEV_READ || io->op == BLKDEV_WRITE;
	uint64_t max = transfer ? r->nbd->link.max_payload : TRIM_MAX, offset = 0;
	uint8_t *at = NULL;

	r->pieces = 1; /* ours: the io may not end before all are issued */
	if (transfer && io->len) {
		at = one_piece(r);
		if (!at) {
			r->error = -ENOMEM;
			piece_done(r);
			return;
		}
	}
	if (io->op == BLKDEV_FLUSH)
		issue_piece(r, NULL, 0, 0);
	while (io->op != BLKDEV_FLUSH && offset < io->len) {
		uint64_t count = io->len - offset < max ? io->len - offset : max;

		if (!issue_piece(r, transfer ? at + offset : NULL, io->offset + offset, count))
			break;
		offset += count;
	}
	if (!r->nbd->link.lost)
		piece_done(r);
}

static void start(struct nbd *n)
{
	while (n->nr_free && n->queued.first && n->link.state == NBD_LINK_UP && !n->link.lost) {
		struct request *r = n->free[--n->nr_free];

		r->io = io_list_pop(&n->queued);
		r->error = 0;
		issue(r);
	}
}

/* ---- outages ---- */

static unsigned send_again(struct nbd *n)
{
	unsigned count = 0;

	for (unsigned i = 0; i < QUEUE; i++) {
		struct request *r = &n->requests[i];

		if (!r->io)
			continue;
		io_list_push_front(&n->queued, r->io);
		release(r);
		count++;
	}
	return count;
}

static void connection_lost(struct nbd *n)
{
	unsigned count = send_again(n);

	if (n->outage == 0)
		n->outage = nbd_link_now();
	n->worked = false;
	if (backend_log_allowed(&n->link.limit))
		backend_info("%s: the NBD server went away with %u ios under way; trying again for %u s", n->link.uri, count, outage_s());
}

static bool out_for_too_long(const struct nbd *n)
{
	return n->outage && nbd_link_now() - n->outage >= nbd_outage_ns;
}

static void fail_queued(struct nbd *n)
{
	struct blkdev_io *io;

	if (n->queued.first && !n->failing) {
		n->failing = true;
		backend_error("%s: no NBD server for %u s: ios fail until it is back; start it again", n->link.uri, outage_s());
	}
	while ((io = io_list_pop(&n->queued)) != NULL)
		end(n, io, -EIO);
}

/* Over when the server has answered an io, or when the link is up and there is none to try: a server that hangs up on each try is still out. */
static void look_at_outage(struct nbd *n)
{
	bool idle = n->nr_free == QUEUE && !n->queued.first;

	if (n->outage == 0)
		return;
	if (n->worked || (n->link.state == NBD_LINK_UP && idle && !n->link.lost)) {
		n->outage = 0;
		n->failing = false;
		nbd_link_works(&n->link);
		if (backend_log_allowed(&n->link.limit))
			backend_info("%s: the NBD server is back", n->link.uri);
	} else if (n->link.state != NBD_LINK_UP && out_for_too_long(n)) {
		fail_queued(n);
	}
}

/* ---- ops ---- */

static void watch(struct nbd *n)
{
	bool waits = n->outage && n->queued.first;

	nbd_link_watch(&n->link, n->ended.first != NULL, waits ? n->outage + nbd_outage_ns : 0);
}

static void nbd_submit(struct blkdev *d, struct blkdev_io *io)
{
	struct nbd *n = to_nbd(d);
	int rc = storage_refused(d, io);

	if (rc)
		end(n, io, rc);
	else
		io_list_push(&n->queued, io);
}

static int nbd_kick(struct blkdev *d)
{
	struct nbd *n = to_nbd(d);

	start(n);
	if (n->link.state != NBD_LINK_UP && out_for_too_long(n))
		fail_queued(n);
	watch(n);
	return 0;
}

static unsigned nbd_poll_ios(struct blkdev *d, struct blkdev_io **done, unsigned max)
{
	struct nbd *n = to_nbd(d);
	unsigned count;

	if (!nbd_link_turn(&n->link))
		connection_lost(n);
	start(n);
	look_at_outage(n);
	count = io_list_take(&n->ended, done, max);
	watch(n);
	return count;
}

static int nbd_fd(struct blkdev *d)
{
	return to_nbd(d)->link.epoll;
}

/* NBD tells the size in the handshake only: a new one shows after a reconnection. */
static bool nbd_refresh(struct blkdev *d)
{
	uint64_t size = to_nbd(d)->link.info.size;

	if (size == d->info.size)
		return false;
	d->info.size = size;
	return true;
}

static void pump_until(struct nbd *n, uint64_t deadline, bool closing)
{
	struct nbd_handle *h = n->link.h;

	while (!n->link.lost && !nbd_aio_is_dead(h) && !nbd_aio_is_closed(h) && (closing || n->nr_free < QUEUE)) {
		uint64_t now = nbd_link_now();

		if (now >= deadline || nbd_poll(h, (int)((deadline - now) / 1000000) + 1) < 0)
			return;
	}
}

static void nbd_close_device(struct blkdev *d)
{
	struct nbd *n = to_nbd(d);

	if (!n)
		return;
	if (n->link.state == NBD_LINK_UP) {
		pump_until(n, nbd_link_now() + CLOSE_TIME, false);
		if (nbd_aio_disconnect(n->link.h, 0) == 0)
			pump_until(n, nbd_link_now() + GOODBYE_TIME, true);
	}
	nbd_link_close(&n->link);
	for (unsigned i = 0; i < QUEUE; i++)
		free(n->requests[i].bounce);
	free(n);
}

static const struct blkdev_ops nbd_ops = {
	.name = "nbd",
	.close = nbd_close_device,
	.submit = nbd_submit,
	.kick = nbd_kick,
	.poll = nbd_poll_ios,
	.fd = nbd_fd,
	.refresh = nbd_refresh,
};

int storage_nbd_open(const char *uri, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	struct nbd *n = calloc(1, sizeof(*n));
	int rc;

	if (!n)
		return storage_error(err, -ENOMEM, "%.120s: out of memory", uri);
	rc = nbd_link_open(&n->link, uri, readonly, err);
	if (rc) {
		free(n);
		return rc;
	}
	n->dev.ops = &nbd_ops;
	n->dev.info = n->link.info;
	for (; n->nr_free < QUEUE; n->nr_free++) {
		n->requests[n->nr_free].nbd = n;
		n->free[n->nr_free] = &n->requests[n->nr_free];
	}
	watch(n);
	*out = &n->dev;
	return 0;
}
