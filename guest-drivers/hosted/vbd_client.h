/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vbd for programs with many threads: blkfront is for one thread, so one thread runs it, and vbd_io hands each request to that thread and waits for its
 * answer. Called by nbdkit-sluice-plugin.c.
 */
#ifndef GUEST_VBD_CLIENT_H
#define GUEST_VBD_CLIENT_H

#include <frontend/blkfront.h>

struct vbd_client_config {
	const char *run_dir; /* NULL: as hosted_attach */
	const char *name;    /* of the domain */
	uint32_t number;     /* of the vbd: 51712 is xvda */
	unsigned memory_mib;
	unsigned wait_s;     /* how long the toolstack and the back end may take to give us the disk */
};

/* Become a domain, wait for the disk, start the thread. 0 or -errno after a line on stderr. */
int vbd_client_start(const struct vbd_client_config *config);
/* Ends the domain. Nobody may be in vbd_io any more. Fine when there is none. */
void vbd_client_stop(void);

/* The disk as it is now. */
struct blkfront_info vbd_client_info(void);

/* Any thread. data: len bytes, NULL for flush and discard; sector and len as in struct blkfront_io, but len may be of any size. 0 or -errno. */
int vbd_io(enum blkfront_op op, uint64_t sector, uint64_t len, void *data);

/* 51712, or xvda, or xvdb1; 0 when it is neither. */
uint32_t vbd_number(const char *text);

#endif
