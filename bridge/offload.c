/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Transport checksums in software, and the decision what a packet still needs (offload.h). Segmentation is in offload_tso.c. Called by uplink.c
 * and by netback for front ends that negotiated less than the sender did.
 */
#include "offload.h"
#include "offload_private.h"
#include <errno.h>
#include <rte_ether.h>
#include <rte_net.h>

/* Of an IPv4 header with l3_len bytes at ip; room: bytes of the packet from ip on. Sets l4_len_total and v4. */
static bool check_ipv4(const struct rte_ipv4_hdr *ip, uint32_t room, struct offload_headers *h)
{
	uint32_t total = rte_be_to_cpu_16(ip->total_length);

	if (ip->version != 4 || ip->ihl * 4u != h->l3_len || h->l3_len < sizeof(*ip) || total > room || total < h->l3_len)
		return false;
	if (ip->fragment_offset & rte_cpu_to_be_16(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
		return false; /* no fragment has a transport checksum of its own */
	h->proto = ip->next_proto_id;
	h->l4_bytes = total - h->l3_len;
	return true;
}

static bool check_ipv6(const struct rte_ipv6_hdr *ip, uint32_t room, struct offload_headers *h)
{
	uint32_t payload = rte_be_to_cpu_16(ip->payload_len);

	if (rte_be_to_cpu_32(ip->vtc_flow) >> 28 != 6)
		return false;
	if (h->l3_len != sizeof(*ip) || payload > room - sizeof(*ip))
		return false;
	h->proto = ip->proto;
	h->l4_bytes = payload;
	return true;
}

/* The transport header must be there, as long as the packet's lengths say, and what the wish says. */
static bool check_l4(const struct rte_mbuf *m, struct offload_headers *h)
{
	const struct rte_tcp_hdr *tcp;

	if (h->proto == IPPROTO_UDP) {
		h->csum_at = offsetof(struct rte_udp_hdr, dgram_cksum);
		h->l4_len = sizeof(struct rte_udp_hdr);
		return h->l4_bytes >= h->l4_len && h->l2_len + h->l3_len + h->l4_len <= rte_pktmbuf_data_len(m);
	}
	if (h->proto != IPPROTO_TCP || h->l4_bytes < sizeof(*tcp) ||
	    h->l2_len + h->l3_len + sizeof(*tcp) > rte_pktmbuf_data_len(m))
		return false;
	tcp = rte_pktmbuf_mtod_offset(m, const struct rte_tcp_hdr *, h->l2_len + h->l3_len);
	h->csum_at = offsetof(struct rte_tcp_hdr, cksum);
	h->l4_len = (tcp->data_off >> 4) * 4u;
	return h->l4_len >= sizeof(*tcp) && h->l4_len <= h->l4_bytes &&
	       h->l2_len + h->l3_len + h->l4_len <= rte_pktmbuf_data_len(m);
}

/* Check the headers of m against l2_len and l3_len; they must lie in its first segment. */
static bool find_headers(const struct rte_mbuf *m, struct offload_headers *h)
{
	const void *ip = rte_pktmbuf_mtod_offset(m, const void *, m->l2_len);
	uint32_t room = m->pkt_len - m->l2_len;

	h->l2_len = m->l2_len;
	h->l3_len = m->l3_len;
	h->v4 = m->ol_flags & RTE_MBUF_F_TX_IPV4;
	if (h->l2_len < sizeof(struct rte_ether_hdr))
		return false;
	if (h->l2_len + (h->v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr)) > rte_pktmbuf_data_len(m))
		return false;
	return (h->v4 ? check_ipv4(ip, room, h) : check_ipv6(ip, room, h)) && check_l4(m, h);
}

/* Sum of the pseudo-header, folded and not inverted. */
static uint16_t pseudo_sum(const struct rte_mbuf *m, const struct offload_headers *h)
{
	const void *ip = rte_pktmbuf_mtod_offset(m, const void *, h->l2_len);

	return h->v4 ? rte_ipv4_phdr_cksum(ip, 0) : rte_ipv6_phdr_cksum(ip, 0);
}

static unaligned_uint16_t *csum_field(const struct rte_mbuf *m, const struct offload_headers *h)
{
	return rte_pktmbuf_mtod_offset(m, unaligned_uint16_t *, h->l2_len + h->l3_len + h->csum_at);
}

/*
 * Sum of len bytes from off on, folded; the packet has them. Not rte_raw_cksum_mbuf: in DPDK 22.11 that cuts a segment's sum to 16 bits before it
 * swaps it, so that a segment at an odd place within the sum comes out wrong.
 */
static uint16_t sum_bytes(const struct rte_mbuf *m, uint32_t off, uint32_t len)
{
	uint32_t sum = 0, done = 0;

	for (; m && done < len; m = m->next) {
		uint32_t run;
		uint16_t part;

		if (off >= m->data_len) {
			off -= m->data_len;
			continue;
		}
		run = RTE_MIN(m->data_len - off, len - done);
		part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, const void *, off), run);
		sum += done & 1 ? rte_bswap16(part) : part;
		done += run;
		off = 0;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

void offload_checksum(struct rte_mbuf *m, const struct offload_headers *h)
{
	unaligned_uint16_t *field = csum_field(m, h);
	uint32_t sum;

	*field = 0;
	if (h->v4 && (m->ol_flags & (RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_SEG))) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, h->l2_len);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	sum = (uint32_t)sum_bytes(m, h->l2_len + h->l3_len, h->l4_bytes) + pseudo_sum(m, h);
	sum = (sum & 0xffff) + (sum >> 16);
	*field = (uint16_t)~sum;
	if (!*field && h->proto == IPPROTO_UDP)
		*field = 0xffff; /* 0 would say "no checksum" (RFC 768) */
	m->ol_flags &= ~OFFLOAD_WISHES;
}

/* What the packet wants and the port is not able to do. */
static uint64_t missing(const struct rte_mbuf *m, unsigned able)
{
	uint64_t wants = m->ol_flags & OFFLOAD_WISHES;
	unsigned tso = m->ol_flags & RTE_MBUF_F_TX_IPV4 ? OFFLOAD_TSO4 : OFFLOAD_TSO6;

	if ((wants & RTE_MBUF_F_TX_TCP_SEG) && (able & tso) && (able & OFFLOAD_CSUM))
		return 0;
	return wants & RTE_MBUF_F_TX_TCP_SEG || !(able & OFFLOAD_CSUM) ? wants : 0;
}

/* Headers in one piece and in memory of our own: what was checked is what is used. */
static bool headers_at_hand(const struct rte_mbuf *m)
{
	uint32_t l4 = m->l4_len ? (uint32_t)m->l4_len : (uint32_t)sizeof(struct rte_tcp_hdr);

	return RTE_MBUF_DIRECT(m) && rte_pktmbuf_data_len(m) >= RTE_MIN((uint32_t)m->l2_len + m->l3_len + l4, m->pkt_len);
}

/* A copy in place of m, which is freed; NULL when there is no memory. */
static struct rte_mbuf *replace(struct rte_mbuf *m, struct rte_mempool *pool)
{
	struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);

	rte_pktmbuf_free(m);
	return copy;
}

bool offload_needed(const struct rte_mbuf *pkt, unsigned able)
{
	return missing(pkt, able);
}

unsigned offload_finish(struct rte_mbuf *pkt, unsigned able, struct rte_mempool *pool, struct rte_mbuf **out, unsigned max)
{
	struct offload_headers h;
	unsigned n = 0;

	if (!missing(pkt, able)) {
		out[0] = pkt;
		return 1;
	}
	if (!headers_at_hand(pkt) && !(pkt = replace(pkt, pool)))
		return 0;
	if (!find_headers(pkt, &h))
		goto drop;
	if ((pkt->ol_flags & RTE_MBUF_F_TX_TCP_SEG) && h.l4_bytes > h.l4_len + (uint32_t)pkt->tso_segsz) {
		n = offload_segment(pkt, &h, pool, out, max);
		goto drop;
	}
	if (rte_mbuf_refcnt_read(pkt) > 1 && !(pkt = replace(pkt, pool)))
		return 0;
	offload_checksum(pkt, &h);
	out[0] = pkt;
	return 1;
drop:
	rte_pktmbuf_free(pkt);
	return n;
}

bool offload_find_blank(struct rte_mbuf *pkt)
{
	const uint32_t layers = RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK;
	struct rte_net_hdr_lens lens = { 0 };
	uint32_t type = rte_net_get_ptype(pkt, &lens, layers);
	bool v4 = RTE_ETH_IS_IPV4_HDR(type), tcp = (type & RTE_PTYPE_L4_MASK) == RTE_PTYPE_L4_TCP;
	struct offload_headers h;

	if (!v4 && !RTE_ETH_IS_IPV6_HDR(type))
		return false;
	if (!tcp && (type & RTE_PTYPE_L4_MASK) != RTE_PTYPE_L4_UDP)
		return false;
	pkt->l2_len = lens.l2_len;
	pkt->l3_len = lens.l3_len;
	pkt->l4_len = lens.l4_len;
	pkt->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	if (!find_headers(pkt, &h) || *csum_field(pkt, &h) != pseudo_sum(pkt, &h)) {
		pkt->ol_flags &= ~(RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6);
		return false;
	}
	pkt->ol_flags |= tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	return true;
}

/* A TCP packet with its wish for a checksum, to be cut at tso_segsz. Its checksum field becomes the pseudo-header's sum without the length, as DPDK wants it. */
static bool wish_for_cut(struct rte_mbuf *pkt)
{
	struct offload_headers h;

	if ((pkt->ol_flags & RTE_MBUF_F_TX_L4_MASK) != RTE_MBUF_F_TX_TCP_CKSUM || pkt->tso_segsz < OFFLOAD_MSS_MIN || !find_headers(pkt, &h))
		return false;
	if (h.l4_bytes <= h.l4_len + (uint32_t)pkt->tso_segsz)
		return true; /* one segment: nothing to cut */
	pkt->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (h.v4 ? RTE_MBUF_F_TX_IP_CKSUM : 0);
	*csum_field(pkt, &h) = h.v4 ? rte_ipv4_phdr_cksum(rte_pktmbuf_mtod_offset(pkt, void *, h.l2_len), pkt->ol_flags)
				    : rte_ipv6_phdr_cksum(rte_pktmbuf_mtod_offset(pkt, void *, h.l2_len), pkt->ol_flags);
	return true;
}

bool offload_from_driver(struct rte_mbuf *pkt)
{
	bool large = pkt->ol_flags & RTE_MBUF_F_RX_LRO;
	bool blank = large || (pkt->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;

	if (!blank)
		return true;
	pkt->ol_flags &= ~(RTE_MBUF_F_RX_LRO | RTE_MBUF_F_RX_L4_CKSUM_MASK);
	return offload_find_blank(pkt) ? !large || wish_for_cut(pkt) : !large;
}
