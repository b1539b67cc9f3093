/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/domain.c: ids, names, the frames of a domain's life, running state. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>

static char err[256];
static unsigned shutdowns;

static int setup(void **state)
{
	(void)state;
	shutdowns = 0;
	fake_machine_start(16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static void on_shutdown(struct domain *d)
{
	(void)d;
	shutdowns++;
}

static void test_fresh_domain(void **state)
{
	struct domain *d;

	(void)state;
	assert_int_equal(domain_create("one", 300, &d, err), 0);
	assert_int_equal(d->pause_count, 1);
	assert_int_equal(d->nr_pages, 300);
	for (pfn_t pfn = 0; pfn < 300; pfn++) {
		assert_int_equal(machine_owner(d->p2m[pfn]), d->domid);
		assert_int_equal(machine.m2p[d->p2m[pfn]], pfn);
	}
	assert_int_equal(d->share->alive, 1);
	assert_int_equal(d->share->shared_info_mfn, d->shared_info_mfn);
	assert_int_equal(d->vcpu[0].info->evtchn_upcall_mask, 1);
	assert_ptr_equal(domain_find(d->domid), d);
	assert_ptr_equal(domain_find_name("one"), d);
	assert_null(domain_find(0));
	assert_null(domain_find_name("two"));
}

static void test_ids_go_round(void **state)
{
	struct domain *a, *b;
	domid_t first;

	(void)state;
	assert_int_equal(domain_create("a", 10, &a, err), 0);
	first = a->domid;
	domain_destroy(a);
	assert_int_equal(domain_create("b", 10, &b, err), 0);
	assert_int_not_equal(b->domid, first);
	for (unsigned i = 0; i < HVSHARE_DOMAINS; i++) {
		assert_int_equal(domain_create("a", 10, &a, err), 0);
		assert_true(a->domid > 0 && a->domid < HVSHARE_DOMAINS && a->domid != b->domid);
		assert_ptr_equal(domain_next(NULL), a->domid < b->domid ? a : b);
		domain_destroy(a);
	}
}

static void test_refusals_say_why_and_leave_nothing(void **state)
{
	uint64_t before = machine_free_frames();
	struct domain *d;
	char longname[80];

	(void)state;
	assert_int_equal(domain_create("big", 1u << 20, &d, err), -ENOMEM);
	assert_non_null(strstr(err, "memory"));
	assert_true(before - machine_free_frames() <= 2); /* xenheap frames are kept for later domains */
	assert_null(domain_next(NULL));
	assert_int_equal(domain_create("zero", 0, &d, err), -EINVAL);
	memset(longname, 'x', sizeof(longname));
	longname[79] = '\0';
	assert_int_equal(domain_create(longname, 10, &d, err), -EINVAL);
	assert_int_equal(domain_create("", 10, &d, err), -EINVAL);
	assert_int_equal(domain_create("twin", 10, &d, err), 0);
	assert_int_equal(domain_create("twin", 10, &d, err), -EEXIST);
}

static void test_death_gives_all_back(void **state)
{
	uint64_t before;
	struct domain *d;

	(void)state;
	assert_int_equal(domain_create("first", 10, &d, err), 0); /* xenheap frames exist from here on */
	domain_destroy(d);
	before = machine_free_frames();
	d = fake_guest("second", 1024);
	domain_destroy(d);
	assert_int_equal(machine_free_frames(), before);
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++)
		assert_false(page_of(mfn)->refs || page_of(mfn)->uses || machine.share->frame_use[mfn]);
}

static void test_frames_held_by_others_outlive_it(void **state)
{
	struct hvshare_domain *s;
	struct domain *d, *next;
	domid_t domid;
	mfn_t mfn;

	(void)state;
	assert_int_equal(domain_create("granter", 16, &d, err), 0);
	domid = d->domid;
	s = d->share;
	mfn = d->p2m[5];
	s->pin[9] = (struct hvshare_pin){ HVSHARE_PIN_READ, (uint32_t)mfn }; /* as if a back end had mapped it */
	s->nr_pins = 1;
	machine.share->frame_use[mfn] = HVSHARE_PIN_READ;
	memset(machine_ptr(mfn), 0x77, SLUICE_PAGE_SIZE);
	domain_destroy(d);
	assert_int_equal(*(uint8_t *)machine_ptr(mfn), 0x77);
	for (unsigned i = 0; i < HVSHARE_DOMAINS; i++) { /* nobody else becomes the owner of what is left */
		assert_int_equal(domain_create("next", 4, &next, err), 0);
		assert_int_not_equal(next->domid, domid);
		domain_destroy(next);
	}
	s->pin[9].count = 0;
	s->nr_pins = 0;
	machine.share->frame_use[mfn] -= HVSHARE_PIN_READ;
	assert_int_equal(domain_create("next", 4, &next, err), 0);
	assert_int_equal(machine_owner(mfn), DOMID_INVALID);
}

static void test_shutdown_once(void **state)
{
	struct domain *d;

	(void)state;
	assert_int_equal(domain_create("one", 10, &d, err), 0);
	d->on_shutdown = on_shutdown;
	domain_shutdown(d, SHUTDOWN_reboot);
	domain_crash(d, "too late");
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_reboot);
	assert_int_equal(shutdowns, 1);
}

static void test_crash_is_never_hidden(void **state)
{
	struct domain *d;

	(void)state;
	assert_int_equal(domain_create("one", 10, &d, err), 0);
	d->shutdown_reason = SHUTDOWN_poweroff;
	d->shutdown_reason_latched = true;
	domain_crash(d, "test");
	assert_int_equal(d->shutdown_reason, SHUTDOWN_crash);
}

static void test_pause_counts(void **state)
{
	struct domain *d;

	(void)state;
	assert_int_equal(domain_create("one", 10, &d, err), 0);
	domain_pause(d);
	assert_int_equal(d->pause_count, 2);
	domain_unpause(d);
	domain_unpause(d);
	domain_unpause(d);
	assert_int_equal(d->pause_count, 0);
}

static void *wants_lock(void *arg)
{
	hv_lock_acquire();
	*(volatile bool *)arg = true;
	hv_lock_release();
	return NULL;
}

static void test_breath_lets_others_in(void **state)
{
	volatile bool had = false;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, wants_lock, (void *)&had), 0);
	for (unsigned i = 0; i < 5000 && !had; i++) {
		usleep(1000); /* until it waits */
		hv_lock_breathe();
	}
	assert_true(had);
	pthread_join(t, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fresh_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ids_go_round, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals_say_why_and_leave_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_death_gives_all_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_frames_held_by_others_outlive_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shutdown_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash_is_never_hidden, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_breath_lets_others_in, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
