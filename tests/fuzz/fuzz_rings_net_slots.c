/* SPDX-License-Identifier: BSD-3-Clause */
/* Fuzz target: any run of tx or rx slots is either refused or gives a packet that keeps what net_slots.h promises. */
#include <rings/net_slots.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		__builtin_trap();
}

static void check(const struct net_packet *p, int rc, unsigned n)
{
	uint32_t sum = 0;

	must(rc == -EPROTO || rc == -EBADMSG || rc == p->nr_slots);
	must((rc > 0) == !p->why);
	if (rc == -EPROTO)
		return;
	must(p->nr_slots >= 1 && p->nr_slots <= n && p->nr_slots == p->nr_frags + p->nr_extras);
	must(p->nr_frags <= NET_SLOTS_TOLERATED && p->nr_extras <= NET_EXTRAS_MAX);
	if (rc < 0 || p->mcast_op)
		return;
	must(p->nr_frags <= NET_SLOTS_MAX && p->size >= NET_ETH_HLEN && p->size <= NET_PACKET_MAX);
	for (unsigned i = 0; i < p->nr_frags; i++) {
		must(p->frags[i].len && p->frags[i].offset + p->frags[i].len <= SLUICE_PAGE_SIZE);
		sum += p->frags[i].len;
	}
	must(sum == p->size);
	must(p->gso_type == XEN_NETIF_GSO_TYPE_NONE || p->gso_size);
}

/* What was parsed and is written again parses to the same. */
static void round_trip(struct net_packet *p, int rc)
{
	net_tx_slot slots[NET_SLOTS_MAX + NET_EXTRAS_MAX];
	struct net_packet again;
	unsigned n;

	if (rc <= 0 || p->mcast_op)
		return;
	n = net_tx_build(p, slots);
	must(net_tx_parse(slots, n, &again) == (int)n);
	must(again.nr_frags == p->nr_frags && again.size == p->size && again.gso_size == p->gso_size);
	for (unsigned i = 0; i < p->nr_frags; i++)
		must(again.frags[i].gref == p->frags[i].gref && again.frags[i].offset == p->frags[i].offset &&
		     again.frags[i].len == p->frags[i].len && again.frags[i].id == p->frags[i].id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct netif_tx_response out[NET_SLOTS_TOLERATED + NET_EXTRAS_MAX];
	static net_tx_slot tx[64];
	static net_rx_slot rx[64];
	struct net_packet p;
	unsigned n;
	int rc;

	if (size < sizeof(net_tx_slot))
		return 0;
	n = size / sizeof(*tx) < 64 ? (unsigned)(size / sizeof(*tx)) : 64;
	memcpy(tx, data, n * sizeof(*tx));
	rc = net_tx_parse(tx, n, &p);
	check(&p, rc, n);
	if (rc != -EPROTO)
		must(net_tx_respond(&p, NETIF_RSP_ERROR, out) == p.nr_slots);
	round_trip(&p, rc);

	n = size / sizeof(*rx) < 64 ? (unsigned)(size / sizeof(*rx)) : 64;
	memcpy(rx, data, n * sizeof(*rx));
	check(&p, net_rx_parse(rx, n, &p), n);
	return 0;
}
