/* SPDX-License-Identifier: BSD-3-Clause */
/* Chooses the provider of a storage by its name, and what all providers share. blkdev_open is called by blkback's handshake. */
#include "storage.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int storage_error(char err[STORAGE_ERR], int rc, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, STORAGE_ERR, fmt, ap);
	va_end(ap);
	return rc;
}

int storage_parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned shift = 0;
	uint64_t n;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	if (*end) {
		unit = strchr(units, toupper((unsigned char)*end));
		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (n > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	*size = n << shift;
	return 0;
}

static bool in_range(const struct blkdev_info *info, const struct blkdev_io *io)
{
	if ((io->offset | io->len) % info->sector_size)
		return false;
	return io->offset <= info->size && io->len <= info->size - io->offset;
}

static bool transfer_fits(const struct blkdev_info *info, const struct blkdev_io *io)
{
	uint64_t bytes = 0;

	if (io->niov > BLKDEV_IOV_MAX)
		return false;
	for (unsigned i = 0; i < io->niov; i++)
		bytes += io->iov[i].iov_len;
	return bytes == io->len && in_range(info, io);
}

int storage_refused(const struct blkdev *d, const struct blkdev_io *io)
{
	const struct blkdev_info *info = &d->info;

	switch (io->op) {
	case BLKDEV_FLUSH:
		return info->can_flush ? 0 : -EOPNOTSUPP;
	case BLKDEV_READ:
		return transfer_fits(info, io) ? 0 : -EINVAL;
	case BLKDEV_WRITE:
		if (info->readonly)
			return -EROFS;
		return transfer_fits(info, io) ? 0 : -EINVAL;
	case BLKDEV_DISCARD:
	case BLKDEV_SECURE_DISCARD:
		if (info->readonly)
			return -EROFS;
		if ((io->op == BLKDEV_DISCARD && !info->can_discard) || (io->op == BLKDEV_SECURE_DISCARD && !info->can_secure_discard))
			return -EOPNOTSUPP;
		return in_range(info, io) ? 0 : -EINVAL;
	}
	return -EOPNOTSUPP;
}

unsigned storage_rest(const struct blkdev_io *io, uint64_t done, struct iovec *rest)
{
	unsigned i = 0, n;

	while (done >= io->iov[i].iov_len) /* ends: done is less than the whole */
		done -= io->iov[i++].iov_len;
	n = io->niov - i;
	memcpy(rest, io->iov + i, n * sizeof(*rest));
	rest[0].iov_base = (char *)rest[0].iov_base + done;
	rest[0].iov_len -= done;
	return n;
}

typedef int (*open_sized_t)(uint64_t size, bool readonly, struct blkdev **out, char err[STORAGE_ERR]);

static int open_sized(const char *target, open_sized_t open, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	uint64_t size;

	if (storage_parse_size(strchr(target, ':') + 1, &size) || size == 0 || size % STORAGE_SECTOR)
		return storage_error(err, -EINVAL, "%.100s: not a size; write a multiple of %u bytes, such as %.6s:64M", target, STORAGE_SECTOR,
				     open == storage_null_open ? "null" : "memory");
	return open(size, readonly, out, err);
}

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

int blkdev_open(const char *target, bool readonly, struct blkdev **out, char err[STORAGE_ERR])
{
	*out = NULL;
	err[0] = '\0';
	if (starts(target, "null:"))
		return open_sized(target, storage_null_open, readonly, out, err);
	if (starts(target, "memory:"))
		return open_sized(target, storage_memory_open, readonly, out, err);
	if (starts(target, "nbd") && strstr(target, "://"))
		return storage_nbd_open(target, readonly, out, err);
	if (!*target)
		return storage_error(err, -EINVAL, "no storage is named; name a file, a block device, null:SIZE, memory:SIZE or an NBD URI");
	if (storage_is_tmpfs(target))
		return storage_tmpfs_open(target, readonly, out, err);
	return storage_uring_open(target, readonly, out, err);
}
