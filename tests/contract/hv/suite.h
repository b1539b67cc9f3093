/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of include/sluice/hv.h as tests: the cases are in suite.c, once, and every provider runs them (test_hv_<provider>.c). What a guest and
 * the toolstack do meanwhile goes through a small interface that each provider's test implements: in process, or with a real guest.
 */
#ifndef TESTS_CONTRACT_HV_SUITE_H
#define TESTS_CONTRACT_HV_SUITE_H

#include <sluice/hv.h>

struct hv_peer;

/* Each says 0 or -errno, unless it says otherwise. */
struct hv_peer_ops {
	int (*domain_create)(struct hv_peer *p, domid_t *domid);
	void (*domain_destroy)(struct hv_peer *p, domid_t domid); /* as after a crash; its memory is gone as far as it is concerned */

	int (*page)(struct hv_peer *p, domid_t domid, unsigned *page); /* a zeroed page of the guest's, by a number of its own */
	int (*poke)(struct hv_peer *p, domid_t domid, unsigned page, unsigned offset, uint8_t byte, unsigned count);
	int (*peek)(struct hv_peer *p, domid_t domid, unsigned page, unsigned offset); /* the byte */

	int (*grant)(struct hv_peer *p, domid_t domid, unsigned page, domid_t to, bool readonly, gref_t *gref);
	int (*ungrant)(struct hv_peer *p, domid_t domid, gref_t gref); /* -EBUSY while it is in use */

	int (*evtchn)(struct hv_peer *p, domid_t domid, domid_t remote, evtchn_t *port);
	int (*send)(struct hv_peer *p, domid_t domid, evtchn_t port);
	int (*take)(struct hv_peer *p, domid_t domid, evtchn_t port); /* 1 when it fired since the last call, else 0 */
	int (*close)(struct hv_peer *p, domid_t domid, evtchn_t port);

	int (*store)(struct hv_peer *p, domid_t domid, const char *path, const char *value); /* written as that domain, below its home */

	/* Another handle on the same hypervisor, as a second back end would have; NULL where that cannot be. */
	int (*second)(struct hv_peer *p, struct hv **out);
};

/* What hv.h allows a provider because its hypervisor is so. */
enum hv_quirk {
	HV_QUIRK_SILENT_NOTIFY = 1 << 0, /* an event to a closed port is dropped without a word */
	HV_QUIRK_REPEATS = 1 << 1,       /* events that come before the first is fetched are told once more */
	HV_QUIRK_ZOMBIES = 1 << 2,       /* pages of a dead domain that are still mapped can be reached until they are not */
};

struct hv_peer {
	const struct hv_peer_ops *ops;
	struct hv *hv; /* the provider under test, open */
	unsigned quirks;
};

/* Runs every case; the exit status for main. */
int hv_suite_run(struct hv_peer *p);

#endif
