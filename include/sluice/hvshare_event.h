/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raising and hearing events through memory shared by sluiced and domain 0. Callers: hypervisor/event.c and vcpu.c, and
 * backend/hv/hv_sluice_event.c, which raises a guest's event without a trap. 2-level ABI, one vCPU a domain.
 */
#ifndef SLUICE_HVSHARE_EVENT_H
#define SLUICE_HVSHARE_EVENT_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <sluice/hvshare.h>
#include <sluice/shm.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A vCPU that waits in SCHEDOP_block or SCHEDOP_poll goes on. */
static inline void hvshare_vcpu_unblock(struct hvshare_vcpu *v)
{
	uint32_t blocked = HVSHARE_RUN_BLOCKED;

	if (__atomic_compare_exchange_n(&v->run_state, &blocked, HVSHARE_RUN_HYPERVISOR, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		syscall(SYS_futex, &v->run_state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/*
 * Make a vCPU look at its events, wherever it is. pidfd: of the engine's vCPU, or -1. Orders (with the exchange of run_state when the vCPU
 * enters the guest): the event bits before this load, as there the store of run_state before the load of the event bits.
 */
static inline void hvshare_vcpu_wake(struct hvshare_vcpu *v, int pidfd)
{
	switch (__atomic_load_n(&v->run_state, __ATOMIC_SEQ_CST)) {
	case HVSHARE_RUN_GUEST:
		if (pidfd >= 0)
			syscall(SYS_pidfd_send_signal, pidfd, SIGURG, NULL, 0);
		break;
	case HVSHARE_RUN_BLOCKED:
		hvshare_vcpu_unblock(v);
		break;
	default:
		break;
	}
}

/*
 * The same for a hosted domain: a byte into its bell, a socket, unless it is awake. Its process holds the other end only and cannot make us
 * wait, whatever it does with that. Orders: the event bits before the load of the mask; the process clears its mask before it looks at the bits.
 */
static inline void hvshare_hosted_wake(struct shared_info *si, int bell)
{
	if (bell >= 0 && !__atomic_load_n(&si->vcpu_info[0].evtchn_upcall_mask, __ATOMIC_SEQ_CST))
		send(bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* What the vCPU needs after a port's bits were set. */
enum hvshare_deliver {
	HVSHARE_DELIVER_NONE,    /* it knows already, or the port is masked */
	HVSHARE_DELIVER_UNBLOCK, /* the port is masked, or an upcall is due already: only a vCPU that polls must look */
	HVSHARE_DELIVER_WAKE,    /* a new upcall is due */
};

/* Select the port's word and ask for an upcall of vCPU 0. */
static inline enum hvshare_deliver hvshare_port_select(struct shared_info *si, evtchn_t port)
{
	struct vcpu_info *info = &si->vcpu_info[0];
	xen_ulong_t word = (xen_ulong_t)1 << port / 64;

	if (__atomic_fetch_or(&info->evtchn_pending_sel, word, __ATOMIC_SEQ_CST) & word)
		return HVSHARE_DELIVER_UNBLOCK;
	return __atomic_exchange_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST) ? HVSHARE_DELIVER_UNBLOCK : HVSHARE_DELIVER_WAKE;
}

/* Set a port pending in a guest's shared_info; port < HVSHARE_PORTS. A port that is pending already costs one atomic operation. */
static inline enum hvshare_deliver hvshare_port_raise(struct shared_info *si, evtchn_t port)
{
	xen_ulong_t bit = (xen_ulong_t)1 << port % 64;

	if (__atomic_fetch_or(&si->evtchn_pending[port / 64], bit, __ATOMIC_SEQ_CST) & bit)
		return HVSHARE_DELIVER_NONE;
	if (__atomic_load_n(&si->evtchn_mask[port / 64], __ATOMIC_SEQ_CST) & bit)
		return HVSHARE_DELIVER_UNBLOCK;
	return hvshare_port_select(si, port);
}

/* Domain 0 raises its port: -ENOTCONN when the other end is gone. fd: as the reply to HVSOCK_BIND had it. */
static inline int hvshare_port_notify(struct hvshare *s, uint8_t *machine, evtchn_t port, int fd)
{
	struct hvshare_port *p = &s->port[port % HVSHARE_PORTS];
	struct hvshare_domain *d = &s->domain[p->remote_domid % HVSHARE_DOMAINS];
	struct shared_info *si;

	if (__atomic_load_n(&p->state, __ATOMIC_ACQUIRE) != HVSHARE_PORT_BOUND || !__atomic_load_n(&d->alive, __ATOMIC_ACQUIRE))
		return -ENOTCONN;
	si = (struct shared_info *)(machine + (d->shared_info_mfn << SLUICE_PAGE_SHIFT));
	switch (hvshare_port_raise(si, p->remote_port)) {
	case HVSHARE_DELIVER_WAKE:
		if (d->vcpu[0].generation != p->vcpu_generation)
			fd = -1;
		if (__atomic_load_n(&d->vcpu[0].run_state, __ATOMIC_RELAXED) == HVSHARE_RUN_HOSTED)
			hvshare_hosted_wake(si, fd);
		else
			hvshare_vcpu_wake(&d->vcpu[0], fd);
		break;
	case HVSHARE_DELIVER_UNBLOCK:
		hvshare_vcpu_unblock(&d->vcpu[0]);
		break;
	case HVSHARE_DELIVER_NONE:
		break;
	}
	return 0;
}

/* A port of domain 0 fired. True when its owner sleeps: the caller writes the channel's eventfd. */
static inline bool hvshare_channel_raise(struct hvshare_channel *c, evtchn_t port)
{
	uint64_t bit = 1ull << port % 64;

	if (__atomic_fetch_or(&c->pending[port / 64], bit, __ATOMIC_SEQ_CST) & bit)
		return false;
	__atomic_fetch_or(&c->pending_sel, 1ull << port / 64, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&c->armed, __ATOMIC_SEQ_CST) && __atomic_exchange_n(&c->armed, 0, __ATOMIC_SEQ_CST);
}

/* Fetch and clear up to max ports that fired. */
static inline unsigned hvshare_channel_take(struct hvshare_channel *c, evtchn_t *ports, unsigned max)
{
	unsigned n = 0;
	uint64_t sel;

	if (!__atomic_load_n(&c->pending_sel, __ATOMIC_SEQ_CST))
		return 0;
	for (sel = __atomic_exchange_n(&c->pending_sel, 0, __ATOMIC_SEQ_CST); sel && n < max; sel &= sel - 1) {
		unsigned w = (unsigned)__builtin_ctzll(sel);
		uint64_t bits = __atomic_exchange_n(&c->pending[w], 0, __ATOMIC_SEQ_CST);

		for (; bits && n < max; bits &= bits - 1)
			ports[n++] = w * 64 + (unsigned)__builtin_ctzll(bits);
		if (bits) {
			__atomic_fetch_or(&c->pending[w], bits, __ATOMIC_SEQ_CST);
			break; /* this word stays selected */
		}
	}
	if (sel)
		__atomic_fetch_or(&c->pending_sel, sel, __ATOMIC_SEQ_CST);
	return n;
}

#endif
