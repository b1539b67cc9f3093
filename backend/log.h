/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One line per event on standard error: "sluice-backend: error: vif1.0: ...". Whatever a guest can cause at will goes through a limit of its own, so
 * that a guest cannot fill a disk. DPDK's own log joins in (backend_log_dpdk). Any thread.
 */
#ifndef BACKEND_LOG_H
#define BACKEND_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum backend_level { BACKEND_ERROR, BACKEND_INFO, BACKEND_DEBUG };

extern enum backend_level backend_log_level; /* lines above it are dropped; BACKEND_INFO at first */

void backend_log(enum backend_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define backend_error(...) backend_log(BACKEND_ERROR, __VA_ARGS__)
#define backend_info(...) backend_log(BACKEND_INFO, __VA_ARGS__)
#define backend_debug(...) backend_log(BACKEND_DEBUG, __VA_ARGS__)

/* At most BACKEND_LOG_LINES lines a minute from one source; zeroed at first. False: say nothing. */
#define BACKEND_LOG_LINES 10u
struct backend_log_limit {
	uint64_t minute;
	unsigned lines;
};
bool backend_log_allowed(struct backend_log_limit *limit);

/* Sends DPDK's log through here: errors as errors, the rest only when the level is BACKEND_DEBUG. Call before and after rte_eal_init. */
void backend_log_dpdk(void);

#endif
