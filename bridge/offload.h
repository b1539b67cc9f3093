/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Software stand-ins for what a port cannot do itself: checksums and TCP segmentation. Packets come from guests: lengths are checked against the
 * bytes that are there, whatever the header fields and the mbuf's l2_len to tso_segsz say.
 */
#ifndef SLUICE_OFFLOAD_H
#define SLUICE_OFFLOAD_H

#include <rte_mbuf.h>
#include <stdbool.h>

/* All that a sender can ask for, in ol_flags. */
#define OFFLOAD_WISHES (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IP_CKSUM)

#define OFFLOAD_MSS_MIN 48u /* smaller segments only make work: Linux's lowest too (tcp_min_snd_mss) */

enum { OFFLOAD_CSUM = 1, OFFLOAD_TSO4 = 2, OFFLOAD_TSO6 = 4 };

/* Does the packet want anything that this port cannot do (an OR of the above)? */
bool offload_needed(const struct rte_mbuf *pkt, unsigned able);

/* Turn one packet into packets that need none of the abilities missing from `able` (an OR of the above). Takes pkt; gives 1..max packets in out (pkt itself
 * when nothing was to do), 0 when it had to be dropped. A shared packet (refcnt > 1) is copied before it is changed. */
unsigned offload_finish(struct rte_mbuf *pkt, unsigned able, struct rte_mempool *pool, struct rte_mbuf **out, unsigned max);

/* True when the packet is TCP or UDP and its checksum field holds no more than the pseudo-header's sum, as Linux leaves it on packets that never
 * saw a wire (veth, tap); then the wish for a checksum is put into ol_flags, l2_len, l3_len and l4_len. The packet's headers are in its first segment. */
bool offload_find_blank(struct rte_mbuf *pkt);

/* What a driver says of a packet that it received (a blank checksum: RTE_MBUF_F_RX_L4_CKSUM_NONE; larger than a frame: RTE_MBUF_F_RX_LRO and tso_segsz) becomes what a sender wishes.
 * False: it is larger than a frame and no TCP packet that can be cut; drop it. Its headers are to be in its first segment, and are looked at before they are believed. */
bool offload_from_driver(struct rte_mbuf *pkt);

#endif
