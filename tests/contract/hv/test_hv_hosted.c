/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of hv.h on hv_sluice once more, with hosted domains as the guests: memory that is not machine memory, a bell instead of a vCPU. They are
 * in this process, as is sluiced.
 */
#include <rings/xenstore_ring.h>

#include "suite.h"
#include "tests/unit/hypervisor/hosted_client.h"

#define DOMAINS 256u
#define FIRST_GREF 8u

static struct guest {
	struct hosted_client c;
	struct xenstore_ring store;
	unsigned nr_pages;
	gref_t next_gref;
} guests[DOMAINS];

static int guest_create(struct hv_peer *p, domid_t *domid)
{
	static unsigned nr;
	struct guest g = {.next_gref = FIRST_GREF};
	char name[32];
	int rc;

	(void)p;
	snprintf(name, sizeof(name), "guest%u", ++nr);
	rc = hosted_attach_as(&g.c, name, HOSTED_PAGES);
	if (rc)
		return rc;
	*domid = hosted_id(&g.c);
	guests[*domid] = g;
	xenstore_ring_attach(&guests[*domid].store, hosted_at(&g.c, HOSTED_PFN_STORE), XENSTORE_RING_GUEST);
	return 0;
}

static void guest_destroy(struct hv_peer *p, domid_t domid)
{
	(void)p;
	hosted_die(&guests[domid].c);
	hosted_wait_gone(domid);
}

static uint8_t *page_at(domid_t domid, unsigned n)
{
	return hosted_at(&guests[domid].c, HOSTED_PFN_FREE + n);
}

static int page(struct hv_peer *p, domid_t domid, unsigned *n)
{
	(void)p;
	*n = guests[domid].nr_pages++;
	return HOSTED_PFN_FREE + *n < HOSTED_PAGES ? 0 : -ENOSPC;
}

static int poke(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset, uint8_t byte, unsigned count)
{
	(void)p;
	memset(page_at(domid, n) + offset, byte, count);
	return 0;
}

static int peek(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset)
{
	(void)p;
	return shm_load(page_at(domid, n) + offset);
}

static grant_entry_v1_t *entry(domid_t domid, gref_t gref)
{
	return (grant_entry_v1_t *)hosted_at(&guests[domid].c, HOSTED_PFN_GRANT) + gref;
}

static int grant(struct hv_peer *p, domid_t domid, unsigned n, domid_t to, bool readonly, gref_t *gref)
{
	grant_entry_v1_t e = {.flags = (uint16_t)(GTF_permit_access | (readonly ? GTF_readonly : 0)), .domid = to,
	                      .frame = (uint32_t)(guests[domid].c.reply.first_mfn + HOSTED_PFN_FREE + n)};

	(void)p;
	*gref = guests[domid].next_gref++;
	shm_copy_out(entry(domid, *gref), &e, sizeof(e));
	return 0;
}

static int ungrant(struct hv_peer *p, domid_t domid, gref_t gref)
{
	uint16_t flags = shm_load(&entry(domid, gref)->flags);

	(void)p;
	if (flags & (GTF_reading | GTF_writing) ||
	    !__atomic_compare_exchange_n(&entry(domid, gref)->flags, &flags, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return -EBUSY;
	return 0;
}

static int evtchn(struct hv_peer *p, domid_t domid, domid_t remote, evtchn_t *port)
{
	(void)p;
	return hosted_message(&guests[domid].c, HOSTED_EVTCHN_ALLOC, remote, 0, port);
}

static int send_event(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	(void)p;
	hosted_ring(&guests[domid].c, port);
	/* sluiced has answered the bell when it answers what was said after */
	hosted_message(&guests[domid].c, HOSTED_EVTCHN_CLOSE, 0, 0, NULL);
	for (unsigned ms = 0; ms < SOON_MS && shm_load(&((struct hosted_doorbell *)hosted_at(&guests[domid].c, HOSTED_PFN_DOORBELL))->sel); ms++)
		usleep(1000);
	return 0;
}

static int take(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	struct shared_info *si = hosted_si(&guests[domid].c);
	uint64_t bit = 1ull << port % 64;

	(void)p;
	return !!(__atomic_fetch_and(&si->evtchn_pending[port / 64], ~bit, __ATOMIC_SEQ_CST) & bit);
}

static int close_port(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	(void)p;
	return hosted_message(&guests[domid].c, HOSTED_EVTCHN_CLOSE, 0, port, NULL);
}

/* All of n bytes, one way or the other. */
static bool stream(struct guest *g, void *bytes, size_t n, bool out)
{
	for (unsigned ms = 0; n && ms < SOON_MS; ms++) {
		int moved = out ? xenstore_ring_write(&g->store, bytes, n) : xenstore_ring_read(&g->store, bytes, n);

		if (moved > 0) {
			bytes = (uint8_t *)bytes + moved;
			n -= (size_t)moved;
			hosted_ring(&g->c, g->c.reply.store_port);
		} else {
			usleep(1000);
		}
	}
	return !n;
}

static int store(struct hv_peer *p, domid_t domid, const char *path, const char *value)
{
	struct guest *g = &guests[domid];
	struct xsd_sockmsg hdr = {.type = XS_WRITE};
	char body[256];
	int n = snprintf(body, sizeof(body), "%s%c%s", path, 0, value);

	(void)p;
	hdr.len = (uint32_t)n;
	if (!stream(g, &hdr, sizeof(hdr), true) || !stream(g, body, hdr.len, true) || !stream(g, &hdr, sizeof(hdr), false) || hdr.len > sizeof(body) ||
	    !stream(g, body, hdr.len, false))
		return -EIO;
	return hdr.type == XS_WRITE ? 0 : -EACCES;
}

static int second(struct hv_peer *p, struct hv **out)
{
	(void)p;
	return hv_sluice_open(hosted_dir, out);
}

static const struct hv_peer_ops ops = {
	.domain_create = guest_create,
	.domain_destroy = guest_destroy,
	.page = page,
	.poke = poke,
	.peek = peek,
	.grant = grant,
	.ungrant = ungrant,
	.evtchn = evtchn,
	.send = send_event,
	.take = take,
	.close = close_port,
	.store = store,
	.second = second,
};

int main(void)
{
	struct hv_peer p = {.ops = &ops};
	int rc;

	if (hosted_world_start())
		return 1;
	p.hv = hosted_hv;
	rc = hv_suite_run(&p);
	return hosted_world_stop() || rc;
}
