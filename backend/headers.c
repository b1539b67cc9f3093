/* SPDX-License-Identifier: BSD-3-Clause */
/* Offload wishes: see headers.h. Called by netback_tx.c and netback_rx.c. */
#include "headers.h"
#include <bridge/offload.h>
#include <errno.h>
#include <rte_ip.h>
#include <rte_net.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <sluice/abi.h>

#define PTYPES (RTE_PTYPE_L2_MASK | RTE_PTYPE_L3_MASK | RTE_PTYPE_L4_MASK)

/* The sum that goes into the TCP header's checksum field; with RTE_MBUF_F_TX_TCP_SEG in flags, without the length. */
static uint16_t pseudo_sum(const void *l3, bool v4, uint64_t flags)
{
	return v4 ? rte_ipv4_phdr_cksum(l3, flags) : rte_ipv6_phdr_cksum(l3, flags);
}

/* The headers must all be in the first segment; the others may be memory that the guest still writes to (lent.h), and are not looked at. */
static uint32_t first_segment_ptype(struct rte_mbuf *m, struct rte_net_hdr_lens *lens)
{
	uint32_t whole = m->pkt_len, ptype;

	m->pkt_len = m->data_len;
	ptype = rte_net_get_ptype(m, lens, PTYPES);
	m->pkt_len = whole;
	return ptype;
}

/* Flags and lengths for a blank checksum; *tcp says whether it is TCP. */
static int find_headers(struct rte_mbuf *m, bool *tcp)
{
	struct rte_net_hdr_lens lens = {0};
	uint32_t ptype = first_segment_ptype(m, &lens);
	bool v4 = RTE_ETH_IS_IPV4_HDR(ptype), v6 = RTE_ETH_IS_IPV6_HDR(ptype);
	uint32_t l4 = ptype & RTE_PTYPE_L4_MASK;

	*tcp = l4 == RTE_PTYPE_L4_TCP;
	if ((!v4 && !v6) || (!*tcp && l4 != RTE_PTYPE_L4_UDP))
		return -EBADMSG;
	if (lens.l3_len < (v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr)))
		return -EBADMSG;
	if (lens.l4_len < (*tcp ? sizeof(struct rte_tcp_hdr) : sizeof(struct rte_udp_hdr)))
		return -EBADMSG;
	if ((uint32_t)lens.l2_len + lens.l3_len + lens.l4_len > rte_pktmbuf_data_len(m))
		return -EBADMSG;
	m->l2_len = lens.l2_len;
	m->l3_len = lens.l3_len;
	m->l4_len = lens.l4_len;
	if (m->l2_len != lens.l2_len || m->l3_len != lens.l3_len)
		return -EBADMSG; /* extension headers beyond the mbuf's few bits: the next one to look would find other headers than we did */
	m->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->ol_flags |= *tcp ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	return 0;
}

int headers_from_guest(struct rte_mbuf *m, uint8_t gso_type, uint16_t gso_size)
{
	struct rte_tcp_hdr *th;
	bool tcp, v4;
	int rc = find_headers(m, &tcp);

	if (rc || gso_type == XEN_NETIF_GSO_TYPE_NONE)
		return rc;
	v4 = m->ol_flags & RTE_MBUF_F_TX_IPV4;
	if (!tcp || v4 != (gso_type == XEN_NETIF_GSO_TYPE_TCPV4) || gso_size < OFFLOAD_MSS_MIN)
		return -EBADMSG;
	if ((uint32_t)m->l2_len + m->l3_len + m->l4_len > HEADERS_MAX)
		return -EBADMSG;
	if (m->pkt_len <= (uint32_t)m->l2_len + m->l3_len + m->l4_len + gso_size)
		return 0; /* one segment: nothing to cut */
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | (v4 ? RTE_MBUF_F_TX_IP_CKSUM : 0);
	m->tso_segsz = gso_size;
	th = rte_pktmbuf_mtod_offset(m, struct rte_tcp_hdr *, m->l2_len + m->l3_len);
	th->cksum = pseudo_sum(rte_pktmbuf_mtod_offset(m, void *, m->l2_len), v4, m->ol_flags);
	return 0;
}

unsigned headers_to_guest(const struct rte_mbuf *m, uint8_t out[HEADERS_MAX])
{
	unsigned len = (unsigned)m->l2_len + m->l3_len + m->l4_len;
	bool v4 = m->ol_flags & RTE_MBUF_F_TX_IPV4;
	const void *data;
	uint16_t sum;

	if (len > HEADERS_MAX || m->l4_len < sizeof(struct rte_tcp_hdr))
		return 0;
	data = rte_pktmbuf_read(m, 0, len, out);
	if (!data)
		return 0;
	if (data != out)
		rte_memcpy(out, data, len);
	sum = pseudo_sum(out + m->l2_len, v4, 0);
	memcpy(out + m->l2_len + m->l3_len + offsetof(struct rte_tcp_hdr, cksum), &sum, sizeof(sum));
	return len;
}
