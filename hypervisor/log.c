/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The log (log.h): each line is formatted whole and written with one write, so that lines of several threads do not mix. What came
 * from a guest may stand in a line: control characters are replaced, so that it cannot forge another line or move a terminal's cursor.
 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE 1024
#define LOG_DOMAIN_LINES 64

bool log_verbose;

static void log_line(const char *level, const char *about, const char *fmt, va_list ap)
{
	char line[LOG_LINE];
	int n, m;
	ssize_t done;

	n = snprintf(line, sizeof(line), "sluiced: %s: %s", level, about);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	n = m < 0 ? n : n + m;
	if (n > (int)sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	done = write(STDERR_FILENO, line, (size_t)n);
	(void)done; /* a log that cannot be written has nowhere to be reported */
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("error", "", fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("info", "", fmt, ap);
	va_end(ap);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!log_verbose)
		return;
	va_start(ap, fmt);
	log_line("debug", "", fmt, ap);
	va_end(ap);
}

void log_domain_limited(struct domain *d, const char *fmt, ...)
{
	char about[96];
	va_list ap;

	if (d->log_lines > LOG_DOMAIN_LINES)
		return;
	snprintf(about, sizeof(about), "domain %u (%s): ", d->domid, d->name);
	if (d->log_lines++ == LOG_DOMAIN_LINES)
		fmt = "said more than 64 things; the rest of its life is not logged";
	va_start(ap, fmt);
	log_line("info", about, fmt, ap);
	va_end(ap);
}
