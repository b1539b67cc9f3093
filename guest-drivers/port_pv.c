/* SPDX-License-Identifier: BSD-3-Clause */
/* port.h for the minimal PV kernel: what the drivers ask for, in terms of the kernel's own parts (kernel/kernel.h). */
#include "kernel/kernel.h"
#include "kernel/printf.h"
#include <errno.h>
#include <rings/xenstore_ring.h>
#include <sluice/port.h>
#include <sluice/shm.h>

#define HEAP_HEADER 16u

static struct xenstore_ring store;
static evtchn_t store_port;

void *port_pages_alloc(unsigned n)
{
	return mm_pages_alloc(n);
}

void port_pages_free(void *pages, unsigned n)
{
	if (pages)
		mm_pages_free(pages, n);
}

/* Drivers allocate a few large objects: whole pages do, with the count in front. */
void *port_alloc(size_t n)
{
	unsigned pages = (unsigned)((n + HEAP_HEADER + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE);
	uint8_t *block = mm_pages_alloc(pages);

	if (!block)
		return NULL;
	*(unsigned *)block = pages;
	return block + HEAP_HEADER;
}

void port_free(void *p)
{
	uint8_t *block = (uint8_t *)p - HEAP_HEADER;

	if (p)
		mm_pages_free(block, *(unsigned *)block);
}

int port_grant(domid_t to, void *page, bool readonly, gref_t *gref)
{
	return grant_access(to, mm_mfn_of(page), readonly, gref);
}

int port_grant_end(gref_t gref)
{
	return grant_end(gref);
}

int port_evtchn_alloc(domid_t remote, evtchn_t *port)
{
	return events_alloc(remote, port);
}

void port_evtchn_close(evtchn_t port)
{
	events_close(port);
}

void port_evtchn_notify(evtchn_t port)
{
	events_notify(port);
}

bool port_evtchn_take(evtchn_t port)
{
	return events_take(port);
}

void port_wait(uint64_t deadline_ns)
{
	time_wait(deadline_ns);
}

uint64_t port_now_ns(void)
{
	return time_now_ns();
}

/* The ring that start_info names, attached at the first use. */
static bool store_attach(void)
{
	struct xenstore_domain_interface *page;

	if (store.shared)
		return true;
	page = mm_frame_va(start_info->store_mfn);
	if (!page)
		return false;
	xenstore_ring_attach(&store, page, XENSTORE_RING_GUEST);
	store_port = start_info->store_evtchn;
	events_unmask(store_port);
	return true;
}

size_t port_store_send(const void *buf, size_t n)
{
	int moved = store_attach() ? xenstore_ring_write(&store, buf, n) : 0;

	if (moved <= 0)
		return 0;
	events_notify(store_port);
	return (size_t)moved;
}

/* The store waits for us to make room only when it has filled the ring: else it need not be told, and that saves a hypercall a read. */
size_t port_store_recv(void *buf, size_t n)
{
	uint32_t before;
	int moved;

	if (!store_attach())
		return 0;
	before = store.in_cons;
	moved = xenstore_ring_read(&store, buf, n);
	if (moved <= 0)
		return 0;
	shm_mb(); /* our index before our look at the store's: it looks at ours before it waits */
	if (shm_load(&store.shared->rsp_prod) - before >= XENSTORE_RING_SIZE)
		events_notify(store_port);
	return (size_t)moved;
}

bool port_store_take(void)
{
	return store_attach() && events_take(store_port);
}

void port_log(enum port_log_level level, const char *fmt, ...)
{
	char text[256];
	va_list args;

	if (level == PORT_LOG_DEBUG)
		return;
	va_start(args, fmt);
	format_text(text, sizeof(text), fmt, args);
	va_end(args);
	print_line("%s%s", level == PORT_LOG_ERROR ? "error: " : "", text);
}
