/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TCP segmentation in software, IPv4 and IPv6 (offload_private.h). Not DPDK's rte_gso: that has no IPv6 and leaves all checksums to the NIC, and a port
 * that needs this has none. Payload is copied, so that the segments do not hold a guest's pages.
 */
#include "offload_private.h"

/* Append n bytes of src from `at` on to dst, in new mbufs of pool where its last one is full. */
static bool append(struct rte_mbuf *dst, const struct rte_mbuf *src, uint32_t at, uint32_t n, struct rte_mempool *pool)
{
	struct rte_mbuf *last = rte_pktmbuf_lastseg(dst);

	while (n) {
		uint32_t run = RTE_MIN(n, (uint32_t)rte_pktmbuf_tailroom(last));
		const void *data;
		char *to;

		if (!run) {
			struct rte_mbuf *next = rte_pktmbuf_alloc(pool);

			if (!next || rte_pktmbuf_chain(dst, next)) {
				rte_pktmbuf_free(next);
				return false;
			}
			last = next;
			continue;
		}
		to = rte_pktmbuf_mtod_offset(last, char *, last->data_len);
		data = rte_pktmbuf_read(src, at, run, to);
		if (!data)
			return false;
		if (data != to)
			memcpy(to, data, run);
		last->data_len = (uint16_t)(last->data_len + run);
		dst->pkt_len += run;
		at += run;
		n -= run;
	}
	return true;
}

/* Lengths, sequence number and flags of the segment that starts `from` bytes into the payload. */
static void fix_headers(struct rte_mbuf *seg, struct offload_headers *h, uint32_t from, uint32_t bytes, uint16_t number, bool last)
{
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(seg, struct rte_tcp_hdr *, h->l2_len + h->l3_len);

	h->l4_bytes = h->l4_len + bytes;
	if (h->v4) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(seg, struct rte_ipv4_hdr *, h->l2_len);

		ip->total_length = rte_cpu_to_be_16((uint16_t)(h->l3_len + h->l4_bytes));
		ip->packet_id = rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + number));
	} else {
		struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(seg, struct rte_ipv6_hdr *, h->l2_len);

		ip->payload_len = rte_cpu_to_be_16((uint16_t)h->l4_bytes);
	}
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + from);
	if (!last)
		tcp->tcp_flags &= (uint8_t)~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (number)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG; /* said once (RFC 3168) */
}

static struct rte_mbuf *one_segment(const struct rte_mbuf *pkt, const struct offload_headers *h, struct rte_mempool *pool, uint16_t number)
{
	uint32_t headers = h->l2_len + h->l3_len + h->l4_len;
	uint32_t from = (uint32_t)number * pkt->tso_segsz, rest = h->l4_bytes - h->l4_len - from;
	uint32_t bytes = RTE_MIN(rest, (uint32_t)pkt->tso_segsz);
	struct rte_mbuf *seg = rte_pktmbuf_alloc(pool);
	struct offload_headers own = *h;

	if (!seg)
		return NULL;
	if (rte_pktmbuf_tailroom(seg) < headers || !append(seg, pkt, 0, headers, pool) || !append(seg, pkt, headers + from, bytes, pool))
		goto fail;
	fix_headers(seg, &own, from, bytes, number, bytes == rest);
	seg->ol_flags = (pkt->ol_flags & (RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6)) | RTE_MBUF_F_TX_TCP_CKSUM |
			(h->v4 ? RTE_MBUF_F_TX_IP_CKSUM : 0);
	seg->tx_offload = pkt->tx_offload;
	seg->tso_segsz = 0;
	offload_checksum(seg, &own);
	return seg;
fail:
	rte_pktmbuf_free(seg);
	return NULL;
}

unsigned offload_segment(const struct rte_mbuf *pkt, const struct offload_headers *h, struct rte_mempool *pool, struct rte_mbuf **out,
			 unsigned max)
{
	uint32_t payload = h->l4_bytes - h->l4_len, count;

	if (!pkt->tso_segsz || h->proto != IPPROTO_TCP)
		return 0;
	count = (payload + pkt->tso_segsz - 1) / pkt->tso_segsz;
	if (count > max) /* a guest that asks for segments of a few bytes */
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		out[i] = one_segment(pkt, h, pool, (uint16_t)i);
		if (!out[i]) {
			rte_pktmbuf_free_bulk(out, i);
			return 0;
		}
	}
	return count;
}
