/* SPDX-License-Identifier: BSD-3-Clause */
/* What hv_xen.c (opening), hv_xen_grant.c, hv_xen_copy.c, hv_xen_dma.c and hv_xen_event.c share. Nobody else includes it. */
#ifndef BACKEND_HV_XEN_PRIVATE_H
#define BACKEND_HV_XEN_PRIVATE_H

#include "hv_store.h" /* first: it settles the version of Xen's headers */

#include <pthread.h>
#include <sys/queue.h>
#include <xenevtchn.h>
#include <xengnttab.h>

#define XEN_MAPS 65536u     /* pages of guests that we may map at once */
#define XEN_RING_PAGES 64u
#define XEN_COPY_BATCH 128u /* operations of one call */
#define XEN_COPY_PIECES (2 * XEN_COPY_BATCH) /* that Xen does for them at most */
#define XEN_COPIERS 8u      /* threads that copy at once without waiting for each other */
#define XEN_DMA_CHUNKS 64u  /* that devices may have */
#define HV_XEN_DMA_KEY "data/sluice-dma" /* data is what a driver domain may write in its home */

struct xen_evtchn {
	struct hv_evtchn base;
	LIST_ENTRY(xen_evtchn) next;
	xenevtchn_handle *xce;
	uint64_t look_every; /* TSC */
	uint64_t next_look;  /* TSC; before it, a caller that polls is told that nothing fired */
};

struct xen_map {
	void *va;       /* NULL: free */
	uint32_t pages; /* 1, or those of a ring */
	uint32_t next_free;
};

/* Memory for one hypercall, which stays where it is while Xen reads and writes it. */
struct xen_copier {
	pthread_mutex_t lock;
	struct gnttab_copy *piece; /* XEN_COPY_PIECES */
};

struct xencall_handle;
struct xenforeignmemory_handle;

struct hv_xen {
	struct hv_store store; /* first: it has the struct hv */
	xengnttab_handle *gnttab;
	domid_t self;

	struct xenforeignmemory_handle *foreign;
	void *dma_va; /* NULL: none */
	unsigned dma_chunks;
	xen_pfn_t dma_mfn[XEN_DMA_CHUNKS]; /* the first frame of each */

	struct xencall_handle *xcall; /* NULL: all copies go through gntdev */
	struct xen_copier copier[XEN_COPIERS];

	pthread_mutex_t lock; /* what follows */
	LIST_HEAD(, xen_evtchn) evtchns;
	struct xen_map *map; /* by handle; grows */
	uint32_t nr_maps;
	uint32_t first_free; /* nr_maps: none */
};

static inline struct hv_xen *hv_xen_of(struct hv *hv)
{
	return (struct hv_xen *)hv;
}

/* Somebody else, who may have granted us something. */
static inline bool hv_xen_foreign(const struct hv_xen *x, domid_t domid)
{
	return domid < DOMID_FIRST_RESERVED && domid != x->self;
}

/* Are these bytes all in memory for devices? */
static inline bool hv_xen_in_dma(const struct hv_xen *x, const void *at, size_t len)
{
	size_t size = x->dma_chunks * HV_DMA_CHUNK, from = (uintptr_t)at - (uintptr_t)x->dma_va;

	return from < size && len <= size - from;
}

/* The machine's frame of an address there. */
static inline xen_pfn_t hv_xen_dma_frame(const struct hv_xen *x, uintptr_t at)
{
	size_t from = at - (uintptr_t)x->dma_va;

	return x->dma_mfn[from / HV_DMA_CHUNK] + from % HV_DMA_CHUNK / SLUICE_PAGE_SIZE;
}

/* The libraries write each failure to stderr, and a guest can cause failures at will: this logger drops them. Statuses say the same. */
extern struct xentoollog_logger hv_xen_quiet;

/* hv_xen_grant.c */
int hv_xen_grant_init(struct hv_xen *x);
void hv_xen_grant_fini(struct hv_xen *x);
int hv_xen_map(struct hv *hv, struct hv_map_op *ops, unsigned n);
int hv_xen_unmap(struct hv *hv, struct hv_unmap_op *ops, unsigned n);
int hv_xen_map_ring(struct hv *hv, domid_t domid, const gref_t *grefs, unsigned n, void **va);
void hv_xen_unmap_ring(struct hv *hv, void *va, unsigned n);

/* hv_xen_copy.c; init: once there is memory for devices */
int hv_xen_copy_init(struct hv_xen *x);
void hv_xen_copy_fini(struct hv_xen *x);
int hv_xen_copy(struct hv *hv, struct hv_copy_op *ops, unsigned n);

/* hv_xen_dma.c */
int hv_xen_dma_memory(struct hv *hv, unsigned n, void **va, uint64_t *addr);
void hv_xen_dma_fini(struct hv_xen *x);

/* hv_xen_event.c */
int hv_xen_evtchn_open(struct hv *hv, struct hv_evtchn **out);
void hv_xen_evtchn_close(struct hv_evtchn *e);
int hv_xen_evtchn_fd(struct hv_evtchn *e);
int hv_xen_evtchn_bind(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port);
int hv_xen_evtchn_unbind(struct hv_evtchn *e, evtchn_t port);
int hv_xen_evtchn_notify(struct hv_evtchn *e, evtchn_t port);
unsigned hv_xen_evtchn_pending(struct hv_evtchn *e, evtchn_t *ports, unsigned max, bool arm);

#endif
