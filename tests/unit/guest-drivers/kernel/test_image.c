/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest kernel's ELF (boot.S, kernel.lds, guest.mk): what Xen's domain builder needs of it, read as the builder reads it. GUEST_ELF is the file, given by
 * guest.mk.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sluice/abi.h>

#define IMAGE_BASE 0x400000u

static uint8_t *file;
static size_t file_size;

static int setup(void **state)
{
	FILE *f = fopen(GUEST_ELF, "rb");

	(void)state;
	if (!f)
		return -1;
	file = malloc(1 << 24);
	file_size = file ? fread(file, 1, 1 << 24, f) : 0;
	fclose(f);
	return file_size > sizeof(Elf64_Ehdr) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(file);
	return 0;
}

static const Elf64_Ehdr *header(void)
{
	return (const Elf64_Ehdr *)file;
}

static const Elf64_Phdr *segment(unsigned i)
{
	return (const Elf64_Phdr *)(file + header()->e_phoff) + i;
}

/* The nth note's descriptor with this type in the PT_NOTE segment; NULL when there is none. */
static const void *note(uint32_t type, uint32_t *size)
{
	for (unsigned i = 0; i < header()->e_phnum; i++) {
		const uint8_t *at = file + segment(i)->p_offset, *end = at + segment(i)->p_filesz;

		while (segment(i)->p_type == PT_NOTE && at + sizeof(Elf64_Nhdr) <= end) {
			const Elf64_Nhdr *n = (const Elf64_Nhdr *)at;
			const uint8_t *desc = at + sizeof(*n) + ((n->n_namesz + 3) & ~3u);

			if (n->n_type == type && n->n_namesz == 4 && !memcmp(at + sizeof(*n), "Xen", 4)) {
				*size = n->n_descsz;
				return desc;
			}
			at = desc + ((n->n_descsz + 3) & ~3u);
		}
	}
	return NULL;
}

static uint64_t number_note(uint32_t type)
{
	uint32_t size = 0;
	const void *desc = note(type, &size);
	uint64_t v = 0;

	assert_non_null(desc);
	assert_int_equal(size, 8);
	memcpy(&v, desc, 8);
	return v;
}

static void assert_string_note(uint32_t type, const char *want)
{
	uint32_t size = 0;
	const char *desc = note(type, &size);

	assert_non_null(desc);
	assert_int_equal(size, strlen(want) + 1);
	assert_memory_equal(desc, want, size);
}

static void test_header(void **state)
{
	(void)state;
	assert_memory_equal(header()->e_ident, ELFMAG, SELFMAG);
	assert_int_equal(header()->e_ident[EI_CLASS], ELFCLASS64);
	assert_int_equal(header()->e_type, ET_EXEC);
	assert_int_equal(header()->e_machine, EM_X86_64);
}

static void test_segments(void **state)
{
	uint64_t end = 0;
	unsigned loads = 0;

	(void)state;
	for (unsigned i = 0; i < header()->e_phnum; i++) {
		const Elf64_Phdr *p = segment(i);

		assert_true(p->p_offset + p->p_filesz <= file_size);
		assert_int_not_equal(p->p_type, PT_DYNAMIC);
		assert_int_not_equal(p->p_type, PT_INTERP);
		if (p->p_type != PT_LOAD)
			continue;
		loads++;
		assert_int_equal(p->p_paddr, p->p_vaddr); /* PADDR_OFFSET equals VIRT_BASE */
		assert_true(p->p_vaddr >= IMAGE_BASE);
		end = p->p_vaddr + p->p_memsz > end ? p->p_vaddr + p->p_memsz : end;
	}
	assert_true(loads > 0);
	assert_true(end < IMAGE_BASE + (1 << 20)); /* small, and far from the upper half */
}

static void test_notes(void **state)
{
	(void)state;
	assert_string_note(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
	assert_string_note(XEN_ELFNOTE_LOADER, "generic");
	assert_string_note(XEN_ELFNOTE_GUEST_OS, "sluice-guest");
	assert_string_note(XEN_ELFNOTE_GUEST_VERSION, "1");
	assert_string_note(XEN_ELFNOTE_PAE_MODE, "yes");
	assert_int_equal(number_note(XEN_ELFNOTE_VIRT_BASE), IMAGE_BASE);
	assert_int_equal(number_note(XEN_ELFNOTE_PADDR_OFFSET), IMAGE_BASE);
	assert_int_equal(number_note(XEN_ELFNOTE_ENTRY), header()->e_entry);
	assert_int_equal(number_note(XEN_ELFNOTE_HYPERCALL_PAGE) & 4095, 0);
}

/* The hypercall page lies in the file's own bytes, in a segment that can be executed. */
static void test_hypercall_page(void **state)
{
	uint64_t page = number_note(XEN_ELFNOTE_HYPERCALL_PAGE);
	bool found = false;

	(void)state;
	for (unsigned i = 0; i < header()->e_phnum; i++) {
		const Elf64_Phdr *p = segment(i);

		if (p->p_type == PT_LOAD && p->p_flags & PF_X && page >= p->p_vaddr && page + 4096 <= p->p_vaddr + p->p_filesz)
			found = file[p->p_offset + (page - p->p_vaddr)] == 0x90;
	}
	assert_true(found);
}

static void test_no_undefined_symbols(void **state)
{
	const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + header()->e_shoff);
	unsigned symbols = 0;

	(void)state;
	for (unsigned i = 0; i < header()->e_shnum; i++) {
		const Elf64_Sym *sym = (const Elf64_Sym *)(file + sections[i].sh_offset);

		for (unsigned k = 1; sections[i].sh_type == SHT_SYMTAB && k < sections[i].sh_size / sizeof(*sym); k++) {
			symbols++;
			assert_int_not_equal(sym[k].st_shndx, SHN_UNDEF);
			assert_int_not_equal(ELF64_ST_TYPE(sym[k].st_info), STT_TLS);
		}
	}
	assert_true(symbols > 100);
}

/* The upcall entry saves general registers only: no code may use the others. */
static void test_no_vector_instructions(void **state)
{
	(void)state;
	assert_int_not_equal(system("objdump -d --no-show-raw-insn " GUEST_ELF " | grep -qE '%(xmm|ymm|zmm|mm|st)'"), 0);
	assert_int_equal(system("objdump -d --no-show-raw-insn " GUEST_ELF " | grep -qE '%r(ax|11)'"), 0); /* the same pipe does find registers */
}

/* A PV kernel's in, out, cli, sti, hlt and wrmsr would be faults. */
static void test_no_privileged_instructions(void **state)
{
	(void)state;
	assert_int_not_equal(system("objdump -d --no-show-raw-insn " GUEST_ELF
				    " | grep -qE ':\\s+(in|out|ins|outs|cli|sti|hlt|wrmsr|rdmsr|lgdt|lidt|invlpg|sysret|swapgs)[bwlq]?(\\s|$)'"), 0);
	assert_int_equal(system("objdump -d --no-show-raw-insn " GUEST_ELF " | grep -qE ':\\s+(iret)[bwlq]?(\\s|$)'"), 0); /* and iretq is found so */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_hypercall_page),
		cmocka_unit_test(test_no_undefined_symbols),
		cmocka_unit_test(test_no_vector_instructions),
		cmocka_unit_test(test_no_privileged_instructions),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
