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
#define LIST_MAX (SLUICE_PAGE_SIZE / sizeof(struct xen_netif_gref)) /* pages in one message */

static void ask(struct netfront *nf, uint16_t type, uint32_t d1, uint32_t d2)
{
	struct netfront_ctrl *c = &nf->ctrl;
	struct xen_netif_ctrl_request req = { .id = ++c->id, .type = type, .data = { c->queue, d1, d2 } };

	c->asked = type;
	front_ring_put(&c->ring, &req, sizeof(req));
	shm_store(&c->ring.shared->rsp_event, c->ring.rsp_cons + NO_EVENT);
	if (front_ring_push(&c->ring))
		port_evtchn_notify(c->port);
}

/* The queues take turns: how many pages it keeps of each, then which. */
static void ask_size(struct netfront *nf, uint32_t queue)
{
	nf->ctrl.queue = queue;
	if (queue < nf->nr_queues)
		ask(nf, XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, 0, 0);
}

/* A queue's pages, those for sending first: they are read only. */
static struct xen_netif_gref page_entry(const struct netfront_queue *q, uint32_t i)
{
	if (i < NETFRONT_TX_BUFS)
		return (struct xen_netif_gref){ .ref = q->tx_pool.gref[i], .flags = XEN_NETIF_CTRLF_GREF_readonly };
	return (struct xen_netif_gref){ .ref = q->rx_pool.gref[i - NETFRONT_TX_BUFS] };
}

/* It has all pages of this queue that it keeps. */
static void queue_done(struct netfront *nf)
{
	nf->stats.static_pages += nf->ctrl.added;
	ask_size(nf, nf->ctrl.queue + 1);
}

/* The next of the queue's pages, as many as one message names. */
static void ask_to_add(struct netfront *nf)
{
	struct netfront_ctrl *c = &nf->ctrl;
	uint32_t n = c->room - c->added < LIST_MAX ? c->room - c->added : LIST_MAX;

	for (uint32_t i = 0; i < n; i++) {
		struct xen_netif_gref entry = page_entry(&nf->queue[c->queue], c->added + i);

		shm_copy_out((uint8_t *)c->list + i * sizeof(entry), &entry, sizeof(entry));
	}
	c->adding = n;
	if (n)
		ask(nf, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, c->list_ref, n);
	else
		queue_done(nf);
}

static void answered(struct netfront *nf, const struct xen_netif_ctrl_response *rsp)
{
	struct netfront_ctrl *c = &nf->ctrl;
	bool size = c->asked == XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE, yes = rsp->status == XEN_NETIF_CTRL_STATUS_SUCCESS;

	c->asked = 0;
	if (!yes && size)
		return;
	if (!yes && !c->partly)
		return queue_done(nf);
	if (size) {
		c->room = rsp->data < NETFRONT_PAGES ? rsp->data : NETFRONT_PAGES;
		c->added = 0;
	} else {
		c->added += c->adding;
	}
	ask_to_add(nf);
}

static void begin(struct netfront *nf)
{
	nf->ctrl.partly = nf->ctrl.again;
	nf->ctrl.again = false;
	nf->stats.static_pages = 0;
	ask_size(nf, 0);
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
		if (event || c->again || !c->id)
			begin(nf);
		return;
	}
	c->again |= event;
	n = front_ring_pending(&c->ring);
	if (n < 0)
		return netfront_broken(nf, "its control response index is out of range");
	if (!n)
		return;
	front_ring_read(&c->ring, 0, &rsp, sizeof(rsp));
	front_ring_consume(&c->ring, 1);
	if (rsp.id != c->id || rsp.type != c->asked)
		return netfront_broken(nf, "it answered a control message that was not sent");
	answered(nf, &rsp);
}

void netfront_ctrl_start(struct netfront *nf)
{
	front_ring_init(&nf->ctrl.ring, nf->ctrl.page, 1, sizeof(union xen_netif_ctrl_sring_entry));
	nf->ctrl.id = nf->ctrl.asked = 0;
	nf->ctrl.again = nf->ctrl.partly = false;
}
