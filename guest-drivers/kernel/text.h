/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading the command line and what is typed on the console: words, key=value, numbers, addresses. */
#ifndef GUEST_TEXT_H
#define GUEST_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value of the first word "key=..." in line, up to the next blank, as a string in out; false when there is none or it does not fit. */
bool text_value(const char *line, const char *key, char *out, size_t size);
/* The same as a number; `otherwise` when there is none. False when it is there and no number. */
bool text_number(const char *line, const char *key, uint64_t otherwise, uint64_t *out);
/* What follows "key=" up to the end of the line; NULL when there is none. */
const char *text_rest(const char *line, const char *key);
/* Does the line start with this word? Then the rest of the line behind the word and its blanks, else NULL. */
const char *text_command(const char *line, const char *word);

/* Take the next word or number off *at, and the blanks behind it. False when there is none, it does not fit, or is no number. */
bool text_word(const char **at, char *out, size_t size);
bool text_take(const char **at, uint64_t *out);

/* Decimal, or hexadecimal after 0x; the whole string. */
bool text_parse_number(const char *text, uint64_t *out);
/* "10.0.0.2" or, when prefix is not NULL, "10.0.0.2/24" (without "/n" the prefix is 24). Host byte order. */
bool text_parse_ip(const char *text, uint32_t *ip, unsigned *prefix);

#endif
