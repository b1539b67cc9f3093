/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract of hv.h on hv_fake: the guests are functions of hv_fake.h. */
#include <backend/hv/hv_fake.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

#define DOMAINS 256u
#define PAGES 64u

static uint8_t *pages[DOMAINS][PAGES];
static unsigned nr_pages[DOMAINS];

static int domain_create(struct hv_peer *p, domid_t *domid)
{
	static domid_t last;

	last = (domid_t)(last % 200 + 1); /* suite.c has an id that nobody may have */
	*domid = last;
	nr_pages[last] = 0;
	return hv_fake_domain_create(p->hv, last);
}

static void domain_destroy(struct hv_peer *p, domid_t domid)
{
	hv_fake_domain_destroy(p->hv, domid);
}

static int page(struct hv_peer *p, domid_t domid, unsigned *n)
{
	if (nr_pages[domid] == PAGES)
		return -ENOSPC;
	*n = nr_pages[domid]++;
	pages[domid][*n] = hv_fake_pages_alloc(p->hv, domid, 1);
	return pages[domid][*n] ? 0 : -ENOMEM;
}

static int poke(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset, uint8_t byte, unsigned count)
{
	(void)p;
	memset(pages[domid][n] + offset, byte, count);
	return 0;
}

static int peek(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset)
{
	(void)p;
	return *(volatile uint8_t *)(pages[domid][n] + offset);
}

static int grant(struct hv_peer *p, domid_t domid, unsigned n, domid_t to, bool readonly, gref_t *gref)
{
	return hv_fake_grant(p->hv, domid, to, pages[domid][n], readonly, gref);
}

static int ungrant(struct hv_peer *p, domid_t domid, gref_t gref)
{
	return hv_fake_grant_end(p->hv, domid, gref);
}

static int evtchn(struct hv_peer *p, domid_t domid, domid_t remote, evtchn_t *port)
{
	return hv_fake_evtchn_alloc(p->hv, domid, remote, port);
}

/* Nobody is told that nobody listens, as on Xen. */
static int send(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	int rc = hv_fake_evtchn_send(p->hv, domid, port);

	return rc == -ENOTCONN ? 0 : rc;
}

static int take(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	return hv_fake_evtchn_take(p->hv, domid, port);
}

static int close_port(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	hv_fake_evtchn_close(p->hv, domid, port);
	return 0;
}

static int store(struct hv_peer *p, domid_t domid, const char *path, const char *value)
{
	return hv_fake_store_write(p->hv, domid, path, value);
}

static const struct hv_peer_ops ops = {
	.domain_create = domain_create,
	.domain_destroy = domain_destroy,
	.page = page,
	.poke = poke,
	.peek = peek,
	.grant = grant,
	.ungrant = ungrant,
	.evtchn = evtchn,
	.send = send,
	.take = take,
	.close = close_port,
	.store = store,
};

int main(void)
{
	struct hv_peer p = {.ops = &ops};
	int rc;

	if (hv_fake_open(&p.hv)) {
		fprintf(stderr, "hv_fake cannot be opened\n");
		return 1;
	}
	rc = hv_suite_run(&p);
	p.hv->ops->close(p.hv);
	return rc;
}
