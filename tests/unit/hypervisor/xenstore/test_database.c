/* SPDX-License-Identifier: BSD-3-Clause */
/* Permissions, quotas and transactions, on the calls that request.c makes. */
#include "client.h"

static struct conn *dom0, *one, *two;

static int put(struct conn *c, struct txn *t, const char *path, const char *value)
{
	return db_change(c, t, &(struct change){ .kind = CHANGE_WRITE, .path = path, .value = value, .value_len = strlen(value) });
}

static int rm(struct conn *c, struct txn *t, const char *path)
{
	return db_change(c, t, &(struct change){ .kind = CHANGE_RM, .path = path });
}

static int perms(struct conn *c, struct txn *t, const char *path, unsigned n, const struct store_perm *p)
{
	return db_change(c, t, &(struct change){ .kind = CHANGE_PERMS, .path = path, .perms = p, .nr_perms = n });
}

/* The value, or the error's name by its number. */
static const char *get(struct conn *c, struct txn *t, const char *path)
{
	static char text[64];
	const struct node *n;
	int rc = db_read(c, t, path, &n);

	if (rc)
		snprintf(text, sizeof(text), "%s", strerrorname_np(-rc));
	else
		snprintf(text, sizeof(text), "%.*s", (int)n->data.value_len, (const char *)n->data.value);
	return text;
}

static struct txn *begin(struct conn *c)
{
	uint32_t id;

	assert_int_equal(txn_start(c, &id), 0);
	return txn_find(c, id);
}

static int setup(void **state)
{
	const struct store_perm owner1 = { 1, 0 }, owner2 = { 2, 0 };

	(void)state;
	assert_int_equal(db_init(), 0);
	dom0 = client_add(0);
	one = client_add(1);
	two = client_add(2);
	put(dom0, NULL, "/local/domain/1", "");
	put(dom0, NULL, "/local/domain/2", "");
	perms(dom0, NULL, "/local/domain/1", 1, &owner1);
	return perms(dom0, NULL, "/local/domain/2", 1, &owner2);
}

static int teardown(void **state)
{
	(void)state;
	client_remove_all();
	db_fini();
	return 0;
}

static void fresh_tree(void **state)
{
	(void)state;
	assert_string_equal(get(dom0, NULL, "/local/domain/0/name"), "Domain-0");
	assert_string_equal(get(dom0, NULL, "/local/domain/0/domid"), "0");
	assert_string_equal(get(dom0, NULL, "/tool"), "");
	assert_string_equal(get(dom0, NULL, "/nope"), "ENOENT");
}

static void guests_keep_to_their_own(void **state)
{
	(void)state;
	assert_int_equal(put(one, NULL, "/local/domain/1/a/b", "mine"), 0);
	assert_string_equal(get(one, NULL, "/local/domain/1/a/b"), "mine");
	assert_string_equal(get(dom0, NULL, "/local/domain/1/a/b"), "mine");
	assert_string_equal(get(two, NULL, "/local/domain/1/a/b"), "EACCES");
	assert_string_equal(get(two, NULL, "/local/domain/1/nope"), "EACCES"); /* not even whether it is there */
	assert_string_equal(get(one, NULL, "/local/domain/1/nope"), "ENOENT");
	assert_int_equal(put(two, NULL, "/local/domain/1/a/b", "x"), -EACCES);
	assert_int_equal(put(two, NULL, "/local/domain/1/new", "x"), -EACCES);
	assert_int_equal(put(one, NULL, "/tool/x", "x"), -EACCES);
	assert_int_equal(put(one, NULL, "/local/domain/0/name", "x"), -EACCES);
	assert_int_equal(rm(two, NULL, "/local/domain/1/a"), -EACCES);
	assert_int_equal(rm(one, NULL, "/local/domain/0"), -EACCES);
	assert_int_equal(rm(one, NULL, "/"), -EINVAL);
	assert_int_equal(rm(dom0, NULL, "/"), -EINVAL);
}

static void removal(void **state)
{
	(void)state;
	put(one, NULL, "/local/domain/1/a/b", "mine");
	assert_int_equal(rm(one, NULL, "/local/domain/1/a/b"), 0);
	assert_int_equal(rm(one, NULL, "/local/domain/1/a/b"), 0); /* its parent exists: fine */
	assert_int_equal(rm(one, NULL, "/local/domain/1/x/y"), -ENOENT);
}

static void permissions(void **state)
{
	const struct store_perm share[] = { { 1, 0 }, { 2, PERM_READ } }, give[] = { { 2, 0 } };
	struct store_perm many[GUEST_PERMS + 1];

	(void)state;
	put(one, NULL, "/local/domain/1/s", "v");
	assert_int_equal(perms(two, NULL, "/local/domain/1/s", 2, share), -EACCES);
	assert_int_equal(perms(one, NULL, "/local/domain/1/s", 2, share), 0);
	assert_string_equal(get(two, NULL, "/local/domain/1/s"), "v");
	assert_int_equal(put(two, NULL, "/local/domain/1/s", "x"), -EACCES);
	assert_int_equal(put(one, NULL, "/local/domain/1/s/child", "c"), 0); /* inherits */
	assert_string_equal(get(two, NULL, "/local/domain/1/s/child"), "c");
	assert_int_equal(perms(one, NULL, "/local/domain/1/s", 1, give), -EPERM);
	for (unsigned i = 0; i <= GUEST_PERMS; i++)
		many[i] = (struct store_perm){ 1, 0 };
	assert_int_equal(perms(one, NULL, "/local/domain/1/s", GUEST_PERMS + 1, many), -ENOSPC);
	assert_int_equal(perms(dom0, NULL, "/local/domain/1/s", 1, give), 0);
	assert_string_equal(get(one, NULL, "/local/domain/1/s"), "EACCES");
	assert_int_equal(perms(dom0, NULL, "/nope", 1, give), -ENOENT);
}

/* A guest that may write below another one's node owns what it makes there, and pays for it. */
static void maker_owns(void **state)
{
	const struct store_perm open[] = { { 1, PERM_READ | PERM_WRITE } };
	const struct node *n;

	(void)state;
	perms(one, NULL, "/local/domain/1", 1, open);
	assert_int_equal(put(two, NULL, "/local/domain/1/gift", "v"), 0);
	assert_int_equal(db_read(dom0, NULL, "/local/domain/1/gift", &n), 0);
	assert_int_equal(n->data.perms[0].domid, 2);
}

static void quotas(void **state)
{
	char path[64], big[GUEST_ENTRY + 2];
	uint32_t id;
	int rc = 0, made = 0;

	(void)state;
	memset(big, 'v', sizeof(big));
	big[GUEST_ENTRY + 1] = '\0';
	assert_int_equal(put(one, NULL, "/local/domain/1/b", big), -ENOSPC);
	assert_int_equal(put(dom0, NULL, "/local/domain/1/b", big), 0);
	while (!rc && made < 2 * GUEST_NODES) {
		snprintf(path, sizeof(path), "/local/domain/1/n%d", made++);
		rc = put(one, NULL, path, "");
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(made, GUEST_NODES - 1); /* its home and b are its own too; the last one failed */
	assert_int_equal(put(one, NULL, "/local/domain/1/n0", "still writable"), 0);
	assert_int_equal(put(two, NULL, "/local/domain/2/x", "others are not touched"), 0);
	assert_int_equal(rm(one, NULL, "/local/domain/1/n1"), 0);
	assert_int_equal(put(one, NULL, "/local/domain/1/again", ""), 0);
	for (unsigned i = 0; i < GUEST_TXNS; i++)
		assert_int_equal(txn_start(one, &id), 0);
	assert_int_equal(txn_start(one, &id), -ENOSPC);
	assert_int_equal(put(one, txn_find(one, id), "/local/domain/1/in-txn/x", ""), -ENOSPC); /* XSA-418: not by transactions either */
}

static void txn_isolated_then_committed(void **state)
{
	struct txn *t = begin(one);

	(void)state;
	assert_int_equal(put(one, t, "/local/domain/1/a", "1"), 0);
	assert_string_equal(get(one, t, "/local/domain/1/a"), "1");
	assert_string_equal(get(one, NULL, "/local/domain/1/a"), "ENOENT");
	put(two, NULL, "/local/domain/2/elsewhere", "x"); /* no conflict */
	assert_int_equal(txn_end(one, t, true), 0);
	assert_string_equal(get(one, NULL, "/local/domain/1/a"), "1");
	assert_string_equal(get(two, NULL, "/local/domain/2/elsewhere"), "x");
	assert_int_equal(one->nr_txns, 0);
}

static void txn_aborted(void **state)
{
	struct txn *t = begin(one);

	(void)state;
	put(one, t, "/local/domain/1/a", "1");
	assert_int_equal(txn_end(one, t, false), 0);
	assert_string_equal(get(one, NULL, "/local/domain/1/a"), "ENOENT");
}

static void txn_conflicts(void **state)
{
	struct txn *t;

	(void)state;
	put(dom0, NULL, "/local/domain/1/a", "old");
	t = begin(dom0);
	assert_string_equal(get(dom0, t, "/local/domain/1/a"), "old"); /* read, changed by another */
	put(dom0, t, "/local/domain/0/b", "from a");
	put(one, NULL, "/local/domain/1/a", "new");
	assert_string_equal(get(dom0, t, "/local/domain/1/a"), "old"); /* still the snapshot */
	assert_int_equal(txn_end(dom0, t, true), -EAGAIN);
	assert_string_equal(get(dom0, NULL, "/local/domain/0/b"), "ENOENT");

	t = begin(dom0);
	assert_string_equal(get(dom0, t, "/local/domain/1/absent"), "ENOENT"); /* absence read, then filled */
	put(one, NULL, "/local/domain/1/absent", "x");
	assert_int_equal(txn_end(dom0, t, true), -EAGAIN);

	t = begin(dom0);
	put(dom0, t, "/local/domain/1/a", "blind"); /* written, removed by another */
	rm(one, NULL, "/local/domain/1/a");
	assert_int_equal(txn_end(dom0, t, true), -EAGAIN);
	assert_string_equal(get(dom0, NULL, "/local/domain/1/a"), "ENOENT");
}

static void txn_rm_and_make_again(void **state)
{
	struct txn *t;

	(void)state;
	put(one, NULL, "/local/domain/1/d/old", "1");
	t = begin(one);
	rm(one, t, "/local/domain/1/d");
	put(one, t, "/local/domain/1/d/new", "2");
	put(one, NULL, "/local/domain/1/e", "live moved on, elsewhere below the same home");
	assert_int_equal(txn_end(one, t, true), -EAGAIN); /* the home's list of children changed under the transaction */
	t = begin(one);
	rm(one, t, "/local/domain/1/d");
	put(one, t, "/local/domain/1/d/new", "2");
	assert_int_equal(txn_end(one, t, true), 0);
	assert_string_equal(get(one, NULL, "/local/domain/1/d/old"), "ENOENT");
	assert_string_equal(get(one, NULL, "/local/domain/1/d/new"), "2");
}

/* What was allowed when the transaction ran but is not any more at its end must not happen. */
static void txn_rechecks_permission(void **state)
{
	const struct store_perm open[] = { { 1, PERM_READ | PERM_WRITE } }, closed[] = { { 1, 0 } };
	struct txn *t;

	(void)state;
	put(one, NULL, "/local/domain/1/o", "v");
	perms(one, NULL, "/local/domain/1/o", 1, open);
	t = begin(two);
	assert_int_equal(put(two, t, "/local/domain/1/o", "x"), 0);
	perms(one, NULL, "/local/domain/1/o", 1, closed);
	assert_int_not_equal(txn_end(two, t, true), 0);
	assert_string_equal(get(one, NULL, "/local/domain/1/o"), "v");
}

static void txn_steps_are_bounded(void **state)
{
	struct txn *t = begin(one);
	char path[64];
	int rc = 0, n = 0;

	(void)state;
	for (; !rc && n < 10 * GUEST_TXN_STEPS; n++)
		rc = put(one, t, "/local/domain/1/same", "x");
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(n, GUEST_TXN_STEPS + 1);
	txn_end(one, t, false);
	t = begin(one);
	for (rc = 0, n = 0; n < 10 * GUEST_TXN_STEPS && rc != -ENOSPC; n++) {
		const struct node *node;

		snprintf(path, sizeof(path), "/local/domain/1/p%d", n);
		rc = db_read(one, t, path, &node);
	}
	assert_int_equal(n, GUEST_TXN_STEPS + 1);
}

static void dead_domain_is_forgotten(void **state)
{
	const struct store_perm share[] = { { 1, 0 }, { 2, PERM_READ } };

	(void)state;
	put(one, NULL, "/local/domain/1/s", "v");
	perms(one, NULL, "/local/domain/1/s", 2, share);
	assert_int_equal(db_forget_domain(2), 0);
	assert_string_equal(get(two, NULL, "/local/domain/1/s"), "EACCES"); /* XSA-322: the next domain 2 is somebody else */
	assert_string_equal(get(two, NULL, "/local/domain/2"), "EACCES");
	assert_string_equal(get(one, NULL, "/local/domain/1/s"), "v");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(fresh_tree), TEST(guests_keep_to_their_own), TEST(removal), TEST(permissions), TEST(maker_owns), TEST(quotas),
		TEST(txn_isolated_then_committed), TEST(txn_aborted), TEST(txn_conflicts), TEST(txn_rm_and_make_again),
		TEST(txn_rechecks_permission), TEST(txn_steps_are_bounded), TEST(dead_domain_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
