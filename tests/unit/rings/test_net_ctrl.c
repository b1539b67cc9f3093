/* SPDX-License-Identifier: BSD-3-Clause */
/* rings/net_ctrl.c: every control message, its bounds, and what it leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>
#include <rings/net_ctrl.h>

enum {
	OK = XEN_NETIF_CTRL_STATUS_SUCCESS,
	INVALID = XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER,
	UNSUPPORTED = XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED,
	OVERFLOW = XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW,
};

#define QUEUES 2u

static struct net_ctrl_hash h;
static struct net_ctrl_page page;
static uint8_t data[SLUICE_PAGE_SIZE];
static uint32_t out;

static int setup(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	memset(data, 0, sizeof(data));
	return 0;
}

static uint32_t check(uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2)
{
	const struct xen_netif_ctrl_request req = { .type = type, .data = { d0, d1, d2 } };

	return net_ctrl_check(&h, &req, QUEUES, &page);
}

/* Check, and carry out what passed. */
static uint32_t apply(uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2)
{
	const struct xen_netif_ctrl_request req = { .type = type, .data = { d0, d1, d2 } };
	uint32_t status = check(type, d0, d1, d2);

	return status == OK ? net_ctrl_hash_apply(&h, &req, QUEUES, data, &out) : status;
}

static void unknown_types(void **state)
{
	(void)state;
	assert_int_equal(check(XEN_NETIF_CTRL_TYPE_INVALID, 0, 0, 0), UNSUPPORTED);
	for (unsigned type = XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING + 1; type < 0x10000; type += 97)
		assert_int_equal(check((uint16_t)type, 0, 0, 0), UNSUPPORTED);
}

static void algorithm_comes_first(void **state)
{
	(void)state;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0), UNSUPPORTED);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, XEN_NETIF_CTRL_HASH_TYPE_IPV4, 0, 0), INVALID);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 2, 0, 0), INVALID);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, UINT32_MAX, 0, 0), INVALID);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ, 0, 0), OK);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS, 0, 0, 0), OK);
	assert_int_equal(out, 15);
}

static void flags(void **state)
{
	(void)state;
	h.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 16, 0, 0), INVALID);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 1u << 31 | 1, 0, 0), INVALID);
	assert_int_equal(h.types, 0);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 15, 0, 0), OK);
	assert_int_equal(h.types, 15);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 0, 0, 0), OK);
	assert_int_equal(h.types, 0);
}

/* A shorter key than before: the rest is zero. */
static void key(void **state)
{
	(void)state;
	memset(data, 0xee, sizeof(data));
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 77, NET_CTRL_KEY_MAX, 0), OK);
	assert_int_equal(page.gref, 77);
	assert_int_equal(page.bytes, NET_CTRL_KEY_MAX);
	assert_int_equal(h.key[NET_CTRL_KEY_MAX - 1], 0xee);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 77, 3, 0), OK);
	assert_int_equal(h.key[2], 0xee);
	assert_int_equal(h.key[3], 0);
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 77, 0, 0), OK);
	assert_int_equal(page.bytes, 0);
	assert_int_equal(h.key[0], 0);
	assert_int_equal(check(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 77, NET_CTRL_KEY_MAX + 1, 0), OVERFLOW);
	assert_int_equal(check(XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 77, UINT32_MAX, 0), OVERFLOW);
}

static void mapping_size(void **state)
{
	(void)state;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE, 0, 0, 0), OK);
	assert_int_equal(out, NET_CTRL_MAPPING_MAX);
	assert_int_equal(check(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, NET_CTRL_MAPPING_MAX + 1, 0, 0), INVALID);
	h.mapping[5] = 1;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, NET_CTRL_MAPPING_MAX, 0, 0), OK);
	assert_int_equal(h.mapping_size, NET_CTRL_MAPPING_MAX);
	assert_int_equal(h.mapping[5], 0);
}

/* Offsets and sizes whose sum overflows, or that end beyond the table's size as set (XSA-270). */
static void mapping_bounds(void **state)
{
	static const struct {
		uint32_t size, n, offset, status;
	} c[] = {
		{ 128, 128, 0, OK },        { 128, 1, 127, OK },       { 128, 0, 128, OK },         { 128, 2, 127, INVALID },
		{ 128, 1, 128, INVALID },   { 128, 129, 0, OVERFLOW }, { 128, 1, UINT32_MAX, INVALID }, { 128, 2, UINT32_MAX, INVALID },
		{ 128, UINT32_MAX, 1, OVERFLOW }, { 16, 16, 0, OK },   { 16, 17, 0, INVALID },      { 16, 1, 16, INVALID },
		{ 0, 1, 0, INVALID },       { 0, 0, 0, OK },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		h.mapping_size = c[i].size;
		assert_int_equal(check(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 9, c[i].n, c[i].offset), c[i].status);
		assert_int_equal(page.bytes, c[i].status == OK ? c[i].n * 4 : 0);
	}
}

/* A part is written, the rest stays; a queue that is not there refuses all of it. */
static void mapping_contents(void **state)
{
	uint32_t *entry = (uint32_t *)data;

	(void)state;
	h.mapping_size = 16;
	entry[0] = entry[1] = 1;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 9, 2, 14), OK);
	assert_int_equal(h.mapping[13], 0);
	assert_int_equal(h.mapping[14] + h.mapping[15], 2);
	assert_int_equal(h.mapping[16], 0);
	entry[0] = 0;
	entry[1] = QUEUES;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 9, 2, 14), INVALID);
	entry[1] = UINT32_MAX;
	assert_int_equal(apply(XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 9, 2, 14), INVALID);
	assert_int_equal(h.mapping[14], 1);
}

static void gref_lists(void **state)
{
	static const uint16_t types[] = { XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING };

	(void)state;
	assert_int_equal(check(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, QUEUES - 1, 0, 0), OK);
	assert_int_equal(check(XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, QUEUES, 0, 0), INVALID);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(check(types[i], 0, 33, 512), OK);
		assert_int_equal(page.gref, 33);
		assert_int_equal(page.bytes, SLUICE_PAGE_SIZE);
		assert_int_equal(check(types[i], 0, 33, 513), INVALID);
		assert_int_equal(check(types[i], 0, 33, 0), INVALID);
		assert_int_equal(check(types[i], 0, 33, 1u << 29), INVALID); /* times 8 is 0 */
		assert_int_equal(check(types[i], QUEUES, 33, 1), INVALID);
		assert_int_equal(page.bytes, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(unknown_types, setup), cmocka_unit_test_setup(algorithm_comes_first, setup),
		cmocka_unit_test_setup(flags, setup),         cmocka_unit_test_setup(key, setup),
		cmocka_unit_test_setup(mapping_size, setup),  cmocka_unit_test_setup(mapping_bounds, setup),
		cmocka_unit_test_setup(mapping_contents, setup), cmocka_unit_test_setup(gref_lists, setup),
	};

	return cmocka_run_group_tests_name("rings/net_ctrl", tests, NULL, NULL);
}
