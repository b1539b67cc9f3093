/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main loop and the commands. The loop polls the network and the disks while there is traffic and for a little while after, then lets other guests of its
 * core go first, then asks for events, looks once more, and sleeps: an idle guest costs nothing. Called by main.c.
 */
#include "app.h"
#include "blk.h"
#include "hypercall.h"
#include "kernel.h"
#include "net.h"
#include "string.h"
#include "text.h"
#include <sluice/port.h>

#define SPIN_NS 8000u      /* idle for less: the peer is about to answer */
#define GIVE_WAY_NS 60000u /* idle for less: it may need this core to answer. Longer: sleep; that and being woken cost more */
#define QUEUES 4u          /* most of the vif: half of our grants */

static struct xenbus *xb;
static int shutdown_watch;

static void command_report(const char *arguments)
{
	const struct net_count *c = net_count();

	(void)arguments;
	print_line("count: packets=%lu bytes=%lu lost=%lu first_ns=%lu last_ns=%lu", c->packets, c->bytes, c->lost, c->first_ns, c->last_ns);
}

static void command_reset(const char *arguments)
{
	(void)arguments;
	net_count_reset();
	print_line("reset: ok");
}

static void command_stats(const char *arguments)
{
	const struct netfront_stats *s = netfront_stats(net_vif());

	(void)arguments;
	print_line("stats: tx_packets=%lu tx_bytes=%lu tx_dropped=%lu tx_errors=%lu tx_lost=%lu rx_packets=%lu rx_bytes=%lu rx_errors=%lu connections=%lu "
		   "pages_left=%lu", s->tx_packets, s->tx_bytes, s->tx_dropped, s->tx_errors, s->tx_lost, s->rx_packets, s->rx_bytes, s->rx_errors,
		   s->connections, mm_pages_left());
	for (unsigned i = 0; i < netfront_queues(net_vif()); i++) {
		const struct netfront_queue_stats *q = netfront_queue_stats(net_vif(), i);

		print_line("queue%u: tx_packets=%lu rx_packets=%lu", i, q->tx_packets, q->rx_packets);
	}
}

static void command_echo(const char *arguments)
{
	(void)arguments;
	print_line("echo: ok");
}

static void command_poweroff(const char *arguments)
{
	(void)arguments;
	kernel_shutdown(SHUTDOWN_poweroff);
}

/* A fault that no trap handler of ours can take, because the stack is gone: the hypervisor must end the domain. */
static void command_crash(const char *arguments)
{
	(void)arguments;
	print_line("crash: as you wish");
	console_drain();
	__asm__ volatile("xor %%esp, %%esp\n\tud2" : : : "memory");
}

/* A fault that our own trap handler reports. */
static void command_fault(const char *arguments)
{
	(void)arguments;
	__asm__ volatile("movl $0, 8" : : : "memory");
}

static void command_puppet(const char *arguments)
{
	(void)arguments;
	puppet_start(xb);
}

static const struct {
	const char *word;
	void (*run)(const char *arguments);
} commands[] = {
	{ "echo", command_echo },   { "send", send_start },             { "report", command_report }, { "reset", command_reset },
	{ "stats", command_stats }, { "poweroff", command_poweroff },   { "crash", command_crash },   { "fault", command_fault },
	{ "puppet", command_puppet }, { "blk", blk_command },
};

static void run_command(const char *line)
{
	if (puppet_active())
		return puppet_command(line);
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const char *arguments = text_command(line, commands[i].word);

		if (arguments)
			return commands[i].run(arguments);
	}
	print_line("error: no such command: %s; there are echo, send, report, reset, stats, poweroff, crash, fault, puppet, blk", line);
}

static bool poll_console(void)
{
	const char *line = console_line();

	if (!line)
		return false;
	run_command(line);
	return true;
}

/* The toolstack asks us to end in control/shutdown: say that we heard (an empty value), then do it. */
static void poll_shutdown(void)
{
	char wish[16];

	if (!xenbus_watch_take(xb, shutdown_watch) || xenbus_read(xb, XENBUS_NO_TXN, "control", "shutdown", wish, sizeof(wish)) <= 0)
		return;
	xenbus_write(xb, XENBUS_NO_TXN, "control", "shutdown", "");
	if (!strcmp(wish, "poweroff") || !strcmp(wish, "halt"))
		kernel_shutdown(SHUTDOWN_poweroff);
	if (!strcmp(wish, "reboot"))
		kernel_shutdown(SHUTDOWN_reboot);
	print_line("error: control/shutdown says '%s', which this kernel does not do", wish);
}

static bool poll_all(uint64_t *deadline)
{
	bool work = net_poll();

	work |= poll_console();
	work |= send_step(deadline);
	work |= blk_poll(deadline);
	poll_shutdown();
	puppet_poll();
	return work;
}

static void loop(void)
{
	uint64_t idle_since = 0;

	for (;;) {
		uint64_t deadline = UINT64_MAX, now;

		if (poll_all(&deadline)) {
			idle_since = 0;
			continue;
		}
		now = port_now_ns();
		if (!idle_since)
			idle_since = now;
		if (now - idle_since < SPIN_NS)
			__builtin_ia32_pause();
		else if (now - idle_since < GIVE_WAY_NS)
			sched_op(SCHEDOP_yield, NULL);
		else if (net_arm(send_wants_room()) && blk_arm())
			port_wait(deadline);
	}
}

void app_run(const char *command_line)
{
	const char *command = text_rest(command_line, "app");
	char word[32];
	uint32_t ip = 0, gateway = 0;
	unsigned prefix = 24;
	uint64_t queues;

	if (text_value(command_line, "ip", word, sizeof(word)) && !text_parse_ip(word, &ip, &prefix))
		print_line("error: ip=%s is not of the form 10.0.0.2/24", word);
	if (text_value(command_line, "gateway", word, sizeof(word)) && !text_parse_ip(word, &gateway, NULL))
		print_line("error: gateway=%s is not of the form 10.0.0.1", word);
	if (!text_number(command_line, "queues", 1, &queues) || !queues || queues > QUEUES) {
		print_line("error: queues= is not a number from 1 to %u", QUEUES);
		queues = 1;
	}
	xb = xenbus_create();
	if (!xb || net_init(xb, ip, prefix, gateway, (unsigned)queues)) {
		print_line("error: not enough memory for the drivers");
		kernel_shutdown(SHUTDOWN_crash);
	}
	blk_init(xb);
	shutdown_watch = xenbus_watch(xb, "control", "shutdown");
	print_line("sluice-guest: ready, %lu pages, %lu free, on %s", mm_pages_total(), mm_pages_left(), start_info->magic);
	if (command)
		run_command(command);
	loop();
	__builtin_unreachable();
}
