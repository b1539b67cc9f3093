/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory by virtual address (guest_access.h), for every hypercall that has a pointer argument. */
#include "guest_access.h"

#include <errno.h>
#include <sluice/shm.h>

#include "machine.h"
#include "mmu.h"

/* The part of [va, va + n) that is in va's page. */
static size_t in_page(gva_t va, size_t n)
{
	size_t room = SLUICE_PAGE_SIZE - va % SLUICE_PAGE_SIZE;

	return n < room ? n : room;
}

static void *page_at(struct vcpu *v, gva_t va, bool write)
{
	struct mmu_walk w;

	if (mmu_walk(v, va, &w) || (write && !w.write))
		return NULL;
	return (uint8_t *)machine_ptr(w.mfn) + va % SLUICE_PAGE_SIZE;
}

/* hv_lock keeps the tables as they are between this and the copy. */
static int check(struct vcpu *v, gva_t va, size_t n, bool write)
{
	if (n && va + n - 1 < va)
		return -EFAULT;
	for (size_t len; n; n -= len, va += len) {
		len = in_page(va, n);
		if (!page_at(v, va, write))
			return -EFAULT;
	}
	return 0;
}

int copy_from_guest(struct vcpu *v, void *dst, gva_t src, size_t n)
{
	uint8_t *to = dst;
	int rc = check(v, src, n, false);

	for (size_t len; n && !rc; n -= len, src += len, to += len) {
		len = in_page(src, n);
		shm_copy_bulk(to, page_at(v, src, false), len);
	}
	return rc;
}

int copy_to_guest(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
	const uint8_t *from = src;
	int rc = check(v, dst, n, true);

	for (size_t len; n && !rc; n -= len, dst += len, from += len) {
		len = in_page(dst, n);
		shm_copy_bulk(page_at(v, dst, true), from, len);
	}
	return rc;
}
