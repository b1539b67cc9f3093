/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Event channels, the 2-level ABI: a bit for each port in shared_info, a word of selectors above it. The kernel runs with upcalls masked and looks at the
 * bits itself; only events_block lets an upcall in, and that upcall leaves them masked. So nothing here races, a busy guest is never interrupted, and a
 * peer that notifies it again costs nothing. Called by time.c, console.c, port_pv.c.
 */
#include "kernel.h"
#include "hypercall.h"
#include <errno.h>
#include <sluice/shm.h>

#define WORDS 64u
#define PORTS (WORDS * 64u)

extern uint8_t upcall_entry[], failsafe_entry[];
void events_upcall(void);

static uint64_t fired[WORDS]; /* fetched from shared_info, not yet taken */
static uint64_t fired_sel;    /* bit w: fired[w] is not 0 */

static struct vcpu_info *vcpu(void)
{
	return &shared_info->vcpu_info[0];
}

/* Move what is pending into our own words. The flag is cleared before the words are read: what comes later sets it again. */
static void scan(void)
{
	uint64_t sel;

	if (!shm_load(&vcpu()->evtchn_upcall_pending))
		return;
	shm_store(&vcpu()->evtchn_upcall_pending, 0);
	shm_mb(); /* our clearing of the flag before our look at the selectors */
	sel = __atomic_exchange_n(&vcpu()->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
	fired_sel |= sel;
	for (; sel; sel &= sel - 1) {
		unsigned w = (unsigned)__builtin_ctzll(sel);
		uint64_t bits = shm_load(&shared_info->evtchn_pending[w]) & ~shm_load(&shared_info->evtchn_mask[w]);

		__atomic_fetch_and(&shared_info->evtchn_pending[w], ~bits, __ATOMIC_SEQ_CST);
		fired[w] |= bits;
	}
}

void events_upcall(void)
{
	scan();
}

int events_init(void)
{
	for (unsigned w = 0; w < WORDS; w++)
		shm_store(&shared_info->evtchn_mask[w], ~0ull);
	shm_store(&vcpu()->evtchn_upcall_mask, 1);
	return (int)hypercall3(__HYPERVISOR_set_callbacks, (uintptr_t)upcall_entry, (uintptr_t)failsafe_entry, 0);
}

/* A port that fired while it was masked raised nothing: do it now. */
void events_unmask(evtchn_t port)
{
	unsigned w = port / 64;

	if (port >= PORTS)
		return;
	__atomic_fetch_and(&shared_info->evtchn_mask[w], ~(1ull << port % 64), __ATOMIC_SEQ_CST);
	if (shm_load(&shared_info->evtchn_pending[w]) >> port % 64 & 1) {
		__atomic_fetch_or(&vcpu()->evtchn_pending_sel, 1ull << w, __ATOMIC_SEQ_CST);
		shm_store(&vcpu()->evtchn_upcall_pending, 1);
	}
}

int events_alloc(domid_t remote, evtchn_t *port)
{
	struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = remote };
	int rc = (int)event_channel_op(EVTCHNOP_alloc_unbound, &op);

	if (rc)
		return rc;
	*port = op.port;
	events_unmask(op.port);
	return 0;
}

int events_bind_virq(unsigned virq, evtchn_t *port)
{
	struct evtchn_bind_virq op = { .virq = virq, .vcpu = 0 };
	int rc = (int)event_channel_op(EVTCHNOP_bind_virq, &op);

	if (rc)
		return rc;
	*port = op.port;
	events_unmask(op.port);
	return 0;
}

void events_close(evtchn_t port)
{
	struct evtchn_close op = { .port = port };

	if (port >= PORTS)
		return;
	__atomic_fetch_or(&shared_info->evtchn_mask[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
	event_channel_op(EVTCHNOP_close, &op);
	events_take(port);
}

void events_notify(evtchn_t port)
{
	struct evtchn_send op = { .port = port };

	event_channel_op(EVTCHNOP_send, &op);
}

bool events_take(evtchn_t port)
{
	unsigned w = port / 64;
	uint64_t bit = 1ull << port % 64;

	scan();
	if (port >= PORTS || !(fired[w] & bit))
		return false;
	fired[w] &= ~bit;
	if (!fired[w])
		fired_sel &= ~(1ull << w);
	return true;
}

bool events_any(void)
{
	scan();
	for (uint64_t sel = fired_sel; sel; sel &= sel - 1)
		if (fired[__builtin_ctzll(sel)])
			return true;
	return false;
}

void events_block(void)
{
	sched_op(SCHEDOP_block, NULL); /* unmasks upcalls and looks at what is pending in one step, then sleeps */
	shm_store(&vcpu()->evtchn_upcall_mask, 1);
}
