/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Pages of the domain's own memory, which are what can be granted: a bitmap, first fit from where the last search ended. Drivers allocate when they
 * connect, not on the fast path.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hosted_private.h"

static uint8_t *used; /* one for each page */
static pfn_t next;    /* where to begin to search */

int hosted_pages_init(void)
{
	used = calloc(hosted.nr_pages, 1);
	next = HOSTED_PFN_FREE;
	return used ? 0 : -ENOMEM;
}

void hosted_pages_fini(void)
{
	free(used);
	used = NULL;
}

/* The first of n free pages in a row within [from, to); to when there are none. */
static pfn_t find(pfn_t from, pfn_t to, unsigned n)
{
	unsigned run = 0;

	for (pfn_t pfn = from; pfn < to; pfn++) {
		run = used[pfn] ? 0 : run + 1;
		if (run == n)
			return pfn + 1 - n;
	}
	return to;
}

void *port_pages_alloc(unsigned n)
{
	pfn_t end = hosted.nr_pages, pfn;

	if (!used || !n)
		return NULL;
	pfn = find(next, end, n);
	if (pfn == end)
		pfn = find(HOSTED_PFN_FREE, end, n);
	if (pfn == end)
		return NULL;
	memset(used + pfn, 1, n);
	next = pfn + n;
	return memset(hosted_page(pfn), 0, (size_t)n << SLUICE_PAGE_SHIFT);
}

void port_pages_free(void *pages, unsigned n)
{
	if (pages && used)
		memset(used + (((uint8_t *)pages - hosted.memory) >> SLUICE_PAGE_SHIFT), 0, n);
}

void *port_alloc(size_t n)
{
	return calloc(1, n);
}

void port_free(void *p)
{
	free(p);
}
