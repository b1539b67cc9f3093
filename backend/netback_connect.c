/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vif's handshake: what we offer, what the guest's keys say, and the way from there to a port of the bridge and back. device.c drives it through
 * netback_class; the data paths are netback_tx.c and netback_rx.c. Each key of the guest is read once.
 */
#include "netback.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GREF_MAX 0xffffffu
#define PORT_MAX ((1u << 17) - 1)

/* ---- the poller's side of a queue ---- */

static unsigned queue_poll(struct poll_item *item)
{
	struct netback_queue *q = (struct netback_queue *)item;
	unsigned n = netback_tx_burst(q);

	return n + netback_rx_poll(q);
}

static bool queue_arm(struct poll_item *item)
{
	struct netback_queue *q = (struct netback_queue *)item;
	bool tx = netback_tx_arm(q), rx = netback_rx_arm(q);

	return tx || rx;
}

void netback_queue_broken(struct netback_queue *q, const char *why)
{
	struct netback_vif *vif = q->vif;
	const char *none = NULL;

	__atomic_store_n(&q->live, false, __ATOMIC_RELAXED);
	__atomic_compare_exchange_n(&vif->why, &none, why, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	poller_kick(vif->nb->poller, &vif->fault);
}

static unsigned fault_poll(struct poll_item *item)
{
	struct netback_vif *vif = (struct netback_vif *)((char *)item - offsetof(struct netback_vif, fault));
	const char *why = __atomic_exchange_n(&vif->why, NULL, __ATOMIC_ACQUIRE);

	if (why)
		device_fail(vif->dev, EPROTO, why);
	return 0;
}

static bool fault_arm(struct poll_item *item)
{
	(void)item;
	return false;
}

/* ---- what we offer ---- */

static const struct {
	const char *key;
	uint32_t value;
} features[] = {
	{"feature-sg", 1},
	{"feature-gso-tcpv4", 1},
	{"feature-gso-tcpv6", 1},
	{"feature-ipv6-csum-offload", 1},
	{"feature-rx-copy", 1},
	{"feature-rx-flip", 0},
	{"feature-split-event-channels", 1},
	{"feature-ctrl-ring", 1},
	{"multi-queue-max-queues", NETBACK_QUEUES},
};

static int vif_advertise(struct device *dev, hv_txn_t t)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < RTE_DIM(features); i++)
		rc = store_write_number(dev->hv, t, dev->own, features[i].key, features[i].value);
	return rc;
}

/* ---- what the guest wrote ---- */

struct queue_keys {
	uint32_t tx_gref, rx_gref, tx_port, rx_port;
	bool split;
};

struct front_keys {
	uint32_t ctrl_gref, ctrl_port;
	bool ctrl;
	bool no_csum, csum6, sg, gso4, gso6;
	uint32_t nr_queues;
	struct queue_keys queue[NETBACK_QUEUES];
};

static int read_ports(struct device *dev, const char *dir, struct queue_keys *k)
{
	int rc = store_read_number(dev->hv, dir, "event-channel-tx", PORT_MAX, &k->tx_port);

	k->split = rc == 0;
	if (k->split)
		return store_read_number(dev->hv, dir, "event-channel-rx", PORT_MAX, &k->rx_port);
	if (rc == -ENOENT)
		rc = store_read_number(dev->hv, dir, "event-channel", PORT_MAX, &k->tx_port);
	k->rx_port = k->tx_port;
	return rc;
}

/* A queue's keys; dir: the front end's own node when it has one queue, else queue-<n> below it. */
static int read_queue(struct device *dev, const char *dir, struct queue_keys *k, const char **why)
{
	int rc;

	*why = "tx-ring-ref or rx-ring-ref is not a grant reference";
	rc = store_read_number(dev->hv, dir, "tx-ring-ref", GREF_MAX, &k->tx_gref);
	if (rc == 0)
		rc = store_read_number(dev->hv, dir, "rx-ring-ref", GREF_MAX, &k->rx_gref);
	if (rc)
		return rc;
	*why = "event-channel (or -tx and -rx) is not a port";
	return read_ports(dev, dir, k);
}

/* Does another queue before this one name one of its pages? */
static bool shares_pages(const struct front_keys *k, unsigned n)
{
	const struct queue_keys *q = &k->queue[n];

	for (unsigned i = 0; i < n; i++) {
		const struct queue_keys *o = &k->queue[i];

		if (o->tx_gref == q->tx_gref || o->tx_gref == q->rx_gref || o->rx_gref == q->tx_gref || o->rx_gref == q->rx_gref)
			return true;
	}
	return false;
}

static int read_queues(struct device *dev, struct front_keys *k, const char **why)
{
	char dir[STORE_PATH + 24];
	int rc = 0;

	if (k->nr_queues == 1)
		return read_queue(dev, dev->front, &k->queue[0], why);
	for (unsigned i = 0; rc == 0 && i < k->nr_queues; i++) {
		snprintf(dir, sizeof(dir), "%s/queue-%u", dev->front, i);
		rc = read_queue(dev, dir, &k->queue[i], why);
		if (rc == 0 && shares_pages(k, i)) {
			*why = "two queues have the same ring page";
			rc = -EINVAL;
		}
	}
	return rc;
}

static int read_features(struct device *dev, struct front_keys *k)
{
	const struct {
		const char *key;
		bool *value;
	} flags[] = {
		{"feature-no-csum-offload", &k->no_csum}, {"feature-ipv6-csum-offload", &k->csum6}, {"feature-sg", &k->sg},
		{"feature-gso-tcpv4", &k->gso4},          {"feature-gso-tcpv6", &k->gso6},
	};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < RTE_DIM(flags); i++)
		rc = store_read_flag(dev->hv, dev->front, flags[i].key, flags[i].value);
	return rc;
}

/* Both keys or none. */
static int read_ctrl(struct device *dev, struct front_keys *k)
{
	int rc = store_read_number(dev->hv, dev->front, "ctrl-ring-ref", GREF_MAX, &k->ctrl_gref);

	k->ctrl = rc == 0;
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	return store_read_number(dev->hv, dev->front, "event-channel-ctrl", PORT_MAX, &k->ctrl_port);
}

static int read_front(struct device *dev, struct front_keys *k, const char **why)
{
	bool copy;
	int rc;

	*why = "multi-queue-num-queues is not a number that we offered";
	rc = store_read_number_or(dev->hv, dev->front, "multi-queue-num-queues", NETBACK_QUEUES, 1, &k->nr_queues);
	if (rc || k->nr_queues == 0)
		return rc ? rc : -EINVAL;
	*why = "request-rx-copy is not 1: a front end that wants its pages flipped is not served";
	rc = store_read_flag(dev->hv, dev->front, "request-rx-copy", &copy);
	if (rc || !copy)
		return rc ? rc : -EOPNOTSUPP;
	rc = read_queues(dev, k, why);
	if (rc)
		return rc;
	*why = "ctrl-ring-ref is not a grant reference, or event-channel-ctrl not a port";
	rc = read_ctrl(dev, k);
	if (rc)
		return rc;
	*why = "a feature key is neither 0 nor 1";
	return read_features(dev, k);
}

/* ---- a queue's rings and events ---- */

/* The one with the fewest queues; among equals the last, because the first has more to do than packets. */
static struct netback_lcore *choose_lcore(struct netback *nb)
{
	struct netback_lcore *best = &nb->lcore[nb->nr_lcores - 1];

	for (unsigned i = nb->nr_lcores - 1; i-- > 0;)
		if (nb->lcore[i].nr_queues < best->nr_queues)
			best = &nb->lcore[i];
	return best;
}

static int queue_map(struct netback_queue *q, const struct queue_keys *k, const char **why)
{
	struct hv *hv = q->vif->nb->hv;
	domid_t domid = q->vif->domid;
	int rc;

	*why = "cannot map the tx ring: is tx-ring-ref granted to this domain, writable?";
	rc = hv->ops->map_ring(hv, domid, &k->tx_gref, 1, &q->tx_page);
	if (rc)
		return rc;
	*why = "cannot map the rx ring: is rx-ring-ref granted to this domain, writable?";
	rc = hv->ops->map_ring(hv, domid, &k->rx_gref, 1, &q->rx_page);
	if (rc)
		goto unmap_tx;
	*why = "a ring's index is out of range";
	rc = back_ring_attach(&q->tx, q->tx_page, 1, sizeof(net_tx_slot));
	if (rc == 0)
		rc = back_ring_attach(&q->rx, q->rx_page, 1, sizeof(net_rx_slot));
	if (rc == 0)
		return 0;
	hv->ops->unmap_ring(hv, q->rx_page, 1);
unmap_tx:
	hv->ops->unmap_ring(hv, q->tx_page, 1);
	q->tx_page = q->rx_page = NULL;
	return rc;
}

static void queue_unmap(struct netback_queue *q)
{
	struct hv *hv = q->vif->nb->hv;

	if (q->rx_page)
		hv->ops->unmap_ring(hv, q->rx_page, 1);
	if (q->tx_page)
		hv->ops->unmap_ring(hv, q->tx_page, 1);
	q->tx_page = q->rx_page = NULL;
}

static int queue_bind(struct netback_queue *q, const struct queue_keys *k, const char **why)
{
	struct poller *poller = q->lcore->poller;
	int rc;

	*why = "cannot bind the event channel: does the guest offer it to this domain?";
	rc = poller_bind(poller, &q->item, q->vif->domid, k->tx_port, &q->tx_port);
	if (rc)
		return rc;
	q->rx_port = q->tx_port;
	if (!k->split)
		return 0;
	rc = poller_bind(poller, &q->item, q->vif->domid, k->rx_port, &q->rx_port);
	if (rc) {
		poller_unbind(poller, q->tx_port);
		q->tx_port = q->rx_port = 0;
	}
	return rc;
}

static void queue_unbind(struct netback_queue *q)
{
	struct poller *poller = q->lcore->poller;

	if (q->rx_port != q->tx_port)
		poller_unbind(poller, q->rx_port);
	poller_unbind(poller, q->tx_port);
	q->tx_port = q->rx_port = 0;
	poller_remove(poller, &q->item);
}

static int queue_connect(struct netback_queue *q, const struct queue_keys *k, const char **why)
{
	int rc = queue_map(q, k, why);

	if (rc)
		return rc;
	q->lcore = choose_lcore(q->vif->nb);
	rc = queue_bind(q, k, why);
	if (rc) {
		queue_unmap(q);
		return rc;
	}
	q->lcore->nr_queues++;
	q->window_at = q->window_nr = 0;
	netback_rx_init(q);
	q->live = true;
	poller_kick(q->lcore->poller, &q->item); /* the guest may have sent before we were here */
	return 0;
}

static void queue_disconnect(struct netback_queue *q)
{
	q->live = false;
	netback_rx_fini(q);
	queue_unbind(q);
	queue_unmap(q);
	q->lcore->nr_queues--;
}

static void queues_disconnect(struct netback_vif *vif)
{
	while (vif->nr_queues > 0)
		queue_disconnect(&vif->queue[--vif->nr_queues]);
}

/* All or none. */
static int queues_connect(struct netback_vif *vif, const struct front_keys *k, const char **why)
{
	for (unsigned i = 0; i < k->nr_queues; i++) {
		int rc = queue_connect(&vif->queue[i], &k->queue[i], why);

		if (rc) {
			queues_disconnect(vif);
			return rc;
		}
		vif->nr_queues++;
	}
	return 0;
}

/* ---- the device class ---- */

static int vif_create(struct device *dev, void *ctx)
{
	struct netback_vif *vif = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*vif));

	if (!vif)
		return -ENOMEM;
	memset(vif, 0, sizeof(*vif));
	vif->nb = ctx;
	vif->dev = dev;
	vif->domid = dev->domid;
	vif->fault.poll = fault_poll;
	vif->fault.arm = fault_arm;
	vif->port.name = dev->name;
	vif->port.tx = netback_rx_port_tx;
	for (unsigned i = 0; i < NETBACK_QUEUES; i++) {
		vif->queue[i].vif = vif;
		vif->queue[i].item.poll = queue_poll;
		vif->queue[i].item.arm = queue_arm;
	}
	dev->priv = vif;
	return 0;
}

static void negotiate(struct netback_vif *vif, const struct front_keys *k)
{
	vif->sg = k->sg;
	vif->csum4 = !k->no_csum;
	vif->csum6 = k->csum6;
	vif->gso4 = k->sg && k->gso4;
	vif->gso6 = k->sg && k->gso6;
}

/* The queues and the port: what other lcores use. */
static int join(struct netback_vif *vif, const struct front_keys *k, const char **why)
{
	int rc = queues_connect(vif, k, why);

	if (rc)
		return rc;
	*why = "the bridge has no port left";
	rc = bridge_add_port(vif->nb->bridge, &vif->port);
	if (rc)
		queues_disconnect(vif);
	return rc;
}

static int vif_connect(struct device *dev, const char **why)
{
	struct netback_vif *vif = dev->priv;
	struct front_keys k = {0};
	int rc = read_front(dev, &k, why);

	if (rc)
		return rc;
	*why = "mtu in the back end's node is out of range";
	rc = store_read_number_or(dev->hv, dev->own, "mtu", NETBACK_MTU_MAX, NETBACK_MTU_DEFAULT, &vif->mtu);
	if (rc == 0 && vif->mtu < NETBACK_MTU_MIN)
		rc = -EINVAL;
	if (rc)
		return rc;
	negotiate(vif, &k);
	vif->why = NULL;
	poller_pause(vif->nb->poller);
	rc = join(vif, &k, why);
	poller_resume(vif->nb->poller);
	if (rc)
		return rc;
	if (k.ctrl && netback_ctrl_connect(vif, k.ctrl_gref, k.ctrl_port) && backend_log_allowed(&dev->limit))
		backend_error("%s: no control ring: ctrl-ring-ref cannot be mapped or event-channel-ctrl bound; packets are copied", dev->name);
	return 0;
}

static void vif_disconnect(struct device *dev)
{
	struct netback_vif *vif = dev->priv;

	poller_pause(vif->nb->poller);
	bridge_remove_port(&vif->port);
	netback_ctrl_disconnect(vif);
	queues_disconnect(vif);
	poller_remove(vif->nb->poller, &vif->fault);
	poller_resume(vif->nb->poller);
}

static void vif_destroy(struct device *dev)
{
	free(dev->priv);
	dev->priv = NULL;
}

const struct device_class netback_class = {
	.type = "vif",
	.script = "vif-sluice",
	.adopts = true, /* netback answers in the order of the ring */
	.create = vif_create,
	.advertise = vif_advertise,
	.connect = vif_connect,
	.disconnect = vif_disconnect,
	.destroy = vif_destroy,
};

/* ---- what the vifs share ---- */

static int lcore_init(struct netback_lcore *l)
{
	l->nr_queues = 0;
	l->tx = calloc(1, sizeof(*l->tx));
	l->rx = calloc(1, sizeof(*l->rx));
	return l->tx && l->rx ? 0 : -ENOMEM;
}

int netback_init(struct netback *nb)
{
	int rc = lent_init();

	if (rc)
		return rc;
	if (rte_pktmbuf_data_room_size(nb->pool) < RTE_MBUF_DEFAULT_BUF_SIZE || rte_pktmbuf_priv_size(nb->pool) < LENT_PRIVATE)
		return -EINVAL;
	nb->waiting_segs = 0;
	nb->waiting_max = nb->pool->size / 2;
	nb->nr_lcores = RTE_MAX(nb->nr_lcores, 1u);
	nb->lcore[0].poller = nb->poller;
	for (unsigned i = 0; rc == 0 && i < nb->nr_lcores; i++)
		rc = lcore_init(&nb->lcore[i]);
	nb->ctrl = calloc(1, sizeof(*nb->ctrl));
	if (rc == 0 && nb->ctrl)
		return 0;
	netback_fini(nb);
	return -ENOMEM;
}

void netback_fini(struct netback *nb)
{
	for (unsigned i = 0; i < BRIDGE_LCORES; i++) {
		free(nb->lcore[i].tx);
		free(nb->lcore[i].rx);
		nb->lcore[i].tx = NULL;
		nb->lcore[i].rx = NULL;
	}
	free(nb->ctrl);
	nb->ctrl = NULL;
}
