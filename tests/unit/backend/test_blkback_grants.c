/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of persistent grants: found again, thrown out in the order of use, never one that is held, never more than there is room for. */
#include <backend/blkback.h>
#include <backend/hv/hv_fake.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define GUEST 1
#define PAGES (BLKBACK_GRANTS + 8u)

static struct hv *hv;
static struct blkback_grants *t;
static gref_t gref[PAGES];

/* A storage that registers memory, and looks whether it is still mapped when it is to forget it. */
static unsigned nr_registered, mapped_then;

static int disk_register(struct blkdev *d, unsigned number, void *base, size_t len)
{
	(void)d;
	assert_true(number > 0 && number <= BLKDEV_BUFFERS && base && len == SLUICE_PAGE_SIZE);
	nr_registered++;
	return 0;
}

static void disk_forget(struct blkdev *d, unsigned number)
{
	(void)d;
	assert_true(number > 0 && number <= BLKDEV_BUFFERS);
	assert_int_equal(hv_fake_mapped(hv), mapped_then--);
	nr_registered--;
}

static const struct blkdev_ops disk_ops = {.register_memory = disk_register, .forget_memory = disk_forget};
static const struct blkdev_ops plain_ops = {0};
static struct blkdev disk = {.ops = &disk_ops};

static int setup(void **state)
{
	uint8_t *pages;

	(void)state;
	assert_int_equal(hv_fake_open(&hv), 0);
	assert_int_equal(hv_fake_domain_create(hv, GUEST), 0);
	pages = hv_fake_pages_alloc(hv, GUEST, PAGES);
	for (unsigned i = 0; i < PAGES; i++)
		assert_int_equal(hv_fake_grant(hv, GUEST, 0, pages + (size_t)i * SLUICE_PAGE_SIZE, false, &gref[i]), 0);
	t = malloc(sizeof(*t));
	blkback_grants_init(t);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	mapped_then = hv_fake_mapped(hv);
	blkback_grants_drop(t, hv, &disk);
	assert_int_equal(nr_registered, 0);
	assert_int_equal(t->nr, 0);
	assert_int_equal(hv_fake_mapped(hv), 0);
	free(t);
	hv->ops->close(hv);
	return 0;
}

static struct blkback_grant *add(unsigned i)
{
	struct hv_map_op op = {.domid = GUEST, .gref = gref[i]};
	struct blkback_grant *g;

	mapped_then = hv_fake_mapped(hv);
	g = blkback_grants_add(t, hv, &disk, gref[i]);

	if (!g)
		return NULL;
	hv->ops->map(hv, &op, 1);
	assert_int_equal(op.status, GNTST_okay);
	blkback_grants_mapped(t, &disk, g, op.va, op.handle);
	return g;
}

static bool has(unsigned i)
{
	struct blkback_grant *g = blkback_grants_get(t, gref[i]);

	if (g) {
		assert_int_equal(g->gref, gref[i]);
		blkback_grants_put(t, g);
	}
	return g;
}

static void found_again(void **state)
{
	struct blkback_grant *a = add(0);

	(void)state;
	assert_ptr_equal(blkback_grants_get(t, gref[0]), a);
	assert_int_equal(a->refs, 2);
	blkback_grants_put(t, a);
	blkback_grants_put(t, a);
	assert_true(has(0));
	assert_false(has(1));
}

static void fill(void)
{
	for (unsigned i = 0; i < BLKBACK_GRANTS; i++) {
		struct blkback_grant *g = add(i);

		assert_non_null(g);
		blkback_grants_put(t, g);
	}
	assert_int_equal(t->nr, BLKBACK_GRANTS);
}

static void oldest_goes_first(void **state)
{
	(void)state;
	fill();
	assert_true(has(0)); /* used: now 1 is the oldest */
	blkback_grants_put(t, add(BLKBACK_GRANTS));
	assert_int_equal(t->nr, BLKBACK_GRANTS);
	assert_int_equal(hv_fake_mapped(hv), BLKBACK_GRANTS);
	assert_true(has(0));
	assert_false(has(1));
	assert_true(has(2));
	assert_true(has(BLKBACK_GRANTS));
}

static void held_ones_stay(void **state)
{
	struct blkback_grant *held;

	(void)state;
	fill();
	held = blkback_grants_get(t, gref[0]);
	for (unsigned i = 0; i < 8; i++)
		blkback_grants_put(t, add(BLKBACK_GRANTS + i));
	assert_ptr_equal(blkback_grants_get(t, gref[0]), held);
	blkback_grants_put(t, held);
	blkback_grants_put(t, held);
}

static void full_of_held_ones(void **state)
{
	static struct blkback_grant *held[BLKBACK_GRANTS];

	(void)state;
	for (unsigned i = 0; i < BLKBACK_GRANTS; i++)
		held[i] = add(i);
	assert_null(add(BLKBACK_GRANTS));
	for (unsigned i = 0; i < BLKBACK_GRANTS; i++)
		blkback_grants_put(t, held[i]);
}

static void never_mapped(void **state)
{
	struct blkback_grant *g = blkback_grants_add(t, hv, NULL, gref[5]);

	(void)state;
	assert_ptr_equal(blkback_grants_get(t, gref[5]), g);
	blkback_grants_put(t, g);
	blkback_grants_put(t, g);
	assert_int_equal(t->nr, 0);
	assert_null(blkback_grants_get(t, gref[5]));
}

/* Each page by a number of its own, for as long as it is mapped: whoever is thrown out is forgotten by the storage first (disk_forget). */
static void registered_while_mapped(void **state)
{
	struct blkback_grant *a = add(0), *b = add(1);

	(void)state;
	assert_true(a->buffer > 0 && b->buffer > 0 && a->buffer != b->buffer);
	blkback_grants_put(t, a);
	blkback_grants_put(t, b);
	for (unsigned i = 2; i < PAGES; i++)
		blkback_grants_put(t, add(i));
	assert_int_equal(nr_registered, BLKBACK_GRANTS);
}

/* The disk was closed, which forgets all, or cannot pin anything. */
static void nobody_to_register_with(void **state)
{
	struct blkback_grant *g = add(0);
	struct blkdev plain = {.ops = &plain_ops};

	(void)state;
	blkback_grants_put(t, g);
	blkback_grants_drop(t, hv, NULL);
	assert_int_equal(nr_registered, 1);
	nr_registered = 0;
	g = blkback_grants_add(t, hv, &plain, gref[1]);
	blkback_grants_mapped(t, &plain, g, NULL, 0);
	assert_int_equal(g->buffer, 0);
	blkback_grants_put(t, g);
}

/* References of one bucket. */
static void collisions(void **state)
{
	struct blkback_grant *g[64];
	gref_t found[64];
	unsigned n = 0;

	(void)state;
	for (gref_t i = 0; n < 64; i++)
		if ((i * 2654435761u) >> 22 == 3)
			found[n++] = i;
	for (unsigned i = 0; i < 64; i++)
		g[i] = blkback_grants_add(t, hv, NULL, found[i]);
	for (unsigned i = 0; i < 64; i += 2)
		blkback_grants_put(t, g[i]); /* never mapped: they go, out of the middle of the chain */
	for (unsigned i = 0; i < 64; i++) {
		assert_ptr_equal(blkback_grants_get(t, found[i]), i % 2 ? g[i] : NULL);
		if (i % 2) {
			blkback_grants_put(t, g[i]);
			blkback_grants_put(t, g[i]);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(found_again), TEST(oldest_goes_first), TEST(held_ones_stay), TEST(full_of_held_ones), TEST(never_mapped), TEST(collisions),
		TEST(registered_while_mapped), TEST(nobody_to_register_with),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
