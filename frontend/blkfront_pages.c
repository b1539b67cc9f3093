/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * blkfront's granted memory: the ring, the pages for data, the lists of indirect requests. A page is granted once for each connection. A back end that died may
 * hold pages for a while: such a page is exchanged for a fresh one with the same content, and put aside until it is let go (XSA-396, XSA-403).
 */
#include "blkfront_private.h"
#include <errno.h>
#include <string.h>

static int page_grant(struct blkfront *bf, struct blkfront_grant *g)
{
	if (!g->page)
		g->page = port_pages_alloc(1);
	return g->page ? port_grant(bf->backend_id, g->page, false, &g->gref) : -ENOMEM;
}

/* A page that is still held keeps its grant. */
static void page_end(struct blkfront_grant *g)
{
	if (g->gref != SLUICE_INVALID_GREF && port_grant_end(g->gref) != -EBUSY)
		g->gref = SLUICE_INVALID_GREF;
}

/* When the list is full, the pages are leaked. */
static void defer(struct blkfront *bf, void *pages, unsigned n, const gref_t *grefs)
{
	struct blkfront_deferred *d = &bf->deferred[bf->nr_deferred];

	if (bf->nr_deferred == bf->max_deferred)
		return;
	bf->nr_deferred++;
	d->pages = pages;
	d->n = n;
	memcpy(d->gref, grefs, n * sizeof(*grefs));
}

/* Take back a block's grants. True when the back end holds none of them any more. */
static bool block_end(gref_t *grefs, unsigned n)
{
	bool free = true;

	for (unsigned i = 0; i < n; i++) {
		struct blkfront_grant g = { .gref = grefs[i] };

		page_end(&g);
		grefs[i] = g.gref;
		free &= g.gref == SLUICE_INVALID_GREF;
	}
	return free;
}

static void end_deferred(struct blkfront *bf)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < bf->nr_deferred; i++) {
		if (block_end(bf->deferred[i].gref, bf->deferred[i].n))
			port_pages_free(bf->deferred[i].pages, bf->deferred[i].n);
		else
			bf->deferred[kept++] = bf->deferred[i];
	}
	bf->nr_deferred = kept;
}

/* Make a page of an earlier connection fit for the next one. */
static int page_renew(struct blkfront *bf, struct blkfront_grant *g)
{
	void *fresh;

	page_end(g);
	if (g->gref == SLUICE_INVALID_GREF)
		return 0;
	fresh = port_pages_alloc(1);
	if (!fresh)
		return -ENOMEM;
	shm_copy_bulk(fresh, g->page, SLUICE_PAGE_SIZE);
	defer(bf, g->page, 1, &g->gref);
	g->page = fresh;
	g->gref = SLUICE_INVALID_GREF;
	return 0;
}

static int page_start(struct blkfront *bf, struct blkfront_grant *g)
{
	int rc = page_renew(bf, g);

	return rc || !g->page ? rc : page_grant(bf, g);
}

/* ---- the pool ---- */

int blkfront_pool_init(struct blkfront *bf, unsigned pages)
{
	struct blkfront_pool *p = &bf->pool;

	p->max = pages ? pages : BLKFRONT_POOL_PAGES;
	if (p->max < BLKFRONT_IO_PAGES || p->max > UINT16_MAX)
		p->max = p->max < BLKFRONT_IO_PAGES ? BLKFRONT_IO_PAGES : UINT16_MAX;
	bf->max_deferred = p->max + BLKFRONT_SLOTS;
	p->grant = port_alloc(p->max * sizeof(*p->grant));
	p->free = port_alloc(p->max * sizeof(*p->free));
	bf->deferred = port_alloc(bf->max_deferred * sizeof(*bf->deferred));
	for (unsigned i = 0; i < BLKFRONT_SLOTS; i++)
		bf->queue.shadow[i].segments.gref = SLUICE_INVALID_GREF;
	return p->grant && p->free && bf->deferred ? 0 : -ENOMEM;
}

static void page_free(struct blkfront_grant *g)
{
	page_end(g);
	if (g->gref == SLUICE_INVALID_GREF)
		port_pages_free(g->page, 1);
}

void blkfront_pool_free(struct blkfront *bf)
{
	for (unsigned i = 0; i < bf->pool.nr; i++)
		page_free(&bf->pool.grant[i]);
	for (unsigned i = 0; i < BLKFRONT_SLOTS; i++)
		page_free(&bf->queue.shadow[i].segments);
	end_deferred(bf);
	port_free(bf->pool.grant);
	port_free(bf->pool.free);
	port_free(bf->deferred);
}

/* One page more. */
static bool pool_grow(struct blkfront *bf)
{
	struct blkfront_pool *p = &bf->pool;
	struct blkfront_grant g = { .gref = SLUICE_INVALID_GREF };

	if (p->nr == p->max)
		return false;
	g.page = port_pages_alloc(1);
	if (!g.page)
		return false;
	if (bf->queue.pages && page_grant(bf, &g)) {
		port_pages_free(g.page, 1);
		return false;
	}
	p->grant[p->nr] = g;
	p->free[p->nr_free++] = (uint16_t)p->nr++;
	return true;
}

bool blkfront_pool_take(struct blkfront *bf, uint16_t *ids, unsigned n)
{
	struct blkfront_pool *p = &bf->pool;

	while (p->nr_free < n)
		if (!pool_grow(bf))
			return false;
	for (unsigned i = 0; i < n; i++)
		ids[i] = p->free[--p->nr_free];
	return true;
}

void blkfront_pool_give(struct blkfront *bf, const uint16_t *ids, unsigned n)
{
	while (n)
		bf->pool.free[bf->pool.nr_free++] = ids[--n];
}

bool blkfront_segments_page(struct blkfront *bf, struct blkfront_shadow *s)
{
	return s->segments.gref != SLUICE_INVALID_GREF || !page_grant(bf, &s->segments);
}

int blkfront_pages_take(struct blkfront *bf, struct blkfront_io *io)
{
	unsigned n = (unsigned)((io->len + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE);

	if (!io->len || io->len > BLKFRONT_IO_MAX)
		return -EINVAL;
	if (!blkfront_pool_take(bf, io->page, n))
		return bf->pool.nr_free == bf->pool.nr ? -ENOMEM : -EAGAIN;
	io->nr_pages = (uint16_t)n;
	return 0;
}

void blkfront_pages_give(struct blkfront *bf, struct blkfront_io *io)
{
	blkfront_pool_give(bf, io->page, io->nr_pages);
	io->nr_pages = 0;
}

void *blkfront_page(const struct blkfront *bf, const struct blkfront_io *io, unsigned i)
{
	return bf->pool.grant[io->page[i]].page;
}

/* ---- a connection ---- */

static int ring_grant(struct blkfront *bf, unsigned pages)
{
	struct blkfront_queue *q = &bf->queue;
	int rc = 0;

	q->pages = port_pages_alloc(pages);
	if (!q->pages)
		return -ENOMEM;
	q->nr_pages = pages;
	for (unsigned i = 0; i < pages; i++)
		q->ref[i] = SLUICE_INVALID_GREF;
	for (unsigned i = 0; !rc && i < pages; i++)
		rc = port_grant(bf->backend_id, (uint8_t *)q->pages + (size_t)i * SLUICE_PAGE_SIZE, false, &q->ref[i]);
	return rc;
}

int blkfront_grants_start(struct blkfront *bf, unsigned ring_pages)
{
	int rc;

	end_deferred(bf);
	rc = ring_grant(bf, ring_pages);
	for (unsigned i = 0; !rc && i < bf->pool.nr; i++)
		rc = page_start(bf, &bf->pool.grant[i]);
	for (unsigned i = 0; !rc && i < BLKFRONT_SLOTS; i++)
		rc = page_start(bf, &bf->queue.shadow[i].segments);
	return rc;
}

void blkfront_grants_end(struct blkfront *bf)
{
	struct blkfront_queue *q = &bf->queue;

	if (q->pages && block_end(q->ref, q->nr_pages))
		port_pages_free(q->pages, q->nr_pages);
	else if (q->pages)
		defer(bf, q->pages, q->nr_pages, q->ref);
	q->pages = NULL;
	for (unsigned i = 0; i < bf->pool.nr; i++)
		page_end(&bf->pool.grant[i]);
	for (unsigned i = 0; i < BLKFRONT_SLOTS; i++)
		page_end(&q->shadow[i].segments);
}
