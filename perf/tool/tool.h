/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf's parts: one main for each subcommand, and what they share (common.c). */
#ifndef PERF_TOOL_H
#define PERF_TOOL_H

#include "histogram.h"
#include "sample.h"

int net_main(int argc, char **argv);
int blk_main(int argc, char **argv);
int machine_main(int argc, char **argv);

/* Decimal number within bounds; the program ends with a line that names the option when it is none. */
unsigned parse_number(const char *option, const char *text, unsigned min, unsigned max);
/* A size in bytes: 4096, 4k, 1M. */
unsigned parse_size(const char *option, const char *text, unsigned min, unsigned max);

/* This thread runs on this core from now on; -1: anywhere. 0 or -errno after a line on stderr. */
int pin_to(int cpu);

/* `sluice --run-dir DIR <words>`, the one beside this program or in PATH. 0, or -EIO after a line on stderr. words ends with NULL. */
int toolstack(const char *run_dir, const char *const *words);

/* "p50": ..., to "max": in microseconds, without braces. */
void print_latency_json(const struct histogram *h, double tsc_per_ns);
void print_latency(const struct histogram *h, double tsc_per_ns);

#endif
