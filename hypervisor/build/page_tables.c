/* SPDX-License-Identifier: BSD-3-Clause */
/* The initial page tables (page_tables.h), in the order that libxc gives them: L4 first, which is where start_info.pt_base points. */
#include "page_tables.h"

#include "../machine.h"

#define LEVELS 4
#define ENTRY_BITS 9
#define PTE_PRESENT 0x01ull
#define PTE_WRITE 0x02ull
#define PTE_USER 0x04ull
#define PTE_ACCESSED 0x20ull
#define PTE_DIRTY 0x40ull
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY)
#define PTE_LEAF (PTE_PRESENT | PTE_USER | PTE_ACCESSED)

/* Which table of its level va is in, counted from virtual address 0. */
static uint64_t table_of(gva_t va, unsigned level)
{
	return va >> (SLUICE_PAGE_SHIFT + ENTRY_BITS * level);
}

static unsigned index_of(gva_t va, unsigned level)
{
	return (va >> (SLUICE_PAGE_SHIFT + ENTRY_BITS * (level - 1))) & ((1u << ENTRY_BITS) - 1);
}

uint64_t boot_tables_count(struct boot_tables *bt)
{
	uint64_t all = 0;

	for (unsigned level = 1; level <= LEVELS; level++) {
		bt->count[level] = (unsigned)(table_of(bt->end - 1, level) - table_of(bt->start, level) + 1);
		all += bt->count[level];
	}
	return all;
}

/* The pfn of the table of this level that maps va. */
static pfn_t table_pfn(const struct boot_tables *bt, gva_t va, unsigned level)
{
	pfn_t pfn = bt->first;

	for (unsigned above = LEVELS; above > level; above--)
		pfn += bt->count[above];
	return pfn + table_of(va, level) - table_of(bt->start, level);
}

static void set_entry(const struct boot_tables *bt, struct domain *d, gva_t va, unsigned level, uint64_t entry)
{
	uint64_t *table = machine_ptr(d->p2m[table_pfn(bt, va, level)]);

	table[index_of(va, level)] = entry;
}

void boot_tables_write(const struct boot_tables *bt, struct domain *d)
{
	pfn_t past = bt->first + bt->count[1] + bt->count[2] + bt->count[3] + bt->count[4];

	for (gva_t va = bt->start; va < bt->end; va += SLUICE_PAGE_SIZE) {
		pfn_t pfn = (va - bt->start) >> SLUICE_PAGE_SHIFT;
		bool is_table = pfn >= bt->first && pfn < past;

		set_entry(bt, d, va, 1, d->p2m[pfn] << SLUICE_PAGE_SHIFT | PTE_LEAF | (is_table ? 0 : PTE_WRITE | PTE_DIRTY));
		for (unsigned level = 2; level <= LEVELS; level++)
			if (va == bt->start || !index_of(va, level - 1))
				set_entry(bt, d, va, level, d->p2m[table_pfn(bt, va, level - 1)] << SLUICE_PAGE_SHIFT | PTE_TABLE);
	}
}
