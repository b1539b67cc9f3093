/* SPDX-License-Identifier: BSD-3-Clause */
/* Typed XenStore keys: see store.h. */
#include "store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int store_parse_number(const char *text, size_t len, uint32_t max, uint32_t *out)
{
	uint64_t value = 0;

	if (len == 0 || len > 10)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	if (value > max)
		return -EINVAL;
	*out = (uint32_t)value;
	return 0;
}

static char *read_key(struct hv *hv, const char *dir, const char *key, size_t *len)
{
	char path[STORE_PATH];

	if ((unsigned)snprintf(path, sizeof(path), "%s/%s", dir, key) >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	return hv->ops->store_read(hv, HV_TXN_NONE, path, len);
}

int store_read_number(struct hv *hv, const char *dir, const char *key, uint32_t max, uint32_t *out)
{
	size_t len;
	char *text = read_key(hv, dir, key, &len);
	int rc;

	if (!text)
		return errno ? -errno : -EIO;
	rc = store_parse_number(text, len, max, out);
	free(text);
	return rc;
}

char *store_read_text(struct hv *hv, const char *dir, const char *key)
{
	return read_key(hv, dir, key, NULL);
}

int store_read_number_or(struct hv *hv, const char *dir, const char *key, uint32_t max, uint32_t absent, uint32_t *out)
{
	int rc = store_read_number(hv, dir, key, max, out);

	if (rc == -ENOENT) {
		*out = absent;
		return 0;
	}
	return rc;
}

int store_read_flag(struct hv *hv, const char *dir, const char *key, bool *out)
{
	uint32_t value;
	int rc = store_read_number_or(hv, dir, key, 1, 0, &value);

	*out = rc == 0 && value == 1;
	return rc;
}

bool store_is(struct hv *hv, const char *dir, const char *key, const char *text)
{
	char *value = read_key(hv, dir, key, NULL);
	bool same = value && strcmp(value, text) == 0;

	free(value);
	return same;
}

int store_write_number(struct hv *hv, hv_txn_t t, const char *dir, const char *key, uint32_t value)
{
	char path[STORE_PATH], text[16];

	if ((unsigned)snprintf(path, sizeof(path), "%s/%s", dir, key) >= sizeof(path))
		return -ENAMETOOLONG;
	snprintf(text, sizeof(text), "%u", value);
	return hv->ops->store_write(hv, t, path, text);
}
