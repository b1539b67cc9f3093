/* SPDX-License-Identifier: BSD-3-Clause */
/* What the grant*.c files share. Nobody else includes it. */
#ifndef SLUICE_GRANT_PRIVATE_H
#define SLUICE_GRANT_PRIVATE_H

#include "grant.h"

#include <sluice/hvshare_grant.h>

#include "guest_access.h"
#include "machine.h"

#define GRANT_BATCH_MAX 4096u     /* operations in one hypercall: at most 16 MiB of copies, some ms */
#define GRANT_OPS_PER_BREATH 64u  /* of them without letting others have hv_lock */
#define GRANT_MAPS_MAX 1024u      /* pages that one guest can hold mapped */

struct grant_state {
	unsigned nr_maps; /* entries of guest_map that this guest holds */
};

static inline struct hvshare_view grant_view(void)
{
	return (struct hvshare_view){.share = machine.share, .machine = machine.base};
}

static inline bool grant_is_self(const struct vcpu *v, domid_t domid)
{
	return domid == DOMID_SELF || domid == v->domain->domid;
}

/* The domain that an operation names as granting: v's own for DOMID_SELF. False when there is none. */
static inline bool grant_granter(const struct vcpu *v, domid_t domid, domid_t *out)
{
	*out = domid == DOMID_SELF ? v->domain->domid : domid;
	return hvshare_domain_usable(machine.share, *out);
}

long grant_op_map(struct vcpu *v, gva_t uop);               /* grant_map.c: one operation each */
long grant_op_unmap(struct vcpu *v, gva_t uop);
long grant_op_unmap_and_replace(struct vcpu *v, gva_t uop);
void grant_maps_drop(struct domain *d);
long grant_op_copy(struct vcpu *v, gva_t uops, unsigned count); /* grant_copy.c: a batch */
long grant_op_transfer(struct vcpu *v, gva_t uop);          /* grant_transfer.c */

#endif
