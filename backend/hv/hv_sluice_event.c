/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Event channels of domain 0: made by asking sluiced, raised and heard in shared memory (hvshare_event.h). A sleeping owner is woken by an
 * eventfd, a guest by a signal to its vCPU's process or a futex, a hosted domain by its bell.
 */
#include "hv_sluice_private.h"

#include <sluice/hvshare_event.h>
#include <stdlib.h>

static struct hv_sluice *sluice_of(const struct hv_evtchn *e)
{
	return hv_sluice_of(e->hv);
}

static struct sluice_evtchn *evtchn_of(struct hv_evtchn *e)
{
	return (struct sluice_evtchn *)e;
}

int hv_sluice_evtchn_open(struct hv *hv, struct hv_evtchn **out)
{
	struct hv_sluice *s = hv_sluice_of(hv);
	struct hvsock_request req = {.op = HVSOCK_CHANNEL_OPEN};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];
	struct sluice_evtchn *e = calloc(1, sizeof(*e));
	int rc = e ? hv_sluice_call(s, &req, &reply, fds) : -ENOMEM;

	if (!rc && (reply.channel >= HVSHARE_CHANNELS || fds[0] < 0)) {
		hv_sluice_close_fds(fds);
		rc = -EPROTO;
	}
	if (rc) {
		free(e);
		return rc;
	}
	e->base.hv = hv;
	e->channel = reply.channel;
	e->fd = fds[0];
	s->evtchn[e->channel] = e;
	*out = &e->base;
	return 0;
}

static bool is_ours(const struct sluice_evtchn *e, evtchn_t port)
{
	const struct hv_sluice *s = sluice_of(&e->base);
	const struct hvshare_port *p = &s->view.share->port[port % HVSHARE_PORTS];

	return port < HVSHARE_PORTS && __atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != HVSHARE_PORT_FREE && p->client == s->client &&
	       p->channel == e->channel;
}

static void forget_wake_fd(struct hv_sluice *s, evtchn_t port)
{
	if (s->wake_fd_plus_1[port])
		close(s->wake_fd_plus_1[port] - 1);
	s->wake_fd_plus_1[port] = 0;
}

void hv_sluice_evtchn_close(struct hv_evtchn *base)
{
	struct sluice_evtchn *e = evtchn_of(base);
	struct hvsock_request req = {.op = HVSOCK_CHANNEL_CLOSE};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];
	struct hv_sluice *s;

	if (!e)
		return;
	s = sluice_of(base);
	for (evtchn_t port = 1; port < HVSHARE_PORTS; port++)
		if (is_ours(e, port))
			forget_wake_fd(s, port);
	hv_sluice_memory_trim(s);
	req.channel = e->channel;
	hv_sluice_call(s, &req, &reply, fds);
	s->evtchn[e->channel] = NULL;
	close(e->fd);
	free(e);
}

int hv_sluice_evtchn_fd(struct hv_evtchn *e)
{
	return evtchn_of(e)->fd;
}

int hv_sluice_evtchn_bind(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port)
{
	struct hv_sluice *s = sluice_of(e);
	struct hvsock_request req = {.op = HVSOCK_BIND, .channel = evtchn_of(e)->channel, .domid = domid, .port = remote};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];
	int rc = hv_sluice_call(s, &req, &reply, fds);

	if (rc)
		return rc;
	if (!is_ours(evtchn_of(e), reply.port)) {
		hv_sluice_close_fds(fds);
		return -EPROTO;
	}
	forget_wake_fd(s, reply.port);
	s->wake_fd_plus_1[reply.port] = fds[0] + 1;
	rc = hv_sluice_memory_map(s, domid); /* its shared_info is there */
	if (rc) {
		hv_sluice_evtchn_unbind(e, reply.port);
		return rc;
	}
	*port = reply.port;
	return 0;
}

int hv_sluice_evtchn_unbind(struct hv_evtchn *e, evtchn_t port)
{
	struct hv_sluice *s = sluice_of(e);
	struct hvsock_request req = {.op = HVSOCK_UNBIND, .port = port};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];

	if (!is_ours(evtchn_of(e), port))
		return -EINVAL;
	forget_wake_fd(s, port);
	hv_sluice_memory_trim(s);
	return hv_sluice_call(s, &req, &reply, fds);
}

int hv_sluice_evtchn_notify(struct hv_evtchn *e, evtchn_t port)
{
	struct hv_sluice *s = sluice_of(e);

	if (!is_ours(evtchn_of(e), port))
		return -EINVAL;
	return hvshare_port_notify(s->view.share, s->view.machine, port, s->wake_fd_plus_1[port] - 1);
}

/* The fd is to fall silent, for what made it readable is fetched next. */
static void drain(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void rouse(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

unsigned hv_sluice_evtchn_pending(struct hv_evtchn *base, evtchn_t *ports, unsigned max, bool arm)
{
	struct sluice_evtchn *e = evtchn_of(base);
	struct hvshare_channel *c = &sluice_of(base)->me->channel[e->channel];
	unsigned n;

	if (arm) {
		drain(e->fd);
		/* Orders: this store before the loads of the pending bits; sluiced does the reverse. */
		__atomic_store_n(&c->armed, 1, __ATOMIC_SEQ_CST);
	} else if (__atomic_load_n(&c->armed, __ATOMIC_RELAXED)) {
		__atomic_store_n(&c->armed, 0, __ATOMIC_RELAXED);
	}
	n = hvshare_channel_take(c, ports, max);
	if (arm && __atomic_load_n(&c->pending_sel, __ATOMIC_SEQ_CST))
		rouse(e->fd); /* some did not fit */
	return n;
}
