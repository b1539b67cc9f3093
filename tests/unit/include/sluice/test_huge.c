/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice/huge.h: where a mapping lies, what is in it, and that nothing else is left behind. */
#include <errno.h>
#include <setjmp.h>
#include <sluice/huge.h>
#include <stdarg.h>
#include <unistd.h>
#include <cmocka.h>

static void whole_file_at_a_multiple(void **state)
{
	const size_t sizes[] = { SLUICE_PAGE_SIZE, HUGE_SIZE - SLUICE_PAGE_SIZE, HUGE_SIZE, 3 * HUGE_SIZE + SLUICE_PAGE_SIZE };

	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = memfd_create("huge", 0);
		uint8_t *at, byte;
		unsigned char in_core;

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
		assert_int_equal(mincore(at + sizes[i], SLUICE_PAGE_SIZE, &in_core), -1); /* nothing is mapped behind it */
		assert_int_equal(errno, ENOMEM);
		munmap(at, sizes[i]);
		close(fd);
	}
}

static void no_file_is_an_error(void **state)
{
	(void)state;
	assert_ptr_equal(huge_map(-1, HUGE_SIZE), MAP_FAILED);
	assert_int_equal(errno, EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whole_file_at_a_multiple), cmocka_unit_test(no_file_is_an_error) };

	return cmocka_run_group_tests_name("huge", tests, NULL, NULL);
}
