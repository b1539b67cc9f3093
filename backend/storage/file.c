/* SPDX-License-Identifier: BSD-3-Clause */
/* Opens a file or block device and finds out what it can do: see file.h. Called by uring.c and tmpfs.c. */
#include "file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define PAGE 4096u

static int cannot_open(const char *path, bool readonly, int rc, char err[STORAGE_ERR])
{
	switch (rc) {
	case -ENOENT:
	case -ENOTDIR:
		return storage_error(err, rc, "%.120s: no such file; correct the path, or make the disk with `truncate -s 10G %.60s`", path, path);
	case -EACCES:
	case -EPERM:
		return storage_error(err, rc, "%.120s: %s; let the back end's user %s it%s", path, strerror(-rc), readonly ? "read" : "read and write",
				     readonly ? "" : ", or attach the disk with mode r");
	case -EROFS:
		return storage_error(err, rc, "%.120s: the file system is read-only; mount it read-write, or attach the disk with mode r", path);
	default:
		return storage_error(err, rc, "%.120s: cannot be opened: %s", path, strerror(-rc));
	}
}

/* Looked at before it is opened: opening a FIFO would block, opening a tape would rewind it. */
static int check_kind(const char *path, struct stat *st, char err[STORAGE_ERR])
{
	if (stat(path, st))
		return cannot_open(path, true, -errno, err);
	if (S_ISDIR(st->st_mode))
		return storage_error(err, -EISDIR, "%.120s: is a directory; name a file or a block device", path);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return storage_error(err, -ENOTBLK, "%.120s: is neither a file nor a block device; name one", path);
	return 0;
}

/* A number of a block device's queue; a partition has the queue of its disk. */
static uint64_t queue_limit(dev_t dev, const char *name)
{
	static const char *const formats[] = {"/sys/dev/block/%u:%u/queue/%s", "/sys/dev/block/%u:%u/../queue/%s"};
	char path[128];
	uint64_t n = 0;
	FILE *f;

	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), formats[i], major(dev), minor(dev), name); // NOLINT: both formats are constants
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%" SCNu64, &n) != 1)
			n = 0;
		fclose(f);
		break;
	}
	return n;
}

static uint64_t discard_alignment(dev_t dev)
{
	char path[96];
	uint64_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/discard_alignment", major(dev), minor(dev));
	f = fopen(path, "re");
	if (!f)
		return 0;
	if (fscanf(f, "%" SCNu64, &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

/* Discard goes to a device as a hole, which wants both limits. */
static int describe_device(const char *path, const struct storage_file *f, dev_t dev, struct blkdev_info *info, char err[STORAGE_ERR])
{
	unsigned physical = 0;
	int logical = 0;

	if (ioctl(f->buffered, BLKSSZGET, &logical) || ioctl(f->buffered, BLKPBSZGET, &physical))
		return storage_error(err, -errno, "%.120s: does not tell its sector size: %s; name a disk or partition", path, strerror(errno));
	if (logical != 512 && logical != 4096)
		return storage_error(err, -EINVAL, "%.120s: sectors of %d bytes; only 512 and 4096 can be given to a guest", path, logical);
	info->sector_size = (uint32_t)logical;
	info->physical_sector_size = physical;
	info->can_discard = queue_limit(dev, "discard_max_bytes") && queue_limit(dev, "write_zeroes_max_bytes");
	info->discard_granularity = (uint32_t)queue_limit(dev, "discard_granularity");
	info->discard_alignment = (uint32_t)discard_alignment(dev);
	return 0;
}

/* A hole beyond the end changes nothing, and tells whether the file system makes holes. */
static bool makes_holes(int fd, uint64_t size)
{
	off_t beyond = (off_t)((size + PAGE - 1) / PAGE * PAGE);

	return fallocate(fd, STORAGE_HOLE, beyond, PAGE) == 0;
}

static void describe_file(const struct storage_file *f, const struct stat *st, struct blkdev_info *info)
{
	info->sector_size = STORAGE_SECTOR;
	info->physical_sector_size = st->st_blksize < (blksize_t)PAGE ? STORAGE_SECTOR : PAGE;
	info->can_discard = !info->readonly && makes_holes(f->buffered, (uint64_t)st->st_size);
	info->discard_granularity = (uint32_t)st->st_blksize;
}

static int describe(const char *path, struct storage_file *f, struct blkdev_info *info, char err[STORAGE_ERR])
{
	struct stat st;
	int rc;

	if (fstat(f->buffered, &st))
		return cannot_open(path, info->readonly, -errno, err);
	f->block = S_ISBLK(st.st_mode);
	rc = storage_file_size(f, &info->size);
	if (rc)
		return storage_error(err, rc, "%.120s: does not tell its size: %s", path, strerror(-rc));
	if (f->block) {
		rc = describe_device(path, f, st.st_rdev, info, err);
		if (rc)
			return rc;
	} else {
		describe_file(f, &st, info);
	}
	info->can_flush = true;
	if (info->size == 0)
		return storage_error(err, -EINVAL, "%.120s: is empty; give it a size, as `truncate -s 10G %.60s` does", path, path);
	if (info->size % info->sector_size)
		return storage_error(err, -EINVAL, "%.80s: %" PRIu64 " bytes is not a multiple of the sector size %u; make it one with `truncate -s %" PRIu64
				     " %.60s`", path, info->size, info->sector_size,
				     (info->size + info->sector_size - 1) / info->sector_size * info->sector_size, path);
	return 0;
}

/* What direct transfers ask for; where Linux does not say, what is always enough. */
static void direct_alignment(struct storage_file *f, uint32_t sector)
{
	struct statx stx;

	f->memory_align = f->offset_align = f->block ? sector : PAGE;
	if (statx(f->direct, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) || !(stx.stx_mask & STATX_DIOALIGN))
		return;
	if (stx.stx_dio_offset_align == 0 || stx.stx_dio_mem_align == 0) {
		close(f->direct);
		f->direct = -1;
		return;
	}
	f->memory_align = stx.stx_dio_mem_align;
	f->offset_align = stx.stx_dio_offset_align;
}

/* When a guest reads is nobody's business, and looking after it costs 4 % of a small read. Only the owner may ask for that. */
static int open_file(const char *path, bool readonly, int flags)
{
	int fd;

	flags |= (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	fd = open(path, flags | O_NOATIME);
	return fd < 0 && errno == EPERM ? open(path, flags) : fd;
}

/* The same inode again, whatever became of its name. Without /proc, and where the file system refuses, all goes through the page cache. */
static void open_direct(struct storage_file *f, const struct blkdev_info *info)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->buffered);
	f->direct = open_file(path, info->readonly, O_DIRECT);
	if (f->direct >= 0)
		direct_alignment(f, info->sector_size);
}

int storage_file_open(const char *path, bool readonly, struct storage_file *f, struct blkdev_info *info, char err[STORAGE_ERR])
{
	struct stat st;
	int rc;

	*f = (struct storage_file){.buffered = -1, .direct = -1};
	*info = (struct blkdev_info){.readonly = readonly};
	rc = check_kind(path, &st, err);
	if (rc)
		return rc;
	f->buffered = open_file(path, readonly, 0);
	if (f->buffered < 0)
		return cannot_open(path, readonly, -errno, err);
	rc = describe(path, f, info, err);
	if (rc) {
		storage_file_close(f);
		return rc;
	}
	open_direct(f, info);
	return 0;
}

void storage_file_close(struct storage_file *f)
{
	if (f->direct >= 0)
		close(f->direct);
	if (f->buffered >= 0)
		close(f->buffered);
	f->direct = f->buffered = -1;
}

int storage_file_size(const struct storage_file *f, uint64_t *size)
{
	struct stat st;

	if (f->block)
		return ioctl(f->buffered, BLKGETSIZE64, size) ? -errno : 0;
	if (fstat(f->buffered, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

bool storage_file_refresh(const struct storage_file *f, struct blkdev_info *info)
{
	uint64_t size;

	if (storage_file_size(f, &size))
		return false;
	size -= size % info->sector_size;
	if (size == info->size)
		return false;
	info->size = size;
	return true;
}
