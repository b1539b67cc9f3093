/* SPDX-License-Identifier: BSD-3-Clause */
/* What hv_sluice.c (attachment), hv_sluice_grant.c, hv_sluice_memory.c and hv_sluice_event.c share. Nobody else includes it. */
#ifndef BACKEND_HV_SLUICE_PRIVATE_H
#define BACKEND_HV_SLUICE_PRIVATE_H

#include <pthread.h>
#include <sluice/hvshare_grant.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "hv_store.h"

struct sluice_evtchn {
	struct hv_evtchn base;
	unsigned channel;
	int fd; /* eventfd that sluiced writes when the channel is armed and fires */
};

/* A ring mapped by map_ring: a second, contiguous mapping of pinned frames. */
struct sluice_ring {
	LIST_ENTRY(sluice_ring) next;
	void *va;
	unsigned n;
	uint32_t handle[]; /* of each page */
};

/* The memory of a hosted domain, as this process has it mapped in the window. */
struct sluice_memory {
	uint32_t generation; /* as hvshare_domain.memory_generation was; 0: none. Written last */
	int fd;
	mfn_t first;
	uint64_t frames;
};

struct hv_sluice {
	struct hv_store store; /* first: it has the struct hv */
	struct hvshare_view view;
	struct hvshare_client *me;
	unsigned client;
	int machine_fd;
	size_t machine_bytes;

	pthread_mutex_t call_lock; /* one request on the socket at a time */
	int sock;
	bool lost;                 /* sluiced is gone, and that was said */

	pthread_mutex_t map_lock;  /* what follows */
	uint32_t free_handle[HVSHARE_MAPTRACK];
	unsigned nr_free;
	LIST_HEAD(, sluice_ring) rings;

	pthread_mutex_t memory_lock; /* taken to change memory[] */
	struct sluice_memory memory[HVSHARE_DOMAINS];
	unsigned nr_memories;

	struct sluice_evtchn *evtchn[HVSHARE_CHANNELS];
	int wake_fd_plus_1[HVSHARE_PORTS]; /* pidfd of the vCPU at the other end, or bell of a hosted domain; 0: none. Written and read by the thread that owns the port */
};

#define HV_SLUICE_FDS 2

static inline struct hv_sluice *hv_sluice_of(struct hv *hv)
{
	return (struct hv_sluice *)hv;
}

/* Ask sluiced. fds: HV_SLUICE_FDS places, -1 where none came. 0, -errno of the request, or -ENOTCONN when sluiced is gone. */
int hv_sluice_call(struct hv_sluice *s, const struct hvsock_request *req, struct hvsock_reply *reply, int fds[HV_SLUICE_FDS]);
void hv_sluice_close_fds(int fds[HV_SLUICE_FDS]);

/* hv_sluice_memory.c: hosted domains' memory is mapped when it is first needed. The rest of the machine memory always is. */
/* Is what we have mapped for domid its memory? Under its grant_lock the answer holds for as long as it is alive. */
static inline bool hv_sluice_memory_current(const struct hv_sluice *s, domid_t domid)
{
	return __atomic_load_n(&s->view.share->domain[domid].memory_generation, __ATOMIC_ACQUIRE) ==
	       __atomic_load_n(&s->memory[domid].generation, __ATOMIC_ACQUIRE);
}
/* Make it so. No grant_lock may be held: sluiced answers, and it takes them. 0 or -errno: -ESRCH for a domain that is gone. */
int hv_sluice_memory_map(struct hv_sluice *s, domid_t domid);
/* Let go of memories whose domains are gone. */
void hv_sluice_memory_trim(struct hv_sluice *s);
void hv_sluice_memory_fini(struct hv_sluice *s);
/* Where a pinned frame of domid can be mapped from a second time. */
int hv_sluice_memory_fd(const struct hv_sluice *s, domid_t domid, mfn_t mfn, off_t *offset);

/* hv_sluice_grant.c */
void hv_sluice_grant_init(struct hv_sluice *s);
void hv_sluice_grant_fini(struct hv_sluice *s); /* lets go of everything that is mapped */
int hv_sluice_map(struct hv *hv, struct hv_map_op *ops, unsigned n);
int hv_sluice_unmap(struct hv *hv, struct hv_unmap_op *ops, unsigned n);
int hv_sluice_map_ring(struct hv *hv, domid_t domid, const gref_t *grefs, unsigned n, void **va);
void hv_sluice_unmap_ring(struct hv *hv, void *va, unsigned n);
int hv_sluice_copy(struct hv *hv, struct hv_copy_op *ops, unsigned n);

/* hv_sluice_event.c */
int hv_sluice_evtchn_open(struct hv *hv, struct hv_evtchn **out);
void hv_sluice_evtchn_close(struct hv_evtchn *e);
int hv_sluice_evtchn_fd(struct hv_evtchn *e);
int hv_sluice_evtchn_bind(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port);
int hv_sluice_evtchn_unbind(struct hv_evtchn *e, evtchn_t port);
int hv_sluice_evtchn_notify(struct hv_evtchn *e, evtchn_t port);
unsigned hv_sluice_evtchn_pending(struct hv_evtchn *e, evtchn_t *ports, unsigned max, bool arm);

#endif
