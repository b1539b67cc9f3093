/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A disk as xl's configuration writes it, by xl's own parser (xlu_disk_parse), and the number of its virtual device. Called by config.c and block.c.
 *
 * The target is what the back end opens (backend/blkdev.h): a path, null:SIZE, memory:SIZE or an NBD URI. Whether it is fit for a disk the back end
 * finds out; only a file that is not there is told here, where the user looks.
 */
#include <errno.h>
#include <libxlutil.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config.h"
#include "toolstack.h"

#define NUMBER_MAX 0x1ffffffful /* bit 28 marks the extended numbers */

/* Letters from 'a' on, in base 26 without a zero, then digits: the disk and its partition. NULL: something else. */
static const char *split_name(const char *p, unsigned max_disk, unsigned long *disk, unsigned long *partition)
{
	char *end;

	if (*p < 'a' || *p > 'z')
		return NULL;
	for (*disk = 0; *p >= 'a' && *p <= 'z'; p++) {
		*disk = *disk * 26 + (unsigned long)(*p - 'a') + 1;
		if (*disk > max_disk + 1ul)
			return NULL;
	}
	--*disk;
	*partition = 0;
	if (!*p)
		return p;
	if (*p < '1' || *p > '9')
		return NULL;
	*partition = strtoul(p, &end, 10);
	return end;
}

/* What Linux and Xen number the names by: docs/misc/vbd-interface.txt of Xen. */
int disk_number(const char *vdev, unsigned *number)
{
	unsigned long disk, part;
	const char *end;
	char *stop;

	if (!strncmp(vdev, "xvd", 3) && (end = split_name(vdev + 3, (1u << 20) - 1, &disk, &part)) && !*end && part < 256) {
		*number = (unsigned)(disk < 16 && part < 16 ? 202 << 8 | disk << 4 | part : 1ul << 28 | disk << 8 | part);
		return 0;
	}
	if (!strncmp(vdev, "hd", 2) && (end = split_name(vdev + 2, 3, &disk, &part)) && !*end && part < 64) {
		*number = (unsigned)((disk < 2 ? 3u : 22u) << 8 | (disk & 1) << 6 | part);
		return 0;
	}
	if (!strncmp(vdev, "sd", 2) && (end = split_name(vdev + 2, 15, &disk, &part)) && !*end && part < 16) {
		*number = (unsigned)(8u << 8 | disk << 4 | part);
		return 0;
	}
	errno = 0;
	disk = strtoul(vdev, &stop, 0);
	if (*vdev >= '0' && *vdev <= '9' && !*stop && !errno && disk <= NUMBER_MAX) {
		*number = (unsigned)disk;
		return 0;
	}
	return complain("disk: vdev '%s' is no name of a disk: write xvda, xvdb1, hdc, sdd...", vdev);
}

static bool names_no_file(const char *target)
{
	return !strncmp(target, "null:", 5) || !strncmp(target, "memory:", 7) || (!strncmp(target, "nbd", 3) && strstr(target, ":/"));
}

/* The back end has another working directory; and who mistyped a name learns it at once. */
static int take_target(struct disk_config *disk, const char *target)
{
	char path[PATH_MAX];
	struct stat st;

	if (!target || !*target)
		return complain("disk %s: there is no target: give a path, null:SIZE, memory:SIZE or an NBD URI", disk->vdev);
	if (!names_no_file(target)) {
		if (!realpath(target, path) || stat(path, &st))
			return complain("disk %s: %s: cannot be found: %s", disk->vdev, target, strerror(errno));
		disk->block_device = S_ISBLK(st.st_mode);
		target = path;
	}
	if (strlen(target) >= sizeof(disk->target))
		return complain("disk %s: its target is longer than %zu characters", disk->vdev, sizeof(disk->target) - 1);
	strcpy(disk->target, target);
	return 0;
}

/* What is asked for and cannot be had is an error. */
static int check_possible(const libxl_device_disk *given)
{
	if (given->format != LIBXL_DISK_FORMAT_RAW)
		return complain("disk %s: only format=raw: serve others with qemu-nbd and give target=nbd+unix:///?socket=PATH", given->vdev);
	if (given->script)
		return complain("disk %s: script=%s: not possible: the back end opens the target itself", given->vdev, given->script);
	if (given->backend_domname && strcmp(given->backend_domname, "0") && strcmp(given->backend_domname, "Domain-0"))
		return complain("disk %s: backend=%s: only domain 0 has back ends", given->vdev, given->backend_domname);
	return 0;
}

static int take_all(struct disk_config *disk, const libxl_device_disk *given)
{
	if (!given->vdev || strlen(given->vdev) >= sizeof(disk->vdev))
		return complain("disk: vdev is missing or too long: write vdev=xvda");
	strcpy(disk->vdev, given->vdev);
	disk->readonly = !given->readwrite;
	disk->cdrom = given->is_cdrom;
	disk->removable = given->removable;
	disk->direct_io_safe = given->direct_io_safe;
	disk->discard = libxl_defbool_is_default(given->discard_enable) ? given->readwrite : libxl_defbool_val(given->discard_enable);
	return check_possible(given) || disk_number(given->vdev, &disk->number) || take_target(disk, given->pdev_path);
}

int disk_parse(struct disk_config *disk, const char *const *specs, int n)
{
	XLU_Config *report = xlu_cfg_init(stderr, "sluice"); /* the parser tells its errors through it */
	libxl_device_disk given;
	int status = 1;

	memset(disk, 0, sizeof(*disk));
	if (!report)
		return complain("out of memory");
	for (int i = 0; i < n; i++)
		if (!strncmp(specs[i], "nbd", 3)) { /* xl's parser takes "nbd:" for one of its old scripts, and '=' for the end of a key */
			xlu_cfg_destroy(report);
			return complain("disk: an NBD URI is given last and by name: 'vdev=xvda,target=%s'", specs[i]);
		}
	libxl_device_disk_init(&given);
	if (!xlu_disk_parse(report, n, specs, &given))
		status = take_all(disk, &given);
	libxl_device_disk_dispose(&given);
	xlu_cfg_destroy(report);
	return status;
}
