/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dom0's CPU time, in Xen's own nanoseconds, while a Linux guest does something: dom0cpu TTY LOG SECONDS COMMAND. Like the script `guest` it types the command on the
 * guest's console and waits for its end in the console's log, but without starting a process every 50 ms, which would be most of what is measured.
 * Prints {"idle_ns", "idle_wall_ns", "cpu_ns", "wall_ns", "status"}: first a quiet time, with the same waiting, then the command and what is still on its way after it.
 * Built by images.py, started by scenarios/cpu.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xenctrl.h>

#define QUIET_MS 1000
#define AFTER_MS 200
#define LOOK_MS 100
#define TAIL 256

struct reading {
	uint64_t cpu, wall; /* ns */
};

static void die(const char *what)
{
	fprintf(stderr, "dom0cpu: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Of a vCPU that runs now, Xen counts what it has run until now. */
static struct reading now(xc_interface *xc)
{
	xc_dominfo_t info;
	struct timespec t;

	if (xc_domain_getinfo(xc, 0, 1, &info) != 1)
		die("xc_domain_getinfo");
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (struct reading){info.cpu_time, (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec};
}

static unsigned long long ns(uint64_t value)
{
	return value;
}

static void nap(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* The status that the guest's shell says behind the mark, in the last bytes of the log; -1 while it says none. */
static int ended(int log, const char *mark)
{
	char tail[TAIL + 1], *found;
	struct stat st;
	ssize_t got;

	if (fstat(log, &st))
		die("the guest's log");
	got = pread(log, tail, TAIL, st.st_size > TAIL ? st.st_size - TAIL : 0);
	tail[got < 0 ? 0 : got] = '\0';
	found = strstr(tail, mark);
	return found && strchr(found, '\n') ? atoi(found + strlen(mark)) : -1;
}

/* Looks that often for so long, or until the mark is there. */
static int wait_for(int log, const char *mark, unsigned ms)
{
	int status = -1;

	for (unsigned waited = 0; waited < ms && status < 0; waited += LOOK_MS) {
		nap(LOOK_MS);
		status = ended(log, mark);
	}
	return status;
}

int main(int argc, char **argv)
{
	xc_interface *xc = xc_interface_open(NULL, NULL, 0);
	int tty = argc == 5 ? open(argv[1], O_WRONLY | O_NOCTTY) : -1, log = tty < 0 ? -1 : open(argv[2], O_RDONLY), status;
	struct reading quiet, before, after;
	char mark[32];

	if (!xc || tty < 0 || log < 0)
		die("usage: dom0cpu TTY LOG SECONDS COMMAND");
	snprintf(mark, sizeof(mark), "__RC %d ", (int)getpid());
	quiet = now(xc);
	wait_for(log, mark, QUIET_MS);
	before = now(xc);
	dprintf(tty, "%d %s\n", (int)getpid(), argv[4]);
	status = wait_for(log, mark, (unsigned)atoi(argv[3]) * 1000);
	wait_for(log, "\1", AFTER_MS);
	after = now(xc);
	printf("{\"idle_ns\": %llu, \"idle_wall_ns\": %llu, ", ns(before.cpu - quiet.cpu), ns(before.wall - quiet.wall));
	printf("\"cpu_ns\": %llu, \"wall_ns\": %llu, \"status\": %d}\n", ns(after.cpu - before.cpu), ns(after.wall - before.wall), status);
	return status != 0;
}
