/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * To the wire: the bridge's tx of an uplink. What the NIC cannot do for packets is done in software (offload.c); what it has no room for waits a while. Each lcore has a
 * queue of the NIC's of its own, as far as there are as many.
 */
#include "lent.h"
#include "offload.h"
#include "uplink_private.h"
#include <rte_ip.h>
#include <string.h>

#define TX_TRIES 3u       /* bursts that may be refused in part before the rest waits */
#define STALL_US 10000u   /* a driver that takes nothing for so long loses what waits, and nothing more waits until it takes something: its link is down, or it hangs */
#define SEGMENTS_MAX 128u /* packets that one may be cut into: 64 KiB at the smallest MSS in use (536) */

/* How many the driver took. */
static unsigned give(struct uplink *u, uint16_t queue, struct rte_mbuf **v, unsigned n)
{
	struct uplink_queue *q = &u->queue[queue];
	unsigned sent = 0;

	for (unsigned i = 0; i < TX_TRIES && sent < n; i++)
		sent += rte_eth_tx_burst(u->id, queue, v + sent, (uint16_t)(n - sent));
	if (sent) {
		q->moved = rte_rdtsc();
		q->stalled = false;
	}
	return sent;
}

static uint32_t nr_waiting(const struct uplink_queue *q)
{
	return __atomic_load_n(&q->wait_tail, __ATOMIC_RELAXED) - __atomic_load_n(&q->wait_head, __ATOMIC_RELAXED);
}

/* The first n of what waits do so no longer. */
static void dequeue(struct uplink_queue *q, unsigned n)
{
	uint32_t head = q->wait_head;

	for (unsigned i = 0; i < n; i++)
		q->wait_segs -= q->segs[(head + i) % UPLINK_WAIT_PACKETS];
	__atomic_store_n(&q->wait_head, head + n, __ATOMIC_RELAXED);
}

/* What waits goes before anything else. Whoever holds back for that is told when all of it has gone. */
static void give_waiting(struct uplink *u, uint16_t queue)
{
	struct uplink_queue *q = &u->queue[queue];

	while (nr_waiting(q)) {
		unsigned at = q->wait_head % UPLINK_WAIT_PACKETS, n = RTE_MIN(nr_waiting(q), UPLINK_WAIT_PACKETS - at), sent = give(u, queue, &q->waiting[at], n);

		dequeue(q, sent);
		if (sent < n)
			return;
		if (!nr_waiting(q))
			bridge_relieve(u->port.bridge);
	}
}

/* How many of them may wait, and do. All that wait for an uplink have an eighth of the packet buffers at most: the others are for those who do not wait (XSA-392). */
static unsigned keep(const struct uplink *u, struct uplink_queue *q, struct rte_mbuf **v, unsigned n)
{
	uint32_t most_segs = (u->pool->size + 1) / (8u * u->nr_queues), tail = q->wait_tail;
	unsigned most = q->stalled ? 0 : RTE_MIN(n, UPLINK_WAIT_PACKETS - nr_waiting(q)), kept;

	if (most && !nr_waiting(q))
		q->moved = rte_rdtsc();
	for (kept = 0; kept < most && q->wait_segs + v[kept]->nb_segs <= most_segs; kept++, tail++) {
		q->waiting[tail % UPLINK_WAIT_PACKETS] = v[kept];
		q->segs[tail % UPLINK_WAIT_PACKETS] = v[kept]->nb_segs;
		q->wait_segs += v[kept]->nb_segs;
	}
	__atomic_store_n(&q->wait_tail, tail, __ATOMIC_RELAXED);
	return kept;
}

/* How many were lost. */
static unsigned send_burst(struct uplink *u, uint16_t queue, struct rte_mbuf **v, unsigned n)
{
	struct uplink_queue *q = &u->queue[queue];
	unsigned done;

	bridge_lock(&q->tx_lock);
	give_waiting(u, queue);
	done = nr_waiting(q) ? 0 : give(u, queue, v, n);
	done += keep(u, q, v + done, n - done);
	bridge_unlock(&q->tx_lock);
	if (nr_waiting(q))
		bridge_crowd(u->port.bridge, STALL_US);
	if (done < n)
		rte_pktmbuf_free_bulk(v + done, n - done);
	return n - done;
}

void uplink_drop_waiting(struct uplink_queue *q)
{
	uint32_t head = q->wait_head;

	for (; head != q->wait_tail; head++)
		rte_pktmbuf_free(q->waiting[head % UPLINK_WAIT_PACKETS]);
	dequeue(q, nr_waiting(q));
}

bool uplink_send_waiting(struct uplink *u, unsigned queue)
{
	struct uplink_queue *q = &u->queue[queue];

	if (!nr_waiting(q))
		return false;
	bridge_lock(&q->tx_lock);
	give_waiting(u, (uint16_t)queue);
	if (nr_waiting(q) && rte_rdtsc() - q->moved > STALL_US * (rte_get_tsc_hz() / 1000000)) {
		uplink_drop_waiting(q);
		q->stalled = true;
		bridge_relieve(u->port.bridge);
	}
	bridge_unlock(&q->tx_lock);
	return true;
}

/* Let the driver write into packets whose checksums or segments it makes; returns how many it refused. *n becomes how many are left. */
static unsigned driver_prepare(const struct uplink *u, uint16_t queue, struct rte_mbuf **v, unsigned *n)
{
	unsigned at = 0, refused = 0;

	while (at < *n) {
		at += rte_eth_tx_prepare(u->id, queue, v + at, (uint16_t)(*n - at));
		if (at == *n)
			break;
		rte_pktmbuf_free(v[at]);
		memmove(v + at, v + at + 1, (*n - at - 1) * sizeof(*v));
		--*n;
		refused++;
	}
	return refused;
}

/* For a driver that does all but that (net_virtio). The packet is ours alone: the driver writes into it. */
static void sum_ip(struct rte_mbuf *m)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, m->l2_len);

	ip->hdr_checksum = 0;
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	m->ol_flags &= ~RTE_MBUF_F_TX_IP_CKSUM;
}

/* Make a packet fit for the driver. NULL (and freed) when it cannot be. */
static struct rte_mbuf *fit(struct uplink *u, struct rte_mbuf *m)
{
	bool driver_writes = m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG);
	struct rte_mbuf *copy;

	if (m->pkt_len > u->frame_max && !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		goto drop;
	if ((m->nb_segs > 1 && !u->many_segments) || (driver_writes && rte_mbuf_refcnt_read(m) > 1)) {
		copy = rte_pktmbuf_copy(m, u->pool, 0, UINT32_MAX);
		rte_pktmbuf_free(m);
		m = copy;
		if (!m || (m->nb_segs > 1 && !u->many_segments))
			goto drop;
	}
	if (u->sums_no_ip && (m->ol_flags & RTE_MBUF_F_TX_IP_CKSUM))
		sum_ip(m);
	return m;
drop:
	rte_pktmbuf_free(m);
	return NULL;
}

/* Does it go out as it is? */
static inline bool is_ready(const struct uplink *u, const struct rte_mbuf *m)
{
	return m->nb_segs == 1 && !(m->ol_flags & (OFFLOAD_WISHES | lent_flag)) && m->pkt_len <= u->frame_max;
}

/* Packets from the first on that do, as nearly all: how many. */
static unsigned ready_run(const struct uplink *u, struct rte_mbuf **pkts, unsigned n)
{
	unsigned run = 0;

	while (run < n && is_ready(u, pkts[run]))
		run++;
	return run;
}

/* One packet from the bridge, as one or more in v (room for SEGMENTS_MAX); 0 when it is dropped. */
static unsigned make_ready(struct uplink *u, struct rte_mbuf *m, struct rte_mbuf **v)
{
	unsigned n, kept = 0;

	m = lent_own(m, u->pool); /* lent bytes are there until tx returns (lent.h), and a driver may keep its packets for long */
	if (!m)
		return 0;
	n = offload_finish(m, u->able, u->pool, v, SEGMENTS_MAX);
	for (unsigned i = 0; i < n; i++) {
		v[kept] = fit(u, v[i]);
		kept += v[kept] != NULL;
	}
	return kept;
}

static unsigned flush(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	uint16_t queue = (uint16_t)(bridge_lcore() % u->nr_queues);
	unsigned refused = u->able ? driver_prepare(u, queue, v, &n) : 0;

	return refused + send_burst(u, queue, v, n);
}

/* Packets that need more than to be handed on, or lie among such. How many were lost. */
static unsigned send_made_ready(struct uplink *u, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *ready[BRIDGE_BURST + SEGMENTS_MAX];
	unsigned have = 0, lost = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k = make_ready(u, pkts[i], ready + have);

		lost += !k;
		have += k;
		if (have >= BRIDGE_BURST) {
			lost += flush(u, ready, have);
			have = 0;
		}
	}
	return have ? lost + flush(u, ready, have) : lost;
}

unsigned uplink_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n)
{
	struct uplink *u = (struct uplink *)port;
	unsigned run = ready_run(u, pkts, n), lost = run ? flush(u, pkts, run) : 0;

	if (run < n)
		lost += send_made_ready(u, pkts + run, n - run);
	return lost < n ? n - lost : 0;
}
