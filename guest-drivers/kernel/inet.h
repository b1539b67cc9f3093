/* SPDX-License-Identifier: BSD-3-Clause */
/* The few protocol headers that the applications speak, as offsets into a frame: Ethernet, ARP, IPv4 without options, ICMP echo, UDP. */
#ifndef GUEST_INET_H
#define GUEST_INET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	ETH_DST = 0, ETH_SRC = 6, ETH_TYPE = 12, ETH_HLEN = 14, ETH_MIN = 60,
	ARP_FIXED = 14, ARP_OP = 20, ARP_SHA = 22, ARP_SPA = 28, ARP_THA = 32, ARP_TPA = 38, ARP_END = 42,
	IP_VERSION = 14, IP_TOTAL = 16, IP_FRAGMENT = 20, IP_TTL = 22, IP_PROTOCOL = 23, IP_CHECKSUM = 24, IP_SRC = 26, IP_DST = 30, IP_END = 34, IP_HLEN = 20,
	ICMP_TYPE = 34, ICMP_CHECKSUM = 36, ICMP_END = 42,
	UDP_SRC = 34, UDP_DST = 36, UDP_LENGTH = 38, UDP_CHECKSUM = 40, UDP_END = 42, UDP_HLEN = 8,
};

enum { ETH_TYPE_ARP = 0x0806, ETH_TYPE_IP = 0x0800, IP_ICMP = 1, IP_UDP = 17, PORT_ECHO = 7, PORT_DISCARD = 9 };

static inline uint16_t get_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)get_be16(p) << 16 | get_be16(p + 2);
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}

/* The Internet checksum (RFC 1071) of n bytes: 0 over a range that contains its own right checksum. */
uint16_t inet_checksum(const uint8_t *bytes, size_t n);
/* What a checksum becomes when a 16-bit word that it covers changes (RFC 1624). */
uint16_t inet_checksum_update(uint16_t checksum, uint16_t old, uint16_t new);

/* Fill in the IPv4 header of a frame for `payload` bytes behind it, checksum included. */
void inet_ip_header(uint8_t *frame, uint8_t protocol, uint32_t src, uint32_t dst, uint16_t payload);

/* Is this the start of a whole IPv4 packet without options, not a fragment, that fits in `len` bytes? */
bool inet_ip_plain(const uint8_t *frame, size_t len);

#endif
