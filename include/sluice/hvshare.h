/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sluiced shares with the privileged processes of domain 0 (hv_sluice in a back end), so that grants and events need no
 * trap. Two memfds come over the socket hv.sock when a process attaches: the machine memory (frame m at byte m << 12) and one
 * `struct hvshare`. Both sides trust each other (DESIGN.md section 4); guests see neither.
 *
 * Rules:
 *  - A domain's grant table, its pins and the frame_use of its frames are used under that domain's grant_lock, by sluiced and
 *    by domain 0 alike, through hvshare_grant.h only. Two domains: lower domid first. It is a robust mutex: whoever finds that
 *    its holder died counts the pins anew from the maptracks and goes on.
 *  - A frame leaves its owner or becomes a page table only under the owner's grant_lock and with no pin that forbids it:
 *    hypervisor/mmu.c and memory.c call hvshare_frame_take, hvshare_frame_seal and hvshare_frame_unseal for that. A copy by
 *    domain 0 holds the lock but counts no pin, so a look at the pins without the lock proves nothing.
 *  - What a client holds mapped stands in its maptrack; when it dies, sluiced walks that and counts down.
 *  - The frames that others hold mapped of a dead domain stay with its domid, which is not given out again while nr_pins is
 *    not 0. A client that drops the last such pin says HVSOCK_RELEASED.
 *  - sluiced writes dom0 port entries and the frame owners; clients only read them.
 *  - A hosted domain (an ordinary process, hosted_abi.h) must not see the machine memory. Its frames have numbers of a window of their own,
 *    above the machine memory's, and lie in a memfd of its own, which sluiced maps there and a client too before it uses the domain
 *    (HVSOCK_MEMORY). memory_generation says which memory that is: it changes only while the domain is not alive and nothing is pinned.
 *    The window's first HVSHARE_DOMAINS frames are the shared_info pages, by domid, so that those too are only ever reused as such.
 */
#ifndef SLUICE_HVSHARE_H
#define SLUICE_HVSHARE_H

#include <pthread.h>
#include <sluice/abi.h>

#define HVSHARE_MAGIC 0x53485648u /* "HVHS" */
#define HVSHARE_VERSION 3u

#define HVSHARE_DOMAINS 256u       /* domids 1 .. 255; 0 is domain 0 */
#define HVSHARE_GRANT_FRAMES 64u   /* most grant frames of a domain, as Xen's default */
#define HVSHARE_GRANTS (HVSHARE_GRANT_FRAMES * 512u)
#define HVSHARE_CLIENTS 8u         /* attached processes */
#define HVSHARE_CHANNELS 8u        /* hv_evtchn objects of one client */
#define HVSHARE_PORTS 4096u        /* event channels of domain 0 */
#define HVSHARE_MAPTRACK 131072u   /* pages that one client can hold mapped: 250 vifs with static grants */
#define HVSHARE_GUEST_MAPS 8192u   /* pages that all guests together can hold mapped of each other */
#define HVSHARE_FRAMES (1u << 22)  /* most machine frames: 16 GiB */
#define HVSHARE_HOSTED_FIRST HVSHARE_FRAMES /* the window of hosted domains: as many again */
#define HVSHARE_ALL_FRAMES (2 * HVSHARE_FRAMES)

/* Where a vCPU is, so that whoever raises an event knows how to wake it (hvshare_vcpu_wake in hvshare_event.h). */
enum hvshare_run {
	HVSHARE_RUN_HYPERVISOR, /* in sluiced: it looks at upcall_pending before it enters the guest */
	HVSHARE_RUN_GUEST,      /* in the guest: send SIGURG by its pidfd */
	HVSHARE_RUN_BLOCKED,    /* futex-waiting on run_state: set HYPERVISOR and wake */
	HVSHARE_RUN_HOSTED,     /* no vCPU but a process: ring its bell, unless it says that it is awake (evtchn_upcall_mask) */
};

struct hvshare_vcpu {
	uint32_t run_state; /* enum hvshare_run; a futex word */
	uint32_t generation; /* changes with each new vCPU in this slot: a pidfd belongs to one generation */
};

/* Pins of one grant entry. GTF_reading and GTF_writing in the guest's entry mirror "not 0", and are also set during a copy. */
struct hvshare_pin {
	uint32_t count; /* how often mapped: HVSHARE_PIN_READ for each, HVSHARE_PIN_WRITE more for each writable one */
	uint32_t mfn;   /* the frame that the first pin found: later ones get the same, whatever the guest writes meanwhile */
};
#define HVSHARE_PIN_READ 1u
#define HVSHARE_PIN_WRITE (1u << 14)
#define HVSHARE_PIN_READS (HVSHARE_PIN_WRITE - 1)              /* mask of the count of all pins */
#define HVSHARE_PIN_WRITES (HVSHARE_PIN_READS << 14)           /* mask of the count of writable ones */

struct hvshare_domain {
	pthread_mutex_t grant_lock;    /* robust, process-shared */
	uint32_t alive;                /* domain exists and is not dying: grants and events may be used */
	uint32_t memory_generation;    /* of a hosted domain: no other memory ever had it; 0: its frames are in the machine memory */
	uint32_t nr_grant_frames;
	uint32_t nr_pins;              /* of all grants together */
	uint64_t grant_mfn[HVSHARE_GRANT_FRAMES];
	uint64_t shared_info_mfn;      /* from type-stable frames: only ever reused as a shared_info page */
	struct hvshare_vcpu vcpu[1];   /* one vCPU a domain for now */
	struct hvshare_pin pin[HVSHARE_GRANTS];
};

/* One end of an event channel of domain 0. */
enum hvshare_port_state { HVSHARE_PORT_FREE, HVSHARE_PORT_BOUND, HVSHARE_PORT_CLOSED /* other end is gone */ };

struct hvshare_port {
	uint32_t state; /* enum hvshare_port_state */
	uint16_t remote_domid;
	uint8_t client, channel; /* who hears it */
	uint32_t remote_port;
	uint32_t vcpu_generation; /* of the remote vCPU that the pidfd given at bind belongs to */
};

/* One hv_evtchn object: what fired, and whether its owner sleeps. */
struct hvshare_channel {
	uint64_t pending_sel;                    /* bit w: word w of pending is not 0 */
	uint64_t pending[HVSHARE_PORTS / 64];
	uint32_t armed;                          /* owner sleeps on the eventfd: whoever clears this writes the eventfd */
} __attribute__((aligned(64)));

/* A page that a client, or a guest, has mapped. The other members are valid while used, which is written last (first when it ends). */
struct hvshare_map {
	uint32_t used;
	uint16_t domid;  /* whose page */
	uint16_t holder; /* guest_map only: the guest that mapped it */
	uint32_t gref;
	uint16_t readonly;
	uint16_t flags;  /* guest_map only: GNTMAP_* of how it was mapped */
	uint64_t mfn;
};

struct hvshare_client {
	uint32_t used;
	struct hvshare_channel channel[HVSHARE_CHANNELS];
	struct hvshare_map map[HVSHARE_MAPTRACK];
};

/* Flags in frame_use. */
#define HVSHARE_FRAME_SEALED (1u << 28) /* a page table or descriptor table: never writable through a grant */
#define HVSHARE_FRAME_KEPT (1u << 29)   /* owner is dead, others hold it: grant.c frees it when they let go */
#define HVSHARE_FRAME_PINS (HVSHARE_PIN_READS | HVSHARE_PIN_WRITES)

struct hvshare {
	uint32_t magic, version;
	uint64_t machine_frames;
	struct hvshare_port port[HVSHARE_PORTS];
	struct hvshare_domain domain[HVSHARE_DOMAINS];
	struct hvshare_client client[HVSHARE_CLIENTS];
	struct hvshare_map guest_map[HVSHARE_GUEST_MAPS]; /* what guests hold mapped of each other, written by sluiced */
	uint16_t frame_owner[HVSHARE_ALL_FRAMES]; /* domid; 0 or DOMID_INVALID for a frame that nobody may be given access to */
	uint32_t frame_use[HVSHARE_ALL_FRAMES];   /* pins (counted as in hvshare_pin) and the flags below; under the owner's grant_lock */
};

/* ---- hv.sock: SOCK_SEQPACKET, one request then one reply, privileged peers only (SO_PEERCRED) ---- */
enum hvsock_op {
	HVSOCK_ATTACH,        /* reply: client; fds: machine memory (HVSHARE_ALL_FRAMES, sparse), hvshare */
	HVSOCK_CHANNEL_OPEN,  /* reply: channel; fds: eventfd that sluiced writes when the channel is armed and fires */
	HVSOCK_CHANNEL_CLOSE, /* channel */
	HVSOCK_BIND,          /* channel, domid, port (theirs); reply: port (ours); fds: pidfd of their vCPU 0, or a hosted domain's bell */
	HVSOCK_UNBIND,        /* port (ours) */
	HVSOCK_RELEASED,      /* the last pin of a dead domain is gone: sluiced calls grant_sweep_dead */
	HVSOCK_MEMORY,        /* domid; reply: generation and, unless that is 0, first, frames; fds: its memory */
};

struct hvsock_request {
	uint32_t op; /* enum hvsock_op */
	uint32_t channel;
	uint32_t domid;
	uint32_t port;
};

struct hvsock_reply {
	int32_t rc; /* 0 or -errno */
	uint32_t client, channel, port;
	uint32_t generation;
	uint64_t first, frames; /* memory of a hosted domain: its pfn n is frame first + n */
};

#endif
