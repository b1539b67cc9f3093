/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The console: the two byte rings that start_info names, read by the toolstack's console daemon. Until they are there, and when the domain crashes before,
 * output goes to the hypervisor's own log (console_io). Called by everything that prints, and by main.c for what is typed.
 */
#include "kernel.h"
#include "hypercall.h"
#include "printf.h"
#include <sluice/shm.h>
#include <stdarg.h>

#define LINE_MAX 320u
#define FULL_YIELDS 2000u /* a reader that does not come loses output: the guest never hangs for it */

static struct xencons_interface *ring;
static evtchn_t port;
static char typed[LINE_MAX];
static unsigned typed_len;
static bool line_given; /* typed holds a line that was handed out */

void console_init(void)
{
	ring = mm_frame_va(start_info->console.domU.mfn);
	port = start_info->console.domU.evtchn;
	if (ring)
		events_unmask(port);
}

static void to_hypervisor(const char *text, size_t n)
{
	hypercall3(__HYPERVISOR_console_io, CONSOLEIO_write, n, (uintptr_t)text);
}

/* Room in the output ring; yields to its reader for a while when there is none. */
static uint32_t room(uint32_t prod)
{
	for (unsigned i = 0;; i++) {
		uint32_t waiting = prod - shm_load_acquire(&ring->out_cons);

		if (waiting < sizeof(ring->out))
			return (uint32_t)sizeof(ring->out) - waiting;
		if (i == FULL_YIELDS)
			return 0;
		events_notify(port);
		sched_op(SCHEDOP_yield, NULL);
	}
}

void console_write(const char *text, size_t n)
{
	uint32_t prod;

	if (!ring) {
		to_hypervisor(text, n);
		return;
	}
	prod = shm_load(&ring->out_prod);
	while (n) {
		uint32_t space = room(prod);

		if (!space)
			break;
		for (; space && n; space--, n--)
			shm_store(&ring->out[prod++ % sizeof(ring->out)], *text++);
		shm_store_release(&ring->out_prod, prod); /* orders: the bytes before the index */
	}
	events_notify(port);
}

void console_drain(void)
{
	if (!ring)
		return;
	for (unsigned i = 0; i < FULL_YIELDS && shm_load(&ring->out_cons) != shm_load(&ring->out_prod); i++)
		sched_op(SCHEDOP_yield, NULL);
}

/* A line longer than the buffer is cut: the rest of it is dropped. True at its end. */
static bool type_char(char c)
{
	if (c == '\n' || c == '\r')
		return typed_len > 0;
	if (typed_len < LINE_MAX - 1)
		typed[typed_len++] = c;
	return false;
}

const char *console_line(void)
{
	uint32_t cons, prod;
	bool end = false;

	if (!ring)
		return NULL;
	events_take(port);
	if (line_given)
		typed_len = 0;
	line_given = false;
	cons = shm_load(&ring->in_cons);
	prod = shm_load_acquire(&ring->in_prod);
	if (cons == prod || prod - cons > sizeof(ring->in))
		return NULL;
	while (!end && cons != prod)
		end = type_char(shm_load(&ring->in[cons++ % sizeof(ring->in)]));
	shm_store_release(&ring->in_cons, cons); /* orders: our loads of the bytes before their slots are free */
	events_notify(port);
	if (!end)
		return NULL;
	typed[typed_len] = '\0';
	line_given = true;
	return typed;
}

void print_line(const char *fmt, ...)
{
	char line[LINE_MAX];
	va_list args;
	size_t n;

	va_start(args, fmt);
	n = format_text(line, sizeof(line) - 1, fmt, args);
	va_end(args);
	line[n++] = '\n';
	console_write(line, n);
}
