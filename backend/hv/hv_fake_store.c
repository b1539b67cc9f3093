/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The XenStore of hv_fake: a flat list of absolute paths, transactions as a private copy whose reads are compared at the end, watches. Written for
 * clearness: a test has a few hundred nodes.
 */
#include "hv_fake_private.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PATH_MAX_LEN 1024u

struct fake_access {
	enum { ACCESS_READ, ACCESS_WRITE, ACCESS_RM } kind;
	char *path, *value;
	uint64_t generation; /* of what was read; 0: it was absent */
	TAILQ_ENTRY(fake_access) next;
};

/* Is `path` at `root` or below it? */
static bool below(const char *path, const char *root)
{
	size_t n = strlen(root);

	return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '/' || (n == 1 && root[0] == '/'));
}

/* The absolute form for domain domid; false when it is too long or ends in '/'. */
static bool absolute(domid_t domid, const char *path, char out[PATH_MAX_LEN])
{
	int n = path[0] == '/' ? snprintf(out, PATH_MAX_LEN, "%s", path)
			       : snprintf(out, PATH_MAX_LEN, "/local/domain/%u/%s", domid, path);

	return n > 0 && (unsigned)n < PATH_MAX_LEN && (n == 1 || out[n - 1] != '/');
}

static struct fake_node *node_find(struct fake_tree *tree, const char *path)
{
	struct fake_node *n;

	TAILQ_FOREACH(n, tree, next)
		if (strcmp(n->path, path) == 0)
			return n;
	return NULL;
}

static void node_free(struct fake_tree *tree, struct fake_node *n)
{
	TAILQ_REMOVE(tree, n, next);
	free(n->path);
	free(n->value);
	free(n);
}

static struct fake_node *node_add(struct fake_tree *tree, const char *path, const char *value, uint64_t generation)
{
	struct fake_node *n = calloc(1, sizeof(*n));

	n->path = strdup(path);
	n->value = strdup(value);
	n->generation = generation;
	TAILQ_INSERT_TAIL(tree, n, next);
	return n;
}

/* Makes what is missing above path and tells the nearest parent that was there. */
static void parents_touch(struct fake_tree *tree, const char *path, uint64_t generation)
{
	char parent[PATH_MAX_LEN];
	char *slash;

	snprintf(parent, sizeof(parent), "%s", path);
	while ((slash = strrchr(parent, '/')) && slash != parent) {
		struct fake_node *n;

		*slash = '\0';
		n = node_find(tree, parent);
		if (n) {
			n->generation = generation;
			return;
		}
		node_add(tree, parent, "", generation);
	}
}

static void tree_write(struct fake_tree *tree, const char *path, const char *value, uint64_t generation)
{
	struct fake_node *n = node_find(tree, path);

	if (!n) {
		parents_touch(tree, path, generation);
		node_add(tree, path, value, generation);
		return;
	}
	free(n->value);
	n->value = strdup(value);
	n->generation = generation;
}

/* -ENOENT when neither it nor its parent is there, as xenstored. */
static int tree_rm(struct fake_tree *tree, const char *path, uint64_t generation)
{
	char parent[PATH_MAX_LEN];
	struct fake_node *n, *following, *p;

	snprintf(parent, sizeof(parent), "%s", path);
	*strrchr(parent, '/') = '\0';
	p = node_find(tree, parent);
	if (!node_find(tree, path))
		return p || !parent[0] ? 0 : -ENOENT;
	if (p)
		p->generation = generation;
	for (n = TAILQ_FIRST(tree); n; n = following) {
		following = TAILQ_NEXT(n, next);
		if (below(n->path, path))
			node_free(tree, n);
	}
	return 0;
}

/* ---- watches ---- */

static void event_queue(struct fake_store *s, const struct fake_watch *w, const char *path)
{
	static const char own[] = "/local/domain/0/";
	struct fake_event *e = calloc(1, sizeof(*e));

	if (w->relative && strncmp(path, own, sizeof(own) - 1) == 0)
		path += sizeof(own) - 1;
	e->path = strdup(path);
	e->token = strdup(w->token);
	TAILQ_INSERT_TAIL(&s->events, e, next);
	eventfd_write(s->fd, 1);
}

static void watches_fire(struct fake_store *s, const char *path)
{
	struct fake_watch *w;

	TAILQ_FOREACH(w, &s->watches, next)
		if (below(path, w->path))
			event_queue(s, w, path);
}

int fake_store_set(struct fake_store *s, const char *path, const char *value)
{
	tree_write(&s->tree, path, value, ++s->generation);
	watches_fire(s, path);
	return 0;
}

int fake_store_remove(struct fake_store *s, const char *path)
{
	struct fake_watch *w;
	int rc;

	if (!strcmp(path, "/"))
		return -EINVAL;
	TAILQ_FOREACH(w, &s->watches, next)
		if (strcmp(w->path, path) != 0 && below(w->path, path) && node_find(&s->tree, w->path))
			event_queue(s, w, w->path);
	rc = tree_rm(&s->tree, path, ++s->generation);
	if (rc == 0)
		watches_fire(s, path);
	return rc;
}

int fake_store_watch(struct hv *hv, const char *path, const char *token)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_watch *w = calloc(1, sizeof(*w));
	char full[PATH_MAX_LEN];
	int rc = -EINVAL;

	if (w && absolute(0, path, full)) {
		w->path = strdup(full);
		w->token = strdup(token);
		w->relative = path[0] != '/';
		TAILQ_INSERT_TAIL(&f->store.watches, w, next);
		event_queue(&f->store, w, full);
		w = NULL;
		rc = 0;
	}
	free(w);
	fake_unlock(f);
	return rc;
}

static void watch_free(struct fake_store *s, struct fake_watch *w)
{
	TAILQ_REMOVE(&s->watches, w, next);
	free(w->path);
	free(w->token);
	free(w);
}

int fake_store_unwatch(struct hv *hv, const char *path, const char *token)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_watch *w;
	char full[PATH_MAX_LEN];
	int rc = -ENOENT;

	if (absolute(0, path, full)) {
		TAILQ_FOREACH(w, &f->store.watches, next)
			if (!strcmp(w->path, full) && !strcmp(w->token, token))
				break;
		if (w) {
			watch_free(&f->store, w);
			rc = 0;
		}
	}
	fake_unlock(f);
	return rc;
}

int fake_store_fd(struct hv *hv)
{
	return ((struct hv_fake *)hv)->store.fd;
}

int fake_store_event(struct hv *hv, char **path, char **token)
{
	struct hv_fake *f = fake_lock(hv);
	struct fake_event *e = TAILQ_FIRST(&f->store.events);
	eventfd_t fired;

	if (e) {
		TAILQ_REMOVE(&f->store.events, e, next);
		*path = e->path;
		*token = e->token;
		free(e);
	}
	if (TAILQ_EMPTY(&f->store.events))
		eventfd_read(f->store.fd, &fired);
	fake_unlock(f);
	return e ? 0 : -EAGAIN;
}

/* ---- transactions ---- */

static void access_add(struct fake_txn *txn, int kind, const char *path, const char *value, uint64_t generation)
{
	struct fake_access *a = calloc(1, sizeof(*a));

	a->kind = kind;
	a->path = strdup(path);
	a->value = value ? strdup(value) : NULL;
	a->generation = generation;
	TAILQ_INSERT_TAIL(&txn->accesses, a, next);
}

static void tree_free(struct fake_tree *tree)
{
	while (!TAILQ_EMPTY(tree))
		node_free(tree, TAILQ_FIRST(tree));
}

static void txn_free(struct fake_txn *txn)
{
	struct fake_access *a;

	while ((a = TAILQ_FIRST(&txn->accesses))) {
		TAILQ_REMOVE(&txn->accesses, a, next);
		free(a->path);
		free(a->value);
		free(a);
	}
	tree_free(&txn->view);
	txn->used = false;
}

/* NULL for HV_TXN_NONE; *bad when there is no such transaction. */
static struct fake_txn *txn_find(struct hv_fake *f, hv_txn_t t, bool *bad)
{
	*bad = t > FAKE_TXNS || (t && !f->store.txn[t - 1].used);
	return t && !*bad ? &f->store.txn[t - 1] : NULL;
}

int fake_txn_start(struct hv *hv, hv_txn_t *t)
{
	struct hv_fake *f = fake_lock(hv);
	unsigned i = 0;
	struct fake_node *n;

	while (i < FAKE_TXNS && f->store.txn[i].used)
		i++;
	if (i < FAKE_TXNS) {
		struct fake_txn *txn = &f->store.txn[i];

		txn->used = true;
		TAILQ_INIT(&txn->view);
		TAILQ_INIT(&txn->accesses);
		TAILQ_FOREACH(n, &f->store.tree, next)
			node_add(&txn->view, n->path, n->value, n->generation);
		*t = i + 1;
	}
	fake_unlock(f);
	return i < FAKE_TXNS ? 0 : -ENOSPC;
}

/* Has anybody changed what the transaction read? */
static bool txn_conflicts(struct fake_store *s, struct fake_txn *txn)
{
	struct fake_access *a;

	TAILQ_FOREACH(a, &txn->accesses, next) {
		struct fake_node *n = a->kind == ACCESS_READ ? node_find(&s->tree, a->path) : NULL;

		if (a->kind == ACCESS_READ && (n ? n->generation : 0) != a->generation)
			return true;
	}
	return false;
}

int fake_txn_end(struct hv *hv, hv_txn_t t, bool abort)
{
	struct hv_fake *f = fake_lock(hv);
	bool bad;
	struct fake_txn *txn = txn_find(f, t, &bad);
	struct fake_access *a;
	int rc = txn ? fake_called(f, HV_FAKE_TXN_END) : -EINVAL;

	if (rc == 0 && !abort && txn_conflicts(&f->store, txn))
		rc = -EAGAIN;
	if (rc == 0 && !abort) {
		TAILQ_FOREACH(a, &txn->accesses, next) {
			if (a->kind == ACCESS_WRITE)
				fake_store_set(&f->store, a->path, a->value);
			else if (a->kind == ACCESS_RM)
				fake_store_remove(&f->store, a->path);
		}
	}
	if (txn)
		txn_free(txn);
	fake_unlock(f);
	return rc;
}

/* ---- reads and writes ---- */

static struct fake_node *lookup(struct hv_fake *f, struct fake_txn *txn, const char *full)
{
	struct fake_node *n = node_find(txn ? &txn->view : &f->store.tree, full);

	/* What the transaction itself wrote carries no generation: no conflict comes of reading that. */
	if (txn && !(n && n->generation == 0))
		access_add(txn, ACCESS_READ, full, NULL, n ? n->generation : 0);
	return n;
}

char *fake_store_read(struct hv *hv, hv_txn_t t, const char *path, size_t *len)
{
	struct hv_fake *f = fake_lock(hv);
	char full[PATH_MAX_LEN], *value = NULL;
	struct fake_node *n = NULL;
	bool bad;
	struct fake_txn *txn = txn_find(f, t, &bad);
	int rc = fake_called(f, HV_FAKE_STORE_READ);

	if (rc == 0 && (bad || !absolute(0, path, full)))
		rc = -EINVAL;
	if (rc == 0) {
		n = lookup(f, txn, full);
		rc = n ? 0 : -ENOENT;
	}
	if (rc == 0)
		value = strdup(n->value);
	if (value && len)
		*len = strlen(value);
	fake_unlock(f);
	if (rc)
		errno = -rc;
	return value;
}

static int change(struct hv *hv, domid_t domid, hv_txn_t t, const char *path, const char *value)
{
	struct hv_fake *f = fake_lock(hv);
	char full[PATH_MAX_LEN], home[64];
	bool bad;
	struct fake_txn *txn = txn_find(f, t, &bad);
	int rc = domid == 0 ? fake_called(f, HV_FAKE_STORE_WRITE) : 0;

	snprintf(home, sizeof(home), "/local/domain/%u", domid);
	if (rc == 0 && (bad || !absolute(domid, path, full)))
		rc = -EINVAL;
	if (rc == 0 && domid != 0 && !below(full, home))
		rc = -EACCES;
	if (rc == 0 && txn) {
		access_add(txn, value ? ACCESS_WRITE : ACCESS_RM, full, value, 0);
		if (value)
			tree_write(&txn->view, full, value, 0);
		else
			rc = tree_rm(&txn->view, full, 0);
	} else if (rc == 0) {
		rc = value ? fake_store_set(&f->store, full, value) : fake_store_remove(&f->store, full);
	}
	fake_unlock(f);
	return rc;
}

int fake_store_write(struct hv *hv, hv_txn_t t, const char *path, const char *value)
{
	return change(hv, 0, t, path, value);
}

int fake_store_rm(struct hv *hv, hv_txn_t t, const char *path)
{
	return change(hv, 0, t, path, NULL);
}

/* The name of the child of `dir` that `path` is, NULL when it is not one. */
static const char *child_name(const char *path, const char *dir)
{
	size_t n = strcmp(dir, "/") ? strlen(dir) : 0;

	if (strncmp(path, dir, n) || path[n] != '/' || !path[n + 1] || strchr(path + n + 1, '/'))
		return NULL;
	return path + n + 1;
}

static char **children(struct fake_tree *tree, const char *dir, unsigned *count)
{
	size_t bytes = sizeof(char *);
	struct fake_node *n;
	char **names, *text;

	*count = 0;
	TAILQ_FOREACH(n, tree, next) {
		const char *name = child_name(n->path, dir);

		if (name) {
			bytes += sizeof(char *) + strlen(name) + 1;
			++*count;
		}
	}
	names = malloc(bytes);
	if (!names)
		return NULL;
	text = (char *)(names + *count);
	*count = 0;
	TAILQ_FOREACH(n, tree, next) {
		const char *name = child_name(n->path, dir);

		if (name) {
			names[(*count)++] = text;
			text = stpcpy(text, name) + 1;
		}
	}
	return names;
}

char **fake_store_directory(struct hv *hv, hv_txn_t t, const char *path, unsigned *count)
{
	struct hv_fake *f = fake_lock(hv);
	char full[PATH_MAX_LEN], **names = NULL;
	bool bad;
	struct fake_txn *txn = txn_find(f, t, &bad);
	int rc = fake_called(f, HV_FAKE_STORE_DIRECTORY);

	if (rc == 0 && (bad || !absolute(0, path, full)))
		rc = -EINVAL;
	if (rc == 0 && !lookup(f, txn, full) && strcmp(full, "/") != 0)
		rc = -ENOENT;
	if (rc == 0)
		names = children(txn ? &txn->view : &f->store.tree, full, count);
	fake_unlock(f);
	if (rc)
		errno = -rc;
	return names;
}

/* ---- the guest's and the toolstack's side ---- */

int hv_fake_store_write(struct hv *hv, domid_t domid, const char *path, const char *value)
{
	return change(hv, domid, HV_TXN_NONE, path, value);
}

int hv_fake_store_rm(struct hv *hv, domid_t domid, const char *path)
{
	return change(hv, domid, HV_TXN_NONE, path, NULL);
}

char *hv_fake_store_read(struct hv *hv, domid_t domid, const char *path)
{
	struct hv_fake *f = fake_lock(hv);
	char full[PATH_MAX_LEN];
	struct fake_node *n = absolute(domid, path, full) ? node_find(&f->store.tree, full) : NULL;
	char *value = n ? strdup(n->value) : NULL;

	fake_unlock(f);
	return value;
}

int fake_store_init(struct fake_store *s)
{
	TAILQ_INIT(&s->tree);
	TAILQ_INIT(&s->watches);
	TAILQ_INIT(&s->events);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0)
		return -errno;
	return fake_store_set(s, "/local/domain/0", "");
}

void fake_store_destroy(struct fake_store *s)
{
	struct fake_event *e;

	for (unsigned i = 0; i < FAKE_TXNS; i++)
		if (s->txn[i].used)
			txn_free(&s->txn[i]);
	while (!TAILQ_EMPTY(&s->watches))
		watch_free(s, TAILQ_FIRST(&s->watches));
	while ((e = TAILQ_FIRST(&s->events))) {
		TAILQ_REMOVE(&s->events, e, next);
		free(e->path);
		free(e->token);
		free(e);
	}
	tree_free(&s->tree);
	close(s->fd);
}
