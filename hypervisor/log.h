/* SPDX-License-Identifier: BSD-3-Clause */
/* One line per event on standard error: "sluiced: <level>: ...". What a guest can cause at will goes through log_domain_limited. */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#include "domain.h"

void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* only with --verbose */
/* At most 64 lines in a domain's life, then one that says so. */
void log_domain_limited(struct domain *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
extern bool log_verbose;

#endif
