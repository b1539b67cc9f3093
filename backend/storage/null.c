/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * "null:<size>": no storage at all, to measure everything else with. Every io ends at once with success; a read leaves the memory as it is (which is the
 * guest's own), a write is forgotten. Opened by blkdev_open.
 */
#include "storage.h"
#include <errno.h>
#include <stdlib.h>

struct null {
	struct blkdev dev;
	struct io_list ended;
};

static struct null *to_null(struct blkdev *d)
{
	return (struct null *)d; /* dev is its first member */
}

static void null_close(struct blkdev *d)
{
	free(d);
}

static void null_submit(struct blkdev *d, struct blkdev_io *io)
{
	io->result = storage_refused(d, io);
	io_list_push(&to_null(d)->ended, io);
}

static int null_kick(struct blkdev *d)
{
	(void)d;
	return 0;
}

static unsigned null_poll(struct blkdev *d, struct blkdev_io **done, unsigned max)
{
	return io_list_take(&to_null(d)->ended, done, max);
}

static int null_fd(struct blkdev *d)
{
	(void)d;
	return -1;
}

static const struct blkdev_ops null_ops = {
	.name = "null",
	.close = null_close,
	.submit = null_submit,
	.kick = null_kick,
	.poll = null_poll,
	.fd = null_fd,
};

int storage_null_open(uint64_t size, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	struct null *n = calloc(1, sizeof(*n));

	if (!n)
		return storage_error(err, -ENOMEM, "null: out of memory");
	n->dev.ops = &null_ops;
	n->dev.info = (struct blkdev_info){
		.size = size,
		.sector_size = STORAGE_SECTOR,
		.physical_sector_size = STORAGE_SECTOR,
		.readonly = readonly,
		.can_flush = true,
		.can_discard = true,
		.discard_granularity = STORAGE_SECTOR,
	};
	*out = &n->dev;
	return 0;
}
