/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Uplinks (uplink.h): a DPDK port as a port of a bridge. Opened and closed here, by backend/main.c; packets for the wire come through uplink_tx.c, from the bridge, and those from it are fetched by
 * the pollers through uplink_rx.c.
 */
#include "offload.h"
#include "uplink_private.h"
#include "wake.h"
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <rte_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DESCRIPTORS 512u

static int fail(char err[256], const char *devargs, int rc, const char *what, const char *todo)
{
	snprintf(err, 256, "uplink %.120s: %s; %s", devargs, what, todo);
	return rc;
}

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

/* A wake-up socket for each queue that there may be: they must be older than the driver's own. */
static int open_wakes(struct uplink *u, const char *devargs, unsigned queues, char err[256])
{
	char ifname[IF_NAMESIZE];
	unsigned ifindex;

	u->kernel_interface = kernel_interface(devargs, ifname);
	if (!u->kernel_interface)
		return 0;
	ifindex = if_nametoindex(ifname);
	if (!ifindex)
		return fail(err, devargs, -ENODEV, "no such interface", "give an existing one (ip link shows them)");
	for (unsigned i = 0; i < queues; i++) {
		int fd = u->queue[i].wake_fd = wake_open(ifindex);

		if (fd == -EPERM)
			return fail(err, devargs, -EPERM, "no permission to open a packet socket", "run as root or with CAP_NET_RAW");
		if (fd < 0)
			return fail(err, devargs, fd, strerror(-fd), "check that the interface is usable (ip link shows it)");
	}
	stop_merging(ifname, u->queue[0].wake_fd);
	return 0;
}

static void close_wakes(struct uplink *u, unsigned from)
{
	for (unsigned i = from; i < BRIDGE_LCORES; i++) {
		if (u->queue[i].wake_fd >= 0)
			close(u->queue[i].wake_fd);
		u->queue[i].wake_fd = -1;
	}
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

/* A queue each way for each of so many lcores, as far as the driver has them; what comes from the wire is spread over them by flow (RSS), by whatever the driver hashes. */
static void choose_queues(struct uplink *u, const struct rte_eth_dev_info *info, unsigned wanted, struct rte_eth_conf *conf)
{
	unsigned most = RTE_MIN(info->max_rx_queues, info->max_tx_queues);

	u->nr_queues = (uint16_t)(most < wanted ? most : wanted);
	if (u->nr_queues == 1)
		return;
	conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP);
	if (conf->rx_adv_conf.rss_conf.rss_hf)
		conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
}

/* Of a queue each way. What all queues hold is half of the packet buffers at most. */
static uint16_t descriptors(const struct uplink *u)
{
	return (uint16_t)rte_align32prevpow2(RTE_MIN(DESCRIPTORS, u->pool->size / (4u * u->nr_queues)));
}

static int set_up_queues(const struct uplink *u)
{
	uint16_t rx = descriptors(u), tx = rx;
	unsigned socket = (unsigned)u->pool->socket_id;
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(u->id, &rx, &tx);

	for (uint16_t i = 0; !rc && i < u->nr_queues; i++) {
		rc = rte_eth_rx_queue_setup(u->id, i, rx, socket, NULL, u->pool);
		if (!rc)
			rc = rte_eth_tx_queue_setup(u->id, i, tx, socket, NULL);
	}
	return rc;
}

/* Configure and start. with_intr: with the receive interrupt, which not every driver has. */
static int start(struct uplink *u, unsigned queues, bool with_intr)
{
	struct rte_eth_conf conf = { .intr_conf = { .rxq = with_intr } };
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(u->id, &info);

	if (rc)
		return rc;
	choose_queues(u, &info, queues, &conf);
	choose_offloads(u, &info, &conf);
	choose_rx_offloads(u, &info, &conf);
	if ((rc = rte_eth_dev_configure(u->id, u->nr_queues, u->nr_queues, &conf)) || (rc = set_up_queues(u)))
		return rc;
	return rte_eth_dev_start(u->id);
}

/* The same with as much of it as the driver can. */
static int start_somehow(struct uplink *u, unsigned queues, bool *with_intr)
{
	bool wanted = *with_intr;
	int rc = start(u, queues, wanted);

	if (rc && wanted) {
		*with_intr = false;
		rc = start(u, queues, false);
	}
	if (!rc || queues == 1)
		return rc;
	*with_intr = wanted;
	return start_somehow(u, 1, with_intr);
}

/* The longest frame that the wire takes. A driver on a kernel interface does not know that interface's MTU. */
static uint32_t frame_max(const struct uplink *u, const char *devargs)
{
	uint16_t mtu = RTE_ETHER_MTU;
	struct ifreq ifr = { 0 };

	rte_eth_dev_get_mtu(u->id, &mtu);
	if (kernel_interface(devargs, ifr.ifr_name) && !ioctl(u->queue[0].wake_fd, SIOCGIFMTU, &ifr))
		mtu = (uint16_t)RTE_MIN(ifr.ifr_mtu, UINT16_MAX);
	return mtu + RTE_ETHER_HDR_LEN + (uint32_t)sizeof(struct rte_vlan_hdr);
}

static int bring_up(struct uplink *u, const char *devargs, unsigned queues, char err[256])
{
	bool with_intr = u->queue[0].wake_fd < 0;
	int rc = start_somehow(u, queues, &with_intr);

	if (rc)
		return fail(err, devargs, rc, rte_strerror(-rc), "the driver cannot start; its arguments or the buffer size do not suit it");
	u->running = true;
	close_wakes(u, u->nr_queues);
	for (uint16_t i = 0; with_intr && i < u->nr_queues; i++) {
		u->queue[i].intr_fd = RTE_MAX(rte_eth_dev_rx_intr_ctl_q_get_fd(u->id, i), -1);
		with_intr = u->queue[i].intr_fd >= 0; /* DPDK complains each time */
	}
	rc = rte_eth_promiscuous_enable(u->id);
	if (rc && rc != -ENOTSUP)
		return fail(err, devargs, rc, "it cannot be made promiscuous", "a bridge needs a device that hears every address");
	u->frame_max = frame_max(u, devargs);
	return 0;
}

int uplink_open(struct bridge *b, const char *devargs, struct rte_mempool *pool, unsigned lcores, struct uplink **out, char err[256])
{
	struct uplink *u = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*u));
	int rc;

	if (!u)
		return fail(err, devargs, -ENOMEM, "no memory", "free some");
	memset(u, 0, sizeof(*u));
	u->pool = pool;
	for (unsigned i = 0; i < BRIDGE_LCORES; i++)
		u->queue[i].wake_fd = u->queue[i].intr_fd = -1;
	snprintf(u->name, sizeof(u->name), "%.*s", (int)RTE_MIN(strcspn(devargs, ","), sizeof(u->name) - 1), devargs);
	u->port.name = u->name;
	u->port.tx = uplink_tx;
	if ((rc = open_wakes(u, devargs, lcores, err)) || (rc = attach(u, devargs, err)) || (rc = bring_up(u, devargs, lcores, err)))
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
	for (unsigned i = 0; i < BRIDGE_LCORES; i++)
		uplink_drop_waiting(&u->queue[i]);
	if (u->running)
		rte_eth_dev_stop(u->id);
	if (u->device) {
		rte_eth_dev_close(u->id);
		rte_dev_remove(u->device);
	}
	close_wakes(u, 0);
	free(u);
}

unsigned uplink_queues(const struct uplink *u)
{
	return u->nr_queues;
}

int uplink_wait_fd(const struct uplink *u, unsigned lcore)
{
	const struct uplink_queue *q = &u->queue[lcore];

	if (lcore >= u->nr_queues)
		return -1;
	return q->wake_fd >= 0 ? q->wake_fd : q->intr_fd;
}
