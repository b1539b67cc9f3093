/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The seam between a front end (frontend/) and the guest that it runs in. Chosen at link time: guest-drivers/port_pv.c for a PV
 * kernel (hypercalls), port_hosted.c for an ordinary process (a later issue). To drop the drivers into another kernel, write
 * these functions (guest-drivers/HOWTO.md).
 *
 * One thread calls into a front end and so into this port. 0 or -errno.
 */
#ifndef SLUICE_PORT_H
#define SLUICE_PORT_H

#include <sluice/abi.h>
#include <stdarg.h>

/* n zeroed, page-aligned pages, contiguous in virtual memory; NULL when there are none. */
void *port_pages_alloc(unsigned n);
void port_pages_free(void *pages, unsigned n);

/* n zeroed bytes, 16-byte aligned, for the driver's own state (never granted); NULL when there are none. */
void *port_alloc(size_t n);
void port_free(void *p);

/* Let domain `to` use the page at `page` (page-aligned). -ENOSPC when no grant entry is free. */
int port_grant(domid_t to, void *page, bool readonly, gref_t *gref);

/* Take a grant back. -EBUSY while the peer still uses it: the page must then neither be freed nor reused (XSA-396, XSA-403). */
int port_grant_end(gref_t gref);

/* A port that domain `remote` may bind to. It starts unmasked. */
int port_evtchn_alloc(domid_t remote, evtchn_t *port);
void port_evtchn_close(evtchn_t port);
void port_evtchn_notify(evtchn_t port);

/* True once per firing: was this port raised since the last call? Clears it. */
bool port_evtchn_take(evtchn_t port);

/* Sleep until any port is raised or port_now_ns() reaches deadline_ns. Returns at once when one is raised and not yet taken. */
void port_wait(uint64_t deadline_ns);

/* Monotonic nanoseconds. */
uint64_t port_now_ns(void);

/* The byte stream to XenStore: how many bytes were moved now, 0 to n. Never waits. */
size_t port_store_send(const void *buf, size_t n);
size_t port_store_recv(void *buf, size_t n);
/* True when the store may have something for us (its event fired); clears it. Use with port_wait. */
bool port_store_take(void);

enum port_log_level { PORT_LOG_ERROR, PORT_LOG_INFO, PORT_LOG_DEBUG };

/* One line, without a newline. Subset of printf: %s %c %d %u %x %p, l and ll, width and 0 flag. */
void port_log(enum port_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
