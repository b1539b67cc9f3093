/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port.h for tests: a guest of hv_fake in this process, with a small XenStore daemon that speaks the wire protocol over hv_fake's tree. Time is a counter:
 * waiting moves it on. Nothing here blocks.
 */
#ifndef TESTS_PORT_FAKE_H
#define TESTS_PORT_FAKE_H

#include <backend/hv/hv_fake.h>
#include <sluice/port.h>

/* The one guest that port.h stands for: a fresh domain of hv. */
void port_fake_open(struct hv *hv, domid_t domid);
/* Ends it; hv is still the caller's. */
void port_fake_close(void);

/* What the rest of the world does whenever the guest waits; NULL: nothing. */
void port_fake_set_world(void (*step)(void *arg), void *arg);

/* ---- faults ---- */
struct port_fake_faults {
	unsigned lose_replies;     /* so many requests get no answer */
	unsigned stale_replies;    /* before each of the next answers comes one to a request that nobody made */
	unsigned conflicts;        /* so many transactions end with EAGAIN */
	unsigned fail_grants_after; /* this many more grants succeed, then -ENOSPC; 0: all succeed */
	size_t chunk;              /* the stream moves at most so many bytes a call; 0: no limit */
};
extern struct port_fake_faults port_fake_faults;

/* Put a raw message into the stream to the guest. */
void port_fake_inject(uint32_t type, uint32_t req_id, uint32_t claimed_len, const void *body, size_t n);

/* ---- what there is ---- */
unsigned port_fake_pages(void);    /* pages and heap blocks that the guest has not freed */
unsigned port_fake_grants(void);   /* grants not ended */
unsigned port_fake_ports(void);    /* event channels not closed */
unsigned port_fake_notifies(void); /* notifications sent since the last call */
unsigned port_fake_errors(void);   /* lines logged at PORT_LOG_ERROR */

#endif
