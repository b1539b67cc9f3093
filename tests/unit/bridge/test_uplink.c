/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bridge/uplink.c and wake.c: uplinks that cannot be, a looped-back port (net_ring), a veth pair and a TAP in a network namespace of the test's own.
 * What needs root is skipped without it, and says so.
 */
#include "bridge_test.h"
#include <arpa/inet.h>
#include <bridge/offload.h>
#include <bridge/uplink.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool own_namespace;
static struct bridge *b;
static struct fake_port vif;

static int set_up(void **state)
{
	own_namespace = geteuid() == 0 && unshare(CLONE_NEWNET) == 0;
	if (own_namespace && system("echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6 2>/dev/null"))
		print_message("IPv6 stays on: its packets will come, too\n");
	return start_dpdk(state);
}

static int create(void **state)
{
	(void)state;
	b = bridge_create("uplink", 300);
	if (!b)
		return -1;
	fake_add(b, &vif);
	return 0;
}

static int destroy(void **state)
{
	fake_empty(&vif);
	bridge_remove_port(&vif.port);
	bridge_destroy(b);
	return no_mbuf_lost(state);
}

static void need_namespace(void)
{
	if (own_namespace)
		return;
	print_message("skipped: needs root for a network namespace\n");
	skip();
}

static void run(const char *command)
{
	if (system(command))
		fail_msg("failed: %s", command);
}

static struct uplink *open_for(unsigned lcores, const char *devargs)
{
	struct uplink *u = NULL;
	char err[256] = "";

	if (uplink_open(b, devargs, pool, lcores, &u, err))
		fail_msg("%s", err);
	return u;
}

static struct uplink *open_or_fail(const char *devargs)
{
	return open_for(1, devargs);
}

static void expect_error(const char *devargs, int rc, const char *words)
{
	struct uplink *u = NULL;
	char err[256] = "";
	int got = uplink_open(b, devargs, pool, 1, &u, err);

	if (!strstr(err, words))
		fail_msg("\"%s\" does not say \"%s\"", err, words);
	assert_true(rc ? got == rc : got < 0);
	assert_null(strchr(err, '\n'));
	assert_null(u);
}

static void test_errors(void **state)
{
	char long_args[400] = "net_af_packet0,iface=";

	(void)state;
	memset(long_args + strlen(long_args), 'x', 300);
	expect_error("net_af_packet0,iface=nope", -ENODEV, "uplink net_af_packet0,iface=nope: no such interface; give an existing one (ip link shows them)");
	expect_error("net_af_xdp3,iface=nope0,start_queue=0", -ENODEV, "no such interface");
	expect_error(long_args, -ENODEV, "no such interface");
	expect_error("net_af_packet0,iface=", -ENODEV, "no such interface");
	expect_error("net_nosuchdriver0", 0, "DPDK cannot attach it");
	expect_error("0000:ff:1f.7", 0, "DPDK cannot attach it");
	expect_error("", 0, "uplink ");
	uplink_close(NULL);
}

/* Of an untagged IPv4 packet without options, in one segment. */
static bool udp_sum_is_right(struct rte_mbuf *m)
{
	struct rte_udp_hdr *udp = rte_pktmbuf_mtod_offset(m, struct rte_udp_hdr *, 34);
	uint16_t found = udp->dgram_cksum;

	udp->dgram_cksum = 0;
	return rte_ipv4_udptcp_cksum(rte_pktmbuf_mtod_offset(m, void *, 14), udp) == found;
}

static void send_from_vif(struct rte_mbuf *m)
{
	bridge_input(&vif.port, &m, 1);
	bridge_flush(b);
}

static void test_loop(void **state)
{
	struct uplink *u = open_or_fail("net_ring0"), *again = NULL;
	char err[256];

	(void)state;
	assert_int_equal(uplink_poll(u, 0), 0);
	send_from_vif(packet(mac(9), mac(1), 0x88b5, 100, 2048));
	assert_int_equal(uplink_poll(u, 0), 1);
	assert_int_equal(uplink_poll(u, 0), 0);
	bridge_flush(b);
	assert_int_equal(fake_empty(&vif), 1); /* back from the wire: to the vif, not out again */
	assert_int_equal(uplink_open(b, "net_ring0", pool, 1, &again, err), -EEXIST);
	assert_non_null(strstr(err, "in use"));
	uplink_close(u);
	u = open_or_fail("net_ring0"); /* nothing was left behind */
	uplink_close(u);
}

static void test_too_long_a_frame_is_dropped(void **state)
{
	struct uplink *u = open_or_fail("net_ring1");
	struct rte_mbuf *m[2] = { packet(BROADCAST, mac(1), 0x88b5, 1519, 2048), packet(BROADCAST, mac(1), 0x88b5, 1518, 2048) };

	(void)state;
	bridge_input(&vif.port, m, 2);
	bridge_flush(b);
	assert_int_equal(uplink_poll(u, 0), 1);
	bridge_flush(b);
	assert_int_equal(vif.got[0]->pkt_len, 1518);
	uplink_close(u);
}

/* net_ring has no offloads. */
static void test_wishes_are_fulfilled_in_software(void **state)
{
	struct uplink *u = open_or_fail("net_ring2");
	struct rte_mbuf *m = packet(BROADCAST, mac(1), 0x0800, 1000, 300);
	uint8_t *ip = rte_pktmbuf_mtod_offset(m, uint8_t *, 14);

	(void)state;
	memcpy(ip, "\x45\x00\x03\xda\0\0\0\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02", 20);
	m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_UDP_CKSUM;
	m->l2_len = 14;
	m->l3_len = 20;
	m->l4_len = 8;
	memset(ip + 26, 0, 2);
	send_from_vif(m);
	assert_int_equal(uplink_poll(u, 0), 1);
	bridge_flush(b);
	m = vif.got[0];
	assert_int_equal(rte_pktmbuf_linearize(m), 0);
	assert_int_equal(m->pkt_len, 1000);
	assert_false(m->ol_flags & RTE_MBUF_F_TX_L4_MASK);
	assert_true(udp_sum_is_right(m));
	uplink_close(u);
}

/* Nobody polls: the ring of net_ring holds 1023, and 256 wait. */
/* So many packets come back from a looped wire to the vif; and the end of it. */
static void expect_back(struct uplink *u, unsigned n)
{
	while (uplink_poll(u, 0))
		;
	bridge_flush(b);
	assert_int_equal(vif.count, n);
	uplink_close(u);
}

static struct uplink *full_wire(const char *devargs, unsigned sent)
{
	struct uplink *u = open_or_fail(devargs);

	for (unsigned i = 0; i < sent; i++)
		send_from_vif(packet(BROADCAST, mac(1), 0x88b5, 60, 2048));
	return u;
}

static void test_full_wire_drops_and_counts(void **state)
{
	struct uplink *u = full_wire("net_ring3", 1400);

	(void)state;
	assert_true(rte_mempool_in_use_count(pool) < 1300);
	expect_back(u, 1023 + 256);
}

/* Packets of 32 buffers each: of the pool's 2047, no more than an eighth waits. */
static void test_what_waits_leaves_buffers_to_others(void **state)
{
	struct uplink *u = full_wire("net_ring7", 1023);

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		send_from_vif(packet(BROADCAST, mac(1), 0x88b5, 1500, 47));
	assert_int_equal(rte_mempool_in_use_count(pool), 1023 + 256);
	expect_back(u, 1023 + 256 / 32);
}

/* One queue and many lcores: who has left packets there looks after them, and receives nothing. */
static void test_any_lcore_sends_what_waits(void **state)
{
	struct uplink *u = full_wire("net_ring8", 1033);

	(void)state;
	assert_int_equal(uplink_queues(u), 1);
	assert_int_equal(uplink_wait_fd(u, 3), -1);
	assert_int_equal(uplink_poll(u, 3), 1); /* still no room */
	assert_int_equal(uplink_poll(u, 0), BRIDGE_BURST + 1);
	assert_int_equal(uplink_poll(u, 3), 1);
	assert_int_equal(uplink_poll(u, 3), 0);
	expect_back(u, 1033);
}

static void test_what_waits_calls_for_a_pause_and_tells_its_end(void **state)
{
	struct uplink *u = full_wire("net_ring4", 1023);
	uint32_t before = bridge_relief(b);

	(void)state;
	assert_int_equal(bridge_was_crowded(b), 0);
	send_from_vif(packet(BROADCAST, mac(1), 0x88b5, 60, 2048));
	assert_true(bridge_was_crowded(b) > 0);
	assert_int_equal(bridge_was_crowded(b), 0);
	assert_int_equal(bridge_relief(b), before);
	assert_true(uplink_poll(u, 0) > 1); /* room for it now */
	assert_true(uplink_poll(u, 0) > 1);
	assert_int_not_equal(bridge_relief(b), before);
	expect_back(u, 1024);
}

static void test_what_waits_too_long_is_dropped(void **state)
{
	struct uplink *u = full_wire("net_ring6", 1024);

	(void)state;
	usleep(12000);
	expect_back(u, 1023);
}

static int raw_socket(const char *ifname)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(0x88b5), .sll_ifindex = (int)if_nametoindex(ifname) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(0x88b5));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static bool readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

/* Poll until something comes; a kernel interface may have other packets than ours (router solicitations). */
static unsigned poll_for(struct uplink *u, unsigned type)
{
	unsigned found = 0;

	for (unsigned i = 0; i < 2000 && !found; i++) {
		if (!uplink_poll(u, 0))
			usleep(100);
		bridge_flush(b);
		for (unsigned k = 0; k < vif.count; k++)
			found += rte_pktmbuf_mtod(vif.got[k], struct rte_ether_hdr *)->ether_type == rte_cpu_to_be_16(type);
		if (!found)
			fake_empty(&vif);
	}
	return found;
}

/* What a back end does before it sleeps: polls until nothing comes. Then the descriptor must be silent. */
static void fall_silent(struct uplink *u, int fd)
{
	for (unsigned i = 0; i < 50; i++) {
		while (uplink_poll(u, 0))
			;
		bridge_flush(b);
		fake_empty(&vif);
		for (unsigned k = 0; k < 64; k++)
			uplink_poll(u, 0);
		if (!readable(fd, 20))
			return;
	}
	fail_msg("the descriptor stays readable with nothing to read");
}

static void wakes_up(struct uplink *u, const char *far_end)
{
	uint8_t frame[60] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 5, 0x88, 0xb5 };
	int raw = raw_socket(far_end), fd = uplink_wait_fd(u, 0);

	assert_true(fd >= 0);
	for (unsigned i = 0; i < 5; i++) {
		fall_silent(u, fd);
		assert_int_equal(send(raw, frame, sizeof(frame), 0), sizeof(frame));
		assert_true(readable(fd, 2000));
		assert_int_equal(poll_for(u, 0x88b5), 1);
		fake_empty(&vif);
	}
	close(raw);
}

static void test_veth(void **state)
{
	uint8_t got[100];
	struct uplink *u;
	int raw;

	(void)state;
	need_namespace();
	run("ip link add va type veth peer name vb && ip link set va up && ip link set vb up");
	u = open_or_fail("net_af_packet0,iface=va");
	wakes_up(u, "vb");
	raw = raw_socket("vb");
	send_from_vif(packet(mac(9), mac(1), 0x88b5, 77, 20)); /* in four segments */
	assert_true(readable(raw, 2000));
	assert_int_equal(recv(raw, got, sizeof(got), 0), 77);
	assert_int_equal(got[76], 76);
	close(raw);
	uplink_close(u);
	run("ip link del va");
}

/* Linux leaves the checksum blank on packets that cross a veth: the receiver must learn of it. */
static void test_veth_blank_checksum(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("10.9.9.2") };
	struct rte_mbuf *out[1];
	struct uplink *u;
	int udp;

	(void)state;
	need_namespace();
	run("ip link add va type veth peer name vb && ip link set va up && ip link set vb up && ip addr add 10.9.9.1/24 dev vb && "
	    "ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:01 dev vb");
	u = open_or_fail("net_af_packet0,iface=va");
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(sendto(udp, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
	assert_int_equal(poll_for(u, 0x0800), 1);
	assert_int_equal(vif.count, 1);
	assert_true((vif.got[0]->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM);
	assert_int_equal(offload_finish(vif.got[0], 0, pool, out, 1), 1);
	vif.got[0] = out[0];
	assert_true(udp_sum_is_right(out[0]));
	close(udp);
	uplink_close(u);
	run("ip link del va");
}

static unsigned gro_of(const char *ifname)
{
	struct ethtool_value gro = { .cmd = ETHTOOL_GGRO };
	struct ifreq ifr = { .ifr_data = (char *)&gro };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &ifr), 0);
	close(fd);
	return gro.data;
}

/* What does not fit the driver's frames of 2 KiB comes with its end cut off, and is dropped; what fits passes, and Linux is told to merge nothing. */
/* As many queues as there are lcores, or as the driver has; each gives its poller packets of its own. */
static void test_queues(void **state)
{
	struct uplink *u = open_for(2, "net_null0,size=64");

	(void)state;
	assert_int_equal(uplink_queues(u), 2);
	for (unsigned queue = 0; queue < 2; queue++) {
		assert_int_equal(uplink_poll(u, queue), BRIDGE_BURST);
		bridge_flush(b);
		assert_int_equal(fake_empty(&vif), BRIDGE_BURST);
	}
	uplink_close(u);
}

/* A packet comes to one of the queues, those of a flow all to the same; a descriptor for each tells of it. */
static void test_veth_queues(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("10.9.9.2") };
	unsigned got[2] = { 0, 0 }, sent = 0;
	struct uplink *u;

	(void)state;
	need_namespace();
	run("ip link add va type veth peer name vb && ip link set va up && ip link set vb up && ip addr add 10.9.9.1/24 dev vb && "
	    "ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:01 dev vb");
	u = open_for(4, "net_af_packet0,iface=va,qpairs=2");
	assert_int_equal(uplink_queues(u), 2);
	for (; sent < 64; sent++) {
		int udp = socket(AF_INET, SOCK_DGRAM, 0);

		assert_int_equal(sendto(udp, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
		close(udp);
	}
	for (unsigned queue = 0; queue < 2; queue++)
		assert_true(readable(uplink_wait_fd(u, queue), 2000));
	for (unsigned tries = 0; tries < 1000 && got[0] + got[1] < sent; tries++) {
		for (unsigned queue = 0; queue < 2; queue++)
			got[queue] += uplink_poll(u, queue);
		usleep(1000);
	}
	bridge_flush(b);
	assert_int_equal(fake_empty(&vif), sent);
	assert_true(got[0] > 0 && got[1] > 0);
	uplink_close(u);
	run("ip link del va");
}

static void test_veth_cut_packets(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = inet_addr("10.9.9.2") };
	struct uplink *u;
	char data[5000] = "";
	int udp;

	(void)state;
	need_namespace();
	run("ip link add va mtu 9000 type veth peer name vb mtu 9000 && ip link set va up && ip link set vb up && ip addr add 10.9.9.1/24 dev vb && "
	    "ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:01 dev vb");
	u = open_or_fail("net_af_packet0,iface=va");
	assert_int_equal(gro_of("va"), 0);
	udp = socket(AF_INET, SOCK_DGRAM, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(sendto(udp, data, sizeof(data), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(data));
	assert_int_equal(sendto(udp, data, 1900, 0, (struct sockaddr *)&to, sizeof(to)), 1900);
	assert_int_equal(poll_for(u, 0x0800), 1);
	assert_int_equal(vif.count, 1);
	assert_int_equal(vif.got[0]->pkt_len, 1942);
	close(udp);
	uplink_close(u);
	run("ip link del va");
}

/* A frame that the kernel would refuse would stop the driver's ring for good: it must not get there. */
static void test_veth_mtu(void **state)
{
	uint8_t got[1100];
	struct uplink *u;
	int raw;

	(void)state;
	need_namespace();
	run("ip link add va type veth peer name vb && ip link set va mtu 1000 up && ip link set vb up");
	u = open_or_fail("net_af_packet0,iface=va");
	raw = raw_socket("vb");
	send_from_vif(packet(mac(9), mac(1), 0x88b5, 1019, 2048));
	send_from_vif(packet(mac(9), mac(1), 0x88b5, 1014, 2048));
	assert_true(readable(raw, 2000));
	assert_int_equal(recv(raw, got, sizeof(got), 0), 1014);
	close(raw);
	uplink_close(u);
	run("ip link del va");
}

static void test_tap(void **state)
{
	struct uplink *u;

	(void)state;
	need_namespace();
	if (access("/dev/net/tun", R_OK | W_OK)) {
		print_message("skipped: no /dev/net/tun\n");
		skip();
	}
	u = open_or_fail("net_tap0,iface=tp0");
	run("ip link set tp0 up");
	wakes_up(u, "tp0");
	uplink_close(u);
	assert_int_equal(if_nametoindex("tp0"), 0);
}

#define ON_BRIDGE(test) cmocka_unit_test_setup_teardown(test, create, destroy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_BRIDGE(test_errors),
		ON_BRIDGE(test_loop),
		ON_BRIDGE(test_too_long_a_frame_is_dropped),
		ON_BRIDGE(test_wishes_are_fulfilled_in_software),
		ON_BRIDGE(test_full_wire_drops_and_counts),
		ON_BRIDGE(test_what_waits_leaves_buffers_to_others),
		ON_BRIDGE(test_any_lcore_sends_what_waits),
		ON_BRIDGE(test_what_waits_calls_for_a_pause_and_tells_its_end),
		ON_BRIDGE(test_what_waits_too_long_is_dropped),
		ON_BRIDGE(test_veth),
		ON_BRIDGE(test_veth_blank_checksum),
		ON_BRIDGE(test_queues),
		ON_BRIDGE(test_veth_queues),
		ON_BRIDGE(test_veth_cut_packets),
		ON_BRIDGE(test_veth_mtu),
		ON_BRIDGE(test_tap),
	};

	return cmocka_run_group_tests_name("bridge/uplink", tests, set_up, stop_dpdk);
}
