/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is registered with a ring: see uring_memory.h. */
#include "uring_memory.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define OWN_BYTES ((size_t)URING_REQUESTS * URING_OWN_PAGE)

void uring_memory_open(struct uring_memory *m, struct io_uring *ring)
{
	m->asks = io_uring_register_buffers_sparse(ring, 1 + BLKDEV_BUFFERS) == 0;
}

/* Not left to the end of the ring: Linux takes that apart later, in a thread of its own, while the guest gets its pages back now. */
void uring_memory_close(struct uring_memory *m, struct io_uring *ring)
{
	io_uring_unregister_buffers(ring);
	if (m->own)
		munmap(m->own, OWN_BYTES);
	m->own = NULL;
}

static bool put(struct io_uring *ring, unsigned number, void *base, size_t len)
{
	struct iovec iov = {.iov_base = base, .iov_len = len};

	return io_uring_register_buffers_update_tag(ring, number, &iov, NULL, 1) == 1;
}

static void own_open(struct uring_memory *m, struct io_uring *ring)
{
	void *own = mmap(NULL, OWN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (own == MAP_FAILED)
		return;
	if (put(ring, URING_OWN, own, OWN_BYTES))
		m->own = own;
	else
		munmap(own, OWN_BYTES);
}

int uring_memory_register(struct uring_memory *m, struct io_uring *ring, unsigned number, void *base, size_t len)
{
	if (!m->asks)
		return -EOPNOTSUPP;
	if (put(ring, number, base, len))
		return 0;
	m->asks = false;
	own_open(m, ring);
	return -EOPNOTSUPP;
}

void uring_memory_forget(struct io_uring *ring, unsigned number)
{
	put(ring, number, NULL, 0);
}

uint8_t *uring_memory_own(const struct uring_memory *m, unsigned request, const struct blkdev_io *io)
{
	bool small = io->len <= URING_OWN_PAGE && (io->op == BLKDEV_READ || io->op == BLKDEV_WRITE);

	return m->own && small && !io->buffer ? m->own + (size_t)request * URING_OWN_PAGE : NULL;
}

void uring_memory_gather(uint8_t *own, const struct blkdev_io *io)
{
	for (unsigned i = 0; i < io->niov; own += io->iov[i++].iov_len)
		memcpy(own, io->iov[i].iov_base, io->iov[i].iov_len);
}

void uring_memory_scatter(const uint8_t *own, const struct blkdev_io *io)
{
	for (unsigned i = 0; i < io->niov; own += io->iov[i++].iov_len)
		memcpy(io->iov[i].iov_base, own, io->iov[i].iov_len);
}
