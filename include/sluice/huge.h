/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that processes share, mapped so that Linux can use 2 MiB pages for it: at an address that is a multiple of them, and with our leave. Linux does so where
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled is advise or more. Everything works without: only a back end with many vifs is slower then, as it goes through
 * more pages than a core keeps translations of.
 */
#ifndef SLUICE_HUGE_H
#define SLUICE_HUGE_H

#include <errno.h>
#include <sluice/types.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#define HUGE_FRAMES 512u
#define HUGE_SIZE ((size_t)HUGE_FRAMES << SLUICE_PAGE_SHIFT)

/* n bytes of a shared file, readable and writable, in place of whatever is at `at`. 0 or -errno. The advice is only that: a refusal is of no interest. */
static inline int huge_map_at(void *at, size_t n, int fd, off_t offset)
{
	if (mmap(at, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, offset) == MAP_FAILED)
		return -errno;
	madvise(at, n, MADV_HUGEPAGE);
	return 0;
}

/* The whole of a shared file of n bytes, readable and writable, at a multiple of HUGE_SIZE. MAP_FAILED and errno as mmap. */
static inline void *huge_map(int fd, size_t n)
{
	size_t room = n + HUGE_SIZE;
	uint8_t *all = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *at, *end;

	if (all == MAP_FAILED)
		return MAP_FAILED;
	at = (uint8_t *)(((uintptr_t)all + HUGE_SIZE - 1) & ~(HUGE_SIZE - 1));
	end = at + ((n + SLUICE_PAGE_SIZE - 1) & ~((size_t)SLUICE_PAGE_SIZE - 1));
	if (at > all)
		munmap(all, (size_t)(at - all));
	munmap(end, (size_t)(all + room - end));
	if (huge_map_at(at, n, fd, 0)) {
		munmap(at, (size_t)(end - at));
		return MAP_FAILED;
	}
	return at;
}

#endif
