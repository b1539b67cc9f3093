/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/hosted_memory.c: where it lies, what it counts, and what a caged guest can do with it. */
#include <setjmp.h>
#include <sluice/huge.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hypervisor/grant.h"
#include "hypervisor/hosted_memory.h"
#include "tests/support/hypervisor_fakes.h"

#define PAGES 256u
#define GREF 9u

static int setup(void **state)
{
	(void)state;
	fake_machine_start(16);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static struct domain *hosted(const char *name, uint64_t pages)
{
	struct domain *d;
	char err[256];

	assert_int_equal(domain_create_hosted(name, pages, &d, err), 0);
	return d;
}

/* Frames of its window, its memfd's content, owned and in their places. */
static void test_layout(void **state)
{
	struct domain *d = hosted("a", PAGES);
	const struct hosted_memory *m = hosted_memory_of(d->domid);
	uint8_t byte;

	(void)state;
	assert_true(d->hosted && !d->pause_count && !d->p2m);
	assert_non_null(m);
	assert_in_range(m->first, HVSHARE_HOSTED_FIRST + HVSHARE_DOMAINS, HVSHARE_ALL_FRAMES - PAGES);
	assert_int_equal((uintptr_t)machine_ptr(m->first) % HUGE_SIZE, 0);
	assert_int_equal(d->share->memory_generation, m->generation);
	assert_int_equal(d->shared_info_mfn, HVSHARE_HOSTED_FIRST + d->domid);
	assert_int_equal(d->share->grant_mfn[0], m->first + HOSTED_PFN_GRANT);
	assert_int_equal(d->share->nr_grant_frames, HOSTED_GRANT_FRAMES);
	for (pfn_t pfn = 0; pfn < PAGES; pfn++)
		assert_int_equal(hosted_memory_owns(d, m->first + pfn), pfn == HOSTED_PFN_STORE || pfn >= HOSTED_PFN_FREE);
	assert_false(hosted_memory_owns(d, m->first + PAGES));
	assert_false(hosted_memory_owns(d, d->shared_info_mfn));
	*(uint8_t *)machine_ptr(m->first + 100) = 0x42;
	assert_int_equal(pread(m->fd, &byte, 1, 100 << SLUICE_PAGE_SHIFT), 1);
	assert_int_equal(byte, 0x42);
	*(uint8_t *)d->shared_info = 0x43; /* the same page in two places */
	assert_int_equal(*(uint8_t *)machine_ptr(m->first + HOSTED_PFN_SHARED_INFO), 0x43);
	domain_destroy(d);
}

static void test_memory_counts(void **state)
{
	uint64_t before = machine_free_frames();
	struct domain *a = hosted("a", PAGES), *b;
	mfn_t mfn[1];
	char err[256];

	(void)state;
	assert_int_equal(machine_free_frames(), before - PAGES);
	assert_int_equal(domain_create_hosted("b", before - PAGES + 1, &b, err), -ENOMEM);
	assert_non_null(strstr(err, "memory"));
	b = hosted("b", before - PAGES);
	assert_int_equal(machine_free_frames(), 0);
	assert_int_equal(machine_alloc(0, mfn, 1), -ENOMEM);
	domain_destroy(b);
	domain_destroy(a);
	assert_int_equal(machine_free_frames(), before);
}

/* Nobody sees another's memory, and a place that is used again is empty. */
static void test_places(void **state)
{
	struct domain *d[3];
	mfn_t middle;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		d[i] = hosted((const char *[]){"a", "b", "c"}[i], PAGES);
		*(uint8_t *)machine_ptr(hosted_memory_of(d[i]->domid)->first + 70) = (uint8_t)(i + 1);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(*(uint8_t *)machine_ptr(hosted_memory_of(d[i]->domid)->first + 70), i + 1);
	middle = hosted_memory_of(d[1]->domid)->first;
	domain_destroy(d[1]);
	assert_int_equal(*(uint8_t *)machine_ptr(middle + 70), 0);
	assert_int_equal(machine.share->frame_owner[middle + 70], 0);
	d[1] = hosted("d", HUGE_FRAMES + 1); /* does not fit there: each begins with a huge page */
	assert_int_equal(hosted_memory_of(d[1]->domid)->first, middle + 2 * HUGE_FRAMES);
	domain_destroy(d[1]);
	d[1] = hosted("e", PAGES);
	assert_int_equal(hosted_memory_of(d[1]->domid)->first, middle);
	assert_int_equal(*(uint8_t *)machine_ptr(middle + 70), 0);
	for (unsigned i = 0; i < 3; i++)
		domain_destroy(d[i]);
}

/* A caged guest may copy with its grants, not map them: an engine has only the machine memory. */
static void test_caged_guests(void **state)
{
	struct domain *h = hosted("h", PAGES), *g = fake_guest("g", 600);
	mfn_t first = hosted_memory_of(h->domid)->first;
	grant_entry_v1_t entry = {.flags = GTF_permit_access, .domid = g->domid, .frame = (uint32_t)first + 100};
	struct gnttab_map_grant_ref map = {.host_addr = fake_va(3), .flags = GNTMAP_host_map, .dom = h->domid, .ref = GREF};
	struct gnttab_copy copy = {.source = {.domid = h->domid, .u.ref = GREF}, .dest = {.domid = DOMID_SELF, .u.gmfn = fake_frame(g, 5)},
	                           .len = 16, .flags = GNTCOPY_source_gref};

	(void)state;
	memcpy((grant_entry_v1_t *)machine_ptr(first + HOSTED_PFN_GRANT) + GREF, &entry, sizeof(entry));
	memset(machine_ptr(first + 100), 0x77, 16);
	memcpy(fake_page(g, 1), &map, sizeof(map));
	assert_int_equal(do_grant_table_op(&g->vcpu[0], GNTTABOP_map_grant_ref, fake_va(1), 1), 0);
	memcpy(&map, fake_page(g, 1), sizeof(map));
	assert_int_equal(map.status, GNTST_general_error);
	memcpy(fake_page(g, 1), &copy, sizeof(copy));
	assert_int_equal(do_grant_table_op(&g->vcpu[0], GNTTABOP_copy, fake_va(1), 1), 0);
	memcpy(&copy, fake_page(g, 1), sizeof(copy));
	assert_int_equal(copy.status, GNTST_okay);
	assert_int_equal(*((uint8_t *)fake_page(g, 5) + 15), 0x77);
	copy.flags = 0; /* by frame number: nobody's but its own */
	copy.source.domid = DOMID_SELF;
	copy.source.u.gmfn = first + 100;
	memcpy(fake_page(g, 1), &copy, sizeof(copy));
	assert_int_equal(do_grant_table_op(&g->vcpu[0], GNTTABOP_copy, fake_va(1), 1), 0);
	memcpy(&copy, fake_page(g, 1), sizeof(copy));
	assert_int_equal(copy.status, GNTST_bad_page);
	domain_destroy(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_places, setup, teardown),
		cmocka_unit_test_setup_teardown(test_caged_guests, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
