/* SPDX-License-Identifier: BSD-3-Clause */
/* A whole back end in a test: see netback_world.h. */
#include "netback_world.h"
#include <pthread.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mempool.h>
#include <rte_tcp.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define MBUFS 4095u

unsigned world_lcores;

static pthread_t thread[BRIDGE_LCORES];
static struct rte_mempool *pool; /* one for all worlds of the process */

void world_start_eal(void)
{
	char *argv[] = {"test", "--no-pci", "--no-huge", "--no-shconf", "--no-telemetry", "-m", "64", "-l", "0", "--log-level=*:error"};

	if (pool)
		return;
	assert_true(rte_eal_init(RTE_DIM(argv), argv) >= 0);
	pool = rte_pktmbuf_pool_create("test", MBUFS, 0, LENT_PRIVATE, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	assert_non_null(pool);
}

static void flush(void *ctx)
{
	bridge_flush(ctx);
}

/* An lcore's thread: DPDK gives it an id, and it runs the poller of that. */
static void *lcore_main(void *nb)
{
	unsigned id;

	if (rte_thread_register())
		return NULL;
	id = rte_lcore_id();
	if (id < ((struct netback *)nb)->nr_lcores)
		poller_run(((struct netback *)nb)->lcore[id].poller);
	rte_thread_unregister();
	return nb;
}

static void start_lcores(struct world *w)
{
	for (unsigned i = 1; i < w->nb.nr_lcores; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, lcore_main, &w->nb), 0);
}

static void stop_lcores(struct world *w)
{
	void *ran;

	for (unsigned i = 1; i < w->nb.nr_lcores; i++)
		poller_stop(w->nb.lcore[i].poller);
	for (unsigned i = 1; i < w->nb.nr_lcores; i++) {
		pthread_join(thread[i], &ran);
		assert_non_null(ran);
	}
}

void world_start_backend(struct world *w)
{
	w->nb = (struct netback){.hv = w->hv, .pool = pool, .nr_lcores = world_lcores};
	w->nb.bridge = bridge_create("test", 300);
	assert_non_null(w->nb.bridge);
	assert_int_equal(poller_create(w->hv, flush, w->nb.bridge, &w->nb.poller), 0);
	for (unsigned i = 1; i < world_lcores; i++)
		assert_int_equal(poller_create_beside(w->nb.poller, &w->nb.lcore[i].poller), 0);
	assert_int_equal(netback_init(&w->nb), 0);
	start_lcores(w);
	assert_int_equal(devices_create(w->hv, w->nb.poller, &netback_class, &w->nb, &w->devices), 0);
}

void world_stop_backend(struct world *w)
{
	stop_lcores(w);
	devices_destroy(w->devices);
	for (unsigned i = 1; i < w->nb.nr_lcores; i++)
		poller_destroy(w->nb.lcore[i].poller);
	poller_destroy(w->nb.poller);
	netback_fini(&w->nb);
	bridge_destroy(w->nb.bridge);
}

void world_create(struct world *w)
{
	memset(w, 0, sizeof(*w));
	world_start_eal();
	backend_log_level = BACKEND_ERROR;
	assert_int_equal(hv_fake_open(&w->hv), 0);
	w->pool_free = rte_mempool_avail_count(pool);
	world_start_backend(w);
	world_settle(w);
}

void world_destroy(struct world *w)
{
	world_stop_backend(w);
	assert_int_equal(hv_fake_mapped(w->hv), 0);
	assert_int_equal(hv_fake_bound(w->hv), 0);
	assert_int_equal(rte_mempool_avail_count(pool), w->pool_free);
	w->hv->ops->close(w->hv);
}

void world_run_ms(struct world *w, unsigned ms)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 1000 * ms;

	do
		poller_round(w->nb.poller, false);
	while (rte_rdtsc() < end);
	poller_round(w->nb.poller, false); /* timers that ended while this thread was not on its core */
}

#define WORLD_DOMAINS 16u

/* Does a control message wait? They are served with pauses. */
static bool ctrl_busy(struct world *w)
{
	for (domid_t domid = 1; domid < WORLD_DOMAINS; domid++) {
		struct device *dev = devices_find(w->devices, domid, 0);
		struct netback_vif *vif = dev ? dev->priv : NULL;

		if (vif && vif->ctrl.page && vif->queue[0].live && back_ring_pending(&vif->ctrl.ring) > 0)
			return true;
	}
	return false;
}

/* Are all other lcores asleep? */
static bool lcores_idle(struct world *w)
{
	for (unsigned i = 1; i < w->nb.nr_lcores; i++)
		if (!poller_asleep(w->nb.lcore[i].poller))
			return false;
	return true;
}

/* They were woken but may not have run yet: idle several times in a row, with time for them in between. */
static void lcores_settle(struct world *w)
{
	for (unsigned i = 0, idle = 0; w->nb.nr_lcores > 1 && i < 1000 && idle < 3; i++) {
		usleep(2000);
		idle = lcores_idle(w) ? idle + 1 : 0;
		world_run_ms(w, 1);
	}
}

/* The poller looks at the store every millisecond; a handshake takes a few looks. */
void world_settle(struct world *w)
{
	for (unsigned i = 0; i < 5; i++)
		world_run_ms(w, 1); /* one by one: each has its look, however long this thread was not on its core */
	lcores_settle(w);
	for (unsigned i = 0; i < 2000 && ctrl_busy(w); i++)
		world_run_ms(w, 1);
	lcores_settle(w);
}

void world_add_guest(struct world *w, struct fake_guest *g, domid_t domid)
{
	fake_guest_init(g, w->hv, domid, 0);
	toolstack_add_vif(w->hv, domid, 0, NULL);
	world_settle(w);
	assert_int_equal(fake_guest_backend_state(g), XenbusStateInitWait);
	fake_guest_connect(g);
	world_settle(w);
	assert_int_equal(fake_guest_backend_state(g), XenbusStateConnected);
}

struct netback_vif *world_vif(struct world *w, const struct fake_guest *g)
{
	struct device *dev = devices_find(w->devices, g->domid, g->devid);

	return dev ? dev->priv : NULL;
}

void world_frame(uint8_t *frame, uint32_t len, domid_t from, domid_t to)
{
	const uint8_t head[14] = {0x00, 0x16, 0x3e, 0, 0, (uint8_t)to, 0x00, 0x16, 0x3e, 0, 0, (uint8_t)from, 0x88, 0xb5};

	for (uint32_t i = 0; i < len; i++)
		frame[i] = (uint8_t)(i * 7 + i / 256 + from);
	memcpy(frame, head, sizeof(head));
}

void world_tcp(uint8_t *frame, uint32_t len, bool v6)
{
	struct rte_ether_hdr *eh = (void *)frame;
	struct rte_ipv4_hdr *ip = (void *)(frame + sizeof(*eh));
	struct rte_ipv6_hdr *ip6 = (void *)(frame + sizeof(*eh));
	struct rte_tcp_hdr *th = (void *)(frame + sizeof(*eh) + (v6 ? sizeof(*ip6) : sizeof(*ip)));

	eh->ether_type = rte_cpu_to_be_16(v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	if (v6) {
		memset(ip6, 0, sizeof(*ip6));
		ip6->vtc_flow = rte_cpu_to_be_32(6u << 28);
		ip6->payload_len = rte_cpu_to_be_16((uint16_t)(len - sizeof(*eh) - sizeof(*ip6)));
		ip6->proto = IPPROTO_TCP;
		ip6->hop_limits = 64;
		ip6->src_addr[15] = 1;
		ip6->dst_addr[15] = 2;
	} else {
		memset(ip, 0, sizeof(*ip));
		ip->version_ihl = 0x45;
		ip->total_length = rte_cpu_to_be_16((uint16_t)(len - sizeof(*eh)));
		ip->time_to_live = 64;
		ip->next_proto_id = IPPROTO_TCP;
		ip->src_addr = rte_cpu_to_be_32(0x0a000001);
		ip->dst_addr = rte_cpu_to_be_32(0x0a000002);
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	memset(th, 0, sizeof(*th));
	th->src_port = rte_cpu_to_be_16(1000);
	th->dst_port = rte_cpu_to_be_16(2000);
	th->data_off = 0x50;
	th->tcp_flags = RTE_TCP_ACK_FLAG;
	th->cksum = v6 ? rte_ipv6_phdr_cksum(ip6, 0) : rte_ipv4_phdr_cksum(ip, 0);
}

static void assert_delivered(struct world *w, struct fake_guest *from, struct fake_guest *to)
{
	uint8_t frame[100], got[4096];
	struct net_packet p;
	int len, found = 0;

	world_frame(frame, sizeof(frame), from->domid, to->domid);
	fake_guest_send(from, frame, sizeof(frame), 0, NULL);
	world_settle(w);
	fake_guest_take_tx(from);
	while ((len = fake_guest_receive(to, got, sizeof(got), &p, true)) != 0)
		found += len == sizeof(frame) && memcmp(frame, got, sizeof(frame)) == 0;
	assert_int_equal(found, 1);
}

void world_assert_traffic(struct world *w, struct fake_guest *a, struct fake_guest *b)
{
	assert_delivered(w, a, b);
	assert_delivered(w, b, a);
}
