/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Xen's ELF notes (xen/elfnote.h): what the kernel wants to be given and where. Called by elf.c with blocks that lie within the file.
 */
#include "image.h"

#include <errno.h>
#include <sluice/abi.h>
#include <stdio.h>
#include <string.h>

/* Features that a kernel may require of us; writable_page_tables is mmu_emulate_pte_write. */
static const char *const features_offered[] = { "writable_page_tables", "pae_pgdir_above_4gb" };

static uint64_t note_number(const uint8_t *desc, uint32_t len)
{
	uint64_t v = 0;

	memcpy(&v, desc, len < sizeof(v) ? len : sizeof(v));
	return v;
}

static void note_string(char *out, size_t size, const uint8_t *desc, uint32_t len)
{
	size_t n = len < size - 1 ? len : size - 1;

	memcpy(out, desc, n);
	out[n] = 0;
}

static void take_note(struct pv_image *img, uint32_t type, const uint8_t *desc, uint32_t len)
{
	img->has_notes = true;
	switch (type) {
	case XEN_ELFNOTE_ENTRY:
		img->entry = note_number(desc, len);
		img->has_entry = true;
		break;
	case XEN_ELFNOTE_HYPERCALL_PAGE:
		img->hypercall_page = note_number(desc, len);
		img->has_hypercall_page = true;
		break;
	case XEN_ELFNOTE_VIRT_BASE:
		img->virt_base = note_number(desc, len);
		break;
	case XEN_ELFNOTE_PADDR_OFFSET:
		img->paddr_offset = note_number(desc, len);
		break;
	case XEN_ELFNOTE_INIT_P2M:
		img->init_p2m = note_number(desc, len);
		img->has_init_p2m = true;
		break;
	case XEN_ELFNOTE_LOADER:
		note_string(img->loader, sizeof(img->loader), desc, len);
		break;
	case XEN_ELFNOTE_GUEST_OS:
		note_string(img->guest_os, sizeof(img->guest_os), desc, len);
		break;
	case XEN_ELFNOTE_XEN_VERSION:
		note_string(img->xen_version, sizeof(img->xen_version), desc, len);
		break;
	case XEN_ELFNOTE_FEATURES:
		note_string(img->features, sizeof(img->features), desc, len);
		break;
	default: /* PAE mode, suspend, L1_MFN_VALID, PHYS32_ENTRY and the like: nothing that a 64-bit PV start depends on */
		break;
	}
}

bool image_notes(struct pv_image *img, uint64_t at, uint64_t len)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		const uint8_t *note = img->file + at;
		uint64_t name_len, desc_len;
		Elf64_Nhdr nh;

		memcpy(&nh, note, sizeof(nh));
		name_len = ((uint64_t)nh.n_namesz + 3) & ~3ull;
		desc_len = ((uint64_t)nh.n_descsz + 3) & ~3ull;
		if (sizeof(nh) + name_len + nh.n_descsz > len)
			return false;
		if (nh.n_namesz == 4 && !memcmp(note + sizeof(nh), "Xen", 4))
			take_note(img, nh.n_type, note + sizeof(nh) + name_len, nh.n_descsz);
		if (sizeof(nh) + name_len + desc_len >= len)
			return true; /* the padding of the last one may be missing */
		at += sizeof(nh) + name_len + desc_len;
		len -= sizeof(nh) + name_len + desc_len;
	}
	return true;
}

static bool feature_offered(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(features_offered) / sizeof(*features_offered); i++)
		if (strlen(features_offered[i]) == len && !memcmp(features_offered[i], name, len))
			return true;
	return false;
}

static int check_features(const struct pv_image *img, char err[BUILD_ERR])
{
	for (const char *f = img->features; *f;) {
		size_t len = strcspn(f, "|");

		if (f[0] == '!' && !feature_offered(f + 1, len - 1)) {
			snprintf(err, BUILD_ERR, "%.100s: cannot run without the feature '%.*s', which sluiced does not have: "
				 "build the kernel without it", img->path, (int)(len - 1 < 40 ? len - 1 : 40), f + 1);
			return -ENOEXEC;
		}
		f += len + (f[len] == '|');
	}
	return 0;
}

/* The same rules as libxc: a generic loader (or Linux), Xen 3.0's interface. */
int image_check_notes(struct pv_image *img, char err[BUILD_ERR])
{
	if (strncmp(img->loader, "generic", 7) && strncmp(img->guest_os, "linux", 5)) {
		snprintf(err, BUILD_ERR, "%.100s: its Xen notes ask for the loader '%.16s': only 'generic' can be had", img->path, img->loader);
		return -ENOEXEC;
	}
	if (strncmp(img->xen_version, "xen-3.0", 7)) {
		snprintf(err, BUILD_ERR, "%.100s: its Xen notes are for '%.16s': only the interface 'xen-3.0' can be had", img->path, img->xen_version);
		return -ENOEXEC;
	}
	return check_features(img, err);
}
