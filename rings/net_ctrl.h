/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of a vif's control ring (xen/io/netif.h, "Control messages"), pure: private memory in, private memory out. netback_ctrl.c copies a request from the
 * ring and what it refers to from the guest's page, each byte once, and asks here what it means. Hashing is state that lives here; the table of
 * static grants is the back end's own.
 */
#ifndef RINGS_NET_CTRL_H
#define RINGS_NET_CTRL_H

#include <rings/ring_indices.h>

typedef union xen_netif_ctrl_sring_entry net_ctrl_slot; /* 16 bytes */

#define NET_CTRL_KEY_MAX 40u      /* bytes of a Toeplitz key: enough for two IPv6 addresses and two ports */
#define NET_CTRL_MAPPING_MAX 128u /* entries of the table from hashes to queues; Linux's figure too */
#define NET_CTRL_GREFS_MAX (SLUICE_PAGE_SIZE / sizeof(struct xen_netif_gref)) /* entries in the list of one message */
#define NET_CTRL_HASH_TYPES (XEN_NETIF_CTRL_HASH_TYPE_IPV4 | XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP | \
			     XEN_NETIF_CTRL_HASH_TYPE_IPV6 | XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP)

SLUICE_ABI_SIZE(struct xen_netif_ctrl_request, 16);
SLUICE_ABI_SIZE(struct xen_netif_ctrl_response, 12);
SLUICE_ABI_SIZE(struct xen_netif_gref, 8);
SLUICE_ABI_SIZE(net_ctrl_slot, 16);
SLUICE_ABI_AT(struct xen_netif_ctrl_sring, ring, SLUICE_RING_HEADER);

/* How the guest wants its packets hashed. All zero: not at all. */
struct net_ctrl_hash {
	uint32_t algorithm; /* XEN_NETIF_CTRL_HASH_ALGORITHM_* */
	uint32_t types;     /* XEN_NETIF_CTRL_HASH_TYPE_* */
	uint32_t mapping_size; /* 0: queue = hash modulo number of queues */
	uint8_t key[NET_CTRL_KEY_MAX];
	uint32_t mapping[NET_CTRL_MAPPING_MAX];
};

/* The page of the guest that a message refers to: its first `bytes` bytes are to be copied, once, before the message is carried out. */
struct net_ctrl_page {
	gref_t gref;
	uint32_t bytes; /* 0: no page is needed; at most SLUICE_PAGE_SIZE */
};

/* Find out what a message needs, and whether its numbers make sense. A XEN_NETIF_CTRL_STATUS_*: when it is not SUCCESS, that is the answer. */
uint32_t net_ctrl_check(const struct net_ctrl_hash *h, const struct xen_netif_ctrl_request *req, unsigned queues, struct net_ctrl_page *page);

/* Carry out a checked hash message (types 1 to 7); data: the private copy of its page. Returns the status, and the answer's data in *out. */
uint32_t net_ctrl_hash_apply(struct net_ctrl_hash *h, const struct xen_netif_ctrl_request *req, unsigned queues, const void *data, uint32_t *out);

#endif
