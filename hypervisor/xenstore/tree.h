/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The tree of XenStore, persistent in the functional sense: a node never changes once it is made, a change makes new nodes along its path
 * and shares the rest. So a snapshot (a transaction, the state before a change) is one counted reference. Paths here are absolute and
 * valid (path.h). Main loop only.
 */
#ifndef SLUICE_XENSTORE_TREE_H
#define SLUICE_XENSTORE_TREE_H

#include <sluice/hvshare.h>

enum { PERM_READ = 1, PERM_WRITE = 2 };

/* perms[0] of a node names its owner, and what everybody who is not named may do; the others name one domain each. */
struct store_perm {
	domid_t domid;
	uint8_t bits; /* OR of PERM_* */
};

struct node_data {
	const void *value;
	size_t value_len;
	const struct store_perm *perms;
	unsigned nr_perms; /* at least 1 */
};

struct node {
	unsigned refs;
	unsigned nr_children;
	uint64_t generation; /* new whenever value, perms or the set of children change; never 0 */
	const char *name;
	struct node_data data;
	struct node *children[]; /* sorted by name; perms, value and name lie behind them in the same allocation */
};

struct tree {
	struct node *root;
	uint32_t owned[HVSHARE_DOMAINS]; /* nodes that each domain owns */
};

int tree_init(struct tree *t); /* a root that domain 0 owns and nobody else may use */
void tree_copy(struct tree *to, const struct tree *from);
void tree_drop(struct tree *t);

const struct node *tree_find(const struct tree *t, const char *path); /* NULL: absent */
/* The node or, when it is absent, its nearest ancestor that exists; *missing says how many components that lacks (0: it is the node). */
const struct node *tree_nearest(const struct tree *t, const char *path, unsigned *missing);
uint64_t tree_generation(const struct tree *t, const char *path); /* 0: absent */

/* Give path this value and these permissions. Missing ancestors appear with the same permissions and no value. -ENOMEM: nothing happened. */
int tree_put(struct tree *t, const char *path, const struct node_data *data);
/* Remove path, which exists and is not the root, and all below it. -ENOMEM: nothing happened. */
int tree_remove(struct tree *t, const char *path);
/* A domid is about to be free for somebody else: its nodes go to domain 0, permissions that name it vanish (XSA-322). */
int tree_forget_domain(struct tree *t, domid_t domid);

#endif
