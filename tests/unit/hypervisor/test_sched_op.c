/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/sched_op.c, as far as nothing has to sleep; sleeping and waking is vcpu.c's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>
#include <hypervisor/hypercall.h>

static int setup(void **state)
{
	fake_machine_start(32);
	*state = fake_guest("one", 1024);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static void test_block_with_an_event_pending_returns(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];

	v->info->evtchn_upcall_mask = 1;
	v->info->evtchn_upcall_pending = 1;
	assert_int_equal(do_sched_op(v, SCHEDOP_block, 0), 0);
	assert_int_equal(v->info->evtchn_upcall_mask, 0);
	assert_int_equal(do_sched_op_compat(v, SCHEDOP_block, 0), 0);
}

static void test_poll_with_a_port_pending_returns(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	struct sched_poll *p = fake_page(d, 0);
	evtchn_t *ports = fake_page(d, 1);

	ports[0] = 4;
	ports[1] = 4095;
	p->ports.p = (evtchn_port_t *)fake_va(1);
	p->nr_ports = 2;
	p->timeout = 0;
	d->shared_info->evtchn_pending[63] = 1ull << 63;
	assert_int_equal(do_sched_op(v, SCHEDOP_poll, fake_va(0)), 0);
	ports[0] = 4096;
	assert_int_equal(do_sched_op(v, SCHEDOP_poll, fake_va(0)), -EINVAL);
	p->nr_ports = 129;
	assert_int_equal(do_sched_op(v, SCHEDOP_poll, fake_va(0)), -EINVAL);
	p->nr_ports = 1;
	p->ports.p = NULL;
	assert_int_equal(do_sched_op(v, SCHEDOP_poll, fake_va(0)), -EFAULT);
	assert_int_equal(do_sched_op(v, SCHEDOP_poll, 0), -EFAULT);
}

static void test_shutdown(void **state)
{
	struct domain *d = *state;
	uint32_t *reason = fake_page(d, 0);

	*reason = SHUTDOWN_reboot;
	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_shutdown, fake_va(0)), 0);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_reboot);
}

static void test_reason_said_beforehand(void **state)
{
	struct domain *d = *state;
	uint32_t *reason = fake_page(d, 0);

	*reason = SHUTDOWN_watchdog;
	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_shutdown_code, fake_va(0)), 0);
	assert_int_equal(d->run, DOMAIN_RUNNING);
	*reason = SHUTDOWN_poweroff;
	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_shutdown, fake_va(0)), 0);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_watchdog);
}

static void test_first_form(void **state)
{
	struct domain *d = *state;

	assert_int_equal(do_sched_op_compat(&d->vcpu[0], SCHEDOP_yield, 0), 0);
	assert_int_equal(do_sched_op_compat(&d->vcpu[0], SCHEDOP_poll, 0), -ENOSYS);
	assert_int_equal(do_sched_op_compat(&d->vcpu[0], SCHEDOP_shutdown, SHUTDOWN_crash), 0);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_crash);
}

static void test_what_a_guest_may_not(void **state)
{
	struct domain *d = *state;

	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_remote_shutdown, fake_va(0)), -EPERM);
	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_pin_override, fake_va(0)), -EPERM);
	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_watchdog, fake_va(0)), -ENOSYS);
	assert_int_equal(do_sched_op(&d->vcpu[0], 99, 0), -ENOSYS);
	assert_int_equal(do_sched_op(&d->vcpu[0], SCHEDOP_shutdown, 0), -EFAULT);
	assert_int_equal(d->run, DOMAIN_RUNNING);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_block_with_an_event_pending_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_poll_with_a_port_pending_returns, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reason_said_beforehand, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_form, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_a_guest_may_not, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
