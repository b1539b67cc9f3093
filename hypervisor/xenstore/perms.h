/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may do what with a node, and how permissions look on the wire ("n0", "r3", "w4", "b5"). */
#ifndef SLUICE_XENSTORE_PERMS_H
#define SLUICE_XENSTORE_PERMS_H

#include "tree.h"

#define STORE_PERMS_MAX 256u /* entries of one node; guests: store_private.h */

/* On whose behalf a request is done. */
struct actor {
	domid_t domid;
	domid_t target;  /* XS_SET_TARGET: has that domain's rights too; DOMID_INVALID: none */
	bool privileged; /* domain 0 */
};

unsigned perms_allow(const struct node_data *data, const struct actor *who); /* OR of PERM_* */
bool perms_owner(const struct node_data *data, const struct actor *who);     /* owner, its stub domain, or domain 0 */

/* One entry; -EINVAL when s is none. */
int perm_parse(const char *s, struct store_perm *out);
#define PERM_TEXT 7 /* "b65535" and its NUL */
void perm_format(const struct store_perm *p, char out[PERM_TEXT]);

/* A decimal domid, 0 to 65535; -EINVAL. */
int domid_parse(const char *s, domid_t *out);

#endif
