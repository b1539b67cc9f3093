/* SPDX-License-Identifier: BSD-3-Clause */
/* The contract of hv.h: XenStore. */
#include "suite_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_node(hv_txn_t t, const char *path, const char *value)
{
	size_t len = 0;
	char *got = hv->ops->store_read(hv, t, path, &len);

	assert_non_null(got);
	assert_string_equal(got, value);
	assert_int_equal(len, strlen(value));
	free(got);
}

static void expect_absent(hv_txn_t t, const char *path)
{
	errno = 0;
	assert_null(hv->ops->store_read(hv, t, path, NULL));
	assert_int_equal(errno, ENOENT);
}

static int put(hv_txn_t t, const char *path, const char *value)
{
	return hv->ops->store_write(hv, t, path, value);
}

void test_store_nodes(void **state)
{
	char **names, path[64];
	unsigned n = 0, seen = 0;

	(void)state;
	assert_int_equal(put(HV_TXN_NONE, "contract/a", "one"), 0);
	assert_int_equal(put(HV_TXN_NONE, "contract/b", ""), 0);
	expect_node(HV_TXN_NONE, "contract/a", "one");
	expect_node(HV_TXN_NONE, "/local/domain/0/contract/a", "one"); /* relative means below our own home */
	expect_node(HV_TXN_NONE, "contract/b", "");
	expect_absent(HV_TXN_NONE, "contract/c");
	names = hv->ops->store_directory(hv, HV_TXN_NONE, "contract", &n);
	assert_non_null(names);
	for (unsigned i = 0; i < n; i++)
		seen |= !strcmp(names[i], "a") ? 1u : !strcmp(names[i], "b") ? 2u : 4u;
	free(names);
	assert_int_equal(n, 2);
	assert_int_equal(seen, 3);
	assert_int_equal(hv->ops->store_rm(hv, HV_TXN_NONE, "contract"), 0);
	expect_absent(HV_TXN_NONE, "contract/a");
	assert_null(hv->ops->store_directory(hv, HV_TXN_NONE, "contract", &n));
	assert_int_equal(peer->ops->store(peer, dom, "data/contract", "from the guest"), 0);
	snprintf(path, sizeof(path), "/local/domain/%u/data/contract", dom);
	expect_node(HV_TXN_NONE, path, "from the guest");
}

void test_store_transactions(void **state)
{
	hv_txn_t t;

	(void)state;
	assert_int_equal(put(HV_TXN_NONE, "contract/x", "0"), 0);
	assert_int_equal(hv->ops->txn_start(hv, &t), 0);
	assert_int_not_equal(t, HV_TXN_NONE);
	assert_int_equal(put(t, "contract/x", "1"), 0);
	expect_node(t, "contract/x", "1");
	expect_node(HV_TXN_NONE, "contract/x", "0");
	assert_int_equal(hv->ops->txn_end(hv, t, false), 0);
	expect_node(HV_TXN_NONE, "contract/x", "1");
	assert_int_equal(hv->ops->txn_start(hv, &t), 0);
	assert_int_equal(put(t, "contract/x", "2"), 0);
	assert_int_equal(hv->ops->txn_end(hv, t, true), 0);
	expect_node(HV_TXN_NONE, "contract/x", "1");
	assert_int_equal(hv->ops->txn_start(hv, &t), 0);
	expect_node(t, "contract/x", "1");
	assert_int_equal(put(HV_TXN_NONE, "contract/x", "somebody else"), 0);
	assert_int_equal(put(t, "contract/y", "3"), 0);
	assert_int_equal(hv->ops->txn_end(hv, t, false), -EAGAIN);
	expect_absent(HV_TXN_NONE, "contract/y");
	assert_true(hv->ops->txn_end(hv, t, false) < 0); /* it ended */
	assert_int_equal(hv->ops->store_rm(hv, HV_TXN_NONE, "contract"), 0);
}

static void expect_event(const char *path, const char *token)
{
	char *got_path = NULL, *got_token = NULL;

	assert_true(readable(hv->ops->store_fd(hv), SOON_MS));
	assert_int_equal(hv->ops->store_event(hv, &got_path, &got_token), 0);
	assert_string_equal(got_path, path);
	assert_string_equal(got_token, token);
	free(got_path);
	free(got_token);
}

static void expect_no_event(void)
{
	char *path, *token;

	readable(hv->ops->store_fd(hv), WHILE_MS);
	assert_int_equal(hv->ops->store_event(hv, &path, &token), -EAGAIN);
}

void test_store_watches(void **state)
{
	char path[64], below[80];

	(void)state;
	snprintf(path, sizeof(path), "/local/domain/%u/data", dom);
	snprintf(below, sizeof(below), "%s/contract", path);
	expect_no_event();
	assert_int_equal(hv->ops->store_watch(hv, path, "a token"), 0);
	expect_event(path, "a token"); /* once when set */
	assert_int_equal(put(HV_TXN_NONE, below, "x"), 0);
	expect_event(below, "a token");
	assert_int_equal(peer->ops->store(peer, dom, "data/contract", "y"), 0);
	expect_event(below, "a token");
	assert_int_equal(hv->ops->store_rm(hv, HV_TXN_NONE, below), 0);
	expect_event(below, "a token");
	expect_no_event();
	assert_int_equal(hv->ops->store_unwatch(hv, path, "a token"), 0);
	assert_int_equal(put(HV_TXN_NONE, below, "z"), 0);
	expect_no_event();
	assert_true(hv->ops->store_unwatch(hv, path, "a token") < 0);
}
