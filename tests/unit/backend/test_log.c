/* SPDX-License-Identifier: BSD-3-Clause */
/* The log's limits: whatever a guest causes fills no disk. */
#include <backend/log.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void one_source_is_limited(void **state)
{
	struct backend_log_limit noisy = {0}, quiet = {0};
	unsigned lines = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		lines += backend_log_allowed(&noisy);
	assert_true(lines >= BACKEND_LOG_LINES && lines <= 2 * BACKEND_LOG_LINES); /* a minute may end meanwhile */
	assert_true(backend_log_allowed(&quiet));
}

/* What two lines look like on standard error, and that the level holds. */
static void lines(void **state)
{
	char text[256] = {0};
	int saved = dup(STDERR_FILENO), fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	backend_log_level = BACKEND_INFO;
	backend_error("vif%u.%u: broken", 1u, 0u);
	backend_debug("nobody hears this");
	backend_info("up");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	close(fds[0]);
	assert_string_equal(text, "sluice-backend: error: vif1.0: broken\nsluice-backend: info: up\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_source_is_limited), cmocka_unit_test(lines)};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
