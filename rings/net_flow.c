/* SPDX-License-Identifier: BSD-3-Clause */
/* Flows: see net_flow.h. */
#include <rings/net_flow.h>

#define ETH_ADDRESSES 12u
#define ETH_HEADER 14u
#define VLAN_TAG 4u
#define VLAN_TAGS 2u
#define TYPE_VLAN 0x8100u
#define TYPE_QINQ 0x88a8u
#define TYPE_IPV4 0x0800u
#define TYPE_IPV6 0x86ddu
#define IPV4_HEADER 20u
#define IPV6_HEADER 40u
#define PORTS 4u

static uint32_t be16(const uint8_t *at)
{
	return (uint32_t)at[0] << 8 | at[1];
}

/* Both addresses, and the ports when they are within the frame. */
static void take(struct net_flow *f, const uint8_t *addresses, uint8_t n, const uint8_t *ports)
{
	__builtin_memcpy(f->bytes, addresses, n);
	f->addresses = f->len = n;
	if (!ports)
		return;
	__builtin_memcpy(f->bytes + n, ports, PORTS);
	f->len = (uint8_t)(n + PORTS);
}

static bool has_ports(uint8_t proto)
{
	return proto == NET_FLOW_PROTO_TCP || proto == NET_FLOW_PROTO_UDP;
}

/* False: it is no IPv4 header. Later fragments have no ports, so the first must not be told apart by its own. */
static bool parse_ipv4(const uint8_t *ip, size_t len, struct net_flow *f)
{
	size_t header = len ? (ip[0] & 0xfu) * 4u : 0;
	bool fragment;

	if (len < IPV4_HEADER || ip[0] >> 4 != 4 || header < IPV4_HEADER)
		return false;
	fragment = be16(ip + 6) & 0x3fff; /* more fragments, or an offset */
	f->kind = NET_FLOW_IPV4;
	f->proto = ip[9];
	take(f, ip + 12, 8, has_ports(f->proto) && !fragment && len >= header + PORTS ? ip + header : NULL);
	return true;
}

static bool parse_ipv6(const uint8_t *ip, size_t len, struct net_flow *f)
{
	if (len < IPV6_HEADER || ip[0] >> 4 != 6)
		return false;
	f->kind = NET_FLOW_IPV6;
	f->proto = ip[6];
	take(f, ip + 8, 32, has_ports(f->proto) && len >= IPV6_HEADER + PORTS ? ip + IPV6_HEADER : NULL);
	return true;
}

void net_flow_parse(const uint8_t *frame, size_t len, struct net_flow *f)
{
	size_t at = ETH_HEADER;
	uint32_t type;

	*f = (struct net_flow){ .kind = NET_FLOW_OTHER };
	if (len < ETH_HEADER)
		return;
	type = be16(frame + ETH_ADDRESSES);
	for (unsigned tag = 0; tag < VLAN_TAGS && (type == TYPE_VLAN || type == TYPE_QINQ) && len >= at + VLAN_TAG; tag++) {
		type = be16(frame + at + 2);
		at += VLAN_TAG;
	}
	if (type == TYPE_IPV4 && parse_ipv4(frame + at, len - at, f))
		return;
	if (type == TYPE_IPV6 && parse_ipv6(frame + at, len - at, f))
		return;
	take(f, frame, ETH_ADDRESSES, NULL);
}

uint32_t net_flow_hash(const struct net_flow *f)
{
	uint64_t h = (uint64_t)f->proto << 8 | f->kind;
	uint32_t word;

	for (unsigned at = 0; at < f->len; at += sizeof(word)) {
		__builtin_memcpy(&word, f->bytes + at, sizeof(word));
		h = (h ^ word) * 0x9e3779b97f4a7c15u; /* 2^64 by the golden ratio (Knuth's multiplicative hashing) */
		h ^= h >> 32;
	}
	h *= 0x9e3779b97f4a7c15u;
	return (uint32_t)(h >> 32);
}
