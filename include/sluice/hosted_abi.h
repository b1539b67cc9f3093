/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Between sluiced and the process of a hosted domain: an ordinary program that is an unprivileged domain. It connects to <run_dir>/hosted.sock,
 * attaches, and gets its memory (a memfd that no other domain's memory is in) and a bell. The rest is Xen's ABI in that memory: shared_info, grant
 * table, XenStore ring. What a PV guest does by hypercall is a message, except to notify, which is a bit and a byte. The domain ends with the
 * connection. Users: hypervisor/hosted.c, guest-drivers/hosted/port_hosted.c.
 *
 * The bell is a stream socket; what its bytes are does not matter. Read and throw away what came, then look:
 *  - sluiced and domain 0 ring it when evtchn_upcall_pending of vCPU 0 becomes 1 while evtchn_upcall_mask is 0. So the process masks upcalls while it
 *    is awake and looks by itself; before it sleeps it unmasks them, and then looks once more.
 *  - The process rings it after it made `sel` of struct hosted_doorbell something other than 0.
 * sluiced trusts nothing of this: the memory is read once and bounded, as any guest's, and no work for a ring or a message is longer than its ports.
 */
#ifndef SLUICE_HOSTED_ABI_H
#define SLUICE_HOSTED_ABI_H

#include <sluice/abi.h>

#define HOSTED_VERSION 1u
#define HOSTED_PORTS 4096u        /* event channels: 2-level ABI */
#define HOSTED_GRANT_FRAMES 64u   /* all there from the start; memory that is not touched costs nothing */

/* What is where in the memory, by pfn. Machine frame of pfn n, as grants name it: first_mfn + n. Pages below the first free one are never granted,
 * but for the store's. */
enum hosted_pfn {
	HOSTED_PFN_SHARED_INFO,
	HOSTED_PFN_DOORBELL,
	HOSTED_PFN_STORE,
	HOSTED_PFN_GRANT,
	HOSTED_PFN_FREE = HOSTED_PFN_GRANT + HOSTED_GRANT_FRAMES,
};

/* Ports that the process notifies. Set the port's bit, then its word's in sel; if sel was 0, ring. */
struct hosted_doorbell {
	uint64_t sel;
	uint64_t port[HOSTED_PORTS / 64];
};

/* ---- hosted.sock: SOCK_SEQPACKET, one request then one reply ---- */
enum hosted_op {
	HOSTED_ATTACH,       /* version, name, nr_pages; reply: all members; fds: memory, bell. Once, and first */
	HOSTED_EVTCHN_ALLOC, /* domid (who may bind); reply: port */
	HOSTED_EVTCHN_CLOSE, /* port */
};

struct hosted_request {
	uint32_t op; /* enum hosted_op */
	uint32_t version;
	uint32_t domid, port;
	uint64_t nr_pages;
	char name[64]; /* with its NUL */
};

struct hosted_reply {
	int32_t rc; /* 0 or -errno; then error says why, in one line */
	uint32_t domid, port;
	uint32_t store_port;
	uint64_t first_mfn, nr_pages;
	char error[256];
};

SLUICE_ABI_SIZE(struct hosted_request, 88);
SLUICE_ABI_SIZE(struct hosted_reply, 288);

#endif
