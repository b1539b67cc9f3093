/* SPDX-License-Identifier: BSD-3-Clause */
/* This process becomes a domain whose vifs are connected. Called by net_run.c and net_loops.c. */
#include "net.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MEMORY_MIB 8u /* and for each vif's: */
#define VIF_MIB 3u /* for each queue */
#define DEVICE_MS 10000u
#define CONNECT_NS 10000000000ull
#define SETTLE_NS 1000000000ull
#define SETTLE_POLL_US 1000u

void net_address(uint8_t mac[6], pid_t run, char letter, unsigned vif)
{
	const uint8_t own[6] = { 0x00, 0x16, 0x3e, (uint8_t)(run >> 8 & 0x7f), (uint8_t)run, (uint8_t)(((unsigned)letter - 'a') << 5 | vif) };

	memcpy(mac, own, sizeof(own));
}

static int attach(const struct net_options *o, const char *name, char letter, unsigned vif)
{
	char mac_word[32], bridge_word[64];
	const char *words[] = { "network-attach", name, mac_word, o->bridge ? bridge_word : NULL, NULL };
	uint8_t mac[6];

	net_address(mac, letter == 'a' ? getpid() : getppid(), letter, vif);
	snprintf(mac_word, sizeof(mac_word), "mac=%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	snprintf(bridge_word, sizeof(bridge_word), "bridge=%s", o->bridge ? o->bridge : "");
	return toolstack(o->run_dir, words);
}

/* All vifs up to this one move on, or an event of another would keep us awake. True when it is connected. */
static bool step_up_to(struct net_domain *d, unsigned index)
{
	bool up = false;

	for (unsigned i = 0; i <= index; i++)
		up = netfront_step(d->vif[i]) == NETFRONT_CONNECTED;
	return up;
}

static int connect_vif(struct net_domain *d, const struct net_options *o, unsigned index)
{
	uint64_t deadline = port_now_ns() + CONNECT_NS;
	bool gso = o->size > NET_FRAME_MAX;
	struct netfront_options options = { .csum_blank = gso, .gso_tcpv4 = gso, .no_static = o->copy, .queues = o->queues };
	int rc = hosted_wait_device(d->xb, "vif", index, DEVICE_MS);

	if (!rc)
		d->vif[index] = netfront_create(d->xb, index, &options);
	if (rc || !d->vif[index])
		return rc ? rc : -ENOMEM;
	while (!step_up_to(d, index)) {
		if (hosted_lost() || port_now_ns() >= deadline)
			return hosted_lost() ? -EPIPE : -ETIMEDOUT;
		if (netfront_arm(d->vif[index], false))
			port_wait(deadline);
	}
	return 0;
}

/* The back end has said of each vif which pages it keeps mapped; or it does not, which is as well. */
static void settle(struct net_domain *d)
{
	uint64_t deadline = port_now_ns() + SETTLE_NS;
	unsigned settled = 0;

	while (settled < d->nr_vifs && port_now_ns() < deadline) {
		settled = 0;
		for (unsigned i = 0; i < d->nr_vifs; i++) {
			netfront_step(d->vif[i]);
			settled += netfront_stats(d->vif[i])->static_pages > 0;
		}
		usleep(SETTLE_POLL_US);
	}
}

int net_domain_up(struct net_domain *d, const struct net_options *o, char letter, unsigned nr_vifs)
{
	char name[32];
	int rc;

	*d = (struct net_domain){ .nr_vifs = nr_vifs, .shared = d->shared };
	snprintf(name, sizeof(name), "perf-%c-%d", letter, getpid());
	hosted_set_log_level(PORT_LOG_ERROR);
	rc = hosted_attach(o->run_dir, name, MEMORY_MIB + nr_vifs * o->queues * VIF_MIB);
	if (rc)
		return rc;
	d->xb = xenbus_create();
	if (!d->xb)
		return -ENOMEM;
	for (unsigned i = 0; !rc && i < nr_vifs; i++)
		rc = attach(o, name, letter, i);
	for (unsigned i = 0; !rc && i < nr_vifs; i++)
		rc = connect_vif(d, o, i);
	if (!rc && !o->copy)
		settle(d);
	if (rc)
		fprintf(stderr, "sluice-perf: error: no connected vif for %s: %s; see the logs of sluiced and sluice-backend\n", name, strerror(-rc));
	return rc;
}

void net_domain_down(struct net_domain *d)
{
	for (unsigned i = 0; i < d->nr_vifs; i++)
		netfront_destroy(d->vif[i]);
	xenbus_destroy(d->xb);
	hosted_detach();
}

void net_announce(struct netfront *nf)
{
	static const uint8_t everybody[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	const struct net_options small = { .size = 64 };
	struct netfront_buf buf;

	if (netfront_tx_alloc(nf, &buf, 1) == 1 && net_fill(&small, &buf, 1, everybody, netfront_mac(nf)))
		netfront_tx(nf, &buf, 1);
}
