/* SPDX-License-Identifier: BSD-3-Clause */
/* A small Xen PV kernel file made by hand, for tests: headers, notes in a segment or in a section, one loadable segment with bss. */
#ifndef SLUICE_TEST_KERNEL_FILE_H
#define SLUICE_TEST_KERNEL_FILE_H

#include <elf.h>
#include <sluice/abi.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_TEXT_AT 0x1000u   /* in the file, and of p_paddr */
#define KERNEL_TEXT_SIZE 0x2100u /* ends within a page */
#define KERNEL_MEMSZ 0x5000u
#define KERNEL_HYPERCALL_PAGE 0x2000u /* pseudo-physical */
#define KERNEL_ENTRY 0x1040u

struct kernel_file {
	uint64_t virt_base;
	uint64_t paddr_offset;
	const char *features, *loader, *xen_version;
	bool in_section, no_notes, no_entry_note, init_p2m;
	uint8_t *bytes; /* kernel_file_make's, malloc'd */
	size_t size;
};

static inline void kernel_note(uint8_t *notes, size_t *at, uint32_t type, const void *desc, uint32_t len)
{
	Elf64_Nhdr nh = { .n_namesz = 4, .n_descsz = len, .n_type = type };

	memcpy(notes + *at, &nh, sizeof(nh));
	memcpy(notes + *at + sizeof(nh), "Xen", 4);
	memcpy(notes + *at + sizeof(nh) + 4, desc, len);
	*at += sizeof(nh) + 4 + ((len + 3) & ~3u);
}

static inline size_t kernel_notes(const struct kernel_file *k, uint8_t *notes)
{
	uint64_t entry = k->virt_base + KERNEL_ENTRY, page = k->virt_base + KERNEL_HYPERCALL_PAGE, p2m = 0x7000000000ull;
	const char *loader = k->loader ? k->loader : "generic", *version = k->xen_version ? k->xen_version : "xen-3.0";
	size_t at = 0;

	if (k->no_notes)
		return 0;
	kernel_note(notes, &at, XEN_ELFNOTE_GUEST_OS, "test", 5);
	kernel_note(notes, &at, XEN_ELFNOTE_LOADER, loader, (uint32_t)strlen(loader) + 1);
	kernel_note(notes, &at, XEN_ELFNOTE_XEN_VERSION, version, (uint32_t)strlen(version) + 1);
	kernel_note(notes, &at, XEN_ELFNOTE_VIRT_BASE, &k->virt_base, 8);
	kernel_note(notes, &at, XEN_ELFNOTE_PADDR_OFFSET, &k->paddr_offset, 8);
	kernel_note(notes, &at, XEN_ELFNOTE_HYPERCALL_PAGE, &page, 8);
	if (!k->no_entry_note)
		kernel_note(notes, &at, XEN_ELFNOTE_ENTRY, &entry, 8);
	if (k->features)
		kernel_note(notes, &at, XEN_ELFNOTE_FEATURES, k->features, (uint32_t)strlen(k->features) + 1);
	if (k->init_p2m)
		kernel_note(notes, &at, XEN_ELFNOTE_INIT_P2M, &p2m, 8);
	return at;
}

/* Layout: header, program headers, notes, text at 0x1000, section headers last. */
static inline void kernel_file_make(struct kernel_file *k)
{
	const size_t notes_at = sizeof(Elf64_Ehdr) + 2 * sizeof(Elf64_Phdr), sections_at = KERNEL_TEXT_AT + KERNEL_TEXT_SIZE;
	Elf64_Ehdr *eh;
	Elf64_Phdr *ph;
	Elf64_Shdr *sh;
	size_t notes;

	k->size = sections_at + 2 * sizeof(Elf64_Shdr);
	k->bytes = calloc(1, k->size);
	eh = (Elf64_Ehdr *)k->bytes;
	ph = (Elf64_Phdr *)(eh + 1);
	sh = (Elf64_Shdr *)(k->bytes + sections_at);
	notes = kernel_notes(k, k->bytes + notes_at);
	memcpy(eh->e_ident, ELFMAG, SELFMAG);
	eh->e_ident[EI_CLASS] = ELFCLASS64;
	eh->e_ident[EI_DATA] = ELFDATA2LSB;
	eh->e_type = ET_EXEC;
	eh->e_machine = EM_X86_64;
	eh->e_entry = k->virt_base + KERNEL_ENTRY + 0x10;
	eh->e_phoff = sizeof(*eh);
	eh->e_phentsize = sizeof(*ph);
	eh->e_phnum = 2;
	eh->e_shoff = sections_at;
	eh->e_shentsize = sizeof(*sh);
	eh->e_shnum = 2;
	ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD, .p_offset = KERNEL_TEXT_AT, .p_vaddr = k->virt_base + KERNEL_TEXT_AT,
			      .p_paddr = k->paddr_offset + KERNEL_TEXT_AT, .p_filesz = KERNEL_TEXT_SIZE, .p_memsz = KERNEL_MEMSZ };
	ph[1] = (Elf64_Phdr){ .p_type = k->in_section ? PT_NULL : PT_NOTE, .p_offset = notes_at, .p_filesz = notes };
	sh[1] = (Elf64_Shdr){ .sh_type = k->in_section ? SHT_NOTE : SHT_NULL, .sh_offset = notes_at, .sh_size = notes };
	for (size_t i = 0; i < KERNEL_TEXT_SIZE; i++)
		k->bytes[KERNEL_TEXT_AT + i] = (uint8_t)(i * 7 + i / 256 + 1);
}

#endif
