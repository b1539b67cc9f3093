/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Uplinks (uplink.h): a DPDK port as a port of a bridge. Opened by backend/main.c, polled by its poller. Packets for the wire come through the
 * bridge's tx call; what the NIC cannot do for them is done in software (offload.c).
 */
#include "uplink.h"
#include "lent.h"
#include "offload.h"
#include "wake.h"
#include <errno.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_DESCRIPTORS 512
#define TX_DESCRIPTORS 512
#define TX_TRIES 3u       /* bursts that may be refused in part before the rest waits */
#define WAIT_PACKETS 256u /* that may wait for a driver without room; a power of two */
#define STALL_US 10000u   /* a driver that takes nothing for so long loses what waits, and nothing more waits until it takes something: its link is down, or it hangs */
#define SEGMENTS_MAX 128u /* packets that one may be cut into: 64 KiB at the smallest MSS in use (536) */
#define DRAIN_EVERY 8u    /* empty polls in a row before a look at the wake-up source: each is a system call, and packets often come one by one */

struct uplink {
	struct bridge_port port; /* first: uplink_tx gets it */
	struct rte_mempool *pool; /* of all packets, and its socket is where the driver's rings are to be */
	struct rte_device *device;
	uint16_t id;           /* DPDK's port id */
	bool running;
	bool many_segments;    /* the driver takes chained mbufs */
	bool kernel_interface; /* packets may come with a blank checksum */
	bool whole_packets;    /* and these may also be larger than frames; the driver says which */
	unsigned able;         /* OFFLOAD_* that the driver does */
	bool sums_no_ip;       /* but for the sum of an IPv4 header */
	uint32_t frame_max;    /* bytes of a frame, VLAN tag included */
	uint64_t cut;          /* packets from a kernel interface that were larger than the driver's frames */
	unsigned empty_polls;
	int wake_fd;           /* packet socket, or -1 */
	rte_spinlock_t tx_lock; /* one tx queue for all lcores; and what follows */
	uint32_t wait_head, wait_tail; /* free-running */
	bool stalled;
	uint64_t moved;        /* TSC: the driver took something, or the first began to wait */
	struct rte_mbuf *waiting[WAIT_PACKETS];
	int intr_fd;           /* the driver's receive interrupt, or -1; not ours to close */
	char name[RTE_ETH_NAME_MAX_LEN];
};

static int fail(char err[256], const char *devargs, int rc, const char *what, const char *todo)
{
	snprintf(err, 256, "uplink %.120s: %s; %s", devargs, what, todo);
	return rc;
}

/* ---- to the wire ---- */

/* How many the driver took. */
static unsigned give(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < TX_TRIES && sent < n; i++)
		sent += rte_eth_tx_burst(u->id, 0, v + sent, (uint16_t)(n - sent));
	if (sent) {
		u->moved = rte_rdtsc();
		u->stalled = false;
	}
	return sent;
}

static uint32_t nr_waiting(const struct uplink *u)
{
	return __atomic_load_n(&u->wait_tail, __ATOMIC_RELAXED) - __atomic_load_n(&u->wait_head, __ATOMIC_RELAXED);
}

/* What waits goes before anything else. Whoever holds back for that is told when all of it has gone. */
static void give_waiting(struct uplink *u)
{
	while (nr_waiting(u)) {
		unsigned at = u->wait_head % WAIT_PACKETS, n = RTE_MIN(nr_waiting(u), WAIT_PACKETS - at), sent = give(u, &u->waiting[at], n);

		__atomic_store_n(&u->wait_head, u->wait_head + sent, __ATOMIC_RELAXED);
		if (sent < n)
			return;
		if (!nr_waiting(u))
			bridge_relieve(u->port.bridge);
	}
}

/* How many of them may wait, and do. */
static unsigned keep(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned kept = u->stalled ? 0 : RTE_MIN(n, WAIT_PACKETS - nr_waiting(u));

	if (kept && !nr_waiting(u))
		u->moved = rte_rdtsc();
	for (unsigned i = 0; i < kept; i++)
		u->waiting[(u->wait_tail + i) % WAIT_PACKETS] = v[i];
	__atomic_store_n(&u->wait_tail, u->wait_tail + kept, __ATOMIC_RELAXED);
	return kept;
}

/* How many were lost. */
static unsigned send_burst(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned done;

	bridge_lock(&u->tx_lock);
	give_waiting(u);
	done = nr_waiting(u) ? 0 : give(u, v, n);
	done += keep(u, v + done, n - done);
	bridge_unlock(&u->tx_lock);
	if (nr_waiting(u))
		bridge_crowd(u->port.bridge, STALL_US);
	if (done < n)
		rte_pktmbuf_free_bulk(v + done, n - done);
	return n - done;
}

static void drop_waiting(struct uplink *u)
{
	uint32_t head = u->wait_head;

	for (; head != u->wait_tail; head++)
		rte_pktmbuf_free(u->waiting[head % WAIT_PACKETS]);
	__atomic_store_n(&u->wait_head, head, __ATOMIC_RELAXED);
}

/* True while some wait: the poller is not to sleep then. */
static bool send_waiting(struct uplink *u)
{
	if (!nr_waiting(u))
		return false;
	bridge_lock(&u->tx_lock);
	give_waiting(u);
	if (nr_waiting(u) && rte_rdtsc() - u->moved > STALL_US * (rte_get_tsc_hz() / 1000000)) {
		drop_waiting(u);
		u->stalled = true;
		bridge_relieve(u->port.bridge);
	}
	bridge_unlock(&u->tx_lock);
	return true;
}

/* Let the driver write into packets whose checksums or segments it makes; returns how many it refused. *n becomes how many are left. */
static unsigned driver_prepare(struct uplink *u, struct rte_mbuf **v, unsigned *n)
{
	unsigned at = 0, refused = 0;

	while (at < *n) {
		at += rte_eth_tx_prepare(u->id, 0, v + at, (uint16_t)(*n - at));
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
	unsigned refused = u->able ? driver_prepare(u, v, &n) : 0;

	return refused + send_burst(u, v, n);
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

static unsigned uplink_tx(struct bridge_port *port, struct rte_mbuf **pkts, unsigned n)
{
	struct uplink *u = (struct uplink *)port;
	unsigned run = ready_run(u, pkts, n), lost = run ? flush(u, pkts, run) : 0;

	if (run < n)
		lost += send_made_ready(u, pkts + run, n - run);
	return lost < n ? n - lost : 0;
}

/* ---- from the wire ---- */

/* Nothing came: make the wake-up source silent until something comes. True when it had told of something. */
static bool quieten(struct uplink *u)
{
	uint64_t count;

	if (u->wake_fd >= 0)
		return wake_drain(u->wake_fd);
	if (u->intr_fd < 0 || rte_eth_dev_rx_intr_enable(u->id, 0) == -ENOTSUP)
		return false; /* or, without a switch, its fd is readable just as long as packets wait (net_tap) */
	return read(u->intr_fd, &count, sizeof(count)) > 0;
}

/*
 * A driver on a kernel interface hands on as much of a packet as fits its frames: what Linux has merged, or not cut up yet, loses its end without a word. True when the IP
 * header, in an untagged packet, tells of more bytes than are there.
 */
static bool is_cut(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *eth = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *v4 = (const void *)(eth + 1);
	const struct rte_ipv6_hdr *v6 = (const void *)(eth + 1);

	if (m->data_len >= sizeof(*eth) + sizeof(*v4) && eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))
		return sizeof(*eth) + rte_be_to_cpu_16(v4->total_length) > m->pkt_len;
	if (m->data_len >= sizeof(*eth) + sizeof(*v6) && eth->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return sizeof(*eth) + sizeof(*v6) + rte_be_to_cpu_16(v6->payload_len) > m->pkt_len;
	return false;
}

/* Drops those that were cut, and says so at the first, second, fourth, eighth... Finds blank checksums in the rest; how many these are. */
static unsigned from_kernel(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!is_cut(v[i])) {
			offload_find_blank(v[i]);
			v[kept++] = v[i];
			continue;
		}
		rte_pktmbuf_free(v[i]);
		u->cut++;
		if (!(u->cut & (u->cut - 1)))
			RTE_LOG(ERR, USER1, "uplink %s: %" PRIu64 " packets were larger than its frames and are lost; switch segmentation offload off at their sender (ethtool -K IFACE tso off gso off)\n",
				u->name, u->cut);
	}
	return kept;
}

/* Packets that may be larger than frames, or have blank checksums. Drops what says of itself what it is not; how many are left. */
static unsigned from_driver(struct rte_mbuf **v, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (offload_from_driver(v[i]))
			v[kept++] = v[i];
		else
			rte_pktmbuf_free(v[i]);
	}
	return kept;
}

/* One burst from the wire; `sends`: packets to it wait, so the poller comes again at once. */
static unsigned receive(struct uplink *u, bool sends)
{
	struct rte_mbuf *v[BRIDGE_BURST];
	unsigned n = rte_eth_rx_burst(u->id, 0, v, BRIDGE_BURST);

	if (!n && !sends && ++u->empty_polls % DRAIN_EVERY == 0 && quieten(u))
		n = rte_eth_rx_burst(u->id, 0, v, BRIDGE_BURST); /* what came in between woke nobody */
	if (!n)
		return 0;
	u->empty_polls = 0;
	if (u->kernel_interface)
		n = from_kernel(u, v, n);
	else if (u->whole_packets)
		n = from_driver(v, n);
	bridge_input(&u->port, v, n);
	return n;
}

unsigned uplink_poll(struct uplink *u)
{
	bool sends = send_waiting(u);

	return receive(u, sends) + sends;
}

int uplink_wait_fd(struct uplink *u)
{
	return u->wake_fd >= 0 ? u->wake_fd : u->intr_fd;
}

/* ---- opening and closing ---- */

/* The kernel interface that the driver takes its packets from; false when the driver is of another kind. net_tap's iface is one that it makes. */
static bool kernel_interface(const char *devargs, char ifname[IF_NAMESIZE])
{
	static const char *const drivers[] = { "net_af_packet", "net_af_xdp", "net_pcap" };
	const char *at = strstr(devargs, ",iface=");
	size_t len;

	for (unsigned i = 0; at && i < RTE_DIM(drivers); i++) {
		if (strncmp(devargs, drivers[i], strlen(drivers[i])))
			continue;
		at += strlen(",iface=");
		len = strcspn(at, ",");
		snprintf(ifname, IF_NAMESIZE, "%.*s", (int)RTE_MIN(len, (size_t)IF_NAMESIZE - 1), at);
		return len < IF_NAMESIZE || (ifname[0] = '\0', true); /* too long a name names nothing */
	}
	return false;
}

/* The packets that Linux would merge do not fit the driver's frames. An interface that knows no such thing refuses, and is as well. */
static void stop_merging(const char *ifname, int sock)
{
	struct ethtool_value gro = { .cmd = ETHTOOL_SGRO }, flags = { .cmd = ETHTOOL_GFLAGS };
	struct ifreq ifr = { .ifr_data = (char *)&gro };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	ioctl(sock, SIOCETHTOOL, &ifr);
	ifr.ifr_data = (char *)&flags;
	if (ioctl(sock, SIOCETHTOOL, &ifr) || !(flags.data & ETH_FLAG_LRO))
		return;
	flags = (struct ethtool_value){ .cmd = ETHTOOL_SFLAGS, .data = flags.data & ~ETH_FLAG_LRO };
	ioctl(sock, SIOCETHTOOL, &ifr);
}

static int open_wake(struct uplink *u, const char *devargs, char err[256])
{
	char ifname[IF_NAMESIZE];
	unsigned ifindex;

	u->kernel_interface = kernel_interface(devargs, ifname);
	if (!u->kernel_interface)
		return 0;
	ifindex = if_nametoindex(ifname);
	if (!ifindex)
		return fail(err, devargs, -ENODEV, "no such interface", "give an existing one (ip link shows them)");
	u->wake_fd = wake_open(ifindex);
	if (u->wake_fd == -EPERM)
		return fail(err, devargs, -EPERM, "no permission to open a packet socket", "run as root or with CAP_NET_RAW");
	if (u->wake_fd < 0)
		return fail(err, devargs, u->wake_fd, strerror(-u->wake_fd), "check that the interface is usable (ip link shows it)");
	stop_merging(ifname, u->wake_fd);
	return 0;
}

static bool find_port(struct uplink *u, const char *devargs)
{
	struct rte_dev_iterator it;

	if (rte_eth_iterator_init(&it, devargs))
		return false;
	u->id = rte_eth_iterator_next(&it);
	if (u->id != RTE_MAX_ETHPORTS)
		rte_eth_iterator_cleanup(&it);
	return u->id != RTE_MAX_ETHPORTS;
}

/* Attach the device, find its port and make it ours. */
static int attach(struct uplink *u, const char *devargs, char err[256])
{
	struct rte_eth_dev_owner owner = { .name = "uplink" };
	struct rte_eth_dev_info info;
	int rc = 0;

	if (!find_port(u, devargs)) /* a PCI device is found when DPDK starts */
		rc = rte_dev_probe(devargs);
	if (rc && rc != -EEXIST)
		return fail(err, devargs, rc, "DPDK cannot attach it", "check the driver's name and its arguments (the log lines above say more)");
	if (!find_port(u, devargs))
		return fail(err, devargs, -ENODEV, "the device has no Ethernet port", "give a network device");
	rc = rte_eth_dev_info_get(u->id, &info);
	if (rc)
		return fail(err, devargs, rc, "the driver does not answer", "detach the device from whatever else uses it");
	if (rte_eth_dev_owner_new(&owner.id) || rte_eth_dev_owner_set(u->id, &owner))
		return fail(err, devargs, -EEXIST, "that device is in use already", "give each uplink a name of its own");
	u->device = info.device; /* from here on ours to close */
	return 0;
}

static void choose_offloads(struct uplink *u, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t csum = RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	uint64_t can = info->tx_offload_capa;

	u->many_segments = can & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf->txmode.offloads = can & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if ((can & csum) != csum)
		return;
	u->able = OFFLOAD_CSUM;
	u->sums_no_ip = !(can & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
	conf->txmode.offloads |= can & (csum | RTE_ETH_TX_OFFLOAD_IPV4_CKSUM);
	if (u->many_segments && (can & RTE_ETH_TX_OFFLOAD_TCP_TSO)) {
		u->able |= OFFLOAD_TSO4 | OFFLOAD_TSO6;
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
	}
}

/*
 * What a NIC merges (LRO) has been frames, whose boundaries a bridge must keep. Not so with virtio: what comes there larger than a frame, or with a blank checksum, left
 * another machine's Linux like that, and is handed on like that.
 */
static void choose_rx_offloads(struct uplink *u, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t whole = RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_TCP_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;

	u->whole_packets = !strcmp(info->driver_name, "net_virtio") && (info->rx_offload_capa & whole) == whole;
	if (u->whole_packets)
		conf->rxmode.offloads |= whole;
}

/* Configure one queue each way and start; with_intr: with the receive interrupt, which not every driver has. */
static int start(struct uplink *u, bool with_intr)
{
	struct rte_eth_conf conf = { .intr_conf = { .rxq = with_intr } };
	uint16_t rx = RX_DESCRIPTORS, tx = TX_DESCRIPTORS;
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(u->id, &info);

	if (rc)
		return rc;
	choose_offloads(u, &info, &conf);
	choose_rx_offloads(u, &info, &conf);
	if ((rc = rte_eth_dev_configure(u->id, 1, 1, &conf)) || (rc = rte_eth_dev_adjust_nb_rx_tx_desc(u->id, &rx, &tx)) ||
	    (rc = rte_eth_rx_queue_setup(u->id, 0, rx, (unsigned)u->pool->socket_id, NULL, u->pool)) ||
	    (rc = rte_eth_tx_queue_setup(u->id, 0, tx, (unsigned)u->pool->socket_id, NULL)))
		return rc;
	return rte_eth_dev_start(u->id);
}

/* The longest frame that the wire takes. A driver on a kernel interface does not know that interface's MTU. */
static uint32_t frame_max(const struct uplink *u, const char *devargs)
{
	uint16_t mtu = RTE_ETHER_MTU;
	struct ifreq ifr = { 0 };

	rte_eth_dev_get_mtu(u->id, &mtu);
	if (kernel_interface(devargs, ifr.ifr_name) && !ioctl(u->wake_fd, SIOCGIFMTU, &ifr))
		mtu = (uint16_t)RTE_MIN(ifr.ifr_mtu, UINT16_MAX);
	return mtu + RTE_ETHER_HDR_LEN + (uint32_t)sizeof(struct rte_vlan_hdr);
}

static int bring_up(struct uplink *u, const char *devargs, char err[256])
{
	bool with_intr = u->wake_fd < 0;
	int rc = start(u, with_intr);

	if (rc && with_intr) {
		with_intr = false;
		rc = start(u, false);
	}
	if (rc)
		return fail(err, devargs, rc, rte_strerror(-rc), "the driver cannot start; its arguments or the buffer size do not suit it");
	u->running = true;
	if (with_intr)
		u->intr_fd = RTE_MAX(rte_eth_dev_rx_intr_ctl_q_get_fd(u->id, 0), -1);
	rc = rte_eth_promiscuous_enable(u->id);
	if (rc && rc != -ENOTSUP)
		return fail(err, devargs, rc, "it cannot be made promiscuous", "a bridge needs a device that hears every address");
	u->frame_max = frame_max(u, devargs);
	return 0;
}

int uplink_open(struct bridge *b, const char *devargs, struct rte_mempool *pool, struct uplink **out, char err[256])
{
	struct uplink *u = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*u));
	int rc;

	if (!u)
		return fail(err, devargs, -ENOMEM, "no memory", "free some");
	memset(u, 0, sizeof(*u));
	u->pool = pool;
	u->wake_fd = u->intr_fd = -1;
	snprintf(u->name, sizeof(u->name), "%.*s", (int)RTE_MIN(strcspn(devargs, ","), sizeof(u->name) - 1), devargs);
	u->port.name = u->name;
	u->port.tx = uplink_tx;
	if ((rc = open_wake(u, devargs, err)) || (rc = attach(u, devargs, err)) || (rc = bring_up(u, devargs, err)))
		goto fail;
	rc = bridge_add_port(b, &u->port);
	if (rc) {
		fail(err, devargs, rc, "the bridge has no port left", "use fewer uplinks and vifs");
		goto fail;
	}
	*out = u;
	return 0;
fail:
	uplink_close(u);
	return rc;
}

void uplink_close(struct uplink *u)
{
	if (!u)
		return;
	bridge_remove_port(&u->port);
	drop_waiting(u);
	if (u->running)
		rte_eth_dev_stop(u->id);
	if (u->device) {
		rte_eth_dev_close(u->id);
		rte_dev_remove(u->device);
	}
	if (u->wake_fd >= 0)
		close(u->wake_fd);
	free(u);
}
