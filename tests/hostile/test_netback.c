/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that lies to netback, at every field and every step; named after the advisories (XSA-*) of others that each case would have been. After each,
 * two other guests still exchange packets, and nothing is left mapped, bound or allocated.
 */
#include <tests/support/netback_world.h>
#include <errno.h>
#include <rte_ip.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct world w;
static struct fake_guest evil, n1, n2;
static uint8_t frame[NET_PACKET_MAX], got[NET_PACKET_MAX];

/* Takes all that has come and that still waits for room. */
static void drain(struct fake_guest *g)
{
	struct net_packet p;
	unsigned n;

	do {
		for (n = 0; fake_guest_receive(g, got, sizeof(got), &p, true) != 0; n++)
			;
		poller_round(w.nb.poller, false);
		poller_round(w.nb.poller, false);
	} while (n > 0);
}

static int setup(void **state)
{
	(void)state;
	world_create(&w);
	world_add_guest(&w, &n1, 1);
	world_add_guest(&w, &n2, 2);
	world_add_guest(&w, &evil, 3);
	world_frame(frame, sizeof(frame), 3, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	drain(&n1); /* floods reach them too, and not every case reads what they get */
	drain(&n2);
	world_assert_traffic(&w, &n1, &n2);
	assert_int_equal(fake_guest_backend_state(&n1), XenbusStateConnected);
	assert_int_equal(fake_guest_backend_state(&n2), XenbusStateConnected);
	world_destroy(&w);
	return 0;
}

/* The vif was closed, alone, and everything of it is given back; then it may come again. */
static void assert_disabled(void)
{
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosing);
	fake_guest_disconnect(&evil);
	fake_guest_state(&evil, XenbusStateClosed);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosed);
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateInitWait);
}

static void reconnect(void)
{
	fake_guest_connect(&evil);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
}

/* Only the packet was refused: n error responses, and the vif goes on. */
static void assert_refused(unsigned n)
{
	unsigned errors = evil.tx_errors;

	world_settle(&w);
	fake_guest_take_tx(&evil);
	assert_int_equal(evil.tx_errors - errors, n);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
	world_assert_traffic(&w, &evil, &n1);
}

static void publish_tx(uint32_t prod)
{
	shm_store_release(&evil.tx.shared->req_prod, prod);
	hv_fake_evtchn_send(w.hv, 3, evil.tx_port);
}

/* ---- XSA-39, 86, 155: ring indices, ids ---- */

static void xsa_39_tx_index_out_of_range(void **state)
{
	static const uint32_t ahead[] = {257, 1000, 0x7fffffff, 0x80000000, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(ahead); i++) {
		publish_tx(ahead[i]);
		assert_disabled();
		reconnect();
	}
}

static void xsa_39_tx_index_goes_back(void **state)
{
	(void)state;
	fake_guest_send(&evil, frame, 60, 0, NULL);
	world_settle(&w);
	publish_tx(0);
	assert_disabled();
}

static void xsa_39_rx_index_out_of_range(void **state)
{
	static const uint32_t ahead[] = {513, 0x80000000, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(ahead); i++) {
		shm_store_release(&evil.rx.shared->req_prod, ahead[i]);
		world_frame(frame, 60, 1, 3);
		fake_guest_send(&n1, frame, 60, 0, NULL);
		assert_disabled();
		fake_guest_take_tx(&n1);
		reconnect();
	}
}

static void xsa_86_index_absurd_at_connect(void **state)
{
	(void)state;
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_disconnect(&evil);
	fake_guest_rings(&evil);
	fake_guest_keys(&evil);
	shm_store(&evil.tx.shared->req_prod, 100000);
	fake_guest_state(&evil, XenbusStateConnected);
	assert_disabled();
	reconnect();
}

/* Event indices are the guest's own business: any value only costs itself events. */
static void xsa_155_event_indices(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		shm_store(&evil.tx.shared->rsp_event, 0x11111111u * i);
		shm_store(&evil.rx.shared->rsp_event, 0xffffffffu - i);
		shm_store(&evil.tx.shared->req_event, 0x80000000u + i);
		shm_store(&evil.tx.shared->rsp_prod, 77 * i);
		fake_guest_send(&evil, frame, 60, 0, NULL);
		world_settle(&w);
	}
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
}

static void xsa_155_ids_are_only_echoed(void **state)
{
	static const uint16_t id[] = {0, 255, 256, 0x7fff, 0x8000, 0xffff};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(id); i++) {
		net_tx_slot slot = fake_guest_slot(&evil, i, 60);
		struct netif_tx_response rsp;

		slot.req.id = id[i];
		fake_guest_send_slots(&evil, &slot, 1);
		world_settle(&w);
		front_ring_read(&evil.tx, 0, &rsp, sizeof(rsp));
		assert_int_equal(rsp.id, id[i]);
		fake_guest_take_tx(&evil);
	}
	assert_int_equal(evil.tx_errors, 0);
}

/* ---- lengths and offsets ---- */

static void send_one(uint16_t offset, uint16_t size)
{
	net_tx_slot slot = fake_guest_slot(&evil, 0, size);

	slot.req.offset = offset;
	fake_guest_send_slots(&evil, &slot, 1);
}

static void fragment_crosses_its_page(void **state)
{
	static const struct {
		uint16_t offset, size;
	} c[] = {{0, 4097}, {1, 4096}, {4095, 60}, {4096, 60}, {0xffff, 60}, {0xffff, 0xffff}, {0, 0xffff}};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(c); i++) {
		send_one(c[i].offset, c[i].size);
		assert_disabled();
		reconnect();
	}
}

static void too_short_for_an_ethernet_header(void **state)
{
	(void)state;
	for (uint16_t size = 0; size < 14; size++) {
		send_one(0, size);
		assert_refused(1);
	}
}

/* ---- XSA-90, 423, 432, 448: shapes of packets ---- */

/* n slots with the given sizes, the first as whole size; more_data on all but the last. */
static unsigned chain(net_tx_slot *slots, unsigned n, uint16_t total, uint16_t each)
{
	for (unsigned i = 0; i < n; i++) {
		slots[i] = fake_guest_slot(&evil, i, i ? each : total);
		slots[i].req.flags = i + 1 < n ? NETTXF_more_data : 0;
	}
	return n;
}

static void xsa_90_too_many_slots(void **state)
{
	net_tx_slot slots[64];

	(void)state;
	for (unsigned n = NET_SLOTS_MAX + 1; n <= NET_SLOTS_TOLERATED; n++) {
		fake_guest_send_slots(&evil, slots, chain(slots, n, 4000, 100));
		assert_refused(n);
	}
	fake_guest_send_slots(&evil, slots, chain(slots, NET_SLOTS_TOLERATED + 1, 4000, 100));
	assert_disabled();
	reconnect();
	fake_guest_send_slots(&evil, slots, chain(slots, 64, 40000, 100));
	assert_disabled();
}

static void xsa_448_chain_without_an_end(void **state)
{
	static net_tx_slot slots[256];

	(void)state;
	chain(slots, 3, 400, 100);
	slots[2].req.flags = NETTXF_more_data;
	fake_guest_send_slots(&evil, slots, 3);
	assert_disabled();
	reconnect();
	chain(slots, 256, 60000, 10); /* the whole ring */
	slots[255].req.flags = NETTXF_more_data;
	fake_guest_send_slots(&evil, slots, 256);
	assert_disabled();
}

/* As many slots as possible, headers in one-byte pieces: Linux crashed; here it is a packet like any other. */
static void xsa_423_432_headers_outside_the_first_fragment(void **state)
{
	net_tx_slot slots[18];
	struct net_packet p;

	(void)state;
	world_frame(frame, 60, 3, 1);
	world_tcp(frame, 60, false);
	memcpy(fake_guest_tx_buffer(&evil, 0), frame, 43);
	for (unsigned i = 1; i < 18; i++)
		fake_guest_tx_buffer(&evil, i)[0] = frame[42 + i];
	chain(slots, 18, 60, 1);
	slots[0].req.flags |= NETTXF_csum_blank | NETTXF_data_validated;
	fake_guest_send_slots(&evil, slots, 18);
	world_settle(&w);
	assert_int_equal(fake_guest_receive(&n1, got, sizeof(got), &p, true), 60);
	assert_memory_equal(got, frame, 60);
	fake_guest_take_tx(&evil);
	assert_int_equal(evil.tx_ok, 18);
}

static void xsa_432_zero_length_fragments(void **state)
{
	net_tx_slot slots[3];

	(void)state;
	fake_guest_send_slots(&evil, slots, chain(slots, 3, 100, 0));
	assert_refused(3);
}

/* The pieces sum up to more than the whole, or leave nothing to the first. */
static void xsa_423_sizes_do_not_add_up(void **state)
{
	net_tx_slot slots[3];

	(void)state;
	fake_guest_send_slots(&evil, slots, chain(slots, 3, 100, 60));
	assert_refused(3);
	fake_guest_send_slots(&evil, slots, chain(slots, 3, 100, 50));
	assert_refused(3);
	evil.tx_ok = 0;
	fake_guest_send_slots(&evil, slots, chain(slots, 3, 100, 43)); /* 14 bytes in the first */
	world_settle(&w);
	fake_guest_take_tx(&evil);
	assert_int_equal(evil.tx_ok, 3);
}

/* ---- extra-info ---- */

static net_tx_slot extra(uint8_t type, uint8_t flags, uint16_t gso_size, uint8_t gso_type)
{
	net_tx_slot slot;
	struct netif_extra_info *x = (void *)&slot;

	memset(&slot, 0, sizeof(slot));
	x->type = type;
	x->flags = flags;
	x->u.gso.size = gso_size;
	x->u.gso.type = gso_type;
	return slot;
}

static void extra_info_is_nonsense(void **state)
{
	const net_tx_slot bad[] = {
		extra(0, 0, 0, 0),
		extra(XEN_NETIF_EXTRA_TYPE_MAX, 0, 0, 0),
		extra(255, 255, 0xffff, 255),
		extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, 0, XEN_NETIF_GSO_TYPE_TCPV4),
		extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, 1448, 0),
		extra(XEN_NETIF_EXTRA_TYPE_GSO, 0, 1448, 99),
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(bad); i++) {
		net_tx_slot slots[2] = {fake_guest_slot(&evil, 0, 100), bad[i]};

		slots[0].req.flags = NETTXF_extra_info;
		fake_guest_send_slots(&evil, slots, 2);
		assert_disabled();
		reconnect();
	}
}

static void extra_info_without_end(void **state)
{
	static net_tx_slot slots[256];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		slots[i] = extra(XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_FLAG_MORE, 1448, XEN_NETIF_GSO_TYPE_TCPV4);
	slots[0] = fake_guest_slot(&evil, 0, 100);
	slots[0].req.flags = NETTXF_extra_info;
	fake_guest_send_slots(&evil, slots, 256);
	assert_disabled();
	reconnect();
	fake_guest_send_slots(&evil, slots, 1); /* announced, and the ring ends */
	assert_disabled();
}

/* A multicast wish that we never offered to hear. */
static void extra_info_multicast(void **state)
{
	net_tx_slot slots[2] = {fake_guest_slot(&evil, 0, 100), extra(XEN_NETIF_EXTRA_TYPE_MCAST_ADD, 0, 0, 0)};

	(void)state;
	slots[0].req.flags = NETTXF_extra_info;
	fake_guest_send_slots(&evil, slots, 2);
	assert_refused(1);
}

/* GSO or a blank checksum for packets that have no such headers. */
static void offload_wishes_that_headers_deny(void **state)
{
	const struct net_packet wish[] = {
		{.csum_blank = true},
		{.csum_blank = true, .gso_type = XEN_NETIF_GSO_TYPE_TCPV4, .gso_size = 1448},
		{.gso_type = XEN_NETIF_GSO_TYPE_TCPV6, .gso_size = 1},
	};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(wish); i++) {
		world_frame(frame, 3000, 3, 1);
		fake_guest_send(&evil, frame, 3000, 0, &wish[i]);
		assert_refused(1);
	}
}

/* TCP to be cut into segments of a byte: a packet that would become thousands. */
static void gso_of_one_byte(void **state)
{
	const struct net_packet p = {.csum_blank = true, .gso_type = XEN_NETIF_GSO_TYPE_TCPV4, .gso_size = 1};

	(void)state;
	world_frame(frame, 3000, 3, 1);
	world_tcp(frame, 3000, false);
	fake_guest_send(&evil, frame, 3000, 0, &p);
	assert_refused(1);
}

/* The back end answers what g sent, within the pause that a receiver without room may cause. */
static void until_taken(struct fake_guest *g)
{
	uint64_t end = rte_rdtsc() + rte_get_tsc_hz() / 10;

	while (fake_guest_take_tx(g) == 0 && rte_rdtsc() < end)
		poller_round(w.nb.poller, false);
}

/* Each header byte in turn is every kind of wrong: whatever becomes of the packet, the vif and its neighbours go on. */
static void headers_of_every_kind(void **state)
{
	static const uint8_t value[] = {0x00, 0x01, 0x0f, 0x40, 0x41, 0x4f, 0x60, 0x80, 0xf0, 0xff};
	const struct net_packet p = {.csum_blank = true, .gso_type = XEN_NETIF_GSO_TYPE_TCPV4, .gso_size = 100};
	const struct net_packet blank = {.csum_blank = true};

	(void)state;
	for (int v6 = 0; v6 <= 1; v6++)
		for (unsigned at = 12; at < 80; at++)
			for (unsigned i = 0; i < RTE_DIM(value); i++) {
				world_frame(frame, 600, 3, 1);
				world_tcp(frame, 600, v6);
				frame[at] = value[i];
				fake_guest_send(&evil, frame, i % 2 ? 600 : at + 1, 0, at % 2 ? &p : &blank);
				until_taken(&evil);
				drain(&n1);
			}
	world_settle(&w);
	fake_guest_take_tx(&evil);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
}

/* ---- grants: XSA-316, 361, 362, 365, 367, 371 (each entry's own status), 396 ---- */

static void send_gref(gref_t gref)
{
	net_tx_slot slot = fake_guest_slot(&evil, 0, 60);

	slot.req.gref = gref;
	fake_guest_send_slots(&evil, &slot, 1);
}

static void xsa_361_grefs_that_are_not_ours_to_read(void **state)
{
	gref_t foreign;

	(void)state;
	assert_int_equal(hv_fake_grant(w.hv, 3, 1, evil.tx_buffers, true, &foreign), 0);
	send_gref(foreign);     /* granted to another domain */
	assert_refused(1);
	send_gref(0);           /* never given out */
	assert_refused(1);
	send_gref(4000);        /* free */
	assert_refused(1);
	send_gref(0xffffffff);  /* beyond the table */
	assert_refused(1);
}

/* One bad entry in the middle of a burst: the others are carried, in both directions of looking at it. */
static void xsa_316_bad_entry_in_a_batch(void **state)
{
	struct net_packet p;

	(void)state;
	world_frame(frame, 60, 3, 1);
	for (unsigned i = 0; i < 9; i++) {
		net_tx_slot slot = fake_guest_slot(&evil, i, 60);

		memcpy(fake_guest_tx_buffer(&evil, i), frame, 60);
		slot.req.gref = i == 4 ? 4000 : slot.req.gref;
		fake_guest_send_slots(&evil, &slot, 1);
	}
	world_settle(&w);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(fake_guest_receive(&n1, got, sizeof(got), &p, true), 60);
	assert_int_equal(fake_guest_receive(&n1, got, sizeof(got), &p, true), 0);
	fake_guest_take_tx(&evil);
	assert_int_equal(evil.tx_ok, 8);
	assert_int_equal(evil.tx_errors, 1);
}

static void xsa_365_rx_pages_that_are_not_ours_to_write(void **state)
{
	const gref_t bad[] = {evil.tx_gref[0] /* read-only */, 4000, 0, 0xffffffff};
	struct net_packet p;

	(void)state;
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_disconnect(&evil);
	memset(evil.tx_buffers, 0x55, SLUICE_PAGE_SIZE);
	for (unsigned i = 0; i < RTE_DIM(bad); i++)
		evil.rx_gref[i] = bad[i];
	reconnect();
	world_frame(frame, 60, 1, 3);
	for (unsigned i = 0; i < RTE_DIM(bad) + 1; i++)
		fake_guest_send(&n1, frame, 60, 0, NULL);
	world_settle(&w);
	fake_guest_take_tx(&n1);
	for (unsigned i = 0; i < RTE_DIM(bad); i++)
		assert_int_equal(fake_guest_receive(&evil, got, sizeof(got), &p, false), -1);
	assert_int_equal(fake_guest_receive(&evil, got, sizeof(got), &p, false), 60);
	for (unsigned i = 0; i < SLUICE_PAGE_SIZE; i++)
		assert_int_equal(evil.tx_buffers[i], 0x55);
}

static void xsa_367_rings_that_cannot_be_mapped(void **state)
{
	gref_t foreign, readonly, mine;

	(void)state;
	hv_fake_grant(w.hv, 3, 1, evil.tx_page, false, &foreign);
	hv_fake_grant(w.hv, 3, 0, evil.tx_page, true, &readonly);
	hv_fake_grant(w.hv, 3, 0, evil.tx_page, false, &mine);
	for (unsigned i = 0; i < 4; i++) {
		fake_guest_state(&evil, XenbusStateInitialising);
		world_settle(&w);
		fake_guest_disconnect(&evil);
		fake_guest_rings(&evil);
		fake_guest_keys(&evil);
		fake_guest_number(&evil, i % 2 ? "tx-ring-ref" : "rx-ring-ref", i == 0 ? foreign : i == 1 ? readonly : i == 2 ? 4000 : 0);
		fake_guest_state(&evil, XenbusStateConnected);
		world_settle(&w);
		assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosing);
	}
	assert_int_equal(hv_fake_grant_end(w.hv, 3, readonly), 0);
	assert_int_equal(hv_fake_grant_end(w.hv, 3, mine), 0);
}

/* Both rings in one page, or a ring that is a packet buffer too: only its own packets suffer. */
static void one_page_for_everything(void **state)
{
	(void)state;
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_disconnect(&evil);
	fake_guest_rings(&evil);
	fake_guest_keys(&evil);
	fake_guest_number(&evil, "rx-ring-ref", evil.tx_ring_gref);
	fake_guest_state(&evil, XenbusStateConnected);
	world_settle(&w);
	for (unsigned i = 0; i < 20; i++) {
		net_tx_slot slot = fake_guest_slot(&evil, i, 600);

		slot.req.gref = evil.tx_ring_gref;
		fake_guest_send_slots(&evil, &slot, 1);
		world_frame(frame, 60, 1, 3);
		fake_guest_send(&n1, frame, 60, 0, NULL);
		world_settle(&w);
		fake_guest_take_tx(&n1);
	}
}

/* ---- XSA-216, 403: nothing of ours leaks ---- */

static void xsa_216_padding_of_responses(void **state)
{
	const struct net_packet gso = {.csum_blank = true, .gso_type = XEN_NETIF_GSO_TYPE_TCPV4, .gso_size = 1448};
	struct netif_extra_info x;
	net_tx_slot slot;

	(void)state;
	fake_guest_send(&evil, frame, 60, 0, NULL);
	world_settle(&w);
	front_ring_read(&evil.tx, 0, &slot, sizeof(slot)); /* 4 bytes of response, then what the guest itself had there: offset, flags, id, size */
	assert_int_equal(slot.req.id, 0);
	assert_int_equal(slot.req.size, 60);
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_disconnect(&evil);
	evil.gso = true;
	reconnect();
	memset(evil.rx_buffers, 0xaa, 2 * SLUICE_PAGE_SIZE);
	world_frame(frame, 3000, 1, 3);
	world_tcp(frame, 3000, false);
	fake_guest_send(&n1, frame, 3000, 0, &gso);
	world_settle(&w);
	fake_guest_take_tx(&n1);
	front_ring_read(&evil.rx, 1, &x, sizeof(x));
	assert_int_equal(x.type, XEN_NETIF_EXTRA_TYPE_GSO);
	assert_int_equal(x.flags | x.u.gso.pad | x.u.gso.features, 0);
}

static void xsa_403_only_the_packet_is_written(void **state)
{
	struct net_packet p;

	(void)state;
	memset(evil.rx_buffers, 0xaa, (size_t)FAKE_GUEST_BUFFERS * SLUICE_PAGE_SIZE);
	for (unsigned i = 0; i < 100; i++) {
		uint8_t *page = evil.rx_buffers + i * SLUICE_PAGE_SIZE;

		world_frame(frame, 60 + i, 1, 3);
		fake_guest_send(&n1, frame, 60 + i, 0, NULL);
		world_settle(&w);
		fake_guest_take_tx(&n1);
		assert_int_equal(fake_guest_receive(&evil, got, sizeof(got), &p, false), 60 + i);
		for (unsigned at = 0; at < SLUICE_PAGE_SIZE; at++)
			if (at < p.frags[0].offset || at >= p.frags[0].offset + 60 + i)
				assert_int_equal(page[at], 0xaa);
	}
}

/* ---- XSA-392: a guest that takes nothing ---- */

static void xsa_392_stalled_guest_holds_little(void **state)
{
	struct netback_queue *q = &world_vif(&w, &evil)->queue[0];
	struct net_packet p;

	(void)state;
	world_frame(frame, 1500, 1, 3);
	for (unsigned i = 0; i < 2000; i++) {
		fake_guest_send(&n1, frame, 1500, 0, NULL);
		until_taken(&n1); /* a receiver that takes nothing holds its senders up for NETBACK_PAUSE_US, once */
		assert_true(q->wait_segs <= NETBACK_WAIT_SEGS);
	}
	for (unsigned i = 0; i < 20; i++) { /* one free slot now and then does not keep the queue alive */
		fake_guest_receive(&evil, got, sizeof(got), &p, true);
		hv_fake_evtchn_send(w.hv, 3, evil.rx_port);
		world_run_ms(&w, 15);
		fake_guest_send(&n1, frame, 1500, 0, NULL);
		fake_guest_take_tx(&n1);
		assert_true(q->wait_segs <= NETBACK_WAIT_SEGS);
	}
	world_run_ms(&w, NETBACK_STALL_US / 1000 + 20);
	fake_guest_take_tx(&n1);
	assert_int_equal(q->wait_segs, 0);
	assert_int_equal(w.nb.waiting_segs, 0);
}

/* ---- XSA-331, 332, 391, 441: events ---- */

static void xsa_391_event_storm(void **state)
{
	struct net_packet p;

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		hv_fake_evtchn_send(w.hv, 3, evil.tx_port);
		poller_round(w.nb.poller, false);
	}
	world_frame(frame, 60, 1, 2);
	fake_guest_send(&n1, frame, 60, 0, NULL);
	for (unsigned i = 0; i < 4; i++) {
		hv_fake_evtchn_send(w.hv, 3, evil.tx_port);
		poller_round(w.nb.poller, false);
	}
	assert_int_equal(fake_guest_receive(&n2, got, sizeof(got), &p, true), 60);
	fake_guest_take_tx(&n1);
}

static void xsa_331_event_channel_closed_in_use(void **state)
{
	(void)state;
	fake_guest_send(&evil, frame, 60, 0, NULL);
	hv_fake_evtchn_close(w.hv, 3, evil.tx_port);
	world_settle(&w);
	fake_guest_send(&evil, frame, 60, 0, NULL);
	world_frame(frame, 60, 1, 3);
	fake_guest_send(&n1, frame, 60, 0, NULL);
	world_settle(&w);
	fake_guest_take_tx(&n1);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateConnected);
}

static void event_channels_that_are_not_ours(void **state)
{
	evtchn_t foreign;

	(void)state;
	hv_fake_evtchn_alloc(w.hv, 3, 1, &foreign);
	for (unsigned i = 0; i < 4; i++) {
		fake_guest_state(&evil, XenbusStateInitialising);
		world_settle(&w);
		fake_guest_disconnect(&evil);
		fake_guest_rings(&evil);
		fake_guest_keys(&evil);
		/* offered to another domain; another domain's own; none; never allocated */
		fake_guest_number(&evil, "event-channel", i == 0 ? foreign : i == 1 ? n1.tx_port + 40 : i == 2 ? 0 : 200);
		fake_guest_state(&evil, XenbusStateConnected);
		assert_disabled();
		fake_guest_rings(&evil);
	}
}

/* ---- XSA-350, 374: rapid connect and disconnect; disconnect at every step ---- */

static void xsa_350_rapid_state_changes(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		seed = seed * 1103515245 + 12345;
		fake_guest_number(&evil, "state", seed >> 16 & 15);
		if (i % 3 == 0) {
			world_frame(frame, 60, 1, 3);
			fake_guest_send(&n1, frame, 60, 0, NULL);
			fake_guest_take_tx(&n1);
		}
		if (i % 7 == 0)
			world_settle(&w);
		poller_round(w.nb.poller, false);
	}
	world_settle(&w);
	fake_guest_state(&evil, XenbusStateClosed);
	world_settle(&w);
	fake_guest_take_tx(&n1);
	fake_guest_disconnect(&evil);
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	reconnect();
}

static void xsa_374_leaves_with_packets_under_way(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned k = 0; k < 300; k++) {
			world_frame(frame, 60, 1, 3);
			fake_guest_send(&n1, frame, 60, 0, NULL);
			if (k % 32 == 0)
				poller_round(w.nb.poller, false);
			fake_guest_take_tx(&n1);
		}
		fake_guest_send(&evil, frame, 60, 0, NULL);
		fake_guest_state(&evil, i % 2 ? XenbusStateClosed : XenbusStateInitialising);
		world_settle(&w);
		fake_guest_take_tx(&n1);
		fake_guest_disconnect(&evil);
		fake_guest_state(&evil, XenbusStateInitialising);
		world_settle(&w);
		reconnect();
	}
}

static void gone_at_every_step_of_the_handshake(void **state)
{
	static const char *const keys[] = {"tx-ring-ref", "rx-ring-ref", "event-channel", "request-rx-copy"};
	char path[64];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(keys); i++) {
		fake_guest_state(&evil, XenbusStateInitialising);
		world_settle(&w);
		fake_guest_disconnect(&evil);
		fake_guest_rings(&evil);
		fake_guest_keys(&evil);
		snprintf(path, sizeof(path), "device/vif/0/%s", keys[i]);
		assert_int_equal(hv_fake_store_rm(w.hv, 3, path), 0);
		fake_guest_state(&evil, XenbusStateConnected);
		assert_disabled();
		fake_guest_rings(&evil);
	}
	assert_int_equal(hv_fake_store_rm(w.hv, 3, "device/vif/0"), 0);
	world_settle(&w);
	world_assert_traffic(&w, &n1, &n2);
}

static void keys_that_are_no_numbers(void **state)
{
	static const char *const keys[] = {"tx-ring-ref", "rx-ring-ref", "event-channel", "event-channel-tx", "request-rx-copy", "feature-sg",
					   "feature-gso-tcpv4", "feature-no-csum-offload", "multi-queue-num-queues"};
	static const char *const values[] = {"", " 8", "8 ", "-1", "+8", "0x8", "8x", "99999999999999999999", "4294967296", "4294967295", "%s%n", "/", "\n8"};
	char path[64];

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(keys); i++) {
		for (unsigned k = 0; k < RTE_DIM(values); k++) {
			fake_guest_state(&evil, XenbusStateInitialising);
			world_settle(&w);
			fake_guest_disconnect(&evil);
			fake_guest_rings(&evil);
			fake_guest_keys(&evil);
			fake_guest_key(&evil, keys[i], values[k]);
			fake_guest_state(&evil, XenbusStateConnected);
			world_settle(&w);
			assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosing);
		}
		snprintf(path, sizeof(path), "device/vif/0/%s", keys[i]);
		hv_fake_store_rm(w.hv, 3, path);
	}
}

static void states_that_are_no_states(void **state)
{
	static const char *const values[] = {"", "99", "-1", "4x", "four", "18446744073709551620"};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(values); i++) {
		fake_guest_key(&evil, "state", values[i]);
		world_settle(&w);
		assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosing); /* as if it had gone */
		fake_guest_disconnect(&evil);
		fake_guest_state(&evil, XenbusStateInitialising);
		world_settle(&w);
		reconnect();
	}
}

static void very_long_values(void **state)
{
	static char value[4000];

	(void)state;
	memset(value, '7', sizeof(value) - 1);
	fake_guest_key(&evil, "state", value);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&evil), XenbusStateClosing);
}

/* ---- XSA-115, 175, 349: the store ---- */

static void xsa_349_watch_storm(void **state)
{
	uint64_t reads = hv_fake_count(w.hv, HV_FAKE_STORE_READ);
	struct net_packet p;

	(void)state;
	for (unsigned i = 0; i < 5000; i++)
		fake_guest_state(&evil, XenbusStateConnected);
	world_frame(frame, 60, 1, 2);
	fake_guest_send(&n1, frame, 60, 0, NULL);
	world_run_ms(&w, 3);
	assert_int_equal(fake_guest_receive(&n2, got, sizeof(got), &p, true), 60); /* served while the storm still waits in the queue */
	fake_guest_take_tx(&n1);
	world_run_ms(&w, 60);
	assert_true(hv_fake_count(w.hv, HV_FAKE_STORE_READ) - reads < 500); /* not one look per event */
}

static void xsa_175_path_of_another(void **state)
{
	(void)state;
	/* a guest cannot write our nodes at all */
	assert_int_equal(hv_fake_store_write(w.hv, 3, "/local/domain/0/backend/vif/3/1/frontend", "/local/domain/1/device/vif/0"), -EACCES);
	/* and what it writes about itself leads nowhere */
	fake_guest_key(&evil, "backend", "/local/domain/0/backend/vif/1/0");
	fake_guest_key(&evil, "backend-id", "1");
	fake_guest_state(&evil, XenbusStateClosed);
	world_settle(&w);
	assert_int_equal(fake_guest_backend_state(&n1), XenbusStateConnected);
	/* a node whose front end is somebody else's is not served */
	hv_fake_store_write(w.hv, 0, "backend/vif/3/1/state", "1");
	hv_fake_store_write(w.hv, 0, "backend/vif/3/1/frontend", "/local/domain/1/device/vif/0");
	world_settle(&w);
	assert_null(devices_find(w.devices, 3, 1));
}

static void xsa_115_names_that_are_no_numbers(void **state)
{
	static const char *const nodes[] = {"backend/vif/x/0/state", "backend/vif/3/y/state", "backend/vif/99999999999/0/state", "backend/vif/3/65536/state",
					    "backend/vif/-1/0/state", "backend/vifx/1/0/state"};

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(nodes); i++)
		assert_int_equal(hv_fake_store_write(w.hv, 0, nodes[i], "1"), 0);
	world_settle(&w);
	assert_int_equal(devices_count(w.devices), 3);
}

/* ---- XSA-270: we offer no control ring, and keys about one change nothing ---- */

static void xsa_270_control_ring_is_not_there(void **state)
{
	(void)state;
	fake_guest_state(&evil, XenbusStateInitialising);
	world_settle(&w);
	fake_guest_disconnect(&evil);
	fake_guest_key(&evil, "ctrl-ring-ref", "8");
	fake_guest_key(&evil, "event-channel-ctrl", "1");
	reconnect();
	world_assert_traffic(&w, &evil, &n1);
}

/* ---- anything at all ---- */

static void random_slots(void **state)
{
	uint32_t seed = 42;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		net_tx_slot slots[40];
		uint8_t *bytes = (uint8_t *)slots;

		for (size_t k = 0; k < sizeof(slots); k++) {
			seed = seed * 1664525 + 1013904223;
			bytes[k] = (uint8_t)(seed >> 24);
		}
		for (unsigned k = 0; k < 40; k++) { /* mostly plausible, or all would end at the first */
			slots[k].req.offset &= 0x7ff;
			slots[k].req.size &= k % 4 ? 0x3ff : 0xfff;
			slots[k].req.flags &= seed >> (k % 20) & 15;
			if (k % 5)
				slots[k].req.gref = evil.tx_gref[k];
		}
		fake_guest_send_slots(&evil, slots, 1 + i % 40);
		world_run_ms(&w, 2);
		if (fake_guest_backend_state(&evil) == XenbusStateConnected) {
			fake_guest_take_tx(&evil);
		} else {
			assert_disabled();
			reconnect();
		}
		drain(&n1);
		drain(&n2);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(xsa_39_tx_index_out_of_range),
		CASE(xsa_39_tx_index_goes_back),
		CASE(xsa_39_rx_index_out_of_range),
		CASE(xsa_86_index_absurd_at_connect),
		CASE(xsa_155_event_indices),
		CASE(xsa_155_ids_are_only_echoed),
		CASE(fragment_crosses_its_page),
		CASE(too_short_for_an_ethernet_header),
		CASE(xsa_90_too_many_slots),
		CASE(xsa_448_chain_without_an_end),
		CASE(xsa_423_432_headers_outside_the_first_fragment),
		CASE(xsa_432_zero_length_fragments),
		CASE(xsa_423_sizes_do_not_add_up),
		CASE(extra_info_is_nonsense),
		CASE(extra_info_without_end),
		CASE(extra_info_multicast),
		CASE(offload_wishes_that_headers_deny),
		CASE(gso_of_one_byte),
		CASE(headers_of_every_kind),
		CASE(xsa_361_grefs_that_are_not_ours_to_read),
		CASE(xsa_316_bad_entry_in_a_batch),
		CASE(xsa_365_rx_pages_that_are_not_ours_to_write),
		CASE(xsa_367_rings_that_cannot_be_mapped),
		CASE(one_page_for_everything),
		CASE(xsa_216_padding_of_responses),
		CASE(xsa_403_only_the_packet_is_written),
		CASE(xsa_392_stalled_guest_holds_little),
		CASE(xsa_391_event_storm),
		CASE(xsa_331_event_channel_closed_in_use),
		CASE(event_channels_that_are_not_ours),
		CASE(xsa_350_rapid_state_changes),
		CASE(xsa_374_leaves_with_packets_under_way),
		CASE(gone_at_every_step_of_the_handshake),
		CASE(keys_that_are_no_numbers),
		CASE(states_that_are_no_states),
		CASE(very_long_values),
		CASE(xsa_349_watch_storm),
		CASE(xsa_175_path_of_another),
		CASE(xsa_115_names_that_are_no_numbers),
		CASE(xsa_270_control_ring_is_not_there),
		CASE(random_slots),
	};

	return cmocka_run_group_tests_name("hostile netback", tests, NULL, NULL);
}
