/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Xen's public ABI, from the headers of libxen-dev, with what we rely on asserted (FACTS.md section 9). Everything that
 * speaks to another domain includes this file and nothing else of Xen's. Compiles hosted and freestanding.
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <sluice/types.h>

#define __XEN_INTERFACE_VERSION__ 0x00040e00
#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/elfnote.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define xen_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define xen_rmb() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define xen_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/protocols.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

/* The indices of a shared ring take the first 64 bytes of its first page; slots follow (xen/io/ring.h). */
#define SLUICE_RING_HEADER 64u

#define SLUICE_ABI_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " is not " #bytes " bytes")
#define SLUICE_ABI_AT(type, member, at) _Static_assert(offsetof(type, member) == (at), #type "." #member " is not at " #at)

SLUICE_ABI_SIZE(struct netif_tx_request, 12);
SLUICE_ABI_SIZE(struct netif_tx_response, 4);
SLUICE_ABI_SIZE(struct netif_rx_request, 8);
SLUICE_ABI_SIZE(struct netif_rx_response, 8);
SLUICE_ABI_SIZE(struct netif_extra_info, 8);
SLUICE_ABI_AT(struct netif_tx_sring, ring, SLUICE_RING_HEADER);
SLUICE_ABI_AT(struct netif_rx_sring, ring, SLUICE_RING_HEADER);
SLUICE_ABI_SIZE(struct blkif_request, 112);
SLUICE_ABI_SIZE(struct blkif_response, 16);
SLUICE_ABI_AT(struct blkif_sring, ring, SLUICE_RING_HEADER);
SLUICE_ABI_SIZE(struct xsd_sockmsg, 16);
SLUICE_ABI_SIZE(grant_entry_v1_t, 8);
SLUICE_ABI_AT(struct shared_info, evtchn_pending, 2048);
SLUICE_ABI_AT(struct shared_info, evtchn_mask, 2560);
SLUICE_ABI_SIZE(struct vcpu_info, 64);
SLUICE_ABI_SIZE(struct vcpu_time_info, 32);
SLUICE_ABI_SIZE(struct iret_context, 72);

#define SLUICE_GRANTS_PER_FRAME (SLUICE_PAGE_SIZE / sizeof(grant_entry_v1_t))

#endif
