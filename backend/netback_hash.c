/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which queue of a guest gets a packet. A guest that has set up hashing by its control ring (xen/io/netif.h, "Hash types") gets what it asked for, as from
 * Linux's netback: Toeplitz over what the packet has of the enabled types, the most of it; hash 0 for a packet of no such type; its mapping table, or the
 * remainder. Any other guest gets its flows spread evenly. Called by netback_rx.c when there are several queues.
 */
#include "netback.h"
#include <rte_byteorder.h>
#include <rte_thash.h>

/* Bytes of the flow that the guest wants hashed; 0: none. */
static unsigned hashed_bytes(uint32_t types, const struct net_flow *f)
{
	bool v6 = f->kind == NET_FLOW_IPV6;
	uint32_t with_ports = v6 ? XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP : XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP;
	uint32_t without = v6 ? XEN_NETIF_CTRL_HASH_TYPE_IPV6 : XEN_NETIF_CTRL_HASH_TYPE_IPV4;

	if (f->kind == NET_FLOW_OTHER)
		return 0;
	if (types & with_ports && f->proto == NET_FLOW_PROTO_TCP && f->len > f->addresses)
		return f->len;
	return types & without ? f->addresses : 0;
}

uint32_t netback_hash_toeplitz(const struct net_ctrl_hash *h, const struct net_flow *f)
{
	uint32_t words[NET_FLOW_BYTES_MAX / sizeof(uint32_t)];
	unsigned n = hashed_bytes(h->types, f) / sizeof(uint32_t);

	for (unsigned i = 0; i < n; i++) {
		memcpy(&words[i], f->bytes + i * sizeof(words[i]), sizeof(words[i]));
		words[i] = rte_be_to_cpu_32(words[i]);
	}
	return rte_softrss(words, n, h->key);
}

unsigned netback_hash_queue(const struct netback_vif *vif, const struct rte_mbuf *m)
{
	const struct net_ctrl_hash *h = &vif->ctrl.hash;
	struct net_flow flow;
	uint32_t hash;

	net_flow_parse(rte_pktmbuf_mtod(m, const uint8_t *), rte_pktmbuf_data_len(m), &flow);
	if (h->algorithm != XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ)
		return net_flow_queue(net_flow_hash(&flow), vif->nr_queues);
	hash = netback_hash_toeplitz(h, &flow);
	if (h->mapping_size == 0)
		return hash % vif->nr_queues;
	return h->mapping[hash % h->mapping_size]; /* whose entries were checked when they were set */
}
