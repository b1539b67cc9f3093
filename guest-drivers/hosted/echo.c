/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluice-hosted-echo: a process on the network as a domain of its own: it answers ARP, ping and UDP port 7, with the stack of the minimal kernel
 * (guest-drivers/kernel/net.c). An example of hosted.h, and what tests/system/test_hosted.py runs.
 *
 *	sluice-hosted-echo NAME IP [RUN_DIR] &      sluice network-attach NAME mac=00:16:3e:00:00:21
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest-drivers/kernel/kernel.h"
#include "guest-drivers/kernel/net.h"
#include "hosted.h"

#define MEMORY_MIB 8
#define PREFIX 24

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
	(void)sig;
	stopped = 1;
	hosted_kick();
}

/* What the kernel's parts say. */
void print_line(const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	printf("%s\n", text);
	fflush(stdout);
}

static int serve(struct xenbus *xb, uint32_t ip)
{
	if (!xb || net_init(xb, ip, PREFIX, 0, 1)) {
		fprintf(stderr, "error: no memory\n");
		return 1;
	}
	while (!stopped && !hosted_lost())
		if (!net_poll() && net_arm(false))
			port_wait(UINT64_MAX);
	netfront_destroy(net_vif());
	return hosted_lost();
}

int main(int argc, char **argv)
{
	struct xenbus *xb;
	struct in_addr ip;
	int status;

	if (argc < 3 || argc > 4 || !inet_aton(argv[2], &ip)) {
		fprintf(stderr, "usage: %s NAME IP [RUN_DIR]\n", argv[0]);
		return 2;
	}
	if (hosted_attach(argc == 4 ? argv[3] : NULL, argv[1], MEMORY_MIB))
		return 1;
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	print_line("domain %u", hosted_domid());
	xb = xenbus_create();
	status = serve(xb, ntohl(ip.s_addr));
	xenbus_destroy(xb);
	hosted_detach();
	return status;
}
