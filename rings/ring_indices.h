/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared header of a netif or blkif ring (xen/io/ring.h), and its geometry. back_ring.h and front_ring.h are the two views of it. Only
 * published indices live here: each side keeps its own in private memory, and reads the other's once before it bounds and uses it.
 */
#ifndef RINGS_RING_INDICES_H
#define RINGS_RING_INDICES_H

#include <errno.h>
#include <sluice/abi.h>
#include <sluice/shm.h>

struct ring_indices {
	uint32_t req_prod;  /* front end: requests written */
	uint32_t req_event; /* back end: notify me when req_prod reaches this */
	uint32_t rsp_prod;  /* back end: responses written */
	uint32_t rsp_event; /* front end: notify me when rsp_prod reaches this */
};

SLUICE_ABI_AT(struct netif_tx_sring, req_event, offsetof(struct ring_indices, req_event));
SLUICE_ABI_AT(struct netif_tx_sring, rsp_prod, offsetof(struct ring_indices, rsp_prod));
SLUICE_ABI_AT(struct netif_tx_sring, rsp_event, offsetof(struct ring_indices, rsp_event));

/* Slots in a ring of so many pages: the largest power of two that fits, as __RING_SIZE has it; 0 when not even one does. */
static inline uint32_t ring_slots(unsigned pages, size_t slot_size)
{
	size_t room = (size_t)pages * SLUICE_PAGE_SIZE;

	if (room <= SLUICE_RING_HEADER || !slot_size || slot_size > room - SLUICE_RING_HEADER)
		return 0;
	return 1u << (31 - __builtin_clz((uint32_t)((room - SLUICE_RING_HEADER) / slot_size)));
}

/* True when moving an index from `old` to `now` passed the event at which the other side asked to be woken. */
static inline bool ring_crossed(uint32_t old, uint32_t now, uint32_t event)
{
	return now - event < now - old;
}

#endif
