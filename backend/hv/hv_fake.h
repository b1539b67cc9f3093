/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's side, the toolstack's side and the faults of hv_fake, the in-process provider of hv.h for tests: domains with memory,
 * grant entries with their in-use flags, event channels and a XenStore, all in this process.
 *
 * Every function takes the handle that hv_fake_open gave. All are safe from several threads at once. Pages belong to the domain and go with it, except that
 * what the back end still has mapped stays until it is unmapped, as on Xen.
 */
#ifndef SLUICE_HV_FAKE_H
#define SLUICE_HV_FAKE_H

#include <sluice/hv.h>

#define HV_FAKE_GRANTS 8192u /* grant entries of a domain; references below HV_FAKE_FIRST_GREF are never given out */
#define HV_FAKE_FIRST_GREF 8u
#define HV_FAKE_PAGES 8192u  /* most pages of a domain */
#define HV_FAKE_PORTS 256u   /* event channels of a domain, and of the back end */

/* ---- domains ---- */

/* domid 1 .. 255. Also makes /local/domain/<domid> in the store. -EEXIST. */
int hv_fake_domain_create(struct hv *hv, domid_t domid);
/* As after a crash: its grants can no longer be used, its event channels are closed, its store nodes are gone. */
void hv_fake_domain_destroy(struct hv *hv, domid_t domid);

/* n zeroed pages of the domain, contiguous here; NULL when it has none left. Pages are not freed one by one. */
void *hv_fake_pages_alloc(struct hv *hv, domid_t domid, unsigned n);

/* ---- grants of domain `from` ---- */

/* `page` as hv_fake_pages_alloc gave it, or a later page of the same block. -ENOSPC, -EINVAL for a page that is not its own. */
int hv_fake_grant(struct hv *hv, domid_t from, domid_t to, const void *page, bool readonly, gref_t *gref);
/* -EBUSY while it is mapped or being copied, -ENOENT when it is not granted. */
int hv_fake_grant_end(struct hv *hv, domid_t from, gref_t gref);
/* How often is this entry mapped now? */
unsigned hv_fake_grant_busy(struct hv *hv, domid_t from, gref_t gref);

/* ---- event channels of a guest ---- */

int hv_fake_evtchn_alloc(struct hv *hv, domid_t domid, domid_t remote, evtchn_t *port);
/* -ENOTCONN while nobody is bound to it. */
int hv_fake_evtchn_send(struct hv *hv, domid_t domid, evtchn_t port);
/* Did it fire since the last call? Clears it. */
bool hv_fake_evtchn_take(struct hv *hv, domid_t domid, evtchn_t port);
void hv_fake_evtchn_close(struct hv *hv, domid_t domid, evtchn_t port);

/* ---- the store, as domain `domid` sees it: relative paths are below its /local/domain/<domid>. Domain 0 (the toolstack) may write everywhere, a guest
 * below its own path only (-EACCES). ---- */

int hv_fake_store_write(struct hv *hv, domid_t domid, const char *path, const char *value);
/* Malloc'd; NULL when absent. */
char *hv_fake_store_read(struct hv *hv, domid_t domid, const char *path);
int hv_fake_store_rm(struct hv *hv, domid_t domid, const char *path);

/* ---- faults and counters ---- */

enum hv_fake_call {
	HV_FAKE_MAP,        /* counted per entry */
	HV_FAKE_UNMAP,      /* counted per entry */
	HV_FAKE_MAP_RING,   /* counted per call */
	HV_FAKE_UNMAP_RING, /* never fails */
	HV_FAKE_COPY,       /* counted per entry */
	HV_FAKE_COPY_BATCH, /* counted per call; fails as a whole */
	HV_FAKE_BIND,
	HV_FAKE_UNBIND,
	HV_FAKE_NOTIFY,
	HV_FAKE_STORE_READ,
	HV_FAKE_STORE_WRITE,
	HV_FAKE_STORE_DIRECTORY,
	HV_FAKE_TXN_END,
	HV_FAKE_CALLS,
};

/* The nth such call or entry from now (1: the next one) fails with rc: a GNTST_* for entries of a batch, -errno for calls. nth 0 takes the fault back. */
void hv_fake_fail(struct hv *hv, enum hv_fake_call call, unsigned nth, int rc);

/* How many there were since hv_fake_open. */
uint64_t hv_fake_count(struct hv *hv, enum hv_fake_call call);

/* Pages that the back end has mapped now, and event channels that it has bound: both 0 when nothing leaks. */
unsigned hv_fake_mapped(struct hv *hv);
unsigned hv_fake_bound(struct hv *hv);

#endif
