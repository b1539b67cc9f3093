/* SPDX-License-Identifier: BSD-3-Clause */
/* An uplink: any DPDK port, named by its devargs ("net_af_packet0,iface=eth1", "net_tap0", "0000:03:00.0"), as a port of a bridge. */
#ifndef SLUICE_UPLINK_H
#define SLUICE_UPLINK_H

#include "bridge.h"

struct uplink;

/* Attach, configure (promiscuous, offloads that the driver has, a queue each way for each of the lcores if it has so many), start, add to the bridge. The device must reach the pool's
 * memory. lcores: 1 to BRIDGE_LCORES. err: one line. */
int uplink_open(struct bridge *b, const char *devargs, struct rte_mempool *pool, unsigned lcores, struct uplink **out, char err[256]);
void uplink_close(struct uplink *u); /* NULL is fine */

/* How many queues it has each way, at most as many as lcores: the first lcores receive, a queue each; the others share queues to send. */
unsigned uplink_queues(const struct uplink *u);
/* This lcore's part: what waits to be sent in its queue, then one burst from its queue into the bridge. How many packets, and one more while some wait: come again at once then. */
unsigned uplink_poll(struct uplink *u, unsigned lcore);
/* A file descriptor that becomes readable when packets wait, so that an idle back end can sleep; -1 when the driver has none (then it must be
 * polled at intervals). */
int uplink_wait_fd(const struct uplink *u, unsigned lcore);

#endif
