/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory: page n of the domain (its pseudo-physical frame, pfn) is mapped at VIRT_BASE + n * 4096, and the list of start_info says which machine frame it is.
 * The builder has mapped the kernel and at least 512 KiB behind it; mm_init maps the rest. Page tables are Xen's to change: a new one is filled while it is
 * an ordinary page, then made read-only, then linked by a hypercall, which checks it. Called by main.c, port_pv.c, grant.c.
 */
#include "kernel.h"
#include "hypercall.h"
#include "layout.h"
#include "string.h"
#include <errno.h>

#define PTE_PRESENT 0x1ull
#define PTE_RW 0x67ull /* present, writable, user (a PV kernel runs in ring 3), accessed, dirty */
#define PTE_RO 0x65ull
#define PTE_FRAME(pte) (((pte) & 0x000ffffffffff000ull) >> SLUICE_PAGE_SHIFT)
#define TABLE_ENTRIES 512u
#define UPDATE_BATCH 64u
#define SPARE_PAGES 8u

static const unsigned long *p2m; /* pfn to mfn, nr_pages entries */
static uint64_t nr_pages, mapped; /* pfns below `mapped` have a mapping */

/* One bit for each page, set while it is used. */
static uint64_t *used;
static uint64_t used_words, pages_left, next_word;

static struct mmu_update updates[UPDATE_BATCH];
static unsigned nr_updates;

static void *pfn_va(pfn_t pfn)
{
	return (void *)(VIRT_BASE + (pfn << SLUICE_PAGE_SHIFT));
}

static pfn_t va_pfn(const void *va)
{
	return ((uintptr_t)va - VIRT_BASE) >> SLUICE_PAGE_SHIFT;
}

mfn_t mm_mfn_of(const void *va)
{
	return p2m[va_pfn(va)];
}

void *mm_frame_va(mfn_t mfn)
{
	for (pfn_t pfn = 0; pfn < nr_pages; pfn++)
		if (p2m[pfn] == mfn)
			return pfn_va(pfn);
	return NULL;
}

static int set_mapping(const void *va, uint64_t pte)
{
	return (int)hypercall3(__HYPERVISOR_update_va_mapping, (uintptr_t)va, pte, UVMF_INVLPG);
}

int mm_map_frame(void *va, mfn_t mfn)
{
	return set_mapping(va, mfn << SLUICE_PAGE_SHIFT | PTE_RW);
}

static int updates_flush(void)
{
	unsigned n = nr_updates;

	nr_updates = 0;
	return n ? (int)hypercall4(__HYPERVISOR_mmu_update, (uintptr_t)updates, n, 0, DOMID_SELF) : 0;
}

/* Write `pte` to the entry of a table in use; done at the latest by the next updates_flush. */
static int update_entry(const uint64_t *entry, uint64_t pte)
{
	uint64_t at = mm_mfn_of(entry) << SLUICE_PAGE_SHIFT | ((uintptr_t)entry & (SLUICE_PAGE_SIZE - 1));

	updates[nr_updates++] = (struct mmu_update){ .ptr = at | MMU_NORMAL_PT_UPDATE, .val = pte };
	return nr_updates == UPDATE_BATCH ? updates_flush() : 0;
}

/* The builder's tables lie together from pt_base on, the top one first; ours are found by their frame like any other page. */
static uint64_t *table_of(uint64_t pte)
{
	uint64_t *boot = (uint64_t *)start_info->pt_base;

	for (unsigned i = 0; i < start_info->nr_pt_frames; i++)
		if (mm_mfn_of(boot + i * TABLE_ENTRIES) == PTE_FRAME(pte))
			return boot + i * TABLE_ENTRIES;
	return mm_frame_va(PTE_FRAME(pte));
}

/* The entry for va in its table of the given level (1: the leaf), or NULL when a level above is not there. */
static uint64_t *entry_of(uint64_t va, unsigned level)
{
	uint64_t *table = (uint64_t *)start_info->pt_base;

	for (unsigned l = 4;; l--) {
		uint64_t *entry = table + (va >> (3 + 9 * l) & (TABLE_ENTRIES - 1));

		if (l == level)
			return entry;
		if (!(*entry & PTE_PRESENT))
			return NULL;
		table = table_of(*entry);
		if (!table)
			return NULL;
	}
}

/* Link a filled page as a table of level - 1 under `entry`. */
static int link_table(uint64_t *entry, const void *table)
{
	uint64_t frame = mm_mfn_of(table) << SLUICE_PAGE_SHIFT;
	int rc = set_mapping(table, frame | PTE_RO);

	return rc ? rc : update_entry(entry, frame | PTE_RW);
}

/* Make sure that the table of the given level for va exists; the entry for va in it. NULL when there is no memory or Xen refused. */
static uint64_t *make_entry(uint64_t va, unsigned level)
{
	for (unsigned above = 4; above > level; above--) {
		uint64_t *entry = entry_of(va, above);
		void *table;

		if (*entry & PTE_PRESENT)
			continue;
		table = mm_pages_alloc(1);
		if (!table || link_table(entry, table) || updates_flush())
			return NULL;
	}
	return entry_of(va, level);
}

/* Map pages from `mapped` up to a table's end or the memory's, whichever is nearer, with a table of their own. */
static int map_run(void)
{
	uint64_t va = (uintptr_t)pfn_va(mapped), *l2e = make_entry(va, 2), *table;
	unsigned first = va >> SLUICE_PAGE_SHIFT & (TABLE_ENTRIES - 1), n = TABLE_ENTRIES - first;

	if (!l2e)
		return -ENOMEM;
	if (n > nr_pages - mapped)
		n = (unsigned)(nr_pages - mapped);
	if (*l2e & PTE_PRESENT) {
		table = table_of(*l2e);
		for (unsigned i = 0; i < n; i++)
			if (update_entry(table + first + i, (uint64_t)p2m[mapped + i] << SLUICE_PAGE_SHIFT | PTE_RW))
				return -EINVAL;
	} else {
		table = mm_pages_alloc(1);
		if (!table)
			return -ENOMEM;
		for (unsigned i = 0; i < n; i++)
			table[first + i] = (uint64_t)p2m[mapped + i] << SLUICE_PAGE_SHIFT | PTE_RW;
		if (link_table(l2e, table))
			return -EINVAL;
	}
	mapped += n;
	return 0;
}

/* Give pages [from, to) to the allocator. */
static void pages_add(pfn_t from, pfn_t to)
{
	for (pfn_t pfn = from; pfn < to; pfn++)
		used[pfn / 64] &= ~(1ull << pfn % 64);
	pages_left += to - from;
}

/* The first page that nothing of the start of day occupies: the stack that we were entered on is the last, behind the page tables. */
static pfn_t first_free_page(void)
{
	uint64_t end = start_info->pt_base + (start_info->nr_pt_frames + 1) * SLUICE_PAGE_SIZE;
	uint64_t list_end = start_info->mfn_list + nr_pages * sizeof(*p2m);
	uint64_t ramdisk_end = start_info->mod_start ? start_info->mod_start + start_info->mod_len : 0;

	if (list_end > end)
		end = list_end;
	if (ramdisk_end > end)
		end = ramdisk_end;
	return va_pfn((void *)(end + SLUICE_PAGE_SIZE - 1));
}

/* What the builder mapped goes page by page up to the first hole. */
static void find_mapped(pfn_t from)
{
	for (mapped = from; mapped < nr_pages; mapped++) {
		uint64_t *entry = entry_of((uintptr_t)pfn_va(mapped), 1);

		if (!entry || !(*entry & PTE_PRESENT))
			return;
	}
}

/* Map some runs with as few hypercalls as can be. Their pages may be used (for the next tables, too) once the batch is done. */
static int map_batch(void)
{
	pfn_t from = mapped;
	int rc = map_run();

	while (!rc && mapped < nr_pages && nr_updates && pages_left > SPARE_PAGES)
		rc = map_run();
	if (!rc)
		rc = updates_flush();
	if (!rc)
		pages_add(from, mapped);
	return rc;
}

int mm_init(void)
{
	uint64_t bitmap_pages;
	pfn_t free_from;
	int rc = 0;

	p2m = (const unsigned long *)start_info->mfn_list;
	nr_pages = start_info->nr_pages;
	free_from = first_free_page();
	find_mapped(free_from);
	used_words = (nr_pages + 63) / 64;
	bitmap_pages = (used_words * 8 + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE;
	if (free_from + bitmap_pages >= mapped)
		return -ENOMEM;
	used = pfn_va(free_from);
	memset(used, 0xff, bitmap_pages * SLUICE_PAGE_SIZE);
	pages_add(free_from + bitmap_pages, mapped);
	while (!rc && mapped < nr_pages)
		rc = map_batch();
	return rc;
}

static bool page_used(pfn_t pfn)
{
	return pfn >= nr_pages || (used[pfn / 64] >> pfn % 64 & 1);
}

/* First page of a free run of n, or nr_pages. */
static pfn_t find_run(unsigned n)
{
	for (uint64_t i = 0; i < used_words; i++) {
		uint64_t word = (next_word + i) % used_words;

		if (used[word] == ~0ull)
			continue;
		for (pfn_t pfn = word * 64; pfn < word * 64 + 64; pfn++) {
			unsigned have = 0;

			while (have < n && !page_used(pfn + have))
				have++;
			if (have == n) {
				next_word = word;
				return pfn;
			}
		}
	}
	return nr_pages;
}

void *mm_pages_alloc(unsigned n)
{
	pfn_t pfn = n && n <= pages_left ? find_run(n) : nr_pages;

	if (pfn == nr_pages)
		return NULL;
	for (unsigned i = 0; i < n; i++)
		used[(pfn + i) / 64] |= 1ull << (pfn + i) % 64;
	pages_left -= n;
	return memset(pfn_va(pfn), 0, (size_t)n * SLUICE_PAGE_SIZE);
}

void mm_pages_free(void *pages, unsigned n)
{
	pfn_t pfn = va_pfn(pages);

	pages_add(pfn, pfn + n);
	next_word = pfn / 64;
}

uint64_t mm_pages_total(void)
{
	return nr_pages;
}

uint64_t mm_pages_left(void)
{
	return pages_left;
}
