/* SPDX-License-Identifier: BSD-3-Clause */
/* The start of day, called by boot.S, and the end. Between the two, app_run (app.c) has the machine. */
#include "app.h"
#include "hypercall.h"
#include "kernel.h"

void kernel_main(start_info_t *si);

start_info_t *start_info;
struct shared_info *shared_info;

static uint8_t shared_info_page[SLUICE_PAGE_SIZE] __attribute__((aligned(SLUICE_PAGE_SIZE)));
static char command_line[MAX_GUEST_CMDLINE + 1];

void kernel_shutdown(unsigned reason)
{
	struct sched_shutdown op = { .reason = reason };

	console_drain();
	for (;;)
		sched_op(SCHEDOP_shutdown, &op);
}

static void start(const char *what, int rc)
{
	if (!rc)
		return;
	print_line("sluice-guest: cannot start %s (error %d): the domain ends as crashed", what, rc);
	kernel_shutdown(SHUTDOWN_crash);
}

void kernel_main(start_info_t *si)
{
	int rc;

	start_info = si;
	rc = mm_map_frame(shared_info_page, si->shared_info >> SLUICE_PAGE_SHIFT);
	start("the shared_info page", rc);
	shared_info = (struct shared_info *)shared_info_page;
	traps_init();
	start("events", events_init());
	start("memory", mm_init());
	console_init();
	start("the timer", time_init());
	start("the grant table", grant_init());
	for (unsigned i = 0; i < MAX_GUEST_CMDLINE; i++)
		command_line[i] = (char)si->cmd_line[i];
	app_run(command_line);
}
