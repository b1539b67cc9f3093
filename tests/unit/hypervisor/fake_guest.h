/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of what serves a guest's store and console pages without the rest of the hypervisor: a few frames of machine memory, domains
 * that only have those two pages, and the functions of mmu.c, event.c, domain.c and guest_access.c that the code under test calls.
 */
#ifndef TESTS_FAKE_GUEST_H
#define TESTS_FAKE_GUEST_H

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hypervisor/event.h"
#include "hypervisor/guest_access.h"
#include "hypervisor/loop.h"
#include "hypervisor/machine.h"
#include "hypervisor/mmu.h"

#define FAKE_DOMAINS 16

static uint8_t fake_frames[2 * FAKE_DOMAINS][SLUICE_PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned fake_raised[FAKE_DOMAINS]; /* events that each domain got */
static unsigned fake_pages_held;           /* frames that are in use by the code under test */
static const char *fake_guest_memory = ""; /* what copy_from_guest reads */

struct machine machine = { .base = fake_frames[0], .nr_frames = 2 * FAKE_DOMAINS };
pthread_mutex_t hv_lock = PTHREAD_MUTEX_INITIALIZER;

void hv_lock_acquire(void)
{
	pthread_mutex_lock(&hv_lock);
}

void hv_lock_release(void)
{
	pthread_mutex_unlock(&hv_lock);
}

int mmu_get_granted(struct domain *d, mfn_t mfn, bool writable)
{
	(void)writable;
	fake_pages_held++;
	return mfn / 2 == d->domid ? 0 : -1;
}

void mmu_put_granted(struct domain *d, mfn_t mfn, bool writable)
{
	(void)d;
	(void)mfn;
	(void)writable;
	fake_pages_held--;
}

void evtchn_raise(struct domain *d, evtchn_t port)
{
	if (port == d->store_port || port == d->console_port)
		__atomic_fetch_add(&fake_raised[d->domid], 1, __ATOMIC_SEQ_CST);
}

int copy_from_guest(struct vcpu *v, void *dst, gva_t src, size_t n)
{
	(void)v;
	(void)src;
	if (n > strlen(fake_guest_memory))
		return -1;
	memcpy(dst, fake_guest_memory, n);
	return 0;
}

static inline struct domain *fake_domain(domid_t domid)
{
	struct domain *d = calloc(1, sizeof(*d));

	d->domid = domid;
	strcpy(d->name, "guest");
	d->name[5] = (char)('0' + domid % 10);
	d->store_mfn = 2u * domid;
	d->console_mfn = 2u * domid + 1;
	d->store_port = 1;
	d->console_port = 2;
	memset(fake_frames[2 * domid], 0, 2 * SLUICE_PAGE_SIZE);
	return d;
}

static inline void fake_stopper(int fd, uint32_t events, void *arg)
{
	uint64_t v;

	(void)events;
	(void)arg;
	if (read(fd, &v, sizeof(v)) > 0)
		loop_stop();
}

/* Let the main loop handle what is ready now; fd, unless -1, is an eventfd to write first. */
static inline void fake_loop_step(int fd)
{
	uint64_t one = 1;
	int stop = eventfd(1, EFD_NONBLOCK);

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		abort();
	loop_add(stop, EPOLLIN, fake_stopper, NULL);
	loop_run();
	loop_remove(stop);
	close(stop);
}

#endif
