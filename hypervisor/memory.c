/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory_op: how much memory a domain has, giving some back, getting some (up to its maximum), and what the machine looks like.
 * A call that changes memory does as many extents as it can and says how many that were.
 */
#include <errno.h>

#include "guest_access.h"
#include "mmu_state.h"

#define MEMOP_CMD_BITS 6 /* above them: how many extents an interrupted call has done already */
#define ORDER_MAX 9u     /* 2 MiB, as Xen lets an unprivileged domain */
#define E820_RAM 1u

struct e820_entry {
	uint64_t addr, size;
	uint32_t type;
} __attribute__((packed));
SLUICE_ABI_SIZE(struct e820_entry, 20);

static bool is_self(const struct domain *d, domid_t domid)
{
	return domid == DOMID_SELF || domid == d->domid;
}

static bool has_room(const struct domain *d, size_t n)
{
	return d->nr_pages + n <= d->max_pages;
}

/* 1 << order frames in a row for d. */
static int alloc_extent(struct domain *d, unsigned order, mfn_t *first)
{
	mfn_t mfn[1u << ORDER_MAX];
	size_t n = (size_t)1 << order;
	int rc = has_room(d, n) ? machine_alloc(d->domid, mfn, n) : -ENOMEM;

	if (rc)
		return rc;
	*first = mfn[0];
	if (mfn[n - 1] == mfn[0] + n - 1 && has_room(d, n)) /* a page may have been transferred to it meanwhile */
		return 0;
	for (size_t i = 0; i < n; i++)
		machine_free(mfn[i]);
	return -ENOMEM;
}

static int add_extent(struct vcpu *v, gva_t slot, unsigned order, bool populate)
{
	uint64_t pfn = ~0ull, first;
	int rc = 0;

	if (populate)
		rc = get_guest(v, pfn, slot);
	if (!rc && populate && pfn > ~0ull >> SLUICE_PAGE_SHIFT)
		rc = -EINVAL;
	if (!rc)
		rc = alloc_extent(v->domain, order, &first);
	if (rc)
		return rc;
	for (uint64_t i = 0; i < 1ull << order; i++)
		mmu_give_page(v->domain, first + i, populate ? pfn + i : ~0ull);
	return slot ? put_guest(v, slot, first) : 0;
}

/* A PV guest names what it gives back by machine frame. */
static int drop_extent(struct vcpu *v, gva_t slot, unsigned order)
{
	uint64_t mfn;
	int rc = get_guest(v, mfn, slot);

	for (uint64_t i = 0; i < 1ull << order && !rc; i++) {
		rc = mmu_steal_page(v->domain, mfn + i);
		if (!rc)
			machine_free(mfn + i);
	}
	return rc;
}

static long change_reservation(struct vcpu *v, unsigned op, uint64_t start, gva_t arg)
{
	struct xen_memory_reservation r;
	gva_t slots;
	uint64_t i;
	int rc = 0;

	if (get_guest(v, r, arg))
		return -EFAULT;
	if (!is_self(v->domain, r.domid))
		return -EPERM;
	if (r.extent_order > ORDER_MAX)
		return (long)start;
	slots = (gva_t)(uintptr_t)r.extent_start.p;
	for (i = start; i < r.nr_extents && v->domain->run == DOMAIN_RUNNING; i++) { /* ends with the memory, of the domain or the machine */
		gva_t slot = slots ? slots + i * sizeof(xen_pfn_t) : 0;

		if (op == XENMEM_decrease_reservation)
			rc = drop_extent(v, slot, r.extent_order);
		else
			rc = add_extent(v, slot, r.extent_order, op == XENMEM_populate_physmap);
		if (rc)
			break;
		hv_lock_breathe();
	}
	return (long)i;
}

static long reservation(struct vcpu *v, gva_t arg, bool maximum)
{
	struct xen_memory_domain who;

	if (get_guest(v, who, arg))
		return -EFAULT;
	if (!is_self(v->domain, who.domid))
		return -EPERM;
	return (long)(maximum ? v->domain->max_pages : v->domain->nr_pages);
}

static long machphys_mapping(struct vcpu *v, gva_t arg)
{
	struct xen_machphys_mapping m = {
		.v_start = MACH2PHYS_VIRT_START,
		.v_end = MACH2PHYS_VIRT_END,
		.max_mfn = machine.nr_frames - 1,
	};

	return put_guest(v, arg, m);
}

/* One stretch of RAM: pseudo-physical memory has no holes to speak of. */
static long memory_map(struct vcpu *v, gva_t arg)
{
	struct e820_entry ram = { .size = v->domain->max_pages << SLUICE_PAGE_SHIFT, .type = E820_RAM };
	struct xen_memory_map map;
	int rc = get_guest(v, map, arg);

	if (rc)
		return rc;
	if (!map.nr_entries)
		return -EINVAL;
	map.nr_entries = 1;
	rc = put_guest(v, (gva_t)(uintptr_t)map.buffer.p, ram);
	return rc ? rc : put_guest(v, arg, map);
}

long do_memory_op(struct vcpu *v, unsigned cmd, gva_t arg)
{
	unsigned op = cmd & ((1u << MEMOP_CMD_BITS) - 1);

	switch (op) {
	case XENMEM_increase_reservation:
	case XENMEM_decrease_reservation:
	case XENMEM_populate_physmap:
		return change_reservation(v, op, cmd >> MEMOP_CMD_BITS, arg);
	case XENMEM_current_reservation:
		return reservation(v, arg, false);
	case XENMEM_maximum_reservation:
		return reservation(v, arg, true);
	case XENMEM_maximum_ram_page:
		return (long)machine.nr_frames;
	case XENMEM_machphys_mapping:
		return machphys_mapping(v, arg);
	case XENMEM_memory_map:
		return memory_map(v, arg);
	default:
		return -ENOSYS;
	}
}
