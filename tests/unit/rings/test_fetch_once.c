/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each byte that a peer can write is loaded once (XSA-155). The shared page is protected; every access faults, is counted at its address, is let
 * through by a single step, and then the page is rewritten: so a second load of the same byte shows both as a count and as another value.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <cmocka.h>
#include <rings/back_ring.h>
#include <rings/blk_segments.h>
#include <rings/front_ring.h>
#include <rings/net_slots.h>
#include <rings/xenstore_ring.h>

static uint8_t *page;
static unsigned hits[SLUICE_PAGE_SIZE];
static struct sigaction old_fault, old_step; /* cmocka's */
static unsigned poison_from;  /* after each access, every byte from here on changes; the indices before it do not */
static volatile uint32_t sink;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	uintptr_t at = (uintptr_t)info->si_addr - (uintptr_t)page;

	(void)sig;
	if (at >= SLUICE_PAGE_SIZE) {
		signal(SIGSEGV, SIG_DFL); /* a real crash: let it happen */
		return;
	}
	hits[at]++;
	mprotect(page, SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= 0x100; /* trap flag */
}

static void on_step(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	(void)info;
	for (unsigned i = poison_from; i < SLUICE_PAGE_SIZE; i++)
		page[i] = (uint8_t)(page[i] + 1);
	mprotect(page, SLUICE_PAGE_SIZE, PROT_NONE);
	uc->uc_mcontext.gregs[REG_EFL] &= ~0x100LL;
}

static void watch(unsigned from)
{
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = on_step, .sa_flags = SA_SIGINFO };

	sigaction(SIGSEGV, &fault, &old_fault);
	sigaction(SIGTRAP, &step, &old_step);
	memset(hits, 0, sizeof(hits));
	poison_from = from;
	mprotect(page, SLUICE_PAGE_SIZE, PROT_NONE);
}

static void unwatch(void)
{
	mprotect(page, SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &old_fault, NULL);
	sigaction(SIGTRAP, &old_step, NULL);
}

static unsigned most_hits(void)
{
	unsigned most = 0;

	for (unsigned i = 0; i < SLUICE_PAGE_SIZE; i++)
		most = hits[i] > most ? hits[i] : most;
	return most;
}

static unsigned accesses(unsigned from, unsigned to)
{
	unsigned n = 0;

	for (unsigned i = from; i < to; i++)
		n += hits[i];
	return n;
}

/* What must be found: a field bounded and then loaded again. */
static __attribute__((noinline)) bool by_field(const struct netif_tx_request *shared)
{
	if (shared->offset + shared->size > 4096)
		return false;
	shm_compiler_barrier();
	sink = shared->offset;
	sink = shared->size;
	return true;
}

static void test_the_method_finds_a_double_fetch(void **state)
{
	(void)state;
	memset(page, 0, SLUICE_PAGE_SIZE);
	watch(SLUICE_RING_HEADER);
	assert_true(by_field((const struct netif_tx_request *)(page + SLUICE_RING_HEADER)));
	unwatch();
	assert_true(most_hits() > 1);
}

static __attribute__((noinline)) int take_packet(struct back_ring *r, struct net_packet *p)
{
	net_tx_slot slots[NET_SLOTS_LOOK];
	int n = back_ring_pending(r);

	if (n <= 0)
		return n;
	if ((unsigned)n > NET_SLOTS_LOOK)
		n = (int)NET_SLOTS_LOOK;
	for (int i = 0; i < n; i++)
		back_ring_read(r, (uint32_t)i, &slots[i], sizeof(slots[i]));
	n = net_tx_parse(slots, (unsigned)n, p);
	if (p->nr_slots)
		back_ring_consume(r, p->nr_slots);
	return n;
}

static void test_back_ring_and_parser(void **state)
{
	struct ring_indices *idx = (struct ring_indices *)page;
	net_tx_slot *ring = (net_tx_slot *)(page + SLUICE_RING_HEADER);
	struct net_packet p;
	struct back_ring r;
	int n;

	(void)state;
	memset(page, 0, SLUICE_PAGE_SIZE);
	idx->req_prod = idx->rsp_prod = 254; /* so that the packet wraps */
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(*ring)), 0);
	ring[254].req = (struct netif_tx_request){ .gref = 5, .size = 600, .flags = NETTXF_more_data | NETTXF_extra_info };
	((uint8_t *)&ring[255])[0] = XEN_NETIF_EXTRA_TYPE_GSO;
	((uint8_t *)&ring[255])[2] = 100;
	((uint8_t *)&ring[255])[4] = XEN_NETIF_GSO_TYPE_TCPV4;
	ring[0].req = (struct netif_tx_request){ .gref = 6, .size = 200, .flags = NETTXF_more_data };
	ring[1].req = (struct netif_tx_request){ .gref = 7, .size = 200 };
	idx->req_prod = 258;
	watch(SLUICE_PAGE_SIZE); /* counting only: the packet must stay whole */
	n = take_packet(&r, &p);
	unwatch();
	assert_int_equal(n, 4);
	assert_int_equal(p.gso_size, 100);
	assert_int_equal(most_hits(), 1);
	assert_int_equal(hits[offsetof(struct ring_indices, req_prod)], 1);
	assert_int_equal(accesses(0, SLUICE_RING_HEADER), 1);
	assert_int_equal(accesses(SLUICE_RING_HEADER, SLUICE_PAGE_SIZE), 4 * 2); /* 8 and 4 bytes of each slot */
}

/* While the front end rewrites the slot after each load: what was bounded is what is used. */
static void test_slot_that_changes_under_our_hands(void **state)
{
	struct ring_indices *idx = (struct ring_indices *)page;
	struct netif_tx_request t;
	struct back_ring r;

	(void)state;
	memset(page, 0, SLUICE_PAGE_SIZE);
	assert_int_equal(back_ring_attach(&r, page, 1, sizeof(net_tx_slot)), 0);
	idx->req_prod = 1;
	watch(SLUICE_RING_HEADER);
	back_ring_read(&r, 0, &t, sizeof(t));
	unwatch();
	assert_int_equal(most_hits(), 1);
	assert_memory_equal(&t, "\0\0\0\0\0\0\0\0\1\1\1\1", 12); /* two loads, 8 bytes and 4: the second saw one rewriting */
}

/* A blkif slot of each layout, taken and parsed: one sweep over it, though the front end rewrites it after each load. */
static void test_blk_slots(void **state)
{
	static const struct blk_limits limits = {.sectors = 1000, .align = 1};
	static struct blk_request req;
	struct ring_indices *idx = (struct ring_indices *)page;
	uint8_t slot[BLK_SLOT_SIZE_64];
	struct back_ring r;

	(void)state;
	for (enum blk_layout l = BLK_X86_64; l <= BLK_X86_32; l++) {
		memset(page, 0, SLUICE_PAGE_SIZE);
		assert_int_equal(back_ring_attach(&r, page, 1, blk_slot_size(l)), 0);
		idx->req_prod = 1;
		page[SLUICE_RING_HEADER] = BLKIF_OP_WRITE;
		page[SLUICE_RING_HEADER + 1] = 11;
		watch(SLUICE_RING_HEADER);
		blk_slot_read(&r, l, slot);
		blk_request_parse(slot, l, &limits, &req);
		unwatch();
		assert_int_equal(req.op, BLKIF_OP_WRITE); /* page[64] is another by now */
		assert_int_equal(most_hits(), 1);
		assert_int_equal(accesses(0, SLUICE_PAGE_SIZE), 14); /* 112 bytes, and 104 + 4 */
	}
}

/* One segment: the slot's second cache line stays where it is. */
static void test_blk_slot_of_one_segment(void **state)
{
	uint8_t slot[BLK_SLOT_SIZE_64];
	struct back_ring r;

	(void)state;
	memset(page, 0, SLUICE_PAGE_SIZE);
	assert_int_equal(back_ring_attach(&r, page, 1, BLK_SLOT_SIZE_64), 0);
	page[SLUICE_RING_HEADER + 1] = 1;
	watch(SLUICE_RING_HEADER);
	blk_slot_read(&r, BLK_X86_64, slot);
	unwatch();
	assert_int_equal(most_hits(), 1);
	assert_int_equal(accesses(0, SLUICE_PAGE_SIZE), 4);
}

static void test_front_ring(void **state)
{
	struct netif_rx_response t = { 0 };
	struct front_ring f;
	int n;

	(void)state;
	assert_int_equal(front_ring_init(&f, page, 1, sizeof(net_rx_slot)), 0);
	for (int i = 0; i < 3; i++)
		front_ring_put(&f, &(struct netif_rx_request){ 0 }, sizeof(struct netif_rx_request));
	front_ring_push(&f);
	((struct ring_indices *)page)->rsp_prod = 3;
	watch(SLUICE_PAGE_SIZE);
	n = front_ring_pending(&f);
	for (int i = 0; i < n; i++)
		front_ring_read(&f, (uint32_t)i, &t, sizeof(t));
	unwatch();
	assert_int_equal(n, 3);
	assert_int_equal(most_hits(), 1);
	assert_int_equal(accesses(0, SLUICE_PAGE_SIZE), 4);
}

static void test_xenstore_ring(void **state)
{
	struct xenstore_domain_interface *x = (struct xenstore_domain_interface *)page;
	struct xenstore_ring r;
	char buf[64];
	int n;

	(void)state;
	memset(page, 0, SLUICE_PAGE_SIZE);
	x->req_prod = x->req_cons = 1000;
	xenstore_ring_attach(&r, x, XENSTORE_RING_STORE);
	x->req_prod = 1050;
	watch(SLUICE_PAGE_SIZE);
	n = xenstore_ring_read(&r, buf, sizeof(buf));
	unwatch();
	assert_int_equal(n, 50);
	assert_int_equal(most_hits(), 1);
	assert_int_equal(hits[offsetof(struct xenstore_domain_interface, req_prod)], 1);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

static int set_up(void **state)
{
	(void)state;
	page = mmap(NULL, SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_method_finds_a_double_fetch),
		cmocka_unit_test(test_back_ring_and_parser),
		cmocka_unit_test(test_slot_that_changes_under_our_hands),
		cmocka_unit_test(test_blk_slots),
		cmocka_unit_test(test_blk_slot_of_one_segment),
		cmocka_unit_test(test_front_ring),
		cmocka_unit_test(test_xenstore_ring),
	};

#ifdef __SANITIZE_THREAD__
	print_message("skipped: rings/fetch_once: ThreadSanitizer's own run-time loads each atomic once more\n");
	return 0;
#endif
	return cmocka_run_group_tests_name("rings/fetch_once", tests, set_up, NULL);
}
