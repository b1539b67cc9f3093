/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/event*.c and include/sluice/hvshare_event.h: guests' ends by hypercall, domain 0's ends as hv_sluice drives them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/event.h>
#include <sluice/hvshare_event.h>
#include <sys/eventfd.h>
#include <tests/support/hypervisor_fakes.h>

#define CLIENT 1u
#define CHANNEL 2u

static struct domain *a, *b;

static int setup(void **state)
{
	(void)state;
	fake_machine_start(32);
	a = fake_guest("a", 1024);
	b = fake_guest("b", 1024);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	evtchn_dom0_client_gone(CLIENT);
	fake_machine_stop();
	return 0;
}

static long call(struct domain *d, unsigned cmd, void *op, size_t size)
{
	long rc;

	memcpy(fake_page(d, 1), op, size);
	rc = do_event_channel_op(&d->vcpu[0], cmd, fake_va(1));
	memcpy(op, fake_page(d, 1), size);
	return rc;
}

static evtchn_t offer(struct domain *d, domid_t remote)
{
	struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = remote};

	assert_int_equal(call(d, EVTCHNOP_alloc_unbound, &op, sizeof(op)), 0);
	return op.port;
}

static long raise_port(struct domain *d, evtchn_t port)
{
	struct evtchn_send op = {.port = port};

	return call(d, EVTCHNOP_send, &op, sizeof(op));
}

static long close_port(struct domain *d, evtchn_t port)
{
	struct evtchn_close op = {.port = port};

	return call(d, EVTCHNOP_close, &op, sizeof(op));
}

static uint32_t status(struct domain *d, evtchn_t port)
{
	struct evtchn_status op = {.dom = DOMID_SELF, .port = port};

	assert_int_equal(call(d, EVTCHNOP_status, &op, sizeof(op)), 0);
	return op.status;
}

static bool pending(struct domain *d, evtchn_t port)
{
	return evtchn_any_pending(d, &port, 1);
}

/* The guest takes its events. */
static void clear(struct domain *d)
{
	memset(d->shared_info->evtchn_pending, 0, sizeof(d->shared_info->evtchn_pending));
	d->vcpu[0].info->evtchn_pending_sel = 0;
	d->vcpu[0].info->evtchn_upcall_pending = 0;
}

static void connect_ports(evtchn_t *port_a, evtchn_t *port_b)
{
	struct evtchn_bind_interdomain op;

	*port_a = offer(a, b->domid);
	op = (struct evtchn_bind_interdomain){.remote_dom = a->domid, .remote_port = *port_a};
	assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &op, sizeof(op)), 0);
	*port_b = op.local_port;
}

/* ---- guests ---- */

static void test_guest_to_guest(void **state)
{
	evtchn_t pa, pb;

	(void)state;
	connect_ports(&pa, &pb);
	assert_true(pending(b, pb)); /* a fresh binding has fired once */
	clear(b);
	assert_int_equal(raise_port(a, pa), 0);
	assert_true(pending(b, pb));
	assert_int_equal(b->vcpu[0].info->evtchn_upcall_pending, 1);
	assert_int_equal(b->vcpu[0].info->evtchn_pending_sel, 1);
	assert_false(pending(a, pa));
	assert_false(evtchn_upcall_due(&b->vcpu[0])); /* masked until the guest is ready */
	b->vcpu[0].info->evtchn_upcall_mask = 0;
	assert_true(evtchn_upcall_due(&b->vcpu[0]));
	assert_int_equal(raise_port(b, pb), 0);
	assert_true(pending(a, pa));
}

static void test_masked_port_asks_for_no_upcall(void **state)
{
	struct evtchn_unmask op;
	evtchn_t pa, pb;

	(void)state;
	connect_ports(&pa, &pb);
	clear(b);
	b->shared_info->evtchn_mask[0] = 1ull << pb;
	assert_int_equal(raise_port(a, pa), 0);
	assert_true(pending(b, pb));
	assert_int_equal(b->vcpu[0].info->evtchn_upcall_pending, 0);
	op.port = pb;
	assert_int_equal(call(b, EVTCHNOP_unmask, &op, sizeof(op)), 0);
	assert_int_equal(b->shared_info->evtchn_mask[0], 0);
	assert_int_equal(b->vcpu[0].info->evtchn_upcall_pending, 1);
	clear(b);
	assert_int_equal(call(b, EVTCHNOP_unmask, &op, sizeof(op)), 0); /* was not masked: nothing happens */
	assert_int_equal(b->vcpu[0].info->evtchn_upcall_pending, 0);
	op.port = 4095;
	assert_int_equal(call(b, EVTCHNOP_unmask, &op, sizeof(op)), -EINVAL);
}

static void test_a_blocked_vcpu_wakes(void **state)
{
	evtchn_t pa, pb;

	(void)state;
	connect_ports(&pa, &pb);
	clear(b);
	b->share->vcpu[0].run_state = HVSHARE_RUN_BLOCKED;
	assert_int_equal(raise_port(a, pa), 0);
	assert_int_equal(b->share->vcpu[0].run_state, HVSHARE_RUN_HYPERVISOR);
	/* still pending: it knows */
	b->share->vcpu[0].run_state = HVSHARE_RUN_BLOCKED;
	assert_int_equal(raise_port(a, pa), 0);
	assert_int_equal(b->share->vcpu[0].run_state, HVSHARE_RUN_BLOCKED);
	/* a vCPU that polls waits for masked ports too */
	clear(b);
	b->shared_info->evtchn_mask[0] = ~0ull;
	assert_int_equal(raise_port(a, pa), 0);
	assert_int_equal(b->share->vcpu[0].run_state, HVSHARE_RUN_HYPERVISOR);
}

static void test_bind_refuses_what_is_not_offered(void **state)
{
	struct evtchn_bind_interdomain op = {.remote_dom = a->domid};
	evtchn_t to_dom0 = offer(a, 0), to_a = offer(a, DOMID_SELF), pa, pb;
	const evtchn_t bad[] = {0, to_dom0, to_a, 99, 4095, 4096, ~0u};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		op.remote_port = bad[i];
		assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &op, sizeof(op)), -EINVAL);
	}
	connect_ports(&pa, &pb);
	op.remote_port = pa; /* taken */
	assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &op, sizeof(op)), -EINVAL);
	op.remote_dom = 200;
	assert_int_equal(call(b, EVTCHNOP_bind_interdomain, &op, sizeof(op)), -ESRCH);
}

static void test_loopback(void **state)
{
	struct evtchn_bind_interdomain op = {.remote_dom = DOMID_SELF};

	(void)state;
	op.remote_port = offer(a, DOMID_SELF);
	assert_int_equal(call(a, EVTCHNOP_bind_interdomain, &op, sizeof(op)), 0);
	clear(a);
	assert_int_equal(raise_port(a, op.local_port), 0);
	assert_true(pending(a, op.remote_port));
	assert_int_equal(close_port(a, op.local_port), 0);
	assert_int_equal(status(a, op.remote_port), EVTCHNSTAT_unbound);
}

/* While a domain ends, its peers close their ends and use the ports anew: its own closing must not touch those. */
static void test_port_used_anew_while_the_old_peer_dies(void **state)
{
	struct evtchn_bind_interdomain op = {.remote_dom = DOMID_SELF};
	evtchn_t pa, pb;

	(void)state;
	connect_ports(&pa, &pb);
	b->run = DOMAIN_DYING;
	assert_int_equal(close_port(a, pa), 0);
	op.remote_port = offer(a, DOMID_SELF);
	assert_int_equal(op.remote_port, pa);
	assert_int_equal(call(a, EVTCHNOP_bind_interdomain, &op, sizeof(op)), 0);
	domain_destroy(b);
	assert_int_equal(status(a, pa), EVTCHNSTAT_interdomain);
	clear(a);
	assert_int_equal(raise_port(a, op.local_port), 0);
	assert_true(pending(a, pa));
}

static void test_close_unbinds_the_other_end(void **state)
{
	evtchn_t pa, pb;

	(void)state;
	connect_ports(&pa, &pb);
	assert_int_equal(status(a, pa), EVTCHNSTAT_interdomain);
	assert_int_equal(raise_port(b, pb), 0);
	assert_int_equal(close_port(b, pb), 0);
	assert_false(pending(b, pb)); /* its next life starts quiet */
	assert_int_equal(close_port(b, pb), -EINVAL);
	assert_int_equal(raise_port(b, pb), -EINVAL);
	assert_int_equal(status(b, pb), EVTCHNSTAT_closed);
	assert_int_equal(status(a, pa), EVTCHNSTAT_unbound);
	assert_int_equal(raise_port(a, pa), 0); /* dropped */
	connect_ports(&pa, &pb);
	domain_destroy(b);
	b = NULL;
	assert_int_equal(status(a, pa), EVTCHNSTAT_unbound);
}

static void test_virq_and_ipi(void **state)
{
	struct evtchn_bind_virq virq = {.virq = VIRQ_TIMER};
	struct evtchn_bind_ipi ipi = {.vcpu = 0};
	struct evtchn_bind_vcpu move;

	(void)state;
	evtchn_raise_virq(&a->vcpu[0], VIRQ_TIMER); /* nobody listens yet */
	assert_int_equal(call(a, EVTCHNOP_bind_virq, &virq, sizeof(virq)), 0);
	assert_false(pending(a, virq.port));
	evtchn_raise_virq(&a->vcpu[0], VIRQ_TIMER);
	assert_true(pending(a, virq.port));
	assert_int_equal(status(a, virq.port), EVTCHNSTAT_virq);
	assert_int_equal(raise_port(a, virq.port), -EINVAL);
	assert_int_equal(call(a, EVTCHNOP_bind_virq, &virq, sizeof(virq)), -EEXIST);
	assert_int_equal(close_port(a, virq.port), 0);
	assert_int_equal(call(a, EVTCHNOP_bind_virq, &virq, sizeof(virq)), 0);
	virq.virq = NR_VIRQS;
	assert_int_equal(call(a, EVTCHNOP_bind_virq, &virq, sizeof(virq)), -EINVAL);
	virq = (struct evtchn_bind_virq){.virq = VIRQ_DEBUG, .vcpu = 1};
	assert_int_equal(call(a, EVTCHNOP_bind_virq, &virq, sizeof(virq)), -ENOENT);
	assert_int_equal(call(a, EVTCHNOP_bind_ipi, &ipi, sizeof(ipi)), 0);
	assert_int_equal(raise_port(a, ipi.port), 0);
	assert_true(pending(a, ipi.port));
	move = (struct evtchn_bind_vcpu){.port = ipi.port};
	assert_int_equal(call(a, EVTCHNOP_bind_vcpu, &move, sizeof(move)), -EINVAL);
	ipi.vcpu = 1;
	assert_int_equal(call(a, EVTCHNOP_bind_ipi, &ipi, sizeof(ipi)), -ENOENT);
}

static void test_what_a_guest_may_not(void **state)
{
	struct evtchn_alloc_unbound op = {.dom = b->domid, .remote_dom = 0};
	struct evtchn_status st = {.dom = b->domid, .port = 1};
	char none[64] = {0};

	(void)state;
	assert_int_equal(call(a, EVTCHNOP_alloc_unbound, &op, sizeof(op)), -EPERM);
	op = (struct evtchn_alloc_unbound){.dom = DOMID_SELF, .remote_dom = DOMID_IO};
	assert_int_equal(call(a, EVTCHNOP_alloc_unbound, &op, sizeof(op)), -ESRCH);
	assert_int_equal(call(a, EVTCHNOP_status, &st, sizeof(st)), -EPERM);
	assert_int_equal(call(a, EVTCHNOP_bind_pirq, none, sizeof(none)), -EPERM);
	assert_int_equal(call(a, EVTCHNOP_init_control, none, sizeof(none)), -ENOSYS);
	assert_int_equal(call(a, ~0u, none, sizeof(none)), -ENOSYS);
	assert_int_equal(do_event_channel_op(&a->vcpu[0], EVTCHNOP_send, 0), -EFAULT);
	assert_int_equal(raise_port(a, 0), -EINVAL);
	assert_int_equal(raise_port(a, ~0u), -EINVAL);
}

static void test_ports_run_out_and_reset_frees_them(void **state)
{
	struct evtchn_alloc_unbound op = {.dom = DOMID_SELF};
	struct evtchn_reset reset = {.dom = DOMID_SELF};
	evtchn_t pa, pb;
	long rc;

	(void)state;
	connect_ports(&pa, &pb);
	while (!(rc = call(a, EVTCHNOP_alloc_unbound, &op, sizeof(op))))
		assert_in_range(op.port, 1, HVSHARE_PORTS - 1);
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(call(a, EVTCHNOP_reset, &reset, sizeof(reset)), 0);
	assert_int_equal(status(b, pb), EVTCHNSTAT_unbound);
	assert_int_equal(offer(a, 0), 1);
}

static void test_internal_end(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t count;
	evtchn_t port;

	(void)state;
	assert_int_equal(evtchn_bind_internal(a, fd, &port), 0);
	assert_int_equal(raise_port(a, port), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	evtchn_raise(a, port);
	assert_true(pending(a, port));
	assert_int_equal(status(a, port), EVTCHNSTAT_interdomain);
	evtchn_raise(a, 4000); /* not bound, out of range */
	evtchn_raise(a, ~0u);
	assert_false(pending(a, 4000));
	close(fd);
}

/* ---- domain 0 ---- */

static struct hvshare_channel *channel(void)
{
	return &machine.share->client[CLIENT].channel[CHANNEL];
}

static evtchn_t bind_dom0(struct domain *d, evtchn_t remote)
{
	evtchn_t port;

	assert_int_equal(evtchn_dom0_bind(CLIENT, CHANNEL, d->domid, remote, &port), 0);
	return port;
}

static void test_dom0_hears(void **state)
{
	evtchn_t theirs = offer(a, 0), ours = bind_dom0(a, theirs), got[4];

	(void)state;
	assert_int_equal(hvshare_channel_take(channel(), got, 4), 1); /* a fresh binding has fired once */
	assert_int_equal(got[0], ours);
	assert_int_equal(hvshare_channel_take(channel(), got, 4), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(raise_port(a, theirs), 0);
	assert_int_equal(hvshare_channel_take(channel(), got, 4), 1);
	assert_int_equal(hvshare_channel_take(channel(), got, 4), 0);
}

static void test_dom0_sleeps_until_something_fires(void **state)
{
	evtchn_t theirs = offer(a, 0), got[4];
	int fd = eventfd(0, EFD_NONBLOCK);
	uint64_t count;

	(void)state;
	bind_dom0(a, theirs);
	hvshare_channel_take(channel(), got, 4);
	evtchn_dom0_set_fd(CLIENT, CHANNEL, fd);
	assert_int_equal(raise_port(a, theirs), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), -1); /* not armed: no system call */
	hvshare_channel_take(channel(), got, 4);
	channel()->armed = 1;
	assert_int_equal(raise_port(a, theirs), 0);
	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
	assert_int_equal(count, 1);
	assert_int_equal(channel()->armed, 0);
	evtchn_dom0_set_fd(CLIENT, CHANNEL, -1);
	close(fd);
}

static void test_dom0_takes_no_more_than_fits(void **state)
{
	evtchn_t ours[150], got[64];
	bool seen[HVSHARE_PORTS] = {false};
	unsigned n, all = 0;

	(void)state;
	for (unsigned i = 0; i < 150; i++)
		ours[i] = bind_dom0(a, offer(a, 0));
	while ((n = hvshare_channel_take(channel(), got, 7))) {
		assert_in_range(n, 1, 7);
		for (unsigned i = 0; i < n; i++) {
			assert_false(seen[got[i]]);
			seen[got[i]] = true;
		}
		all += n;
	}
	assert_int_equal(all, 150);
	for (unsigned i = 0; i < 150; i++)
		assert_true(seen[ours[i]]);
}

static void test_dom0_raises(void **state)
{
	evtchn_t theirs = offer(a, 0), ours = bind_dom0(a, theirs);

	(void)state;
	assert_int_equal(hvshare_port_notify(machine.share, machine.base, ours, -1), 0);
	assert_true(pending(a, theirs));
	assert_int_equal(a->vcpu[0].info->evtchn_upcall_pending, 1);
	clear(a);
	a->share->vcpu[0].run_state = HVSHARE_RUN_BLOCKED;
	assert_int_equal(hvshare_port_notify(machine.share, machine.base, ours, -1), 0);
	assert_int_equal(a->share->vcpu[0].run_state, HVSHARE_RUN_HYPERVISOR);
	assert_int_equal(close_port(a, theirs), 0);
	assert_int_equal(machine.share->port[ours].state, HVSHARE_PORT_CLOSED);
	assert_int_equal(hvshare_port_notify(machine.share, machine.base, ours, -1), -ENOTCONN);
	assert_int_equal(evtchn_dom0_unbind(CLIENT, ours), 0);
	assert_int_equal(machine.share->port[ours].state, HVSHARE_PORT_FREE);
}

static void test_dom0_bind_refuses(void **state)
{
	evtchn_t to_b = offer(a, b->domid), good = offer(a, 0), port;

	(void)state;
	assert_int_equal(evtchn_dom0_bind(CLIENT, CHANNEL, a->domid, to_b, &port), -EINVAL);
	assert_int_equal(evtchn_dom0_bind(CLIENT, CHANNEL, a->domid, 0, &port), -EINVAL);
	assert_int_equal(evtchn_dom0_bind(CLIENT, CHANNEL, a->domid, ~0u, &port), -EINVAL);
	assert_int_equal(evtchn_dom0_bind(CLIENT, CHANNEL, 250, good, &port), -EINVAL);
	assert_int_equal(evtchn_dom0_bind(HVSHARE_CLIENTS, CHANNEL, a->domid, good, &port), -EINVAL);
	bind_dom0(a, good);
	assert_int_equal(evtchn_dom0_bind(CLIENT, CHANNEL, a->domid, good, &port), -EINVAL); /* taken */
}

static void test_dom0_unbind_lets_the_next_bind(void **state)
{
	evtchn_t theirs = offer(a, 0), ours = bind_dom0(a, theirs), got[4];

	(void)state;
	assert_int_equal(evtchn_dom0_unbind(CLIENT + 1, ours), -EINVAL);
	assert_int_equal(evtchn_dom0_unbind(CLIENT, 0), -EINVAL);
	assert_int_equal(evtchn_dom0_unbind(CLIENT, HVSHARE_PORTS), -EINVAL);
	assert_int_equal(evtchn_dom0_unbind(CLIENT, ours), 0);
	assert_int_equal(evtchn_dom0_unbind(CLIENT, ours), -EINVAL);
	assert_int_equal(status(a, theirs), EVTCHNSTAT_unbound);
	assert_int_equal(hvshare_channel_take(channel(), got, 4), 0);
	assert_int_equal(bind_dom0(a, theirs), ours);
	evtchn_dom0_client_gone(CLIENT); /* a back end that was killed */
	assert_int_equal(status(a, theirs), EVTCHNSTAT_unbound);
	bind_dom0(a, theirs);
}

static void test_dom0_end_of_a_dead_guest(void **state)
{
	evtchn_t ours = bind_dom0(a, offer(a, 0));

	(void)state;
	domain_destroy(a);
	assert_int_equal(machine.share->port[ours].state, HVSHARE_PORT_CLOSED);
	assert_int_equal(hvshare_port_notify(machine.share, machine.base, ours, -1), -ENOTCONN);
	evtchn_dom0_client_gone(CLIENT);
	assert_int_equal(machine.share->port[ours].state, HVSHARE_PORT_FREE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_guest_to_guest),
		TEST(test_masked_port_asks_for_no_upcall),
		TEST(test_a_blocked_vcpu_wakes),
		TEST(test_bind_refuses_what_is_not_offered),
		TEST(test_loopback),
		TEST(test_port_used_anew_while_the_old_peer_dies),
		TEST(test_close_unbinds_the_other_end),
		TEST(test_virq_and_ipi),
		TEST(test_what_a_guest_may_not),
		TEST(test_ports_run_out_and_reset_frees_them),
		TEST(test_internal_end),
		TEST(test_dom0_hears),
		TEST(test_dom0_sleeps_until_something_fires),
		TEST(test_dom0_takes_no_more_than_fits),
		TEST(test_dom0_raises),
		TEST(test_dom0_bind_refuses),
		TEST(test_dom0_unbind_lets_the_next_bind),
		TEST(test_dom0_end_of_a_dead_guest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
