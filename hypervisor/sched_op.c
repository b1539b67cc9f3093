/* SPDX-License-Identifier: BSD-3-Clause */
/* sched_op in its present and its first form: yield, block, poll, shutdown. hypercall.c calls in, on the vCPU's own thread. */
#include <errno.h>
#include <sched.h>
#include <sluice/shm.h>

#include "event.h"
#include "guest_access.h"
#include "hypercall.h"
#include "vcpu.h"

#define POLL_PORTS_MAX 128u

static long yield(void)
{
	hv_lock_release();
	sched_yield();
	hv_lock_acquire();
	return 0;
}

/* Unmask and look at what is pending in one step, so that no event is slept through. */
static long block(struct vcpu *v)
{
	shm_store(&v->info->evtchn_upcall_mask, 0);
	if (!evtchn_upcall_due(v))
		vcpu_block(v, NULL, 0, 0);
	return 0;
}

static long poll(struct vcpu *v, gva_t arg)
{
	evtchn_t ports[POLL_PORTS_MAX];
	struct sched_poll p;

	if (get_guest(v, p, arg))
		return -EFAULT;
	if (p.nr_ports > POLL_PORTS_MAX)
		return -EINVAL;
	if (copy_from_guest(v, ports, (gva_t)(uintptr_t)p.ports.p, p.nr_ports * sizeof(ports[0])))
		return -EFAULT;
	for (unsigned i = 0; i < p.nr_ports; i++)
		if (ports[i] >= EVTCHN_2L_NR_CHANNELS)
			return -EINVAL;
	if (!evtchn_any_pending(v->domain, ports, p.nr_ports))
		vcpu_block(v, ports, p.nr_ports, p.timeout);
	return 0;
}

static long shutdown(struct vcpu *v, gva_t arg, bool only_latch)
{
	struct sched_shutdown s;

	if (get_guest(v, s, arg))
		return -EFAULT;
	if (only_latch) {
		v->domain->shutdown_reason = (uint8_t)s.reason;
		v->domain->shutdown_reason_latched = true;
	} else {
		domain_shutdown(v->domain, (uint8_t)s.reason);
	}
	return 0;
}

long do_sched_op(struct vcpu *v, unsigned cmd, gva_t arg)
{
	switch (cmd) {
	case SCHEDOP_yield:
		return yield();
	case SCHEDOP_block:
		return block(v);
	case SCHEDOP_poll:
		return poll(v, arg);
	case SCHEDOP_shutdown:
	case SCHEDOP_shutdown_code:
		return shutdown(v, arg, cmd == SCHEDOP_shutdown_code);
	case SCHEDOP_remote_shutdown:
	case SCHEDOP_pin_override:
		return -EPERM;
	default:
		return -ENOSYS;
	}
}

long do_sched_op_compat(struct vcpu *v, unsigned cmd, uint64_t arg)
{
	switch (cmd) {
	case SCHEDOP_yield:
		return yield();
	case SCHEDOP_block:
		return block(v);
	case SCHEDOP_shutdown:
		domain_shutdown(v->domain, (uint8_t)arg);
		return 0;
	default:
		return -ENOSYS;
	}
}
