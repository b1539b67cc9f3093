/* SPDX-License-Identifier: BSD-3-Clause */
/* The applications: what the kernel does once it is up, by its command line and by what is typed on its console. */
#ifndef GUEST_APP_H
#define GUEST_APP_H

#include <stdbool.h>
#include <stdint.h>

struct xenbus;

/* Runs for ever. */
void app_run(const char *command_line) __attribute__((noreturn));

/* ---- send.c: a UDP sender, a step at a time ---- */
/* "dst=10.0.0.3 size=64 seconds=3 rate=1000000": starts, or says what is wrong. */
void send_start(const char *arguments);
/* Send what may be sent now. True when something was; else *deadline is lowered to when it wants to be called again. */
bool send_step(uint64_t *deadline_ns);
/* Does it wait for room in the ring? */
bool send_wants_room(void);

/* ---- puppet.c: the guest's end of contract tests, one command a line ---- */
void puppet_start(struct xenbus *xb);
bool puppet_active(void);
/* Answers every line with one that starts with "puppet: ". */
void puppet_command(const char *line);
/* Note which of its ports fired, so that they do not keep the kernel awake. */
void puppet_poll(void);

#endif
