/* SPDX-License-Identifier: BSD-3-Clause */
/* The persistent tree (tree.h). Called by database.c for every change, and by watch.c to compare two states. */
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t last_generation;

static struct node *node_ref(struct node *n)
{
	n->refs++;
	return n;
}

static void node_drop(struct node *n)
{
	if (!n || --n->refs)
		return;
	for (unsigned i = 0; i < n->nr_children; i++)
		node_drop(n->children[i]);
	free(n);
}

/* A name that need not be terminated. */
struct name {
	const char *s;
	size_t len;
};

static int name_compare(const struct name *a, const char *b)
{
	int c = strncmp(a->s, b, a->len);

	return c ? c : -(b[a->len] != '\0');
}

/* Where among n's children the name is, or would stand. */
static bool child_search(const struct node *n, const struct name *name, unsigned *at)
{
	unsigned low = 0, high = n ? n->nr_children : 0;

	while (low < high) {
		unsigned mid = low + (high - low) / 2;
		int c = name_compare(name, n->children[mid]->name);

		if (!c) {
			*at = mid;
			return true;
		}
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	*at = low;
	return false;
}

/* An allocated node without children yet; its data and name are copied behind the place for them. */
static struct node *node_alloc(const struct name *name, const struct node_data *data, unsigned nr_children)
{
	size_t perms_len = data->nr_perms * sizeof(*data->perms), head = sizeof(struct node) + nr_children * sizeof(struct node *);
	struct node *n = malloc(head + perms_len + data->value_len + name->len + 1);
	char *at = (char *)n + head;

	if (!n)
		return NULL;
	n->refs = 1;
	n->nr_children = nr_children;
	n->data = *data;
	n->data.perms = memcpy(at, data->perms, perms_len);
	at += perms_len;
	if (data->value_len)
		memcpy(at, data->value, data->value_len);
	n->data.value = at;
	at += data->value_len;
	memcpy(at, name->s, name->len);
	at[name->len] = '\0';
	n->name = at;
	return n;
}

/* A node with the children of old (NULL: none), of which `skip` from `at` on are left out and child, unless NULL, takes their place.
 * Takes over the reference to child, also when it fails. */
static struct node *node_make(const struct name *name, const struct node_data *data, const struct node *old, unsigned at, unsigned skip,
			      struct node *child)
{
	unsigned nr_old = old ? old->nr_children : 0, k = 0;
	struct node *n = node_alloc(name, data, nr_old - skip + (child ? 1 : 0));

	if (!n) {
		node_drop(child);
		return NULL;
	}
	for (unsigned i = 0; i < at; i++)
		n->children[k++] = node_ref(old->children[i]);
	if (child)
		n->children[k++] = child;
	for (unsigned i = at + skip; i < nr_old; i++)
		n->children[k++] = node_ref(old->children[i]);
	n->generation = child && skip ? old->generation : ++last_generation; /* only something deeper changed: the node itself did not */
	return n;
}

/* First component of rest, "/a/b" or "" at the end. */
static struct name first_component(const char *rest)
{
	return (struct name){ rest + 1, strcspn(rest + 1, "/") };
}

static const char *below_root(const char *path)
{
	return path[1] ? path : "";
}

static struct node *node_put(const struct node *n, const struct name *name, const char *rest, const struct node_data *data)
{
	struct node_data empty = { .value = "", .perms = data->perms, .nr_perms = data->nr_perms };
	struct name c;
	struct node *child;
	unsigned at;
	bool there;

	if (!*rest)
		return node_make(name, data, n, n ? n->nr_children : 0, 0, NULL);
	c = first_component(rest);
	there = child_search(n, &c, &at);
	child = node_put(there ? n->children[at] : NULL, &c, c.s + c.len, data);
	return child ? node_make(name, n ? &n->data : &empty, n, at, there, child) : NULL;
}

static struct node *node_remove(const struct node *n, const char *rest)
{
	struct name name = { n->name, strlen(n->name) }, c = first_component(rest);
	struct node *child = NULL;
	unsigned at;

	if (!child_search(n, &c, &at))
		return NULL;
	if (c.s[c.len]) {
		child = node_remove(n->children[at], c.s + c.len);
		if (!child)
			return NULL;
	}
	return node_make(&name, &n->data, n, at, 1, child);
}

static void owned_add(struct tree *t, const struct node_data *data, int n)
{
	if (data->perms[0].domid < HVSHARE_DOMAINS)
		t->owned[data->perms[0].domid] += (uint32_t)n;
}

static void owned_drop_all(struct tree *t, const struct node *n)
{
	owned_add(t, &n->data, -1);
	for (unsigned i = 0; i < n->nr_children; i++)
		owned_drop_all(t, n->children[i]);
}

static void set_root(struct tree *t, struct node *root)
{
	node_drop(t->root);
	t->root = root;
}

int tree_init(struct tree *t)
{
	struct store_perm nobody = { 0, 0 };

	memset(t, 0, sizeof(*t));
	return tree_put(t, "/", &(struct node_data){ .value = "", .perms = &nobody, .nr_perms = 1 });
}

void tree_copy(struct tree *to, const struct tree *from)
{
	*to = *from;
	node_ref(to->root);
}

void tree_drop(struct tree *t)
{
	set_root(t, NULL);
}

const struct node *tree_nearest(const struct tree *t, const char *path, unsigned *missing)
{
	const struct node *n = t->root;
	const char *rest = below_root(path);
	unsigned at;

	*missing = 0;
	while (*rest) {
		struct name c = first_component(rest);

		if (!*missing && child_search(n, &c, &at))
			n = n->children[at];
		else
			++*missing;
		rest = c.s + c.len;
	}
	return n;
}

const struct node *tree_find(const struct tree *t, const char *path)
{
	unsigned missing;
	const struct node *n = tree_nearest(t, path, &missing);

	return missing ? NULL : n;
}

uint64_t tree_generation(const struct tree *t, const char *path)
{
	const struct node *n = tree_find(t, path);

	return n ? n->generation : 0;
}

int tree_put(struct tree *t, const char *path, const struct node_data *data)
{
	struct name name = { "", 0 };
	struct node *root;
	const struct node *nearest;
	unsigned missing = 1;

	root = node_put(t->root, &name, below_root(path), data);
	if (!root)
		return -ENOMEM;
	nearest = t->root ? tree_nearest(t, path, &missing) : NULL;
	if (!missing)
		owned_add(t, &nearest->data, -1);
	owned_add(t, data, missing ? (int)missing : 1);
	set_root(t, root);
	return 0;
}

int tree_remove(struct tree *t, const char *path)
{
	const struct node *n = tree_find(t, path);
	struct node *root = node_remove(t->root, below_root(path));

	if (!root)
		return -ENOMEM;
	owned_drop_all(t, n);
	set_root(t, root);
	return 0;
}

/* perms without domid, in out (room for nr). *changed is set when that makes a difference. */
static unsigned perms_without(const struct node_data *data, domid_t domid, struct store_perm *out, bool *changed)
{
	unsigned k = 1;

	out[0] = data->perms[0];
	if (out[0].domid == domid) {
		out[0] = (struct store_perm){ 0, 0 };
		*changed = true;
	}
	for (unsigned i = 1; i < data->nr_perms; i++) {
		if (data->perms[i].domid == domid)
			*changed = true;
		else
			out[k++] = data->perms[i];
	}
	return k;
}

/* n without domid in its own permissions: a new node, or another reference to n. Its children stay. */
static struct node *node_disown(struct node *n, domid_t domid)
{
	struct name name = { n->name, strlen(n->name) };
	struct store_perm *perms = malloc(n->data.nr_perms * sizeof(*perms));
	struct node_data data = n->data;
	bool changed = false;
	struct node *out;

	if (!perms)
		return NULL;
	data.nr_perms = perms_without(&n->data, domid, perms, &changed);
	data.perms = perms;
	out = changed ? node_make(&name, &data, n, n->nr_children, 0, NULL) : node_ref(n);
	free(perms);
	return out;
}

static struct node *node_forget(struct node *n, domid_t domid)
{
	struct node *out = node_disown(n, domid);

	for (unsigned i = 0; out && i < n->nr_children; i++) {
		struct name name = { n->name, strlen(n->name) };
		struct node *child = node_forget(n->children[i], domid), *next;

		if (child == n->children[i]) {
			node_drop(child);
			continue;
		}
		next = child ? node_make(&name, &out->data, out, i, 1, child) : NULL;
		node_drop(out);
		out = next;
	}
	return out;
}

int tree_forget_domain(struct tree *t, domid_t domid)
{
	struct node *root = node_forget(t->root, domid);

	if (!root)
		return -ENOMEM;
	if (domid < HVSHARE_DOMAINS) {
		t->owned[0] += t->owned[domid];
		t->owned[domid] = 0;
	}
	set_root(t, root);
	return 0;
}
