/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grant tables, version 1: setup, query_size, map, unmap (and unmap_and_replace), copy, transfer, set_version, get_version.
 * The checks and pins themselves are in hvshare_grant.h, shared with domain 0. Callers hold hv_lock.
 */
#ifndef SLUICE_GRANT_H
#define SLUICE_GRANT_H

#include "domain.h"

int grant_domain_init(struct domain *d);
/* Drops what d has mapped, then what others have of d is left pinned; frames of such grants are freed when the last pin goes. */
void grant_domain_fini(struct domain *d);

long do_grant_table_op(struct vcpu *v, unsigned cmd, gva_t uop, unsigned count);

/* Builder: like xl, offer the store and console pages to domain 0 through the reserved grant entries 0 (console) and 1 (store). */
void grant_seed_reserved(struct domain *d, mfn_t console_mfn, mfn_t store_mfn);

/* An attached process of domain 0 is gone: give back what it had mapped. */
void grant_client_gone(unsigned client);

/* Frees what dead domains left behind because others held it, where they have let go. Called when one says so (HVSOCK_RELEASED). */
void grant_sweep_dead(void);
/* May this slot be a new domain? Not while frames of its last one are held. */
bool grant_domid_free(domid_t domid);

/* Is any grant of this frame pinned by anybody? After grant_domain_fini the answer no longer changes: true means that grant.c will
 * free the frame. To give a live domain's frame away use hvshare_frame_take, which asks and acts under the lock. */
bool grant_frame_pinned(struct domain *d, mfn_t mfn);

#endif
