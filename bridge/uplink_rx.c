/* SPDX-License-Identifier: BSD-3-Clause */
/* From the wire: the pollers' part of an uplink, a queue for each. */
#include "offload.h"
#include "uplink_private.h"
#include "wake.h"
#include <errno.h>
#include <inttypes.h>
#include <rte_ip.h>
#include <rte_log.h>
#include <unistd.h>

#define DRAIN_EVERY 8u    /* empty polls in a row before a look at the wake-up source: each is a system call, and packets often come one by one */

/* Nothing came: make the wake-up source silent until something comes. True when it had told of something. */
static bool quieten(const struct uplink *u, uint16_t queue)
{
	const struct uplink_queue *q = &u->queue[queue];
	uint64_t count;

	if (q->wake_fd >= 0)
		return wake_drain(q->wake_fd);
	if (q->intr_fd < 0 || rte_eth_dev_rx_intr_enable(u->id, queue) == -ENOTSUP)
		return false; /* or, without a switch, its fd is readable just as long as packets wait (net_tap) */
	return read(q->intr_fd, &count, sizeof(count)) > 0;
}

/*
 * A driver on a kernel interface hands on as much of a packet as fits its frames: what Linux has merged, or not cut up yet, loses its end without a word. True when the IP
 * header, in an untagged packet, tells of more bytes than are there.
 */
static bool is_cut(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *v4 = (const void *)(eth + 1);
	const struct rte_ipv6_hdr *v6 = (const void *)(eth + 1);

	if (m->data_len >= sizeof(*eth) + sizeof(*v4) && eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return sizeof(*eth) + rte_be_to_cpu_16(v4->total_length) > m->pkt_len;
	if (m->data_len >= sizeof(*eth) + sizeof(*v6) && eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return sizeof(*eth) + sizeof(*v6) + rte_be_to_cpu_16(v6->payload_len) > m->pkt_len;
	return false;
}

/* Drops those that were cut, and says so at the first, second, fourth, eighth... Finds blank checksums in the rest; how many these are. */
static unsigned from_kernel(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned kept = 0;
	uint64_t cut;

	for (unsigned i = 0; i < n; i++) {
		if (!is_cut(v[i])) {
			offload_find_blank(v[i]);
			v[kept++] = v[i];
			continue;
		}
		rte_pktmbuf_free(v[i]);
		cut = __atomic_add_fetch(&u->cut, 1, __ATOMIC_RELAXED);
		if (!(cut & (cut - 1)))
			RTE_LOG(ERR, USER1, "uplink %s: %" PRIu64 " packets were larger than its frames and are lost; switch segmentation offload off at their sender (ethtool -K IFACE tso off gso off)\n",
				u->name, cut);
	}
	return kept;
}

/* Packets that may be larger than frames, or have blank checksums. Drops what says of itself what it is not; how many are left. */
static unsigned from_driver(struct rte_mbuf **v, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (offload_from_driver(v[i]))
			v[kept++] = v[i];
		else
			rte_pktmbuf_free(v[i]);
	}
	return kept;
}

/* One burst from the wire; `sends`: packets to it wait, so the poller comes again at once. */
static unsigned receive(struct uplink *u, uint16_t queue, bool sends)
{
	struct uplink_queue *q = &u->queue[queue];
	struct rte_mbuf *v[BRIDGE_BURST];
	unsigned n = rte_eth_rx_burst(u->id, queue, v, BRIDGE_BURST);

	if (!n && !sends && ++q->empty_polls % DRAIN_EVERY == 0 && quieten(u, queue))
		n = rte_eth_rx_burst(u->id, queue, v, BRIDGE_BURST); /* what came in between woke nobody */
	if (!n)
		return 0;
	q->empty_polls = 0;
	if (u->kernel_interface)
		n = from_kernel(u, v, n);
	else if (u->whole_packets)
		n = from_driver(v, n);
	bridge_input(&u->port, v, n);
	return n;
}

unsigned uplink_poll(struct uplink *u, unsigned lcore)
{
	bool sends = uplink_send_waiting(u, lcore % u->nr_queues);

	return (lcore < u->nr_queues ? receive(u, (uint16_t)lcore, sends) : 0) + sends;
}
