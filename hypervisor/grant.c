/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Grant tables: their frames, their end, and the dispatch of the hypercall. Mapping, copying and transferring each have a file; the
 * checks themselves are in hvshare_grant.h.
 */
#include "grant_private.h"

#include <stdlib.h>

#include "hosted_memory.h"

/* ---- the frames of a table ---- */

static int add_frame(struct domain *d)
{
	struct hvshare_domain *s = d->share;
	mfn_t mfn;
	int rc = machine_alloc_xenheap(XENHEAP_GRANT, d->domid, &mfn);

	if (rc)
		return rc;
	s->grant_mfn[s->nr_grant_frames] = mfn;
	__atomic_store_n(&s->nr_grant_frames, s->nr_grant_frames + 1, __ATOMIC_RELEASE);
	return 0;
}

static int grow(struct domain *d, unsigned frames)
{
	const struct hvshare_view w = grant_view();
	int rc = 0;

	hvshare_grant_lock(&w, d->domid);
	while (!rc && d->share->nr_grant_frames < frames)
		rc = add_frame(d);
	hvshare_grant_unlock(&w, d->domid);
	return rc;
}

static void free_table(struct domain *d)
{
	struct hvshare_domain *s = d->share;

	for (unsigned i = 0; i < s->nr_grant_frames && !d->hosted; i++)
		machine_free_xenheap(XENHEAP_GRANT, s->grant_mfn[i]);
	s->nr_grant_frames = 0;
}

int grant_domain_init(struct domain *d)
{
	int rc;

	grant_sweep_dead();
	if (!grant_domid_free(d->domid))
		return -EBUSY;
	d->grant = calloc(1, sizeof(*d->grant));
	if (!d->grant)
		return -ENOMEM;
	rc = d->hosted ? 0 : grow(d, 1);
	if (rc) {
		free(d->grant);
		d->grant = NULL;
	}
	return rc;
}

void grant_seed_reserved(struct domain *d, mfn_t console_mfn, mfn_t store_mfn)
{
	grant_entry_v1_t *table = machine_ptr(d->share->grant_mfn[0]);
	const struct { gref_t gref; mfn_t mfn; } seed[] = {
		{GNTTAB_RESERVED_CONSOLE, console_mfn},
		{GNTTAB_RESERVED_XENSTORE, store_mfn},
	};

	for (unsigned i = 0; i < 2; i++) {
		grant_entry_v1_t entry = {.flags = GTF_permit_access, .domid = 0, .frame = (uint32_t)seed[i].mfn};

		shm_copy_out(&table[seed[i].gref], &entry, sizeof(entry));
	}
}

/* ---- the end of a domain: what others hold of it outlives it ---- */

static uint32_t kept[HVSHARE_DOMAINS]; /* frames of a dead domain that somebody had mapped when it died */

static void keep_pinned(struct domain *d)
{
	for (gref_t gref = 0; gref < HVSHARE_GRANTS; gref++) {
		const struct hvshare_pin *pin = &d->share->pin[gref];
		uint32_t *use = &machine.share->frame_use[pin->mfn];

		if (pin->count && !(*use & HVSHARE_FRAME_KEPT)) {
			*use |= HVSHARE_FRAME_KEPT;
			kept[d->domid]++;
		}
	}
}

void grant_domain_fini(struct domain *d)
{
	const struct hvshare_view w = grant_view();

	if (!d->grant) {
		hosted_memory_release(d->domid);
		return;
	}
	grant_maps_drop(d);
	hvshare_grant_lock(&w, d->domid);
	__atomic_store_n(&d->share->alive, 0, __ATOMIC_RELEASE);
	if (d->share->nr_pins)
		keep_pinned(d);
	free_table(d);
	hvshare_grant_unlock(&w, d->domid);
	if (!kept[d->domid])
		hosted_memory_release(d->domid);
	free(d->grant);
	d->grant = NULL;
}

static bool let_go(domid_t domid)
{
	const struct hvshare_view w = grant_view();
	bool all;

	hvshare_grant_lock(&w, domid);
	all = !machine.share->domain[domid].nr_pins;
	hvshare_grant_unlock(&w, domid);
	return all;
}

static void free_kept(domid_t domid)
{
	if (hosted_memory_of(domid)) { /* goes as a whole */
		hosted_memory_release(domid);
		kept[domid] = 0;
	}
	for (mfn_t mfn = 0; mfn < machine.nr_frames && kept[domid]; mfn++) {
		if (machine.share->frame_owner[mfn] != domid || !(machine.share->frame_use[mfn] & HVSHARE_FRAME_KEPT))
			continue;
		machine_free(mfn);
		kept[domid]--;
	}
}

void grant_sweep_dead(void)
{
	for (domid_t domid = 1; domid < HVSHARE_DOMAINS; domid++)
		if (kept[domid] && let_go(domid))
			free_kept(domid);
}

bool grant_domid_free(domid_t domid)
{
	return domid != 0 && domid < HVSHARE_DOMAINS && !__atomic_load_n(&machine.share->domain[domid].nr_pins, __ATOMIC_ACQUIRE);
}

bool grant_frame_pinned(struct domain *d, mfn_t mfn)
{
	const struct hvshare_view w = grant_view();
	uint32_t use;

	if (mfn >= machine.nr_frames)
		return false;
	hvshare_grant_lock(&w, d->domid);
	use = machine.share->frame_use[mfn];
	hvshare_grant_unlock(&w, d->domid);
	/* What was pinned at the death of its owner is grant.c's, even if it is let go this moment; a dead domain has no new pins. */
	return use & (d->share->alive ? HVSHARE_FRAME_PINS | HVSHARE_FRAME_KEPT : HVSHARE_FRAME_KEPT);
}

void grant_client_gone(unsigned client)
{
	const struct hvshare_view w = grant_view();

	if (client >= HVSHARE_CLIENTS)
		return;
	for (size_t i = 0; i < HVSHARE_MAPTRACK; i++) {
		struct hvshare_map *map = &machine.share->client[client].map[i];

		if (!__atomic_load_n(&map->used, __ATOMIC_ACQUIRE) || map->domid == 0 || map->domid >= HVSHARE_DOMAINS)
			continue;
		hvshare_grant_lock(&w, map->domid);
		hvshare_grant_unpin(&w, map);
		hvshare_grant_unlock(&w, map->domid);
	}
	grant_sweep_dead();
}

/* ---- the hypercall ---- */

static int write_frame_list(struct vcpu *v, const struct gnttab_setup_table *op)
{
	for (uint32_t i = 0; i < op->nr_frames; i++) {
		xen_pfn_t frame = v->domain->share->grant_mfn[i];

		if (put_guest(v, (gva_t)(uintptr_t)op->frame_list.p + i * sizeof(frame), frame))
			return -EFAULT;
	}
	return 0;
}

static long op_setup_table(struct vcpu *v, gva_t uop)
{
	struct gnttab_setup_table op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	if (!grant_is_self(v, op.dom))
		op.status = GNTST_permission_denied;
	else if (op.nr_frames > HVSHARE_GRANT_FRAMES)
		op.status = GNTST_general_error;
	else if (grow(v->domain, op.nr_frames))
		op.status = GNTST_no_space;
	else if (write_frame_list(v, &op))
		return -EFAULT;
	else
		op.status = GNTST_okay;
	return put_guest(v, uop, op) ? -EFAULT : 0;
}

static long op_query_size(struct vcpu *v, gva_t uop)
{
	struct gnttab_query_size op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	op.status = grant_is_self(v, op.dom) ? GNTST_okay : GNTST_permission_denied;
	if (op.status == GNTST_okay) {
		op.nr_frames = v->domain->share->nr_grant_frames;
		op.max_nr_frames = HVSHARE_GRANT_FRAMES;
	}
	return put_guest(v, uop, op) ? -EFAULT : 0;
}

static long op_set_version(struct vcpu *v, gva_t uop)
{
	struct gnttab_set_version op;
	long rc;

	if (get_guest(v, op, uop))
		return -EFAULT;
	rc = op.version == 1 ? 0 : op.version == 2 ? -ENOSYS : -EINVAL;
	op.version = 1;
	return put_guest(v, uop, op) ? -EFAULT : rc;
}

static long op_get_version(struct vcpu *v, gva_t uop)
{
	struct gnttab_get_version op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	if (!grant_is_self(v, op.dom))
		return -EPERM;
	op.version = 1;
	return put_guest(v, uop, op) ? -EFAULT : 0;
}

struct grant_op {
	long (*one)(struct vcpu *v, gva_t uop);
	size_t size;
	bool single; /* these take exactly one operation */
};

long do_grant_table_op(struct vcpu *v, unsigned cmd, gva_t uop, unsigned count)
{
	static const struct grant_op ops[] = {
		[GNTTABOP_map_grant_ref] = {grant_op_map, sizeof(struct gnttab_map_grant_ref), false},
		[GNTTABOP_unmap_grant_ref] = {grant_op_unmap, sizeof(struct gnttab_unmap_grant_ref), false},
		[GNTTABOP_unmap_and_replace] = {grant_op_unmap_and_replace, sizeof(struct gnttab_unmap_and_replace), false},
		[GNTTABOP_transfer] = {grant_op_transfer, sizeof(struct gnttab_transfer), false},
		[GNTTABOP_setup_table] = {op_setup_table, 0, true},
		[GNTTABOP_query_size] = {op_query_size, 0, true},
		[GNTTABOP_set_version] = {op_set_version, 0, true},
		[GNTTABOP_get_version] = {op_get_version, 0, true},
	};
	const struct grant_op *op = cmd < sizeof(ops) / sizeof(ops[0]) ? &ops[cmd] : NULL;

	if (count > GRANT_BATCH_MAX)
		return -EINVAL;
	if (cmd == GNTTABOP_copy)
		return grant_op_copy(v, uop, count);
	if (!op || !op->one)
		return -ENOSYS;
	if (op->single)
		return count == 1 ? op->one(v, uop) : -EINVAL;
	for (unsigned i = 0; i < count; i++, uop += op->size) {
		long rc = op->one(v, uop);

		if (rc)
			return rc;
		if (i % GRANT_OPS_PER_BREATH == GRANT_OPS_PER_BREATH - 1)
			hv_lock_breathe();
	}
	return 0;
}
