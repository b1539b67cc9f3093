/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfront's end of the control ring (xen/io/netif.h): asks the back end to keep all our packet pages mapped, so that no packet costs a grant operation. One
 * message at a time, driven by netfront_step; packets flow meanwhile, and a back end that says no (Linux's does not know these messages) goes on copying.
 * Answers are not worth an event: they are looked for in each step. So an event says that a new back end has adopted our rings; it has none of our pages
 * mapped, and is asked again.
 */
#include "netfront_private.h"
#include <errno.h>

#define NO_EVENT 0x80000000u /* so far away that no answer comes near it */
#define LIST_MAX (SLUICE_PAGE_SIZE / sizeof(struct xen_netif_gref))

_Static_assert(2 * NETFRONT_BUFS <= LIST_MAX, "all our pages fit one message");

static void broken(struct netfront *nf, const char *why)
{
	if (!nf->broken)
		nf->broken = why;
}

static void ask(struct netfront *nf, uint16_t type, uint32_t d1, uint32_t d2)
{
	struct netfront_ctrl *c = &nf->ctrl;
	struct xen_netif_ctrl_request req = { .id = ++c->id, .type = type, .data = { 0, d1, d2 } }; /* data[0]: our only queue */

	c->asked = type;
	front_ring_put(&c->ring, &req, sizeof(req));
	shm_store(&c->ring.shared->rsp_event, c->ring.rsp_cons + NO_EVENT);
	if (front_ring_push(&c->ring))
		port_evtchn_notify(c->port);
}

/* As many of our pages as the back end keeps, those for sending first: they are read only. */
static void ask_to_add(struct netfront *nf, uint32_t room)
{
	uint32_t n = room < 2 * NETFRONT_BUFS ? room : 2 * NETFRONT_BUFS;

	for (uint32_t i = 0; i < n; i++) {
		bool tx = i < NETFRONT_BUFS;
		struct xen_netif_gref entry = { .ref = tx ? nf->tx_pool.gref[i] : nf->rx_pool.gref[i - NETFRONT_BUFS],
						.flags = tx ? XEN_NETIF_CTRLF_GREF_readonly : 0 };

		shm_copy_out((uint8_t *)nf->ctrl.list + i * sizeof(entry), &entry, sizeof(entry));
	}
	nf->ctrl.adding = n;
	if (n)
		ask(nf, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, nf->ctrl.list_ref, n);
}

static void answered(struct netfront *nf, const struct xen_netif_ctrl_response *rsp)
{
	uint16_t asked = nf->ctrl.asked;

	nf->ctrl.asked = 0;
	if (rsp->status != XEN_NETIF_CTRL_STATUS_SUCCESS)
		return;
	if (asked == XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE)
		ask_to_add(nf, rsp->data);
	else
		nf->stats.static_pages = nf->ctrl.adding;
}

void netfront_ctrl_step(struct netfront *nf)
{
	struct netfront_ctrl *c = &nf->ctrl;
	struct xen_netif_ctrl_response rsp;
	bool event = c->port && port_evtchn_take(c->port);
	int n;

	if (!c->port)
		return;
	if (!c->asked) {
		if (event || !c->id)
			ask(nf, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0);
		return;
	}
	n = front_ring_pending(&c->ring);
	if (n < 0)
		return broken(nf, "its control response index is out of range");
	if (!n)
		return;
	front_ring_read(&c->ring, 0, &rsp, sizeof(rsp));
	front_ring_consume(&c->ring, 1);
	if (rsp.id != c->id || rsp.type != c->asked)
		return broken(nf, "it answered a control message that was not sent");
	answered(nf, &rsp);
}

void netfront_ctrl_start(struct netfront *nf)
{
	front_ring_init(&nf->ctrl.ring, nf->ctrl.page, 1, sizeof(union xen_netif_ctrl_sring_entry));
	nf->ctrl.id = nf->ctrl.asked = 0;
}
