/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hypervisor/grant*.c and include/sluice/hvshare_grant.h: guests with real tables and page types, and domain 0's half of the protocol as
 * hv_sluice drives it.
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

#define CLIENT 2u
#define GREF 20u
#define PAGE 10u /* pfn that is granted */

static struct domain *a, *b;
static struct hvshare_view w;

static int setup(void **state)
{
	(void)state;
	fake_machine_start(32);
	a = fake_guest("a", 1024);
	b = fake_guest("b", 1024);
	w = (struct hvshare_view){machine.share, machine.base};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	grant_client_gone(CLIENT);
	fake_machine_stop();
	return 0;
}

/* ---- what a guest does ---- */

static grant_entry_v1_t *entry(struct domain *d, gref_t gref)
{
	return (grant_entry_v1_t *)machine_ptr(d->share->grant_mfn[gref / 512]) + gref % 512;
}

static void grant(struct domain *d, gref_t gref, domid_t to, mfn_t mfn, uint16_t flags)
{
	*entry(d, gref) = (grant_entry_v1_t){.flags = GTF_permit_access | flags, .domid = to, .frame = (uint32_t)mfn};
}

/* One hypercall on op, which goes through the guest's page 1. */
static long call(struct domain *d, unsigned cmd, void *op, size_t size)
{
	long rc;

	memcpy(fake_page(d, 1), op, size);
	rc = do_grant_table_op(&d->vcpu[0], cmd, fake_va(1), 1);
	memcpy(op, fake_page(d, 1), size);
	return rc;
}

static struct gnttab_map_grant_ref map_page(struct domain *d, struct domain *from, gref_t gref, pfn_t at, uint32_t flags)
{
	struct gnttab_map_grant_ref op = {.host_addr = fake_va(at), .flags = GNTMAP_host_map | flags, .ref = gref, .dom = from->domid};

	assert_int_equal(call(d, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	return op;
}

static int16_t unmap_page(struct domain *d, uint32_t handle, pfn_t at)
{
	struct gnttab_unmap_grant_ref op = {.host_addr = fake_va(at), .handle = handle};

	assert_int_equal(call(d, GNTTABOP_unmap_grant_ref, &op, sizeof(op)), 0);
	return op.status;
}

static struct gnttab_copy copy_op(domid_t from, gref_t src, domid_t to, gref_t dst, unsigned flags)
{
	struct gnttab_copy op = {.len = 100, .flags = (uint16_t)flags};

	op.source.domid = from;
	op.source.u.gmfn = src;
	op.dest.domid = to;
	op.dest.u.gmfn = dst;
	return op;
}

static int16_t copy(struct domain *d, struct gnttab_copy op)
{
	assert_int_equal(call(d, GNTTABOP_copy, &op, sizeof(op)), 0);
	return op.status;
}

/* ---- what an attached process does ---- */

static int16_t client_pin(unsigned slot, struct domain *d, gref_t gref, bool readonly)
{
	struct hvshare_map *map = &w.share->client[CLIENT].map[slot];
	int16_t status;

	*map = (struct hvshare_map){.domid = d->domid, .gref = gref, .readonly = readonly};
	hvshare_grant_lock(&w, d->domid);
	status = hvshare_grant_pin(&w, map, 0);
	hvshare_grant_unlock(&w, d->domid);
	return status;
}

static bool client_unpin(unsigned slot)
{
	struct hvshare_map *map = &w.share->client[CLIENT].map[slot];
	domid_t domid = map->domid;
	bool last;

	hvshare_grant_lock(&w, domid);
	last = hvshare_grant_unpin(&w, map);
	hvshare_grant_unlock(&w, domid);
	return last;
}

/* ---- the table ---- */

static void test_setup_table_grows(void **state)
{
	struct gnttab_setup_table op = {.dom = DOMID_SELF, .nr_frames = 3};
	xen_pfn_t frames[3];

	(void)state;
	op.frame_list.p = (void *)(uintptr_t)fake_va(2);
	assert_int_equal(call(a, GNTTABOP_setup_table, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_okay);
	memcpy(frames, fake_page(a, 2), sizeof(frames));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(frames[i], a->share->grant_mfn[i]);
		/* the guest may map it, nobody may be granted it */
		assert_int_equal(fake_mmu_update(a, fake_entry_maddr(a, FAKE_L1, 100 + i), fake_pte(frames[i], FAKE_RW)), 0);
		assert_int_equal(machine_owner(frames[i]), DOMID_INVALID);
	}
	op.nr_frames = HVSHARE_GRANT_FRAMES + 1;
	assert_int_equal(call(a, GNTTABOP_setup_table, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_general_error);
	op.nr_frames = HVSHARE_GRANT_FRAMES;
	assert_int_equal(call(a, GNTTABOP_setup_table, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_okay);
	op.dom = b->domid;
	assert_int_equal(call(a, GNTTABOP_setup_table, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_permission_denied);
	assert_int_equal(b->share->nr_grant_frames, 1);
}

static void test_size_and_version(void **state)
{
	struct gnttab_query_size size = {.dom = DOMID_SELF};
	struct gnttab_set_version set = {.version = 1};
	struct gnttab_get_version get = {.dom = DOMID_SELF};

	(void)state;
	assert_int_equal(call(a, GNTTABOP_query_size, &size, sizeof(size)), 0);
	assert_int_equal(size.nr_frames, 1);
	assert_int_equal(size.max_nr_frames, HVSHARE_GRANT_FRAMES);
	assert_int_equal(call(a, GNTTABOP_set_version, &set, sizeof(set)), 0);
	set.version = 2; /* XSA-379: tables never change their version */
	assert_int_equal(call(a, GNTTABOP_set_version, &set, sizeof(set)), -ENOSYS);
	assert_int_equal(set.version, 1);
	assert_int_equal(call(a, GNTTABOP_get_version, &get, sizeof(get)), 0);
	assert_int_equal(get.version, 1);
	assert_int_equal(do_grant_table_op(&a->vcpu[0], GNTTABOP_get_status_frames, fake_va(1), 1), -ENOSYS);
	assert_int_equal(do_grant_table_op(&a->vcpu[0], ~0u, fake_va(1), 1), -ENOSYS);
	assert_int_equal(do_grant_table_op(&a->vcpu[0], GNTTABOP_query_size, fake_va(1), 2), -EINVAL);
	assert_int_equal(do_grant_table_op(&a->vcpu[0], GNTTABOP_copy, fake_va(1), ~0u), -EINVAL);
	assert_int_equal(do_grant_table_op(&a->vcpu[0], GNTTABOP_query_size, 0, 1), -EFAULT);
}

static void test_reserved_entries_offer_store_and_console(void **state)
{
	(void)state;
	grant_seed_reserved(a, fake_frame(a, 4), fake_frame(a, 5));
	assert_int_equal(client_pin(0, a, GNTTAB_RESERVED_CONSOLE, false), GNTST_okay);
	assert_int_equal(client_pin(1, a, GNTTAB_RESERVED_XENSTORE, false), GNTST_okay);
	assert_int_equal(w.share->client[CLIENT].map[0].mfn, fake_frame(a, 4));
	assert_int_equal(w.share->client[CLIENT].map[1].mfn, fake_frame(a, 5));
}

/* ---- checks of an entry ---- */

static void test_pin_marks_the_entry(void **state)
{
	(void)state;
	grant(a, GREF, 0, fake_frame(a, PAGE), GTF_PWT);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_okay);
	assert_int_equal(w.share->client[CLIENT].map[0].mfn, fake_frame(a, PAGE));
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_PWT | GTF_reading);
	assert_int_equal(client_pin(1, a, GREF, false), GNTST_okay);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_PWT | GTF_reading | GTF_writing);
	assert_true(grant_frame_pinned(a, fake_frame(a, PAGE)));
	assert_false(client_unpin(1));
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_PWT | GTF_reading);
	assert_false(client_unpin(0));
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_PWT);
	assert_false(grant_frame_pinned(a, fake_frame(a, PAGE)));
	assert_int_equal(a->share->nr_pins, 0);
}

static void test_bad_entries_are_refused(void **state)
{
	(void)state;
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_general_error); /* free */
	grant(a, GREF, b->domid, fake_frame(a, PAGE), 0);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_general_error); /* for somebody else */
	grant(a, GREF, 0, fake_frame(a, PAGE), GTF_readonly);
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_general_error);
	grant(a, GREF, 0, fake_frame(a, PAGE), GTF_sub_page);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_general_error);
	entry(a, GREF)->flags = GTF_accept_transfer;
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_general_error);
	assert_int_equal(client_pin(0, a, 512, true), GNTST_bad_gntref); /* beyond its one frame */
	assert_int_equal(client_pin(0, a, ~0u, true), GNTST_bad_gntref);
	assert_int_equal(a->share->nr_pins, 0);
}

static void test_bad_frames_are_refused_and_the_entry_is_as_before(void **state)
{
	const mfn_t bad[] = {0, fake_frame(b, PAGE), machine.nr_frames, HVSHARE_FRAMES, 0xffffffff, a->share->grant_mfn[0], a->shared_info_mfn};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		grant(a, GREF, 0, bad[i], 0);
		assert_int_equal(client_pin(0, a, GREF, true), GNTST_bad_page);
		assert_int_equal(client_pin(0, a, GREF, false), GNTST_bad_page);
		assert_int_equal(entry(a, GREF)->flags, GTF_permit_access);
	}
}

/* A writable grant of a page table would hand the guest the machine. */
static void test_page_tables_are_never_writable(void **state)
{
	(void)state;
	grant(a, GREF, 0, fake_frame(a, FAKE_L1), 0);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_okay);
	assert_int_equal(client_pin(1, a, GREF, false), GNTST_bad_page);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_reading);
	client_unpin(0);
}

/* ... and so would a page that becomes one while it is mapped. */
static void test_a_page_mapped_writable_becomes_no_page_table(void **state)
{
	mfn_t mfn = fake_frame(a, PAGE);

	(void)state;
	grant(a, GREF, 0, mfn, 0);
	assert_int_equal(fake_mmu_update(a, fake_entry_maddr(a, FAKE_L1, PAGE), 0), 0); /* the guest's own writable mapping goes */
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_okay);
	assert_int_not_equal(fake_mmuext(a, MMUEXT_PIN_L1_TABLE, mfn), 0);
	client_unpin(0);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_okay);
	assert_int_equal(fake_mmuext(a, MMUEXT_PIN_L1_TABLE, mfn), 0);
	assert_int_equal(client_pin(1, a, GREF, false), GNTST_bad_page);
	client_unpin(0);
	assert_int_equal(fake_mmuext(a, MMUEXT_UNPIN_TABLE, mfn), 0);
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_okay);
	fake_audit_counts(a, NULL);
}

static void test_a_pinned_frame_is_not_given_away(void **state)
{
	mfn_t mfn = fake_frame(a, PAGE);

	(void)state;
	grant(a, GREF, 0, mfn, 0);
	assert_int_equal(fake_mmu_update(a, fake_entry_maddr(a, FAKE_L1, PAGE), 0), 0);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_okay);
	assert_int_equal(mmu_steal_page(a, mfn), -EBUSY);
	client_unpin(0);
	assert_int_equal(mmu_steal_page(a, mfn), 0);
	assert_int_equal(client_pin(0, a, GREF, true), GNTST_bad_page);
	assert_int_equal(mmu_give_page(a, mfn, PAGE), 0);
}

static void test_a_mapped_gref_keeps_its_frame(void **state)
{
	(void)state;
	grant(a, GREF, 0, fake_frame(a, PAGE), 0);
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_okay);
	entry(a, GREF)->frame = (uint32_t)fake_frame(a, PAGE + 1);
	assert_int_equal(client_pin(1, a, GREF, false), GNTST_okay);
	assert_int_equal(w.share->client[CLIENT].map[1].mfn, fake_frame(a, PAGE));
	client_unpin(0);
	client_unpin(1);
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_okay);
	assert_int_equal(w.share->client[CLIENT].map[0].mfn, fake_frame(a, PAGE + 1));
	client_unpin(0);
	assert_int_equal(w.share->frame_use[fake_frame(a, PAGE)], 0);
}

static void test_pins_of_one_page_are_bounded(void **state)
{
	struct hvshare_map *map = w.share->client[CLIENT].map;

	(void)state;
	grant(a, GREF, 0, fake_frame(a, PAGE), 0);
	for (unsigned i = 0; i < HVSHARE_PIN_READS; i++)
		assert_int_equal(client_pin(i, a, GREF, false), GNTST_okay);
	assert_int_equal(client_pin(HVSHARE_PIN_READS, a, GREF, true), GNTST_no_space);
	assert_int_equal(w.share->frame_use[map[0].mfn], HVSHARE_FRAME_PINS);
	grant_client_gone(CLIENT);
	assert_int_equal(w.share->frame_use[map[0].mfn], 0);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access);
}

/* ---- guests map each other ---- */

static void test_map_and_unmap(void **state)
{
	mfn_t granted[] = {fake_frame(a, PAGE), SLUICE_INVALID_MFN};
	struct gnttab_map_grant_ref op;
	struct mmu_walk walk;

	(void)state;
	grant(a, GREF, b->domid, granted[0], 0);
	op = map_page(b, a, GREF, 30, 0);
	assert_int_equal(op.status, GNTST_okay);
	assert_int_equal(mmu_walk(&b->vcpu[0], fake_va(30), &walk), 0);
	assert_int_equal(walk.mfn, granted[0]);
	assert_true(walk.write);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	fake_audit_counts(b, granted);
	assert_int_equal(unmap_page(b, op.handle, 31), GNTST_general_error); /* not where it is */
	assert_int_equal(unmap_page(a, op.handle, 30), GNTST_bad_handle);    /* not whose it is */
	assert_int_equal(unmap_page(b, ~0u, 30), GNTST_bad_handle);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	assert_int_equal(unmap_page(b, op.handle, 30), GNTST_okay);
	assert_int_equal(mmu_walk(&b->vcpu[0], fake_va(30), &walk), -EFAULT);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access);
	assert_int_equal(unmap_page(b, op.handle, 30), GNTST_bad_handle);
	fake_audit_counts(b, NULL);
}

static void test_readonly_map(void **state)
{
	struct gnttab_map_grant_ref op;
	struct mmu_walk walk;

	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), GTF_readonly);
	assert_int_equal(map_page(b, a, GREF, 30, 0).status, GNTST_general_error);
	op = map_page(b, a, GREF, 30, GNTMAP_readonly);
	assert_int_equal(op.status, GNTST_okay);
	assert_int_equal(mmu_walk(&b->vcpu[0], fake_va(30), &walk), 0);
	assert_false(walk.write);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_readonly | GTF_reading);
	assert_int_equal(unmap_page(b, op.handle, 30), GNTST_okay);
}

static void test_map_by_entry_address(void **state)
{
	struct gnttab_map_grant_ref op = {.host_addr = fake_entry_maddr(b, FAKE_L1, 40), .flags = GNTMAP_host_map | GNTMAP_contains_pte,
	                                  .ref = GREF, .dom = a->domid};
	struct gnttab_unmap_grant_ref un = {.host_addr = op.host_addr};
	struct mmu_walk walk;

	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), 0);
	assert_int_equal(call(b, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_okay);
	assert_int_equal(mmu_walk(&b->vcpu[0], fake_va(40), &walk), 0);
	assert_int_equal(walk.mfn, fake_frame(a, PAGE));
	un.handle = op.handle;
	assert_int_equal(call(b, GNTTABOP_unmap_grant_ref, &un, sizeof(un)), 0);
	assert_int_equal(un.status, GNTST_okay);
}

static void test_map_refuses(void **state)
{
	struct gnttab_map_grant_ref op = {.flags = GNTMAP_host_map, .ref = GREF, .dom = a->domid, .host_addr = 1ull << 40};

	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), 0);
	assert_int_equal(call(b, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_virt_addr);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access); /* the pin is gone again */
	op.dom = 77;
	assert_int_equal(call(b, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_domain);
	op.dom = 0;
	assert_int_equal(call(b, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_domain);
	op.flags = 0;
	assert_int_equal(call(b, GNTTABOP_map_grant_ref, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_gntref);
}

static void test_maps_of_one_guest_are_bounded(void **state)
{
	unsigned n = 0;

	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), 0);
	while (n < HVSHARE_GUEST_MAPS && map_page(b, a, GREF, 30, 0).status == GNTST_okay)
		n++;
	assert_int_equal(n, 1024);
	assert_int_equal(a->share->nr_pins, 1024);
	grant_domain_fini(b);
	assert_int_equal(a->share->nr_pins, 0);
}

static void test_unmap_and_replace(void **state)
{
	struct gnttab_map_grant_ref op;
	struct gnttab_unmap_and_replace re = {.host_addr = fake_va(30), .new_addr = fake_va(31)};
	struct mmu_walk walk;

	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), 0);
	op = map_page(b, a, GREF, 30, 0);
	re.handle = op.handle;
	assert_int_equal(call(b, GNTTABOP_unmap_and_replace, &re, sizeof(re)), 0);
	assert_int_equal(re.status, GNTST_okay);
	assert_int_equal(mmu_walk(&b->vcpu[0], fake_va(30), &walk), 0);
	assert_int_equal(walk.mfn, fake_frame(b, 31));
	assert_int_equal(mmu_walk(&b->vcpu[0], fake_va(31), &walk), -EFAULT);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access);
	fake_audit_counts(b, NULL);
}

/* ---- copy ---- */

static void test_copy_between_guests(void **state)
{
	struct gnttab_copy op = copy_op(a->domid, GREF, b->domid, GREF, GNTCOPY_source_gref | GNTCOPY_dest_gref);

	(void)state;
	memset(fake_page(a, PAGE), 0x5a, 4096);
	memset(fake_page(b, PAGE), 0, 4096);
	grant(a, GREF, b->domid, fake_frame(a, PAGE), GTF_readonly);
	grant(b, GREF, b->domid, fake_frame(b, PAGE), 0);
	op.dest.offset = 4096 - 100;
	assert_int_equal(copy(b, op), GNTST_okay);
	assert_int_equal(((uint8_t *)fake_page(b, PAGE))[4095], 0x5a);
	assert_int_equal(((uint8_t *)fake_page(b, PAGE))[4096 - 101], 0);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_readonly);
	assert_int_equal(entry(b, GREF)->flags, GTF_permit_access);
	op.dest.offset++;
	assert_int_equal(copy(b, op), GNTST_bad_copy_arg);
	op.dest.offset = 0;
	op.source.offset = 0xffff;
	assert_int_equal(copy(b, op), GNTST_bad_copy_arg);
}

static void test_copy_checks_each_end(void **state)
{
	const unsigned both = GNTCOPY_source_gref | GNTCOPY_dest_gref;

	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), GTF_readonly);
	grant(b, GREF, b->domid, fake_frame(b, PAGE), 0);
	assert_int_equal(copy(b, copy_op(b->domid, GREF, a->domid, GREF, both)), GNTST_general_error); /* read-only */
	assert_int_equal(entry(b, GREF)->flags, GTF_permit_access);                                  /* the good end is let go */
	assert_int_equal(copy(a, copy_op(a->domid, GREF, b->domid, GREF, both)), GNTST_general_error); /* not granted to a */
	assert_int_equal(copy(b, copy_op(99, GREF, b->domid, GREF, both)), GNTST_bad_domain);
	assert_int_equal(copy(b, copy_op(0x7000, GREF, b->domid, GREF, both)), GNTST_bad_domain);
	assert_int_equal(copy(b, copy_op(a->domid, 5000, b->domid, GREF, both)), GNTST_bad_gntref);
	/* frames of one's own only, and no page table as a target */
	assert_int_equal(copy(b, copy_op(DOMID_SELF, (gref_t)fake_frame(b, 3), DOMID_SELF, (gref_t)fake_frame(b, 4), 0)), GNTST_okay);
	assert_int_equal(copy(b, copy_op(DOMID_SELF, (gref_t)fake_frame(a, 3), DOMID_SELF, (gref_t)fake_frame(b, 4), 0)), GNTST_bad_page);
	assert_int_equal(copy(b, copy_op(a->domid, (gref_t)fake_frame(a, 3), DOMID_SELF, (gref_t)fake_frame(b, 4), 0)), GNTST_permission_denied);
	assert_int_equal(copy(b, copy_op(DOMID_SELF, (gref_t)fake_frame(b, 3), DOMID_SELF, (gref_t)fake_frame(b, FAKE_L1), 0)), GNTST_bad_page);
	assert_int_equal(copy(b, copy_op(DOMID_SELF, (gref_t)fake_frame(b, FAKE_L1), DOMID_SELF, (gref_t)fake_frame(b, 4), 0)), GNTST_okay);
}

/* ---- transfer ---- */

static void test_transfer(void **state)
{
	mfn_t mfn = fake_frame(a, PAGE), other = fake_frame(a, PAGE + 1);
	struct gnttab_transfer op = {.mfn = mfn, .domid = b->domid, .ref = GREF};

	(void)state;
	*entry(b, GREF) = (grant_entry_v1_t){.flags = GTF_accept_transfer, .domid = a->domid, .frame = 700};
	assert_int_equal(fake_mmu_update(a, fake_entry_maddr(a, FAKE_L1, PAGE), 0), 0);
	assert_int_equal(call(a, GNTTABOP_transfer, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_general_error); /* b is full */
	b->max_pages++;
	op.mfn = other; /* still mapped by a: in use */
	assert_int_equal(call(a, GNTTABOP_transfer, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_page);
	assert_int_equal(entry(b, GREF)->flags, GTF_accept_transfer);
	op.mfn = fake_frame(b, 1);
	assert_int_equal(call(a, GNTTABOP_transfer, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_page);
	op.mfn = mfn;
	assert_int_equal(call(a, GNTTABOP_transfer, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_okay);
	assert_int_equal(entry(b, GREF)->flags, GTF_accept_transfer | GTF_transfer_committed | GTF_transfer_completed);
	assert_int_equal(entry(b, GREF)->frame, mfn);
	assert_int_equal(machine_owner(mfn), b->domid);
	assert_int_equal(a->p2m[PAGE], SLUICE_INVALID_MFN);
	assert_int_equal(call(a, GNTTABOP_transfer, &op, sizeof(op)), 0);
	assert_int_equal(op.status, GNTST_bad_page); /* not its own any more */
	b->max_pages--;
	fake_audit_counts(a, NULL);
	fake_audit_counts(b, NULL);
}

/* ---- deaths ---- */

static void test_a_dead_domain_leaves_what_is_held(void **state)
{
	domid_t domid = a->domid;
	uint64_t before = machine_free_frames();
	mfn_t mfn = fake_frame(a, PAGE);

	(void)state;
	grant(a, GREF, 0, mfn, 0);
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_okay);
	assert_int_equal(client_pin(1, a, GREF, false), GNTST_okay);
	domain_destroy(a);
	assert_int_equal(machine_free_frames(), before + 1024 - 1);
	assert_int_equal(machine_owner(mfn), domid);
	assert_false(grant_domid_free(domid));
	assert_false(hvshare_domain_usable(w.share, domid));
	grant_sweep_dead();
	assert_int_equal(machine_owner(mfn), domid);
	assert_false(client_unpin(0));
	assert_true(client_unpin(1)); /* now the process says HVSOCK_RELEASED, and sluiced sweeps */
	grant_sweep_dead();
	assert_int_equal(machine_free_frames(), before + 1024);
	assert_true(grant_domid_free(domid));
}

static void test_a_dead_client_lets_go(void **state)
{
	uint64_t before = machine_free_frames();

	(void)state;
	grant(a, GREF, 0, fake_frame(a, PAGE), 0);
	grant(b, GREF, 0, fake_frame(b, PAGE), 0);
	assert_int_equal(client_pin(0, a, GREF, false), GNTST_okay);
	assert_int_equal(client_pin(7, b, GREF, true), GNTST_okay);
	domain_destroy(a);
	grant_client_gone(CLIENT);
	assert_int_equal(machine_free_frames(), before + 1024);
	assert_int_equal(entry(b, GREF)->flags, GTF_permit_access);
	assert_int_equal(b->share->nr_pins, 0);
	grant_client_gone(CLIENT);
	assert_int_equal(b->share->nr_pins, 0);
}

static void test_a_dead_guest_lets_go(void **state)
{
	(void)state;
	grant(a, GREF, b->domid, fake_frame(a, PAGE), 0);
	assert_int_equal(map_page(b, a, GREF, 30, 0).status, GNTST_okay);
	domain_destroy(b);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access);
	assert_int_equal(a->share->nr_pins, 0);
}

static void *die_with_the_lock(void *arg)
{
	struct domain *d = arg;

	pthread_mutex_lock(&d->share->grant_lock);
	/* in the middle of a pin and of a copy */
	d->share->pin[GREF].count += HVSHARE_PIN_READ;
	d->share->nr_pins += 7;
	entry(d, GREF + 1)->flags |= GTF_reading | GTF_writing;
	return NULL;
}

static void test_a_lock_whose_holder_died_is_repaired(void **state)
{
	pthread_t t;

	(void)state;
	grant(a, GREF, 0, fake_frame(a, PAGE), 0);
	grant(a, GREF + 1, 0, fake_frame(a, PAGE + 1), 0);
	grant(a, GREF + 2, b->domid, fake_frame(a, PAGE + 2), 0);
	assert_int_equal(client_pin(3, a, GREF, true), GNTST_okay);
	assert_int_equal(map_page(b, a, GREF + 2, 30, 0).status, GNTST_okay);
	assert_int_equal(pthread_create(&t, NULL, die_with_the_lock, a), 0);
	assert_int_equal(pthread_join(t, NULL), 0);
	hvshare_grant_lock(&w, a->domid);
	hvshare_grant_unlock(&w, a->domid);
	assert_int_equal(a->share->pin[GREF].count, HVSHARE_PIN_READ);
	assert_int_equal(a->share->pin[GREF + 2].count, HVSHARE_PIN_READ + HVSHARE_PIN_WRITE);
	assert_int_equal(a->share->nr_pins, 2);
	assert_int_equal(entry(a, GREF)->flags, GTF_permit_access | GTF_reading);
	assert_int_equal(entry(a, GREF + 1)->flags, GTF_permit_access);
	assert_int_equal(entry(a, GREF + 2)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	assert_int_equal(w.share->frame_use[fake_frame(a, PAGE)], HVSHARE_PIN_READ);
	assert_int_equal(pthread_mutex_trylock(&a->share->grant_lock), 0); /* consistent again */
	pthread_mutex_unlock(&a->share->grant_lock);
}

static void test_two_locks_are_taken_in_order_and_kept(void **state)
{
	struct hvshare_locks l = {.uses = 0};

	(void)state;
	hvshare_locks_want(&w, &l, b->domid, a->domid);
	assert_int_equal(pthread_mutex_trylock(&a->share->grant_lock), EBUSY);
	assert_int_equal(pthread_mutex_trylock(&b->share->grant_lock), EBUSY);
	hvshare_locks_want(&w, &l, a->domid, b->domid);
	hvshare_locks_want(&w, &l, a->domid, a->domid);
	assert_int_equal(pthread_mutex_trylock(&b->share->grant_lock), 0);
	pthread_mutex_unlock(&b->share->grant_lock);
	hvshare_locks_want(&w, &l, HVSHARE_NO_DOMAIN, HVSHARE_NO_DOMAIN);
	assert_int_equal(pthread_mutex_trylock(&a->share->grant_lock), 0);
	pthread_mutex_unlock(&a->share->grant_lock);
	hvshare_locks_want(&w, &l, a->domid, HVSHARE_NO_DOMAIN);
	hvshare_locks_drop(&w, &l);
	assert_int_equal(pthread_mutex_trylock(&a->share->grant_lock), 0);
	pthread_mutex_unlock(&a->share->grant_lock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- uses that overlap, and what the guest may do meanwhile. The grant_lock is not held: nobody else is there, and a test that fails would keep it. ---- */

static struct hvshare_use begin(gref_t gref, bool readonly)
{
	struct hvshare_use use;

	assert_int_equal(hvshare_grant_begin(&w, a->domid, gref, b->domid, readonly, &use), GNTST_okay);
	return use;
}

/* The guest takes an entry back as the ABI says: only when it shows no use. */
static bool revoke(gref_t gref)
{
	if (entry(a, gref)->flags & (GTF_reading | GTF_writing))
		return false;
	entry(a, gref)->flags = 0;
	return true;
}

static void test_a_use_ends_with_its_own_marks_only(void **state)
{
	struct hvshare_use first, second;

	(void)state;
	for (unsigned readonly = 0; readonly < 2; readonly++) { /* two of one entry in a batch, ended one after the other */
		grant(a, 20, b->domid, fake_frame(a, 5), 0);
		first = begin(20, readonly);
		second = begin(20, readonly);
		assert_false(revoke(20));
		hvshare_grant_end(&first);
		assert_true(revoke(20));
		hvshare_grant_end(&second);
		assert_int_equal(entry(a, 20)->flags, 0); /* revoked once and for all */
	}
	grant(a, 20, b->domid, fake_frame(a, 5), 0); /* source and destination of one copy */
	first = begin(20, true);
	second = begin(20, false);
	assert_int_equal(entry(a, 20)->flags, GTF_permit_access | GTF_reading | GTF_writing);
	hvshare_grant_end(&second);
	assert_int_equal(entry(a, 20)->flags, GTF_permit_access | GTF_reading);
	hvshare_grant_end(&first);
	assert_int_equal(entry(a, 20)->flags, GTF_permit_access);
}

/* The one change that the ABI allows to an entry in use: between writable and read-only, while it is only read. */
static void test_read_only_during_a_read_stays_so(void **state)
{
	struct hvshare_use use;

	(void)state;
	grant(a, 20, b->domid, fake_frame(a, 5), 0);
	use = begin(20, true);
	entry(a, 20)->flags |= GTF_readonly;
	hvshare_grant_end(&use);
	assert_int_equal(entry(a, 20)->flags, GTF_permit_access | GTF_readonly);
	assert_int_equal(hvshare_grant_begin(&w, a->domid, 20, b->domid, false, &use), GNTST_general_error);
}

/* What a mapping shows stays. */
static void test_a_use_beside_a_pin(void **state)
{
	struct hvshare_map pin = { .domid = a->domid, .gref = 20, .readonly = true };
	struct hvshare_use use;

	(void)state;
	grant(a, 20, b->domid, fake_frame(a, 5), 0);
	assert_int_equal(hvshare_grant_pin(&w, &pin, b->domid), GNTST_okay);
	use = begin(20, false);
	hvshare_grant_end(&use);
	assert_int_equal(entry(a, 20)->flags, GTF_permit_access | GTF_reading);
	hvshare_grant_unpin(&w, &pin);
	assert_int_equal(entry(a, 20)->flags, GTF_permit_access);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_setup_table_grows),
		TEST(test_size_and_version),
		TEST(test_reserved_entries_offer_store_and_console),
		TEST(test_pin_marks_the_entry),
		TEST(test_bad_entries_are_refused),
		TEST(test_bad_frames_are_refused_and_the_entry_is_as_before),
		TEST(test_page_tables_are_never_writable),
		TEST(test_a_page_mapped_writable_becomes_no_page_table),
		TEST(test_a_pinned_frame_is_not_given_away),
		TEST(test_a_mapped_gref_keeps_its_frame),
		TEST(test_pins_of_one_page_are_bounded),
		TEST(test_map_and_unmap),
		TEST(test_readonly_map),
		TEST(test_map_by_entry_address),
		TEST(test_map_refuses),
		TEST(test_maps_of_one_guest_are_bounded),
		TEST(test_unmap_and_replace),
		TEST(test_copy_between_guests),
		TEST(test_copy_checks_each_end),
		TEST(test_a_use_ends_with_its_own_marks_only),
		TEST(test_read_only_during_a_read_stays_so),
		TEST(test_a_use_beside_a_pin),
		TEST(test_transfer),
		TEST(test_a_dead_domain_leaves_what_is_held),
		TEST(test_a_dead_client_lets_go),
		TEST(test_a_dead_guest_lets_go),
		TEST(test_a_lock_whose_holder_died_is_repaired),
		TEST(test_two_locks_are_taken_in_order_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
