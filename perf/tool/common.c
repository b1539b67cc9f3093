/* SPDX-License-Identifier: BSD-3-Clause */
/* What sluice-perf's subcommands share: see tool.h. */
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 16u

extern char **environ;

static unsigned parse(const char *option, const char *text, unsigned min, unsigned max, bool suffix)
{
	char *end;
	unsigned long long value;
	unsigned shift = 0;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (suffix && end != text && (*end == 'k' || *end == 'M'))
		shift = *end++ == 'k' ? 10 : 20;
	if (errno || *text < '0' || *text > '9' || *end || value > max >> shift || value << shift < min) {
		fprintf(stderr, "sluice-perf: error: --%s %s: not a number from %u to %u\n", option, text, min, max);
		exit(2);
	}
	return (unsigned)(value << shift);
}

unsigned parse_number(const char *option, const char *text, unsigned min, unsigned max)
{
	return parse(option, text, min, max, false);
}

unsigned parse_size(const char *option, const char *text, unsigned min, unsigned max)
{
	return parse(option, text, min, max, true);
}

int pin_to(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return 0;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return 0;
	fprintf(stderr, "sluice-perf: error: cannot run on core %d: %s; give another --cpu\n", cpu, strerror(errno));
	return -EINVAL;
}

/* The program `sluice`: where this one is, if it is there. */
static const char *sluice_path(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n > 0) {
		buf[n] = '\0';
		slash = strrchr(buf, '/');
		if (slash && (size_t)(slash - buf) + sizeof("/sluice") <= size) {
			strcpy(slash, "/sluice");
			if (!access(buf, X_OK))
				return buf;
		}
	}
	return "sluice";
}

int toolstack(const char *run_dir, const char *const *words)
{
	const char *argv[WORDS_MAX + 1] = { "sluice" };
	unsigned n = 1;
	char path[4096];
	int status = 0, rc;
	posix_spawn_file_actions_t actions;
	pid_t pid;

	if (run_dir) {
		argv[n++] = "--run-dir";
		argv[n++] = run_dir;
	}
	while (*words && n < WORDS_MAX)
		argv[n++] = *words++;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0); /* ours is for the report */
	rc = posix_spawnp(&pid, sluice_path(path, sizeof(path)), &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (rc) {
		fprintf(stderr, "sluice-perf: error: cannot start sluice: %s; put it into PATH\n", strerror(rc));
		return -EIO;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EIO;
}

static const struct {
	const char *name;
	double part;
} percentiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p99", 0.99 }, { "p999", 0.999 } };

void print_latency_json(const struct histogram *h, double tsc_per_ns)
{
	printf("\"unit\": \"us\", \"samples\": %lu, \"min\": %.3f", h->n, (double)h->min / tsc_per_ns / 1e3);
	for (unsigned i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		printf(", \"%s\": %.3f", percentiles[i].name, (double)histogram_percentile(h, percentiles[i].part) / tsc_per_ns / 1e3);
	printf(", \"max\": %.3f", (double)h->max / tsc_per_ns / 1e3);
}

void print_latency(const struct histogram *h, double tsc_per_ns)
{
	printf("  latency µs: min %.2f", (double)h->min / tsc_per_ns / 1e3);
	for (unsigned i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
		printf("  %s %.2f", percentiles[i].name, (double)histogram_percentile(h, percentiles[i].part) / tsc_per_ns / 1e3);
	printf("  max %.2f  (%lu samples)\n", (double)h->max / tsc_per_ns / 1e3, h->n);
}
