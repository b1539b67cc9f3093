/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Typed reads and writes of XenStore keys through hv.h. What a guest wrote is a string of any length with any bytes: a number is digits only,
 * no sign, no blank, nothing after it, and within bounds. Called by the handshakes (device.c, *_connect.c).
 */
#ifndef BACKEND_STORE_H
#define BACKEND_STORE_H

#include <sluice/hv.h>

#define STORE_PATH 256u

/* Read `dir`/`key` as a decimal number of at most max. -ENOENT when absent, -EINVAL when it is not such a number. */
int store_read_number(struct hv *hv, const char *dir, const char *key, uint32_t max, uint32_t *out);

/* The same for a key that may be absent: then *out is `absent` and the call succeeds. */
int store_read_number_or(struct hv *hv, const char *dir, const char *key, uint32_t max, uint32_t absent, uint32_t *out);

/* A boolean feature: 0 or 1; absent is false. Anything else is -EINVAL. */
int store_read_flag(struct hv *hv, const char *dir, const char *key, bool *out);

/* The text of `dir`/`key`, malloc'd; NULL and errno when absent. It may hold any bytes but NUL. */
char *store_read_text(struct hv *hv, const char *dir, const char *key);

/* Does `dir`/`key` hold exactly this text? */
bool store_is(struct hv *hv, const char *dir, const char *key, const char *text);

int store_write_number(struct hv *hv, hv_txn_t t, const char *dir, const char *key, uint32_t value);

/* A decimal number from text, as above; used for path elements too. */
int store_parse_number(const char *text, size_t len, uint32_t max, uint32_t *out);

#endif
