/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/build/elf.c and notes.c: what is read from a good file; every truncation and every lie ends in one line, never outside of the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hypervisor/build/image.h"

#include "kernel_file.h"

#define PATH "some/kernel.elf"

/* On a copy of exactly this size, so that the sanitizer sees a byte too far. */
static int parse(const uint8_t *bytes, size_t size, struct pv_image *img, char err[BUILD_ERR])
{
	uint8_t *copy = malloc(size ? size : 1);
	int rc;

	memcpy(copy, bytes, size);
	memset(err, 0, BUILD_ERR);
	rc = image_parse(img, PATH, copy, size, err);
	if (rc) {
		assert_true(rc < 0);
		assert_non_null(strstr(err, PATH));
		assert_null(strchr(err, '\n'));
	}
	free(copy);
	return rc;
}

static int make_and_parse(struct kernel_file *k, struct pv_image *img, char err[BUILD_ERR])
{
	int rc;

	kernel_file_make(k);
	rc = parse(k->bytes, k->size, img, err);
	free(k->bytes);
	return rc;
}

static void good(void **state)
{
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct kernel_file k = { .virt_base = i & 1 ? 0x400000 : 0, .paddr_offset = i & 2 ? 0x400000 : 0, .in_section = i & 4 };

		assert_int_equal(make_and_parse(&k, &img, err), 0);
		assert_int_equal(img.entry, k.virt_base + KERNEL_ENTRY);
		assert_int_equal(img.virt_base, k.virt_base);
		assert_int_equal(img.hypercall_page, k.virt_base + KERNEL_HYPERCALL_PAGE);
		assert_int_equal(img.start, KERNEL_TEXT_AT);
		assert_int_equal(img.end, KERNEL_TEXT_AT + KERNEL_MEMSZ);
	}
}

static void entry_of_the_header_without_a_note(void **state)
{
	struct kernel_file k = { .virt_base = 0x400000, .no_entry_note = true };
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	assert_int_equal(make_and_parse(&k, &img, err), 0);
	assert_int_equal(img.entry, k.virt_base + KERNEL_ENTRY + 0x10);
}

static void refuses(struct kernel_file k, const char *word)
{
	char err[BUILD_ERR];
	struct pv_image img;

	assert_int_not_equal(make_and_parse(&k, &img, err), 0);
	assert_non_null(strstr(err, word));
}

static void what_the_notes_ask_for(void **state)
{
	struct kernel_file fine = { .features = "!writable_page_tables|auto_translated_physmap|!pae_pgdir_above_4gb" };
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	assert_int_equal(make_and_parse(&fine, &img, err), 0);
	refuses((struct kernel_file){ .features = "pae_pgdir_above_4gb|!auto_translated_physmap" }, "auto_translated_physmap");
	refuses((struct kernel_file){ .features = "!" }, "feature");
	refuses((struct kernel_file){ .loader = "other" }, "loader");
	refuses((struct kernel_file){ .xen_version = "xen-2.0" }, "xen-2.0");
	refuses((struct kernel_file){ .no_notes = true }, "without Xen notes");
	refuses((struct kernel_file){ .virt_base = 0x400800 }, "VIRT_BASE");
}

static void truncated_anywhere(void **state)
{
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	for (unsigned section = 0; section < 2; section++) {
		struct kernel_file k = { .in_section = section };

		kernel_file_make(&k);
		for (size_t size = 0; size < k.size; size += 64) {
			assert_int_not_equal(parse(k.bytes, size, &img, err), 0);
			assert_non_null(strstr(err, "truncated"));
		}
		assert_int_not_equal(parse(k.bytes, k.size - 1, &img, err), 0);
		assert_int_equal(parse(k.bytes, k.size, &img, err), 0);
		free(k.bytes);
	}
}

/* Each 4-byte word of headers and notes, replaced by values that overflow sums, point far away or a little too far. */
static void lying_words(void **state)
{
	static const uint64_t lies[] = { 0, 1, 3, 0x7f, 0xffff, 0x3fff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffffc, 0xffffffffffffffff,
					 0x8000000000000000, 0xfffffffffffff000 };
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	for (unsigned section = 0; section < 2; section++) {
		struct kernel_file k = { .in_section = section };

		kernel_file_make(&k);
		for (size_t at = 0; at + 8 <= k.size; at += at == 0x300 ? KERNEL_TEXT_AT + KERNEL_TEXT_SIZE - 0x300 : 4)
			for (size_t i = 0; i < 2 * sizeof(lies) / sizeof(*lies); i++) {
				uint8_t before[8];

				memcpy(before, k.bytes + at, 8);
				memcpy(k.bytes + at, &lies[i / 2], i % 2 ? 8 : 4);
				if (!parse(k.bytes, k.size, &img, err)) {
					assert_true(img.start < img.end);
					assert_true(img.entry - img.virt_base >= img.start && img.entry - img.virt_base < img.end);
				}
				memcpy(k.bytes + at, before, 8);
			}
		free(k.bytes);
	}
}

static void other_files(void **state)
{
	uint8_t bytes[1024] = { 0 };
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	memcpy(bytes + 0x202, "HdrS", 4);
	assert_int_not_equal(parse(bytes, sizeof(bytes), &img, err), 0);
	assert_non_null(strstr(err, "bzImage"));
	memcpy(bytes + 0x202, "\0\0\0\0", 4);
	memcpy(bytes, "\x1f\x8b", 2);
	assert_int_not_equal(parse(bytes, sizeof(bytes), &img, err), 0);
	assert_non_null(strstr(err, "gzip"));
	bytes[0] = '#';
	assert_int_not_equal(parse(bytes, sizeof(bytes), &img, err), 0);
	assert_non_null(strstr(err, "not an ELF"));
}

static void for_another_machine(void **state)
{
	struct kernel_file k = { 0 };
	char err[BUILD_ERR];
	struct pv_image img;

	(void)state;
	kernel_file_make(&k);
	k.bytes[EI_CLASS] = ELFCLASS32;
	assert_int_not_equal(parse(k.bytes, k.size, &img, err), 0);
	assert_non_null(strstr(err, "x86-64"));
	free(k.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(entry_of_the_header_without_a_note),
		cmocka_unit_test(what_the_notes_ask_for),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(lying_words),
		cmocka_unit_test(other_files),
		cmocka_unit_test(for_another_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
