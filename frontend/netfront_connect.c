/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netfront's handshake: the states and keys of Linux's netfront, so that it works with any netback. Driven by two watches (our own node, the back end's
 * state); nothing here waits but the XenStore calls. It also ends connections: a back end that dies and comes back says Closing, we take our grants back and
 * say Closed, it says InitWait, and the handshake starts afresh.
 */
#include "netfront_private.h"
#include <errno.h>
#include <string.h>

#define MAX_MOVES 8u /* state changes in one call of netfront_step */

/* A number below 1000 in decimal, without an end. */
static void number(char *at, unsigned n)
{
	for (unsigned unit = 100; unit; unit /= 10)
		if (n >= unit || unit == 1)
			*at++ = (char)('0' + n / unit % 10);
}

static void queue_init(struct netfront *nf, unsigned index)
{
	struct netfront_queue *q = &nf->queue[index];

	q->nf = nf;
	q->index = index;
	q->tx_ref = q->rx_ref = SLUICE_INVALID_GREF;
	memset(q->tx_pool.gref, 0xff, sizeof(q->tx_pool.gref)); /* SLUICE_INVALID_GREF */
	memset(q->rx_pool.gref, 0xff, sizeof(q->rx_pool.gref));
}

struct netfront *netfront_create(struct xenbus *xb, unsigned index, const struct netfront_options *options)
{
	unsigned queues = options->queues > NETFRONT_QUEUES ? NETFRONT_QUEUES : options->queues ? options->queues : 1;
	struct netfront *nf = index < 1000 ? port_alloc(sizeof(*nf) + queues * sizeof(nf->queue[0])) : NULL;

	if (!nf)
		return NULL;
	nf->max_queues = queues;
	nf->nr_queues = 1;
	for (unsigned i = 0; i < queues; i++)
		queue_init(nf, i);
	nf->xb = xb;
	nf->options = *options;
	memcpy(nf->dir, "device/vif/", sizeof("device/vif/") - 1);
	number(nf->dir + sizeof("device/vif/") - 1, index);
	nf->ctrl.page_ref = nf->ctrl.list_ref = SLUICE_INVALID_GREF;
	nf->backend_watch = -1;
	nf->own_watch = xenbus_watch(xb, nf->dir, "backend");
	return nf;
}

/* ---- the end of a connection ---- */

/* Take a page back. While the back end holds on to it, it must not be used again: it waits on a list, or is leaked when that is full. */
static void end_grant(struct netfront_queue *q, void **page, gref_t *gref)
{
	if (*gref == SLUICE_INVALID_GREF)
		return;
	if (port_grant_end(*gref) == -EBUSY) {
		if (q->nr_deferred < NETFRONT_DEFERRED) {
			q->deferred[q->nr_deferred].page = *page;
			q->deferred[q->nr_deferred++].gref = *gref;
		}
		*page = NULL;
	}
	*gref = SLUICE_INVALID_GREF;
}

/* Free the pages of earlier connections that are no longer held. */
static void end_deferred(struct netfront_queue *q)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < q->nr_deferred; i++) {
		if (port_grant_end(q->deferred[i].gref) == -EBUSY)
			q->deferred[kept++] = q->deferred[i];
		else
			port_pages_free(q->deferred[i].page, 1);
	}
	q->nr_deferred = kept;
}

static void end_all_deferred(struct netfront *nf)
{
	for (unsigned i = 0; i < nf->max_queues; i++)
		end_deferred(&nf->queue[i]);
}

static void queue_disconnect(struct netfront_queue *q)
{
	if (q->rx_port && q->rx_port != q->tx_port)
		port_evtchn_close(q->rx_port);
	if (q->tx_port)
		port_evtchn_close(q->tx_port);
	q->tx_port = q->rx_port = 0;
	end_grant(q, &q->tx_page, &q->tx_ref);
	end_grant(q, &q->rx_page, &q->rx_ref);
	for (unsigned i = 0; i < NETFRONT_TX_BUFS; i++)
		end_grant(q, &q->tx_pool.page[i], &q->tx_pool.gref[i]);
	for (unsigned i = 0; i < NETFRONT_RX_BUFS; i++)
		end_grant(q, &q->rx_pool.page[i], &q->rx_pool.gref[i]);
}

static void disconnect(struct netfront *nf)
{
	netfront_rings_stop(nf);
	if (nf->ctrl.port)
		port_evtchn_close(nf->ctrl.port);
	nf->ctrl.port = 0;
	nf->stats.static_pages = 0;
	end_grant(nf->queue, &nf->ctrl.page, &nf->ctrl.page_ref);
	end_grant(nf->queue, &nf->ctrl.list, &nf->ctrl.list_ref);
	for (unsigned i = 0; i < nf->nr_queues; i++)
		queue_disconnect(&nf->queue[i]);
}

/* ---- the start of one ---- */

static int grant_page(struct netfront *nf, void **page, bool readonly, gref_t *gref)
{
	if (!*page)
		*page = port_pages_alloc(1);
	return *page ? port_grant(nf->backend_id, *page, readonly, gref) : -ENOMEM;
}

static int queue_grant(struct netfront_queue *q)
{
	int rc = grant_page(q->nf, &q->tx_page, false, &q->tx_ref);

	if (!rc)
		rc = grant_page(q->nf, &q->rx_page, false, &q->rx_ref);
	for (unsigned i = 0; !rc && i < NETFRONT_TX_BUFS; i++)
		rc = grant_page(q->nf, &q->tx_pool.page[i], true, &q->tx_pool.gref[i]);
	for (unsigned i = 0; !rc && i < NETFRONT_RX_BUFS; i++)
		rc = grant_page(q->nf, &q->rx_pool.page[i], false, &q->rx_pool.gref[i]);
	return rc;
}

static int queue_channels(struct netfront_queue *q, bool split)
{
	int rc = port_evtchn_alloc(q->nf->backend_id, &q->tx_port);

	if (rc)
		return rc;
	if (split)
		return port_evtchn_alloc(q->nf->backend_id, &q->rx_port);
	q->rx_port = q->tx_port;
	return 0;
}

static int ctrl_connect(struct netfront *nf)
{
	int rc = grant_page(nf, &nf->ctrl.page, false, &nf->ctrl.page_ref);

	if (!rc)
		rc = grant_page(nf, &nf->ctrl.list, false, &nf->ctrl.list_ref);
	if (!rc)
		rc = port_evtchn_alloc(nf->backend_id, &nf->ctrl.port);
	return rc;
}

static int grant_all(struct netfront *nf)
{
	bool split = xenbus_read_feature(nf->xb, nf->backend, "feature-split-event-channels");
	int rc = nf->can_ctrl ? ctrl_connect(nf) : 0;

	for (unsigned i = 0; !rc && i < nf->nr_queues; i++) {
		rc = queue_grant(&nf->queue[i]);
		if (!rc)
			rc = queue_channels(&nf->queue[i], split);
	}
	return rc;
}

struct key {
	const char *name;
	uint64_t value;
	bool wanted;
};

/* Keys that are not wanted are taken away: an earlier connection with another kind of back end may have written them. */
static int write_keys(struct netfront *nf, xenbus_txn_t txn, const char *dir, const struct key *keys, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int rc = keys[i].wanted ? xenbus_write_number(nf->xb, txn, dir, keys[i].name, keys[i].value) : xenbus_rm(nf->xb, txn, dir, keys[i].name);

		if (rc && (keys[i].wanted || rc != -ENOENT))
			return rc;
	}
	return 0;
}

/* The keys of a queue; not wanted: that none of them is there. */
static int write_queue(struct netfront_queue *q, xenbus_txn_t txn, const char *dir, bool wanted)
{
	bool split = q->rx_port != q->tx_port;
	const struct key keys[] = {
		{ "tx-ring-ref", q->tx_ref, wanted },
		{ "rx-ring-ref", q->rx_ref, wanted },
		{ "event-channel", q->tx_port, wanted && !split },
		{ "event-channel-tx", q->tx_port, wanted && split },
		{ "event-channel-rx", q->rx_port, wanted && split },
	};

	return write_keys(q->nf, txn, dir, keys, sizeof(keys) / sizeof(keys[0]));
}

/* One queue's keys are the vif's own; those of several lie in queue-0, queue-1 and so on (xen/io/netif.h). */
static int write_queues(struct netfront *nf, xenbus_txn_t txn)
{
	bool several = nf->nr_queues > 1;
	int rc = write_queue(nf->queue, txn, nf->dir, !several);

	for (unsigned i = 0; !rc && nf->max_queues > 1 && i < nf->max_queues; i++) {
		char name[] = "queue-\0\0", dir[sizeof(nf->dir) + sizeof(name)];

		number(name + sizeof("queue-") - 1, i);
		rc = xenbus_rm(nf->xb, txn, nf->dir, name);
		if (rc == -ENOENT)
			rc = 0;
		if (rc || !several || i >= nf->nr_queues)
			continue;
		memcpy(dir, nf->dir, strlen(nf->dir));
		dir[strlen(nf->dir)] = '/';
		memcpy(dir + strlen(nf->dir) + 1, name, sizeof(name));
		rc = write_queue(&nf->queue[i], txn, dir, true);
	}
	return rc;
}

static int write_all(struct netfront *nf, xenbus_txn_t txn)
{
	const struct key keys[] = {
		{ "multi-queue-num-queues", nf->nr_queues, nf->nr_queues > 1 },
		{ "ctrl-ring-ref", nf->ctrl.page_ref, nf->can_ctrl },
		{ "event-channel-ctrl", nf->ctrl.port, nf->can_ctrl },
		{ "request-rx-copy", 1, true },
		{ "feature-rx-notify", 1, true },
		{ "feature-sg", 1, true },
		{ "feature-gso-tcpv4", 1, nf->options.gso_tcpv4 },
		{ "feature-no-csum-offload", 1, !nf->options.csum_blank },
	};
	int rc = write_queues(nf, txn);

	return rc ? rc : write_keys(nf, txn, nf->dir, keys, sizeof(keys) / sizeof(keys[0]));
}

static int publish(struct netfront *nf)
{
	xenbus_txn_t txn;
	int rc = -EAGAIN;

	for (unsigned i = 0; rc == -EAGAIN && i < XENBUS_TXN_TRIES; i++) {
		int end;

		rc = xenbus_txn_start(nf->xb, &txn);
		if (rc)
			return rc;
		rc = write_all(nf, txn);
		end = xenbus_txn_end(nf->xb, txn, !rc);
		if (!rc)
			rc = end;
	}
	return rc ? rc : xenbus_switch_state(nf->xb, XENBUS_NO_TXN, nf->dir, XenbusStateConnected);
}

/* As many queues as both have. */
static unsigned agree_queues(struct netfront *nf)
{
	uint64_t most;

	if (nf->max_queues == 1 || xenbus_read_number(nf->xb, XENBUS_NO_TXN, nf->backend, "multi-queue-max-queues", &most) || most < 1)
		return 1;
	return most < nf->max_queues ? (unsigned)most : nf->max_queues;
}

static int connect(struct netfront *nf)
{
	int rc;

	end_all_deferred(nf);
	nf->nr_queues = agree_queues(nf);
	nf->can_sg = xenbus_read_feature(nf->xb, nf->backend, "feature-sg");
	nf->can_gso4 = xenbus_read_feature(nf->xb, nf->backend, "feature-gso-tcpv4");
	nf->can_ctrl = !nf->options.no_static && xenbus_read_feature(nf->xb, nf->backend, "feature-ctrl-ring");
	rc = grant_all(nf);
	if (rc)
		goto undo;
	netfront_rings_start(nf);
	if (nf->can_ctrl)
		netfront_ctrl_start(nf);
	rc = publish(nf);
	if (!rc)
		return 0;
undo:
	port_log(PORT_LOG_ERROR, "%s: cannot connect (error %d): out of grant entries or memory, or XenStore refused", nf->dir, rc);
	disconnect(nf);
	return rc;
}

/* ---- the device's own node ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "00:16:3e:01:02:03" */
static int parse_mac(const char *text, uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++, text += 3) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	return 0;
}

/* Where the back end is, and who we are on the network. -ENOENT: not there yet. */
static int find_device(struct netfront *nf)
{
	char mac[20];
	uint64_t id, state;
	int rc = xenbus_read(nf->xb, XENBUS_NO_TXN, nf->dir, "backend", nf->backend, sizeof(nf->backend));

	if (rc < 0)
		return rc;
	rc = xenbus_read_number(nf->xb, XENBUS_NO_TXN, nf->dir, "backend-id", &id);
	if (rc || id >= DOMID_FIRST_RESERVED)
		return -EINVAL;
	nf->backend_id = (domid_t)id;
	rc = xenbus_read(nf->xb, XENBUS_NO_TXN, nf->dir, "mac", mac, sizeof(mac));
	if (rc < 0 || parse_mac(mac, nf->mac))
		return -EINVAL;
	nf->backend_watch = xenbus_watch(nf->xb, nf->backend, "state");
	if (nf->backend_watch < 0)
		return nf->backend_watch;
	if (!xenbus_read_number(nf->xb, XENBUS_NO_TXN, nf->dir, "state", &state) && state == XenbusStateInitialising)
		return 0;
	return xenbus_switch_state(nf->xb, XENBUS_NO_TXN, nf->dir, XenbusStateInitialising);
}

/* Our node was removed, or points to another back end: start from the beginning. */
static void check_device(struct netfront *nf)
{
	char backend[XENBUS_PATH_MAX];
	int rc = xenbus_read(nf->xb, XENBUS_NO_TXN, nf->dir, "backend", backend, sizeof(backend));

	if (nf->phase == PHASE_ABSENT || (rc >= 0 && !memcmp(backend, nf->backend, (size_t)rc + 1)))
		return;
	disconnect(nf);
	xenbus_unwatch(nf->xb, nf->backend_watch);
	nf->backend_watch = -1;
	nf->phase = PHASE_ABSENT;
}

/* ---- the states ---- */

static void close_vif(struct netfront *nf)
{
	disconnect(nf);
	xenbus_switch_state(nf->xb, XENBUS_NO_TXN, nf->dir, XenbusStateClosed);
	nf->phase = PHASE_CLOSED;
}

static void reopen(struct netfront *nf)
{
	if (!xenbus_switch_state(nf->xb, XENBUS_NO_TXN, nf->dir, XenbusStateInitialising))
		nf->phase = PHASE_INITIALISING;
}

/* A back end that waits in Closed does so for our Initialising, if its device is to stay (`online`): that is how Linux's does it. */
static bool may_reopen(struct netfront *nf, enum xenbus_state backend)
{
	if (nf->violations >= NETFRONT_VIOLATIONS)
		return false;
	return backend == XenbusStateInitWait || (backend == XenbusStateClosed && !nf->violations && xenbus_read_feature(nf->xb, nf->backend, "online"));
}

static void move_absent(struct netfront *nf)
{
	int rc = find_device(nf);

	if (!rc) {
		nf->phase = PHASE_INITIALISING;
		return;
	}
	xenbus_unwatch(nf->xb, nf->backend_watch);
	nf->backend_watch = -1;
	if (rc != -ENOENT)
		port_log(PORT_LOG_ERROR, "%s: backend, backend-id or mac in XenStore make no sense (error %d)", nf->dir, rc);
}

/* One move of the state machine for what the back end says now. A failed connect is not tried again before the back end moves. */
static void move(struct netfront *nf, enum xenbus_state backend)
{
	bool closing = backend == XenbusStateClosing || backend == XenbusStateClosed || backend == XenbusStateUnknown;
	bool restarted = backend == XenbusStateInitialising || backend == XenbusStateInitWait;

	switch (nf->phase) {
	case PHASE_INITIALISING:
		if (backend == XenbusStateClosing)
			close_vif(nf);
		else if (backend == XenbusStateInitWait && !connect(nf))
			nf->phase = PHASE_INITIALISED;
		else if (backend == XenbusStateInitWait)
			close_vif(nf);
		break;
	case PHASE_INITIALISED:
		if (backend == XenbusStateConnected)
			nf->phase = PHASE_CONNECTED;
		else if (closing)
			close_vif(nf);
		break;
	case PHASE_CONNECTED:
		if (closing || restarted)
			close_vif(nf);
		break;
	case PHASE_CLOSED:
		if (may_reopen(nf, backend))
			reopen(nf);
		break;
	case PHASE_ABSENT:
		break;
	}
}

static void end_violation(struct netfront *nf)
{
	nf->violations++;
	port_log(PORT_LOG_ERROR, "%s: the back end broke the protocol: %s; the vif is closed", nf->dir, nf->broken);
	nf->broken = NULL;
	close_vif(nf);
}

static enum netfront_state state_of(const struct netfront *nf)
{
	switch (nf->phase) {
	case PHASE_ABSENT:
		return NETFRONT_ABSENT;
	case PHASE_CONNECTED:
		return NETFRONT_CONNECTED;
	case PHASE_CLOSED:
		return NETFRONT_CLOSED;
	default:
		return NETFRONT_CONNECTING;
	}
}

enum netfront_state netfront_step(struct netfront *nf)
{
	bool own = xenbus_watch_take(nf->xb, nf->own_watch), backend = xenbus_watch_take(nf->xb, nf->backend_watch);

	if (nf->broken)
		end_violation(nf);
	if (own) {
		check_device(nf);
		if (nf->phase == PHASE_ABSENT)
			move_absent(nf);
	}
	if (nf->phase == PHASE_CONNECTED)
		netfront_ctrl_step(nf);
	if (!own && !backend)
		return state_of(nf);
	for (unsigned i = 0; i < MAX_MOVES && nf->phase != PHASE_ABSENT; i++) {
		enum netfront_phase before = nf->phase;

		move(nf, xenbus_read_state(nf->xb, nf->backend));
		if (nf->phase == before || (before == PHASE_INITIALISING && nf->phase == PHASE_CLOSED))
			break;
	}
	return state_of(nf);
}

const uint8_t *netfront_mac(const struct netfront *nf)
{
	return nf->mac;
}

static void queue_free(struct netfront_queue *q)
{
	end_deferred(q);
	for (unsigned i = 0; i < NETFRONT_TX_BUFS; i++)
		port_pages_free(q->tx_pool.page[i], 1);
	for (unsigned i = 0; i < NETFRONT_RX_BUFS; i++)
		port_pages_free(q->rx_pool.page[i], 1);
	port_pages_free(q->tx_page, 1);
	port_pages_free(q->rx_page, 1);
}

void netfront_destroy(struct netfront *nf)
{
	if (!nf)
		return;
	if (nf->phase != PHASE_ABSENT)
		close_vif(nf);
	xenbus_unwatch(nf->xb, nf->backend_watch);
	xenbus_unwatch(nf->xb, nf->own_watch);
	for (unsigned i = 0; i < nf->max_queues; i++)
		queue_free(&nf->queue[i]);
	port_pages_free(nf->ctrl.page, 1);
	port_pages_free(nf->ctrl.list, 1);
	port_free(nf);
}
