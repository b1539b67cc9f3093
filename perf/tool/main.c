/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluice-perf: how fast are vifs and vbds here? It becomes one or two hosted domains (guest-drivers/hosted/hosted.h) of the sluiced that runs, has the
 * toolstack give them their devices, and measures as sample.h says. docs/performance.md has the method; scripts/perf compares with it.
 */
#include "tool.h"
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{ "net", net_main, "packets: from a guest, to a guest, guest to guest, round trips" },
	{ "blk", blk_main, "a disk: IOPS, bandwidth, latency" },
	{ "machine", machine_main, "the machine itself: cache line ping-pong" },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: sluice-perf COMMAND [OPTION...]; sluice-perf COMMAND --help says more\n");
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
}

int main(int argc, char **argv)
{
	bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));

	for (unsigned i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	usage(help ? stdout : stderr);
	return help ? 0 : 2;
}
