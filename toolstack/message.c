/* SPDX-License-Identifier: BSD-3-Clause */
/* What the user is told when something is wrong: one line on standard error. */
#include <stdarg.h>
#include <stdio.h>

#include "toolstack.h"

static void say(const char *fmt, va_list ap)
{
	fputs("sluice: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return 1;
}

void caution(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}
