/* SPDX-License-Identifier: BSD-3-Clause */
/* The main loop: epoll over file descriptors with a callback each. One thread; callbacks run with hv_lock held. */
#ifndef SLUICE_LOOP_H
#define SLUICE_LOOP_H

#include <stdint.h>

typedef void loop_fn(int fd, uint32_t epoll_events, void *arg);

int loop_add(int fd, uint32_t epoll_events, loop_fn *fn, void *arg);
int loop_modify(int fd, uint32_t epoll_events);
void loop_remove(int fd); /* safe inside a callback, also for another fd; does not close it */
int loop_run(void);       /* until loop_stop; 0 or -errno */
void loop_stop(void);     /* async-signal-safe */

#endif
