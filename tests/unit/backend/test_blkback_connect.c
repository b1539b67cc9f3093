/* SPDX-License-Identifier: BSD-3-Clause */
/* A vbd's handshake: what is offered, every way to connect, disks that cannot be opened, closing with requests under way, resize, a back end that is restarted. */
#include <tests/support/blk_world.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SIZE (1u << 20)

static struct blk_world w;
static struct blk_disk disk, other;
static struct blk_peer p, neighbour;

static int setup(void **state)
{
	(void)state;
	blk_world_create(&w);
	blk_disk_init(&disk, "disk", SIZE, 512);
	blk_disk_init(&other, "other", SIZE, 512);
	blk_peer_init(&p, &w, 1);
	blk_peer_init(&neighbour, &w, 2);
	blk_peer_add(&neighbour, &other, "w");
	return 0;
}

/* Whatever happened to the one, the other goes on. */
static int teardown(void **state)
{
	(void)state;
	blk_peer_assert_works(&neighbour);
	blk_world_destroy(&w);
	blk_disk_fini(&disk);
	blk_disk_fini(&other);
	return 0;
}

static void offer(const char *params, const char *mode, const char *extra)
{
	toolstack_add_vbd(w.hv, 1, p.devid, params, mode, extra);
	blk_world_settle(&w);
}

static void assert_state(int state)
{
	blk_world_settle(&w);
	assert_int_equal(blk_peer_backend_state(&p), state);
}

static void own_key(const char *key, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "backend/vbd/1/%u/%s", p.devid, key);
	assert_int_equal(hv_fake_store_write(w.hv, 0, path, value), 0);
}

static char *error_node(void)
{
	char path[128];

	snprintf(path, sizeof(path), "error/backend/vbd/1/%u/error", p.devid);
	return hv_fake_store_read(w.hv, 0, path);
}

/* ---- what is offered ---- */

static void features(void **state)
{
	static const struct {
		const char *key;
		long long value;
	} keys[] = {
		{"sectors", SIZE / 512}, {"sector-size", 512}, {"physical-sector-size", 4096}, {"info", 0}, {"feature-flush-cache", 1},
		{"feature-barrier", 1}, {"feature-persistent", 1}, {"feature-max-indirect-segments", 256}, {"max-ring-page-order", 4},
		{"max-ring-pages", 16}, {"multi-queue-max-queues", 4}, {"feature-discard", 1}, {"discard-granularity", 4096},
		{"discard-alignment", 0}, {"discard-secure", 1},
	};

	(void)state;
	offer("disk", "w", NULL);
	assert_state(XenbusStateInitWait);
	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_int_equal(blk_peer_backend_key(&p, keys[i].key), keys[i].value);
}

static void features_of_a_poor_disk(void **state)
{
	(void)state;
	disk.dev.info.can_flush = disk.dev.info.can_discard = disk.dev.info.can_secure_discard = false;
	disk.dev.info.sector_size = 4096;
	disk.dev.info.physical_sector_size = 0;
	offer("disk", "w", NULL);
	assert_int_equal(blk_peer_backend_key(&p, "feature-flush-cache"), 0);
	assert_int_equal(blk_peer_backend_key(&p, "feature-barrier"), 0);
	assert_int_equal(blk_peer_backend_key(&p, "feature-discard"), 0);
	assert_int_equal(blk_peer_backend_key(&p, "discard-granularity"), -1);
	assert_int_equal(blk_peer_backend_key(&p, "sector-size"), 4096);
	assert_int_equal(blk_peer_backend_key(&p, "physical-sector-size"), 4096);
	assert_int_equal(blk_peer_backend_key(&p, "sectors"), SIZE / 512);
}

static void discard_forbidden_by_the_toolstack(void **state)
{
	(void)state;
	offer("disk", "w", "discard-enable=0");
	assert_int_equal(blk_peer_backend_key(&p, "feature-discard"), 0);
}

static void readonly_cdrom(void **state)
{
	(void)state;
	offer("disk", "r", "device-type=cdrom");
	assert_int_equal(blk_peer_backend_key(&p, "info"), VDISK_READONLY | VDISK_CDROM);
	assert_int_equal(blk_peer_backend_key(&p, "feature-discard"), 0);
	assert_true(disk.dev.info.readonly);
}

static void removable(void **state)
{
	(void)state;
	offer("disk", "w", "removable=1");
	assert_int_equal(blk_peer_backend_key(&p, "info"), VDISK_REMOVABLE);
}

/* ---- ways to connect ---- */

static void assert_connects_and_works(void)
{
	offer("disk", "w", NULL);
	assert_state(XenbusStateInitWait);
	blk_peer_connect(&p);
	assert_state(XenbusStateConnected);
	blk_peer_assert_works(&p);
	blk_peer_reconnect(&p);
	blk_peer_assert_works(&p);
}

static void connects(void **state)
{
	(void)state;
	assert_connects_and_works();
}

static void x86_32(void **state)
{
	(void)state;
	p.layout = BLK_X86_32;
	assert_connects_and_works();
}

static void persistent(void **state)
{
	(void)state;
	p.persistent = true;
	assert_connects_and_works();
}

static void ring_of_16_pages(void **state)
{
	(void)state;
	p.nr_pages = 16;
	assert_connects_and_works();
	assert_int_equal(blk_peer_vbd(&p)->queue[0].ring.nr, 512);
}

static void num_ring_pages(void **state)
{
	(void)state;
	p.nr_pages = 4;
	p.num_ring_pages = true;
	assert_connects_and_works();
	assert_int_equal(blk_peer_vbd(&p)->queue[0].ring.nr, 128);
}

static void four_queues_of_two_pages(void **state)
{
	struct blk_segment seg;
	struct blk_peer_rsp rsp;

	(void)state;
	seg = blk_peer_seg(&p, 0, 0, 7);
	p.nr_queues = 4;
	p.nr_pages = 2;
	assert_connects_and_works();
	for (unsigned q = 0; q < 4; q++)
		blk_peer_send(&p, q, blk_peer_rw(&p, BLKIF_OP_READ, q, 0, &seg, 1));
	blk_world_settle(&w);
	for (unsigned q = 0; q < 4; q++) {
		assert_true(blk_peer_take(&p, q, &rsp));
		assert_int_equal(rsp.id, q);
		assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
	}
}

static void extended_device_number(void **state)
{
	(void)state;
	p.devid = (1u << 28) | (20u << 8);
	assert_connects_and_works();
}

/* ---- keys that make no sense: this vbd closes, alone ---- */

static void nonsense(const char *key, const char *value)
{
	char *text;

	offer("disk", "w", NULL);
	assert_state(XenbusStateInitWait);
	blk_peer_rings(&p);
	blk_peer_keys(&p);
	blk_peer_key(&p, key, value);
	blk_peer_state(&p, XenbusStateConnected);
	assert_state(XenbusStateClosing);
	text = error_node();
	assert_non_null(text);
	free(text);
	blk_peer_disconnect(&p);
}

static void bad_keys(void **state)
{
	static const char *const keys[][2] = {
		{"protocol", "arm-abi"}, {"protocol", ""}, {"ring-page-order", "5"}, {"ring-page-order", "-1"}, {"num-ring-pages", "3"},
		{"num-ring-pages", "0"}, {"num-ring-pages", "32"}, {"multi-queue-num-queues", "0"}, {"multi-queue-num-queues", "5"},
		{"multi-queue-num-queues", "2"}, {"ring-ref", "4000"}, {"ring-ref", "x"}, {"event-channel", "0x1"}, {"event-channel", "99"},
		{"feature-persistent", "2"},
	};

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char path[64];

		nonsense(keys[i][0], keys[i][1]);
		snprintf(path, sizeof(path), "device/vbd/%u", p.devid);
		hv_fake_store_rm(w.hv, 1, path);
		toolstack_remove_vbd(w.hv, 1, p.devid);
		blk_world_settle(&w);
		assert_null(blk_peer_vbd(&p));
	}
	(void)state;
}

static void absurd_index_at_connect(void **state)
{
	(void)state;
	offer("disk", "w", NULL);
	blk_peer_rings(&p);
	shm_store(&p.queue[0].ring.shared->req_prod, 33);
	blk_peer_keys(&p);
	blk_peer_state(&p, XenbusStateConnected);
	assert_state(XenbusStateClosing);
	blk_peer_disconnect(&p);
}

static void every_call_of_the_hypervisor_fails_once(void **state)
{
	static const enum hv_fake_call calls[] = {HV_FAKE_MAP_RING, HV_FAKE_BIND};

	(void)state;
	p.nr_queues = 2;
	offer("disk", "w", NULL);
	for (unsigned i = 0; i < 4; i++) {
		hv_fake_fail(w.hv, calls[i / 2], 1 + i % 2, -EINVAL);
		blk_peer_connect(&p);
		assert_state(XenbusStateClosing);
		blk_peer_disconnect(&p);
		blk_peer_state(&p, XenbusStateClosed);
		assert_state(XenbusStateClosed);
		blk_peer_state(&p, XenbusStateInitialising);
		assert_state(XenbusStateInitWait);
	}
	blk_peer_connect(&p);
	assert_state(XenbusStateConnected);
	blk_peer_assert_works(&p);
}

/* ---- disks that are not there ---- */

static void missing_disk(void **state)
{
	char *text;

	(void)state;
	offer("nowhere", "w", NULL);
	assert_state(XenbusStateClosing);
	text = error_node();
	assert_non_null(text);
	assert_string_equal(text, "2 nowhere: no such disk; make one");
	free(text);
	own_key("params", "disk"); /* put right by the toolstack */
	assert_state(XenbusStateInitWait);
	blk_peer_connect(&p);
	assert_state(XenbusStateConnected);
	blk_peer_assert_works(&p);
}

static void no_params(void **state)
{
	(void)state;
	offer("", "w", NULL);
	assert_state(XenbusStateClosing);
	blk_peer_state(&p, XenbusStateClosed);
	assert_state(XenbusStateClosed);
}

static void odd_sector_size(void **state)
{
	(void)state;
	disk.dev.info.sector_size = 520;
	offer("disk", "w", NULL);
	assert_state(XenbusStateClosing);
	assert_false(disk.opened);
}

/* A refused disk is not opened again and again. */
static void refused_once(void **state)
{
	(void)state;
	disk.open_error = -EACCES;
	offer("disk", "w", NULL);
	assert_state(XenbusStateClosing);
	disk.open_error = 0;
	own_key("removable", "1");
	assert_state(XenbusStateClosing);
	blk_peer_state(&p, XenbusStateClosed);
	assert_state(XenbusStateClosed);
	blk_peer_state(&p, XenbusStateInitialising); /* the guest tries again */
	assert_state(XenbusStateInitWait);
}

/* The node goes while its disk is being opened. */
static void removed_while_opening(void **state)
{
	(void)state;
	toolstack_add_vbd(w.hv, 1, p.devid, "disk", "w", NULL);
	while (TAILQ_EMPTY(&w.bb.opens))
		poller_round(w.poller, false);
	toolstack_remove_vbd(w.hv, 1, p.devid);
	blk_world_settle(&w);
	assert_null(blk_peer_vbd(&p));
	assert_false(disk.opened);
}

/* ---- closing while the disk works ---- */

static void start_held_write(void)
{
	struct blk_segment seg = blk_peer_seg(&p, 0, 0, 7);

	disk.hold = true;
	blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, 1, 0, &seg, 1));
	blk_world_settle(&w);
	assert_int_equal(disk.nr_held, 1);
}

static void assert_answered(uint64_t id)
{
	struct blk_peer_rsp rsp;

	assert_true(blk_peer_take(&p, 0, &rsp));
	assert_int_equal(rsp.id, id);
	assert_int_equal(rsp.status, BLKIF_RSP_OKAY);
}

/* Linux gives a disk up with requests on their way, and then waits for their answers. What is posted after Closed is nobody's. */
static void closing_waits_for_the_disk(void **state)
{
	struct blk_segment seg = blk_peer_seg(&p, 1, 0, 7);
	struct blk_peer_rsp rsp;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	start_held_write();
	blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, 2, 8, &seg, 1));
	blk_peer_state(&p, XenbusStateClosed); /* seen before the second write is */
	assert_state(XenbusStateClosing); /* not yet: a late write could fall into the next session */
	assert_int_equal(disk.nr_held, 2);
	assert_int_equal(hv_fake_grant_busy(w.hv, 1, p.gref[0]), 1);
	blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, 3, 16, &seg, 1));
	blk_peer_assert_works(&neighbour);
	blk_disk_end(&disk, 0);
	assert_state(XenbusStateClosing);
	assert_answered(1);
	blk_disk_end(&disk, 0);
	assert_state(XenbusStateClosed);
	assert_answered(2);
	assert_false(blk_peer_take(&p, 0, &rsp));
	assert_int_equal(disk.nr_held, 0);
	assert_int_equal(hv_fake_grant_busy(w.hv, 1, p.gref[0]), 0);
	blk_peer_disconnect(&p);
	disk.hold = false;
	blk_peer_state(&p, XenbusStateInitialising);
	assert_state(XenbusStateInitWait);
	blk_peer_connect(&p);
	assert_state(XenbusStateConnected);
	blk_peer_assert_works(&p);
}

/* A Linux guest whose disk is taken away may post what it still has in hand after it has said Closed, when an event makes it look. */
static void taken_away_under_writes(void **state)
{
	struct blk_segment seg = blk_peer_seg(&p, 1, 0, 7);
	struct blk_peer_rsp rsp;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	own_key("online", "0");
	own_key("state", "5");
	assert_state(XenbusStateClosing);
	while (hv_fake_evtchn_take(w.hv, 1, p.queue[0].port))
		;
	blk_peer_state(&p, XenbusStateClosed);
	assert_state(XenbusStateClosing);
	assert_true(hv_fake_evtchn_take(w.hv, 1, p.queue[0].port));
	for (unsigned id = 1; id <= 2; id++) {
		blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, id, 8, &seg, 1));
		assert_state(XenbusStateClosing);
		assert_answered(id);
		blk_world_run_ms(&w, BLKBACK_LINGER_US / 1000 * 4 / 5);
	}
	blk_world_run_ms(&w, BLKBACK_LINGER_US / 1000 * 2);
	blk_world_settle(&w);
	assert_null(blk_peer_vbd(&p)); /* offline and Closed: forgotten */
	assert_false(blk_peer_take(&p, 0, &rsp));
	blk_peer_disconnect(&p);
}

/* One request after the other into a ring that closes. How many, and whether each came in time: on a loaded machine we may lose the core for longer than the back end waits. */
static bool post_until_it_ends(unsigned *turns)
{
	struct blk_segment seg = blk_peer_seg(&p, 1, 0, 7);
	struct blk_peer_rsp rsp;
	bool in_time = true;

	blk_peer_add(&p, &disk, "w");
	own_key("online", "0");
	own_key("state", "5");
	blk_world_settle(&w);
	blk_peer_state(&p, XenbusStateClosed);
	blk_world_settle(&w);
	for (*turns = 0; blk_peer_vbd(&p) && *turns < 2 * BLKBACK_LINGERS; ++*turns) {
		uint64_t before = rte_rdtsc();

		blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, 1, 8, &seg, 1));
		blk_world_run_ms(&w, BLKBACK_LINGER_US / 1000 * 4 / 5);
		blk_peer_take(&p, 0, &rsp);
		in_time &= rte_rdtsc() - before < rte_get_tsc_hz() / 1000000 * BLKBACK_LINGER_US;
	}
	blk_peer_disconnect(&p);
	return in_time;
}

static void posts_for_ever(void **state)
{
	unsigned turns = 0;

	(void)state;
	for (unsigned tries = 0; tries < 20 && !post_until_it_ends(&turns); tries++)
		;
	assert_true(turns > BLKBACK_LINGERS && turns < 2 * BLKBACK_LINGERS);
}

/* What stood in the ring when it closed is waited for, but not when the guest takes it back. */
static void takes_its_requests_back(void **state)
{
	struct blk_segment seg = blk_peer_seg(&p, 1, 0, 7);
	struct front_ring *ring = &p.queue[0].ring;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.hold = true;
	blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE_BARRIER, 1, 0, &seg, 1));
	blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, 2, 8, &seg, 1));
	blk_world_settle(&w);
	blk_peer_state(&p, XenbusStateClosed);
	assert_state(XenbusStateClosing);
	shm_store(&ring->shared->req_prod, shm_load(&ring->shared->req_prod) - 1);
	disk.hold = false;
	while (disk.nr_held > 0)
		blk_disk_end(&disk, 0);
	assert_state(XenbusStateClosed);
	blk_peer_disconnect(&p);
}

static void removed_while_the_disk_works(void **state)
{
	char *seen;

	(void)state;
	p.persistent = true;
	blk_peer_add(&p, &disk, "w");
	start_held_write();
	toolstack_remove_vbd(w.hv, 1, p.devid);
	blk_world_settle(&w);
	seen = hv_fake_store_read(w.hv, 0, "backend/vbd/1/51712/state");
	assert_null(seen); /* not made anew */
	assert_non_null(blk_peer_vbd(&p));
	blk_disk_end(&disk, 0);
	blk_world_settle(&w);
	assert_null(blk_peer_vbd(&p));
	assert_false(disk.opened);
}

static void the_guest_dies_while_the_disk_works(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	start_held_write();
	hv_fake_domain_destroy(w.hv, 1);
	blk_world_settle(&w);
	blk_disk_end(&disk, 0);
	toolstack_remove_vbd(w.hv, 1, p.devid);
	blk_world_settle(&w);
	assert_null(blk_peer_vbd(&p));
}

static void the_back_end_stops_while_the_disk_works(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	start_held_write();
	devices_close(w.devices);
	blk_world_settle(&w);
	assert_false(devices_closed(w.devices));
	blk_world_stop(&w); /* its patience is over: waits for the disk, and leaves nothing mapped */
	assert_int_equal(hv_fake_mapped(w.hv), 0);
	disk.hold = false;
	blk_world_start(&w);
	assert_state(XenbusStateClosing);
	blk_peer_disconnect(&p);
	blk_peer_state(&p, XenbusStateClosed);
	blk_peer_disconnect(&neighbour);
	blk_peer_state(&neighbour, XenbusStateClosed);
	blk_world_settle(&w);
	blk_peer_state(&neighbour, XenbusStateInitialising);
	blk_world_settle(&w);
	blk_peer_connect(&neighbour);
	blk_world_settle(&w);
}

/* ---- a back end that died ---- */

/* A back end dies with a write under way, and another starts. */
static void die_in_a_write(void)
{
	struct blk_segment seg = blk_peer_seg(&p, 0, 0, 7);

	blk_peer_add(&p, &disk, "w");
	disk.hold = true;
	blk_peer_send(&p, 0, blk_peer_rw(&p, BLKIF_OP_WRITE, 1, 0, &seg, 1));
	blk_world_settle(&w);
	disk.nr_held = 0; /* as after SIGKILL: never done */
	blk_world_stop(&w);
	disk.hold = false;
	disk.ops[BLKDEV_WRITE] = 0;
	blk_world_start(&w);
}

static void both_start_over(void)
{
	blk_peer_disconnect(&p);
	blk_peer_state(&p, XenbusStateClosed);
	assert_state(XenbusStateInitWait);
	blk_peer_state(&p, XenbusStateInitialising);
	blk_peer_connect(&p);
	assert_state(XenbusStateConnected);
	blk_peer_assert_works(&p);
	blk_peer_disconnect(&neighbour);
	blk_peer_state(&neighbour, XenbusStateClosed);
	blk_world_settle(&w);
	blk_peer_connect(&neighbour);
	blk_world_settle(&w);
}

static void not_adopted(void **state)
{
	(void)state;
	die_in_a_write();
	assert_state(XenbusStateClosing);
	assert_int_equal(disk.ops[BLKDEV_WRITE], 0); /* the old ring was not touched */
	both_start_over();
}

/* A front end that takes its time (its guest had no pCPU) is still on the ring of the dead back end: it must not be served on that. */
static void slow_to_close(void **state)
{
	(void)state;
	die_in_a_write();
	blk_world_run_ms(&w, 1100);
	assert_state(XenbusStateClosing);
	assert_int_equal(disk.ops[BLKDEV_WRITE], 0);
	both_start_over();
}

/* ---- resize ---- */

static bool sectors_changed(void)
{
	static char *before;
	char *now = hv_fake_store_read(w.hv, 0, "/local/domain/0/backend/vbd/1/51712/sectors");
	bool changed = !before || strcmp(before, now) != 0;

	free(before);
	before = now;
	return changed;
}

static void shrinks_when_poked(void **state)
{
	struct blk_segment seg;

	(void)state;
	seg = blk_peer_seg(&p, 0, 0, 7);
	blk_peer_add(&p, &disk, "w");
	sectors_changed();
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 1, SIZE / 512 - 8, &seg, 1)), BLKIF_RSP_OKAY);
	disk.next_size = SIZE / 2;
	disk.resized = true;
	own_key("resize", "1");
	blk_world_settle(&w);
	assert_true(sectors_changed());
	assert_int_equal(blk_peer_backend_key(&p, "sectors"), SIZE / 1024);
	assert_state(XenbusStateConnected);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 1, SIZE / 512 - 8, &seg, 1)), BLKIF_RSP_ERROR);
	assert_int_equal(blk_peer_ask(&p, blk_peer_rw(&p, BLKIF_OP_READ, 1, SIZE / 1024 - 8, &seg, 1)), BLKIF_RSP_OKAY);
	own_key("resize", "2");
	blk_world_settle(&w);
	assert_false(sectors_changed());
}

/* The front end watches our state: it must be written anew, though it stays 4. */
static void state_is_written_anew(void **state)
{
	uint64_t before;

	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.next_size = SIZE / 2;
	disk.resized = true;
	before = hv_fake_count(w.hv, HV_FAKE_STORE_WRITE);
	own_key("resize", "1");
	blk_world_settle(&w);
	assert_int_equal(hv_fake_count(w.hv, HV_FAKE_STORE_WRITE) - before, 3); /* our poke, its sectors, its state */
}

static void seen_without_a_poke(void **state)
{
	(void)state;
	blk_peer_add(&p, &disk, "w");
	disk.next_size = SIZE / 2;
	disk.resized = true;
	blk_world_run_ms(&w, BLKBACK_REFRESH_US / 1000 + 100);
	assert_int_equal(blk_peer_backend_key(&p, "sectors"), SIZE / 1024);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features), TEST(features_of_a_poor_disk), TEST(discard_forbidden_by_the_toolstack), TEST(readonly_cdrom), TEST(removable),
		TEST(connects), TEST(x86_32), TEST(persistent), TEST(ring_of_16_pages), TEST(num_ring_pages), TEST(four_queues_of_two_pages),
		TEST(extended_device_number), TEST(bad_keys), TEST(absurd_index_at_connect), TEST(every_call_of_the_hypervisor_fails_once),
		TEST(missing_disk), TEST(no_params), TEST(odd_sector_size), TEST(refused_once), TEST(removed_while_opening),
		TEST(closing_waits_for_the_disk), TEST(taken_away_under_writes), TEST(posts_for_ever), TEST(takes_its_requests_back),
		TEST(removed_while_the_disk_works),
		TEST(the_guest_dies_while_the_disk_works),
		TEST(the_back_end_stops_while_the_disk_works), TEST(not_adopted), TEST(slow_to_close), TEST(shrinks_when_poked), TEST(state_is_written_anew),
		TEST(seen_without_a_poke),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
