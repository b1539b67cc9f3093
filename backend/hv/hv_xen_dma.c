/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for devices in a PV domain on Xen, where what Linux calls a physical address is the domain's own numbering and a device needs the machine's. Xen is asked for
 * chunks of machine memory beyond those that Linux manages (XENMEM_increase_reservation), each contiguous and with its machine frame told, and Linux maps them for us
 * (privcmd, DOMID_SELF). Linux knows no `struct page` for them: the kernel cannot pin them, so gntdev cannot copy to or from them. hv_xen_copy.c can, by their frames.
 *
 * Nobody gives them back when we are killed, which is as well, since the device may still write there; their frames are in XenStore, at HV_XEN_DMA_KEY in our home,
 * and the next back end takes them over. Called through hv_ops by main.c.
 */
#include "hv_xen_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xencall.h>
#include <xenforeignmemory.h>

#include "backend/log.h"

#define GUEST_TYPE "/sys/hypervisor/guest_type"
#define CHUNK_ORDER 9u
#define CHUNK_PAGES (1u << CHUNK_ORDER)

static_assert(CHUNK_PAGES * SLUICE_PAGE_SIZE == HV_DMA_CHUNK, "a chunk is one extent of Xen's");

/* Only there do the two kinds of address differ. */
static bool paravirtual(void)
{
	FILE *f = fopen(GUEST_TYPE, "re");
	char type[8] = "";

	if (!f)
		return false;
	if (!fgets(type, sizeof(type), f))
		type[0] = '\0';
	fclose(f);
	return strncmp(type, "PV\n", 4) == 0;
}

/* ---- from Xen and back ---- */

/* One memory operation on n chunks: how many were done, or -errno. */
static int reservation(unsigned op, xen_pfn_t *mfn, unsigned n)
{
	xencall_handle *xcall = xencall_open(&hv_xen_quiet, 0);
	struct xen_memory_reservation *r = NULL;
	xen_pfn_t *extent = NULL;
	int done = -ENOMEM;

	if (!xcall)
		return errno ? -errno : -EIO;
	r = xencall_alloc_buffer(xcall, sizeof(*r));
	extent = xencall_alloc_buffer(xcall, n * sizeof(*extent));
	if (r && extent) {
		memcpy(extent, mfn, n * sizeof(*extent));
		*r = (struct xen_memory_reservation){.nr_extents = n, .extent_order = CHUNK_ORDER, .domid = DOMID_SELF};
		set_xen_guest_handle(r->extent_start, extent);
		errno = 0;
		done = xencall2(xcall, __HYPERVISOR_memory_op, op, (uintptr_t)r);
		if (done < 0)
			done = errno ? -errno : -EIO;
		memcpy(mfn, extent, n * sizeof(*extent));
	}
	xencall_free_buffer(xcall, extent);
	xencall_free_buffer(xcall, r);
	xencall_close(xcall);
	return done;
}

static int allocate(xen_pfn_t *mfn, unsigned n)
{
	int done = reservation(XENMEM_increase_reservation, mfn, n);

	if (done == (int)n)
		return 0;
	if (done > 0)
		reservation(XENMEM_decrease_reservation, mfn, (unsigned)done);
	backend_error("Xen gives this domain no %u MiB more for its network cards (%s); raise its limit (xl mem-max, or max: in Xen's dom0_mem)",
		      n * CHUNK_PAGES / 256, done < 0 ? strerror(-done) : "not all of it");
	return done < 0 ? done : -ENOMEM;
}

/* ---- in XenStore ---- */

static int remember(struct hv_xen *x, const xen_pfn_t *mfn, unsigned n)
{
	char text[XEN_DMA_CHUNKS * 18] = "";
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%" PRIx64 " ", (uint64_t)mfn[i]);
	return hv_store_write(&x->store.hv, HV_TXN_NONE, HV_XEN_DMA_KEY, text);
}

/* What a back end that was killed has left; false unless it is just n chunks. */
static bool recall(struct hv_xen *x, xen_pfn_t *mfn, unsigned n)
{
	char *text = hv_store_read(&x->store.hv, HV_TXN_NONE, HV_XEN_DMA_KEY, NULL), *at = text;
	unsigned found = 0;

	while (at && *at) {
		char *end;
		uint64_t number = strtoull(at, &end, 16);

		if (end == at || *end != ' ' || found == n)
			break;
		mfn[found++] = number;
		at = end + 1;
	}
	if (at && *at)
		found = 0;
	free(text);
	return found == n;
}

/* ---- in our address space ---- */

/* Room that begins at a multiple of a chunk; nothing is in it. */
static void *room(size_t len)
{
	char *at = mmap(NULL, len + HV_DMA_CHUNK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *begin;

	if (at == MAP_FAILED)
		return NULL;
	begin = (char *)(((uintptr_t)at + HV_DMA_CHUNK - 1) & ~(HV_DMA_CHUNK - 1));
	if (begin > at)
		munmap(at, (size_t)(begin - at));
	munmap(begin + len, (size_t)(at + HV_DMA_CHUNK - begin));
	return begin;
}

static int map(struct hv_xen *x, const xen_pfn_t *mfn, unsigned n)
{
	size_t pages = (size_t)n * CHUNK_PAGES;
	xen_pfn_t *page = calloc(pages, sizeof(*page));
	int *err = calloc(pages, sizeof(*err));
	void *at = room(pages * SLUICE_PAGE_SIZE);
	int rc = page && err && at ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < pages; i++)
		page[i] = mfn[i / CHUNK_PAGES] + i % CHUNK_PAGES;
	errno = 0;
	x->dma_va = rc ? NULL : xenforeignmemory_map2(x->foreign, DOMID_SELF, at, PROT_READ | PROT_WRITE, MAP_FIXED, pages, page, err);
	if (rc == 0 && !x->dma_va)
		rc = errno ? -errno : -EIO;
	for (size_t i = 0; rc == 0 && i < pages; i++)
		rc = err[i];
	if (rc && at)
		munmap(at, pages * SLUICE_PAGE_SIZE);
	if (rc)
		x->dma_va = NULL;
	free(page);
	free(err);
	return rc;
}

static int take_over_or_allocate(struct hv_xen *x, xen_pfn_t *mfn, unsigned n)
{
	int rc;

	if (recall(x, mfn, n) && map(x, mfn, n) == 0)
		return 0;
	memset(mfn, 0, n * sizeof(*mfn));
	rc = allocate(mfn, n);
	if (rc)
		return rc;
	rc = map(x, mfn, n);
	if (rc == 0)
		rc = remember(x, mfn, n);
	if (rc == 0)
		return 0;
	backend_error("cannot map memory for network cards: %s; is the module xen-privcmd loaded?", strerror(-rc));
	if (x->dma_va)
		xenforeignmemory_unmap(x->foreign, x->dma_va, (size_t)n * CHUNK_PAGES);
	x->dma_va = NULL;
	reservation(XENMEM_decrease_reservation, mfn, n);
	return rc;
}

int hv_xen_dma_memory(struct hv *hv, unsigned n, void **va, uint64_t *addr)
{
	struct hv_xen *x = hv_xen_of(hv);
	xen_pfn_t mfn[XEN_DMA_CHUNKS];
	int rc;

	if (!paravirtual())
		return -ENOTSUP;
	if (!n || n > XEN_DMA_CHUNKS || x->dma_va)
		return -EINVAL;
	x->foreign = xenforeignmemory_open(&hv_xen_quiet, 0);
	if (!x->foreign) {
		rc = errno ? -errno : -EIO;
		backend_error("cannot open /dev/xen/privcmd: %s; load the module xen-privcmd, and run as root", strerror(-rc));
		return rc;
	}
	rc = hv_xen_copy_init(x);
	if (rc == 0)
		rc = take_over_or_allocate(x, mfn, n);
	if (rc) {
		hv_xen_dma_fini(x);
		return rc;
	}
	memset(x->dma_va, 0, n * HV_DMA_CHUNK);
	x->dma_chunks = n;
	*va = x->dma_va;
	for (unsigned i = 0; i < n; i++) {
		x->dma_mfn[i] = mfn[i];
		addr[i] = (uint64_t)mfn[i] << SLUICE_PAGE_SHIFT;
	}
	return 0;
}

/* The devices are stopped by now: the memory goes back to Xen. */
void hv_xen_dma_fini(struct hv_xen *x)
{
	hv_xen_copy_fini(x);
	if (x->dma_va) {
		xenforeignmemory_unmap(x->foreign, x->dma_va, (size_t)x->dma_chunks * CHUNK_PAGES);
		reservation(XENMEM_decrease_reservation, x->dma_mfn, x->dma_chunks);
		hv_store_rm(&x->store.hv, HV_TXN_NONE, HV_XEN_DMA_KEY);
		x->dma_va = NULL;
	}
	if (x->foreign)
		xenforeignmemory_close(x->foreign);
	x->foreign = NULL;
}
