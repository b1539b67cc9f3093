/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Machine memory (machine.h) and the memory that is shared with domain 0. Called by domain.c, memory.c, grant.c and mmu*.c. Frames are
 * free or taken in a bitmap; first fit, since domains are few and large. Xenheap frames come from the top and never go back.
 */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sluice/huge.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "page_types.h"

#define PREFAULT_CHUNK 128u /* frames: some 300 us; where Linux makes 2 MiB pages of them, every fourth takes as long and the others nothing */
#define NO_LINK 0u

struct machine machine = { .fd = -1, .share_fd = -1 };

static uint64_t *free_map;      /* bit set: free */
static uint64_t free_frames;
static uint64_t lent_frames;     /* of them, those that hosted domains have in memory of their own */
static mfn_t lowest_free;       /* no frame below is free */
static uint32_t xenheap_spare[2];

static bool is_free(mfn_t mfn)
{
	return free_map[mfn / 64] >> mfn % 64 & 1;
}

static void set_free(mfn_t mfn, bool is)
{
	if (is)
		free_map[mfn / 64] |= 1ull << mfn % 64;
	else
		free_map[mfn / 64] &= ~(1ull << mfn % 64);
	free_frames += is ? 1 : -1;
	if (is && mfn < lowest_free)
		lowest_free = mfn;
}

static int map_memfd(const char *name, size_t size, int *fd, void **at)
{
	*fd = memfd_create(name, MFD_CLOEXEC);
	if (*fd < 0 || ftruncate(*fd, (off_t)size))
		return -errno;
	*at = huge_map(*fd, size);
	if (*at != MAP_FAILED)
		return 0;
	*at = NULL;
	return -errno;
}

/* A domain's slot outlives its domains; so does the lock in it. */
static int share_init(struct hvshare *s)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc)
		return -rc;
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (unsigned i = 0; i < HVSHARE_DOMAINS && !rc; i++)
		rc = pthread_mutex_init(&s->domain[i].grant_lock, &attr);
	pthread_mutexattr_destroy(&attr);
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++)
		s->frame_owner[mfn] = DOMID_INVALID;
	s->magic = HVSHARE_MAGIC;
	s->version = HVSHARE_VERSION;
	s->machine_frames = machine.nr_frames;
	return -rc;
}

static int frames_init(void)
{
	free_map = calloc(machine.nr_frames / 64 + 1, sizeof(*free_map));
	machine.page = calloc(machine.nr_frames, sizeof(*machine.page));
	machine.m2p = malloc(machine.nr_frames * sizeof(*machine.m2p));
	if (!free_map || !machine.page || !machine.m2p)
		return -ENOMEM;
	memset(machine.m2p, 0xff, machine.nr_frames * sizeof(*machine.m2p));
	lowest_free = machine.nr_frames;
	free_frames = lent_frames = 0;
	xenheap_spare[0] = xenheap_spare[1] = NO_LINK;
	for (mfn_t mfn = 0; mfn < machine.nr_frames; mfn++)
		machine.page[mfn].owner = DOMID_INVALID;
	for (mfn_t mfn = MACHINE_FIRST_FRAME; mfn < machine.nr_frames; mfn++)
		set_free(mfn, true);
	return 0;
}

int machine_init(uint64_t bytes)
{
	uint64_t frames = (bytes >> SLUICE_PAGE_SHIFT) + (bytes % SLUICE_PAGE_SIZE != 0);
	void *base, *share;
	int rc;

	if (!frames || frames > HVSHARE_FRAMES - MACHINE_FIRST_FRAME) {
		log_error("machine memory of %lu MiB is not possible: give 1 to %u", bytes >> 20, (HVSHARE_FRAMES - MACHINE_FIRST_FRAME) >> 8);
		return -EINVAL;
	}
	machine.nr_frames = frames + MACHINE_FIRST_FRAME;
	rc = map_memfd("sluice-machine", (size_t)HVSHARE_ALL_FRAMES << SLUICE_PAGE_SHIFT, &machine.fd, &base);
	if (!rc) {
		machine.base = base;
		rc = map_memfd("sluice-share", sizeof(struct hvshare), &machine.share_fd, &share);
	}
	if (!rc) {
		machine.share = share;
		rc = frames_init();
	}
	if (!rc)
		rc = share_init(machine.share);
	if (rc) {
		log_error("machine memory of %lu MiB cannot be set up: %s; give less with --memory", bytes >> 20, strerror(-rc));
		machine_fini();
	}
	return rc;
}

void machine_fini(void)
{
	if (machine.base)
		munmap(machine.base, (size_t)HVSHARE_ALL_FRAMES << SLUICE_PAGE_SHIFT);
	if (machine.share)
		munmap(machine.share, sizeof(struct hvshare));
	if (machine.fd >= 0)
		close(machine.fd);
	if (machine.share_fd >= 0)
		close(machine.share_fd);
	free(machine.page);
	free(machine.m2p);
	free(free_map);
	free_map = NULL;
	machine = (struct machine){ .fd = -1, .share_fd = -1 };
}

/* The first of n free frames in a row. */
static mfn_t find_run(size_t n)
{
	size_t run = 0;

	for (mfn_t mfn = lowest_free; mfn < machine.nr_frames; mfn++) {
		run = is_free(mfn) ? run + 1 : 0;
		if (run == n)
			return mfn + 1 - n;
	}
	return SLUICE_INVALID_MFN;
}

static mfn_t next_free(mfn_t mfn)
{
	while (!is_free(mfn))
		mfn++;
	return mfn;
}

static void take(mfn_t mfn, domid_t owner, unsigned flags)
{
	set_free(mfn, false);
	*page_of(mfn) = (struct page){ .owner = owner, .flags = PAGE_ALLOCATED | flags };
	machine.m2p[mfn] = ~0ull;
	shm_store(&machine.share->frame_use[mfn], 0);
}

static int prefault(const mfn_t *mfn, size_t n)
{
	for (size_t i = 0, run; i < n; i += run) {
		for (run = 1; i + run < n && run < PREFAULT_CHUNK && mfn[i + run] == mfn[i] + run; run++)
			;
		if (madvise(machine_ptr(mfn[i]), run << SLUICE_PAGE_SHIFT, MADV_POPULATE_WRITE))
			return -ENOMEM;
		if (run == PREFAULT_CHUNK)
			hv_lock_breathe();
	}
	return 0;
}

int machine_alloc(domid_t domid, mfn_t *out, size_t n)
{
	mfn_t mfn;

	if (!n || n > machine_free_frames())
		return n ? -ENOMEM : 0;
	mfn = find_run(n);
	if (mfn == SLUICE_INVALID_MFN)
		mfn = lowest_free;
	for (size_t i = 0; i < n; i++) {
		mfn = next_free(mfn);
		take(mfn, DOMID_INVALID, 0);
		out[i] = mfn;
	}
	while (lowest_free < machine.nr_frames && !is_free(lowest_free))
		lowest_free++;
	if (prefault(out, n)) {
		for (size_t i = 0; i < n; i++)
			machine_free(out[i]);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		machine_set_owner(out[i], domid);
	return 0;
}

void machine_free_run(mfn_t first, size_t n)
{
	for (mfn_t mfn = first; mfn < first + n; mfn++)
		machine_set_owner(mfn, DOMID_INVALID);
	if (fallocate(machine.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(first << SLUICE_PAGE_SHIFT), (off_t)(n << SLUICE_PAGE_SHIFT)))
		memset(machine_ptr(first), 0, n << SLUICE_PAGE_SHIFT); /* nobody may read what another left */
	for (mfn_t mfn = first; mfn < first + n; mfn++) {
		*page_of(mfn) = (struct page){ .owner = DOMID_INVALID };
		shm_store(&machine.share->frame_use[mfn], 0);
		machine.m2p[mfn] = ~0ull;
		set_free(mfn, true);
	}
}

void machine_free(mfn_t mfn)
{
	machine_free_run(mfn, 1);
}

uint64_t machine_free_frames(void)
{
	return free_frames > lent_frames ? free_frames - lent_frames : 0; /* xenheap frames may have taken the last */
}

int machine_lend(uint64_t n)
{
	if (n > machine_free_frames())
		return -ENOMEM;
	lent_frames += n;
	return 0;
}

void machine_lend_end(uint64_t n)
{
	lent_frames -= n;
}

static int fresh_xenheap(mfn_t *out)
{
	mfn_t mfn = machine.nr_frames - 1;

	if (!free_frames)
		return -ENOMEM;
	while (!is_free(mfn))
		mfn--;
	if (madvise(machine_ptr(mfn), SLUICE_PAGE_SIZE, MADV_POPULATE_WRITE))
		return -ENOMEM;
	*out = mfn;
	return 0;
}

int machine_alloc_xenheap(enum machine_xenheap use, domid_t domid, mfn_t *out)
{
	int rc = 0;

	if (xenheap_spare[use] != NO_LINK) {
		*out = xenheap_spare[use];
		xenheap_spare[use] = page_of(*out)->link;
		memset(machine_ptr(*out), 0, SLUICE_PAGE_SIZE);
	} else {
		rc = fresh_xenheap(out);
		if (!rc)
			take(*out, DOMID_INVALID, PAGE_XENHEAP);
	}
	if (!rc)
		page_of(*out)->owner = domid;
	return rc;
}

void machine_free_xenheap(enum machine_xenheap use, mfn_t mfn)
{
	page_of(mfn)->owner = DOMID_INVALID;
	page_of(mfn)->link = xenheap_spare[use];
	xenheap_spare[use] = (uint32_t)mfn;
}

domid_t machine_owner(mfn_t mfn)
{
	if (mfn >= machine.nr_frames || (page_of(mfn)->flags & PAGE_XENHEAP))
		return DOMID_INVALID;
	return page_of(mfn)->owner;
}

void machine_set_owner(mfn_t mfn, domid_t domid)
{
	page_of(mfn)->owner = domid;
	__atomic_store_n(&machine.share->frame_owner[mfn], domid, __ATOMIC_RELEASE);
}
