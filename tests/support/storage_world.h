/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Storage for tests: a scratch folder, files, loop devices and NBD servers, each ended and removed by the test that made it. Used by tests/contract/blkdev and
 * tests/unit/backend/storage.
 */
#ifndef TESTS_SUPPORT_STORAGE_WORLD_H
#define TESTS_SUPPORT_STORAGE_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORAGE_PATH 128

/* A new folder below `parent`. 0 or -errno. */
int scratch_make(const char *parent, char out[STORAGE_PATH]);
void scratch_remove(const char *folder);

/* folder/name with size bytes of holes; its path. */
int scratch_file(const char *folder, const char *name, uint64_t size, char out[STORAGE_PATH]);

/* A loop device on a file. -errno where the machine has none to give (then say that the test is skipped). */
int loop_make(const char *file, unsigned sector_size, char out[STORAGE_PATH]);
void loop_device_remove(const char *device);

/* Runs argv to its end. 0 when that was a good one. */
int run_program(const char *const *argv);

struct nbd_server {
	pid_t pid; /* 0: not running */
	char socket[STORAGE_PATH];
	char uri[STORAGE_PATH + 32];
};

/*
 * Starts argv on folder/nbd.sock and waits until it accepts. An argument "SOCKET" becomes the socket's path. 0, or -errno: -ENOENT when there is no such
 * program.
 */
int nbd_server_start(struct nbd_server *s, const char *folder, const char *const *argv);
void nbd_server_stop(struct nbd_server *s, int signal); /* and waits for its end; fine when it is not running */

#endif
