/* SPDX-License-Identifier: BSD-3-Clause */
/* The hand-driven netfront: see fake_guest.h. */
#include "fake_guest.h"
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

bool fake_guest_static;

static void write_as(struct hv *hv, domid_t domid, const char *value, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void write_as(struct hv *hv, domid_t domid, const char *value, const char *fmt, ...)
{
	char path[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	assert_int_equal(hv_fake_store_write(hv, domid, path, value), 0);
}

void toolstack_add_vif(struct hv *hv, domid_t domid, unsigned devid, const char *extra)
{
	char value[128];

	snprintf(value, sizeof(value), "/local/domain/0/backend/vif/%u/%u", domid, devid);
	write_as(hv, 0, value, "/local/domain/%u/device/vif/%u/backend", domid, devid);
	write_as(hv, 0, "0", "/local/domain/%u/device/vif/%u/backend-id", domid, devid);
	write_as(hv, 0, "00:16:3e:00:00:01", "/local/domain/%u/device/vif/%u/mac", domid, devid);
	write_as(hv, 0, "1", "/local/domain/%u/device/vif/%u/state", domid, devid);
	snprintf(value, sizeof(value), "%u", domid);
	write_as(hv, 0, value, "backend/vif/%u/%u/frontend-id", domid, devid);
	write_as(hv, 0, "1", "backend/vif/%u/%u/online", domid, devid);
	if (extra) {
		const char *eq = strchr(extra, '=');

		write_as(hv, 0, eq + 1, "backend/vif/%u/%u/%.*s", domid, devid, (int)(eq - extra), extra);
	}
	write_as(hv, 0, "1", "backend/vif/%u/%u/state", domid, devid);
	snprintf(value, sizeof(value), "/local/domain/%u/device/vif/%u", domid, devid);
	write_as(hv, 0, value, "backend/vif/%u/%u/frontend", domid, devid);
}

void toolstack_remove_vif(struct hv *hv, domid_t domid, unsigned devid)
{
	char path[128];

	snprintf(path, sizeof(path), "/local/domain/%u/device/vif/%u", domid, devid);
	hv_fake_store_rm(hv, 0, path);
	snprintf(path, sizeof(path), "backend/vif/%u/%u", domid, devid);
	hv_fake_store_rm(hv, 0, path);
}

void fake_guest_init(struct fake_guest *g, struct hv *hv, domid_t domid, unsigned devid)
{
	memset(g, 0, sizeof(*g));
	g->hv = hv;
	g->domid = domid;
	g->devid = devid;
	hv_fake_domain_create(hv, domid); /* -EEXIST for its second vif */
	g->tx_page = hv_fake_pages_alloc(hv, domid, 1);
	g->rx_page = hv_fake_pages_alloc(hv, domid, 1);
	g->tx_buffers = hv_fake_pages_alloc(hv, domid, FAKE_GUEST_BUFFERS);
	g->rx_buffers = hv_fake_pages_alloc(hv, domid, FAKE_GUEST_BUFFERS);
	g->ctrl = fake_guest_static;
	g->ctrl_page = hv_fake_pages_alloc(hv, domid, 1);
	g->lists = hv_fake_pages_alloc(hv, domid, FAKE_GUEST_LISTS);
	assert_non_null(g->lists);
	for (unsigned i = 0; i < FAKE_GUEST_BUFFERS; i++) {
		size_t at = (size_t)i * SLUICE_PAGE_SIZE;

		assert_int_equal(hv_fake_grant(hv, domid, 0, g->tx_buffers + at, true, &g->tx_gref[i]), 0);
		assert_int_equal(hv_fake_grant(hv, domid, 0, g->rx_buffers + at, false, &g->rx_gref[i]), 0);
	}
}

/* Few entries in each message: a bad one among them refuses them all. */
static void add_buffers(struct fake_guest *g)
{
	const unsigned each = 2 * FAKE_GUEST_BUFFERS / FAKE_GUEST_LISTS;

	for (unsigned i = 0; i < FAKE_GUEST_LISTS; i++) {
		bool tx = i < FAKE_GUEST_LISTS / 2;
		struct xen_netif_gref *list = fake_guest_list(g, i);

		for (unsigned k = 0; k < each; k++) {
			unsigned at = (i * each + k) % FAKE_GUEST_BUFFERS;

			list[k] = (struct xen_netif_gref){.ref = tx ? g->tx_gref[at] : g->rx_gref[at],
							  .flags = tx ? XEN_NETIF_CTRLF_GREF_readonly : 0};
		}
		fake_guest_ctrl_put(g, XEN_NETIF_CTRL_TYPE_ADD_GREF_MAPPING, 0, g->list_gref[i], each);
	}
	front_ring_push(&g->ctrl_ring);
}

static void ctrl_ring(struct fake_guest *g)
{
	assert_int_equal(hv_fake_grant(g->hv, g->domid, 0, g->ctrl_page, false, &g->ctrl_ring_gref), 0);
	for (unsigned i = 0; i < FAKE_GUEST_LISTS; i++)
		assert_int_equal(hv_fake_grant(g->hv, g->domid, 0, fake_guest_list(g, i), false, &g->list_gref[i]), 0);
	assert_int_equal(hv_fake_evtchn_alloc(g->hv, g->domid, 0, &g->ctrl_port), 0);
	front_ring_init(&g->ctrl_ring, g->ctrl_page, 1, sizeof(net_ctrl_slot));
	if (fake_guest_static)
		add_buffers(g);
}

struct xen_netif_gref *fake_guest_list(struct fake_guest *g, unsigned i)
{
	return (struct xen_netif_gref *)(g->lists + (size_t)i * SLUICE_PAGE_SIZE);
}

void fake_guest_ctrl_put(struct fake_guest *g, uint16_t type, uint32_t d0, uint32_t d1, uint32_t d2)
{
	struct xen_netif_ctrl_request req = {.id = (uint16_t)(g->ctrl_ring.req_prod + 7), .type = type, .data = {d0, d1, d2}};

	front_ring_put(&g->ctrl_ring, &req, sizeof(req));
}

void fake_guest_ctrl_push(struct fake_guest *g)
{
	if (front_ring_push(&g->ctrl_ring))
		hv_fake_evtchn_send(g->hv, g->domid, g->ctrl_port);
}

bool fake_guest_ctrl_take(struct fake_guest *g, struct xen_netif_ctrl_response *rsp)
{
	if (front_ring_arm(&g->ctrl_ring) <= 0)
		return false;
	front_ring_read(&g->ctrl_ring, 0, rsp, sizeof(*rsp));
	front_ring_consume(&g->ctrl_ring, 1);
	return true;
}

void fake_guest_rings(struct fake_guest *g)
{
	assert_int_equal(hv_fake_grant(g->hv, g->domid, 0, g->tx_page, false, &g->tx_ring_gref), 0);
	assert_int_equal(hv_fake_grant(g->hv, g->domid, 0, g->rx_page, false, &g->rx_ring_gref), 0);
	assert_int_equal(hv_fake_evtchn_alloc(g->hv, g->domid, 0, &g->tx_port), 0);
	g->rx_port = g->tx_port;
	if (g->split)
		assert_int_equal(hv_fake_evtchn_alloc(g->hv, g->domid, 0, &g->rx_port), 0);
	front_ring_init(&g->tx, g->tx_page, 1, sizeof(net_tx_slot));
	front_ring_init(&g->rx, g->rx_page, 1, sizeof(net_rx_slot));
	g->next_tx = 0;
	if (g->ctrl)
		ctrl_ring(g);
	fake_guest_post(g, FAKE_GUEST_BUFFERS);
}

void fake_guest_key(struct fake_guest *g, const char *key, const char *value)
{
	write_as(g->hv, g->domid, value, "device/vif/%u/%s", g->devid, key);
}

void fake_guest_number(struct fake_guest *g, const char *key, unsigned value)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", value);
	fake_guest_key(g, key, text);
}

static void prefixed(struct fake_guest *g, const char *prefix, const char *key, unsigned value)
{
	char path[64];

	snprintf(path, sizeof(path), "%s%s", prefix, key);
	fake_guest_number(g, path, value);
}

void fake_guest_queue_keys(struct fake_guest *g, const char *prefix)
{
	prefixed(g, prefix, "tx-ring-ref", g->tx_ring_gref);
	prefixed(g, prefix, "rx-ring-ref", g->rx_ring_gref);
	if (g->split) {
		prefixed(g, prefix, "event-channel-tx", g->tx_port);
		prefixed(g, prefix, "event-channel-rx", g->rx_port);
	} else {
		prefixed(g, prefix, "event-channel", g->tx_port);
	}
}

static void common_keys(struct fake_guest *g)
{
	if (g->ctrl) {
		fake_guest_number(g, "ctrl-ring-ref", g->ctrl_ring_gref);
		fake_guest_number(g, "event-channel-ctrl", g->ctrl_port);
	}
	fake_guest_number(g, "request-rx-copy", 1);
	fake_guest_number(g, "feature-rx-notify", 1);
	fake_guest_number(g, "feature-sg", !g->no_sg);
	fake_guest_number(g, "feature-no-csum-offload", g->no_csum);
	fake_guest_number(g, "feature-ipv6-csum-offload", !g->no_csum);
	fake_guest_number(g, "feature-gso-tcpv4", g->gso);
	fake_guest_number(g, "feature-gso-tcpv6", g->gso);
}

void fake_guest_keys(struct fake_guest *g)
{
	fake_guest_queue_keys(g, "");
	common_keys(g);
}

void fake_guest_rings_queues(struct fake_guest *g, unsigned n)
{
	char prefix[24];

	for (unsigned i = 0; i < n; i++) {
		g[i].ctrl = g[i].ctrl && i == 0;
		fake_guest_rings(&g[i]);
		snprintf(prefix, sizeof(prefix), "queue-%u/", i);
		fake_guest_queue_keys(&g[i], prefix);
	}
	fake_guest_number(g, "multi-queue-num-queues", n);
	common_keys(g);
}

void fake_guest_connect_queues(struct fake_guest *g, unsigned n)
{
	fake_guest_rings_queues(g, n);
	fake_guest_state(g, XenbusStateConnected);
}

void fake_guest_state(struct fake_guest *g, enum xenbus_state state)
{
	fake_guest_number(g, "state", state);
}

void fake_guest_connect(struct fake_guest *g)
{
	fake_guest_rings(g);
	fake_guest_keys(g);
	fake_guest_state(g, XenbusStateConnected);
}

void fake_guest_disconnect(struct fake_guest *g)
{
	assert_int_equal(hv_fake_grant_end(g->hv, g->domid, g->tx_ring_gref), 0);
	assert_int_equal(hv_fake_grant_end(g->hv, g->domid, g->rx_ring_gref), 0);
	for (unsigned i = 0; g->ctrl && i < FAKE_GUEST_LISTS; i++)
		assert_int_equal(hv_fake_grant_end(g->hv, g->domid, g->list_gref[i]), 0);
	if (g->ctrl) {
		assert_int_equal(hv_fake_grant_end(g->hv, g->domid, g->ctrl_ring_gref), 0);
		for (unsigned i = 0; i < FAKE_GUEST_BUFFERS; i++) {
			assert_int_equal(hv_fake_grant_busy(g->hv, g->domid, g->tx_gref[i]), 0);
			assert_int_equal(hv_fake_grant_busy(g->hv, g->domid, g->rx_gref[i]), 0);
		}
		hv_fake_evtchn_close(g->hv, g->domid, g->ctrl_port);
	}
	hv_fake_evtchn_close(g->hv, g->domid, g->tx_port);
	if (g->split)
		hv_fake_evtchn_close(g->hv, g->domid, g->rx_port);
}

int fake_guest_backend_state(struct fake_guest *g)
{
	char path[128], *text;
	int state;

	snprintf(path, sizeof(path), "/local/domain/0/backend/vif/%u/%u/state", g->domid, g->devid);
	text = hv_fake_store_read(g->hv, g->domid, path);
	state = text ? atoi(text) : -1;
	free(text);
	return state;
}

uint8_t *fake_guest_tx_buffer(struct fake_guest *g, unsigned i)
{
	return g->tx_buffers + (size_t)(i % FAKE_GUEST_BUFFERS) * SLUICE_PAGE_SIZE;
}

net_tx_slot fake_guest_slot(struct fake_guest *g, unsigned i, uint16_t len)
{
	net_tx_slot slot = {.req = {.gref = g->tx_gref[i % FAKE_GUEST_BUFFERS], .size = len, .id = (uint16_t)i}};

	return slot;
}

void fake_guest_send_slots(struct fake_guest *g, const net_tx_slot *slots, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		front_ring_put(&g->tx, &slots[i], sizeof(slots[i]));
	if (front_ring_push(&g->tx))
		hv_fake_evtchn_send(g->hv, g->domid, g->tx_port);
}

void fake_guest_send(struct fake_guest *g, const void *frame, uint32_t len, unsigned chunk, const struct net_packet *like)
{
	net_tx_slot slots[NET_SLOTS_MAX + NET_EXTRAS_MAX];
	struct net_packet p = {0};
	const uint8_t *from = frame;

	if (like)
		p = *like;
	p.size = len;
	p.nr_frags = 0;
	for (uint32_t done = 0; done < len;) {
		uint32_t n = len - done < (chunk ? chunk : 4096) ? len - done : (chunk ? chunk : 4096);
		unsigned i = g->next_tx++ % FAKE_GUEST_BUFFERS;

		memcpy(fake_guest_tx_buffer(g, i), from + done, n);
		p.frags[p.nr_frags++] = (struct net_frag){.gref = g->tx_gref[i], .len = (uint16_t)n, .id = (uint16_t)i};
		done += n;
	}
	assert_true(p.nr_frags <= NET_SLOTS_MAX);
	fake_guest_send_slots(g, slots, net_tx_build(&p, slots));
}

unsigned fake_guest_take_tx(struct fake_guest *g)
{
	int n = front_ring_pending(&g->tx);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++) {
		struct netif_tx_response rsp;

		front_ring_read(&g->tx, (uint32_t)i, &rsp, sizeof(rsp));
		if (rsp.status == NETIF_RSP_OKAY)
			g->tx_ok++;
		else if (rsp.status != NETIF_RSP_NULL)
			g->tx_errors++;
	}
	front_ring_consume(&g->tx, (uint32_t)n);
	front_ring_arm(&g->tx);
	return (unsigned)n;
}

void fake_guest_post(struct fake_guest *g, unsigned n)
{
	for (unsigned i = 0; i < n && front_ring_free(&g->rx) > 0; i++) {
		uint16_t at = (uint16_t)front_ring_next(&g->rx);
		struct netif_rx_request req = {.id = at, .gref = g->rx_gref[at]};

		front_ring_put(&g->rx, &req, sizeof(req));
	}
	if (front_ring_push(&g->rx))
		hv_fake_evtchn_send(g->hv, g->domid, g->rx_port);
}

int fake_guest_receive(struct fake_guest *g, uint8_t *out, size_t max, struct net_packet *p, bool post)
{
	net_rx_slot slots[NET_SLOTS_LOOK];
	int n = front_ring_pending(&g->rx), rc;
	uint32_t first = g->rx.rsp_cons;
	size_t len = 0;

	assert_true(n >= 0);
	if (n == 0)
		return 0;
	n = n < (int)NET_SLOTS_LOOK ? n : (int)NET_SLOTS_LOOK;
	for (int i = 0; i < n; i++)
		front_ring_read(&g->rx, (uint32_t)i, &slots[i], sizeof(slots[i]));
	rc = net_rx_parse(slots, (unsigned)n, p);
	assert_int_not_equal(rc, -EPROTO);
	front_ring_consume(&g->rx, p->nr_slots);
	for (unsigned i = 0; rc > 0 && i < p->nr_frags; i++) {
		unsigned at = (first + net_packet_slot_of(p, i)) & g->rx.mask;

		assert_true(len + p->frags[i].len <= max);
		memcpy(out + len, g->rx_buffers + (size_t)at * SLUICE_PAGE_SIZE + p->frags[i].offset, p->frags[i].len);
		len += p->frags[i].len;
	}
	if (post)
		fake_guest_post(g, p->nr_slots);
	return rc > 0 ? (int)len : -1;
}
