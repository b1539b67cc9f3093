/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which keys does a configuration set? libxlutil answers only for keys that one knows; this finds the others, so that a misspelt one is
 * not passed over in silence (config.c warns). It follows libxlutil's syntax: settings end with a line or ';', not so inside brackets.
 */
#include <ctype.h>
#include <string.h>

#include "config.h"

static const char *skip_string(const char *p)
{
	char quote = *p++;

	while (*p && *p != quote)
		p += *p == '\\' && p[1] ? 2 : 1;
	return *p ? p + 1 : p;
}

/* From within a setting to past its end. */
static const char *skip_setting(const char *p)
{
	unsigned depth = 0;

	while (*p && (depth || (*p != '\n' && *p != ';'))) {
		if (*p == '\'' || *p == '"') {
			p = skip_string(p);
			continue;
		}
		if (*p == '#') {
			p += strcspn(p, "\n");
			continue;
		}
		depth += *p == '[';
		depth -= *p == ']' && depth;
		p++;
	}
	return p;
}

void config_each_key(const char *text, void (*found)(const char *key, void *arg), void *arg)
{
	while (*text) {
		char key[CONFIG_KEY_MAX];
		size_t len = 0;

		text += strspn(text, " \t\r\n;");
		while (isalnum((unsigned char)text[len]) || text[len] == '_')
			len++;
		if (len && len < sizeof(key)) {
			memcpy(key, text, len);
			key[len] = 0;
			found(key, arg);
		}
		text = skip_setting(text + len);
	}
}
