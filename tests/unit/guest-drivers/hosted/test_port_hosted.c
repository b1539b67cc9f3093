/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/hosted: port.h in a process, against sluiced's own code in a thread and hv_sluice as domain 0. */
#include "tests/unit/hypervisor/hosted_client.h"

#include <frontend/xenbus.h>
#include <guest-drivers/hosted/hosted.h>
#include <sys/eventfd.h>

#define MS 1000000ull

static struct hv_evtchn *channel;

static int set_up(void **state)
{
	(void)state;
	return hosted_world_start() || hosted_hv->ops->evtchn_open(hosted_hv, &channel) || hosted_attach(hosted_dir, "unit", 2);
}

static int tear_down(void **state)
{
	(void)state;
	hosted_detach();
	hosted_hv->ops->evtchn_close(channel);
	return hosted_world_stop();
}

static void pages(void **state)
{
	void *a = port_pages_alloc(3), *b = port_pages_alloc(1), *all[512];
	unsigned n = 0;

	(void)state;
	assert_true(a && b && (uintptr_t)a % SLUICE_PAGE_SIZE == 0);
	memset(a, 1, 3 * SLUICE_PAGE_SIZE);
	*(uint8_t *)b = 2;
	assert_int_equal(*((uint8_t *)a + 3 * SLUICE_PAGE_SIZE - 1), 1);
	port_pages_free(a, 3);
	while (n < 512 && (all[n] = port_pages_alloc(1)))
		assert_int_equal(*(uint8_t *)all[n++], 0);
	assert_int_equal(n, 512 - HOSTED_PFN_FREE - 1);
	assert_null(port_pages_alloc(1));
	port_pages_free(b, 1);
	assert_ptr_equal(port_pages_alloc(1), b);
	port_pages_free(b, 1);
	while (n)
		port_pages_free(all[--n], 1);
	assert_null(port_pages_alloc(512));
	assert_null(port_pages_alloc(0));
}

static void grants(void **state)
{
	uint8_t *page = port_pages_alloc(1), byte = 0;
	struct hosted_client me = {.reply = {.domid = hosted_domid()}};
	struct hv_map_op m;
	gref_t gref, readonly;

	(void)state;
	page[9] = 0x6b;
	assert_int_equal(port_grant(0, page, false, &gref), 0);
	assert_int_equal(port_grant(0, page, true, &readonly), 0);
	assert_int_not_equal(gref, readonly);
	assert_int_equal(dom0_copy(&me, readonly, &byte, 1, false), GNTST_general_error);
	m = dom0_map(&me, gref);
	assert_int_equal(m.status, GNTST_okay);
	assert_int_equal(((uint8_t *)m.va)[9], 0x6b);
	assert_int_equal(port_grant_end(gref), -EBUSY);
	assert_int_equal(dom0_unmap(&m), GNTST_okay);
	assert_int_equal(port_grant_end(gref), 0);
	assert_int_equal(port_grant_end(gref), -EINVAL);
	assert_int_equal(port_grant_end(readonly), 0);
	assert_int_equal(port_grant_end(0), -EINVAL);
	assert_int_equal(port_grant_end(~0u), -EINVAL);
	assert_int_not_equal(dom0_map(&me, gref).status, GNTST_okay);
	port_pages_free(page, 1);
}

/* ---- events ---- */

static evtchn_t connected(evtchn_t *ours)
{
	evtchn_t port, got[4];

	assert_int_equal(port_evtchn_alloc(0, &port), 0);
	assert_int_equal(hosted_hv->ops->evtchn_bind(channel, hosted_domid(), port, ours), 0);
	assert_int_equal(hosted_hv->ops->evtchn_pending(channel, got, 4, true), 1);
	return port;
}

static void events_out(void **state)
{
	evtchn_t ours, port = connected(&ours), got[4];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		port_evtchn_notify(port);
		assert_true(hosted_readable(hosted_hv->ops->evtchn_fd(channel), SOON_MS));
		assert_int_equal(hosted_hv->ops->evtchn_pending(channel, got, 4, true), 1);
		assert_int_equal(got[0], ours);
	}
	port_evtchn_notify(HOSTED_PORTS + 1);
	port_evtchn_close(port);
	assert_int_equal(hosted_hv->ops->evtchn_notify(channel, ours), -ENOTCONN);
	hosted_hv->ops->evtchn_unbind(channel, ours);
}

static void *notify_later(void *arg)
{
	usleep(30000);
	hosted_hv->ops->evtchn_notify(channel, *(evtchn_t *)arg);
	return NULL;
}

static void events_in(void **state)
{
	evtchn_t ours, port = connected(&ours);
	uint64_t began;
	pthread_t thread;

	(void)state;
	assert_false(port_evtchn_take(port));
	hosted_hv->ops->evtchn_notify(channel, ours);
	hosted_hv->ops->evtchn_notify(channel, ours);
	port_wait(UINT64_MAX); /* at once: it waits to be taken */
	assert_true(port_evtchn_take(port));
	assert_false(port_evtchn_take(port));
	began = port_now_ns();
	port_wait(began + 20 * MS);
	assert_in_range(port_now_ns() - began, 19 * MS, 2000 * MS);
	assert_int_equal(pthread_create(&thread, NULL, notify_later, &ours), 0);
	began = port_now_ns();
	while (!port_evtchn_take(port) && port_now_ns() - began < 5000 * MS)
		port_wait(began + 5000 * MS);
	assert_true(port_now_ns() - began < 4000 * MS);
	pthread_join(thread, NULL);
	port_evtchn_close(port);
	assert_false(port_evtchn_take(HOSTED_PORTS));
	hosted_hv->ops->evtchn_unbind(channel, ours);
}

static void *kick_later(void *arg)
{
	usleep(30000);
	hosted_kick();
	return arg;
}

static void kicks_and_other_fds(void **state)
{
	uint64_t began = port_now_ns();
	int fd = eventfd(1, 0);
	pthread_t thread;

	(void)state;
	hosted_kick(); /* sticks until somebody waits */
	port_wait(began + 5000 * MS);
	assert_int_equal(pthread_create(&thread, NULL, kick_later, NULL), 0);
	port_wait(began + 5000 * MS);
	pthread_join(thread, NULL);
	assert_int_equal(hosted_watch_fd(fd), 0);
	port_wait(began + 5000 * MS);
	assert_true(port_now_ns() - began < 4000 * MS);
	hosted_unwatch_fd(fd);
	began = port_now_ns();
	port_wait(began + 20 * MS);
	assert_true(port_now_ns() - began >= 19 * MS);
	for (unsigned i = 0; i < HOSTED_WATCHED_FDS; i++)
		assert_int_equal(hosted_watch_fd(fd), 0);
	assert_int_equal(hosted_watch_fd(fd), -ENOSPC);
	hosted_unwatch_fd(fd);
	assert_int_equal(hosted_watch_fd(fd), 0);
	hosted_unwatch_fd(fd);
	close(fd);
}

/* ---- XenStore ---- */

static void store_and_devices(void **state)
{
	struct xenbus *xb = xenbus_create();
	char value[64], path[64];
	uint64_t began = port_now_ns();

	(void)state;
	assert_true(xenbus_read(xb, XENBUS_NO_TXN, "name", NULL, value, sizeof(value)) >= 0);
	assert_string_equal(value, "unit");
	assert_int_equal(xenbus_write(xb, XENBUS_NO_TXN, "data", "x", "1"), 0);
	assert_int_equal(hosted_wait_device(xb, "vbd", 51712, 50), -ETIMEDOUT);
	assert_true(port_now_ns() - began >= 50 * MS);
	snprintf(path, sizeof(path), "/local/domain/%u/device/vbd/51712/state", hosted_domid());
	assert_int_equal(hosted_hv->ops->store_write(hosted_hv, HV_TXN_NONE, path, "1"), 0);
	assert_int_equal(hosted_wait_device(xb, "vbd", 51712, 5000), 0);
	xenbus_destroy(xb);
}

/* sluiced ends the domain: it is noticed, nothing waits, and the process can become another one. */
static void lost(void **state)
{
	struct xenbus *xb = xenbus_create();
	uint64_t began = port_now_ns();
	evtchn_t port;
	char value[8];

	(void)state;
	assert_int_equal(hosted_attach(hosted_dir, "again", 2), -EALREADY);
	hv_lock_acquire();
	server_domain_destroy(domain_find(hosted_domid()));
	hv_lock_release();
	while (!hosted_lost() && port_now_ns() - began < 5000 * MS)
		port_wait(began + 5000 * MS);
	assert_true(hosted_lost());
	assert_true(xenbus_read(xb, XENBUS_NO_TXN, "name", NULL, value, sizeof(value)) < 0);
	assert_int_equal(hosted_wait_device(xb, "vif", 0, 5000), -EPIPE);
	assert_int_equal(port_evtchn_alloc(0, &port), -EPIPE);
	port_wait(UINT64_MAX);
	xenbus_destroy(xb);
	hosted_detach();
	hosted_detach();
	assert_true(port_now_ns() - began < 4000 * MS);
	assert_null(port_pages_alloc(1));
	port_wait(UINT64_MAX);
	assert_int_equal(hosted_attach(hosted_dir, "bad/name", 2), -EINVAL);
	assert_int_equal(hosted_attach("/nowhere", "x", 2), -ENOENT);
	assert_int_equal(hosted_attach(hosted_dir, "again", 2), 0);
	assert_false(hosted_lost());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages),
		cmocka_unit_test(grants),
		cmocka_unit_test(events_out),
		cmocka_unit_test(events_in),
		cmocka_unit_test(kicks_and_other_fds),
		cmocka_unit_test(store_and_devices),
		cmocka_unit_test(lost),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
