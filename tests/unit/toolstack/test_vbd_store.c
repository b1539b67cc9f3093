/* SPDX-License-Identifier: BSD-3-Clause */
/* toolstack/vbd_store.c and device_store.c against sluiced's own XenStore: the keys, values and permissions that libxl gives a vbd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xenstore.h>

#include "hypervisor/loop.h"
#include "hypervisor/xenstore/store.h"
#include "toolstack/device_store.h"
#include "toolstack/toolstack.h"
#include "toolstack/vbd_store.h"

#define DOMID 7
#define FRONT "/local/domain/7/device/vbd/51712"
#define BACK "/local/domain/0/backend/vbd/7/51712"
#define BACK_B "/local/domain/0/backend/vbd/7/268439552" /* xvdq */

static char dir[] = "/tmp/sluice-test-vbd-XXXXXX";
static pthread_t loop_thread;
static struct xs_handle *xs;

static void *loop_main(void *arg)
{
	loop_run();
	return arg;
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || store_init(dir) || pthread_create(&loop_thread, NULL, loop_main, NULL))
		return -1;
	xs = device_store_open(dir);
	return xs ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	xs_close(xs);
	loop_stop();
	pthread_join(loop_thread, NULL);
	hv_lock_acquire();
	store_fini();
	hv_lock_release();
	return rmdir(dir);
}

static void holds(const char *path, const char *expected)
{
	unsigned len;
	char *value = xs_read(xs, XBT_NULL, path, &len);

	if (!value)
		fail_msg("%s is absent", path);
	assert_string_equal(value, expected);
	free(value);
}

static bool absent(const char *path)
{
	unsigned len;
	char *value = xs_read(xs, XBT_NULL, path, &len);

	free(value);
	return !value;
}

static void owned(const char *path, unsigned owner, unsigned reader)
{
	unsigned n;
	struct xs_permissions *perms = xs_get_permissions(xs, XBT_NULL, path, &n);

	assert_non_null(perms);
	assert_int_equal(n, 2);
	assert_int_equal(perms[0].id, owner);
	assert_int_equal(perms[0].perms, XS_PERM_NONE);
	assert_int_equal(perms[1].id, reader);
	assert_int_equal(perms[1].perms, XS_PERM_READ);
	free(perms);
}

static void add_two(struct disk_config disk[2])
{
	const char *const specs[] = { "memory:8M,raw,xvda,rw", "format=raw,vdev=xvdq,devtype=cdrom,access=ro,target=null:1G" };

	assert_int_equal(disk_parse(&disk[0], &specs[0], 1), 0);
	assert_int_equal(disk_parse(&disk[1], &specs[1], 1), 0);
	assert_int_equal(vbd_store_add(xs, DOMID, disk, 2), 0);
}

static void both_directories(void **state)
{
	struct disk_config disk[2];

	(void)state;
	add_two(disk);
	holds(FRONT "/backend", BACK);
	holds(FRONT "/backend-id", "0");
	holds(FRONT "/state", "1");
	holds(FRONT "/virtual-device", "51712");
	holds(FRONT "/device-type", "disk");
	holds(BACK "/frontend", FRONT);
	holds(BACK "/frontend-id", "7");
	holds(BACK "/online", "1");
	holds(BACK "/removable", "0");
	holds(BACK "/bootable", "1");
	holds(BACK "/state", "1");
	holds(BACK "/dev", "xvda");
	holds(BACK "/type", "file");
	holds(BACK "/mode", "w");
	holds(BACK "/device-type", "disk");
	holds(BACK "/discard-enable", "1");
	holds(BACK "/params", "memory:8M");
	assert_true(absent(BACK "/direct-io-safe"));
	holds(BACK_B "/mode", "r");
	holds(BACK_B "/device-type", "cdrom");
	holds(BACK_B "/removable", "1");
	holds(BACK_B "/discard-enable", "0");
	owned(FRONT, DOMID, 0);
	owned(FRONT "/state", DOMID, 0);
	owned(BACK, 0, DOMID);
	owned(BACK "/params", 0, DOMID);
}

static void names_and_list(void **state)
{
	struct disk_config disk[2];
	struct json_object *all;
	unsigned number;

	(void)state;
	add_two(disk);
	assert_int_equal(vbd_store_check_free(xs, DOMID, &disk[0]), 1);
	assert_int_equal(vbd_store_check_free(xs, DOMID + 1, &disk[0]), 0);
	assert_int_equal(vbd_store_find(xs, DOMID, "xvdq", &number), 0);
	assert_int_equal(number, disk[1].number);
	assert_int_equal(vbd_store_find(xs, DOMID, "51712", &number), 0);
	assert_int_equal(number, 51712);
	assert_int_equal(vbd_store_find(xs, DOMID, "xvdz", &number), 1);
	all = vbd_store_list(xs, DOMID);
	assert_int_equal(json_object_array_length(all), 2);
	assert_string_equal(member_string(json_object_array_get_idx(all, 0), "dev"), "xvda");
	assert_string_equal(member_string(json_object_array_get_idx(all, 1), "params"), "null:1G");
	assert_int_equal(member_int(json_object_array_get_idx(all, 1), "sectors"), -1);
	json_object_put(all);
	all = vbd_store_list(xs, DOMID + 1);
	assert_int_equal(json_object_array_length(all), 0);
	json_object_put(all);
}

/* A back end that lets go when it is asked to, as blkback does: Closing on our side, Closed on its. */
static void *back_end(void *arg)
{
	struct xs_handle *own = xs_open(0);
	unsigned len;

	for (unsigned i = 0; i < 500; i++) {
		char *state = xs_read(own, XBT_NULL, BACK "/state", &len);
		bool closing = state && !strcmp(state, "5");

		free(state);
		if (closing) {
			xs_write(own, XBT_NULL, BACK "/state", "6", 1);
			break;
		}
		usleep(10000);
	}
	xs_close(own);
	return arg;
}

static void remove_asks_the_back_end(void **state)
{
	struct disk_config disk[2];
	pthread_t thread;

	(void)state;
	add_two(disk);
	assert_true(xs_write(xs, XBT_NULL, BACK "/state", "4", 1));
	assert_int_equal(pthread_create(&thread, NULL, back_end, NULL), 0);
	assert_int_equal(vbd_store_remove(xs, DOMID, disk[0].number), 0);
	pthread_join(thread, NULL);
	assert_true(absent(FRONT "/backend") && absent(BACK "/frontend"));
	assert_false(absent(BACK_B "/frontend"));
	assert_true(xs_write(xs, XBT_NULL, BACK_B "/state", "6", 1)); /* a back end that refused it */
	assert_int_equal(vbd_store_remove(xs, DOMID, disk[1].number), 0);
	assert_true(absent(BACK_B "/frontend"));
}

static void *offer_late(void *arg)
{
	struct xs_handle *own = xs_open(0);

	usleep(100000);
	xs_write(own, XBT_NULL, BACK "/state", "2", 1);
	xs_close(own);
	return arg;
}

/* A guest looks for its disks once: it is not to run before they are offered. */
static void waits_for_the_offer(void **state)
{
	struct disk_config disk[2];
	pthread_t thread;

	(void)state;
	add_two(disk);
	assert_int_equal(pthread_create(&thread, NULL, offer_late, NULL), 0);
	assert_int_equal(vbd_store_wait(xs, DOMID, disk, 1), 0);
	holds(BACK "/state", "2");
	pthread_join(thread, NULL);
	assert_true(xs_write(xs, XBT_NULL, BACK_B "/state", "5", 1));
	assert_true(xs_write(xs, XBT_NULL, "/local/domain/0/error/backend/vbd/7/268439552/error", "2 no such file", 14));
	assert_int_equal(vbd_store_wait(xs, DOMID, disk, 2), 1); /* refused */
	assert_true(xs_write(xs, XBT_NULL, BACK_B "/state", "6", 1));
	assert_int_equal(vbd_store_remove(xs, DOMID, disk[1].number), 0);
	assert_true(absent("/local/domain/0/error/backend/vbd/7/268439552/error"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directories),
		cmocka_unit_test(names_and_list),
		cmocka_unit_test(waits_for_the_offer),
		cmocka_unit_test(remove_asks_the_back_end),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
