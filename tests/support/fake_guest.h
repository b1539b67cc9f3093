/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A netfront that a test drives by hand, in a domain of hv_fake. It can do everything right, and lie at every field: what it puts on its rings and into the
 * store is up to the test. Used by tests/unit/backend and tests/hostile.
 */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <backend/hv/hv_fake.h>
#include <rings/front_ring.h>
#include <rings/net_ctrl.h>
#include <rings/net_slots.h>

#define FAKE_GUEST_BUFFERS 256u

/* Guests offer a control ring and add all their buffers as static grants when they connect. Set before world_create; kept by all guests of a process. */
extern bool fake_guest_static;

#define FAKE_GUEST_LISTS 64u /* ADD messages of so many at most; each list has its page */

struct fake_guest {
	struct hv *hv;
	domid_t domid;
	unsigned devid;
	bool split, gso, no_csum, no_sg; /* what it will write; set between init and connect */
	/* the rings and their pages */
	void *tx_page, *rx_page;
	gref_t tx_ring_gref, rx_ring_gref;
	evtchn_t tx_port, rx_port;
	struct front_ring tx, rx;
	/* one page for each slot, all granted */
	uint8_t *tx_buffers, *rx_buffers;
	gref_t tx_gref[FAKE_GUEST_BUFFERS], rx_gref[FAKE_GUEST_BUFFERS];
	unsigned next_tx; /* next tx buffer to use */
	/* the control ring, when it has one */
	bool ctrl;
	void *ctrl_page;
	gref_t ctrl_ring_gref;
	evtchn_t ctrl_port;
	struct front_ring ctrl_ring;
	uint8_t *lists; /* pages for messages, all granted */
	gref_t list_gref[FAKE_GUEST_LISTS];
	/* what came back */
	unsigned tx_ok, tx_errors;
};

/* What the toolstack writes for a vif, as libxl does, in both trees; and takes away. extra: NULL, or "key=value" for the back end's node. */
void toolstack_add_vif(struct hv *hv, domid_t domid, unsigned devid, const char *extra);
void toolstack_remove_vif(struct hv *hv, domid_t domid, unsigned devid);

/* Makes the domain when there is none, its pages and their grants. */
void fake_guest_init(struct fake_guest *g, struct hv *hv, domid_t domid, unsigned devid);

/* Fresh rings, granted, with event channels; posts every rx buffer. */
void fake_guest_rings(struct fake_guest *g);
/* Put one message on the control ring; publish with fake_guest_ctrl_push. */
void fake_guest_ctrl_put(struct fake_guest *g, uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2);
void fake_guest_ctrl_push(struct fake_guest *g);
/* The next answer, taken; false when there is none. */
bool fake_guest_ctrl_take(struct fake_guest *g, struct xen_netif_ctrl_response *rsp);
/* Page i for lists. */
struct xen_netif_gref *fake_guest_list(struct fake_guest *g, unsigned i);
/* Write one key below device/vif/<devid>. */
void fake_guest_key(struct fake_guest *g, const char *key, const char *value);
void fake_guest_number(struct fake_guest *g, const char *key, unsigned value);
/* All the keys of a front end, but not its state. */
void fake_guest_keys(struct fake_guest *g);
/* The keys of its rings and event channels, each with `prefix` before it ("queue-1/"). */
void fake_guest_queue_keys(struct fake_guest *g, const char *prefix);
void fake_guest_state(struct fake_guest *g, enum xenbus_state state);
/* rings, keys, Connected. */
void fake_guest_connect(struct fake_guest *g);
/* A vif with n queues is an array of n of them, all made by fake_guest_init with the same domid and devid: rings, keys, Connected. The first has the
 * control ring. */
void fake_guest_connect_queues(struct fake_guest *g, unsigned n);
/* The same without the state. */
void fake_guest_rings_queues(struct fake_guest *g, unsigned n);
/* Take the rings' grants and ports back; asserts that nobody uses them any more. */
void fake_guest_disconnect(struct fake_guest *g);

/* The back end's state as this guest sees it, -1 when the key is not there. */
int fake_guest_backend_state(struct fake_guest *g);

/* Copies a frame into its buffers, at most `chunk` bytes in each (0: 4096), and sends it; p gives flags and GSO. */
void fake_guest_send(struct fake_guest *g, const void *frame, uint32_t len, unsigned chunk, const struct net_packet *p);
/* Puts n slots as they are and publishes them. */
void fake_guest_send_slots(struct fake_guest *g, const net_tx_slot *slots, unsigned n);
/* A good one-slot request for `len` bytes of buffer i. */
net_tx_slot fake_guest_slot(struct fake_guest *g, unsigned i, uint16_t len);
uint8_t *fake_guest_tx_buffer(struct fake_guest *g, unsigned i);
/* Takes all tx responses; counts them in tx_ok and tx_errors. How many. */
unsigned fake_guest_take_tx(struct fake_guest *g);

/* Post n rx buffers; each is its slot's own. */
void fake_guest_post(struct fake_guest *g, unsigned n);
/* Next received packet: its bytes to out; its length, 0 when there is none, -1 for one that is marked bad. With `post`, its buffers are given back. */
int fake_guest_receive(struct fake_guest *g, uint8_t *out, size_t max, struct net_packet *p, bool post);

#endif
