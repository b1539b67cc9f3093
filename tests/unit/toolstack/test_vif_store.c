/* SPDX-License-Identifier: BSD-3-Clause */
/* toolstack/vif_store.c against sluiced's own XenStore: the keys, values and permissions that libxl gives a vif. */
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
#include "toolstack/vif_store.h"

#define DOMID 7
#define FRONT "/local/domain/7/device/vif/"
#define BACK "/local/domain/0/backend/vif/7/"

static char dir[] = "/tmp/sluice-test-vif-XXXXXX";
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

static void add_two(struct vif_config vif[2])
{
	assert_int_equal(vif_parse(&vif[0], "mac=00:16:3e:00:00:01,mtu=9000,vifname=v"), 0);
	assert_int_equal(vif_parse(&vif[1], "mac=00:16:3e:00:00:02,bridge=br1"), 0);
	assert_int_equal(vif_store_add(xs, DOMID, 0, vif, 2), 0);
}

static void both_directories(void **state)
{
	struct vif_config vif[2];

	(void)state;
	add_two(vif);
	holds(FRONT "0/backend", BACK "0");
	holds(FRONT "0/backend-id", "0");
	holds(FRONT "0/state", "1");
	holds(FRONT "0/handle", "0");
	holds(FRONT "0/mac", "00:16:3e:00:00:01");
	holds(FRONT "0/mtu", "9000");
	holds(BACK "0/frontend", FRONT "0");
	holds(BACK "0/frontend-id", "7");
	holds(BACK "0/online", "1");
	holds(BACK "0/state", "1");
	holds(BACK "0/script", "/etc/xen/scripts/vif-bridge");
	holds(BACK "0/vifname", "v");
	holds(BACK "0/mac", "00:16:3e:00:00:01");
	holds(BACK "0/bridge", "xenbr0");
	holds(BACK "0/handle", "0");
	holds(BACK "0/type", "vif");
	holds(BACK "1/handle", "1");
	holds(BACK "1/bridge", "br1");
	assert_true(absent(BACK "1/mtu") && absent(FRONT "1/mtu") && absent(BACK "1/vifname"));
	owned(FRONT "0", DOMID, 0);
	owned(FRONT "0/state", DOMID, 0);
	owned(BACK "0", 0, DOMID);
	owned(BACK "0/state", 0, DOMID);
}

static void handles_and_list(void **state)
{
	struct vif_config vif[2];
	struct json_object *all;
	unsigned handle;

	(void)state;
	add_two(vif);
	assert_int_equal(vif_store_free_handle(xs, DOMID, &handle), 0);
	assert_int_equal(handle, 2);
	assert_int_equal(vif_store_find(xs, DOMID, "00:16:3E:00:00:02", &handle), 0);
	assert_int_equal(handle, 1);
	assert_int_equal(vif_store_find(xs, DOMID, "0", &handle), 0);
	assert_int_equal(handle, 0);
	assert_int_equal(vif_store_find(xs, DOMID, "9", &handle), 1);
	all = vif_store_list(xs, DOMID);
	assert_int_equal(json_object_array_length(all), 2);
	assert_string_equal(member_string(json_object_array_get_idx(all, 1), "mac"), "00:16:3e:00:00:02");
	assert_int_equal(member_int(json_object_array_get_idx(all, 1), "event-channel"), -1);
	json_object_put(all);
}

/* A back end that lets go when it is asked to, as netback does: Closing on our side, Closed on its. */
static void *back_end(void *arg)
{
	struct xs_handle *own = xs_open(0);
	unsigned len;

	for (unsigned i = 0; i < 500; i++) {
		char *state = xs_read(own, XBT_NULL, BACK "0/state", &len);
		bool closing = state && !strcmp(state, "5");

		free(state);
		if (closing) {
			xs_write(own, XBT_NULL, BACK "0/state", "6", 1);
			break;
		}
		usleep(10000);
	}
	xs_close(own);
	return arg;
}

static void remove_asks_the_back_end(void **state)
{
	struct vif_config vif[2];
	pthread_t thread;
	unsigned handle;

	(void)state;
	add_two(vif);
	assert_true(xs_write(xs, XBT_NULL, BACK "0/state", "4", 1));
	assert_int_equal(pthread_create(&thread, NULL, back_end, NULL), 0);
	assert_int_equal(vif_store_remove(xs, DOMID, 0), 0);
	pthread_join(thread, NULL);
	assert_true(absent(FRONT "0/mac") && absent(BACK "0/mac"));
	assert_int_equal(vif_store_free_handle(xs, DOMID, &handle), 0);
	assert_int_equal(handle, 0);
	assert_int_equal(vif_store_remove(xs, DOMID, 1), 0); /* no back end ever saw it: no waiting */
	assert_true(absent(FRONT "1/mac") && absent(BACK "1/mac"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directories),
		cmocka_unit_test(handles_and_list),
		cmocka_unit_test(remove_asks_the_back_end),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
