/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The names of things that belong to somebody else. A foreign address is never a C pointer: it is an integer with one of
 * these types, and only the code that owns the translation (hypervisor/mmu.c, hv.h, port.h) turns it into one.
 * Compiles hosted and freestanding.
 */
#ifndef SLUICE_TYPES_H
#define SLUICE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLUICE_PAGE_SHIFT 12
#define SLUICE_PAGE_SIZE 4096u

typedef uint32_t gref_t;   /* grant reference: index into the granting domain's grant table */
typedef uint32_t evtchn_t; /* event-channel port, local to one domain; 0 is never valid */
typedef uint64_t mfn_t;    /* machine frame: page offset in the machine memory */
typedef uint64_t pfn_t;    /* pseudo-physical frame: a domain's own numbering, 0..nr_pages-1 */
typedef uint64_t gva_t;    /* virtual address inside a guest */

#define SLUICE_INVALID_MFN (~(mfn_t)0)
#define SLUICE_INVALID_GREF (~(gref_t)0)

#endif
