/* SPDX-License-Identifier: BSD-3-Clause */
/* hv_choose on a machine that is no domain of Xen, with and without something that looks like sluiced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <backend/hv/hv_choose.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/sluice-choose-XXXXXX";
static char sock[64];

static int make_dir(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(sock, sizeof(sock), "%s/hv.sock", dir);
	return 0;
}

static int remove_dir(void **state)
{
	(void)state;
	unlink(sock);
	return rmdir(dir);
}

static void test_a_machine_that_is_neither(void **state)
{
	struct hv *hv = NULL;

	(void)state;
	if (access("/dev/xen/gntdev", F_OK) == 0)
		skip(); /* this is one */
	assert_int_equal(hv_choose("auto", dir, &hv), -ENODEV);
	assert_true(hv_choose("xen", dir, &hv) < 0);
	assert_int_equal(hv_choose("sluice", dir, &hv), -ENOENT);
	assert_null(hv);
}

static void test_an_unknown_name(void **state)
{
	struct hv *hv = NULL;

	(void)state;
	assert_int_equal(hv_choose("kvm", dir, &hv), -EINVAL);
	assert_int_equal(hv_choose("", dir, &hv), -EINVAL);
	assert_null(hv);
}

/* With the socket there, "auto" is ours even when nobody listens: the line then says to start sluiced. */
static void test_the_socket_decides(void **state)
{
	struct hv *hv = NULL;
	int fd = open(sock, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(hv_choose("auto", dir, &hv), -ECONNREFUSED);
	assert_null(hv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_machine_that_is_neither),
		cmocka_unit_test(test_an_unknown_name),
		cmocka_unit_test(test_the_socket_decides),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
