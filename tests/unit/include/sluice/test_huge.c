/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice/huge.h: where a mapping lies, what is in it, and that nothing else is left behind. */
#include <errno.h>
#include <setjmp.h>
#include <sluice/huge.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

/* Pages of address space that this process has. */
static unsigned long mapped(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return pages;
}

static void whole_file_at_a_multiple(void **state)
{
	const size_t sizes[] = { SLUICE_PAGE_SIZE, HUGE_SIZE - SLUICE_PAGE_SIZE, HUGE_SIZE, 3 * HUGE_SIZE + SLUICE_PAGE_SIZE };

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = memfd_create("huge", 0);
		uint8_t *at, byte;
		unsigned long before = mapped();

		assert_int_equal(ftruncate(fd, (off_t)sizes[i]), 0);
		at = huge_map(fd, sizes[i]);
		assert_ptr_not_equal(at, MAP_FAILED);
		assert_int_equal((uintptr_t)at % HUGE_SIZE, 0);
		at[0] = 1;
		at[sizes[i] - 1] = 2;
		assert_int_equal(pread(fd, &byte, 1, 0), 1);
		assert_int_equal(byte, 1);
		assert_int_equal(pread(fd, &byte, 1, (off_t)sizes[i] - 1), 1);
		assert_int_equal(byte, 2);
		assert_int_equal(mapped(), before + sizes[i] / SLUICE_PAGE_SIZE);
		munmap(at, sizes[i]);
		close(fd);
	}
}

static void no_file_is_an_error(void **state)
{
	unsigned long before = mapped();

	(void)state;
	assert_ptr_equal(huge_map(-1, HUGE_SIZE), MAP_FAILED);
	assert_int_equal(errno, EBADF);
	assert_int_equal(mapped(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole_file_at_a_multiple), cmocka_unit_test(no_file_is_an_error) };

	return cmocka_run_group_tests_name("huge", tests, NULL, NULL);
}
