/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of static grants by itself: what a lookup finds before, while and after a page is in it, and that everything is given back. */
#include <backend/hv/hv_fake.h>
#include <backend/static_grants.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#define PAGES 600u

static struct static_grants_batch b;
static struct static_grants s;
static struct hv *hv;
static uint8_t *pages;
static gref_t gref[PAGES];

static int setup(void **state)
{
	(void)state;
	memset(&s, 0, sizeof(s));
	assert_int_equal(hv_fake_open(&hv), 0);
	assert_int_equal(hv_fake_domain_create(hv, 1), 0);
	pages = hv_fake_pages_alloc(hv, 1, PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(hv_fake_grant(hv, 1, 0, pages + (size_t)i * SLUICE_PAGE_SIZE, i % 2, &gref[i]), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	static_grants_fini(&s, hv, &b);
	assert_int_equal(hv_fake_mapped(hv), 0);
	assert_null(static_grants_read(&s, gref[0]));
	hv->ops->close(hv);
	return 0;
}

/* Pages from..to; the odd ones are read-only. */
static int add(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		b.list[i - from] = (struct xen_netif_gref){.ref = gref[i], .flags = i % 2 ? XEN_NETIF_CTRLF_GREF_readonly : 0};
	return static_grants_add(&s, hv, 1, &b, to - from);
}

static void empty(void **state)
{
	static const gref_t any[] = {0, 1, 8, 65535, 65536, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
		assert_null(static_grants_read(&s, any[i]));
		assert_null(static_grants_write(&s, any[i]));
	}
}

static void the_right_page(void **state)
{
	(void)state;
	for (unsigned i = 0; i < PAGES; i++)
		memset(pages + (size_t)i * SLUICE_PAGE_SIZE, (int)(i % 251), SLUICE_PAGE_SIZE);
	assert_int_equal(add(0, 512), 0);
	assert_int_equal(add(512, PAGES), 0);
	for (unsigned i = 0; i < PAGES; i++) {
		const uint8_t *page = static_grants_read(&s, gref[i]);

		assert_non_null(page);
		assert_int_equal(page[0], i % 251);
		assert_int_equal(page[SLUICE_PAGE_SIZE - 1], i % 251);
		assert_ptr_equal(static_grants_write(&s, gref[i]), i % 2 ? NULL : page);
	}
	assert_null(static_grants_read(&s, gref[PAGES - 1] + 1));
}

static void deleted(void **state)
{
	(void)state;
	assert_int_equal(add(0, 10), 0);
	b.list[0].ref = gref[4];
	assert_int_equal(static_grants_del(&s, hv, &b, 1), 1);
	assert_null(static_grants_read(&s, gref[4]));
	assert_non_null(static_grants_read(&s, gref[5]));
	assert_int_equal(hv_fake_grant_end(hv, 1, gref[4]), 0);
	assert_int_equal(hv_fake_grant_end(hv, 1, gref[5]), -EBUSY);
	assert_int_equal(static_grants_del(&s, hv, &b, 1), 0);
}

static void refused_as_a_whole(void **state)
{
	(void)state;
	assert_int_equal(add(0, 10), 0);
	assert_int_equal(add(9, 20), -EINVAL);
	assert_null(static_grants_read(&s, gref[15]));
	assert_int_equal(hv_fake_mapped(hv), 10);
	hv_fake_fail(hv, HV_FAKE_MAP, 5, GNTST_bad_page);
	assert_int_equal(add(10, 20), -EINVAL);
	assert_int_equal(hv_fake_mapped(hv), 10);
	assert_int_equal(add(10, 20), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(empty, setup, teardown),
		cmocka_unit_test_setup_teardown(the_right_page, setup, teardown),
		cmocka_unit_test_setup_teardown(deleted, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_as_a_whole, setup, teardown),
	};

	return cmocka_run_group_tests_name("static_grants", tests, NULL, NULL);
}
