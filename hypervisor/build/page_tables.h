/* SPDX-License-Identifier: BSD-3-Clause */
/* The page tables that a PV kernel starts on: one run of virtual addresses, pfn 0 at its start. Private to the builder. */
#ifndef SLUICE_BUILD_PAGE_TABLES_H
#define SLUICE_BUILD_PAGE_TABLES_H

#include "../domain.h"

struct boot_tables {
	gva_t start, end;   /* mapped: page-aligned */
	pfn_t first;        /* the tables themselves: first is the L4, then L3s, L2s, L1s */
	unsigned count[5];  /* [1] .. [4]: how many of each level */
};

/* How many frames the tables of [start, end) take; fills count. */
uint64_t boot_tables_count(struct boot_tables *bt);

/* Write them into d's frames: everything writable but the tables themselves. */
void boot_tables_write(const struct boot_tables *bt, struct domain *d);

#endif
