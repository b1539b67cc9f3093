/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target: a back end on a shared page that the front end rewrites between any two steps. The input is a list of rewritings (where, what);
 * after each one the back end works as netback does. No access leaves the page, no count exceeds the ring.
 */
#include <rings/back_ring.h>
#include <rings/net_slots.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rewriting {
	uint16_t at;
	uint8_t value[6];
};

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

/* One burst; false when the device would be disabled. */
static bool work(struct back_ring *r)
{
	struct netif_tx_response rsp[NET_SLOTS_TOLERATED + NET_EXTRAS_MAX];
	net_tx_slot slots[NET_SLOTS_LOOK];
	struct net_packet p;
	unsigned answers;
	int n = back_ring_pending(r);

	must(n == -EPROTO || (n >= 0 && (uint32_t)n <= r->nr));
	if (n <= 0)
		return n == 0;
	n = n > (int)NET_SLOTS_LOOK ? (int)NET_SLOTS_LOOK : n;
	for (int i = 0; i < n; i++)
		back_ring_read(r, (uint32_t)i, &slots[i], sizeof(slots[i]));
	if (net_tx_parse(slots, (unsigned)n, &p) == -EPROTO)
		return false;
	must(p.nr_slots <= n);
	back_ring_consume(r, p.nr_slots);
	answers = net_tx_respond(&p, NETIF_RSP_OKAY, rsp);
	for (unsigned i = 0; i < answers; i++)
		back_ring_put(r, &rsp[i], sizeof(rsp[i]));
	must(back_ring_unanswered(r) == 0);
	back_ring_push(r);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *page = aligned_alloc(SLUICE_PAGE_SIZE, SLUICE_PAGE_SIZE); /* its ends are guarded by ASan */
	struct rewriting w;
	struct back_ring r;

	if (!page)
		return 0;
	memset(page, 0, SLUICE_PAGE_SIZE);
	if (size >= sizeof(struct ring_indices)) {
		memcpy(page, data, sizeof(struct ring_indices));
		data += sizeof(struct ring_indices);
		size -= sizeof(struct ring_indices);
	}
	if (!back_ring_attach(&r, page, 1, sizeof(net_tx_slot)))
		for (; size >= sizeof(w); data += sizeof(w), size -= sizeof(w)) {
			memcpy(&w, data, sizeof(w));
			memcpy(page + w.at % (SLUICE_PAGE_SIZE - sizeof(w.value)), w.value, sizeof(w.value));
			if (!work(&r) || back_ring_arm(&r) < 0)
				break;
		}
	free(page);
	return 0;
}
