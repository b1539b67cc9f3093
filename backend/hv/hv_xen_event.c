/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Event channels on Xen through /dev/xen/evtchn. Linux masks a port when it fires, a read of the device fetches such ports and a write of them unmasks; both take many
 * at once, where libxenevtchn's own calls take one.
 */
#include "hv_xen_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <x86intrin.h>

/* A caller that polls (arm is false) costs a read of the device at most this often: 20 us at 2.5 GHz, and the order of magnitude is what matters. While looks find nothing they become
 * rarer, up to LOOK_RARE: each of them takes dom0 as long as a packet. */
#define LOOK_OFTEN 50000u
#define LOOK_RARE 200000u

static struct xen_evtchn *evtchn_of(struct hv_evtchn *e)
{
	return (struct xen_evtchn *)e;
}

static int fail(void)
{
	return errno ? -errno : -EIO;
}

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : fail();
}

int hv_xen_evtchn_open(struct hv *hv, struct hv_evtchn **out)
{
	struct hv_xen *x = hv_xen_of(hv);
	struct xen_evtchn *e = calloc(1, sizeof(*e));
	int rc;

	if (!e)
		return -ENOMEM;
	e->base.hv = hv;
	e->look_every = LOOK_OFTEN;
	e->xce = xenevtchn_open(&hv_xen_quiet, 0);
	rc = e->xce ? set_nonblocking(xenevtchn_fd(e->xce)) : fail();
	if (rc) {
		if (e->xce)
			xenevtchn_close(e->xce);
		free(e);
		return rc;
	}
	pthread_mutex_lock(&x->lock);
	LIST_INSERT_HEAD(&x->evtchns, e, next);
	pthread_mutex_unlock(&x->lock);
	*out = &e->base;
	return 0;
}

/* Linux unbinds what is bound when the device is closed. */
void hv_xen_evtchn_close(struct hv_evtchn *base)
{
	struct xen_evtchn *e = evtchn_of(base);

	if (!e)
		return;
	pthread_mutex_lock(&hv_xen_of(base->hv)->lock);
	LIST_REMOVE(e, next);
	pthread_mutex_unlock(&hv_xen_of(base->hv)->lock);
	xenevtchn_close(e->xce);
	free(e);
}

int hv_xen_evtchn_fd(struct hv_evtchn *e)
{
	return xenevtchn_fd(evtchn_of(e)->xce);
}

int hv_xen_evtchn_bind(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port)
{
	int ours;

	errno = 0;
	ours = xenevtchn_bind_interdomain(evtchn_of(e)->xce, domid, remote);
	if (ours >= 0) {
		*port = (evtchn_t)ours;
		return 0;
	}
	return errno == ENOMEM || errno == ENOSPC ? -errno : -EINVAL; /* Xen has several words for "not offered to you" */
}

int hv_xen_evtchn_unbind(struct hv_evtchn *e, evtchn_t port)
{
	errno = 0;
	return xenevtchn_unbind(evtchn_of(e)->xce, port) == 0 ? 0 : fail();
}

int hv_xen_evtchn_notify(struct hv_evtchn *e, evtchn_t port)
{
	errno = 0;
	return xenevtchn_notify(evtchn_of(e)->xce, port) == 0 ? 0 : fail();
}

/* Linux takes all of it or, for a port that was unbound meanwhile, skips that one. */
static void unmask(int fd, const evtchn_t *ports, unsigned n)
{
	ssize_t done;

	do
		done = write(fd, ports, n * sizeof(*ports));
	while (done < 0 && errno == EINTR);
}

unsigned hv_xen_evtchn_pending(struct hv_evtchn *base, evtchn_t *ports, unsigned max, bool arm)
{
	struct xen_evtchn *e = evtchn_of(base);
	int fd = xenevtchn_fd(e->xce);
	uint64_t now = __rdtsc();
	unsigned n;
	ssize_t got;

	if (!arm && now < e->next_look)
		return 0;
	got = read(fd, ports, max * sizeof(*ports));
	n = got > 0 ? (unsigned)((size_t)got / sizeof(*ports)) : 0;
	if (n)
		unmask(fd, ports, n);
	e->look_every = n || arm ? LOOK_OFTEN : e->look_every * 2 < LOOK_RARE ? e->look_every * 2 : LOOK_RARE;
	/* At once after a sleep that this call begins, and while more may wait. */
	e->next_look = (arm && !n) || n == max ? 0 : now + e->look_every;
	return n;
}
