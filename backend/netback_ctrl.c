/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vif's control ring: hashing, and the static grants of its queues (xen/io/netif.h, "Control messages"). rings/net_ctrl.c says what a message means; here it
 * is taken from the ring, its page is copied, it is carried out and answered. Connected by netback_connect.c, polled by the poller.
 *
 * Mapping pages takes its time, and a guest can ask for it without end: one message a turn, and after it all control rings together rest for four times as
 * long as it took. A guest whose control ring cannot be connected has none: its packets are copied.
 */
#include "netback.h"
#include <errno.h>
#include <rte_cycles.h>
#include <string.h>

#define REST_FACTOR 4u

static struct netback_vif *vif_of(struct netback_ctrl *c)
{
	return (struct netback_vif *)((char *)c - offsetof(struct netback_vif, ctrl));
}

/* Between the guest's page and the private list; false when the guest has not granted it so. */
static bool copy_page(struct netback_vif *vif, const struct net_ctrl_page *page, bool to_guest)
{
	struct hv_copy_end own = {.local = vif->nb->ctrl->list}, guest = {.domid = vif->domid, .gref = page->gref};
	struct hv_copy_op op = {.src = to_guest ? own : guest, .dst = to_guest ? guest : own, .len = (uint16_t)page->bytes};

	return page->bytes == 0 || (vif->nb->hv->ops->copy(vif->nb->hv, &op, 1) == 0 && op.status == GNTST_okay);
}

static uint32_t del_grants(struct netback_vif *vif, const struct xen_netif_ctrl_request *req, const struct net_ctrl_page *page, uint32_t *out)
{
	*out = static_grants_del(&vif->queue[req->data[0]].grants, vif->nb->hv, vif->nb->ctrl, req->data[2]);
	return copy_page(vif, page, true) ? XEN_NETIF_CTRL_STATUS_SUCCESS : XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
}

/* Carry out one message; its status, and the answer's data in *out. */
static uint32_t carry_out(struct netback_vif *vif, const struct xen_netif_ctrl_request *req, uint32_t *out)
{
	struct netback *nb = vif->nb;
	struct net_ctrl_page page;
	uint32_t status = net_ctrl_check(&vif->ctrl.hash, req, vif->nr_queues, &page);

	*out = 0;
	if (status != XEN_NETIF_CTRL_STATUS_SUCCESS)
		return status;
	if (!copy_page(vif, &page, false))
		return XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER;
	switch (req->type) {
	case XEN_NETIF_CTRL_TYPE_GET_GREF_MAPPING_SIZE:
		*out = STATIC_GRANTS_MAX;
		return XEN_NETIF_CTRL_STATUS_SUCCESS;
	case XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING:
		return static_grants_add(&vif->queue[req->data[0]].grants, nb->hv, vif->domid, nb->ctrl, req->data[2]) ?
			       XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER : XEN_NETIF_CTRL_STATUS_SUCCESS;
	case XEN_NETIF_CTRL_TYPE_DEL_GREF_MAPPING:
		return del_grants(vif, req, &page, out);
	default:
		return net_ctrl_hash_apply(&vif->ctrl.hash, req, vif->nr_queues, nb->ctrl->list, out);
	}
}

static void answer_one(struct netback_vif *vif)
{
	struct back_ring *ring = &vif->ctrl.ring;
	struct xen_netif_ctrl_request req;
	struct xen_netif_ctrl_response rsp = {0};

	back_ring_read(ring, 0, &req, sizeof(req));
	back_ring_consume(ring, 1);
	rsp.id = req.id;
	rsp.type = req.type;
	poller_pause(vif->nb->poller); /* other lcores look into what it changes */
	rsp.status = carry_out(vif, &req, &rsp.data);
	poller_resume(vif->nb->poller);
	back_ring_put(ring, &rsp, sizeof(rsp));
	if (back_ring_push(ring))
		poller_notify(vif->nb->poller, vif->ctrl.port);
}

static unsigned ctrl_poll(struct poll_item *item)
{
	struct netback_vif *vif = vif_of((struct netback_ctrl *)item);
	uint64_t from = rte_rdtsc(), to;
	int pending;

	if (!vif->queue[0].live || from < vif->nb->ctrl_rest_until)
		return 0;
	pending = back_ring_pending(&vif->ctrl.ring);
	if (pending < 0)
		netback_queue_broken(&vif->queue[0], "the guest's control index is out of range");
	if (pending <= 0)
		return 0;
	answer_one(vif);
	to = rte_rdtsc();
	vif->nb->ctrl_rest_until = to + REST_FACTOR * (to - from);
	return 1;
}

static bool ctrl_arm(struct poll_item *item)
{
	struct netback_vif *vif = vif_of((struct netback_ctrl *)item);
	int pending;

	if (!vif->queue[0].live)
		return false;
	pending = back_ring_arm(&vif->ctrl.ring);
	if (pending < 0)
		netback_queue_broken(&vif->queue[0], "the guest's control index is out of range");
	return pending > 0;
}

int netback_ctrl_connect(struct netback_vif *vif, gref_t gref, evtchn_t remote)
{
	struct netback_ctrl *c = &vif->ctrl;
	struct hv *hv = vif->nb->hv;
	int rc = hv->ops->map_ring(hv, vif->domid, &gref, 1, &c->page);

	if (rc)
		return rc;
	rc = back_ring_attach(&c->ring, c->page, 1, sizeof(net_ctrl_slot));
	if (rc)
		goto unmap;
	c->item.poll = ctrl_poll;
	c->item.arm = ctrl_arm;
	rc = poller_bind(vif->nb->poller, &c->item, vif->domid, remote, &c->port);
	if (rc)
		goto unmap;
	poller_activate(vif->nb->poller, &c->item);
	poller_notify(vif->nb->poller, c->port); /* to a guest that had another back end before: none of its pages is mapped here */
	return 0;

unmap:
	hv->ops->unmap_ring(hv, c->page, 1);
	c->page = NULL;
	return rc;
}

void netback_ctrl_disconnect(struct netback_vif *vif)
{
	struct netback_ctrl *c = &vif->ctrl;
	struct hv *hv = vif->nb->hv;

	for (unsigned i = 0; i < NETBACK_QUEUES; i++)
		static_grants_fini(&vif->queue[i].grants, hv, vif->nb->ctrl);
	if (!c->page)
		return;
	poller_unbind(vif->nb->poller, c->port);
	poller_remove(vif->nb->poller, &c->item);
	hv->ops->unmap_ring(hv, c->page, 1);
	*c = (struct netback_ctrl){.page = NULL};
}
