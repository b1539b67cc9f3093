/* SPDX-License-Identifier: BSD-3-Clause */
/* XenStore through libxenstore (hv_store.h). The library's own thread reads the socket; all calls here come from one thread. */
#include "hv_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "backend/log.h"

static struct xs_handle *xs_of(struct hv *hv)
{
	return ((struct hv_store *)hv)->xs;
}

/* The library says why in errno, or not at all when its connection broke before. */
static int result(bool ok)
{
	return ok ? 0 : errno ? -errno : -EIO;
}

int hv_store_open(struct hv_store *s, const char *socket)
{
	if (socket && setenv("XENSTORED_PATH", socket, 1))
		return -ENOMEM;
	errno = 0;
	s->xs = xs_open(0);
	if (s->xs)
		return 0;
	int rc = result(false);

	backend_error("no XenStore at %s: %s; start the hypervisor first", socket ? socket : "its usual place", strerror(-rc));
	return rc;
}

void hv_store_close(struct hv_store *s)
{
	xs_close(s->xs);
	s->xs = NULL;
}

char *hv_store_read(struct hv *hv, hv_txn_t t, const char *path, size_t *len)
{
	unsigned n = 0;
	char *value = xs_read(xs_of(hv), t, path, &n);

	if (value && len)
		*len = n;
	return value;
}

int hv_store_write(struct hv *hv, hv_txn_t t, const char *path, const char *value)
{
	errno = 0;
	return result(xs_write(xs_of(hv), t, path, value, (unsigned)strlen(value)));
}

int hv_store_rm(struct hv *hv, hv_txn_t t, const char *path)
{
	errno = 0;
	return result(xs_rm(xs_of(hv), t, path));
}

char **hv_store_directory(struct hv *hv, hv_txn_t t, const char *path, unsigned *n)
{
	return xs_directory(xs_of(hv), t, path, n);
}

int hv_store_txn_start(struct hv *hv, hv_txn_t *t)
{
	errno = 0;
	*t = xs_transaction_start(xs_of(hv));
	return result(*t != HV_TXN_NONE);
}

int hv_store_txn_end(struct hv *hv, hv_txn_t t, bool abort)
{
	errno = 0;
	return result(xs_transaction_end(xs_of(hv), t, abort));
}

int hv_store_watch(struct hv *hv, const char *path, const char *token)
{
	errno = 0;
	return result(xs_watch(xs_of(hv), path, token));
}

int hv_store_unwatch(struct hv *hv, const char *path, const char *token)
{
	errno = 0;
	return result(xs_unwatch(xs_of(hv), path, token));
}

int hv_store_fd(struct hv *hv)
{
	return xs_fileno(xs_of(hv));
}

int hv_store_event(struct hv *hv, char **path, char **token)
{
	char **event;

	errno = 0;
	event = xs_check_watch(xs_of(hv));
	if (!event)
		return errno ? -errno : -EAGAIN;
	*path = strdup(event[XS_WATCH_PATH]);
	*token = strdup(event[XS_WATCH_TOKEN]);
	free(event);
	if (*path && *token)
		return 0;
	free(*path);
	free(*token);
	return -ENOMEM;
}
