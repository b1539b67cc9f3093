/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domain 0's ends of event channels: they stand in hvshare.port and belong to a channel of an attached process, which raises guests'
 * ports itself (hvshare_event.h) and hears through its channel's pending bits and, while it sleeps, an eventfd. dom0.c calls this
 * on what comes over hv.sock, event.c when a guest sends or closes.
 */
#include "event_private.h"

#include <errno.h>
#include <sluice/hvshare_event.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"

static int channel_fd_plus_1[HVSHARE_CLIENTS][HVSHARE_CHANNELS]; /* 0: none */

void evtchn_dom0_set_fd(unsigned client, unsigned channel, int fd)
{
	if (client < HVSHARE_CLIENTS && channel < HVSHARE_CHANNELS)
		channel_fd_plus_1[client][channel] = fd + 1;
}

void evtchn_dom0_raise(evtchn_t port)
{
	const struct hvshare_port *p = &machine.share->port[port];
	uint64_t one = 1;
	int fd;

	if (p->state != HVSHARE_PORT_BOUND || !hvshare_channel_raise(&machine.share->client[p->client].channel[p->channel], port))
		return;
	fd = channel_fd_plus_1[p->client][p->channel] - 1;
	if (fd >= 0 && write(fd, &one, sizeof(one)) != sizeof(one))
		return; /* EAGAIN: the counter is full, so its owner wakes anyway */
}

void evtchn_dom0_closed(evtchn_t port)
{
	__atomic_store_n(&machine.share->port[port].state, HVSHARE_PORT_CLOSED, __ATOMIC_RELEASE);
}

static evtchn_t free_port(void)
{
	for (evtchn_t port = 1; port < HVSHARE_PORTS; port++)
		if (machine.share->port[port].state == HVSHARE_PORT_FREE)
			return port;
	return 0;
}

int evtchn_dom0_bind(unsigned client, unsigned channel, domid_t domid, evtchn_t remote, evtchn_t *port)
{
	struct domain *d = domain_find(domid);
	struct port *theirs = d ? evtchn_port(d, remote) : NULL;
	struct hvshare_port *ours;

	if (client >= HVSHARE_CLIENTS || channel >= HVSHARE_CHANNELS)
		return -EINVAL;
	if (!theirs || theirs->state != PORT_UNBOUND || theirs->remote != 0)
		return -EINVAL;
	*port = free_port();
	if (!*port)
		return -ENOSPC;
	ours = &machine.share->port[*port];
	ours->remote_domid = domid;
	ours->remote_port = remote;
	ours->client = (uint8_t)client;
	ours->channel = (uint8_t)channel;
	ours->vcpu_generation = d->share->vcpu[0].generation;
	__atomic_store_n(&ours->state, HVSHARE_PORT_BOUND, __ATOMIC_RELEASE);
	*theirs = (struct port){.state = PORT_INTERDOMAIN, .remote = 0, .remote_port = *port};
	evtchn_dom0_raise(*port); /* they may have sent before we listened */
	return 0;
}

static void port_release(evtchn_t port)
{
	struct hvshare_port *p = &machine.share->port[port];
	struct hvshare_channel *c = &machine.share->client[p->client].channel[p->channel];
	struct domain *d = domain_find(p->remote_domid);

	if (p->state == HVSHARE_PORT_BOUND && d && evtchn_port(d, p->remote_port))
		d->evtchn->port[p->remote_port] = (struct port){.state = PORT_UNBOUND, .remote = 0};
	__atomic_store_n(&p->state, HVSHARE_PORT_FREE, __ATOMIC_RELEASE);
	__atomic_fetch_and(&c->pending[port / 64], ~(1ull << port % 64), __ATOMIC_SEQ_CST);
}

int evtchn_dom0_unbind(unsigned client, evtchn_t port)
{
	if (!port || port >= HVSHARE_PORTS || machine.share->port[port].state == HVSHARE_PORT_FREE ||
	    machine.share->port[port].client != client)
		return -EINVAL;
	port_release(port);
	return 0;
}

void evtchn_dom0_channel_gone(unsigned client, unsigned channel)
{
	if (client >= HVSHARE_CLIENTS || channel >= HVSHARE_CHANNELS)
		return;
	for (evtchn_t port = 1; port < HVSHARE_PORTS; port++) {
		const struct hvshare_port *p = &machine.share->port[port];

		if (p->state != HVSHARE_PORT_FREE && p->client == client && p->channel == channel)
			port_release(port);
	}
	channel_fd_plus_1[client][channel] = 0;
	memset(&machine.share->client[client].channel[channel], 0, sizeof(struct hvshare_channel));
}

void evtchn_dom0_client_gone(unsigned client)
{
	for (unsigned channel = 0; channel < HVSHARE_CHANNELS; channel++)
		evtchn_dom0_channel_gone(client, channel);
}
