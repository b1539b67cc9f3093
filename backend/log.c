/* SPDX-License-Identifier: BSD-3-Clause */
/* The back end's log: see log.h. Called from everywhere in backend/. */
#include "log.h"
#include <rte_log.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum backend_level backend_log_level = BACKEND_INFO;

static const char *const level_names[] = {"error", "info", "debug"};

/* One write per line, so that lines of several threads do not mix. */
static void log_line(enum backend_level level, const char *text)
{
	fprintf(stderr, "sluice-backend: %s: %s\n", level_names[level], text);
}

void backend_log(enum backend_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (level > backend_log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(level, text);
}

bool backend_log_allowed(struct backend_log_limit *limit)
{
	struct timespec now;
	uint64_t minute;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	minute = (uint64_t)now.tv_sec / 60 + 1;
	if (limit->minute != minute)
		*limit = (struct backend_log_limit){.minute = minute};
	return limit->lines++ < BACKEND_LOG_LINES;
}

/* DPDK writes whole lines with one call each. */
static ssize_t dpdk_write(void *cookie, const char *buf, size_t n)
{
	int level = rte_log_cur_msg_loglevel();
	char text[512];

	(void)cookie;
	snprintf(text, sizeof(text), "DPDK: %.*s", (int)strcspn(buf, "\n"), buf);
	if (level > 0 && level <= (int)RTE_LOG_ERR)
		log_line(BACKEND_ERROR, text);
	else if (backend_log_level == BACKEND_DEBUG)
		log_line(BACKEND_DEBUG, text);
	return (ssize_t)n;
}

void backend_log_dpdk(void)
{
	static FILE *stream;

	if (!stream)
		stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = dpdk_write});
	if (!stream)
		return;
	setvbuf(stream, NULL, _IOLBF, BUFSIZ);
	rte_openlog_stream(stream);
	rte_log_set_global_level(backend_log_level == BACKEND_DEBUG ? RTE_LOG_DEBUG : RTE_LOG_ERR);
}
