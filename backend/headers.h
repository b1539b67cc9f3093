/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between a guest's offload wishes (a blank checksum, a GSO extra-info) and DPDK's (ol_flags and header lengths of an mbuf). The headers are those
 * of a packet that a guest wrote: they are in private memory, and nothing that they say is believed unchecked.
 */
#ifndef BACKEND_HEADERS_H
#define BACKEND_HEADERS_H

#include <rte_mbuf.h>

#define HEADERS_MAX 256u     /* l2 + l3 + l4 of a packet that wants to be cut */

/*
 * A packet from a guest whose checksum is blank, and that is to be cut into segments of gso_size when gso_type is not XEN_NETIF_GSO_TYPE_NONE:
 * set the flags and lengths as bridge.h says. -EBADMSG when its headers do not allow what it asks for: drop it.
 */
int headers_from_guest(struct rte_mbuf *m, uint8_t gso_type, uint16_t gso_size);

/*
 * A packet to be cut (RTE_MBUF_F_TX_TCP_SEG) on its way to a guest that does that itself: copies its headers to out, with the pseudo-header's sum as netif
 * has it (with the length, where DPDK leaves it out). Returns how many bytes; 0 when they do not fit or are not there.
 */
unsigned headers_to_guest(const struct rte_mbuf *m, uint8_t out[HEADERS_MAX]);

#endif
