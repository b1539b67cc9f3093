/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract of blkdev.h on every provider and on the kinds of storage that behave differently behind one. */
#include "suite.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <tests/support/storage_world.h>

static int failed;

static void skip(const char *name, const char *why)
{
	printf("ok - %s # SKIP %s\n", name, why);
	fflush(stdout);
}

static void run_sized(void)
{
	failed += blkdev_suite_run(&(struct blkdev_subject){.name = "null", .target = "null:16M", .forgets = true});
	failed += blkdev_suite_run(&(struct blkdev_subject){.name = "memory", .target = "memory:16M"});
}

static void run_file(const char *name, const char *folder)
{
	char path[STORAGE_PATH];

	if (scratch_file(folder, "disk.img", SUBJECT_SIZE, path)) {
		skip(name, "no scratch file can be made");
		return;
	}
	failed += blkdev_suite_run(&(struct blkdev_subject){.name = name, .target = path, .lasts = true});
}

static void run_loop(const char *name, const char *folder, unsigned sector)
{
	char file[STORAGE_PATH], device[STORAGE_PATH];
	int rc = scratch_file(folder, "loop.img", SUBJECT_SIZE, file);

	if (rc == 0)
		rc = loop_make(file, sector, device);
	if (rc) {
		skip(name, "no loop device here; it needs root and /dev/loop-control");
		return;
	}
	failed += blkdev_suite_run(&(struct blkdev_subject){.name = name, .target = device, .lasts = true});
	loop_device_remove(device);
}

static void run_nbd(const char *name, const char *folder, bool lasts, const char *const *argv)
{
	struct nbd_server server;
	int rc = nbd_server_start(&server, folder, argv);

	if (rc == -ENOENT) {
		skip(name, "the server is not installed; see scripts/setup");
		return;
	}
	if (rc) {
		printf("not ok - %s: the server does not start: %s\n", name, strerror(-rc));
		failed++;
		return;
	}
	failed += blkdev_suite_run(&(struct blkdev_subject){.name = name, .target = server.uri, .lasts = lasts});
	nbd_server_stop(&server, SIGTERM);
}

#define NBDKIT "nbdkit", "-f", "-U", "SOCKET"
#define ARGV(...) (const char *const[]){__VA_ARGS__, NULL}

static void run_nbd_servers(const char *folder)
{
	char image[STORAGE_PATH];

	run_nbd("nbd: memory", folder, true, ARGV(NBDKIT, "memory", "16M"));
	run_nbd("nbd: blocks of 4096", folder, true,
		ARGV(NBDKIT, "--filter=blocksize-policy", "memory", "16M", "blocksize-minimum=4096", "blocksize-error-policy=error"));
	run_nbd("nbd: at most 64K at once", folder, true,
		ARGV(NBDKIT, "--filter=blocksize-policy", "memory", "16M", "blocksize-minimum=1", "blocksize-preferred=4096", "blocksize-maximum=65536",
		     "blocksize-error-policy=error"));
	run_nbd("nbd: answers late, in any order", folder, true,
		ARGV(NBDKIT, "--filter=delay", "memory", "16M", "delay-read=1ms", "delay-write=1ms"));
	snprintf(image, sizeof(image), "%.100s/disk.qcow2", folder);
	if (run_program(ARGV("qemu-img", "create", "-q", "-f", "qcow2", image, "16M")))
		skip("nbd: qcow2 through qemu-nbd", "qemu-img is not installed; see scripts/setup");
	else
		run_nbd("nbd: qcow2 through qemu-nbd", folder, true,
			ARGV("qemu-nbd", "-t", "-f", "qcow2", "--discard=unmap", "-k", "SOCKET", image));
}

int main(void)
{
	char shm[STORAGE_PATH], disk[STORAGE_PATH];

	if (scratch_make("/dev/shm", shm) || scratch_make("/var/tmp", disk)) {
		printf("not ok - no scratch folder in /dev/shm or /var/tmp\n");
		return 1;
	}
	run_sized();
	run_file("file on tmpfs", shm);
	run_file("file on disk", disk);
	run_loop("block device, sectors of 512", disk, 512);
	run_loop("block device, sectors of 4096", disk, 4096);
	run_nbd_servers(shm);
	scratch_remove(shm);
	scratch_remove(disk);
	return failed ? 1 : 0;
}
