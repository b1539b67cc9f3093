/* SPDX-License-Identifier: BSD-3-Clause */
/* Words, numbers and addresses. Called by the applications; also compiled hosted, for its test. */
#include "text.h"

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static const char *skip_blanks(const char *at)
{
	while (blank(*at))
		at++;
	return at;
}

/* Behind "word" when `at` starts with it, else NULL. */
static const char *behind(const char *at, const char *word)
{
	while (*word)
		if (*at++ != *word++)
			return NULL;
	return at;
}

const char *text_rest(const char *line, const char *key)
{
	for (const char *at = skip_blanks(line); *at; at = skip_blanks(at)) {
		const char *value = behind(at, key);

		if (value && *value == '=')
			return value + 1;
		while (*at && !blank(*at))
			at++;
	}
	return NULL;
}

bool text_word(const char **at, char *out, size_t size)
{
	size_t n = 0;

	while ((*at)[n] && !blank((*at)[n])) {
		if (n + 1 >= size)
			return false;
		out[n] = (*at)[n];
		n++;
	}
	out[n] = '\0';
	*at = skip_blanks(*at + n);
	return n > 0;
}

bool text_value(const char *line, const char *key, char *out, size_t size)
{
	const char *at = text_rest(line, key);

	return at && text_word(&at, out, size);
}

bool text_parse_number(const char *text, uint64_t *out)
{
	const char *hex = behind(text, "0x");
	uint64_t v = 0;

	text = hex ? hex : text;
	if (!*text)
		return false;
	for (; *text; text++) {
		unsigned base = hex ? 16 : 10, digit;

		if (*text >= '0' && *text <= '9')
			digit = (unsigned)(*text - '0');
		else if (hex && *text >= 'a' && *text <= 'f')
			digit = (unsigned)(*text - 'a' + 10);
		else
			return false;
		if (__builtin_mul_overflow(v, base, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*out = v;
	return true;
}

bool text_take(const char **at, uint64_t *out)
{
	char word[24];

	return text_word(at, word, sizeof(word)) && text_parse_number(word, out);
}

bool text_number(const char *line, const char *key, uint64_t otherwise, uint64_t *out)
{
	const char *at = text_rest(line, key);

	*out = otherwise;
	return !at || text_take(&at, out);
}

const char *text_command(const char *line, const char *word)
{
	const char *at = behind(skip_blanks(line), word);

	return at && (!*at || blank(*at)) ? skip_blanks(at) : NULL;
}

/* Up to three digits, at most `max`. */
static const char *small_number(const char *at, unsigned max, unsigned *out)
{
	unsigned v = 0, n = 0;

	for (; *at >= '0' && *at <= '9' && n < 3; n++)
		v = v * 10 + (unsigned)(*at++ - '0');
	*out = v;
	return n && v <= max ? at : NULL;
}

bool text_parse_ip(const char *text, uint32_t *ip, unsigned *prefix)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned byte;

		if (i && *text++ != '.')
			return false;
		text = small_number(text, 255, &byte);
		if (!text)
			return false;
		v = v << 8 | byte;
	}
	*ip = v;
	if (!prefix)
		return !*text;
	*prefix = 24;
	if (*text == '/')
		text = small_number(text + 1, 32, prefix);
	return text && !*text;
}
