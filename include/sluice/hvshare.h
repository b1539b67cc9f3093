/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What sluiced shares with the privileged processes of domain 0 (hv_sluice in a back end), so that grants and events need no
 * trap. Two memfds come over the socket hv.sock when a process attaches: the machine memory (frame m at byte m << 12) and one
 * `struct hvshare`. Both sides trust each other (DESIGN.md section 4); guests see neither.
 *
 * Rules:
 *  - A domain's grant table and its `active` counts are used under that domain's grant_lock, by sluiced and by domain 0
 *    alike. Two domains: lower domid first. It is a robust mutex; whoever gets EOWNERDEAD repairs with hvshare_grants_repair
 *    (hypervisor/grant.c or hv_sluice.c, both through hvshare_grant.h) and goes on.
 *  - A frame is given away (freed, transferred) only under the owner's grant_lock and with no active count on a grant of it.
 *  - What a client holds mapped stands in its maptrack; when it dies, sluiced walks that and counts down.
 *  - sluiced writes dom0 port entries and the frame owners; clients only read them.
 */
#ifndef SLUICE_HVSHARE_H
#define SLUICE_HVSHARE_H

#include <pthread.h>
#include <sluice/abi.h>

#define HVSHARE_MAGIC 0x53485648u /* "HVHS" */
#define HVSHARE_VERSION 1u

#define HVSHARE_DOMAINS 256u       /* domids 1 .. 255; 0 is domain 0 */
#define HVSHARE_GRANT_FRAMES 64u   /* most grant frames of a domain, as Xen's default */
#define HVSHARE_GRANTS (HVSHARE_GRANT_FRAMES * 512u)
#define HVSHARE_CLIENTS 8u         /* attached processes */
#define HVSHARE_CHANNELS 8u        /* hv_evtchn objects of one client */
#define HVSHARE_PORTS 4096u        /* event channels of domain 0 */
#define HVSHARE_MAPTRACK 32768u    /* pages that one client can hold mapped */
#define HVSHARE_FRAMES (1u << 22)  /* most machine frames: 16 GiB */

/* Where a vCPU is, so that whoever raises an event knows how to wake it (hvshare_vcpu_kick in hvshare_event.h). */
enum hvshare_run {
	HVSHARE_RUN_HYPERVISOR, /* in sluiced: it looks at upcall_pending before it enters the guest */
	HVSHARE_RUN_GUEST,      /* in the guest: send SIGURG by its pidfd */
	HVSHARE_RUN_BLOCKED,    /* futex-waiting on run_state: set HYPERVISOR and wake */
};

struct hvshare_vcpu {
	uint32_t run_state; /* enum hvshare_run; a futex word */
	uint32_t generation; /* changes with each new vCPU in this slot: a pidfd belongs to one generation */
};

struct hvshare_domain {
	pthread_mutex_t grant_lock;    /* robust, process-shared */
	uint32_t alive;                /* domain exists and is not dying: grants and events may be used */
	uint32_t nr_grant_frames;
	uint64_t grant_mfn[HVSHARE_GRANT_FRAMES];
	uint64_t shared_info_mfn;      /* from type-stable frames: only ever reused as a shared_info page */
	struct hvshare_vcpu vcpu[1];   /* one vCPU a domain for now */
	/* Pins of each grant entry: low half how often it is mapped at all, high half how often writable. GTF_reading and
	 * GTF_writing in the guest's entry mirror "not 0". */
	uint32_t active[HVSHARE_GRANTS];
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

/* A page that a client has mapped. gref is valid while used. */
struct hvshare_map {
	uint32_t used;
	uint16_t domid;
	uint16_t readonly;
	uint32_t gref;
	uint32_t pad;
	uint64_t mfn;
};

struct hvshare_client {
	uint32_t used;
	struct hvshare_channel channel[HVSHARE_CHANNELS];
	struct hvshare_map map[HVSHARE_MAPTRACK];
};

struct hvshare {
	uint32_t magic, version;
	uint64_t machine_frames;
	struct hvshare_port port[HVSHARE_PORTS];
	struct hvshare_domain domain[HVSHARE_DOMAINS];
	struct hvshare_client client[HVSHARE_CLIENTS];
	uint16_t frame_owner[HVSHARE_FRAMES]; /* domid, or DOMID_INVALID for a frame that nobody may be given access to */
};

/* ---- hv.sock: SOCK_SEQPACKET, one request then one reply, privileged peers only (SO_PEERCRED) ---- */
enum hvsock_op {
	HVSOCK_ATTACH,        /* reply: client; fds: machine memory, hvshare */
	HVSOCK_CHANNEL_OPEN,  /* reply: channel; fds: eventfd that sluiced writes when the channel is armed and fires */
	HVSOCK_CHANNEL_CLOSE, /* channel */
	HVSOCK_BIND,          /* channel, domid, port (theirs); reply: port (ours); fds: pidfd of their vCPU 0 */
	HVSOCK_UNBIND,        /* port (ours) */
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
};

#endif
