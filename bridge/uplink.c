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
#define TX_TRIES 3u       /* bursts that may be refused in part before the rest is dropped: the back end must not wait for a NIC */
#define SEGMENTS_MAX 128u /* packets that one may be cut into: 64 KiB at the smallest MSS in use (536) */
#define DRAIN_EVERY 8u    /* empty polls in a row before a look at the wake-up source: each is a system call, and packets often come one by one */

struct uplink {
	struct bridge_port port; /* first: uplink_tx gets it */
	struct rte_mempool *pool; /* of packets on their way to the driver */
	struct rte_mempool *inner; /* of packets from it; the same, or a DMA device's are copied over */
	struct rte_device *device;
	unsigned socket; /* where the driver's rings are to be */
	uint16_t id;           /* DPDK's port id */
	bool running;
	bool many_segments;    /* the driver takes chained mbufs */
	bool kernel_interface; /* packets may come with a blank checksum */
	unsigned able;         /* OFFLOAD_* that the driver does */
	uint32_t frame_max;    /* bytes of a frame, VLAN tag included */
	uint64_t cut;          /* packets from a kernel interface that were larger than the driver's frames */
	unsigned empty_polls;
	int wake_fd;           /* packet socket, or -1 */
	rte_spinlock_t tx_lock; /* one tx queue for all lcores */
	int intr_fd;           /* the driver's receive interrupt, or -1; not ours to close */
	char name[RTE_ETH_NAME_MAX_LEN];
};

static int fail(char err[256], const char *devargs, int rc, const char *what, const char *todo)
{
	snprintf(err, 256, "uplink %.120s: %s; %s", devargs, what, todo);
	return rc;
}

/* ---- to the wire ---- */

static unsigned send_burst(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned sent = 0;

	bridge_lock(&u->tx_lock);
	for (unsigned i = 0; i < TX_TRIES && sent < n; i++)
		sent += rte_eth_tx_burst(u->id, 0, v + sent, (uint16_t)(n - sent));
	bridge_unlock(&u->tx_lock);
	if (sent < n)
		rte_pktmbuf_free_bulk(v + sent, n - sent);
	return n - sent;
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

/* Make a packet fit for the driver. NULL (and freed) when it cannot be. */
static struct rte_mbuf *fit(struct uplink *u, struct rte_mbuf *m)
{
	bool driver_writes = m->ol_flags & (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG);
	struct rte_mbuf *copy;

	if (m->pkt_len > u->frame_max && !(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
		goto drop;
	if ((m->nb_segs == 1 || u->many_segments) && !(driver_writes && rte_mbuf_refcnt_read(m) > 1))
		return m;
	copy = rte_pktmbuf_copy(m, u->pool, 0, UINT32_MAX);
	rte_pktmbuf_free(m);
	m = copy;
	if (!m || m->nb_segs == 1 || u->many_segments)
		return m;
drop:
	rte_pktmbuf_free(m);
	return NULL;
}

/* Lent bytes are there until tx returns (lent.h), and a driver may keep its packets for long: copy them; likewise what lies where the device cannot reach.
 * NULL (and freed) without memory. */
static struct rte_mbuf *own(struct uplink *u, struct rte_mbuf *m)
{
	struct rte_mbuf *copy;

	if (u->inner == u->pool || lent_is(m))
		return lent_own(m, u->pool);
	copy = rte_pktmbuf_copy(m, u->pool, 0, UINT32_MAX);
	rte_pktmbuf_free(m);
	return copy;
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

	while (u->inner == u->pool && run < n && is_ready(u, pkts[run]))
		run++;
	return run;
}

/* One packet from the bridge, as one or more in v (room for SEGMENTS_MAX); 0 when it is dropped. */
static unsigned make_ready(struct uplink *u, struct rte_mbuf *m, struct rte_mbuf **v)
{
	unsigned n, kept = 0;

	m = own(u, m);
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

/* Copies packets out of the memory of a DMA device; how many are left. */
static unsigned bring_in(struct uplink *u, struct rte_mbuf **v, unsigned n)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(v[i], u->inner, 0, UINT32_MAX);

		rte_pktmbuf_free(v[i]);
		if (copy)
			v[kept++] = copy;
	}
	return kept;
}

unsigned uplink_poll(struct uplink *u)
{
	struct rte_mbuf *v[BRIDGE_BURST];
	unsigned n = rte_eth_rx_burst(u->id, 0, v, BRIDGE_BURST);

	if (!n && ++u->empty_polls % DRAIN_EVERY == 0 && quieten(u))
		n = rte_eth_rx_burst(u->id, 0, v, BRIDGE_BURST); /* what came in between woke nobody */
	if (!n)
		return 0;
	u->empty_polls = 0;
	if (u->kernel_interface)
		n = from_kernel(u, v, n);
	if (u->inner != u->pool)
		n = bring_in(u, v, n);
	bridge_input(&u->port, v, n);
	return n;
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
	const uint64_t csum = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | RTE_ETH_TX_OFFLOAD_UDP_CKSUM;
	uint64_t can = info->tx_offload_capa;

	u->many_segments = can & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf->txmode.offloads = can & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if ((can & csum) != csum)
		return;
	u->able = OFFLOAD_CSUM;
	conf->txmode.offloads |= csum;
	if (u->many_segments && (can & RTE_ETH_TX_OFFLOAD_TCP_TSO)) {
		u->able |= OFFLOAD_TSO4 | OFFLOAD_TSO6;
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
	}
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
	if ((rc = rte_eth_dev_configure(u->id, 1, 1, &conf)) || (rc = rte_eth_dev_adjust_nb_rx_tx_desc(u->id, &rx, &tx)) ||
	    (rc = rte_eth_rx_queue_setup(u->id, 0, rx, u->socket, NULL, u->pool)) ||
	    (rc = rte_eth_tx_queue_setup(u->id, 0, tx, u->socket, NULL)))
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

int uplink_open(struct bridge *b, const char *devargs, struct rte_mempool *pool, struct rte_mempool *dma, struct uplink **out, char err[256])
{
	struct uplink *u = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*u));
	int rc;

	if (!u)
		return fail(err, devargs, -ENOMEM, "no memory", "free some");
	memset(u, 0, sizeof(*u));
	u->inner = pool;
	u->pool = dma ? dma : pool;
	u->socket = dma ? (unsigned)dma->socket_id : (unsigned)SOCKET_ID_ANY;
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
