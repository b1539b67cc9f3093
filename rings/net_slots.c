/* SPDX-License-Identifier: BSD-3-Clause */
/* Parses and builds runs of netif slots (net_slots.h). Pure: private memory in, private memory out. */
#include <rings/net_slots.h>

static int broken(struct net_packet *p, const char *why)
{
	p->why = why;
	return -EPROTO;
}

/* The first thing that is wrong with a packet is what is told. */
static void bad(struct net_packet *p, const char *why)
{
	if (!p->why)
		p->why = why;
}

static void packet_reset(struct net_packet *p)
{
	__builtin_memset(p, 0, offsetof(struct net_packet, frags));
}

static int take_extra(struct net_packet *p, const struct netif_extra_info *x)
{
	switch (x->type) {
	case XEN_NETIF_EXTRA_TYPE_GSO:
		if (!x->u.gso.size)
			return broken(p, "GSO size is 0");
		if (x->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV4 && x->u.gso.type != XEN_NETIF_GSO_TYPE_TCPV6)
			return broken(p, "unknown GSO type");
		p->gso_size = x->u.gso.size;
		p->gso_type = x->u.gso.type;
		return 0;
	case XEN_NETIF_EXTRA_TYPE_MCAST_ADD:
	case XEN_NETIF_EXTRA_TYPE_MCAST_DEL:
		p->mcast_op = x->type;
		__builtin_memcpy(p->mcast, x->u.mcast.addr, sizeof(p->mcast));
		return 0;
	case XEN_NETIF_EXTRA_TYPE_HASH:
		p->has_hash = true;
		p->hash_type = x->u.hash.type;
		p->hash_algorithm = x->u.hash.algorithm;
		__builtin_memcpy(p->hash_value, x->u.hash.value, sizeof(p->hash_value));
		return 0;
	default:
		return broken(p, "unknown type of extra-info");
	}
}

/* The extra-info slots at slots + 1, each `stride` bytes; sets p->nr_extras. */
static int take_extras(struct net_packet *p, const void *slots, size_t stride, unsigned n)
{
	struct netif_extra_info x;

	do {
		if (p->nr_extras + 1u >= n)
			return broken(p, "extra-info is announced and not there");
		if (p->nr_extras == NET_EXTRAS_MAX)
			return broken(p, "too many extra-info slots");
		p->nr_extras++;
		__builtin_memcpy(&x, (const uint8_t *)slots + stride * p->nr_extras, sizeof(x));
		if (take_extra(p, &x))
			return -EPROTO;
	} while (x.flags & XEN_NETIF_EXTRA_FLAG_MORE);
	return 0;
}

/* Appends a fragment; the caller has checked that there is room. */
static int take_frag(struct net_packet *p, uint16_t id, gref_t gref, uint16_t offset, uint16_t len)
{
	p->frags[p->nr_frags++] = (struct net_frag){ .gref = gref, .offset = offset, .len = len, .id = id };
	if (p->nr_frags == NET_SLOTS_MAX + 1u)
		bad(p, "more slots than a packet may have");
	if (offset + len > SLUICE_PAGE_SIZE)
		return broken(p, "a fragment crosses its page's end");
	return 0;
}

static int packet_done(struct net_packet *p)
{
	p->nr_slots = (uint16_t)(p->nr_frags + p->nr_extras);
	return p->why ? -EBADMSG : p->nr_slots;
}

/* The data slots after the first; *rest is what of the packet's size they leave for the first. */
static int take_more_tx(struct net_packet *p, const net_tx_slot *slots, unsigned n, uint32_t *rest)
{
	const struct netif_tx_request *t;

	do {
		unsigned at = p->nr_frags + p->nr_extras;

		if (at >= n)
			return broken(p, "the packet goes on and the ring does not");
		if (p->nr_frags == NET_SLOTS_TOLERATED)
			return broken(p, "far more slots than a packet may have");
		t = &slots[at].req;
		if (!t->size)
			bad(p, "a fragment is empty");
		if (t->size > *rest)
			bad(p, "the fragments are larger than the packet");
		*rest -= t->size <= *rest ? t->size : *rest;
		if (take_frag(p, t->id, t->gref, t->offset, t->size))
			return -EPROTO;
	} while (t->flags & NETTXF_more_data);
	return 0;
}

int net_tx_parse(const net_tx_slot *slots, unsigned n, struct net_packet *p)
{
	const struct netif_tx_request *first = &slots[0].req;
	uint32_t rest = first->size;

	packet_reset(p);
	p->csum_blank = first->flags & NETTXF_csum_blank;
	p->data_validated = first->flags & (NETTXF_csum_blank | NETTXF_data_validated);
	p->size = first->size;
	p->frags[p->nr_frags++] = (struct net_frag){ .gref = first->gref, .offset = first->offset, .id = first->id };
	if ((first->flags & NETTXF_extra_info) && take_extras(p, slots, sizeof(*slots), n))
		return -EPROTO;
	if (p->mcast_op) /* carries no data, whatever the other fields say */
		return packet_done(p);
	if ((first->flags & NETTXF_more_data) && take_more_tx(p, slots, n, &rest))
		return -EPROTO;
	if (rest < NET_ETH_HLEN)
		bad(p, "the first fragment does not hold the Ethernet header");
	if (!p->why && first->offset + rest > SLUICE_PAGE_SIZE)
		return broken(p, "the first fragment crosses its page's end");
	p->frags[0].len = (uint16_t)rest;
	return packet_done(p);
}

static int take_data_rx(struct net_packet *p, const struct netif_rx_response *t)
{
	if (t->status <= 0)
		bad(p, "the other end could not deliver a fragment");
	p->size += t->status > 0 ? (uint32_t)t->status : 0;
	return take_frag(p, t->id, SLUICE_INVALID_GREF, t->offset, t->status > 0 ? (uint16_t)t->status : 0);
}

int net_rx_parse(const net_rx_slot *slots, unsigned n, struct net_packet *p)
{
	const struct netif_rx_response *t = &slots[0].rsp;

	packet_reset(p);
	p->csum_blank = t->flags & NETRXF_csum_blank;
	p->data_validated = t->flags & (NETRXF_csum_blank | NETRXF_data_validated);
	if (take_data_rx(p, t))
		return -EPROTO;
	if ((t->flags & NETRXF_extra_info) && take_extras(p, slots, sizeof(*slots), n))
		return -EPROTO;
	while (t->flags & NETRXF_more_data) {
		unsigned at = p->nr_frags + p->nr_extras;

		if (at >= n)
			return broken(p, "the packet goes on and the ring does not");
		if (p->nr_frags == NET_SLOTS_TOLERATED)
			return broken(p, "far more slots than a packet may have");
		t = &slots[at].rsp;
		if (take_data_rx(p, t))
			return -EPROTO;
	}
	if (p->mcast_op)
		return broken(p, "multicast control in a received packet");
	if (p->size < NET_ETH_HLEN || p->size > NET_PACKET_MAX)
		bad(p, "the packet's size is out of range");
	return packet_done(p);
}

/* Extra-info of a packet in the order of their types, chained by FLAG_MORE; returns how many. */
static unsigned build_extras(const struct net_packet *p, struct netif_extra_info *x)
{
	unsigned n = 0;

	__builtin_memset(x, 0, NET_EXTRAS_MAX * sizeof(*x));
	if (p->gso_type != XEN_NETIF_GSO_TYPE_NONE) {
		x[n].type = XEN_NETIF_EXTRA_TYPE_GSO;
		x[n].u.gso.size = p->gso_size;
		x[n++].u.gso.type = p->gso_type;
	}
	if (p->mcast_op) {
		x[n].type = p->mcast_op;
		__builtin_memcpy(x[n++].u.mcast.addr, p->mcast, sizeof(p->mcast));
	}
	if (p->has_hash) {
		x[n].type = XEN_NETIF_EXTRA_TYPE_HASH;
		x[n].u.hash.type = p->hash_type;
		x[n].u.hash.algorithm = p->hash_algorithm;
		__builtin_memcpy(x[n++].u.hash.value, p->hash_value, sizeof(p->hash_value));
	}
	for (unsigned i = 0; i + 1 < n; i++)
		x[i].flags = XEN_NETIF_EXTRA_FLAG_MORE;
	return n;
}

/* Put the extra-info after the first slot and zero what it leaves of its slots. */
static void place_extras(struct net_packet *p, void *slots, size_t stride)
{
	struct netif_extra_info x[NET_EXTRAS_MAX];

	p->nr_extras = (uint16_t)build_extras(p, x);
	p->nr_slots = (uint16_t)(p->nr_frags + p->nr_extras);
	for (unsigned i = 0; i < p->nr_extras; i++) {
		uint8_t *at = (uint8_t *)slots + stride * (i + 1);

		__builtin_memset(at, 0, stride);
		__builtin_memcpy(at, &x[i], sizeof(x[i]));
	}
}

unsigned net_tx_build(struct net_packet *p, net_tx_slot *slots)
{
	place_extras(p, slots, sizeof(*slots));
	for (unsigned i = 0; i < p->nr_frags; i++) {
		const struct net_frag *f = &p->frags[i];
		struct netif_tx_request *t = &slots[net_packet_slot_of(p, i)].req;

		*t = (struct netif_tx_request){ .gref = f->gref, .offset = f->offset, .id = f->id, .size = f->len };
		if (i + 1u < p->nr_frags)
			t->flags = NETTXF_more_data;
	}
	slots[0].req.size = (uint16_t)p->size;
	slots[0].req.flags |= (p->csum_blank ? NETTXF_csum_blank | NETTXF_data_validated : 0) |
			      (p->data_validated ? NETTXF_data_validated : 0) | (p->nr_extras ? NETTXF_extra_info : 0);
	return p->nr_slots;
}

unsigned net_rx_build(struct net_packet *p, net_rx_slot *slots)
{
	place_extras(p, slots, sizeof(*slots));
	for (unsigned i = 0; i < p->nr_frags; i++) {
		const struct net_frag *f = &p->frags[i];
		struct netif_rx_response *t = &slots[net_packet_slot_of(p, i)].rsp;

		*t = (struct netif_rx_response){ .id = f->id, .offset = f->offset, .status = (int16_t)f->len };
		if (i + 1u < p->nr_frags)
			t->flags = NETRXF_more_data;
	}
	slots[0].rsp.flags |= (p->csum_blank ? NETRXF_csum_blank | NETRXF_data_validated : 0) |
			      (p->data_validated ? NETRXF_data_validated : 0) | (p->nr_extras ? NETRXF_extra_info : 0);
	return p->nr_slots;
}

unsigned net_tx_respond(const struct net_packet *p, int16_t status, struct netif_tx_response *out)
{
	for (unsigned i = 0; i < p->nr_frags; i++)
		out[net_packet_slot_of(p, i)] = (struct netif_tx_response){ .id = p->frags[i].id, .status = status };
	for (unsigned i = 0; i < p->nr_extras; i++)
		out[i + 1] = (struct netif_tx_response){ .status = NETIF_RSP_NULL };
	return p->nr_slots;
}
