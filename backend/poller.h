/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loop of one core: polls what is busy, runs it to completion, and sleeps when nothing is. Everything of the back end that touches a ring,
 * a bridge port or a device runs inside such a loop.
 *
 * Several lcores have a poller each. An item belongs to one of them and is polled by no other. The first poller also has the devices' handshakes, timers of
 * the back end, file descriptors and uplinks. Whatever makes, changes or ends what another poller's items use is done by the first one's thread between
 * poller_pause and poller_resume, while the others stand still between two rounds: so the items themselves need no lock for it. Calls about a poller are its own
 * thread's, or the first one's in a pause; poller_kick and poller_notify are everybody's.
 *
 * An item (a queue of a vif or vbd) is polled only while it is active. It becomes active when its event channel fires or somebody activates it, and leaves
 * after it has found nothing to do for a while: then it arms its ring, so that the peer notifies again. An idle item costs nothing.
 * Uplinks are polled whenever the loop is awake. When no item is active and nothing came for the spinning time, the loop sleeps in epoll. The spinning time
 * adapts: it doubles when sleep ended at once, and halves when sleep was long. Items that wait for something slow have no part in that: on a virtual machine their storage is
 * served by a core that spinning may take away.
 */
#ifndef BACKEND_POLLER_H
#define BACKEND_POLLER_H

#include <bridge/uplink.h>
#include <sluice/hv.h>
#include <sys/queue.h>

struct poller;

struct poll_item {
	/* Do one bounded burst; how much was done (0: nothing to do). Must not free any item. */
	unsigned (*poll)(struct poll_item *item);
	/* Ask the peer for an event at the next change. True when there is something to do already: the item stays active. */
	bool (*arm)(struct poll_item *item);
	/* The owner's, any time: what it waits for takes so long (a disk's answers) that it sleeps at once rather than being polled on. */
	bool slow;
	/* poller's own; zeroed by the owner at first */
	bool active;
	bool busy;           /* its last poll found work */
	uint64_t rest_until; /* TSC: armed when it has found none until then */
	TAILQ_ENTRY(poll_item) next;
	bool kicked;
	struct poll_item *next_kicked;
};

/* Something to be called once, later. */
struct poll_timer {
	void (*fire)(struct poll_timer *timer);
	/* poller's own; zeroed by the owner at first */
	bool set;
	uint64_t at; /* TSC */
	TAILQ_ENTRY(poll_timer) next;
};

/* A file descriptor that is looked at every millisecond or so, and wakes the loop. `ready` is called while it is readable. */
struct poll_fd {
	int fd;
	void (*ready)(struct poll_fd *pfd);
};

/* flush is called at the end of each round that may have moved packets. 0 or -errno. */
int poller_create(struct hv *hv, void (*flush)(void *ctx), void *ctx, struct poller **out);
/* One more, for another lcore. Destroy `first` last. */
int poller_create_beside(struct poller *first, struct poller **out);
void poller_destroy(struct poller *p); /* NULL is fine; closes its event channels */

/* Only in the first poller's thread; p is the first. Returns when none of the others is in a round or will begin one. Pauses nest. */
void poller_pause(struct poller *p);
void poller_resume(struct poller *p);

/* Bind to an event channel of a guest; its firing activates the item. */
int poller_bind(struct poller *p, struct poll_item *item, domid_t domid, evtchn_t remote, evtchn_t *port);
void poller_unbind(struct poller *p, evtchn_t port); /* 0 is fine */
/* Raise it at the guest; from any thread. */
void poller_notify(struct poller *p, evtchn_t port);

/* Poll this item from now on. Fine when it is active already, and from within any callback. */
void poller_activate(struct poller *p, struct poll_item *item);
/* The same from any thread; wakes the poller. Taken in its next round, after everything that the caller wrote before. */
void poller_kick(struct poller *p, struct poll_item *item);
/* Forget it; call before it is freed, never from its own poll or arm. */
void poller_remove(struct poller *p, struct poll_item *item);

/* Fire in `us` microseconds (0: in this round or the next), instead of when it was set to before. */
void poller_timer_set(struct poller *p, struct poll_timer *timer, uint64_t us);
void poller_timer_cancel(struct poller *p, struct poll_timer *timer);

int poller_add_fd(struct poller *p, struct poll_fd *pfd);
void poller_remove_fd(struct poller *p, struct poll_fd *pfd);
/* This lcore's part of an uplink; -ENOSPC. */
int poller_add_uplink(struct poller *p, struct uplink *u, unsigned lcore);

/* One round; with may_sleep, sleeps first when there is nothing to do. */
void poller_round(struct poller *p, bool may_sleep);
/* Rounds until poller_stop, which any thread may call. */
void poller_run(struct poller *p);
void poller_stop(struct poller *p);

struct poller_stats {
	uint64_t rounds, sleeps, events, spin_us;
};
void poller_stats(struct poller *p, struct poller_stats *out);
/* Is it asleep now? From any thread. */
bool poller_asleep(const struct poller *p);

#endif
