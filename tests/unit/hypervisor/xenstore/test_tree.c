/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

static void put_owned(struct tree *t, const char *path, const char *value, domid_t owner)
{
	struct store_perm perm = { owner, 0 };

	assert_int_equal(tree_put(t, path, &(struct node_data){ value, strlen(value), &perm, 1 }), 0);
}

static const char *value_at(const struct tree *t, const char *path)
{
	static char text[64];
	const struct node *n = tree_find(t, path);

	if (!n)
		return NULL;
	snprintf(text, sizeof(text), "%.*s", (int)n->data.value_len, (const char *)n->data.value);
	return text;
}

static void put_find_remove(void **state)
{
	struct tree t;

	(void)state;
	assert_int_equal(tree_init(&t), 0);
	put_owned(&t, "/a/b/c", "1", 5);
	put_owned(&t, "/a/b/a", "2", 5);
	put_owned(&t, "/a/bb", "3", 5);
	assert_string_equal(value_at(&t, "/a/b/c"), "1");
	assert_string_equal(value_at(&t, "/a/b"), "");
	assert_string_equal(value_at(&t, "/a/bb"), "3");
	assert_null(value_at(&t, "/a/b/"));
	assert_null(value_at(&t, "/a/b/cc"));
	assert_string_equal(tree_find(&t, "/a/b")->children[0]->name, "a"); /* sorted */
	assert_int_equal(t.owned[5], 5);
	assert_int_equal(t.owned[0], 1);
	put_owned(&t, "/a/b/c", "9", 6);
	assert_int_equal(t.owned[5], 4);
	assert_int_equal(t.owned[6], 1);
	assert_int_equal(tree_remove(&t, "/a/b"), 0);
	assert_null(value_at(&t, "/a/b/c"));
	assert_string_equal(value_at(&t, "/a/bb"), "3");
	assert_int_equal(t.owned[5], 2);
	assert_int_equal(t.owned[6], 0);
	tree_drop(&t);
}

static void snapshots_do_not_change(void **state)
{
	struct tree t, old;

	(void)state;
	tree_init(&t);
	put_owned(&t, "/a/b", "1", 0);
	tree_copy(&old, &t);
	put_owned(&t, "/a/b", "2", 0);
	put_owned(&t, "/a/c", "3", 0);
	tree_remove(&t, "/a/b");
	assert_string_equal(value_at(&old, "/a/b"), "1");
	assert_null(value_at(&old, "/a/c"));
	assert_null(value_at(&t, "/a/b"));
	tree_drop(&t);
	assert_string_equal(value_at(&old, "/a/b"), "1");
	tree_drop(&old);
}

static void generations(void **state)
{
	struct tree t;
	uint64_t a, b, other;

	(void)state;
	tree_init(&t);
	put_owned(&t, "/a/b/c", "1", 0);
	put_owned(&t, "/x", "1", 0);
	a = tree_generation(&t, "/a");
	b = tree_generation(&t, "/a/b");
	other = tree_generation(&t, "/x");
	put_owned(&t, "/a/b/c", "1", 0); /* the same value is a change too, of this node alone */
	assert_int_equal(tree_generation(&t, "/a"), a);
	assert_int_equal(tree_generation(&t, "/a/b"), b);
	put_owned(&t, "/a/b/d", "", 0); /* a new child changes its parent only */
	assert_int_equal(tree_generation(&t, "/a"), a);
	assert_int_not_equal(tree_generation(&t, "/a/b"), b);
	b = tree_generation(&t, "/a/b");
	tree_remove(&t, "/a/b/d");
	assert_int_equal(tree_generation(&t, "/a"), a);
	assert_int_not_equal(tree_generation(&t, "/a/b"), b);
	assert_int_equal(tree_generation(&t, "/a/b/d"), 0);
	assert_int_equal(tree_generation(&t, "/x"), other);
	tree_drop(&t);
}

static void nearest(void **state)
{
	unsigned missing;
	struct tree t;

	(void)state;
	tree_init(&t);
	put_owned(&t, "/a/b", "", 0);
	assert_string_equal(tree_nearest(&t, "/a/b", &missing)->name, "b");
	assert_int_equal(missing, 0);
	assert_string_equal(tree_nearest(&t, "/a/x/b/c", &missing)->name, "a"); /* the b below x is not the b below a */
	assert_int_equal(missing, 3);
	assert_string_equal(tree_nearest(&t, "/", &missing)->name, "");
	assert_int_equal(missing, 0);
	tree_drop(&t);
}

static void forget_domain(void **state)
{
	const struct store_perm shared[] = { { 4, 0 }, { 5, PERM_READ }, { 6, PERM_WRITE } };
	struct tree t, old;
	uint64_t kept;

	(void)state;
	tree_init(&t);
	put_owned(&t, "/a/b/c", "v", 5);
	put_owned(&t, "/z", "", 4);
	tree_put(&t, "/a/s", &(struct node_data){ "s", 1, shared, 3 });
	kept = tree_generation(&t, "/z");
	tree_copy(&old, &t);
	assert_int_equal(tree_forget_domain(&t, 5), 0);
	assert_int_equal(tree_find(&t, "/a/b/c")->data.perms[0].domid, 0);
	assert_string_equal(value_at(&t, "/a/b/c"), "v");
	assert_int_equal(tree_find(&t, "/a/s")->data.nr_perms, 2);
	assert_int_equal(tree_find(&t, "/a/s")->data.perms[1].domid, 6);
	assert_int_equal(tree_find(&old, "/a/s")->data.nr_perms, 3);
	assert_int_equal(tree_generation(&t, "/z"), kept);
	assert_int_equal(t.owned[5], 0);
	assert_int_equal(t.owned[0], old.owned[0] + old.owned[5]);
	tree_drop(&old);
	tree_drop(&t);
}

static void deepest_path(void **state)
{
	char path[STORE_PATH_SIZE];
	struct tree t;

	(void)state;
	for (unsigned i = 0; i < XENSTORE_ABS_PATH_MAX; i++)
		path[i] = i & 1 ? 'a' : '/';
	path[XENSTORE_ABS_PATH_MAX] = '\0';
	tree_init(&t);
	put_owned(&t, path, "deep", 9);
	assert_string_equal(value_at(&t, path), "deep");
	assert_int_equal(t.owned[9], XENSTORE_ABS_PATH_MAX / 2);
	assert_int_equal(tree_forget_domain(&t, 9), 0);
	assert_int_equal(tree_remove(&t, "/a"), 0);
	assert_int_equal(t.owned[0], 1);
	tree_drop(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(put_find_remove), cmocka_unit_test(snapshots_do_not_change),
					    cmocka_unit_test(generations), cmocka_unit_test(nearest), cmocka_unit_test(forget_domain),
					    cmocka_unit_test(deepest_path) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
