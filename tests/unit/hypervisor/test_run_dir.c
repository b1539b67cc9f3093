/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/run_dir.c: made, held by one process at a time, given back, not taken where others may write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hypervisor/run_dir.h"

static char parent[] = "/tmp/sluice-test-run-XXXXXX";
static char dir[64];

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(parent));
	snprintf(dir, sizeof(dir), "%s/run", parent);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return rmdir(parent);
}

/* run_dir_take in another process: its result. */
static int take_elsewhere(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(-run_dir_take(dir));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void taken_and_given_back(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(run_dir_take(dir), 0);
	assert_int_equal(stat(dir, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	run_dir_release();
	assert_int_equal(stat(dir, &st), -1);
}

static void one_at_a_time(void **state)
{
	(void)state;
	assert_int_equal(run_dir_take(dir), 0);
	assert_int_equal(take_elsewhere(), -EWOULDBLOCK);
	run_dir_release();
	assert_int_equal(take_elsewhere(), 0); /* it ended without giving it back, as if killed */
	assert_int_equal(run_dir_take(dir), 0);
	run_dir_release();
}

static void not_where_others_write(void **state)
{
	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(run_dir_take(dir), -EPERM);
	assert_int_equal(rmdir(dir), 0);
}

static void not_below_nothing(void **state)
{
	char deep[96];

	(void)state;
	snprintf(deep, sizeof(deep), "%s/a/b", dir);
	assert_int_equal(run_dir_take(deep), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_and_given_back),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(not_where_others_write),
		cmocka_unit_test(not_below_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
