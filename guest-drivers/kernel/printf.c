/* SPDX-License-Identifier: BSD-3-Clause */
/* A subset of printf. Called by console.c and port_pv.c; also compiled hosted, for its test. */
#include "printf.h"
#include <stdbool.h>
#include <stdint.h>

struct sink {
	char *at, *end; /* end: where the NUL goes at the latest */
};

struct spec {
	unsigned width;
	unsigned longs; /* 0: int, 1 or 2: 64 bits */
	bool zero;
};

static void put(struct sink *s, char c)
{
	if (s->at < s->end)
		*s->at++ = c;
}

static void pad(struct sink *s, const struct spec *spec, size_t have, char with)
{
	for (size_t i = have; i < spec->width; i++)
		put(s, with);
}

static void put_string(struct sink *s, const struct spec *spec, const char *text)
{
	size_t n = 0;

	if (!text)
		text = "(null)";
	while (text[n])
		n++;
	pad(s, spec, n, ' ');
	while (n--)
		put(s, *text++);
}

static void put_number(struct sink *s, const struct spec *spec, uint64_t value, unsigned base, bool negative)
{
	char digits[20];
	size_t n = 0;

	do
		digits[n++] = "0123456789abcdef"[value % base];
	while (value /= base);
	if (!spec->zero)
		pad(s, spec, n + negative, ' ');
	if (negative)
		put(s, '-');
	if (spec->zero)
		pad(s, spec, n + negative, '0');
	while (n)
		put(s, digits[--n]);
}

static uint64_t take_unsigned(const struct spec *spec, va_list *args)
{
	return spec->longs ? va_arg(*args, uint64_t) : va_arg(*args, unsigned);
}

static void put_signed(struct sink *s, const struct spec *spec, va_list *args)
{
	int64_t v = spec->longs ? va_arg(*args, int64_t) : va_arg(*args, int);

	put_number(s, spec, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0);
}

static const char *parse_spec(const char *fmt, struct spec *spec)
{
	*spec = (struct spec){ 0 };
	for (; *fmt == '0'; fmt++)
		spec->zero = true;
	for (; *fmt >= '0' && *fmt <= '9'; fmt++)
		spec->width = spec->width < 100 ? spec->width * 10 + (unsigned)(*fmt - '0') : spec->width;
	for (; *fmt == 'l' || *fmt == 'z'; fmt++)
		spec->longs++;
	return fmt;
}

/* True when the conversion is known. */
static bool convert(struct sink *s, const struct spec *spec, char kind, va_list *args)
{
	switch (kind) {
	case 's':
		put_string(s, spec, va_arg(*args, const char *));
		return true;
	case 'c':
		put(s, (char)va_arg(*args, int));
		return true;
	case 'd':
	case 'i':
		put_signed(s, spec, args);
		return true;
	case 'u':
		put_number(s, spec, take_unsigned(spec, args), 10, false);
		return true;
	case 'x':
		put_number(s, spec, take_unsigned(spec, args), 16, false);
		return true;
	case 'p':
		put(s, '0');
		put(s, 'x');
		put_number(s, spec, (uintptr_t)va_arg(*args, void *), 16, false);
		return true;
	case '%':
		put(s, '%');
		return true;
	default:
		return false;
	}
}

size_t format_text(char *out, size_t size, const char *fmt, va_list args)
{
	struct sink s = { out, out + size - 1 };
	struct spec spec;
	va_list list;

	va_copy(list, args); /* so that its address has one type, whatever va_list is */
	for (; *fmt; fmt++) {
		const char *start = fmt;

		if (*fmt != '%') {
			put(&s, *fmt);
			continue;
		}
		fmt = parse_spec(fmt + 1, &spec);
		if (convert(&s, &spec, *fmt, &list))
			continue;
		for (; start < fmt; start++)
			put(&s, *start);
		if (!*fmt)
			break;
		put(&s, *fmt);
	}
	va_end(list);
	*s.at = '\0';
	return (size_t)(s.at - out);
}

size_t format_to(char *out, size_t size, const char *fmt, ...)
{
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = format_text(out, size, fmt, args);
	va_end(args);
	return n;
}
