/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The database: what a client may read and change, and transactions. A transaction works on a snapshot of the tree and notes which paths
 * it looked at and what it changed. Its end compares the generations of those paths in the snapshot and in the live tree: when all are
 * equal its changes are done again on the live tree (permissions and quotas are checked again too), else it is -EAGAIN.
 * Called by request.c, and by server.c for sluiced itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

struct looked { /* a path that a transaction depends on */
	struct looked *next;
	char path[];
};

struct logged { /* a change that a transaction made; what ch points to lies behind it */
	struct logged *next;
	struct change ch;
	char bytes[];
};

struct txn {
	struct txn *next;
	uint32_t id;
	struct tree base, tree;
	struct looked *looked;
	struct logged *log, **log_end;
	unsigned nr_looked, nr_log;
};

static struct tree live;

/* ---- changes ---- */

static int quota_check(const struct tree *t, const struct actor *who, const struct node_data *data, const char *path, unsigned missing)
{
	domid_t owner = data->perms[0].domid;

	if (who->privileged)
		return 0;
	if (data->value_len + strlen(strrchr(path, '/') + 1) > GUEST_ENTRY)
		return -ENOSPC;
	if (missing && owner < HVSHARE_DOMAINS && t->owned[owner] + missing > GUEST_NODES)
		return -ENOSPC;
	return 0;
}

/* CHANGE_WRITE and CHANGE_MKDIR. New nodes have their parent's permissions, but a guest owns what it makes. */
static int apply_put(struct tree *t, const struct actor *who, const struct change *ch)
{
	struct store_perm perms[STORE_PERMS_MAX];
	unsigned missing;
	const struct node *n = tree_nearest(t, ch->path, &missing);
	struct node_data data = n->data;
	int rc;

	if (!(perms_allow(&n->data, who) & PERM_WRITE))
		return -EACCES;
	if (!missing && ch->kind == CHANGE_MKDIR)
		return 0;
	if (missing) {
		memcpy(perms, data.perms, data.nr_perms * sizeof(*perms));
		if (!who->privileged)
			perms[0].domid = who->domid;
		data.perms = perms;
	}
	data.value = ch->value;
	data.value_len = ch->value_len;
	rc = quota_check(t, who, &data, ch->path, missing);
	return rc ? rc : tree_put(t, ch->path, &data);
}

/* The error for a path that is not there: whoever may not look does not learn that. */
static int absent_error(const struct node *nearest, const struct actor *who, unsigned need)
{
	return perms_allow(&nearest->data, who) & need ? -ENOENT : -EACCES;
}

static int apply_rm(struct tree *t, const struct actor *who, const struct change *ch)
{
	unsigned missing;
	const struct node *n = tree_nearest(t, ch->path, &missing);

	if (!ch->path[1])
		return -EINVAL;
	if (missing) {
		int rc = absent_error(n, who, PERM_WRITE);

		return rc == -ENOENT && missing == 1 ? 0 : rc;
	}
	if (!(perms_allow(&n->data, who) & PERM_WRITE))
		return -EACCES;
	return tree_remove(t, ch->path);
}

static int apply_perms(struct tree *t, const struct actor *who, const struct change *ch)
{
	unsigned missing;
	const struct node *n = tree_nearest(t, ch->path, &missing);
	struct node_data data = { n->data.value, n->data.value_len, ch->perms, ch->nr_perms };

	if (missing)
		return absent_error(n, who, PERM_WRITE);
	if (!perms_owner(&n->data, who))
		return -EACCES;
	if (!who->privileged && ch->perms[0].domid != n->data.perms[0].domid)
		return -EPERM; /* nobody gives nodes away: they would count against the other one's quota */
	if (!who->privileged && ch->nr_perms > GUEST_PERMS)
		return -ENOSPC;
	return tree_put(t, ch->path, &data);
}

static int apply(struct tree *t, const struct actor *who, const struct change *ch)
{
	switch (ch->kind) {
	case CHANGE_RM:
		return apply_rm(t, who, ch);
	case CHANGE_PERMS:
		return apply_perms(t, who, ch);
	default:
		return apply_put(t, who, ch);
	}
}

/* ---- what a transaction remembers ---- */

static bool txn_full(const struct conn *c, unsigned n)
{
	return !c->who.privileged && n >= GUEST_TXN_STEPS;
}

static int txn_look(struct conn *c, struct txn *t, const char *path)
{
	struct looked *l;

	for (l = t->looked; l; l = l->next)
		if (!strcmp(l->path, path))
			return 0;
	if (txn_full(c, t->nr_looked))
		return -ENOSPC;
	l = malloc(sizeof(*l) + strlen(path) + 1);
	if (!l)
		return -ENOMEM;
	strcpy(l->path, path);
	l->next = t->looked;
	t->looked = l;
	t->nr_looked++;
	return 0;
}

/* A change depends on its node or, when that is absent, on its absence and on the ancestor that gives it permissions. */
static int txn_look_change(struct conn *c, struct txn *t, const char *path)
{
	char ancestor[STORE_PATH_SIZE];
	unsigned missing;
	int rc = txn_look(c, t, path);

	tree_nearest(&t->tree, path, &missing);
	if (rc || !missing)
		return rc;
	strcpy(ancestor, path);
	while (missing--)
		path_to_parent(ancestor);
	return txn_look(c, t, ancestor);
}

static int txn_log(struct conn *c, struct txn *t, const struct change *ch)
{
	size_t path_len = strlen(ch->path) + 1, perms_len = ch->nr_perms * sizeof(*ch->perms);
	struct logged *l;
	char *at;

	if (txn_full(c, t->nr_log))
		return -ENOSPC;
	l = malloc(sizeof(*l) + perms_len + path_len + ch->value_len);
	if (!l)
		return -ENOMEM;
	l->next = NULL;
	l->ch = *ch;
	at = l->bytes;
	if (perms_len)
		memcpy(at, ch->perms, perms_len);
	l->ch.perms = (const struct store_perm *)(const void *)at;
	l->ch.path = memcpy(at + perms_len, ch->path, path_len);
	at += perms_len + path_len;
	if (ch->value_len)
		memcpy(at, ch->value, ch->value_len);
	l->ch.value = at;
	*t->log_end = l;
	t->log_end = &l->next;
	t->nr_log++;
	return 0;
}

static void txn_free(struct txn *t)
{
	while (t->looked) {
		struct looked *l = t->looked;

		t->looked = l->next;
		free(l);
	}
	while (t->log) {
		struct logged *l = t->log;

		t->log = l->next;
		free(l);
	}
	tree_drop(&t->base);
	tree_drop(&t->tree);
	free(t);
}

/* ---- the functions of private.h ---- */

int db_read(struct conn *c, struct txn *t, const char *path, const struct node **out)
{
	unsigned missing;
	const struct node *n = tree_nearest(t ? &t->tree : &live, path, &missing);
	int rc = t ? txn_look(c, t, path) : 0;

	if (rc)
		return rc;
	if (missing)
		return absent_error(n, &c->who, PERM_READ);
	if (!(perms_allow(&n->data, &c->who) & PERM_READ))
		return -EACCES;
	*out = n;
	return 0;
}

static int change_in_txn(struct conn *c, struct txn *t, const struct change *ch)
{
	struct tree before;
	int rc = txn_look_change(c, t, ch->path);

	if (rc)
		return rc;
	tree_copy(&before, &t->tree);
	rc = apply(&t->tree, &c->who, ch);
	if (!rc && before.root != t->tree.root)
		rc = txn_log(c, t, ch);
	if (!rc) {
		tree_drop(&before);
		return 0;
	}
	tree_drop(&t->tree);
	t->tree = before;
	return rc;
}

int db_change(struct conn *c, struct txn *t, const struct change *ch)
{
	struct tree before;
	int rc;

	if (t)
		return change_in_txn(c, t, ch);
	tree_copy(&before, &live);
	rc = apply(&live, &c->who, ch);
	if (before.root != live.root)
		watch_fire(&before, &live, ch->path, ch->kind == CHANGE_RM);
	tree_drop(&before);
	return rc;
}

struct txn *txn_find(struct conn *c, uint32_t id)
{
	struct txn *t = c->txns;

	while (t && t->id != id)
		t = t->next;
	return t;
}

int txn_start(struct conn *c, uint32_t *id)
{
	struct txn *t;

	if (!c->who.privileged && c->nr_txns >= GUEST_TXNS)
		return -ENOSPC;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	tree_copy(&t->base, &live);
	tree_copy(&t->tree, &live);
	t->log_end = &t->log;
	do
		t->id = ++c->last_txn;
	while (!t->id || txn_find(c, t->id));
	t->next = c->txns;
	c->txns = t;
	c->nr_txns++;
	*id = t->id;
	return 0;
}

static int txn_commit(struct conn *c, struct txn *t)
{
	struct tree before;
	int rc = 0;

	for (struct looked *l = t->looked; l; l = l->next)
		if (tree_generation(&t->base, l->path) != tree_generation(&live, l->path))
			return -EAGAIN;
	tree_copy(&before, &live);
	for (struct logged *l = t->log; l && !rc; l = l->next)
		rc = apply(&live, &c->who, &l->ch);
	if (rc) {
		tree_drop(&live);
		live = before;
		return rc;
	}
	for (struct logged *l = t->log; l; l = l->next)
		watch_fire(&before, &live, l->ch.path, l->ch.kind == CHANGE_RM);
	tree_drop(&before);
	return 0;
}

int txn_end(struct conn *c, struct txn *t, bool commit)
{
	int rc = commit ? txn_commit(c, t) : 0;
	struct txn **at = &c->txns;

	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	c->nr_txns--;
	txn_free(t);
	return rc;
}

void txn_reset(struct conn *c)
{
	while (c->txns)
		txn_end(c, c->txns, false);
}

int db_forget_domain(domid_t domid)
{
	return tree_forget_domain(&live, domid);
}

int db_init(void)
{
	static const char *const first[][2] = {
		{ "/tool/xenstored", "" }, { "/vm", "" }, { "/libxl", "" },
		{ "/local/domain/0/domid", "0" }, { "/local/domain/0/name", "Domain-0" },
	};
	struct actor dom0 = { .domid = 0, .target = DOMID_INVALID, .privileged = true };
	int rc = tree_init(&live);

	for (unsigned i = 0; !rc && i < sizeof(first) / sizeof(first[0]); i++) {
		struct change ch = { .kind = CHANGE_WRITE, .path = first[i][0], .value = first[i][1], .value_len = strlen(first[i][1]) };

		rc = apply(&live, &dom0, &ch);
	}
	return rc;
}

void db_fini(void)
{
	tree_drop(&live);
	memset(&live, 0, sizeof(live));
}
