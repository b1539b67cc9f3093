/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Event channels, 2-level ABI: 4096 ports a domain. Ends are unbound, interdomain, VIRQ or IPI. Domain 0's ends belong either to an
 * attached process (hvshare channel) or to sluiced itself (XenStore, console: an eventfd of the main loop). Callers hold hv_lock.
 */
#ifndef SLUICE_EVENT_H
#define SLUICE_EVENT_H

#include "domain.h"

int evtchn_domain_init(struct domain *d);
void evtchn_domain_fini(struct domain *d); /* closes every port; other ends become unbound (guests) or closed (domain 0) */

long do_event_channel_op(struct vcpu *v, unsigned cmd, gva_t arg);

/* Raise VIRQ_TIMER and the like on v, if bound. */
void evtchn_raise_virq(struct vcpu *v, unsigned virq);

/* Make a port of d whose other end is sluiced itself: a guest's send writes fd (an eventfd). Gives the guest's port. */
int evtchn_bind_internal(struct domain *d, int fd, evtchn_t *port);
/* Raise that guest port from sluiced. */
void evtchn_raise(struct domain *d, evtchn_t port);

/* What EVTCHNOP_alloc_unbound, _close and _send do: also for hosted domains. Port or -errno; 0 or -EINVAL: no such port of d. */
long evtchn_alloc_unbound(struct domain *d, domid_t remote);
long evtchn_close(struct domain *d, evtchn_t port);
long evtchn_send(struct domain *d, evtchn_t port);

/* For do_sched_op: is any of these ports pending (SCHEDOP_poll)? */
bool evtchn_any_pending(struct domain *d, const evtchn_t *ports, unsigned n);

/* Has the guest an upcall to take now (pending and not masked)? */
bool evtchn_upcall_due(const struct vcpu *v);

/* ---- domain 0's attached processes (dom0.c) ---- */
int evtchn_dom0_bind(unsigned client, unsigned channel, domid_t domid, evtchn_t remote, evtchn_t *port);
int evtchn_dom0_unbind(unsigned client, evtchn_t port);
void evtchn_dom0_client_gone(unsigned client);
void evtchn_dom0_channel_gone(unsigned client, unsigned channel);
/* The eventfd that wakes a channel; dom0.c owns it and tells us. -1 takes it away. */
void evtchn_dom0_set_fd(unsigned client, unsigned channel, int fd);

#endif
