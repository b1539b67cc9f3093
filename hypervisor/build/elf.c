/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel file of a domain, read with distrust (image.h): a truncated or lying file gives one line that says what it is, never a read
 * outside of it. Called by build_pv.
 */
#include "image.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define GIVE "give a Xen PV kernel (x86-64 ELF with Xen notes)"
#define BZIMAGE_MAGIC_AT 0x202

static bool in_file(const struct pv_image *img, uint64_t at, uint64_t len)
{
	return at <= img->size && len <= img->size - at;
}

static int truncated(const struct pv_image *img, char err[BUILD_ERR], const char *what, unsigned n, uint64_t at, uint64_t len)
{
	snprintf(err, BUILD_ERR, "%.100s: truncated: %s %u (%" PRIu64 " bytes at %" PRIu64 ") ends past the file's %zu bytes: copy it anew",
		 img->path, what, n, len, at, img->size);
	return -ENOEXEC;
}

/* What a file that is no ELF is more likely to be. */
static int not_elf(const struct pv_image *img, char err[BUILD_ERR])
{
	const char *is = "not an ELF file";

	if (img->size >= BZIMAGE_MAGIC_AT + 4 && !memcmp(img->file + BZIMAGE_MAGIC_AT, "HdrS", 4))
		is = "a Linux bzImage, whose kernel belongs in the upper half of the address space";
	else if (img->size >= 2 && img->file[0] == 0x1f && img->file[1] == 0x8b)
		is = "compressed with gzip";
	else if (img->size < sizeof(Elf64_Ehdr))
		is = "truncated: too short for an ELF file";
	snprintf(err, BUILD_ERR, "%.100s: %s: " GIVE, img->path, is);
	return -ENOEXEC;
}

static int check_header(const struct pv_image *img, const Elf64_Ehdr *eh, char err[BUILD_ERR])
{
	const char *wrong = NULL;

	if (img->size < sizeof(*eh) || memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return not_elf(img, err);
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB || eh->e_machine != EM_X86_64)
		wrong = "not for x86-64";
	else if (eh->e_type != ET_EXEC && eh->e_type != ET_DYN)
		wrong = "an ELF file, but no program";
	else if (eh->e_phnum && eh->e_phentsize != sizeof(Elf64_Phdr))
		wrong = "damaged: program headers of an unknown size";
	else if (eh->e_shnum && eh->e_shentsize != sizeof(Elf64_Shdr))
		wrong = "damaged: section headers of an unknown size";
	if (wrong) {
		snprintf(err, BUILD_ERR, "%.100s: %s: " GIVE, img->path, wrong);
		return -ENOEXEC;
	}
	if (!in_file(img, eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr)))
		return truncated(img, err, "program header table", 0, eh->e_phoff, eh->e_phnum * sizeof(Elf64_Phdr));
	if (!in_file(img, eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr)))
		return truncated(img, err, "section header table", 0, eh->e_shoff, eh->e_shnum * sizeof(Elf64_Shdr));
	return 0;
}

/* The tables may be unaligned in the file: copies. */
static Elf64_Ehdr header(const struct pv_image *img)
{
	Elf64_Ehdr eh = { 0 };

	memcpy(&eh, img->file, img->size < sizeof(eh) ? img->size : sizeof(eh));
	return eh;
}

static Elf64_Phdr segment(const struct pv_image *img, const Elf64_Ehdr *eh, unsigned n)
{
	Elf64_Phdr ph;

	memcpy(&ph, img->file + eh->e_phoff + n * sizeof(ph), sizeof(ph));
	return ph;
}

static Elf64_Shdr section(const struct pv_image *img, const Elf64_Ehdr *eh, unsigned n)
{
	Elf64_Shdr sh;

	memcpy(&sh, img->file + eh->e_shoff + n * sizeof(sh), sizeof(sh));
	return sh;
}

static int damaged_note(const struct pv_image *img, char err[BUILD_ERR], uint64_t at)
{
	snprintf(err, BUILD_ERR, "%.100s: damaged: the notes at %" PRIu64 " run out of their segment: copy the file anew", img->path, at);
	return -ENOEXEC;
}

static int notes_in_segments(struct pv_image *img, const Elf64_Ehdr *eh, char err[BUILD_ERR])
{
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph = segment(img, eh, i);

		if (ph.p_type != PT_NOTE)
			continue;
		if (!in_file(img, ph.p_offset, ph.p_filesz))
			return truncated(img, err, "segment", i, ph.p_offset, ph.p_filesz);
		if (!image_notes(img, ph.p_offset, ph.p_filesz))
			return damaged_note(img, err, ph.p_offset);
	}
	return 0;
}

/* Mini-OS has its notes in a section only. */
static int notes_in_sections(struct pv_image *img, const Elf64_Ehdr *eh, char err[BUILD_ERR])
{
	for (unsigned i = 0; i < eh->e_shnum; i++) {
		Elf64_Shdr sh = section(img, eh, i);

		if (sh.sh_type != SHT_NOTE)
			continue;
		if (!in_file(img, sh.sh_offset, sh.sh_size))
			return truncated(img, err, "section", i, sh.sh_offset, sh.sh_size);
		if (!image_notes(img, sh.sh_offset, sh.sh_size))
			return damaged_note(img, err, sh.sh_offset);
	}
	return 0;
}

static int check_segment(struct pv_image *img, const Elf64_Phdr *ph, unsigned i, char err[BUILD_ERR])
{
	uint64_t at = image_segment_at(img, ph);

	if (!in_file(img, ph->p_offset, ph->p_filesz))
		return truncated(img, err, "segment", i, ph->p_offset, ph->p_filesz);
	if (ph->p_filesz > ph->p_memsz || ph->p_paddr < img->paddr_offset || at + ph->p_memsz < at) {
		snprintf(err, BUILD_ERR, "%.100s: damaged: segment %u has impossible sizes or addresses: build the kernel anew", img->path, i);
		return -ENOEXEC;
	}
	if (at < img->start)
		img->start = at;
	if (at + ph->p_memsz > img->end)
		img->end = at + ph->p_memsz;
	return 0;
}

static int check_segments(struct pv_image *img, const Elf64_Ehdr *eh, char err[BUILD_ERR])
{
	img->start = UINT64_MAX;
	img->end = 0;
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		Elf64_Phdr ph = segment(img, eh, i);
		int rc = ph.p_type == PT_LOAD && ph.p_memsz ? check_segment(img, &ph, i, err) : 0;

		if (rc)
			return rc;
	}
	if (img->start >= img->end) {
		snprintf(err, BUILD_ERR, "%.100s: an ELF file with nothing to load: " GIVE, img->path);
		return -ENOEXEC;
	}
	return 0;
}

/* Entry and hypercall page must lie in what is loaded. */
static int check_addresses(const struct pv_image *img, char err[BUILD_ERR])
{
	uint64_t entry = img->entry - img->virt_base, page = img->hypercall_page - img->virt_base;
	const char *wrong = NULL;
	gva_t at = img->entry;

	if (img->virt_base % SLUICE_PAGE_SIZE) {
		wrong = "VIRT_BASE";
		at = img->virt_base;
	} else if (entry < img->start || entry >= img->end) {
		wrong = "the entry point";
	} else if (img->has_hypercall_page && (page % SLUICE_PAGE_SIZE || page < img->start || page >= img->end)) {
		wrong = "the hypercall page";
		at = img->hypercall_page;
	}
	if (!wrong)
		return 0;
	snprintf(err, BUILD_ERR, "%.100s: %s (0x%" PRIx64 ") is misaligned or outside of the kernel: check its Xen notes and link addresses",
		 img->path, wrong, at);
	return -ENOEXEC;
}

int image_parse(struct pv_image *img, const char *path, const uint8_t *file, size_t size, char err[BUILD_ERR])
{
	Elf64_Ehdr eh;
	int rc;

	*img = (struct pv_image){ .path = path, .file = file, .size = size };
	eh = header(img);
	rc = check_header(img, &eh, err);
	if (!rc)
		rc = notes_in_segments(img, &eh, err);
	if (!rc && !img->has_notes)
		rc = notes_in_sections(img, &eh, err);
	if (!rc && !img->has_notes) {
		snprintf(err, BUILD_ERR, "%.100s: an ELF file without Xen notes, so no Xen PV kernel: " GIVE, path);
		rc = -ENOEXEC;
	}
	if (!rc)
		rc = check_segments(img, &eh, err);
	if (!rc && !img->has_entry)
		img->entry = eh.e_entry;
	if (!rc)
		rc = image_check_notes(img, err);
	if (!rc)
		rc = check_addresses(img, err);
	return rc;
}

bool image_load_segment(const struct pv_image *img, unsigned n, Elf64_Phdr *ph)
{
	Elf64_Ehdr eh = header(img);

	for (unsigned i = 0; i < eh.e_phnum; i++) {
		*ph = segment(img, &eh, i);
		if (ph->p_type == PT_LOAD && ph->p_memsz && !n--)
			return true;
	}
	return false;
}
