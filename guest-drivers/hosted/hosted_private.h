/* SPDX-License-Identifier: BSD-3-Clause */
/* What hosted.c (attaching, messages), hosted_pages.c, hosted_grant.c and port_hosted.c share. Nobody else includes it. */
#ifndef GUEST_HOSTED_PRIVATE_H
#define GUEST_HOSTED_PRIVATE_H

#include <sluice/hosted_abi.h>

#include "hosted.h"

/* The one domain of this process. */
struct hosted {
	bool attached, lost;
	int sock, bell, memory_fd, kick_fd;
	int watched[HOSTED_WATCHED_FDS];
	unsigned nr_watched;
	domid_t domid;
	uint8_t *memory; /* nr_pages, by pfn */
	uint64_t nr_pages;
	mfn_t first_mfn;
	evtchn_t store_port;
};
extern struct hosted hosted;

static inline void *hosted_page(pfn_t pfn)
{
	return hosted.memory + (pfn << SLUICE_PAGE_SHIFT);
}

/* One message and its reply. 0 or -errno; -EPIPE when sluiced has hung up, which is then known. */
int hosted_call(const struct hosted_request *req, struct hosted_reply *reply);
/* Say so, once. */
void hosted_set_lost(void);

/* hosted_pages.c: pages above HOSTED_PFN_FREE. */
int hosted_pages_init(void);
void hosted_pages_fini(void);

/* hosted_grant.c */
int hosted_grant_init(void);
void hosted_grant_fini(void);

/* port_hosted.c */
void hosted_events_init(void);

#endif
