/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From runs of netif slots to checked packet descriptions, and back. netback parses tx requests and builds rx responses; netfront builds tx
 * requests and parses rx responses. Works on private copies only: whoever calls has copied the slots out of the ring (back_ring_read).
 *
 * A packet is one slot, then its extra-info slots (if the flag says so), then further data slots while more_data is set. In tx requests the
 * first slot's size is that of the whole packet, each later slot's its own; in rx responses each slot has its own (`status`).
 */
#ifndef RINGS_NET_SLOTS_H
#define RINGS_NET_SLOTS_H

#include <rings/ring_indices.h>

typedef union netif_tx_sring_entry net_tx_slot; /* 12 bytes; an extra-info lies at its start */
typedef union netif_rx_sring_entry net_rx_slot; /* 8 bytes */

#define NET_SLOTS_MAX 19u        /* data slots of a good packet: one, and the 18 more that Linux takes (XEN_NETIF_NR_SLOTS_MIN) */
#define NET_SLOTS_TOLERATED 21u  /* up to here a packet is only dropped; beyond, the peer is broken (Linux: fatal_skb_slots) */
#define NET_EXTRAS_MAX (XEN_NETIF_EXTRA_TYPE_MAX - 1u) /* extra-info slots of a packet: each type once */
/* Hand at least so many slots to a parser, or all that wait: then "the packet is not complete" means that the peer is broken. */
#define NET_SLOTS_LOOK (NET_SLOTS_TOLERATED + NET_EXTRAS_MAX + 1u)
#define NET_PACKET_MAX 65535u
#define NET_ETH_HLEN 14u

struct net_frag {
	gref_t gref;      /* tx only; in rx the front end knows by the slot's index which page it had posted */
	uint16_t offset;  /* in the page; offset + len <= 4096 */
	uint16_t len;
	uint16_t id;      /* the peer's cookie, to be echoed; an index into nothing of ours until it is bounded */
};

struct net_packet {
	uint16_t nr_slots;  /* slots that the packet takes, extra-info included */
	uint16_t nr_frags;
	uint16_t nr_extras;
	uint32_t size;      /* sum of the fragments' lengths */
	bool csum_blank;      /* the transport checksum holds only the pseudo-header's sum */
	bool data_validated;  /* the transport checksum is known to be right, or blank */
	uint8_t gso_type;     /* XEN_NETIF_GSO_TYPE_*; NONE: not to be cut */
	uint16_t gso_size;    /* payload bytes of each segment */
	uint8_t mcast_op;     /* 0, or XEN_NETIF_EXTRA_TYPE_MCAST_ADD or _DEL: no packet but a wish; frags[0].id is to be answered */
	uint8_t mcast[6];
	bool has_hash;
	uint8_t hash_type, hash_algorithm;
	uint8_t hash_value[4];
	const char *why;      /* after an error: what was wrong, for one line of the log */
	struct net_frag frags[NET_SLOTS_TOLERATED]; /* more than NET_SLOTS_MAX only in a bad packet: for its ids */
};

/*
 * Parse the packet at the head of n >= 1 slots: all that wait, or at least NET_SLOTS_LOOK of them.
 *  > 0       slots taken (p->nr_slots); every fragment lies within its page, lengths sum up to p->size <= 65535, the first has at least an
 *            Ethernet header (net_tx_parse; the whole packet has in net_rx_parse)
 *  -EBADMSG  bad packet: drop it, answer its p->nr_slots slots with an error, go on
 *  -EPROTO   broken protocol: disable this vif
 */
int net_tx_parse(const net_tx_slot *slots, unsigned n, struct net_packet *p);
int net_rx_parse(const net_rx_slot *slots, unsigned n, struct net_packet *p);

/*
 * Write the slots of a packet: frags, nr_frags, size, flags, gso and mcast are read, nr_slots and nr_extras set. Returns nr_slots, at most
 * NET_SLOTS_MAX + NET_EXTRAS_MAX. Bytes without a meaning are 0. In rx the slots of extra-info have no id: the back end has taken those requests
 * in order, and the front end knows them by their index.
 */
unsigned net_tx_build(struct net_packet *p, net_tx_slot *slots);
unsigned net_rx_build(struct net_packet *p, net_rx_slot *slots);

/* Slots that a packet will take, before it is built. */
static inline unsigned net_packet_slots(const struct net_packet *p)
{
	return p->nr_frags + (p->gso_type != XEN_NETIF_GSO_TYPE_NONE) + (p->mcast_op != 0) + p->has_hash;
}

/* Where fragment i stands within the packet's run of slots: extra-info follows the first one. */
static inline unsigned net_packet_slot_of(const struct net_packet *p, unsigned i)
{
	return i ? i + p->nr_extras : 0;
}

/*
 * Write the tx responses of a parsed packet, good or bad, in the order of its slots: `status` (NETIF_RSP_*) for data, NETIF_RSP_NULL for extra-info.
 * Returns how many: p->nr_slots, at most NET_SLOTS_TOLERATED + NET_EXTRAS_MAX.
 */
unsigned net_tx_respond(const struct net_packet *p, int16_t status, struct netif_tx_response *out);

#endif
