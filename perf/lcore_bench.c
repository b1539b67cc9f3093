/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How much an lcore more is worth: packets of 64 bytes from one uplink through the learning bridge to another, both of them DPDK's null driver, by one lcore and by several,
 * each with its own queue of both. No guest takes part: on a machine of two cores there is none left for it.
 *
 *	lcore_bench CORES SECONDS        CORES as in DPDK's -l: 0 or 0,1. Prints JSON: Mpps of all lcores, and of each
 */
#include <bridge/bridge.h>
#include <bridge/lcore.h>
#include <bridge/uplink.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>

#define MBUFS 16383u
#define CACHE 256u

static struct bridge *bridge;
static struct uplink *from;
static uint64_t until, packets[BRIDGE_LCORES];

static int carry(void *arg)
{
	unsigned lcore = bridge_lcore();
	uint64_t n = 0;

	(void)arg;
	while (rte_rdtsc() < until) {
		n += uplink_poll(from, lcore);
		bridge_flush(bridge);
	}
	packets[lcore] = n;
	return 0;
}

static int start_dpdk(const char *cores)
{
	char map[32];
	char *argv[] = {"lcore_bench", "--no-pci", "--no-huge", "--no-shconf", "--no-telemetry", "-m", "128", "--lcores", map, "--log-level=*:error", NULL};
	int first, second;

	switch (sscanf(cores, "%d,%d", &first, &second)) {
	case 2:
		snprintf(map, sizeof(map), "0@%d,1@%d", first, second);
		break;
	case 1:
		snprintf(map, sizeof(map), "0@%d", first);
		break;
	default:
		return -1;
	}
	return rte_eal_init(10, argv);
}

static struct uplink *open_uplink(const char *devargs, struct rte_mempool *pool)
{
	struct uplink *u = NULL;
	char err[256];

	if (uplink_open(bridge, devargs, pool, rte_lcore_count(), &u, err))
		fprintf(stderr, "lcore_bench: %s\n", err);
	return u;
}

static void report(double seconds)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < rte_lcore_count(); i++)
		all += packets[i];
	printf("{\"tool\": \"lcore_bench\", \"unit\": \"Mpps\", \"lcores\": %u, \"mean\": %.3f, \"each\": [", rte_lcore_count(), (double)all / seconds / 1e6);
	for (unsigned i = 0; i < rte_lcore_count(); i++)
		printf("%s%.3f", i ? ", " : "", (double)packets[i] / seconds / 1e6);
	printf("]}\n");
}

int main(int argc, char **argv)
{
	double seconds = argc == 3 ? atof(argv[2]) : 0;
	struct rte_mempool *pool;
	struct uplink *to;

	if (seconds <= 0 || start_dpdk(argv[1]) < 0) {
		fprintf(stderr, "lcore_bench: cannot start; give cores and seconds: lcore_bench 0,1 1\n");
		return 2;
	}
	pool = rte_pktmbuf_pool_create("packets", MBUFS, CACHE, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	bridge = bridge_create("lcores", 300);
	if (!pool || !bridge)
		return 1;
	from = open_uplink("net_null0,size=64,copy=1", pool);
	to = open_uplink("net_null1,no-rx=1", pool);
	if (!from || !to || uplink_queues(from) != rte_lcore_count())
		return 1;
	until = rte_rdtsc() + (uint64_t)(seconds * (double)rte_get_tsc_hz());
	rte_eal_mp_remote_launch(carry, NULL, CALL_MAIN);
	rte_eal_mp_wait_lcore();
	report(seconds);
	uplink_close(from);
	uplink_close(to);
	bridge_destroy(bridge);
	rte_mempool_free(pool);
	return rte_eal_cleanup() ? 1 : 0;
}
