/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosted domains: the socket <run_dir>/hosted.sock, by which ordinary processes become unprivileged domains (sluice/hosted_abi.h). The domain ends with
 * its connection, the connection with the domain. Main loop only.
 */
#ifndef SLUICE_HOSTED_H
#define SLUICE_HOSTED_H

#include "domain.h"

/* 0 or -errno after a line in the log. */
int hosted_init(const char *run_dir);
/* Ends all hosted domains and removes the socket. hv_lock held. */
void hosted_fini(void);

/* The domain is about to be destroyed: close its connection and its bell. Nothing for others. */
void hosted_hang_up(struct domain *d);

#endif
