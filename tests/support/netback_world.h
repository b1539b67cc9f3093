/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole back end in a test: hv_fake, DPDK without devices, a bridge, the poller and the network devices. The test turns the poller by hand.
 */
#ifndef TESTS_NETBACK_WORLD_H
#define TESTS_NETBACK_WORLD_H

#include "fake_guest.h"
#include <backend/netback.h>

struct world {
	struct hv *hv;
	struct netback nb;
	struct devices *devices;
	unsigned pool_free; /* mbufs in the pool when nothing is under way */
};

/* How many lcores a back end has, each but the first in a thread of its own; 0 is 1. Set before world_create. */
extern unsigned world_lcores;

/* Starts DPDK, once per process; world_create does it too. */
void world_start_eal(void);
void world_create(struct world *w);
/* Asserts that no mapping, event channel or mbuf is left behind. */
void world_destroy(struct world *w);
/* The back end alone: as when its process ends and another starts, the guests being as they were. */
void world_start_backend(struct world *w);
void world_stop_backend(struct world *w);

/* Rounds of the poller until nothing moves any more: all that the store and the rings hold is dealt with. */
void world_settle(struct world *w);
/* Rounds for so long. */
void world_run_ms(struct world *w, unsigned ms);

/* A domain with one vif, connected. */
void world_add_guest(struct world *w, struct fake_guest *g, domid_t domid);
struct netback_vif *world_vif(struct world *w, const struct fake_guest *g);

/* A frame from guest `from` to guest `to` (MAC addresses after the domid), len bytes, with a pattern after its header. */
void world_frame(uint8_t *frame, uint32_t len, domid_t from, domid_t to);
/* IPv4 or IPv6 and TCP headers for a frame of len bytes; the checksum field holds the pseudo-header's sum as a front end writes it. */
void world_tcp(uint8_t *frame, uint32_t len, bool v6);
/* a sends one frame to b, b receives exactly that; and the other way round. */
void world_assert_traffic(struct world *w, struct fake_guest *a, struct fake_guest *b);

#endif
