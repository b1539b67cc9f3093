/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of the suite share: the peer, the domains of the case that runs, and what more than one file does with them. */
#ifndef TESTS_CONTRACT_HV_SUITE_PRIVATE_H
#define TESTS_CONTRACT_HV_SUITE_PRIVATE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "suite.h"

#define NO_DOMAIN 250 /* nobody has that id */
#define SOON_MS 2000
#define WHILE_MS 100 /* long enough for what should not happen */

extern struct hv_peer *peer;
extern struct hv *hv;
extern domid_t dom, dom2; /* dom2 0: not made */

void second_domain(void);
void destroy(void);
bool readable(int fd, int ms);

/* suite_grant.c */
unsigned page(domid_t domid);
gref_t grant(domid_t domid, unsigned n, domid_t to, bool readonly);
int ungrant(domid_t domid, gref_t gref);
struct hv_map_op map_with(struct hv *h, domid_t domid, gref_t gref, bool readonly);

/* suite_event.c */
struct hv_evtchn *open_channel(struct hv *h);
evtchn_t offer(domid_t domid, domid_t remote);
evtchn_t bind_port(struct hv_evtchn *e, evtchn_t theirs);
void expect_fired(struct hv_evtchn *e, evtchn_t port); /* exactly this port has fired, or does so soon */

void test_map_is_the_guests_page(void **state);
void test_a_readonly_grant_is_not_mapped_writable(void **state);
void test_what_is_not_granted_to_us_is_refused(void **state);
void test_a_mapped_grant_is_busy(void **state);
void test_a_batch_goes_on_after_a_bad_entry(void **state);
void test_a_ring_is_contiguous(void **state);
void test_a_ring_is_all_or_nothing(void **state);
void test_copy_both_ways(void **state);
void test_copy_from_guest_to_guest(void **state);
void test_copy_stays_in_the_page(void **state);
void test_copy_has_a_status_for_each_segment(void **state);
void test_copy_with_memory_for_devices(void **state);
void test_a_domain_may_vanish_while_mapped(void **state);
void test_events_from_the_guest(void **state);
void test_the_fd_wakes_a_sleeper(void **state);
void test_events_to_the_guest(void **state);
void test_bind_needs_an_offer_to_us(void **state);
void test_unbind_lets_somebody_else_bind(void **state);
void test_the_peer_closes(void **state);
void test_more_ports_than_fit(void **state);
void test_store_nodes(void **state);
void test_store_transactions(void **state);
void test_store_watches(void **state);

#endif
