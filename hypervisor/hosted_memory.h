/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of hosted domains: for each a memfd of its own, whose pages are machine frames of the window above the machine memory (hvshare.h), mapped
 * into sluiced there. It counts against what guests may have together. Called by domain.c and grant.c; dom0.c and hosted.c pass the memfd on. Callers
 * hold hv_lock.
 */
#ifndef SLUICE_HOSTED_MEMORY_H
#define SLUICE_HOSTED_MEMORY_H

#include <sluice/hosted_abi.h>

#include "domain.h"

struct hosted_memory {
	int fd;
	mfn_t first; /* frame of pfn 0 */
	uint64_t frames;
	uint32_t generation;
};

/* Make d's memory, d->max_pages of it, with shared_info and grant table in their places. -ENOMEM: not so much is free. */
int hosted_memory_create(struct domain *d);
/* The memory of a hosted domain, also of a dead one of which frames are held; NULL: none has this domid. */
const struct hosted_memory *hosted_memory_of(domid_t domid);
/* Give it back: the domain is dead and nobody holds a frame. Nothing for a domid without. */
void hosted_memory_release(domid_t domid);
/* Is it a frame that a grant of d may name? */
bool hosted_memory_owns(const struct domain *d, mfn_t mfn);

#endif
