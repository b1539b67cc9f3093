/* SPDX-License-Identifier: BSD-3-Clause */
/* xen_version: what a guest is told about the hypervisor; and physdev_op, which has nothing for it. hypercall.c calls in. */
#include <errno.h>
#include <string.h>

#include "guest_access.h"
#include "hypercall.h"
#include "machine.h"

#define VERSION_MAJOR 4u /* the ABI that is spoken; kernels choose their ways by it */
#define VERSION_MINOR 17u

/* What mmuext.c, mmu_update.c and mmu_grant.c do; writable page tables and the like are for other kinds of guests. */
static uint32_t features(const struct domain *d)
{
	uint32_t f = 1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_highmem_assist | 1u << XENFEAT_gnttab_map_avail_bits;

	if (d->vm_assist >> VMASST_TYPE_pae_extended_cr3 & 1)
		f |= 1u << XENFEAT_pae_pgdir_above_4gb;
	return f;
}

static long get_features(struct vcpu *v, gva_t arg)
{
	struct xen_feature_info f;

	if (get_guest(v, f, arg))
		return -EFAULT;
	if (f.submap_idx >= XENFEAT_NR_SUBMAPS)
		return -EINVAL;
	f.submap = features(v->domain);
	return put_guest(v, arg, f);
}

/* No date and no user: two builds of the same source say the same. */
static long compile_info(struct vcpu *v, gva_t arg)
{
	struct xen_compile_info c = { .compiler = "gcc or clang", .compile_by = "sluice" };

	return put_guest(v, arg, c);
}

static long put_platform_parameters(struct vcpu *v, gva_t arg)
{
	struct xen_platform_parameters p = { .virt_start = HYPERVISOR_VIRT_START };

	return put_guest(v, arg, p);
}

/* Each text goes out as a whole array, zeroes to its end. */
static long put_text(struct vcpu *v, gva_t arg, const char *text, size_t size)
{
	char out[1024] = { 0 };

	memcpy(out, text, strlen(text));
	return copy_to_guest(v, arg, out, size);
}

long do_xen_version(struct vcpu *v, unsigned cmd, gva_t arg)
{
	switch (cmd) {
	case XENVER_version:
		return VERSION_MAJOR << 16 | VERSION_MINOR;
	case XENVER_extraversion:
		return put_text(v, arg, ".7-sluice", sizeof(xen_extraversion_t));
	case XENVER_compile_info:
		return compile_info(v, arg);
	case XENVER_capabilities:
		return put_text(v, arg, "xen-3.0-x86_64 ", sizeof(xen_capabilities_info_t));
	case XENVER_changeset:
		return put_text(v, arg, "unavailable", sizeof(xen_changeset_info_t));
	case XENVER_platform_parameters:
		return put_platform_parameters(v, arg);
	case XENVER_get_features:
		return get_features(v, arg);
	case XENVER_pagesize:
		return SLUICE_PAGE_SIZE;
	case XENVER_guest_handle:
		return copy_to_guest(v, arg, v->domain->uuid, sizeof(v->domain->uuid));
	case XENVER_commandline:
		return put_text(v, arg, "", sizeof(xen_commandline_t));
	case XENVER_build_id:
		return -ENODATA;
	default:
		return -ENOSYS;
	}
}

long do_physdev_op(struct vcpu *v, unsigned cmd, gva_t arg)
{
	(void)v;
	(void)cmd;
	(void)arg;
	return -ENOSYS;
}
