/* SPDX-License-Identifier: BSD-3-Clause */
/* backend/hv/hv_xen_copy.c: which operations go which way, how they are cut, and whose status is whose. Xen and gntdev are stood in for by what follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "backend/hv/hv_xen_copy.c"

#define GUEST 7
#define SELF 3
#define GUEST_PAGES 4u
#define CHUNKS 2u

static struct hv_xen x;
static uint8_t guest[GUEST_PAGES][SLUICE_PAGE_SIZE] __attribute__((aligned(4096))), ordinary[SLUICE_PAGE_SIZE];
static const xen_pfn_t chunk_mfn[CHUNKS] = { 1000, 5000 }; /* not one behind the other */
static unsigned calls, pieces, gntdev_calls, segments, buffers, buffers_most;
static int refuse_errno; /* of the next calls of either; 0: none */

/* ---- Xen ---- */

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned flags)
{
	(void)logger;
	(void)flags;
	return (xencall_handle *)&x;
}

int xencall_close(xencall_handle *h)
{
	(void)h;
	return 0;
}

void *xencall_alloc_buffer(xencall_handle *h, size_t size)
{
	(void)h;
	if (buffers == buffers_most)
		return NULL;
	buffers++;
	return malloc(size);
}

void xencall_free_buffer(xencall_handle *h, void *p)
{
	(void)h;
	buffers--;
	free(p);
}

static uint8_t *end_of(const struct gnttab_copy_ptr *end, bool gref, int16_t *status)
{
	if (gref) {
		if (end->domid != GUEST || end->u.ref >= GUEST_PAGES)
			*status = GNTST_bad_gntref;
		return end->u.ref < GUEST_PAGES ? guest[end->u.ref] : NULL;
	}
	for (unsigned i = 0; i < CHUNKS; i++)
		if (end->domid == DOMID_SELF && end->u.gmfn - chunk_mfn[i] < HV_DMA_CHUNK / SLUICE_PAGE_SIZE)
			return (uint8_t *)x.dma_va + i * HV_DMA_CHUNK + (end->u.gmfn - chunk_mfn[i]) * SLUICE_PAGE_SIZE;
	*status = GNTST_bad_page;
	return NULL;
}

static int16_t xen_copies(const struct gnttab_copy *c)
{
	int16_t status = GNTST_okay;
	uint8_t *from = end_of(&c->source, c->flags & GNTCOPY_source_gref, &status), *to = end_of(&c->dest, c->flags & GNTCOPY_dest_gref, &status);

	if (c->source.offset + c->len > SLUICE_PAGE_SIZE || c->dest.offset + c->len > SLUICE_PAGE_SIZE)
		return GNTST_bad_copy_arg;
	if (status == GNTST_okay)
		memcpy(to + c->dest.offset, from + c->source.offset, c->len);
	return status;
}

int xencall3(xencall_handle *h, unsigned op, uint64_t a, uint64_t b, uint64_t c)
{
	struct gnttab_copy *copy = (struct gnttab_copy *)(uintptr_t)b;

	(void)h;
	assert_int_equal(op, __HYPERVISOR_grant_table_op);
	assert_int_equal(a, GNTTABOP_copy);
	assert_in_range(c, 1, XEN_COPY_PIECES);
	calls++;
	pieces += (unsigned)c;
	if (refuse_errno) {
		errno = refuse_errno;
		return -1;
	}
	for (uint64_t i = 0; i < c; i++)
		copy[i].status = xen_copies(&copy[i]);
	return 0;
}

/* ---- gntdev ---- */

int xengnttab_grant_copy(xengnttab_handle *h, uint32_t n, xengnttab_grant_copy_segment_t *seg)
{
	(void)h;
	gntdev_calls++;
	segments += n;
	for (uint32_t i = 0; i < n; i++) {
		bool in = seg[i].flags & GNTCOPY_source_gref;
		uint32_t ref = in ? seg[i].source.foreign.ref : seg[i].dest.foreign.ref;

		assert_int_equal(seg[i].flags, in ? GNTCOPY_source_gref : GNTCOPY_dest_gref);
		seg[i].status = ref < GUEST_PAGES ? GNTST_okay : GNTST_bad_gntref;
		if (ref < GUEST_PAGES && in)
			memcpy(seg[i].dest.virt, guest[ref] + seg[i].source.foreign.offset, seg[i].len);
		else if (ref < GUEST_PAGES)
			memcpy(guest[ref] + seg[i].dest.foreign.offset, seg[i].source.virt, seg[i].len);
	}
	return 0;
}

/* ---- the tests ---- */

static int setup(void **state)
{
	(void)state;
	x = (struct hv_xen){ .self = SELF, .dma_chunks = CHUNKS, .dma_va = aligned_alloc(HV_DMA_CHUNK, CHUNKS * HV_DMA_CHUNK) };
	memcpy(x.dma_mfn, chunk_mfn, sizeof(chunk_mfn));
	memset(x.dma_va, 0, CHUNKS * HV_DMA_CHUNK);
	for (unsigned i = 0; i < sizeof(guest); i++)
		guest[i / SLUICE_PAGE_SIZE][i % SLUICE_PAGE_SIZE] = (uint8_t)(i * 7 + i / SLUICE_PAGE_SIZE);
	calls = pieces = gntdev_calls = segments = buffers = 0;
	buffers_most = XEN_COPIERS;
	refuse_errno = 0;
	return hv_xen_copy_init(&x);
}

static int teardown(void **state)
{
	(void)state;
	hv_xen_copy_fini(&x);
	assert_int_equal(buffers, 0);
	free(x.dma_va);
	return 0;
}

static uint8_t *dma(size_t at)
{
	return (uint8_t *)x.dma_va + at;
}

static struct hv_copy_op from_guest(gref_t gref, uint16_t offset, void *to, uint16_t len)
{
	return (struct hv_copy_op){ .src = { .domid = GUEST, .gref = gref, .offset = offset }, .dst = { .local = to }, .len = len, .status = 99 };
}

static int copy(struct hv_copy_op *ops, unsigned n)
{
	return hv_xen_copy(&x.store.hv, ops, n);
}

static void a_page_of_ours_ends_a_piece(void **state)
{
	const size_t seam = HV_DMA_CHUNK - 1000; /* the next chunk's frame is another number altogether */
	struct hv_copy_op ops[] = { from_guest(0, 100, dma(3000), 3000), from_guest(1, 0, dma(seam), 4096), from_guest(2, 5, dma(3 * SLUICE_PAGE_SIZE), 4000) };

	(void)state;
	assert_int_equal(copy(ops, 3), 0);
	assert_int_equal(calls, 1);
	assert_int_equal(pieces, 2 + 2 + 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ops[i].status, GNTST_okay);
	assert_memory_equal(dma(3000), guest[0] + 100, 3000);
	assert_memory_equal(dma(seam), guest[1], 4096);
	assert_memory_equal(dma(3 * SLUICE_PAGE_SIZE), guest[2] + 5, 4000);
	assert_int_equal(gntdev_calls, 0);
}

static void to_a_guest_and_between_guests(void **state)
{
	struct hv_copy_op ops[] = {
		{ .src = { .local = dma(4000) }, .dst = { .domid = GUEST, .gref = 3, .offset = 10 }, .len = 500 },
		{ .src = { .domid = GUEST, .gref = 0, .offset = 1 }, .dst = { .domid = GUEST, .gref = 1, .offset = 2 }, .len = 300 },
	};

	(void)state;
	memset(dma(4000), 0x5a, 500);
	assert_int_equal(copy(ops, 2), 0);
	assert_int_equal(pieces, 3);
	assert_memory_equal(guest[3] + 10, dma(4000), 500);
	assert_memory_equal(guest[1] + 2, guest[0] + 1, 300);
}

static void each_has_its_own_status(void **state)
{
	struct hv_copy_op ops[] = {
		from_guest(0, 0, dma(0), 64), from_guest(GUEST_PAGES, 0, dma(4000), 200), /* no such grant, two pieces */
		from_guest(1, 4000, dma(8192), 97),                                       /* leaves its page */
		from_guest(2, 0, dma(12288), 64), from_guest(3, 0, dma(16384), 64),
	};

	(void)state;
	ops[3].src.domid = SELF;
	assert_int_equal(copy(ops, 5), 0);
	assert_int_equal(ops[0].status, GNTST_okay);
	assert_int_equal(ops[1].status, GNTST_bad_gntref);
	assert_int_equal(ops[2].status, GNTST_bad_copy_arg);
	assert_int_equal(ops[3].status, GNTST_bad_domain);
	assert_int_equal(ops[4].status, GNTST_okay);
	assert_int_equal(pieces, 1 + 2 + 1); /* Xen is not asked for what is wrong in itself */
	assert_memory_equal(dma(16384), guest[3], 64);
}

static void other_memory_goes_through_gntdev(void **state)
{
	uint8_t beside[64];
	struct hv_copy_op ops[] = {
		from_guest(0, 8, ordinary, 1000), from_guest(1, 0, dma(0), 64), from_guest(GUEST_PAGES, 0, ordinary + 2000, 64),
		from_guest(2, 0, dma(CHUNKS * HV_DMA_CHUNK - 32), 64), /* ends behind the memory for devices: never told to Xen as if it did not */
		{ .src = { .local = ordinary }, .dst = { .local = beside }, .len = 64 },
	};

	(void)state;
	ops[3].dst.local = ordinary + 3000;
	assert_int_equal(copy(ops, 5), 0);
	assert_int_equal(pieces, 1);
	assert_int_equal(segments, 3);
	assert_int_equal(gntdev_calls, 1);
	assert_int_equal(ops[2].status, GNTST_bad_gntref);
	assert_int_equal(ops[4].status, GNTST_okay);
	assert_memory_equal(ordinary, guest[0] + 8, 1000);
	assert_memory_equal(ordinary + 3000, guest[2], 64);
}

static void a_refused_call_fails_its_own_only(void **state)
{
	struct hv_copy_op ops[] = { from_guest(0, 0, dma(0), 64), from_guest(1, 0, ordinary, 64), from_guest(1, 4096, dma(0), 64) };

	(void)state;
	refuse_errno = ENOSYS;
	assert_int_equal(copy(ops, 3), -ENOSYS);
	assert_int_equal(ops[0].status, GNTST_general_error);
	assert_int_equal(ops[1].status, GNTST_okay);
	assert_int_equal(ops[2].status, GNTST_bad_copy_arg); /* it was not in the call */
}

static void many_are_several_calls(void **state)
{
	enum { N = 2 * XEN_COPY_BATCH + 44 };
	struct hv_copy_op ops[N];

	(void)state;
	for (unsigned i = 0; i < N; i++)
		ops[i] = from_guest(i % (GUEST_PAGES + 1), (uint16_t)i, dma(i * 64 + 40), 50); /* some cross a page, every fifth has no grant */
	assert_int_equal(copy(ops, N), 0);
	assert_int_equal(calls, 3);
	for (unsigned i = 0; i < N; i++) {
		gref_t gref = i % (GUEST_PAGES + 1);

		assert_int_equal(ops[i].status, gref < GUEST_PAGES ? GNTST_okay : GNTST_bad_gntref);
		if (gref < GUEST_PAGES)
			assert_memory_equal(dma(i * 64 + 40), guest[gref] + i, 50);
	}
}

static void without_calls_of_our_own(void **state)
{
	struct hv_copy_op op = from_guest(0, 0, ordinary, 64);

	(void)state;
	hv_xen_copy_fini(&x);
	assert_int_equal(buffers, 0);
	assert_int_equal(copy(&op, 1), 0);
	assert_int_equal(gntdev_calls, 1);
	assert_memory_equal(ordinary, guest[0], 64);
	buffers_most = 3;
	assert_int_equal(hv_xen_copy_init(&x), -ENOMEM);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_page_of_ours_ends_a_piece), T(to_a_guest_and_between_guests), T(each_has_its_own_status), T(other_memory_goes_through_gntdev),
		T(a_refused_call_fails_its_own_only), T(many_are_several_calls), T(without_calls_of_our_own),
	};

	return cmocka_run_group_tests_name("hv_xen_copy", tests, NULL, NULL);
}
