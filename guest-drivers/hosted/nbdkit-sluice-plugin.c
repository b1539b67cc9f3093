/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An nbdkit plugin that exports a vbd: block devices of sluice-backend for fio, nbdcopy, qemu-img, nbd-client and whatever else speaks NBD.
 *
 *	nbdkit ./nbdkit-sluice-plugin.so name=export vbd=xvda [run-dir=DIR] [memory=MiB] [wait=SECONDS] &
 *	sluice block-attach export /var/lib/disk.img,raw,xvda,rw
 *	qemu-img info nbd://localhost
 *
 * Requests of all connections run in parallel through one front end; the queue is as deep as nbdkit has threads (-t).
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "vbd_client.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
#define DEFAULT_MEMORY_MIB 8
#define DEFAULT_WAIT_S 60

static char *run_dir, *name;
static struct vbd_client_config config = { .number = 51712, .memory_mib = DEFAULT_MEMORY_MIB, .wait_s = DEFAULT_WAIT_S };

static void sluice_unload(void)
{
	vbd_client_stop();
	free(run_dir);
	free(name);
}

static int take_string(char **to, char *value)
{
	free(*to);
	*to = value;
	return value ? 0 : -1;
}

static int sluice_config(const char *key, const char *value)
{
	if (!strcmp(key, "name"))
		return take_string(&name, strdup(value));
	if (!strcmp(key, "run-dir"))
		return take_string(&run_dir, nbdkit_absolute_path(value));
	if (!strcmp(key, "memory"))
		return nbdkit_parse_unsigned("memory", value, &config.memory_mib);
	if (!strcmp(key, "wait"))
		return nbdkit_parse_unsigned("wait", value, &config.wait_s);
	if (strcmp(key, "vbd")) {
		nbdkit_error("'%s' is not a parameter: name, vbd, run-dir, memory and wait are", key);
		return -1;
	}
	config.number = vbd_number(value);
	if (!config.number)
		nbdkit_error("vbd=%s: give a device such as xvda, or its number such as 51712", value);
	return config.number ? 0 : -1;
}

static int sluice_config_complete(void)
{
	config.run_dir = run_dir;
	config.name = name;
	if (!name)
		nbdkit_error("name= is missing: the name of the domain that this export becomes");
	return name ? 0 : -1;
}

#define sluice_config_help \
	"name=<NAME>     (required) Name of the domain that this export becomes.\n" \
	"vbd=<DEV>       Its disk: xvda (the default), or a number such as 51712.\n" \
	"run-dir=<DIR>   Where sluiced's sockets are (default: $SLUICE_RUN_DIR or /run/sluice).\n" \
	"memory=<MiB>    For pages that are granted (default: 8).\n" \
	"wait=<SECONDS>  How long to wait for sluice block-attach and the back end (default: 60)."

/* In the process that serves: a domain is one process, and threads do not survive a fork. */
static int sluice_after_fork(void)
{
	int rc = vbd_client_start(&config);

	if (rc)
		nbdkit_error("disk %u of domain %s cannot be opened: %s", config.number, config.name, strerror(-rc));
	return rc ? -1 : 0;
}

static void *sluice_open(int readonly)
{
	(void)readonly;
	return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t sluice_get_size(void *handle)
{
	(void)handle;
	return (int64_t)(vbd_client_info().sectors * BLKFRONT_SECTOR);
}

static int sluice_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	struct blkfront_info info = vbd_client_info();

	(void)handle;
	*minimum = info.sector_size;
	*preferred = info.physical_sector_size > SLUICE_PAGE_SIZE ? info.physical_sector_size : SLUICE_PAGE_SIZE;
	*maximum = UINT32_MAX;
	return 0;
}

static int sluice_can_write(void *handle)
{
	(void)handle;
	return !vbd_client_info().readonly;
}

static int sluice_can_flush(void *handle)
{
	(void)handle;
	return vbd_client_info().can_flush;
}

static int sluice_can_trim(void *handle)
{
	(void)handle;
	return vbd_client_info().can_discard;
}

/* One front end serves all connections: a flush on any covers what was answered on any. */
static int sluice_can_multi_conn(void *handle)
{
	(void)handle;
	return 1;
}

static int io(const char *what, enum blkfront_op op, uint64_t offset, uint64_t count, void *data)
{
	uint32_t sector_size = vbd_client_info().sector_size;
	int rc = (offset | count) % sector_size ? -EINVAL : vbd_io(op, offset / BLKFRONT_SECTOR, count, data);

	if (!rc)
		return 0;
	if ((offset | count) % sector_size)
		nbdkit_error("%s of %lu bytes at %lu: the disk has sectors of %u bytes: use nbdkit --filter=blocksize", what, (unsigned long)count,
			     (unsigned long)offset, sector_size);
	else
		nbdkit_error("%s of %lu bytes at %lu: %s", what, (unsigned long)count, (unsigned long)offset, strerror(-rc));
	nbdkit_set_error(-rc);
	return -1;
}

static int sluice_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return io("read", BLKFRONT_READ, offset, count, buf);
}

/* blkfront only reads the buffer of a write. */
static int sluice_pwrite(void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return io("write", BLKFRONT_WRITE, offset, count, (void *)(uintptr_t)buf);
}

static int sluice_flush(void *handle, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return io("flush", BLKFRONT_FLUSH, 0, 0, NULL);
}

static int sluice_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	(void)handle;
	(void)flags;
	return io("trim", BLKFRONT_DISCARD, offset, count, NULL);
}

/* No zero: a discarded sector may read as anything, so nbdkit writes zeroes; no fua: it flushes. */
static struct nbdkit_plugin plugin = {
	.name = "sluice",
	.version = "0.1",
	.longname = "a virtual disk of sluice-backend",
	.unload = sluice_unload,
	.config = sluice_config,
	.config_complete = sluice_config_complete,
	.config_help = sluice_config_help,
	.magic_config_key = "name",
	.after_fork = sluice_after_fork,
	.open = sluice_open,
	.get_size = sluice_get_size,
	.block_size = sluice_block_size,
	.can_write = sluice_can_write,
	.can_flush = sluice_can_flush,
	.can_trim = sluice_can_trim,
	.can_multi_conn = sluice_can_multi_conn,
	.pread = sluice_pread,
	.pwrite = sluice_pwrite,
	.flush = sluice_flush,
	.trim = sluice_trim,
	.errno_is_preserved = 0,
};

NBDKIT_REGISTER_PLUGIN(plugin)
