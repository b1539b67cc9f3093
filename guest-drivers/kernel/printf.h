/* SPDX-License-Identifier: BSD-3-Clause */
/* Formatting for the log and the console. */
#ifndef GUEST_PRINTF_H
#define GUEST_PRINTF_H

#include <stdarg.h>
#include <stddef.h>

/*
 * Writes at most size - 1 bytes and a NUL (size >= 1); returns how many bytes without it. %s %c %d %i %u %x %p %%, l ll z, width and the flag 0.
 * What it does not know is printed as it stands.
 */
size_t format_text(char *out, size_t size, const char *fmt, va_list args);
size_t format_to(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
