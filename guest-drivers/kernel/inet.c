/* SPDX-License-Identifier: BSD-3-Clause */
/* Checksums and IPv4 headers. Called by net.c and send.c; also compiled hosted, for its test. */
#include "inet.h"

uint16_t inet_checksum(const uint8_t *bytes, size_t n)
{
	uint64_t sum = 0;

	for (; n > 1; n -= 2, bytes += 2)
		sum += get_be16(bytes);
	if (n)
		sum += (uint32_t)bytes[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

uint16_t inet_checksum_update(uint16_t checksum, uint16_t old, uint16_t new)
{
	uint32_t sum = (uint16_t)~checksum + (uint32_t)(uint16_t)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~(sum + (sum >> 16));
}

void inet_ip_header(uint8_t *frame, uint8_t protocol, uint32_t src, uint32_t dst, uint16_t payload)
{
	frame[IP_VERSION] = 0x45;
	frame[IP_VERSION + 1] = 0;
	put_be16(frame + IP_TOTAL, (uint16_t)(IP_HLEN + payload));
	put_be32(frame + IP_TOTAL + 2, 0x4000); /* id 0, do not fragment */
	frame[IP_TTL] = 64;
	frame[IP_PROTOCOL] = protocol;
	put_be16(frame + IP_CHECKSUM, 0);
	put_be32(frame + IP_SRC, src);
	put_be32(frame + IP_DST, dst);
	put_be16(frame + IP_CHECKSUM, inet_checksum(frame + IP_VERSION, IP_HLEN));
}

bool inet_ip_plain(const uint8_t *frame, size_t len)
{
	uint16_t total = get_be16(frame + IP_TOTAL);

	return len >= IP_END && frame[IP_VERSION] == 0x45 && !(get_be16(frame + IP_FRAGMENT) & 0x3fff) && total >= IP_HLEN &&
	       (size_t)total + ETH_HLEN <= len;
}
