/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hv.h on real Xen, in domain 0 or in a driver domain: XenStore by libxenstore (hv_store.c), mapped grants by libxengnttab (hv_xen_grant.c), copies (hv_xen_copy.c), event
 * channels by libxenevtchn (hv_xen_event.c), memory for devices (hv_xen_dma.c). This file: opening and closing. What the process holds, Linux gives back when it dies.
 */
#include "hv_xen_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xentoollog.h>

#include "backend/log.h"
#include "backend/store.h"

static void say_nothing(struct xentoollog_logger *logger, xentoollog_level level, int errnoval, const char *context, const char *format,
			va_list al)
{
	(void)logger;
	(void)level;
	(void)errnoval;
	(void)context;
	(void)format;
	(void)al;
}

static void leave_alone(struct xentoollog_logger *logger)
{
	(void)logger;
}

struct xentoollog_logger hv_xen_quiet = {.vmessage = say_nothing, .destroy = leave_alone};

static void xen_close(struct hv *hv)
{
	struct hv_xen *x = hv_xen_of(hv);

	if (!x)
		return;
	while (!LIST_EMPTY(&x->evtchns))
		hv_xen_evtchn_close(&LIST_FIRST(&x->evtchns)->base);
	hv_xen_grant_fini(x);
	hv_xen_dma_fini(x);
	if (x->store.xs)
		hv_store_close(&x->store);
	for (unsigned i = 0; i < XEN_COPIERS; i++)
		pthread_mutex_destroy(&x->copier[i].lock);
	pthread_mutex_destroy(&x->lock);
	free(x);
}

static unsigned xen_caps(struct hv *hv)
{
	(void)hv;
	return HV_CAP_OTHER_BACKENDS | HV_CAP_EVENT_FD;
}

static const struct hv_ops xen_ops = {
	.name = "xen",
	.close = xen_close,
	.caps = xen_caps,
	.map = hv_xen_map,
	.unmap = hv_xen_unmap,
	.map_ring = hv_xen_map_ring,
	.unmap_ring = hv_xen_unmap_ring,
	.copy = hv_xen_copy,
	.dma_memory = hv_xen_dma_memory,
	.evtchn_open = hv_xen_evtchn_open,
	.evtchn_close = hv_xen_evtchn_close,
	.evtchn_fd = hv_xen_evtchn_fd,
	.evtchn_bind = hv_xen_evtchn_bind,
	.evtchn_unbind = hv_xen_evtchn_unbind,
	.evtchn_notify = hv_xen_evtchn_notify,
	.evtchn_pending = hv_xen_evtchn_pending,
	.store_read = hv_store_read,
	.store_write = hv_store_write,
	.store_rm = hv_store_rm,
	.store_directory = hv_store_directory,
	.txn_start = hv_store_txn_start,
	.txn_end = hv_store_txn_end,
	.store_watch = hv_store_watch,
	.store_unwatch = hv_store_unwatch,
	.store_fd = hv_store_fd,
	.store_event = hv_store_event,
};

/* Who we are: domain 0, or a driver domain. */
static int read_self(struct hv_xen *x)
{
	size_t len;
	uint32_t self = 0;
	char *text = hv_store_read(&x->store.hv, HV_TXN_NONE, "domid", &len);
	int rc = text ? store_parse_number(text, len, DOMID_FIRST_RESERVED - 1, &self) : -errno;

	free(text);
	if (rc)
		backend_error("XenStore does not say which domain this is: no usable `domid` in our home (%s); run xen-init-dom0", strerror(-rc));
	x->self = (domid_t)self;
	return rc;
}

/* A device that is missing is found out now, not at the first guest. */
static int try_evtchn(struct hv_xen *x)
{
	struct hv_evtchn *e;
	int rc = hv_xen_evtchn_open(&x->store.hv, &e);

	if (rc)
		backend_error("cannot open /dev/xen/evtchn: %s; load the module xen-evtchn, and run as root", strerror(-rc));
	else
		hv_xen_evtchn_close(e);
	return rc;
}

int hv_xen_open(struct hv **out)
{
	struct hv_xen *x = calloc(1, sizeof(*x));
	int rc;

	if (!x)
		return -ENOMEM;
	x->store.hv.ops = &xen_ops;
	LIST_INIT(&x->evtchns);
	pthread_mutex_init(&x->lock, NULL);
	for (unsigned i = 0; i < XEN_COPIERS; i++)
		pthread_mutex_init(&x->copier[i].lock, NULL);
	rc = hv_xen_grant_init(x);
	if (rc == 0)
		rc = try_evtchn(x);
	if (rc == 0)
		rc = hv_store_open(&x->store, NULL);
	if (rc == 0)
		rc = read_self(x);
	if (rc) {
		xen_close(&x->store.hv);
		return rc;
	}
	*out = &x->store.hv;
	return 0;
}
