/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A wake-up source for an uplink whose driver takes packets from a kernel interface and hides its socket (net_af_packet, net_af_xdp, net_pcap): a packet
 * socket of our own, which becomes readable when a packet comes in. Used by uplink.c.
 */
#ifndef BRIDGE_WAKE_H
#define BRIDGE_WAKE_H

#include <stdbool.h>

/*
 * A non-blocking socket, or -errno. Open it before the driver opens its own: the kernel serves the newest first, so the driver has a packet
 * before this socket tells of it.
 */
int wake_open(unsigned ifindex);
/* Take back what it told; true when there was anything: then look at the driver's queue once more before sleeping. */
bool wake_drain(int fd);

#endif
