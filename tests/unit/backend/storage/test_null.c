/* SPDX-License-Identifier: BSD-3-Clause */
/* The null disk: ends everything at the kick, in order, and touches no memory. */
#include <backend/storage/storage.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define N 300u

static struct blkdev_io ios[N];

static void touches_nothing(void **state)
{
	struct blkdev_io *done[N];
	struct blkdev *d;
	char err[STORAGE_ERR];

	(void)state;
	assert_int_equal(storage_null_open(1ull << 50, false, &d, err), 0);
	assert_int_equal(d->info.size, 1ull << 50);
	for (unsigned i = 0; i < N; i++) {
		ios[i] = (struct blkdev_io){.op = i % 2 ? BLKDEV_READ : BLKDEV_WRITE, .offset = (uint64_t)i << 40, .len = 4096, .niov = 1};
		ios[i].iov[0] = (struct iovec){.iov_base = (void *)16, .iov_len = 4096}; /* nobody's memory */
		d->ops->submit(d, &ios[i]);
	}
	assert_int_equal(d->ops->kick(d), 0);
	assert_int_equal(d->ops->fd(d), -1);
	assert_int_equal(d->ops->poll(d, done, 1), 1);
	assert_int_equal(d->ops->poll(d, done + 1, N), N - 1);
	for (unsigned i = 0; i < N; i++) {
		assert_ptr_equal(done[i], &ios[i]);
		assert_int_equal(ios[i].result, 0);
	}
	d->ops->close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(touches_nothing)};

	return cmocka_run_group_tests_name("storage: null", tests, NULL, NULL);
}
