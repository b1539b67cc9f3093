/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest's end of hv_fake's event channels. */
#include <backend/hv/hv_fake.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

static struct hv *hv;
static struct hv_evtchn *e;
static evtchn_t remote, ours, ports[4];

static int setup(void **state)
{
	(void)state;
	if (hv_fake_open(&hv) || hv_fake_domain_create(hv, 1) || hv->ops->evtchn_open(hv, &e))
		return -1;
	return hv_fake_evtchn_alloc(hv, 1, 0, &remote);
}

static int teardown(void **state)
{
	(void)state;
	hv->ops->evtchn_close(e);
	assert_int_equal(hv_fake_bound(hv), 0);
	hv->ops->close(hv);
	return 0;
}

static void both_ways(void **state)
{
	(void)state;
	assert_int_equal(hv_fake_evtchn_send(hv, 1, remote), -ENOTCONN);
	assert_int_equal(hv->ops->evtchn_bind(e, 1, remote, &ours), 0);
	assert_int_equal(hv->ops->evtchn_pending(e, ports, 4, false), 1); /* fired once when bound */
	assert_int_equal(hv_fake_evtchn_send(hv, 1, remote), 0);
	assert_int_equal(hv_fake_evtchn_send(hv, 1, remote), 0);
	assert_int_equal(hv->ops->evtchn_pending(e, ports, 4, false), 1);
	assert_int_equal(ports[0], ours);
	assert_int_equal(hv->ops->evtchn_pending(e, ports, 4, true), 0);
	assert_false(hv_fake_evtchn_take(hv, 1, remote));
	assert_int_equal(hv->ops->evtchn_notify(e, ours), 0);
	assert_true(hv_fake_evtchn_take(hv, 1, remote));
	assert_false(hv_fake_evtchn_take(hv, 1, remote));
}

/* Our end goes and comes again, as with a back end that is started anew. */
static void can_be_bound_again(void **state)
{
	evtchn_t second;

	(void)state;
	assert_int_equal(hv->ops->evtchn_bind(e, 1, remote, &ours), 0);
	assert_int_equal(hv->ops->evtchn_bind(e, 1, remote, &second), -EINVAL);
	assert_int_equal(hv->ops->evtchn_unbind(e, ours), 0);
	assert_int_equal(hv->ops->evtchn_bind(e, 1, remote, &ours), 0);
}

static void guest_closes(void **state)
{
	(void)state;
	assert_int_equal(hv->ops->evtchn_bind(e, 1, remote, &ours), 0);
	hv_fake_evtchn_close(hv, 1, remote);
	assert_int_equal(hv->ops->evtchn_notify(e, ours), -ENOTCONN);
	assert_int_equal(hv->ops->evtchn_unbind(e, ours), 0);
}

static void domain_dies(void **state)
{
	(void)state;
	assert_int_equal(hv->ops->evtchn_bind(e, 1, remote, &ours), 0);
	hv_fake_domain_destroy(hv, 1);
	assert_int_equal(hv->ops->evtchn_notify(e, ours), -ENOTCONN);
	assert_int_equal(hv_fake_domain_create(hv, 1), 0);
	assert_int_equal(hv->ops->evtchn_notify(e, ours), -ENOTCONN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(can_be_bound_again, setup, teardown),
		cmocka_unit_test_setup_teardown(guest_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(domain_dies, setup, teardown),
	};

	return cmocka_run_group_tests_name("hv_fake_event", tests, NULL, NULL);
}
