/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Machine memory: one memfd whose page n is machine frame n, mapped whole into sluiced, with the window of hosted domains (hosted_memory.h)
 * above it. Who owns a frame stands in hvshare.frame_owner, what it is used as in struct page (mmu.h; the window has none). Callers hold hv_lock.
 */
#ifndef SLUICE_MACHINE_H
#define SLUICE_MACHINE_H

#include <sluice/hvshare.h>

struct page;         /* page_types.h */

struct machine {
	int fd;              /* memfd of machine memory */
	uint8_t *base;       /* all of it, HVSHARE_ALL_FRAMES, mapped */
	uint64_t nr_frames;
	int share_fd;        /* memfd of hvshare */
	struct hvshare *share;
	uint64_t *m2p;       /* machine to pseudo-physical: pfn, or ~0; what guests read at 0xffff800000000000 */
	struct page *page;   /* one for each frame */
};

extern struct machine machine;

/* The lowest frame that is ever given out: a frame number never equals the pfn of a small guest, and 0 is nobody's. */
#define MACHINE_FIRST_FRAME 0x1000u

/* bytes of guest memory, rounded up to pages. 0 or -errno after a line on the log. */
int machine_init(uint64_t bytes);
void machine_fini(void);

/* A frame's memory in sluiced. mfn must be < machine.nr_frames, or a hosted domain's. */
static inline void *machine_ptr(mfn_t mfn)
{
	return machine.base + (mfn << SLUICE_PAGE_SHIFT);
}

/* n zeroed, prefaulted frames for domid, contiguous where there is room, into out[]. -ENOMEM: none allocated. A large n lets others
 * have hv_lock in between. */
int machine_alloc(domid_t domid, mfn_t *out, size_t n);
/* Give a frame back: owner becomes DOMID_INVALID, the content is discarded (reads as zeroes after). */
void machine_free(mfn_t mfn);
void machine_free_run(mfn_t mfn, size_t n); /* the same for n frames in a row */
uint64_t machine_free_frames(void);
/* Count n frames of memory that lies elsewhere (a hosted domain's) against what guests may have together. -ENOMEM: not so many are free. */
int machine_lend(uint64_t n);
void machine_lend_end(uint64_t n);

/* Frames for shared_info and grant tables: only ever reused for the same use (a late event from domain 0 then does no harm). */
enum machine_xenheap { XENHEAP_SHARED_INFO, XENHEAP_GRANT };
int machine_alloc_xenheap(enum machine_xenheap use, domid_t domid, mfn_t *out);
void machine_free_xenheap(enum machine_xenheap use, mfn_t mfn);

/* Whose ordinary memory it is: DOMID_INVALID for a frame out of range, a free one and those of machine_alloc_xenheap. */
domid_t machine_owner(mfn_t mfn);
void machine_set_owner(mfn_t mfn, domid_t domid);

#endif
