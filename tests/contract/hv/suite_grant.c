/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract of hv.h: map, unmap, map_ring, copy. */
#include "suite_private.h"

#include <errno.h>
#include <string.h>

/* ---- short hands ---- */

unsigned page(domid_t domid)
{
	unsigned n;

	assert_int_equal(peer->ops->page(peer, domid, &n), 0);
	return n;
}

gref_t grant(domid_t domid, unsigned n, domid_t to, bool readonly)
{
	gref_t gref;

	assert_int_equal(peer->ops->grant(peer, domid, n, to, readonly, &gref), 0);
	return gref;
}

static void poke(domid_t domid, unsigned n, unsigned offset, uint8_t byte, unsigned count)
{
	assert_int_equal(peer->ops->poke(peer, domid, n, offset, byte, count), 0);
}

static void expect_byte(domid_t domid, unsigned n, unsigned offset, uint8_t byte)
{
	assert_int_equal(peer->ops->peek(peer, domid, n, offset), byte);
}

int ungrant(domid_t domid, gref_t gref)
{
	return peer->ops->ungrant(peer, domid, gref);
}

struct hv_map_op map_with(struct hv *h, domid_t domid, gref_t gref, bool readonly)
{
	struct hv_map_op op = {.domid = domid, .gref = gref, .readonly = readonly, .status = 1};

	assert_int_equal(h->ops->map(h, &op, 1), 0);
	if (op.status != GNTST_okay)
		assert_null(op.va);
	return op;
}

static struct hv_map_op map(domid_t domid, gref_t gref, bool readonly)
{
	return map_with(hv, domid, gref, readonly);
}

static int16_t unmap(const struct hv_map_op *m)
{
	struct hv_unmap_op op = {.va = m->va, .handle = m->handle, .status = 1};

	assert_int_equal(hv->ops->unmap(hv, &op, 1), 0);
	return op.status;
}

static struct hv_copy_end granted(domid_t domid, gref_t gref, unsigned offset)
{
	return (struct hv_copy_end){.domid = domid, .gref = gref, .offset = (uint16_t)offset};
}

static struct hv_copy_end local(void *at)
{
	return (struct hv_copy_end){.local = at};
}

static int16_t copy(struct hv_copy_end src, struct hv_copy_end dst, unsigned len)
{
	struct hv_copy_op op = {.src = src, .dst = dst, .len = (uint16_t)len, .status = 1};

	assert_int_equal(hv->ops->copy(hv, &op, 1), 0);
	return op.status;
}

/* ---- cases ---- */

void test_map_is_the_guests_page(void **state)
{
	unsigned n = page(dom);
	gref_t gref = grant(dom, n, 0, false);
	struct hv_map_op m;

	(void)state;
	poke(dom, n, 0, 0xab, 16);
	m = map(dom, gref, false);
	assert_int_equal(m.status, GNTST_okay);
	assert_int_equal((uintptr_t)m.va % SLUICE_PAGE_SIZE, 0);
	assert_int_equal(((uint8_t *)m.va)[15], 0xab);
	assert_int_equal(((uint8_t *)m.va)[16], 0);
	((volatile uint8_t *)m.va)[4095] = 0x7e;
	expect_byte(dom, n, 4095, 0x7e);
	assert_int_equal(unmap(&m), GNTST_okay);
	assert_int_equal(ungrant(dom, gref), 0);
}

void test_a_readonly_grant_is_not_mapped_writable(void **state)
{
	unsigned n = page(dom);
	gref_t gref = grant(dom, n, 0, true);
	struct hv_map_op m;

	(void)state;
	poke(dom, n, 9, 3, 1);
	assert_int_not_equal(map(dom, gref, false).status, GNTST_okay);
	m = map(dom, gref, true);
	assert_int_equal(m.status, GNTST_okay);
	assert_int_equal(((uint8_t *)m.va)[9], 3);
	assert_int_equal(unmap(&m), GNTST_okay);
	assert_int_equal(ungrant(dom, gref), 0);
}

void test_what_is_not_granted_to_us_is_refused(void **state)
{
	unsigned n = page(dom);
	gref_t ours = grant(dom, n, 0, false), ended = grant(dom, n, 0, false), theirs;

	(void)state;
	second_domain();
	theirs = grant(dom, n, dom2, false);
	assert_int_equal(ungrant(dom, ended), 0);
	assert_int_not_equal(map(dom, ended, true).status, GNTST_okay);
	assert_int_not_equal(map(dom, theirs, true).status, GNTST_okay);
	assert_int_not_equal(map(dom, 0x7fffffff, true).status, GNTST_okay);
	assert_int_not_equal(map(dom, SLUICE_INVALID_GREF, true).status, GNTST_okay);
	assert_int_not_equal(map(dom2, ours, true).status, GNTST_okay);
	assert_int_equal(map(NO_DOMAIN, ours, true).status, GNTST_bad_domain);
	assert_int_equal(map(0, ours, true).status, GNTST_bad_domain);
	assert_int_equal(map(0xffff, ours, true).status, GNTST_bad_domain);
	assert_int_equal(ungrant(dom, ours), 0);
	assert_int_equal(ungrant(dom, theirs), 0);
}

/* XSA-396: a guest must be able to tell whether its page is still in use. */
void test_a_mapped_grant_is_busy(void **state)
{
	gref_t gref = grant(dom, page(dom), 0, false);
	struct hv_map_op one = map(dom, gref, false), two = map(dom, gref, true);

	(void)state;
	assert_int_equal(one.status, GNTST_okay);
	assert_int_equal(two.status, GNTST_okay);
	assert_int_equal(ungrant(dom, gref), -EBUSY);
	assert_int_equal(unmap(&one), GNTST_okay);
	assert_int_equal(ungrant(dom, gref), -EBUSY);
	assert_int_equal(unmap(&two), GNTST_okay);
	assert_int_equal(ungrant(dom, gref), 0);
}

void test_a_batch_goes_on_after_a_bad_entry(void **state)
{
	unsigned n[3] = {page(dom), page(dom), page(dom)};
	struct hv_map_op m[4] = {{.domid = dom}, {.domid = dom, .gref = 0x7fffffff}, {.domid = dom}, {.domid = NO_DOMAIN}};
	struct hv_unmap_op u[4];

	(void)state;
	m[0].gref = grant(dom, n[0], 0, false);
	m[2].gref = grant(dom, n[2], 0, false);
	poke(dom, n[2], 0, 0x22, 1);
	assert_int_equal(hv->ops->map(hv, m, 4), 0);
	assert_int_equal(m[0].status, GNTST_okay);
	assert_int_not_equal(m[1].status, GNTST_okay);
	assert_null(m[1].va);
	assert_int_equal(m[2].status, GNTST_okay);
	assert_int_not_equal(m[3].status, GNTST_okay);
	assert_ptr_not_equal(m[0].va, m[2].va);
	assert_int_equal(((uint8_t *)m[2].va)[0], 0x22);
	u[0] = (struct hv_unmap_op){.va = m[0].va, .handle = m[0].handle};
	u[1] = u[0]; /* again */
	u[2] = (struct hv_unmap_op){.va = m[2].va, .handle = ~0u};
	u[3] = (struct hv_unmap_op){.va = m[2].va, .handle = m[2].handle};
	assert_int_equal(hv->ops->unmap(hv, u, 4), 0);
	assert_int_equal(u[0].status, GNTST_okay);
	assert_int_equal(u[1].status, GNTST_bad_handle);
	assert_int_equal(u[2].status, GNTST_bad_handle);
	assert_int_equal(u[3].status, GNTST_okay);
	assert_int_equal(ungrant(dom, m[0].gref), 0);
	assert_int_equal(ungrant(dom, m[2].gref), 0);
}

void test_a_ring_is_contiguous(void **state)
{
	unsigned n[3];
	gref_t gref[3];
	uint8_t *va;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		n[i] = page(dom);
	for (unsigned i = 0; i < 3; i++) {
		gref[i] = grant(dom, n[2 - i], 0, false); /* not in the order of its memory */
		poke(dom, n[2 - i], 0, (uint8_t)(i + 1), 1);
	}
	assert_int_equal(hv->ops->map_ring(hv, dom, gref, 3, (void **)&va), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(va[i * SLUICE_PAGE_SIZE], i + 1);
		((volatile uint8_t *)va)[i * SLUICE_PAGE_SIZE + 4095] = (uint8_t)(0x80 + i);
		expect_byte(dom, n[2 - i], 4095, (uint8_t)(0x80 + i));
		assert_int_equal(ungrant(dom, gref[i]), -EBUSY);
	}
	hv->ops->unmap_ring(hv, va, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ungrant(dom, gref[i]), 0);
}

void test_a_ring_is_all_or_nothing(void **state)
{
	gref_t gref[3] = {grant(dom, page(dom), 0, false), grant(dom, page(dom), 0, true), grant(dom, page(dom), 0, false)};
	void *va = NULL;

	(void)state;
	assert_int_equal(hv->ops->map_ring(hv, dom, gref, 3, &va), -EINVAL); /* the second is read-only */
	assert_int_equal(hv->ops->map_ring(hv, dom, gref, 0, &va), -EINVAL);
	assert_int_equal(hv->ops->map_ring(hv, NO_DOMAIN, gref, 1, &va), -EINVAL);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ungrant(dom, gref[i]), 0);
}

void test_copy_both_ways(void **state)
{
	unsigned n = page(dom);
	gref_t gref = grant(dom, n, 0, false);
	uint8_t buffer[4096];

	(void)state;
	poke(dom, n, 100, 0x11, 50);
	memset(buffer, 0xee, sizeof(buffer));
	assert_int_equal(copy(granted(dom, gref, 100), local(buffer + 7), 50), GNTST_okay);
	assert_int_equal(buffer[6], 0xee);
	assert_int_equal(buffer[7], 0x11);
	assert_int_equal(buffer[56], 0x11);
	assert_int_equal(buffer[57], 0xee);
	memset(buffer, 0x33, sizeof(buffer));
	assert_int_equal(copy(local(buffer), granted(dom, gref, 4095), 1), GNTST_okay);
	expect_byte(dom, n, 4095, 0x33);
	expect_byte(dom, n, 4094, 0);
	assert_int_equal(copy(local(buffer), granted(dom, gref, 0), 4096), GNTST_okay);
	expect_byte(dom, n, 0, 0x33);
	expect_byte(dom, n, 2048, 0x33);
	assert_int_equal(ungrant(dom, gref), 0); /* a copy leaves no pin */
}

void test_copy_from_guest_to_guest(void **state)
{
	unsigned from = page(dom), to;
	gref_t src = grant(dom, from, 0, true), dst;

	(void)state;
	second_domain();
	to = page(dom2);
	dst = grant(dom2, to, 0, false);
	poke(dom, from, 0, 0x44, 1500);
	assert_int_equal(copy(granted(dom, src, 0), granted(dom2, dst, 64), 1500), GNTST_okay);
	expect_byte(dom2, to, 63, 0);
	expect_byte(dom2, to, 64, 0x44);
	expect_byte(dom2, to, 1563, 0x44);
	expect_byte(dom2, to, 1564, 0);
	assert_int_equal(copy(granted(dom2, dst, 64), granted(dom, src, 0), 10), GNTST_general_error); /* read-only */
	assert_int_equal(ungrant(dom, src), 0);
	assert_int_equal(ungrant(dom2, dst), 0);
}

void test_copy_stays_in_the_page(void **state)
{
	unsigned n = page(dom);
	gref_t gref = grant(dom, n, 0, false);
	static uint8_t buffer[65536];

	(void)state;
	memset(buffer, 0x55, sizeof(buffer));
	assert_int_equal(copy(local(buffer), granted(dom, gref, 1), 4096), GNTST_bad_copy_arg);
	assert_int_equal(copy(local(buffer), granted(dom, gref, 4095), 2), GNTST_bad_copy_arg);
	assert_int_equal(copy(local(buffer), granted(dom, gref, 65535), 1), GNTST_bad_copy_arg);
	assert_int_equal(copy(local(buffer), granted(dom, gref, 0), 65535), GNTST_bad_copy_arg);
	assert_int_equal(copy(granted(dom, gref, 65535), local(buffer), 65535), GNTST_bad_copy_arg);
	expect_byte(dom, n, 0, 0);
	expect_byte(dom, n, 4095, 0);
	assert_int_equal(ungrant(dom, gref), 0);
}

void test_copy_has_a_status_for_each_segment(void **state)
{
	unsigned n = page(dom), m = page(dom);
	gref_t good = grant(dom, n, 0, false), readonly = grant(dom, m, 0, true);
	uint8_t buffer[64] = {1};
	struct hv_copy_op op[6] = {
		{.src = local(buffer), .dst = granted(dom, good, 0), .len = 1},
		{.src = local(buffer), .dst = granted(dom, readonly, 0), .len = 1},
		{.src = local(buffer), .dst = granted(dom, 0x7fffffff, 0), .len = 1},
		{.src = local(buffer), .dst = granted(NO_DOMAIN, good, 0), .len = 1},
		{.src = granted(dom, readonly, 0), .dst = local(buffer + 32), .len = 1},
		{.src = local(buffer), .dst = granted(dom, good, 10), .len = 1},
	};

	(void)state;
	assert_int_equal(hv->ops->copy(hv, op, 6), 0);
	assert_int_equal(op[0].status, GNTST_okay);
	assert_int_equal(op[1].status, GNTST_general_error);
	assert_int_not_equal(op[2].status, GNTST_okay);
	assert_int_equal(op[3].status, GNTST_bad_domain);
	assert_int_equal(op[4].status, GNTST_okay);
	assert_int_equal(op[5].status, GNTST_okay);
	expect_byte(dom, n, 0, 1);
	expect_byte(dom, n, 10, 1);
	expect_byte(dom, m, 0, 0);
	assert_int_equal(ungrant(dom, good), 0);
	assert_int_equal(ungrant(dom, readonly), 0);
}

/* Another provider with memory for devices, or NULL where any memory will do for them. */
static struct hv *with_device_memory(uint8_t **memory)
{
	struct hv *other;
	uint64_t addr;
	void *va;

	if (!hv->ops->dma_memory || peer->ops->second(peer, &other))
		return NULL;
	if (other->ops->dma_memory(other, 1, &va, &addr) == 0) {
		*memory = va;
		return other;
	}
	other->ops->close(other);
	return NULL;
}

/* It is an end like any other, also where a copy crosses its pages. */
void test_copy_with_memory_for_devices(void **state)
{
	unsigned n = page(dom), m = page(dom);
	gref_t good = grant(dom, n, 0, false), readonly = grant(dom, m, 0, true);
	uint8_t *memory = NULL, buffer[64] = {7};
	struct hv *other = with_device_memory(&memory);

	(void)state;
	if (!other)
		skip();
	struct hv_copy_op op[] = {
		{.src = granted(dom, readonly, 0), .dst = local(memory + 3000), .len = 4096},
		{.src = local(memory + HV_DMA_CHUNK - 1), .dst = granted(dom, good, 4095), .len = 1},
		{.src = local(memory), .dst = granted(dom, readonly, 0), .len = 1},
		{.src = granted(dom, 0x7fffffff, 0), .dst = local(memory), .len = 1},
		{.src = granted(NO_DOMAIN, good, 0), .dst = local(memory), .len = 1},
		{.src = local(memory), .dst = granted(dom, good, 1), .len = 4096},
		{.src = local(buffer), .dst = granted(dom, good, 100), .len = 1}, /* of the same batch, but not of this memory */
		{.src = local(buffer), .dst = local(memory + 9000), .len = 64},
	};
	poke(dom, m, 0, 0x66, 4096);
	memset(memory + HV_DMA_CHUNK - 1, 0x77, 1);
	assert_int_equal(other->ops->copy(other, op, 8), 0);
	assert_int_equal(op[0].status, GNTST_okay);
	assert_int_equal(memory[2999], 0);
	assert_int_equal(memory[3000], 0x66);
	assert_int_equal(memory[4095], 0x66);
	assert_int_equal(memory[4096], 0x66);
	assert_int_equal(memory[7095], 0x66);
	assert_int_equal(memory[7096], 0);
	assert_int_equal(op[1].status, GNTST_okay);
	expect_byte(dom, n, 4095, 0x77);
	assert_int_equal(op[2].status, GNTST_general_error);
	assert_int_not_equal(op[3].status, GNTST_okay);
	assert_int_equal(op[4].status, GNTST_bad_domain);
	assert_int_equal(op[5].status, GNTST_bad_copy_arg);
	assert_int_equal(op[6].status, GNTST_okay);
	expect_byte(dom, n, 100, 7);
	assert_int_equal(op[7].status, GNTST_okay);
	assert_int_equal(memory[9000], 7);
	other->ops->close(other);
	assert_int_equal(ungrant(dom, good), 0);
	assert_int_equal(ungrant(dom, readonly), 0);
}

void test_a_domain_may_vanish_while_mapped(void **state)
{
	unsigned n = page(dom);
	gref_t gref = grant(dom, n, 0, false), ring = grant(dom, page(dom), 0, false);
	struct hv_map_op m = map(dom, gref, false);
	domid_t gone = dom;
	uint8_t byte = 9;
	void *va;

	(void)state;
	poke(dom, n, 0, 0x66, 1);
	assert_int_equal(m.status, GNTST_okay);
	assert_int_equal(hv->ops->map_ring(hv, dom, &ring, 1, &va), 0);
	destroy();
	assert_int_equal(((uint8_t *)m.va)[0], 0x66); /* the page is still there, and nobody else's */
	((volatile uint8_t *)m.va)[1] = 1;
	((volatile uint8_t *)va)[1] = 1;
	if (!(peer->quirks & HV_QUIRK_ZOMBIES)) {
		assert_int_equal(map(gone, gref, true).status, GNTST_bad_domain);
		assert_int_equal(copy(local(&byte), granted(gone, gref, 0), 1), GNTST_bad_domain);
	}
	assert_int_equal(unmap(&m), GNTST_okay);
	assert_int_equal(unmap(&m), GNTST_bad_handle);
	hv->ops->unmap_ring(hv, va, 1);
	assert_int_equal(map(gone, gref, true).status, GNTST_bad_domain);
	assert_int_equal(copy(local(&byte), granted(gone, gref, 0), 1), GNTST_bad_domain);
}
