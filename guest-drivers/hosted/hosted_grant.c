/* SPDX-License-Identifier: BSD-3-Clause */
/* The grant table, version 1, in the domain's own memory, where sluiced put it: all its frames are there from the start. */
#include <errno.h>
#include <sluice/shm.h>
#include <stdlib.h>

#include "hosted_private.h"

#define GRANTS (HOSTED_GRANT_FRAMES * SLUICE_GRANTS_PER_FRAME)
#define RESERVED 8u /* the toolstack's */

static uint16_t *free_grefs; /* a stack: the last one given back is used first */
static unsigned nr_free;

static grant_entry_v1_t *entry(gref_t gref)
{
	return (grant_entry_v1_t *)hosted_page(HOSTED_PFN_GRANT) + gref;
}

int hosted_grant_init(void)
{
	free_grefs = malloc(GRANTS * sizeof(*free_grefs));
	if (!free_grefs)
		return -ENOMEM;
	nr_free = 0;
	for (unsigned gref = GRANTS; gref-- > RESERVED;)
		free_grefs[nr_free++] = (uint16_t)gref;
	return 0;
}

void hosted_grant_fini(void)
{
	free(free_grefs);
	free_grefs = NULL;
	nr_free = 0;
}

int port_grant(domid_t to, void *page, bool readonly, gref_t *gref)
{
	mfn_t mfn = hosted.first_mfn + (mfn_t)(((uint8_t *)page - hosted.memory) >> SLUICE_PAGE_SHIFT);
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

/* Whoever uses the page sets the in-use bits by compare-and-exchange; so do we take the entry back, and lose if it was quicker (XSA-396). */
int port_grant_end(gref_t gref)
{
	uint16_t flags;

	if (gref < RESERVED || gref >= GRANTS || !free_grefs)
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
