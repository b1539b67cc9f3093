/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosted domains that lie: in their messages, their memory, their bell and the way they end. After each attack another hosted domain is served as
 * before by sluiced and by domain 0, and what the liar held is given back.
 */
#include "tests/unit/hypervisor/hosted_client.h"

#define GREF 20u
#define RESULT_LATE_MS 1000

static struct hosted_client evil, good;
static uint64_t free_before;
static unsigned files_before;

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint32_t frame_of(const struct hosted_client *c, pfn_t pfn)
{
	return (uint32_t)(c->reply.first_mfn + pfn);
}

/* Messages, grants and events of the good one work, and soon. */
static void good_is_served(void)
{
	uint64_t began = now_ms();
	struct hv_evtchn *e;
	evtchn_t ours, got[4];
	uint32_t port;
	uint8_t in[16];

	memset(hosted_at(&good, HOSTED_PFN_FREE), 0x5a, 16);
	hosted_grant(&good, GREF, frame_of(&good, HOSTED_PFN_FREE));
	assert_int_equal(dom0_copy(&good, GREF, in, 16, true), GNTST_okay);
	assert_int_equal(in[15], 0x5a);
	assert_int_equal(hosted_message(&good, HOSTED_EVTCHN_ALLOC, 0, 0, &port), 0);
	assert_int_equal(hosted_hv->ops->evtchn_open(hosted_hv, &e), 0);
	assert_int_equal(hosted_hv->ops->evtchn_bind(e, hosted_id(&good), port, &ours), 0);
	assert_int_equal(hosted_hv->ops->evtchn_pending(e, got, 4, true), 1);
	hosted_ring(&good, port);
	assert_true(hosted_readable(hosted_hv->ops->evtchn_fd(e), SOON_MS));
	assert_int_equal(hosted_hv->ops->evtchn_pending(e, got, 4, false), 1);
	assert_int_equal(hosted_hv->ops->evtchn_notify(e, ours), 0);
	assert_true(shm_load(&hosted_si(&good)->evtchn_pending[port / 64]) >> port % 64 & 1);
	hosted_hv->ops->evtchn_close(e);
	assert_int_equal(hosted_message(&good, HOSTED_EVTCHN_CLOSE, 0, port, NULL), 0);
	assert_true(now_ms() - began < RESULT_LATE_MS);
}

static int setup(void **state)
{
	(void)state;
	good_is_served(); /* domain 0 forgets what is gone */
	free_before = hosted_free_frames();
	files_before = open_files();
	return hosted_attach_as(&evil, "evil", HOSTED_PAGES);
}

static int teardown(void **state)
{
	domid_t domid = hosted_id(&evil);

	(void)state;
	good_is_served();
	hosted_die(&evil);
	hosted_wait_gone(domid);
	assert_null(hosted_memory_of(domid));
	good_is_served(); /* as above */
	assert_int_equal(hosted_free_frames(), free_before);
	assert_int_equal(open_files(), files_before);
	return 0;
}

/* ---- memory ---- */

/* Whatever frame an entry names, only its own ordinary pages can be used. */
static void grants_name_the_frames_of_others(void **state)
{
	const uint32_t frames[] = {
		0, 1, MACHINE_FIRST_FRAME, (uint32_t)machine.nr_frames - 1, (uint32_t)machine.nr_frames, HVSHARE_FRAMES, HVSHARE_HOSTED_FIRST + 1,
		HVSHARE_HOSTED_FIRST + hosted_id(&evil), HVSHARE_ALL_FRAMES - 1, HVSHARE_ALL_FRAMES, ~0u,
		frame_of(&evil, HOSTED_PFN_SHARED_INFO), frame_of(&evil, HOSTED_PFN_DOORBELL), frame_of(&evil, HOSTED_PFN_GRANT),
		frame_of(&evil, HOSTED_PFN_GRANT + HOSTED_GRANT_FRAMES - 1), frame_of(&evil, HOSTED_PAGES), frame_of(&evil, 0) - 1,
		frame_of(&good, HOSTED_PFN_SHARED_INFO), frame_of(&good, HOSTED_PFN_STORE), frame_of(&good, HOSTED_PFN_FREE), frame_of(&good, HOSTED_PAGES - 1),
	};
	gref_t gref = GREF;
	uint8_t bytes[64];
	void *va;

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		hosted_grant(&evil, GREF, frames[i]);
		assert_int_equal(dom0_copy(&evil, GREF, bytes, sizeof(bytes), true), GNTST_bad_page);
		assert_int_equal(dom0_copy(&evil, GREF, bytes, sizeof(bytes), false), GNTST_bad_page);
		assert_int_equal(dom0_map(&evil, GREF).status, GNTST_bad_page);
		assert_int_equal(hosted_hv->ops->map_ring(hosted_hv, hosted_id(&evil), &gref, 1, &va), -EINVAL);
		assert_int_equal(hosted_grant_flags(&evil, GREF), GTF_permit_access);
	}
	hosted_grant(&evil, GREF, frame_of(&evil, HOSTED_PAGES - 1));
	assert_int_equal(dom0_copy(&evil, GREF, bytes, sizeof(bytes), true), GNTST_okay);
	assert_int_equal(dom0_copy(&evil, HOSTED_GRANT_FRAMES * 512, bytes, 1, true), GNTST_bad_gntref);
	assert_int_equal(dom0_copy(&evil, ~0u, bytes, 1, true), GNTST_bad_gntref);
}

/* Whoever has it mapped would fault on what is not there any more. */
static void memory_cannot_shrink(void **state)
{
	struct hv_map_op m;

	(void)state;
	hosted_grant(&evil, GREF, frame_of(&evil, HOSTED_PAGES - 1));
	m = dom0_map(&evil, GREF);
	assert_int_equal(m.status, GNTST_okay);
	assert_int_equal(ftruncate(evil.memory_fd, 0), -1);
	assert_int_equal(ftruncate(evil.memory_fd, 1 << 30), -1);
	assert_int_equal(fcntl(evil.memory_fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	memset(m.va, 1, SLUICE_PAGE_SIZE);
	assert_int_equal(fallocate(evil.memory_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HOSTED_PAGES << SLUICE_PAGE_SHIFT), 0);
	assert_int_equal(*(volatile uint8_t *)m.va, 0);
	hosted_grant(&evil, GREF, frame_of(&evil, 100));
	assert_int_equal(dom0_unmap(&m), GNTST_okay);
}

static bool scribbling;

static void *scribble(void *arg)
{
	unsigned seed = 7;

	while (__atomic_load_n(&scribbling, __ATOMIC_RELAXED)) {
		uint8_t *page = hosted_at(&evil, (pfn_t)rand_r(&seed) % (HOSTED_PFN_GRANT + 2));

		shm_store((uint32_t *)page + (unsigned)rand_r(&seed) % 1024, (uint32_t)rand_r(&seed));
		hosted_grant(&evil, GREF, frame_of(&evil, (pfn_t)rand_r(&seed) % (HOSTED_PAGES + 8)));
		if (rand_r(&seed) % 64 == 0)
			hosted_ring(&evil, (evtchn_t)rand_r(&seed) % HOSTED_PORTS);
	}
	return arg;
}

/* Grant table, shared_info, doorbell and store ring change under everybody's eyes. */
static void memory_is_rewritten_all_the_time(void **state)
{
	uint64_t began = now_ms();
	unsigned okay = 0, mapped = 0;
	pthread_t thread;
	uint8_t bytes[4096];

	(void)state;
	scribbling = true;
	assert_int_equal(pthread_create(&thread, NULL, scribble, NULL), 0);
	for (unsigned i = 0; now_ms() - began < 10000 && (i < 30000 || !okay || !mapped); i++) {
		struct hv_map_op m;

		okay += dom0_copy(&evil, GREF, bytes, sizeof(bytes), i % 2) == GNTST_okay;
		m = dom0_map(&evil, GREF);
		if (m.status != GNTST_okay)
			continue;
		mapped++;
		memset(m.va, 3, 64);
		assert_int_equal(dom0_unmap(&m), GNTST_okay);
	}
	good_is_served();
	__atomic_store_n(&scribbling, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(okay && mapped);
	assert_int_equal(machine.share->domain[hosted_id(&evil)].nr_pins, 0);
}

/* ---- the bell ---- */

static void doorbell_with_every_port(void **state)
{
	struct hosted_doorbell *bell = hosted_at(&evil, HOSTED_PFN_DOORBELL);
	uint64_t began = now_ms();
	unsigned rings = 0;

	(void)state;
	while (now_ms() - began < 500) {
		for (unsigned w = 0; w < 64; w++)
			shm_store(&bell->port[w], ~0ull);
		shm_store(&bell->sel, ~0ull);
		rings += send(evil.bell, evil.memory, 4096, MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
		if (rings % 16 == 0)
			good_is_served();
	}
	assert_true(rings > 10);
}

/* Domain 0 and sluiced must never wait for it, nor must its flags become theirs. */
static void bell_is_never_answered(void **state)
{
	struct hv_evtchn *e;
	uint64_t began;
	evtchn_t ours;
	uint32_t port;

	(void)state;
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_ALLOC, 0, 0, &port), 0);
	assert_int_equal(hosted_hv->ops->evtchn_open(hosted_hv, &e), 0);
	assert_int_equal(hosted_hv->ops->evtchn_bind(e, hosted_id(&evil), port, &ours), 0);
	assert_int_equal(fcntl(evil.bell, F_SETFL, 0), 0); /* no O_NONBLOCK */
	began = now_ms();
	for (unsigned i = 0; i < 20000; i++) {
		memset(hosted_si(&evil), 0, sizeof(struct shared_info)); /* as if it slept and had seen nothing */
		assert_int_equal(hosted_hv->ops->evtchn_notify(e, ours), 0);
	}
	assert_true(now_ms() - began < 5000);
	assert_true(hosted_readable(evil.bell, 0));
	shutdown(evil.bell, SHUT_RDWR);
	for (unsigned i = 0; i < 1000; i++) {
		memset(hosted_si(&evil), 0, sizeof(struct shared_info));
		assert_int_equal(hosted_hv->ops->evtchn_notify(e, ours), 0);
	}
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_CLOSE, 0, port, NULL), 0); /* deaf, but alive */
	hosted_hv->ops->evtchn_close(e);
}

/* ---- messages ---- */

static void send_with_fds(int sock, const void *bytes, size_t n)
{
	union {
		char space[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {(void *)(uintptr_t)bytes, n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int fds[2] = {evil.memory_fd, evil.sock};

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Any length, any content, with descriptors that nobody asked for, and replies that nobody takes. */
static void messages_at_random(void **state)
{
	unsigned seed = 11;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		int sock = hosted_connect();

		for (unsigned n = 0; n < 20; n++) {
			uint8_t bytes[256];
			struct hosted_request *req = (struct hosted_request *)bytes;
			size_t len = rand_r(&seed) % 4 ? sizeof(*req) : (size_t)rand_r(&seed) % sizeof(bytes);

			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = (uint8_t)rand_r(&seed);
			if (rand_r(&seed) % 2)
				req->op = (uint32_t)rand_r(&seed) % 5;
			if (rand_r(&seed) % 4 == 0) {
				req->version = HOSTED_VERSION;
				req->nr_pages = 100;
				snprintf(req->name, sizeof(req->name), "fuzz%u", round);
			}
			send_with_fds(sock, bytes, len);
		}
		close(sock);
		if (round % 50 == 0)
			good_is_served();
	}
	for (unsigned ms = 0; hosted_free_frames() != free_before - HOSTED_PAGES && ms < SOON_MS; ms += 2)
		usleep(2000);
	assert_int_equal(hosted_free_frames(), free_before - HOSTED_PAGES);
}

static void attach_with_what_cannot_be(void **state)
{
	const uint64_t sizes[] = {0, 1, HOSTED_PFN_FREE, 1u << 20, HVSHARE_FRAMES, HVSHARE_FRAMES + 1ull, HVSHARE_ALL_FRAMES, 1ull << 52, ~0ull};
	const char *const names[] = {"", "good", "12", ".x", "-x", "a/b", "a b", "../../x", "\xff", "0123456789012345678901234567890123456789012345678901234567890123"};
	struct hosted_client c;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_not_equal(hosted_attach_as(&c, "big", sizes[i]), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_not_equal(hosted_attach_as(&c, names[i], HOSTED_PAGES), 0);
	assert_int_equal(hosted_free_frames(), free_before - HOSTED_PAGES);
}

static void attach_twice(void **state)
{
	struct hosted_request req = {.op = HOSTED_ATTACH, .version = HOSTED_VERSION, .nr_pages = HOSTED_PAGES, .name = "again"};
	struct hosted_reply reply;
	int fds[2];

	(void)state;
	assert_int_equal(hosted_ask(evil.sock, &req, &reply, fds), -EALREADY);
	assert_int_equal(fds[0], -1);
	assert_true(hosted_alive(hosted_id(&evil)));
}

static void ports_that_are_not_its_own(void **state)
{
	uint32_t port, nr = 0;

	(void)state;
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_CLOSE, 0, evil.reply.store_port, NULL), -EPERM);
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_CLOSE, 0, 0, NULL), -EINVAL);
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_CLOSE, 0, 77, NULL), -EINVAL);
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_CLOSE, 0, ~0u, NULL), -EINVAL);
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_ALLOC, ~0u, 0, &port), -ESRCH);
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_ALLOC, DOMID_XEN, 0, &port), -ESRCH);
	while (!hosted_message(&evil, HOSTED_EVTCHN_ALLOC, 0, 0, &port))
		nr++;
	assert_int_equal(nr, HOSTED_PORTS - 2); /* 0 and the store's */
	assert_int_equal(hosted_message(&evil, HOSTED_EVTCHN_ALLOC, 0, 0, &port), -ENOSPC);
}

static void connections_without_end(void **state)
{
	int socks[300];

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		socks[i] = hosted_connect();
	good_is_served();
	for (unsigned i = 0; i < 300; i++)
		close(socks[i]);
	for (unsigned ms = 0; ms < SOON_MS && open_files() != files_before + 3; ms += 2)
		usleep(2000);
}

/* ---- the end ---- */

/* What domain 0 holds stays what it was; it is given back when that lets go, and only then is the place somebody else's. */
static void dies_while_mapped(void **state)
{
	domid_t domid = hosted_id(&evil);
	uint64_t first = evil.reply.first_mfn;
	struct hosted_client next;
	gref_t gref = GREF + 1;
	struct hv_map_op m;
	void *ring;

	(void)state;
	memset(hosted_at(&evil, 100), 0xab, SLUICE_PAGE_SIZE);
	hosted_grant(&evil, GREF, frame_of(&evil, 100));
	hosted_grant(&evil, gref, frame_of(&evil, 101));
	m = dom0_map(&evil, GREF);
	assert_int_equal(m.status, GNTST_okay);
	assert_int_equal(hosted_hv->ops->map_ring(hosted_hv, domid, &gref, 1, &ring), 0);
	hosted_die(&evil);
	hosted_wait_gone(domid);
	assert_int_equal(hosted_attach_as(&next, "next", HOSTED_PAGES), 0);
	assert_true(next.reply.first_mfn >= first + HOSTED_PAGES || next.reply.first_mfn + HOSTED_PAGES <= first);
	memset(hosted_at(&next, 100), 0xcd, SLUICE_PAGE_SIZE);
	hosted_grant(&next, GREF, frame_of(&next, 100));
	assert_int_equal(((uint8_t *)m.va)[4095], 0xab);
	memset(ring, 1, SLUICE_PAGE_SIZE);
	assert_int_equal(dom0_unmap(&m), GNTST_okay);
	assert_non_null(hosted_memory_of(domid));
	hosted_hv->ops->unmap_ring(hosted_hv, ring, 1);
	assert_null(hosted_memory_of(domid));
	assert_int_equal(dom0_copy(&evil, GREF, &(uint8_t){0}, 1, true), GNTST_bad_domain);
	assert_int_equal(dom0_copy(&next, GREF, &(uint8_t){0}, 1, true), GNTST_okay);
	hosted_die(&next);
	hosted_wait_gone(hosted_id(&next));
	assert_int_equal(hosted_attach_as(&evil, "evil", HOSTED_PAGES), 0);
	assert_int_equal(evil.reply.first_mfn, first); /* its old place, which another memory is now */
	hosted_grant(&evil, GREF, frame_of(&evil, 100));
	memset(hosted_at(&evil, 100), 0x11, 1);
	{
		uint8_t byte = 0;

		assert_int_equal(dom0_copy(&evil, GREF, &byte, 1, true), GNTST_okay);
		assert_int_equal(byte, 0x11);
	}
}

/* More domains than there are domids, each used by domain 0 and gone: every memory is the right one. */
static void come_and_go(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		struct hosted_client c;
		uint8_t byte = 0;

		assert_int_equal(hosted_attach_as(&c, "brief", HOSTED_PFN_FREE + 1 + i % 200), 0);
		memset(hosted_at(&c, HOSTED_PFN_FREE), (int)i % 251 + 1, 1);
		hosted_grant(&c, GREF, frame_of(&c, HOSTED_PFN_FREE));
		assert_int_equal(dom0_copy(&c, GREF, &byte, 1, true), GNTST_okay);
		assert_int_equal(byte, i % 251 + 1);
		hosted_die(&c);
		hosted_wait_gone(hosted_id(&c));
		assert_int_equal(dom0_copy(&c, GREF, &byte, 1, true), GNTST_bad_domain);
	}
	good_is_served();
}

static int start(void **state)
{
	(void)state;
	if (hosted_world_start() || hosted_attach_as(&good, "good", HOSTED_PAGES))
		return -1;
	good_is_served();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	hosted_die(&good);
	return hosted_world_stop();
}

#define ATTACK(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ATTACK(grants_name_the_frames_of_others),
		ATTACK(memory_cannot_shrink),
		ATTACK(memory_is_rewritten_all_the_time),
		ATTACK(doorbell_with_every_port),
		ATTACK(bell_is_never_answered),
		ATTACK(messages_at_random),
		ATTACK(attach_with_what_cannot_be),
		ATTACK(attach_twice),
		ATTACK(ports_that_are_not_its_own),
		ATTACK(connections_without_end),
		ATTACK(dies_while_mapped),
		ATTACK(come_and_go),
	};

	alarm(250);
	return cmocka_run_group_tests(tests, start, stop);
}
