/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guests that lie to each other and to the hypervisor about grants (grant*.c, mmu_grant.c, hvshare_grant.h): pages are taken away, retyped, given away or
 * granted anew while the other one holds them mapped; after each storm an independent count of all pins must agree, and no guest may reach a frame
 * that is not its own without a pin. Rows of the security history: XSA-218, 224, 234, 236 (a grant that ends while it is mapped), XSA-379, 384, 486,
 * 501 (a table that changes while it is in use).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/grant.h>
#include <sluice/hvshare_grant.h>
#include <tests/support/hypervisor_fakes.h>

#define RANDOM_STEPS 40000u
#define AUDIT_EVERY 200u
#define PAGES 24u  /* pfns 20 to 43 are granted, mapped over, retyped and given away */
#define FIRST_PAGE 20u
#define GREFS 32u  /* 8 to 39 */
#define FIRST_GREF 8u
#define HANDLES 64u
#define ARGUMENTS 1u /* pfn of the page that a hypercall's argument lies in */

static struct domain *guests[2];

static int setup(void **state)
{
	(void)state;
	fake_machine_start(32);
	guests[0] = fake_guest("a", 1024);
	guests[1] = fake_guest("b", 1024);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop(); /* sees each frame free again */
	return 0;
}

static long call(struct domain *d, unsigned cmd, void *op, size_t size)
{
	long rc;

	memcpy(fake_page(d, ARGUMENTS), op, size);
	rc = do_grant_table_op(&d->vcpu[0], cmd, fake_va(ARGUMENTS), 1);
	memcpy(op, fake_page(d, ARGUMENTS), size);
	return rc;
}

static void grant(struct domain *d, gref_t gref, domid_t to, mfn_t mfn, uint16_t flags)
{
	grant_entry_v1_t *e = (grant_entry_v1_t *)machine_ptr(d->share->grant_mfn[0]) + gref;

	*e = (grant_entry_v1_t){ .flags = flags, .domid = to, .frame = (uint32_t)mfn };
}

static struct gnttab_map_grant_ref map_page(struct domain *d, const struct domain *from, gref_t gref, pfn_t at, uint32_t flags)
{
	struct gnttab_map_grant_ref op = { .host_addr = fake_va(at), .flags = GNTMAP_host_map | flags, .ref = gref, .dom = from->domid };

	assert_int_equal(call(d, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	return op;
}

static int16_t unmap_page(struct domain *d, uint32_t handle, pfn_t at)
{
	struct gnttab_unmap_grant_ref op = { .host_addr = fake_va(at), .handle = handle };

	assert_int_equal(call(d, GNTTABOP_unmap_grant_ref, &op, sizeof(op)), 0);
	return op.status;
}

/* ---- the auditor ---- */

/* Every pin counted again from what guests hold. */
static void audit_pins(void)
{
	uint32_t *use = calloc(machine.nr_frames, sizeof(*use));
	uint32_t pins[HVSHARE_DOMAINS] = { 0 };

	assert_non_null(use);
	for (unsigned i = 0; i < HVSHARE_GUEST_MAPS; i++) {
		const struct hvshare_map *map = &machine.share->guest_map[i];

		if (!map->used)
			continue;
		assert_int_equal(machine_owner(map->mfn), map->domid);
		use[map->mfn] += HVSHARE_PIN_READ + (map->readonly ? 0 : HVSHARE_PIN_WRITE);
		pins[map->domid]++;
	}
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++) {
		uint32_t seen = machine.share->frame_use[mfn];

		assert_int_equal(seen & HVSHARE_FRAME_PINS, use[mfn]);
		assert_false((seen & HVSHARE_FRAME_SEALED) && (seen & HVSHARE_PIN_WRITES));
	}
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(guests[i]->share->nr_pins, pins[guests[i]->domid]);
	free(use);
}

/* What a guest's table names is its own, or pinned with the right to do what the entry allows. */
static void audit_reach(const struct domain *d)
{
	const uint64_t *l1 = fake_page(d, FAKE_L1);

	for (unsigned i = 0; i < FAKE_MAPPED; i++) {
		mfn_t mfn = pte_mfn(l1[i]);

		if (!(l1[i] & PTE_PRESENT) || machine_owner(mfn) == d->domid)
			continue;
		assert_true(machine.share->frame_use[mfn] & HVSHARE_PIN_READS);
		assert_true(!(l1[i] & PTE_RW) || machine.share->frame_use[mfn] & HVSHARE_PIN_WRITES);
	}
}

/* ---- one by one ---- */

/* XSA-224, 234: one page mapped twice, with and without the right to write; the last to go ends it, and not before. */
static void test_two_mappings_of_one_page(void **state)
{
	struct domain *a = guests[0], *b = guests[1];
	mfn_t mfn = fake_frame(a, 600);
	struct gnttab_map_grant_ref rw, ro;

	(void)state;
	grant(a, 8, b->domid, mfn, GTF_permit_access);
	rw = map_page(b, a, 8, 20, 0);
	ro = map_page(b, a, 8, 21, GNTMAP_readonly);
	assert_int_equal(rw.status | ro.status, GNTST_okay);
	assert_int_equal(unmap_page(b, rw.handle, 21), GNTST_general_error); /* that is the other's place */
	assert_int_equal(unmap_page(b, ro.handle, 20), GNTST_general_error);
	assert_int_equal(unmap_page(a, rw.handle, 20), GNTST_bad_handle);    /* not its own */
	assert_int_equal(mmu_steal_page(a, mfn), -EBUSY);
	assert_int_equal(unmap_page(b, rw.handle, 20), GNTST_okay);
	assert_int_equal(unmap_page(b, rw.handle, 20), GNTST_bad_handle); /* XSA-236: not twice */
	assert_int_equal(mmu_steal_page(a, mfn), -EBUSY);
	assert_int_equal(unmap_page(b, ro.handle, 21), GNTST_okay);
	audit_pins();
	assert_int_equal(mmu_steal_page(a, mfn), 0);
	machine_free(mfn);
}

/* XSA-218: the entry is cleared, granted to somebody else and named another frame while it is mapped: the mapper's pin is what counts. */
static void test_entry_that_changes_under_a_mapping(void **state)
{
	struct domain *a = guests[0], *b = guests[1];
	struct gnttab_map_grant_ref op;

	(void)state;
	grant(a, 8, b->domid, fake_frame(a, 600), GTF_permit_access);
	op = map_page(b, a, 8, 20, 0);
	assert_int_equal(op.status, GNTST_okay);
	grant(a, 8, 99, fake_frame(a, 601), GTF_accept_transfer);
	assert_int_equal(map_page(b, a, 8, 21, 0).status, GNTST_general_error);
	assert_int_equal(mmu_steal_page(a, fake_frame(a, 600)), -EBUSY);
	audit_pins();
	assert_int_equal(unmap_page(b, op.handle, 20), GNTST_okay);
	audit_pins();
	audit_reach(b);
}

/* XSA-379, 384, 486, 501: a table that is in use changes neither its version nor the place of its entries, and has no status frames. */
static void test_table_that_is_in_use(void **state)
{
	struct domain *a = guests[0], *b = guests[1];
	struct gnttab_set_version version = { .version = 2 };
	struct gnttab_get_status_frames status = { .nr_frames = 1, .dom = DOMID_SELF };
	struct gnttab_setup_table table = { .dom = DOMID_SELF, .nr_frames = 8 };
	mfn_t first = a->share->grant_mfn[0];
	struct gnttab_map_grant_ref op;

	(void)state;
	grant(a, 8, b->domid, fake_frame(a, 600), GTF_permit_access);
	op = map_page(b, a, 8, 20, 0);
	assert_int_equal(call(a, GNTTABOP_set_version, &version, sizeof(version)), -ENOSYS);
	assert_int_equal(version.version, 1);
	assert_int_equal(call(a, GNTTABOP_get_status_frames, &status, sizeof(status)), -ENOSYS);
	table.frame_list.p = (void *)(uintptr_t)fake_va(2);
	assert_int_equal(call(a, GNTTABOP_setup_table, &table, sizeof(table)), 0);
	assert_int_equal(a->share->nr_grant_frames, 8);
	assert_int_equal(a->share->grant_mfn[0], first);
	assert_int_equal(map_page(b, a, 8 * 512 - 1, 21, 0).status, GNTST_general_error); /* a fresh entry grants nothing */
	assert_int_equal(unmap_page(b, op.handle, 20), GNTST_okay);
	audit_pins();
}

/* ---- all at once ---- */

static uint32_t handles[2][HANDLES];
static pfn_t places[2][HANDLES];

static unsigned below(unsigned n)
{
	return (unsigned)random() % n;
}

static pfn_t some_page(void)
{
	return FIRST_PAGE + below(PAGES);
}

static gref_t some_gref(void)
{
	return FIRST_GREF + below(GREFS);
}

static void random_grant(unsigned who)
{
	static const uint16_t flags[] = { GTF_permit_access, GTF_permit_access, GTF_permit_access | GTF_readonly, GTF_accept_transfer, 0 };
	struct domain *d = guests[who];
	mfn_t mfn = fake_frame(guests[below(8) ? who : !who], below(8) ? some_page() : FAKE_L1);

	uint16_t f = flags[below(5)];

	grant(d, some_gref(), guests[!who]->domid, f == GTF_accept_transfer ? some_page() : mfn, f);
}

static void random_map(unsigned who)
{
	pfn_t at = some_page();
	struct gnttab_map_grant_ref op = map_page(guests[who], guests[below(8) ? !who : who], some_gref(), at, below(2) ? GNTMAP_readonly : 0);
	unsigned i = below(HANDLES);

	if (op.status == GNTST_okay) {
		handles[who][i] = op.handle;
		places[who][i] = at;
	}
}

static void random_unmap(unsigned who)
{
	unsigned i = below(HANDLES);

	unmap_page(guests[who], handles[below(8) ? who : !who][i], below(8) ? places[who][i] : some_page());
}

static void random_transfer(unsigned who)
{
	struct gnttab_transfer op = { .mfn = fake_frame(guests[who], some_page()), .domid = guests[!who]->domid, .ref = some_gref() };

	call(guests[who], GNTTABOP_transfer, &op, sizeof(op));
}

static void random_copy(unsigned who)
{
	struct gnttab_copy op = { .len = 64, .flags = (uint16_t)below(4) };

	op.source.domid = op.flags & GNTCOPY_source_gref ? guests[!who]->domid : DOMID_SELF;
	op.source.u.gmfn = op.flags & GNTCOPY_source_gref ? some_gref() : fake_frame(guests[who], some_page());
	op.dest.domid = op.flags & GNTCOPY_dest_gref ? guests[!who]->domid : DOMID_SELF;
	op.dest.u.gmfn = op.flags & GNTCOPY_dest_gref ? some_gref() : fake_frame(guests[who], some_page());
	call(guests[who], GNTTABOP_copy, &op, sizeof(op));
}

/* It plays with its own tables: over mappings, under them, and with pages that it granted. */
static void random_table(unsigned who)
{
	struct domain *d = guests[who];
	mfn_t mfn = fake_frame(d, some_page());

	switch (below(4)) {
	case 0:
		do_update_va_mapping(&d->vcpu[0], fake_va(some_page()), below(4) ? fake_pte(mfn, below(2) ? FAKE_RW : FAKE_RO) : 0, 0);
		break;
	case 1:
		fake_mmuext(d, MMUEXT_PIN_L1_TABLE, mfn);
		break;
	case 2:
		fake_mmuext(d, MMUEXT_UNPIN_TABLE, mfn);
		break;
	default:
		fake_mmuext(d, MMUEXT_CLEAR_PAGE, mfn);
		break;
	}
}

static void test_random_walk(void **state)
{
	static void (*const moves[])(unsigned) = { random_grant, random_grant, random_map, random_map, random_unmap, random_unmap,
		random_transfer, random_copy, random_table, random_table };

	(void)state;
	srandom(20);
	for (unsigned i = 0; i < 8; i++) { /* room for what is transferred */
		mfn_t mfn = fake_frame(guests[i % 2], 600 + i);

		assert_int_equal(mmu_steal_page(guests[i % 2], mfn), 0);
		machine_free(mfn);
	}
	for (unsigned step = 0; step < RANDOM_STEPS; step++) {
		moves[below(sizeof(moves) / sizeof(moves[0]))](below(2));
		if (step % AUDIT_EVERY)
			continue;
		audit_pins();
		audit_reach(guests[0]);
		audit_reach(guests[1]);
	}
	for (unsigned i = 0; i < 2; i++)
		tlb_sync(&guests[i]->vcpu[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_mappings_of_one_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_entry_that_changes_under_a_mapping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_that_is_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_random_walk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
