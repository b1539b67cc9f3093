/* SPDX-License-Identifier: BSD-3-Clause */
/* Event channels of hv_fake: the back end's end (hv.h) and the guest's (hv_fake.h). */
#include "hv_fake_private.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void fire(struct fake_port *p)
{
	p->pending = true;
	eventfd_write(p->channel->fd, 1);
}

/* The guest's end of a port of ours; NULL when it has gone. */
static struct fake_guest_port *other_end(struct hv_fake *f, const struct fake_port *p)
{
	struct fake_domain *d = fake_domain(f, p->domid);

	return d && p->remote ? &d->port[p->remote] : NULL;
}

/* Our end goes: the guest's is unbound again, so that the next back end may bind it, as on Xen. */
static void port_free(struct hv_fake *f, struct fake_port *p)
{
	struct fake_guest_port *g = other_end(f, p);

	if (g)
		g->bound = 0;
	*p = (struct fake_port){0};
}

int fake_evtchn_open(struct hv *hv, struct hv_evtchn **out)
{
	struct fake_evtchn *e = calloc(1, sizeof(*e));
	struct hv_fake *f;

	if (!e)
		return -ENOMEM;
	e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (e->fd < 0) {
		int rc = -errno;

		free(e);
		return rc;
	}
	e->base.hv = hv;
	f = fake_lock(hv);
	TAILQ_INSERT_TAIL(&f->channels, e, next);
	fake_unlock(f);
	*out = &e->base;
	return 0;
}

static void channel_free(struct hv_fake *f, struct fake_evtchn *e)
{
	for (unsigned i = 0; i < HV_FAKE_PORTS; i++)
		if (f->port[i].channel == e)
			port_free(f, &f->port[i]);
	TAILQ_REMOVE(&f->channels, e, next);
	close(e->fd);
	free(e);
}

void fake_evtchn_close(struct hv_evtchn *e)
{
	struct hv_fake *f;

	if (!e)
		return;
	f = fake_lock(e->hv);
	channel_free(f, (struct fake_evtchn *)e);
	fake_unlock(f);
}

void fake_events_destroy(struct hv_fake *f)
{
	while (!TAILQ_EMPTY(&f->channels))
		channel_free(f, TAILQ_FIRST(&f->channels));
}

int fake_evtchn_fd(struct hv_evtchn *e)
{
	return ((struct fake_evtchn *)e)->fd;
}

int fake_evtchn_bind(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port)
{
	struct hv_fake *f = fake_lock(e->hv);
	struct fake_domain *d = fake_domain(f, domid);
	struct fake_guest_port *g = d && remote && remote < HV_FAKE_PORTS ? &d->port[remote] : NULL;
	evtchn_t ours = 1;
	int rc = fake_called(f, HV_FAKE_BIND);

	if (rc == 0 && (!g || !g->used || g->bound || g->remote != 0))
		rc = -EINVAL;
	while (rc == 0 && ours < HV_FAKE_PORTS && f->port[ours].channel)
		ours++;
	if (rc == 0 && ours == HV_FAKE_PORTS)
		rc = -ENOSPC;
	if (rc == 0) {
		f->port[ours] = (struct fake_port){.channel = (struct fake_evtchn *)e, .domid = domid, .remote = remote};
		g->bound = ours;
		fire(&f->port[ours]);
		*port = ours;
	}
	fake_unlock(f);
	return rc;
}

/* A port of ours that belongs to this channel. */
static struct fake_port *own_port(struct hv_fake *f, struct hv_evtchn *e, evtchn_t port)
{
	bool own = port < HV_FAKE_PORTS && f->port[port].channel == (struct fake_evtchn *)e;

	return own ? &f->port[port] : NULL;
}

int fake_evtchn_unbind(struct hv_evtchn *e, evtchn_t port)
{
	struct hv_fake *f = fake_lock(e->hv);
	struct fake_port *p = own_port(f, e, port);
	int rc = fake_called(f, HV_FAKE_UNBIND);

	if (rc == 0 && !p)
		rc = -EINVAL;
	if (rc == 0)
		port_free(f, p);
	fake_unlock(f);
	return rc;
}

int fake_evtchn_notify(struct hv_evtchn *e, evtchn_t port)
{
	struct hv_fake *f = fake_lock(e->hv);
	struct fake_port *p = own_port(f, e, port);
	struct fake_guest_port *g = p ? other_end(f, p) : NULL;
	int rc = fake_called(f, HV_FAKE_NOTIFY);

	if (rc == 0)
		rc = !p ? -EINVAL : !g ? -ENOTCONN : 0;
	if (rc == 0)
		g->pending = true;
	fake_unlock(f);
	return rc;
}

unsigned fake_evtchn_pending(struct hv_evtchn *e, evtchn_t *ports, unsigned max, bool arm)
{
	struct fake_evtchn *channel = (struct fake_evtchn *)e;
	struct hv_fake *f = fake_lock(e->hv);
	unsigned n = 0;
	eventfd_t fired;
	bool left = false;

	(void)arm; /* the descriptor always speaks up here */
	for (evtchn_t i = 1; i < HV_FAKE_PORTS; i++) {
		if (f->port[i].channel != channel || !f->port[i].pending)
			continue;
		if (n == max) {
			left = true;
			break;
		}
		f->port[i].pending = false;
		ports[n++] = i;
	}
	if (!left)
		eventfd_read(channel->fd, &fired);
	fake_unlock(f);
	return n;
}

/* ---- the guest's end ---- */

static struct fake_guest_port *guest_port(struct hv_fake *f, domid_t domid, evtchn_t port)
{
	struct fake_domain *d = fake_domain(f, domid);

	return d && port && port < HV_FAKE_PORTS && d->port[port].used ? &d->port[port] : NULL;
}

int hv_fake_evtchn_alloc(struct hv *hv, domid_t domid, domid_t remote, evtchn_t *port)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_domain *d = fake_domain(f, domid);
	int rc = d ? -ENOSPC : -EINVAL;

	for (evtchn_t i = 1; d && i < HV_FAKE_PORTS; i++) {
		if (d->port[i].used)
			continue;
		d->port[i] = (struct fake_guest_port){.used = true, .remote = remote};
		*port = i;
		rc = 0;
		break;
	}
	fake_unlock(f);
	return rc;
}

int hv_fake_evtchn_send(struct hv *hv, domid_t domid, evtchn_t port)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_guest_port *g = guest_port(f, domid, port);
	int rc = !g ? -EINVAL : !g->bound ? -ENOTCONN : 0;

	if (rc == 0)
		fire(&f->port[g->bound]);
	fake_unlock(f);
	return rc;
}

bool hv_fake_evtchn_take(struct hv *hv, domid_t domid, evtchn_t port)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_guest_port *g = guest_port(f, domid, port);
	bool fired = g && g->pending;

	if (g)
		g->pending = false;
	fake_unlock(f);
	return fired;
}

static void guest_port_close(struct hv_fake *f, struct fake_guest_port *g)
{
	if (g->bound)
		f->port[g->bound].remote = 0;
	*g = (struct fake_guest_port){0};
}

void hv_fake_evtchn_close(struct hv *hv, domid_t domid, evtchn_t port)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_guest_port *g = guest_port(f, domid, port);

	if (g)
		guest_port_close(f, g);
	fake_unlock(f);
}

void fake_ports_of_domain_close(struct hv_fake *f, struct fake_domain *d)
{
	for (unsigned i = 0; i < HV_FAKE_PORTS; i++)
		guest_port_close(f, &d->port[i]);
}
