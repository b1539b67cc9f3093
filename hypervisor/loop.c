/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The main loop (loop.h). A slot per file descriptor, indexed by its number; every add and remove changes the slot's generation,
 * which travels in the epoll event: an event that was fetched before its descriptor was removed finds another generation and is
 * dropped, even when the number has been used anew in between.
 */
#include "loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "domain.h"

#define LOOP_BATCH 64

struct slot {
	loop_fn *fn; /* NULL: not in the loop */
	void *arg;
	uint32_t generation;
};

static struct slot *slots;
static unsigned nr_slots;
static int epoll_fd = -1;
static int stop_fd = -1;
static volatile bool stopping;

static int loop_open(void)
{
	struct epoll_event ev = { .events = EPOLLIN };

	if (epoll_fd >= 0)
		return 0;
	if (stop_fd < 0)
		stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (stop_fd < 0)
		return -errno;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return -errno;
	ev.data.u64 = (uint32_t)stop_fd;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, stop_fd, &ev)) {
		int rc = -errno;

		close(epoll_fd);
		epoll_fd = -1;
		return rc;
	}
	return 0;
}

static int slots_reach(int fd)
{
	unsigned want = nr_slots ? nr_slots : 64;
	struct slot *grown;

	if ((unsigned)fd < nr_slots)
		return 0;
	while (want <= (unsigned)fd)
		want *= 2;
	grown = realloc(slots, want * sizeof(*slots));
	if (!grown)
		return -ENOMEM;
	memset(grown + nr_slots, 0, (want - nr_slots) * sizeof(*slots));
	slots = grown;
	nr_slots = want;
	return 0;
}

static struct slot *slot_of(int fd)
{
	return fd >= 0 && (unsigned)fd < nr_slots && slots[fd].fn ? &slots[fd] : NULL;
}

static int slot_ctl(int op, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = (uint64_t)slots[fd].generation << 32 | (uint32_t)fd };

	return epoll_ctl(epoll_fd, op, fd, &ev) ? -errno : 0;
}

int loop_add(int fd, uint32_t epoll_events, loop_fn *fn, void *arg)
{
	int rc;

	if (fd < 0 || !fn)
		return -EINVAL;
	if (slot_of(fd))
		return -EEXIST;
	rc = loop_open();
	if (!rc)
		rc = slots_reach(fd);
	if (rc)
		return rc;
	slots[fd].generation++;
	rc = slot_ctl(EPOLL_CTL_ADD, fd, epoll_events);
	if (rc)
		return rc;
	slots[fd].fn = fn;
	slots[fd].arg = arg;
	return 0;
}

int loop_modify(int fd, uint32_t epoll_events)
{
	return slot_of(fd) ? slot_ctl(EPOLL_CTL_MOD, fd, epoll_events) : -ENOENT;
}

void loop_remove(int fd)
{
	struct slot *s = slot_of(fd);

	if (!s)
		return;
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	s->fn = NULL;
	s->generation++;
}

static void dispatch(const struct epoll_event *ev)
{
	int fd = (int)(uint32_t)ev->data.u64;
	struct slot *s;

	hv_lock_acquire();
	s = slot_of(fd);
	if (s && s->generation == ev->data.u64 >> 32)
		s->fn(fd, ev->events, s->arg);
	hv_lock_release();
}

int loop_run(void)
{
	struct epoll_event ev[LOOP_BATCH];
	int rc = loop_open();

	while (!rc && !stopping) {
		int n = epoll_wait(epoll_fd, ev, LOOP_BATCH, -1);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		for (int i = 0; i < n && !stopping; i++)
			if (ev[i].data.u64 != (uint32_t)stop_fd)
				dispatch(&ev[i]);
	}
	if (stopping) { /* the next run starts afresh */
		uint64_t told;

		if (read(stop_fd, &told, sizeof(told)) < 0 && errno != EAGAIN)
			rc = rc ? rc : -errno;
		stopping = false;
	}
	return rc;
}

void loop_stop(void)
{
	uint64_t one = 1;
	int saved = errno;

	stopping = true;
	if (stop_fd >= 0 && write(stop_fd, &one, sizeof(one)) < 0)
		stopping = true; /* the counter is full: it is readable all the same */
	errno = saved;
}
