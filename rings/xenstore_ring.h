/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The byte ring between a domain and XenStore (struct xenstore_domain_interface, xen/io/xs_wire.h). The guest's side is used by port_pv, the
 * store's by hypervisor/xenstore. Our two indices are kept in private memory; the peer's are read once a call and bounded.
 */
#ifndef RINGS_XENSTORE_RING_H
#define RINGS_XENSTORE_RING_H

#include <errno.h>
#include <sluice/abi.h>

enum xenstore_ring_side { XENSTORE_RING_GUEST, XENSTORE_RING_STORE };

struct xenstore_ring {
	struct xenstore_domain_interface *shared;
	enum xenstore_ring_side side;
	uint32_t out_prod; /* bytes that we wrote */
	uint32_t in_cons;  /* bytes that we read */
};

/* Attach to the page, going on where its indices stand: another program may have used it before us (a boot loader, for instance). */
void xenstore_ring_attach(struct xenstore_ring *r, struct xenstore_domain_interface *shared, enum xenstore_ring_side side);

/*
 * Move up to n bytes. Returns how many (0: nothing waits, or no room), or -EPROTO when the peer's index is absurd. Whenever bytes were moved,
 * notify the peer: it may wait for bytes or for room.
 */
int xenstore_ring_read(struct xenstore_ring *r, void *buf, size_t n);
int xenstore_ring_write(struct xenstore_ring *r, const void *buf, size_t n);

#endif
