/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A real guest whose every move is typed on its console (guest-drivers/kernel/puppet.c). For the tests of the providers that have real guests: they make one
 * and open its console in their own way, and put these functions into their hv_peer_ops.
 */
#ifndef TESTS_CONTRACT_HV_SUITE_PUPPET_H
#define TESTS_CONTRACT_HV_SUITE_PUPPET_H

#include "suite.h"

#define PUPPETS 256u /* domids are below */

/* fd is the guest's console, ours from now on; an answer may take answer_ms. */
void puppet_open(domid_t domid, int fd, int answer_ms);
/* Wait until it is up. 0 or -EIO. */
int puppet_ready(domid_t domid);
void puppet_close(domid_t domid); /* fine when it is not open */

int puppet_page(struct hv_peer *p, domid_t domid, unsigned *n);
int puppet_poke(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset, uint8_t byte, unsigned count);
int puppet_peek(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset);
int puppet_grant(struct hv_peer *p, domid_t domid, unsigned n, domid_t to, bool readonly, gref_t *gref);
int puppet_ungrant(struct hv_peer *p, domid_t domid, gref_t gref);
int puppet_evtchn(struct hv_peer *p, domid_t domid, domid_t remote, evtchn_t *port);
int puppet_send(struct hv_peer *p, domid_t domid, evtchn_t port);
int puppet_take(struct hv_peer *p, domid_t domid, evtchn_t port);
int puppet_close_port(struct hv_peer *p, domid_t domid, evtchn_t port);
int puppet_store(struct hv_peer *p, domid_t domid, const char *path, const char *value);

#define PUPPET_MOVES \
	.page = puppet_page, .poke = puppet_poke, .peek = puppet_peek, .grant = puppet_grant, .ungrant = puppet_ungrant, .evtchn = puppet_evtchn, \
	.send = puppet_send, .take = puppet_take, .close = puppet_close_port, .store = puppet_store

#endif
