/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of storage, sizes, and what the providers' common check refuses. */
#include <backend/storage/storage.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void sizes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t size;
	} cases[] = {
		{"0", 0, 0}, {"512", 0, 512}, {"64M", 0, 64ull << 20}, {"64m", 0, 64ull << 20}, {"1K", 0, 1024}, {"3G", 0, 3ull << 30}, {"2T", 0, 2ull << 40},
		{"", -EINVAL, 0}, {"M", -EINVAL, 0}, {"-1", -EINVAL, 0}, {" 1", -EINVAL, 0}, {"1MB", -EINVAL, 0}, {"1X", -EINVAL, 0}, {"1.5G", -EINVAL, 0},
		{"9223372036854775807", 0, INT64_MAX}, {"9223372036854775808", -ERANGE, 0}, {"18446744073709551616", -ERANGE, 0}, {"8388608T", -ERANGE, 0},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t size = 0;

		assert_int_equal(storage_parse_size(cases[i].text, &size), cases[i].rc);
		assert_int_equal(size, cases[i].size);
	}
}

static void opens_as(const char *target, const char *provider)
{
	struct blkdev *d;
	char err[STORAGE_ERR];

	assert_int_equal(blkdev_open(target, false, &d, err), 0);
	assert_string_equal(d->ops->name, provider);
	assert_int_equal(d->info.size, 1 << 20);
	d->ops->close(d);
}

static void names_choose_the_provider(void **state)
{
	(void)state;
	opens_as("null:1M", "null");
	opens_as("memory:1024K", "memory");
}

static void says(const char *target, int rc, const char *words)
{
	struct blkdev *d = (struct blkdev *)&d;
	char err[STORAGE_ERR];

	assert_int_equal(blkdev_open(target, false, &d, err), rc);
	assert_null(d);
	if (!strstr(err, words))
		fail_msg("'%s' does not say '%s'", err, words);
	assert_null(strchr(err, '\n'));
}

static void wrong_names_get_a_line(void **state)
{
	char longer[600];

	(void)state;
	says("", -EINVAL, "name a file");
	says("null:", -EINVAL, "such as null:64M");
	says("null:0", -EINVAL, "not a size");
	says("memory:1000", -EINVAL, "multiple of 512 bytes, such as memory:64M");
	says("memory:64MB", -EINVAL, "not a size");
	says("memory:8388607T", -ENOMEM, "choose a smaller size");
	says("/nonexistent/disk.img", -ENOENT, "no such file");
	says("nbd+unix:///?socket=/nonexistent/socket", -ENOENT, "see that the server runs");
	says("nbd+bogus://host", -EINVAL, "nbd+bogus://host: no NBD connection");
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	says(longer, -ENAMETOOLONG, "xxx");
	memcpy(longer, "memory:", 7);
	says(longer, -EINVAL, "not a size");
}

/* Everything that a provider relies on is refused before it is tried. */
static void refusals(void **state)
{
	struct blkdev d = {.info = {.size = 8192, .sector_size = 4096, .can_flush = true, .can_discard = true}};
	static struct blkdev_io io;

	(void)state;
	io = (struct blkdev_io){.op = BLKDEV_WRITE, .offset = 4096, .len = 4096, .iov[0] = {.iov_len = 512}, .iov[1] = {.iov_len = 3584}, .niov = 2};
	assert_int_equal(storage_refused(&d, &io), 0);
	io.iov[1].iov_len = 3585;
	assert_int_equal(storage_refused(&d, &io), -EINVAL);
	io.iov[1].iov_len = 3584;
	io.niov = BLKDEV_IOV_MAX + 1;
	assert_int_equal(storage_refused(&d, &io), -EINVAL);
	io.niov = 2;
	io.offset = 512;
	assert_int_equal(storage_refused(&d, &io), -EINVAL);
	io.offset = 8192;
	assert_int_equal(storage_refused(&d, &io), -EINVAL);
	io.offset = 0;
	d.info.readonly = true;
	assert_int_equal(storage_refused(&d, &io), -EROFS);
	io.op = BLKDEV_READ;
	assert_int_equal(storage_refused(&d, &io), 0);
	io.op = BLKDEV_DISCARD;
	assert_int_equal(storage_refused(&d, &io), -EROFS);
	d.info.readonly = false;
	assert_int_equal(storage_refused(&d, &io), 0);
	io.op = BLKDEV_SECURE_DISCARD;
	assert_int_equal(storage_refused(&d, &io), -EOPNOTSUPP);
	io.op = BLKDEV_FLUSH;
	io.offset = UINT64_MAX; /* means nothing here */
	assert_int_equal(storage_refused(&d, &io), 0);
	d.info.can_flush = false;
	assert_int_equal(storage_refused(&d, &io), -EOPNOTSUPP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(names_choose_the_provider),
		cmocka_unit_test(wrong_names_get_a_line),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("storage: open", tests, NULL, NULL);
}
