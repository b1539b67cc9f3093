/* SPDX-License-Identifier: BSD-3-Clause */
/* Between offload.c and offload_tso.c. */
#ifndef BRIDGE_OFFLOAD_PRIVATE_H
#define BRIDGE_OFFLOAD_PRIVATE_H

#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <stdbool.h>

/* Headers that were found to be there, in the first segment, with lengths that agree. */
struct offload_headers {
	uint32_t l2_len, l3_len, l4_len;
	uint32_t l4_bytes; /* transport header and payload, without Ethernet padding */
	uint32_t csum_at;  /* of the checksum field within the transport header */
	uint8_t proto;
	bool v4;
};

/* Compute what ol_flags wish for in place, and take the wishes back. */
void offload_checksum(struct rte_mbuf *m, const struct offload_headers *h);

/* Cut a TCP packet into at most max complete packets in new mbufs of pool; pkt stays with the caller. 0: it cannot be done. */
unsigned offload_segment(const struct rte_mbuf *pkt, const struct offload_headers *h, struct rte_mempool *pool, struct rte_mbuf **out,
			 unsigned max);

#endif
