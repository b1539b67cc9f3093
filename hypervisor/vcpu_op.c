/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vcpu_op: a domain has one vCPU, up for as long as it lives. vcpu_info stays in shared_info (register_vcpu_info is not offered): domain 0
 * raises events there without a lock, and only a shared_info frame is never reused for anything else.
 */
#include "time_private.h"

#include <errno.h>

#include "guest_access.h"

#define PERIOD_MIN_NS 1000000ull /* as Xen */

static struct vcpu_runstate_info runstate(const struct vcpu *v)
{
	const struct domain *d = v->domain;
	uint64_t now = time_system_ns(), lived = now - d->created_ns;
	uint64_t ran = d->cpu_time_ns < lived ? d->cpu_time_ns : lived;
	struct vcpu_runstate_info info = {.state = RUNSTATE_running, .state_entry_time = now};

	info.time[RUNSTATE_running] = ran;
	info.time[RUNSTATE_blocked] = lived - ran;
	return info;
}

static long put_runstate(struct vcpu *v, gva_t to)
{
	struct vcpu_runstate_info info = runstate(v);

	return put_guest(v, to, info) ? -EFAULT : 0;
}

/* The area is filled in now; it then says what it said, for the times in it are a hint for the guest's own accounting. */
static long register_runstate(struct vcpu *v, gva_t arg)
{
	struct vcpu_register_runstate_memory_area area;

	if (get_guest(v, area, arg))
		return -EFAULT;
	return put_runstate(v, area.addr.p);
}

static long set_periodic(struct vcpu *v, gva_t arg)
{
	struct vcpu_set_periodic_timer op;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if (op.period_ns < PERIOD_MIN_NS || op.period_ns > INT64_MAX)
		return -EINVAL;
	time_set_periodic(v, op.period_ns);
	return 0;
}

static long set_singleshot(struct vcpu *v, gva_t arg)
{
	struct vcpu_set_singleshot_timer op;

	if (get_guest(v, op, arg))
		return -EFAULT;
	if ((op.flags & VCPU_SSHOTTMR_future) && op.timeout_abs_ns < time_system_ns())
		return -ETIME;
	return do_set_timer_op(v, op.timeout_abs_ns);
}

long do_vcpu_op(struct vcpu *v, unsigned cmd, unsigned vcpuid, gva_t arg)
{
	if (vcpuid != 0)
		return -ENOENT; /* Linux counts its CPUs by this answer */
	switch (cmd) {
	case VCPUOP_initialise:
		return -EEXIST;
	case VCPUOP_up:
		return 0;
	case VCPUOP_is_up:
		return 1;
	case VCPUOP_down:
		domain_shutdown(v->domain, SHUTDOWN_poweroff); /* the last vCPU of the domain; nobody can bring it up again */
		return 0;
	case VCPUOP_get_runstate_info:
		return put_runstate(v, arg);
	case VCPUOP_register_runstate_memory_area:
		return register_runstate(v, arg);
	case VCPUOP_set_periodic_timer:
		return set_periodic(v, arg);
	case VCPUOP_stop_periodic_timer:
		time_set_periodic(v, 0);
		return 0;
	case VCPUOP_set_singleshot_timer:
		return set_singleshot(v, arg);
	case VCPUOP_stop_singleshot_timer:
		return do_set_timer_op(v, 0);
	default:
		return -ENOSYS;
	}
}
