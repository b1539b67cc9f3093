/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The persistent grants of a vbd (feature-persistent in xen/io/blkif.h): mapped once, writable, found again by their grant reference. A front end recycles few
 * of them; one that names ever new ones makes the table throw out what was used longest ago, and never holds more than BLKBACK_GRANTS pages.
 */
#include "blkback.h"

#define NONE (-1)

_Static_assert(BLKBACK_GRANTS <= BLKDEV_BUFFERS, "a number for each");

static unsigned bucket_of(gref_t gref)
{
	return (gref * 2654435761u) >> 22 & (BLKBACK_GRANT_BUCKETS - 1);
}

void blkback_grants_init(struct blkback_grants *t)
{
	t->nr = 0;
	t->free = 0;
	TAILQ_INIT(&t->idle);
	for (unsigned i = 0; i < BLKBACK_GRANT_BUCKETS; i++)
		t->bucket[i] = NONE;
	for (unsigned i = 0; i < BLKBACK_GRANTS; i++)
		t->entry[i] = (struct blkback_grant){.chain = i + 1 < BLKBACK_GRANTS ? (int16_t)(i + 1) : NONE};
}

struct blkback_grant *blkback_grants_get(struct blkback_grants *t, gref_t gref)
{
	for (int i = t->bucket[bucket_of(gref)]; i != NONE; i = t->entry[i].chain) {
		struct blkback_grant *g = &t->entry[i];

		if (g->gref != gref)
			continue;
		if (g->refs++ == 0)
			TAILQ_REMOVE(&t->idle, g, lru);
		return g;
	}
	return NULL;
}

/* Out of its bucket, onto the free list. */
static void forget(struct blkback_grants *t, struct blkback_grant *g)
{
	int16_t at = (int16_t)(g - t->entry), *link = &t->bucket[bucket_of(g->gref)];

	while (*link != at)
		link = &t->entry[*link].chain;
	*link = g->chain;
	g->va = NULL;
	g->chain = t->free;
	t->free = at;
	t->nr--;
}

/* The storage lets go of the page before the guest has it back. */
static void unmap(struct hv *hv, struct blkdev *disk, const struct blkback_grant *g)
{
	struct hv_unmap_op op = {.va = g->va, .handle = g->handle};

	if (g->buffer && disk)
		disk->ops->forget_memory(disk, g->buffer);
	hv->ops->unmap(hv, &op, 1);
}

static void evict(struct blkback_grants *t, struct hv *hv, struct blkdev *disk, struct blkback_grant *g)
{
	TAILQ_REMOVE(&t->idle, g, lru);
	unmap(hv, disk, g);
	forget(t, g);
}

void blkback_grants_mapped(const struct blkback_grants *t, struct blkdev *disk, struct blkback_grant *g, void *va, uint32_t handle)
{
	unsigned number = (unsigned)(g - t->entry) + 1;

	g->va = va;
	g->handle = handle;
	if (disk->ops->register_memory && disk->ops->register_memory(disk, number, va, SLUICE_PAGE_SIZE) == 0)
		g->buffer = number;
}

struct blkback_grant *blkback_grants_add(struct blkback_grants *t, struct hv *hv, struct blkdev *disk, gref_t gref)
{
	unsigned b = bucket_of(gref);
	struct blkback_grant *g;

	if (t->free == NONE && !TAILQ_EMPTY(&t->idle))
		evict(t, hv, disk, TAILQ_FIRST(&t->idle));
	if (t->free == NONE)
		return NULL;
	g = &t->entry[t->free];
	t->free = g->chain;
	*g = (struct blkback_grant){.gref = gref, .refs = 1, .chain = t->bucket[b]};
	t->bucket[b] = (int16_t)(g - t->entry);
	t->nr++;
	return g;
}

void blkback_grants_put(struct blkback_grants *t, struct blkback_grant *g)
{
	if (--g->refs > 0)
		return;
	if (g->va)
		TAILQ_INSERT_TAIL(&t->idle, g, lru);
	else
		forget(t, g);
}

void blkback_grants_drop(struct blkback_grants *t, struct hv *hv, struct blkdev *disk)
{
	while (!TAILQ_EMPTY(&t->idle))
		evict(t, hv, disk, TAILQ_FIRST(&t->idle));
}
