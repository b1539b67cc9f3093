/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The grant table, version 1: entries of 8 bytes in pages that the hypervisor owns and we map. The first eight are reserved for the toolstack. Called by
 * port_pv.c.
 */
#include "kernel.h"
#include "hypercall.h"
#include <errno.h>
#include <sluice/shm.h>

#define FRAMES 8u
#define GRANTS (FRAMES * SLUICE_GRANTS_PER_FRAME)
#define RESERVED 8u

static uint8_t table_pages[FRAMES][SLUICE_PAGE_SIZE] __attribute__((aligned(SLUICE_PAGE_SIZE)));
static uint16_t free_grefs[GRANTS]; /* a stack: the last one given back is used first */
static unsigned nr_free, nr_grants;

static grant_entry_v1_t *entry(gref_t gref)
{
	return (grant_entry_v1_t *)table_pages + gref;
}

static unsigned frames_allowed(void)
{
	struct gnttab_query_size query = { .dom = DOMID_SELF };

	if (hypercall3(__HYPERVISOR_grant_table_op, GNTTABOP_query_size, (uintptr_t)&query, 1) || query.status != GNTST_okay)
		return 1;
	return query.max_nr_frames < FRAMES ? query.max_nr_frames : FRAMES;
}

int grant_init(void)
{
	xen_pfn_t list[FRAMES] = { 0 };
	struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = frames_allowed() };

	set_xen_guest_handle(setup.frame_list, list);
	if (hypercall3(__HYPERVISOR_grant_table_op, GNTTABOP_setup_table, (uintptr_t)&setup, 1) || setup.status != GNTST_okay)
		return -ENOSPC;
	for (unsigned i = 0; i < setup.nr_frames; i++) {
		int rc = mm_map_frame(table_pages[i], list[i]);

		if (rc)
			return rc;
	}
	nr_grants = setup.nr_frames * SLUICE_GRANTS_PER_FRAME;
	for (unsigned gref = nr_grants; gref-- > RESERVED;)
		free_grefs[nr_free++] = (uint16_t)gref;
	return 0;
}

int grant_access(domid_t to, mfn_t mfn, bool readonly, gref_t *gref)
{
	grant_entry_v1_t *e;

	if (!nr_free)
		return -ENOSPC;
	*gref = free_grefs[--nr_free];
	e = entry(*gref);
	shm_store(&e->domid, to);
	shm_store(&e->frame, (uint32_t)mfn);
	/* Orders: who and which frame before the flags that make the entry valid. */
	shm_store_release(&e->flags, (uint16_t)(GTF_permit_access | (readonly ? GTF_readonly : 0)));
	return 0;
}

/* The hypervisor sets the in-use bits by compare-and-exchange; so do we take the entry back, and lose if it was quicker (XSA-396). */
int grant_end(gref_t gref)
{
	uint16_t flags;

	if (gref < RESERVED || gref >= nr_grants)
		return -EINVAL;
	flags = shm_load(&entry(gref)->flags);
	if ((flags & GTF_type_mask) != GTF_permit_access)
		return -EINVAL;
	if (flags & (GTF_reading | GTF_writing) ||
	    !__atomic_compare_exchange_n(&entry(gref)->flags, &flags, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EBUSY;
	free_grefs[nr_free++] = (uint16_t)gref;
	return 0;
}
