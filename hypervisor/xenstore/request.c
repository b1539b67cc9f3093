/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests (xen/io/xs_wire.h): a table from the type to its function. A function gets the payload as NUL-terminated strings or as raw
 * bytes, fills the reply and returns 0 or -errno, which goes out by name. Called by connection.c for each whole message.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

struct request {
	struct conn *c;
	struct txn *t;   /* NULL: outside any */
	uint32_t tx_id;
	char *in;        /* payload: private, may be changed */
	size_t len;
	char *arg[3];    /* its strings, as many as the table says */
	unsigned nr_args;
	size_t out_len;  /* reply */
	char out[XENSTORE_PAYLOAD_MAX];
};

static int reply_add(struct request *r, const void *data, size_t len)
{
	if (len > sizeof(r->out) - r->out_len)
		return -E2BIG;
	if (len)
		memcpy(r->out + r->out_len, data, len);
	r->out_len += len;
	return 0;
}

static int reply_string(struct request *r, const char *s)
{
	return reply_add(r, s, strlen(s) + 1);
}

/* The node that the first string names, readable. */
static int read_node(struct request *r, const struct node **n)
{
	char path[STORE_PATH_SIZE];
	int rc = path_resolve(r->c->who.domid, r->arg[0], path);

	return rc ? rc : db_read(r->c, r->t, path, n);
}

static int do_read(struct request *r)
{
	const struct node *n;
	int rc = read_node(r, &n);

	return rc ? rc : reply_add(r, n->data.value, n->data.value_len);
}

static int do_directory(struct request *r)
{
	const struct node *n;
	int rc = read_node(r, &n);

	for (unsigned i = 0; !rc && i < n->nr_children; i++)
		rc = reply_string(r, n->children[i]->name);
	return rc;
}

/* The list of children from a byte offset on, as much as fits; an empty string marks its end. */
static int do_directory_part(struct request *r)
{
	char generation[24], *end;
	unsigned long offset = strtoul(r->arg[1], &end, 10);
	const struct node *n;
	size_t at = 0;
	int rc = read_node(r, &n);

	if (!*r->arg[1] || *end)
		return -EINVAL;
	if (rc)
		return rc;
	snprintf(generation, sizeof(generation), "%llu", (unsigned long long)n->generation);
	reply_string(r, generation);
	for (unsigned i = 0; i < n->nr_children; i++) {
		if (at >= offset && reply_string(r, n->children[i]->name))
			return 0;
		at += strlen(n->children[i]->name) + 1;
	}
	reply_string(r, ""); /* when there is no room for it, the next part is just this */
	return 0;
}

static int do_get_perms(struct request *r)
{
	const struct node *n;
	char text[PERM_TEXT];
	int rc = read_node(r, &n);

	for (unsigned i = 0; !rc && i < n->data.nr_perms; i++) {
		perm_format(&n->data.perms[i], text);
		rc = reply_string(r, text);
	}
	return rc;
}

/* The change, to what the first string names. */
static int change(struct request *r, struct change ch)
{
	char path[STORE_PATH_SIZE];
	int rc = path_resolve(r->c->who.domid, r->arg[0], path);

	ch.path = path;
	return rc ? rc : db_change(r->c, r->t, &ch);
}

static int do_write(struct request *r)
{
	size_t path_len = strlen(r->arg[0]) + 1;

	return change(r, (struct change){ .kind = CHANGE_WRITE, .value = r->in + path_len, .value_len = r->len - path_len });
}

static int do_mkdir(struct request *r)
{
	return change(r, (struct change){ .kind = CHANGE_MKDIR });
}

static int do_rm(struct request *r)
{
	return change(r, (struct change){ .kind = CHANGE_RM });
}

static int do_set_perms(struct request *r)
{
	struct store_perm perms[STORE_PERMS_MAX];
	const char *at = r->arg[1], *end = r->in + r->len;
	unsigned n = 0;

	for (; at < end; at += strlen(at) + 1) {
		if (n == STORE_PERMS_MAX)
			return -ENOSPC;
		if (perm_parse(at, &perms[n++]))
			return -EINVAL;
	}
	return change(r, (struct change){ .kind = CHANGE_PERMS, .perms = perms, .nr_perms = n });
}

/* ---- watches ---- */

/* The path of a watch; only domain 0 may wait for the special events. */
static int watch_path(struct request *r, char path[STORE_PATH_SIZE], size_t *base)
{
	const char *given = r->arg[0];

	*base = 0;
	if (given[0] == '@') {
		if (strlen(given) > XENSTORE_REL_PATH_MAX)
			return -EINVAL;
		strcpy(path, given);
		return r->c->who.privileged ? 0 : -EACCES;
	}
	if (given[0] != '/')
		*base = path_base_length(r->c->who.domid);
	return path_resolve(r->c->who.domid, given, path);
}

static int do_watch(struct request *r)
{
	char path[STORE_PATH_SIZE];
	unsigned depth = UINT32_MAX;
	domid_t given;
	size_t base;
	int rc = watch_path(r, path, &base);

	if (rc)
		return rc;
	if (r->nr_args > 2 && *r->arg[2]) {
		if (domid_parse(r->arg[2], &given)) /* the same kind of number */
			return -EINVAL;
		depth = given;
	}
	return watch_add(r->c, path, base, r->arg[1], depth);
}

static int do_unwatch(struct request *r)
{
	char path[STORE_PATH_SIZE];
	size_t base;
	int rc = watch_path(r, path, &base);

	return rc ? rc : watch_remove(r->c, path, r->arg[1]);
}

static int do_reset_watches(struct request *r)
{
	watch_reset(r->c);
	txn_reset(r->c);
	return 0;
}

/* ---- transactions ---- */

static int do_transaction_start(struct request *r)
{
	char text[12];
	uint32_t id;
	int rc = r->tx_id ? -EBUSY : txn_start(r->c, &id);

	if (rc)
		return rc;
	snprintf(text, sizeof(text), "%u", id);
	return reply_string(r, text);
}

static int do_transaction_end(struct request *r)
{
	const char *how = r->arg[0];

	if (!r->t)
		return -ENOENT;
	if (strcmp(how, "T") && strcmp(how, "F"))
		return -EINVAL;
	return txn_end(r->c, r->t, *how == 'T');
}

/* ---- domains ---- */

static int do_get_domain_path(struct request *r)
{
	char path[32];
	domid_t domid;

	if (domid_parse(r->arg[0], &domid))
		return -EINVAL;
	snprintf(path, sizeof(path), "/local/domain/%u", domid);
	return reply_string(r, path);
}

static int do_is_domain_introduced(struct request *r)
{
	domid_t domid;

	if (domid_parse(r->arg[0], &domid))
		return -EINVAL;
	return reply_string(r, domid == 0 || store_guest(domid) ? "T" : "F");
}

/* sluiced introduces and releases domains itself, as it makes and ends them. */
static int do_introduce(struct request *r)
{
	(void)r;
	return -EINVAL;
}

/* Nothing to re-arm: @releaseDomain fires each time. */
static int do_resume(struct request *r)
{
	domid_t domid;

	if (domid_parse(r->arg[0], &domid))
		return -EINVAL;
	return store_guest(domid) ? 0 : -ENOENT;
}

static int do_set_target(struct request *r)
{
	domid_t domid, target;
	struct conn *guest;

	if (domid_parse(r->arg[0], &domid) || domid_parse(r->arg[1], &target) || !target || target == domid)
		return -EINVAL;
	guest = store_guest(domid);
	if (!guest || !store_guest(target))
		return -ENOENT;
	guest->who.target = target;
	return 0;
}

static int do_control(struct request *r)
{
	if (!strcmp(r->arg[0], "check"))
		return 0;
	return strcmp(r->arg[0], "help") ? -EINVAL : reply_string(r, "check help");
}

/* ---- the table ---- */

enum { NO_TXN = 1, DOM0_ONLY = 2, ONE_STRING = 4 /* all of the payload is one string */ };

static const struct handler {
	int (*fn)(struct request *r);
	unsigned char strings; /* that the payload must begin with */
	unsigned char flags;
} handlers[XS_TYPE_COUNT] = {
	[XS_CONTROL] = { do_control, 1, NO_TXN | DOM0_ONLY },
	[XS_DIRECTORY] = { do_directory, 1, ONE_STRING },
	[XS_DIRECTORY_PART] = { do_directory_part, 2, 0 },
	[XS_READ] = { do_read, 1, ONE_STRING },
	[XS_GET_PERMS] = { do_get_perms, 1, ONE_STRING },
	[XS_WATCH] = { do_watch, 2, NO_TXN },
	[XS_UNWATCH] = { do_unwatch, 2, NO_TXN },
	[XS_TRANSACTION_START] = { do_transaction_start, 0, NO_TXN },
	[XS_TRANSACTION_END] = { do_transaction_end, 1, ONE_STRING },
	[XS_INTRODUCE] = { do_introduce, 0, NO_TXN | DOM0_ONLY },
	[XS_RELEASE] = { do_introduce, 0, NO_TXN | DOM0_ONLY },
	[XS_GET_DOMAIN_PATH] = { do_get_domain_path, 1, NO_TXN | ONE_STRING },
	[XS_WRITE] = { do_write, 1, 0 },
	[XS_MKDIR] = { do_mkdir, 1, ONE_STRING },
	[XS_RM] = { do_rm, 1, ONE_STRING },
	[XS_SET_PERMS] = { do_set_perms, 2, 0 },
	[XS_IS_DOMAIN_INTRODUCED] = { do_is_domain_introduced, 1, NO_TXN | ONE_STRING },
	[XS_RESUME] = { do_resume, 1, NO_TXN | DOM0_ONLY | ONE_STRING },
	[XS_SET_TARGET] = { do_set_target, 2, NO_TXN | DOM0_ONLY },
	[XS_RESET_WATCHES] = { do_reset_watches, 0, NO_TXN },
};

/* Find the strings that the payload begins with. All but XS_WRITE end with a NUL, so that every string does. */
static int split(struct request *r, uint32_t type, const struct handler *h)
{
	char *at = r->in, *end = r->in + r->len, *nul;

	if (h->strings && type != XS_WRITE && (!r->len || end[-1]))
		return -EINVAL;
	for (; r->nr_args < 3 && (nul = memchr(at, '\0', (size_t)(end - at))); at = nul + 1)
		r->arg[r->nr_args++] = at;
	if (r->nr_args < h->strings || (h->flags & ONE_STRING && r->nr_args > 1))
		return -EINVAL;
	return 0;
}

static int dispatch(struct request *r, uint32_t type)
{
	const struct handler *h = type < XS_TYPE_COUNT ? &handlers[type] : NULL;
	int rc;

	if (!h || !h->fn)
		return -ENOSYS;
	if (h->flags & DOM0_ONLY && !r->c->who.privileged)
		return -EACCES;
	rc = split(r, type, h);
	if (rc)
		return rc;
	if (!(h->flags & NO_TXN) && r->tx_id) {
		r->t = txn_find(r->c, r->tx_id);
		if (!r->t)
			return -ENOENT;
	}
	return h->fn(r);
}

static const char *error_name(int rc)
{
	for (unsigned i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++)
		if (xsd_errors[i].errnum == -rc)
			return xsd_errors[i].errstring;
	return "EINVAL";
}

/* Types whose reply has a payload of its own, which may be empty; the others say OK. */
static bool has_payload(uint32_t type)
{
	return type == XS_READ || type == XS_DIRECTORY;
}

void request_handle(struct conn *c)
{
	struct request r = { .c = c, .tx_id = c->hdr.tx_id, .in = c->in, .len = c->hdr.len };
	struct xsd_sockmsg hdr = { .type = c->hdr.type, .req_id = c->hdr.req_id, .tx_id = c->hdr.tx_id };
	int rc = dispatch(&r, c->hdr.type);

	if (rc) {
		hdr.type = XS_ERROR;
		r.out_len = 0;
		reply_string(&r, error_name(rc));
	} else if (!r.out_len && !has_payload(hdr.type)) {
		reply_string(&r, "OK");
	}
	conn_put(c, &hdr, r.out, r.out_len, NULL, 0);
}
