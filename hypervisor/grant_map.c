/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * GNTTABOP_map_grant_ref and its opposites: a guest maps a page of another guest. What it holds stands in hvshare.guest_map, where
 * whoever repairs a table finds it; a handle is an index there.
 */
#include "grant_private.h"

#include "hosted_memory.h"
#include "mmu.h"

static struct hvshare_map *map_of(const struct vcpu *v, uint32_t handle)
{
	struct hvshare_map *map = handle < HVSHARE_GUEST_MAPS ? &machine.share->guest_map[handle] : NULL;

	return map && map->used && map->holder == v->domain->domid ? map : NULL;
}

static struct hvshare_map *map_alloc(const struct domain *d)
{
	static unsigned next; /* where the last search ended */

	if (d->grant->nr_maps >= GRANT_MAPS_MAX)
		return NULL;
	for (unsigned i = 0; i < HVSHARE_GUEST_MAPS; i++) {
		struct hvshare_map *map = &machine.share->guest_map[next++ % HVSHARE_GUEST_MAPS];

		if (!map->used)
			return map;
	}
	return NULL;
}

static int16_t pin(const struct domain *d, struct hvshare_map *map)
{
	const struct hvshare_view w = grant_view();
	int16_t status;

	hvshare_grant_lock(&w, map->domid);
	status = hvshare_grant_pin(&w, map, d->domid);
	hvshare_grant_unlock(&w, map->domid);
	return status;
}

static void unpin(struct domain *d, struct hvshare_map *map)
{
	const struct hvshare_view w = grant_view();
	domid_t domid = map->domid;
	bool last;

	hvshare_grant_lock(&w, domid);
	last = hvshare_grant_unpin(&w, map);
	hvshare_grant_unlock(&w, domid);
	d->grant->nr_maps--;
	if (last)
		grant_sweep_dead();
}

static int16_t map_one(struct vcpu *v, struct gnttab_map_grant_ref *op)
{
	struct domain *d = v->domain;
	struct hvshare_map *map;
	domid_t domid;
	int16_t status;

	if (!(op->flags & GNTMAP_host_map))
		return GNTST_bad_gntref; /* there is no I/O MMU for device_map alone */
	if (!grant_granter(v, op->dom, &domid))
		return GNTST_bad_domain;
	if (hosted_memory_of(domid))
		return GNTST_general_error; /* an engine maps frames of the machine memory only; GNTTABOP_copy works */
	map = map_alloc(d);
	if (!map)
		return GNTST_no_space;
	*map = (struct hvshare_map){.domid = domid, .holder = d->domid, .gref = op->ref, .readonly = !!(op->flags & GNTMAP_readonly),
	                            .flags = (uint16_t)op->flags};
	status = pin(d, map);
	if (status != GNTST_okay)
		return status;
	d->grant->nr_maps++;
	status = (int16_t)mmu_map_grant(v, op->host_addr, op->flags, map->mfn);
	if (status != GNTST_okay) {
		unpin(d, map);
		return status;
	}
	op->handle = (grant_handle_t)(map - machine.share->guest_map);
	op->dev_bus_addr = op->flags & GNTMAP_device_map ? map->mfn << SLUICE_PAGE_SHIFT : 0;
	return GNTST_okay;
}

long grant_op_map(struct vcpu *v, gva_t uop)
{
	struct gnttab_map_grant_ref op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	op.status = map_one(v, &op);
	return put_guest(v, uop, op) ? -EFAULT : 0;
}

/* The mapping goes before the pin: from then on the granter may do with its page what it likes. */
static int16_t unmap_one(struct vcpu *v, uint32_t handle, uint64_t host_addr, uint64_t new_pte)
{
	struct hvshare_map *map = map_of(v, handle);
	int16_t status;

	if (!map)
		return GNTST_bad_handle;
	status = (int16_t)mmu_unmap_grant(v, host_addr, map->flags, map->mfn, new_pte);
	if (status == GNTST_okay)
		unpin(v->domain, map);
	return status;
}

long grant_op_unmap(struct vcpu *v, gva_t uop)
{
	struct gnttab_unmap_grant_ref op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	op.status = unmap_one(v, op.handle, op.host_addr, 0);
	return put_guest(v, uop, op) ? -EFAULT : 0;
}

/* The entry at new_addr moves to host_addr and leaves a hole behind. */
static int16_t replace_one(struct vcpu *v, const struct gnttab_unmap_and_replace *op)
{
	struct mmu_walk walk;
	int16_t status;

	if (!map_of(v, op->handle))
		return GNTST_bad_handle;
	if (mmu_walk(v, op->new_addr, &walk))
		return GNTST_bad_virt_addr;
	if (do_update_va_mapping(v, op->new_addr, 0, 0))
		return GNTST_general_error;
	status = unmap_one(v, op->handle, op->host_addr, walk.l1e);
	if (status != GNTST_okay)
		do_update_va_mapping(v, op->new_addr, walk.l1e, 0);
	return status;
}

long grant_op_unmap_and_replace(struct vcpu *v, gva_t uop)
{
	struct gnttab_unmap_and_replace op;

	if (get_guest(v, op, uop))
		return -EFAULT;
	op.status = replace_one(v, &op);
	return put_guest(v, uop, op) ? -EFAULT : 0;
}

void grant_maps_drop(struct domain *d)
{
	for (unsigned i = 0; i < HVSHARE_GUEST_MAPS && d->grant->nr_maps; i++) {
		struct hvshare_map *map = &machine.share->guest_map[i];

		if (map->used && map->holder == d->domid)
			unpin(d, map);
	}
}
