/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam between a back end and the hypervisor that it runs on: grants, event channels, XenStore. Providers:
 * backend/hv/hv_sluice.c (ours), hv_xen.c (real Xen), hv_fake.c (in-process, with fault injection, for tests); every one
 * passes tests/contract/hv. Nothing above this header knows which provider it has.
 *
 * Errors: 0 or -errno for a call as a whole; a GNTST_* (xen/grant_table.h) in each operation of a batch. A batch never stops at a
 * bad entry: each entry has its own status and the others are done. The caller must look at every status.
 */
#ifndef SLUICE_HV_H
#define SLUICE_HV_H

#include <sluice/abi.h>

/* What dma_memory gives is made of such pieces. */
#define HV_DMA_CHUNK (2ul << 20)

struct hv;
struct hv_evtchn;

/* Which of the optional abilities a provider has. */
enum hv_cap {
	HV_CAP_FAST_COPY = 1 << 0, /* grant_copy needs no system call */
	HV_CAP_FAST_MAP = 1 << 1,  /* map and unmap of single pages need no system call */
	HV_CAP_EVENT_FD = 1 << 3,  /* evtchn_fd tells of all that evtchn_pending has not fetched, armed or not; a look with arm is a system call */
	HV_CAP_OTHER_BACKENDS = 1 << 2, /* back ends that are not ours may serve devices of the same domain: take only those that name us */
};

/* One page of another domain in our address space. */
struct hv_map_op {
	domid_t domid;   /* in: who granted it */
	gref_t gref;     /* in */
	bool readonly;   /* in: a writable mapping of a read-only grant is refused */
	int16_t status;  /* out: GNTST_okay or why not */
	uint32_t handle; /* out: name of this mapping for unmap */
	void *va;        /* out: where it is, page-aligned; NULL unless status is GNTST_okay */
};

struct hv_unmap_op {
	void *va;        /* in: as map gave it; never touched again by the caller */
	uint32_t handle; /* in */
	int16_t status;  /* out: GNTST_okay or GNTST_bad_handle */
};

/* One end of a copy: our own memory when local is not NULL, else a granted page. */
struct hv_copy_end {
	void *local;
	domid_t domid;
	gref_t gref;
	uint16_t offset; /* within the granted page; ignored for local */
};

/* Copy len bytes. offset + len of a granted end must stay within its page, else GNTST_bad_copy_arg. */
struct hv_copy_op {
	struct hv_copy_end src, dst;
	uint16_t len;
	int16_t status; /* out */
};

/* XenStore transaction; HV_TXN_NONE means outside of any. */
typedef uint32_t hv_txn_t;
#define HV_TXN_NONE 0u

struct hv_ops {
	const char *name; /* "sluice", "xen", "fake" */

	/* Releases everything: mappings, event channels, watches. NULL is fine. */
	void (*close)(struct hv *hv);

	unsigned (*caps)(struct hv *hv); /* OR of enum hv_cap */

	/* ---- grants. Safe from several threads at once. Never block on a guest. ---- */

	/* Map n single pages. Each success pins the grant until it is unmapped or we die. A domain that is gone is GNTST_bad_domain; on
	 * Xen only when the last mapping of its pages is gone too. Our own domain is GNTST_bad_domain. */
	int (*map)(struct hv *hv, struct hv_map_op *ops, unsigned n);
	int (*unmap)(struct hv *hv, struct hv_unmap_op *ops, unsigned n);

	/* Map n pages of one domain, writable, contiguous in our address space (a shared ring). All or nothing: -EINVAL
	 * when any is refused, and then none stays mapped. unmap_ring takes the same va and n; it never fails. */
	int (*map_ring)(struct hv *hv, domid_t domid, const gref_t *grefs, unsigned n, void **va);
	void (*unmap_ring)(struct hv *hv, void *va, unsigned n);

	/* Copy n segments. Pins each grant only for the copy. */
	int (*copy)(struct hv *hv, struct hv_copy_op *ops, unsigned n);

	/* Memory that a device may be given addresses of, where the machine's addresses are not those that Linux tells (a PV domain on Xen): n chunks of HV_DMA_CHUNK bytes,
	 * zeroed, side by side at *va (aligned to one of them), each contiguous for a device from addr[i] on. Copies to and from it cost least. Once; it stays until close, or until the
	 * next provider after we were killed. NULL, or -ENOTSUP: any memory will do; other errors after one line on the log. */
	int (*dma_memory)(struct hv *hv, unsigned n, void **va, uint64_t *addr);

	/* ---- event channels. A hv_evtchn is used by one thread at a time, but for evtchn_notify, which any thread may call while the port is
	 * bound; several may exist. ---- */

	int (*evtchn_open)(struct hv *hv, struct hv_evtchn **out);
	void (*evtchn_close)(struct hv_evtchn *e); /* unbinds what is bound; NULL is fine */

	/* Readable while a bound port has fired and evtchn_pending has not fetched it. */
	int (*evtchn_fd)(struct hv_evtchn *e);

	/* Bind to the port that domid offers us; gives our own port. -EINVAL when it offers none such. May block briefly.
	 * A fresh binding starts as fired once (the peer may have notified before we bound), as on Xen. */
	int (*evtchn_bind)(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port);
	int (*evtchn_unbind)(struct hv_evtchn *e, evtchn_t port);

	/* Raise the event at the other end. -ENOTCONN when it is gone, except on Xen, which drops such an event without a word. Costs
	 * nothing more when it is still pending there. */
	int (*evtchn_notify)(struct hv_evtchn *e, evtchn_t port);

	/* Fetch and clear up to max ports that fired; returns how many (on Xen a port may be told once more than it fired).
	 * Does not block. Where events need the kernel (Xen), a call without `arm` that soon follows another looks at nothing;
	 * elsewhere it makes no system call unless something fired. With arm, the fd becomes readable for whatever fires after
	 * this call returned; without it the fd may stay silent (the caller polls). */
	unsigned (*evtchn_pending)(struct hv_evtchn *e, evtchn_t *ports, unsigned max, bool arm);

	/* ---- XenStore. One thread only. Paths without a leading '/' are below our own /local/domain/<id>. May block. ---- */

	/* Value as a malloc'd NUL-terminated string; its length, when asked for, without that NUL. NULL and errno when absent. */
	char *(*store_read)(struct hv *hv, hv_txn_t t, const char *path, size_t *len);
	int (*store_write)(struct hv *hv, hv_txn_t t, const char *path, const char *value);
	int (*store_rm)(struct hv *hv, hv_txn_t t, const char *path);
	/* Names of the children: one malloc'd block freed by one free(); *n says how many. NULL and errno when absent. */
	char **(*store_directory)(struct hv *hv, hv_txn_t t, const char *path, unsigned *n);
	int (*txn_start)(struct hv *hv, hv_txn_t *t);
	/* -EAGAIN: somebody else changed what we read; start over. Ends the transaction in every case. */
	int (*txn_end)(struct hv *hv, hv_txn_t t, bool abort);

	/* A watch fires once when set, then for each change at or below path. */
	int (*store_watch)(struct hv *hv, const char *path, const char *token);
	int (*store_unwatch)(struct hv *hv, const char *path, const char *token);
	int (*store_fd)(struct hv *hv); /* readable while watch events wait */
	/* Next watch event or -EAGAIN; *path and *token are malloc'd. Never blocks. */
	int (*store_event)(struct hv *hv, char **path, char **token);
};

struct hv {
	const struct hv_ops *ops;
};

struct hv_evtchn {
	struct hv *hv;
};

/* Providers. Each returns 0 and a handle, or -errno after one line on the log. run_dir: where sluiced's sockets are. */
int hv_sluice_open(const char *run_dir, struct hv **out);
int hv_xen_open(struct hv **out);
int hv_fake_open(struct hv **out);

#endif
