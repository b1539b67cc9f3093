/* SPDX-License-Identifier: BSD-3-Clause */
/* Paths (path.h). Called by request.c for what clients say, and by watch.c to match. */
#include "path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool path_chars_valid(const char *p)
{
	static const char valid[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-/_@";

	return p[strspn(p, valid)] == '\0';
}

int path_resolve(domid_t domid, const char *given, char out[STORE_PATH_SIZE])
{
	size_t len = strlen(given);

	if (!len || !path_chars_valid(given) || strstr(given, "//") || (len > 1 && given[len - 1] == '/'))
		return -EINVAL;
	if (given[0] == '/') {
		if (len > XENSTORE_ABS_PATH_MAX)
			return -EINVAL;
		memcpy(out, given, len + 1);
		return 0;
	}
	if (given[0] == '@' || len > XENSTORE_REL_PATH_MAX)
		return -EINVAL;
	snprintf(out, STORE_PATH_SIZE, "/local/domain/%u/%s", domid, given);
	return 0;
}

size_t path_base_length(domid_t domid)
{
	return (size_t)snprintf(NULL, 0, "/local/domain/%u/", domid);
}

bool path_is_below(const char *path, const char *ancestor, unsigned *levels)
{
	size_t len = strcmp(ancestor, "/") ? strlen(ancestor) : 0;

	if (strncmp(path, ancestor, len) || (path[len] && path[len] != '/'))
		return false;
	*levels = 0;
	for (const char *p = path + len; *p && p[1]; p++)
		*levels += *p == '/';
	return true;
}

void path_to_parent(char *path)
{
	char *slash = strrchr(path, '/');

	slash[slash == path] = '\0';
}
