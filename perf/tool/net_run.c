/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One run of sluice-perf net: a process is one domain at most, so that each domain is a child, which tells its result in memory that they share. The first one
 * measures; others send to it (pair), share the load with it, or have vifs without traffic. Called by net.c.
 */
#include "net.h"
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELPERS 4u

static const struct {
	const char *name;
	unsigned vifs;
	int (*loop)(struct net_domain *d, const struct net_options *o, struct net_result *r);
} modes[] = {
	[NET_TX] = { "tx", 1, net_send_loop },        [NET_RX] = { "rx", 1, net_receive_loop },   [NET_LOOP] = { "loop", 2, net_both_loop },
	[NET_PAIR] = { "pair", 1, net_receive_loop }, [NET_PING] = { "ping", 2, net_ping_loop },
};

struct run {
	struct net_meeting meeting;
	struct net_result result;
};

const char *net_mode_name(enum net_mode mode)
{
	return mode < sizeof(modes) / sizeof(modes[0]) ? modes[mode].name : "";
}

/* ---- the further domains ---- */

static int helper_work(struct net_domain *d, const struct net_options *o, char letter)
{
	uint8_t to[6];

	if (letter >= 'd')
		return net_idle_until(d);
	if (letter == 'c')
		return net_share_until(d, o);
	net_address(to, getppid(), 'a', 0);
	return net_send_until(d, o, to);
}

/* Letters: b sends to a, c shares the load, d and e are idle. */
static void helper(const struct net_options *o, struct net_meeting *m, char letter, unsigned vifs)
{
	struct net_domain d = { .shared = m };
	struct net_options own = *o;
	int rc;

	if (letter >= 'd')
		own.queues = 1;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	rc = pin_to(o->mode == NET_PAIR ? o->peer_cpu : o->cpu);
	if (!rc)
		rc = net_domain_up(&d, &own, letter, vifs);
	__atomic_add_fetch(rc ? &m->failed : &m->ready, 1, __ATOMIC_RELEASE);
	if (!rc)
		helper_work(&d, o, letter);
	net_domain_down(&d);
	_exit(0);
}

struct helpers {
	unsigned nr;
	pid_t pid[HELPERS];
};

static int start_helper(struct helpers *h, const struct net_options *o, struct net_meeting *m, char letter, unsigned vifs)
{
	pid_t pid;

	if (!vifs)
		return 0;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		helper(o, m, letter, vifs);
	h->pid[h->nr++] = pid;
	return 0;
}

static int start_helpers(struct helpers *h, const struct net_options *o, struct net_meeting *m, unsigned shared)
{
	unsigned first = o->idle < NET_VIFS ? o->idle : NET_VIFS;
	int rc = start_helper(h, o, m, 'b', o->mode == NET_PAIR);

	if (!rc)
		rc = start_helper(h, o, m, 'c', shared);
	if (!rc)
		rc = start_helper(h, o, m, 'd', first);
	if (!rc)
		rc = start_helper(h, o, m, 'e', o->idle - first);
	return rc;
}

static int wait_ready(const struct helpers *h, const struct net_meeting *m)
{
	while (__atomic_load_n(&m->ready, __ATOMIC_ACQUIRE) < h->nr) {
		if (__atomic_load_n(&m->failed, __ATOMIC_ACQUIRE) || waitpid(-1, NULL, WNOHANG) > 0)
			return -EIO;
		usleep(1000);
	}
	return 0;
}

static void end_helpers(struct helpers *h, struct net_meeting *m)
{
	__atomic_store_n(&m->done, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < h->nr; i++)
		waitpid(h->pid[i], NULL, 0);
}

/* ---- the one that measures ---- */

static int measure(const struct net_options *o, struct run *run)
{
	unsigned vifs = o->vifs ? o->vifs : modes[o->mode].vifs, own = vifs > NET_VIFS ? NET_VIFS : vifs;
	struct net_domain d = { .shared = &run->meeting };
	struct helpers h = { .nr = 0 };
	int rc = pin_to(o->cpu);

	run->result.vifs = vifs;
	if (!rc)
		rc = start_helpers(&h, o, &run->meeting, vifs - own);
	if (!rc)
		rc = net_domain_up(&d, o, 'a', own);
	if (!rc && o->mode == NET_PAIR)
		net_announce(d.vif[0]);
	if (!rc)
		rc = wait_ready(&h, &run->meeting);
	if (!rc)
		rc = modes[o->mode].loop(&d, o, &run->result);
	end_helpers(&h, &run->meeting);
	net_domain_down(&d);
	return rc;
}

int net_run(const struct net_options *o, struct net_result *r)
{
	struct run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int status = 0;

	if (run == MAP_FAILED)
		return -ENOMEM;
	run->result.rc = -EIO; /* until the child says otherwise */
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run->result.rc = measure(o, run);
		_exit(0);
	}
	if (child > 0)
		waitpid(child, &status, 0);
	*r = run->result;
	munmap(run, sizeof(*run));
	return r->rc;
}
