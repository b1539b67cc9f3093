/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guests' ends of event channels and the hypercall that makes them. A guest can send in a loop as it likes: a port that is pending
 * stays so, and nothing queues. Domain 0's ends are in event_dom0.c.
 */
#include "event_private.h"

#include <errno.h>
#include <sluice/hvshare_event.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest_access.h"
#include "vcpu.h"

int evtchn_domain_init(struct domain *d)
{
	d->evtchn = calloc(1, sizeof(*d->evtchn));
	return d->evtchn ? 0 : -ENOMEM;
}

struct port *evtchn_port(struct domain *d, evtchn_t port)
{
	if (!port || port >= HVSHARE_PORTS || d->evtchn->port[port].state == PORT_FREE)
		return NULL;
	return &d->evtchn->port[port];
}

static long port_alloc(struct domain *d, struct port content)
{
	for (evtchn_t port = 1; port < HVSHARE_PORTS; port++) {
		if (d->evtchn->port[port].state == PORT_FREE) {
			d->evtchn->port[port] = content;
			return port;
		}
	}
	return -ENOSPC;
}

/* ---- delivery ---- */

static void needs(struct domain *d, enum hvshare_deliver what)
{
	if (what == HVSHARE_DELIVER_WAKE && d->hosted)
		hvshare_hosted_wake(d->shared_info, d->bell);
	else if (what == HVSHARE_DELIVER_WAKE)
		vcpu_kick(&d->vcpu[0]);
	else if (what == HVSHARE_DELIVER_UNBLOCK)
		hvshare_vcpu_unblock(&d->share->vcpu[0]);
}

void evtchn_raise(struct domain *d, evtchn_t port)
{
	if (evtchn_port(d, port))
		needs(d, hvshare_port_raise(d->shared_info, port));
}

void evtchn_raise_virq(struct vcpu *v, unsigned virq)
{
	if (virq < NR_VIRQS)
		evtchn_raise(v->domain, v->domain->evtchn->virq[virq]);
}

bool evtchn_any_pending(struct domain *d, const evtchn_t *ports, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		evtchn_t port = ports[i];

		if (port < HVSHARE_PORTS && (shm_load_acquire(&d->shared_info->evtchn_pending[port / 64]) >> port % 64 & 1))
			return true;
	}
	return false;
}

bool evtchn_upcall_due(const struct vcpu *v)
{
	/* Pairs with hvshare_port_select: run_state was stored before this load. */
	return __atomic_load_n(&v->info->evtchn_upcall_pending, __ATOMIC_SEQ_CST) && !shm_load(&v->info->evtchn_upcall_mask);
}

/* ---- ends come and go ---- */

/* The other end of a channel, of the domain that is left, waits for somebody to bind again. It may have been closed and used anew while
 * `gone` was dying: then it is none of ours any more. */
static void other_end_unbind(const struct port *was, domid_t gone, evtchn_t gone_port)
{
	struct domain *d = was->remote ? domain_find(was->remote) : NULL;
	struct port *p = d ? evtchn_port(d, was->remote_port) : NULL;

	if (was->remote == 0)
		evtchn_dom0_closed(was->remote_port);
	else if (p && p->state == PORT_INTERDOMAIN && p->remote == gone && p->remote_port == gone_port)
		*p = (struct port){.state = PORT_UNBOUND, .remote = gone};
}

static void port_close(struct domain *d, evtchn_t port)
{
	struct port *p = &d->evtchn->port[port];
	struct port was = *p;

	*p = (struct port){.state = PORT_FREE};
	/* A firing that nobody took must not look like one of the port's next life. */
	__atomic_fetch_and(&d->shared_info->evtchn_pending[port / 64], ~((xen_ulong_t)1 << port % 64), __ATOMIC_SEQ_CST);
	if (was.state == PORT_VIRQ)
		d->evtchn->virq[was.virq] = 0;
	else if (was.state == PORT_INTERDOMAIN)
		other_end_unbind(&was, d->domid, port);
}

static void close_all(struct domain *d)
{
	for (evtchn_t port = 1; port < HVSHARE_PORTS; port++)
		if (d->evtchn->port[port].state != PORT_FREE)
			port_close(d, port);
}

void evtchn_domain_fini(struct domain *d)
{
	if (!d->evtchn)
		return;
	close_all(d);
	free(d->evtchn);
	d->evtchn = NULL;
}

int evtchn_bind_internal(struct domain *d, int fd, evtchn_t *port)
{
	long rc = port_alloc(d, (struct port){.state = PORT_INTERNAL, .fd = fd});

	if (rc < 0)
		return (int)rc;
	*port = (evtchn_t)rc;
	return 0;
}

/* ---- the hypercall ---- */

static bool is_self(const struct vcpu *v, domid_t domid)
{
	return domid == DOMID_SELF || domid == v->domain->domid;
}

long evtchn_alloc_unbound(struct domain *d, domid_t remote)
{
	if (remote == DOMID_SELF)
		remote = d->domid;
	if (remote >= DOMID_FIRST_RESERVED)
		return -ESRCH;
	return port_alloc(d, (struct port){.state = PORT_UNBOUND, .remote = remote});
}

static long alloc_unbound(struct vcpu *v, gva_t arg)
{
	struct evtchn_alloc_unbound op;
	long rc;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (!is_self(v, op.dom))
		return -EPERM;
	rc = evtchn_alloc_unbound(v->domain, op.remote_dom);
	if (rc < 0)
		return rc;
	op.port = (evtchn_t)rc;
	return put_guest(v, arg, op) ? -EFAULT : 0;
}

/* Between guests; domain 0 offers no ports to them. */
static long bind_interdomain(struct vcpu *v, gva_t arg)
{
	struct evtchn_bind_interdomain op;
	struct domain *remote;
	struct port *theirs;
	long rc;

	if (get_guest(v, op, arg))
		return -EFAULT;
	remote = is_self(v, op.remote_dom) ? v->domain : domain_find(op.remote_dom);
	if (!remote)
		return -ESRCH;
	theirs = evtchn_port(remote, op.remote_port);
	if (!theirs || theirs->state != PORT_UNBOUND || theirs->remote != v->domain->domid)
		return -EINVAL;
	rc = port_alloc(v->domain, (struct port){.state = PORT_INTERDOMAIN, .remote = remote->domid, .remote_port = op.remote_port});
	if (rc < 0)
		return rc;
	op.local_port = (evtchn_t)rc;
	*theirs = (struct port){.state = PORT_INTERDOMAIN, .remote = v->domain->domid, .remote_port = op.local_port};
	evtchn_raise(v->domain, op.local_port); /* they may have sent before we listened */
	return put_guest(v, arg, op) ? -EFAULT : 0;
}

static long bind_virq(struct vcpu *v, gva_t arg)
{
	struct evtchn_bind_virq op;
	long rc;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (op.virq >= NR_VIRQS)
		return -EINVAL;
	if (op.vcpu != 0)
		return -ENOENT;
	if (v->domain->evtchn->virq[op.virq])
		return -EEXIST;
	rc = port_alloc(v->domain, (struct port){.state = PORT_VIRQ, .virq = op.virq});
	if (rc < 0)
		return rc;
	op.port = (evtchn_t)rc;
	v->domain->evtchn->virq[op.virq] = op.port;
	return put_guest(v, arg, op) ? -EFAULT : 0;
}

static long bind_ipi(struct vcpu *v, gva_t arg)
{
	struct evtchn_bind_ipi op;
	long rc;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (op.vcpu != 0)
		return -ENOENT;
	rc = port_alloc(v->domain, (struct port){.state = PORT_IPI});
	if (rc < 0)
		return rc;
	op.port = (evtchn_t)rc;
	return put_guest(v, arg, op) ? -EFAULT : 0;
}

/* With one vCPU there is nothing to move. */
static long bind_vcpu(struct vcpu *v, gva_t arg)
{
	struct evtchn_bind_vcpu op;
	struct port *p;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (op.vcpu != 0)
		return -ENOENT;
	p = evtchn_port(v->domain, op.port);
	return p && (p->state == PORT_UNBOUND || p->state == PORT_INTERDOMAIN || p->state == PORT_INTERNAL) ? 0 : -EINVAL;
}

long evtchn_close(struct domain *d, evtchn_t port)
{
	if (!evtchn_port(d, port))
		return -EINVAL;
	port_close(d, port);
	return 0;
}

static long op_close(struct vcpu *v, gva_t arg)
{
	struct evtchn_close op;

	return get_guest(v, op, arg) ? -EFAULT : evtchn_close(v->domain, op.port);
}

static void send_interdomain(const struct port *p)
{
	struct domain *remote;

	if (p->remote == 0) {
		evtchn_dom0_raise(p->remote_port);
		return;
	}
	remote = domain_find(p->remote);
	if (remote)
		evtchn_raise(remote, p->remote_port);
}

static void send_internal(const struct port *p)
{
	uint64_t one = 1;

	if (write(p->fd, &one, sizeof(one)) != sizeof(one))
		return; /* EAGAIN: the counter is full, so the main loop will look anyway */
}

long evtchn_send(struct domain *d, evtchn_t port)
{
	const struct port *p = evtchn_port(d, port);

	if (!p)
		return -EINVAL;
	switch (p->state) {
	case PORT_INTERDOMAIN:
		send_interdomain(p);
		return 0;
	case PORT_INTERNAL:
		send_internal(p);
		return 0;
	case PORT_IPI:
		evtchn_raise(d, port);
		return 0;
	case PORT_UNBOUND:
		return 0; /* nobody listens: dropped, as on Xen */
	default:
		return -EINVAL;
	}
}

static long op_send(struct vcpu *v, gva_t arg)
{
	struct evtchn_send op;

	return get_guest(v, op, arg) ? -EFAULT : evtchn_send(v->domain, op.port);
}

static long op_status(struct vcpu *v, gva_t arg)
{
	struct evtchn_status op;
	const struct port *p;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (!is_self(v, op.dom))
		return -EPERM;
	if (op.port >= HVSHARE_PORTS)
		return -EINVAL;
	p = &v->domain->evtchn->port[op.port];
	op.vcpu = 0;
	switch (p->state) {
	case PORT_FREE:
		op.status = EVTCHNSTAT_closed;
		break;
	case PORT_UNBOUND:
		op.status = EVTCHNSTAT_unbound;
		op.u.unbound.dom = p->remote;
		break;
	case PORT_INTERDOMAIN:
	case PORT_INTERNAL: /* to the guest, XenStore and the console live in domain 0 */
		op.status = EVTCHNSTAT_interdomain;
		op.u.interdomain.dom = p->remote;
		op.u.interdomain.port = p->state == PORT_INTERDOMAIN ? p->remote_port : 0;
		break;
	case PORT_VIRQ:
		op.status = EVTCHNSTAT_virq;
		op.u.virq = p->virq;
		break;
	default:
		op.status = EVTCHNSTAT_ipi;
		break;
	}
	return put_guest(v, arg, op) ? -EFAULT : 0;
}

static long op_unmask(struct vcpu *v, gva_t arg)
{
	struct shared_info *si = v->domain->shared_info;
	struct evtchn_unmask op;
	xen_ulong_t bit;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (!evtchn_port(v->domain, op.port))
		return -EINVAL;
	bit = (xen_ulong_t)1 << op.port % 64;
	if ((__atomic_fetch_and(&si->evtchn_mask[op.port / 64], ~bit, __ATOMIC_SEQ_CST) & bit) &&
	    (__atomic_load_n(&si->evtchn_pending[op.port / 64], __ATOMIC_SEQ_CST) & bit))
		needs(v->domain, hvshare_port_select(si, op.port));
	return 0;
}

static long op_reset(struct vcpu *v, gva_t arg)
{
	struct evtchn_reset op;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (!is_self(v, op.dom))
		return -EPERM;
	close_all(v->domain);
	return 0;
}

long do_event_channel_op(struct vcpu *v, unsigned cmd, gva_t arg)
{
	static long (*const ops[])(struct vcpu *v, gva_t arg) = {
		[EVTCHNOP_alloc_unbound] = alloc_unbound, [EVTCHNOP_bind_interdomain] = bind_interdomain,
		[EVTCHNOP_bind_virq] = bind_virq,         [EVTCHNOP_bind_ipi] = bind_ipi,
		[EVTCHNOP_bind_vcpu] = bind_vcpu,         [EVTCHNOP_close] = op_close,
		[EVTCHNOP_send] = op_send,                [EVTCHNOP_status] = op_status,
		[EVTCHNOP_unmask] = op_unmask,            [EVTCHNOP_reset] = op_reset,
	};

	if (cmd == EVTCHNOP_bind_pirq)
		return -EPERM; /* a domU has no physical interrupts */
	if (cmd >= sizeof(ops) / sizeof(ops[0]) || !ops[cmd])
		return -ENOSYS;
	return ops[cmd](v, arg);
}
