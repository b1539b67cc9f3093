/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Descriptor tables: set_gdt and update_descriptor. The process engine loads no guest descriptors, but a guest sees the same rules as on
 * Xen, and what is stored would be safe to load: nothing that reaches a privilege level below 3.
 */
#include <errno.h>

#include "guest_access.h"
#include "mmu_state.h"

#define DESCRIPTORS_PER_PAGE (SLUICE_PAGE_SIZE / sizeof(uint64_t))
#define DESC_PRESENT (1ull << 47)
#define DESC_DPL (3ull << 45)
#define DESC_CODE_OR_DATA (1ull << 44)
#define DESC_TYPE (0xfull << 40)
#define DESC_CALL_GATE (0xcull << 40)
#define DESC_GATE_RESERVED (0xe0ull << 32)

/* A call gate may only lead to a code segment of the guest's own (or the flat one that Xen lends it), in ring 3. */
static bool gate_target_ok(uint16_t selector)
{
	return (selector & 3) == 3 && selector > 3 &&
	       (selector == FLAT_KERNEL_CS || (selector & 4) || selector >> 3 < FIRST_RESERVED_GDT_ENTRY);
}

static int check_descriptor(uint64_t *desc)
{
	uint64_t type = *desc & DESC_TYPE;

	if (!(*desc & DESC_PRESENT))
		return 0; /* using it faults */
	if (!(*desc & DESC_CODE_OR_DATA) && type != 0) { /* type 0: the second half of a gate */
		if (type != DESC_CALL_GATE || !gate_target_ok((uint16_t)(*desc >> 16)) || (*desc & DESC_GATE_RESERVED))
			return -EINVAL;
	}
	*desc |= DESC_DPL; /* the guest's kernel runs in ring 3 */
	return 0;
}

int descriptors_check_page(uint64_t *page)
{
	for (unsigned i = 0; i < DESCRIPTORS_PER_PAGE; i++) {
		uint64_t desc = shm_load(&page[i]), fit = desc;
		int rc = check_descriptor(&fit);

		if (rc)
			return rc;
		if (fit != desc)
			shm_store(&page[i], fit);
	}
	return 0;
}

static void put_frames(struct domain *d, const mfn_t *mfn, unsigned n)
{
	while (n--)
		page_put_type(d, mfn[n]);
}

long do_set_gdt(struct vcpu *v, gva_t frames, unsigned entries)
{
	unsigned n = (entries + DESCRIPTORS_PER_PAGE - 1) / DESCRIPTORS_PER_PAGE;
	struct mmu_state *m = v->domain->mmu;
	mfn_t mfn[FIRST_RESERVED_GDT_PAGE];

	if (entries > FIRST_RESERVED_GDT_ENTRY)
		return -EINVAL;
	if (copy_from_guest(v, mfn, frames, n * sizeof(mfn[0])))
		return -EFAULT;
	for (unsigned i = 0; i < n; i++) {
		int rc = page_get_type(v->domain, mfn[i], PAGE_DESCRIPTORS);

		if (rc) {
			put_frames(v->domain, mfn, i);
			return rc;
		}
	}
	put_frames(v->domain, m->gdt, m->gdt_frames);
	for (unsigned i = 0; i < n; i++)
		m->gdt[i] = mfn[i];
	m->gdt_frames = n;
	return 0;
}

long do_update_descriptor(struct vcpu *v, uint64_t maddr, uint64_t desc)
{
	mfn_t mfn = maddr >> SLUICE_PAGE_SHIFT;
	enum page_type type = PAGE_WRITABLE;
	int rc;

	if (maddr % sizeof(uint64_t) || check_descriptor(&desc))
		return -EINVAL;
	if (page_is_own(v->domain, mfn) && page_of(mfn)->type == PAGE_DESCRIPTORS)
		type = PAGE_DESCRIPTORS;
	rc = page_get_type(v->domain, mfn, type);
	if (rc)
		return rc;
	shm_store((uint64_t *)machine_ptr(mfn) + (maddr % SLUICE_PAGE_SIZE) / sizeof(uint64_t), desc);
	page_put_type(v->domain, mfn);
	return 0;
}
