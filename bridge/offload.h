/* SPDX-License-Identifier: BSD-3-Clause */
/* Software stand-ins for what a port cannot do itself: checksums and TCP segmentation. */
#ifndef SLUICE_OFFLOAD_H
#define SLUICE_OFFLOAD_H

#include <rte_mbuf.h>

enum { OFFLOAD_CSUM = 1, OFFLOAD_TSO4 = 2, OFFLOAD_TSO6 = 4 };

/* Turn one packet into packets that need none of the abilities missing from `able` (an OR of the above). Takes pkt; gives 1..max packets in out (pkt itself
 * when nothing was to do), 0 when it had to be dropped. A shared packet (refcnt > 1) is copied before it is changed. */
unsigned offload_finish(struct rte_mbuf *pkt, unsigned able, struct rte_mempool *pool, struct rte_mbuf **out, unsigned max);

#endif
