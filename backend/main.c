/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluice-backend: serves the vifs of guests and connects them with each other and with NICs, and serves their vbds from files, disks and remote storage. Puts the
 * parts together (DPDK, hypervisor, bridge, uplinks, the two classes of devices), runs the poller, and takes everything down in good order on SIGTERM or SIGINT.
 */
#include "blkback.h"
#include "eal.h"
#include "hv/hv_choose.h"
#include "netback.h"
#include <argp.h>
#include <errno.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define UPLINKS_MAX 8u
#define AGEING_S 300u
#define CLOSE_PATIENCE_US 1000000u /* for all front ends together */

struct options {
	const char *run_dir, *hypervisor, *bridge;
	char *uplink[UPLINKS_MAX];
	unsigned nr_uplinks;
	struct eal_cores cores;
};

struct backend {
	struct options opt;
	bool eal; /* started */
	struct netback nb;
	struct blkback bb;
	struct devices *vifs, *vbds; /* vifs reads the store for both */
	struct uplink *uplink[UPLINKS_MAX];
	struct poll_fd signals;
	struct poll_timer patience, closed;
};

/* ---- options ---- */

static const struct argp_option option_table[] = {
	{"run-dir", 'r', "DIR", 0, "Where sluiced's sockets are (default $SLUICE_RUN_DIR, else /run/sluice)", 0},
	{"hypervisor", 'H', "auto|sluice|xen", 0, "Which hypervisor this runs on (default auto: sluiced where its socket is, else Xen)", 0},
	{"bridge", 'b', "NAME", 0, "Name of the bridge that the vifs join (default xenbr0)", 0},
	{"uplink", 'u', "DEVARGS", 0, "A NIC on the bridge: any DPDK port, e.g. net_af_packet0,iface=eth1 or 0000:03:00.0; may be repeated", 0},
	{"cores", 'c', "LIST", 0, "Run on these cores, a thread on each, e.g. 2 or 0,2-3: the vifs' queues are dealt out over them (default: one thread, anywhere)", 0},
	{"verbose", 'v', NULL, 0, "Log more", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case 'r':
		o->run_dir = arg;
		return 0;
	case 'H':
		o->hypervisor = arg;
		return 0;
	case 'b':
		o->bridge = arg;
		return 0;
	case 'u':
		if (o->nr_uplinks == UPLINKS_MAX)
			argp_failure(state, 1, 0, "more than %u uplinks; leave some out", UPLINKS_MAX);
		else
			o->uplink[o->nr_uplinks++] = arg;
		return 0;
	case 'c':
		if (eal_parse_cores(arg, &o->cores))
			argp_failure(state, 1, 0, "--cores %s: not a list of at most %u cores, such as 2 or 0,2-3", arg, EAL_CORES);
		return 0;
	case 'v':
		backend_log_level = BACKEND_DEBUG;
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, 1, 0, "%s: unexpected argument; see --help", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_options(int argc, char **argv, struct options *o)
{
	static const struct argp argp = {option_table, parse_option, NULL, "sluice-backend -- network and block back end of Sluice", NULL, NULL, NULL};
	const char *dir = getenv("SLUICE_RUN_DIR");

	*o = (struct options){.run_dir = dir && dir[0] ? dir : "/run/sluice", .hypervisor = "auto", .bridge = "xenbr0"};
	argp_err_exit_status = 1;
	argp_parse(&argp, argc, argv, 0, NULL, o);
}

/* ---- the end ---- */

static void all_closed(struct poll_timer *timer)
{
	struct backend *be = (struct backend *)((char *)timer - offsetof(struct backend, closed));

	if (devices_closed(be->vifs) && devices_closed(be->vbds))
		poller_stop(be->nb.poller);
	else
		poller_timer_set(be->nb.poller, timer, 1000);
}

static void patience_over(struct poll_timer *timer)
{
	struct backend *be = (struct backend *)((char *)timer - offsetof(struct backend, patience));

	backend_info("some front ends did not close in time");
	poller_stop(be->nb.poller);
}

/* The first signal closes in good order, the second ends at once. */
static void signal_ready(struct poll_fd *pfd)
{
	struct backend *be = (struct backend *)((char *)pfd - offsetof(struct backend, signals));
	struct signalfd_siginfo info;

	if (read(pfd->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (be->patience.set) {
		poller_stop(be->nb.poller);
		return;
	}
	devices_close(be->vifs);
	devices_close(be->vbds);
	be->closed.fire = all_closed;
	be->patience.fire = patience_over;
	poller_timer_set(be->nb.poller, &be->closed, 0);
	poller_timer_set(be->nb.poller, &be->patience, CLOSE_PATIENCE_US);
}

/* Before EAL starts its threads, so that they all inherit it. */
static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* ---- the parts ---- */

static void flush(void *ctx)
{
	bridge_flush(ctx);
}

static int open_uplinks(struct backend *be)
{
	char err[256];

	for (unsigned i = 0; i < be->opt.nr_uplinks; i++) {
		int rc = uplink_open(be->nb.bridge, be->opt.uplink[i], be->nb.pool, be->nb.nr_lcores, &be->uplink[i], err);

		if (rc) {
			backend_error("%s", err);
			return rc;
		}
		for (unsigned k = 0; !rc && k < be->nb.nr_lcores; k++)
			rc = poller_add_uplink(be->nb.lcore[k].poller, be->uplink[i], k);
		if (rc) {
			backend_error("uplink %s: cannot be waited for: %s", be->opt.uplink[i], strerror(-rc));
			return rc;
		}
	}
	return 0;
}

/* A poller for each lcore but the first. */
static int make_lcores(struct backend *be)
{
	struct netback *nb = &be->nb;
	int rc = 0;

	nb->nr_lcores = be->opt.cores.nr;
	for (unsigned i = 1; rc == 0 && i < nb->nr_lcores; i++)
		rc = poller_create_beside(nb->poller, &nb->lcore[i].poller);
	return rc;
}

/* One lcore's loop. Under Xen, Linux tells the hypervisor again of the I/O ports of a thread that has any, at the end of each system call: a thread that needs none gives them up. */
static int lcore_run(void *backend)
{
	const struct backend *be = backend;

	if (!eal_needs_ports(be->opt.uplink, be->opt.nr_uplinks))
		iopl(0);
	poller_run(be->nb.lcore[rte_lcore_id()].poller);
	return 0;
}

static void run(struct backend *be)
{
	struct netback *nb = &be->nb;

	for (unsigned i = 1; i < nb->nr_lcores; i++)
		rte_eal_remote_launch(lcore_run, be, i);
	lcore_run(be);
	for (unsigned i = 1; i < nb->nr_lcores; i++)
		poller_stop(nb->lcore[i].poller);
	rte_eal_mp_wait_lcore();
}

/* The parts between the hypervisor and the uplinks. */
static int make_netback(struct backend *be)
{
	struct netback *nb = &be->nb;
	int rc = -ENOMEM;

	nb->pool = eal_pool_create();
	if (!nb->pool)
		return rc;
	nb->bridge = bridge_create(be->opt.bridge, AGEING_S);
	if (nb->bridge)
		rc = poller_create(nb->hv, flush, nb->bridge, &nb->poller);
	if (rc == 0)
		rc = make_lcores(be);
	if (rc == 0)
		rc = netback_init(nb);
	if (rc)
		backend_error("cannot make the bridge %s: %s", be->opt.bridge, strerror(-rc));
	return rc;
}

static int make_blkback(struct backend *be)
{
	int rc;

	be->bb = (struct blkback){.hv = be->nb.hv, .poller = be->nb.poller, .open = blkdev_open};
	rc = blkback_init(&be->bb);
	if (rc)
		backend_error("cannot make the block back end: %s", strerror(-rc));
	return rc;
}

static int listen_to_store(struct backend *be)
{
	struct netback *nb = &be->nb;
	int rc = poller_add_fd(nb->poller, &be->signals);

	if (rc == 0)
		rc = devices_create(nb->hv, nb->poller, &netback_class, nb, &be->vifs);
	if (rc == 0)
		rc = devices_create_beside(be->vifs, &blkback_class, &be->bb, &be->vbds);
	if (rc)
		backend_error("cannot watch backend/vif and backend/vbd in XenStore: %s", strerror(-rc));
	return rc;
}

/* Each step says itself what is wrong. */
static int start(struct backend *be)
{
	struct netback *nb = &be->nb;
	int rc;

	be->signals = (struct poll_fd){.fd = block_signals(), .ready = signal_ready};
	if (be->signals.fd < 0) {
		backend_error("no signalfd: %s", strerror(errno));
		return -errno;
	}
	rc = hv_choose(be->opt.hypervisor, be->opt.run_dir, &nb->hv);
	for (unsigned i = 0; rc == 0 && i < be->opt.nr_uplinks && !eal_dma_wanted(); i++)
		if (eal_is_pci(be->opt.uplink[i]))
			rc = eal_dma_prepare(nb->hv);
	if (rc == 0)
		rc = eal_start(&be->opt.cores, be->opt.uplink, be->opt.nr_uplinks);
	be->eal = rc == 0;
	if (rc == 0)
		rc = make_netback(be);
	if (rc == 0)
		rc = make_blkback(be);
	if (rc == 0)
		rc = open_uplinks(be);
	return rc ? rc : listen_to_store(be);
}

/* Also after a start that stopped half-way. */
static void stop(struct backend *be)
{
	struct netback *nb = &be->nb;

	devices_destroy(be->vbds);
	devices_destroy(be->vifs);
	blkback_fini(&be->bb);
	for (unsigned i = 1; i < nb->nr_lcores; i++)
		poller_destroy(nb->lcore[i].poller);
	poller_destroy(nb->poller);
	netback_fini(nb);
	for (unsigned i = 0; i < be->opt.nr_uplinks; i++)
		uplink_close(be->uplink[i]);
	bridge_destroy(nb->bridge);
	rte_mempool_free(nb->pool);
	if (be->eal)
		rte_eal_cleanup();
	if (nb->hv)
		nb->hv->ops->close(nb->hv); /* last: DPDK may live in memory of its */
}

int main(int argc, char **argv)
{
	static struct backend be;
	int rc;

	parse_options(argc, argv, &be.opt);
	rc = start(&be);
	if (rc == 0) {
		backend_info("serving vbds on %s, and vifs on %s", be.nb.hv->ops->name, be.opt.bridge);
		run(&be);
	}
	stop(&be);
	return rc == 0 ? 0 : 1;
}
