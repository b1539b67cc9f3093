/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end for netfront's tests: honest calls for what a netback does, and the raw rings for what a lying one would. It runs in the test's own thread, on
 * hv_fake, as domain 0 for the guest of port_fake.
 */
#ifndef TESTS_NETBACK_SCRIPT_H
#define TESTS_NETBACK_SCRIPT_H

#include <backend/hv/hv_fake.h>
#include <rings/back_ring.h>

#define SCRIPT_DOMID 3
#define SCRIPT_FRONT "/local/domain/3/device/vif/0"
#define SCRIPT_BACK "/local/domain/0/backend/vif/3/0"

struct netback_script {
	struct hv *hv;
	struct hv_evtchn *channel;
	evtchn_t tx_port, rx_port; /* equal when not split */
	void *tx_page, *rx_page;
	struct back_ring tx, rx;
	bool connected;
};

/* What the toolstack writes for a vif; the back end's state is Initialising. */
void script_device(struct hv *hv);
/* A key below the back end's or the front end's node. */
void script_back(struct hv *hv, const char *key, const char *value);
void script_front(struct hv *hv, const char *key, const char *value);
/* -1 when it is absent or no number. */
long script_front_number(struct hv *hv, const char *key);

/* Map and bind what the front end has written; the state becomes Connected. 0 or -errno. */
int script_connect(struct netback_script *s, struct hv *hv);
/* The rings of one of several queues: dir is "queue-0/" and so on. The state is left alone. */
int script_connect_queue(struct netback_script *s, struct hv *hv, const char *dir);
/* Unmap and unbind; the state is left alone. */
void script_disconnect(struct netback_script *s);

/* Copy a granted page's bytes to or from the test. A GNTST_*. */
int script_copy_in(struct netback_script *s, gref_t gref, unsigned offset, void *dst, unsigned n);
int script_copy_out(struct netback_script *s, gref_t gref, unsigned offset, const void *src, unsigned n);

/* The next tx request, taken; false when there is none. */
bool script_tx_take(struct netback_script *s, struct netif_tx_request *req);
void script_tx_answer(struct netback_script *s, uint16_t id, int16_t status);
/* The next rx request, taken. */
bool script_rx_take(struct netback_script *s, struct netif_rx_request *req);
void script_rx_answer(struct netback_script *s, uint16_t id, uint16_t offset, uint16_t flags, int16_t status);
void script_rx_extra(struct netback_script *s, const struct netif_extra_info *extra);
/* Show the answers; notify where the front end asked for it. */
void script_push(struct netback_script *s);
/* One whole packet of one slot into the next posted page. */
void script_deliver(struct netback_script *s, const void *bytes, unsigned n);

#endif
