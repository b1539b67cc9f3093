/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of the minimal PV kernel, each one file: memory, events, time, console, grants, traps. One vCPU, one thread, one address space; events are masked
 * except while it blocks. port_pv.c gives these parts to the drivers as port.h; the applications sit on top.
 */
#ifndef GUEST_KERNEL_H
#define GUEST_KERNEL_H

#include <sluice/abi.h>

struct xenbus;

/* ---- main.c ---- */
extern start_info_t *start_info;
extern struct shared_info *shared_info; /* NULL until it is mapped */
/* Ends the domain; does not return. reason: SHUTDOWN_* of xen/sched.h. */
void kernel_shutdown(unsigned reason) __attribute__((noreturn));

/* ---- traps.c ---- */
void traps_init(void);

/* ---- mm.c ---- */
/* Maps all memory and starts the page allocator. 0 or -errno. */
int mm_init(void);
/* Put machine frame mfn at va, a page of the kernel's image whose own frame is given up. */
int mm_map_frame(void *va, mfn_t mfn);
mfn_t mm_mfn_of(const void *va);
/* Where a frame of ours is mapped; NULL when it is not ours. A search: not for the fast path. */
void *mm_frame_va(mfn_t mfn);
/* n zeroed pages, contiguous in virtual memory; NULL when there are none. */
void *mm_pages_alloc(unsigned n);
void mm_pages_free(void *pages, unsigned n);
uint64_t mm_pages_total(void);
uint64_t mm_pages_left(void);

/* ---- events.c ---- */
int events_init(void);
int events_alloc(domid_t remote, evtchn_t *port);
int events_bind_virq(unsigned virq, evtchn_t *port);
void events_unmask(evtchn_t port);
void events_close(evtchn_t port);
void events_notify(evtchn_t port);
/* Did it fire since the last call? Clears it. */
bool events_take(evtchn_t port);
/* Does any port wait to be taken? */
bool events_any(void);
/* Let the vCPU sleep until any unmasked port fires. */
void events_block(void);

/* ---- time.c ---- */
int time_init(void);
/* Nanoseconds since the hypervisor started. */
uint64_t time_now_ns(void);
/* Sleep until an event waits or the deadline (ns) has come. */
void time_wait(uint64_t deadline_ns);

/* ---- grant.c ---- */
int grant_init(void);
int grant_access(domid_t to, mfn_t mfn, bool readonly, gref_t *gref);
/* -EBUSY while the peer uses it; -EINVAL when it was not granted. */
int grant_end(gref_t gref);

/* ---- console.c ---- */
void console_init(void);
void console_write(const char *text, size_t n);
/* The next line that was typed, without its end; NULL when there is none yet. Valid until the next call. */
const char *console_line(void);
/* Wait, but not for ever, until what was printed has been read. */
void console_drain(void);
/* One line, the newline is added. */
void print_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
