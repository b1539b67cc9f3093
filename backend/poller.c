/* SPDX-License-Identifier: BSD-3-Clause */
/* The loop: see poller.h. main.c runs it; netback registers its queues, device.c its timers. */
#include "poller.h"
#include <bridge/lcore.h>
#include <errno.h>
#include <pthread.h>
#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PORTS_MAX (1u << 17) /* as many as Xen's FIFO event channels */
#define EVENTS 64u
#define UPLINKS 16u
#define SPIN_MIN_US 20u
#define SPIN_MAX_US 200u
#define SPIN_FD_US 5u     /* for ever, where each wake-up is the kernel's work (HV_CAP_EVENT_FD): a sleep costs about as much there, and the guest may want the core */
#define BREATH_US 50u     /* after a lot of work where wake-ups are dear: what comes meanwhile comes without an event */
#define BREATH_WORK 16u   /* a lot in one round: a packet of 64 KiB has 17 slots */
#define FD_CHECK_US 1000u /* how often a busy loop looks at its file descriptors */
#define FDS_READY 16      /* looked at in one go */
#define NAP_US 2000u      /* sleep while an uplink has no descriptor to wait for */

struct poller {
	struct hv *hv;
	struct hv_evtchn *events;
	void (*flush)(void *ctx);
	void *flush_ctx;
	int epoll;
	struct epoll_event ready[FDS_READY]; /* being dealt with */
	int nr_ready;
	bool stop;
	/* several of them */
	struct poller *first, *beside; /* the first one, and the next in the list that begins there */
	pthread_mutex_t gate;          /* the first one's: held during a pause; who waits for its end waits for this */
	bool paused;                   /* the first one's */
	unsigned pauses;               /* the first one's: how deep */
	bool running;                  /* in poller_run, and neither asleep nor waiting for the end of a pause */
	/* what others want polled */
	rte_spinlock_t kick_lock;
	struct poll_item *kicks;
	bool asleep;
	struct poll_fd wake;           /* an eventfd */
	TAILQ_HEAD(, poll_item) active;
	TAILQ_HEAD(, poll_timer) timers;
	struct poll_item **by_port;
	uint32_t nr_ports;
	struct {
		struct uplink *uplink;
		unsigned lcore;
	} uplink[UPLINKS];
	unsigned nr_uplinks;
	bool nap; /* an uplink without a descriptor: sleep in short naps */
	bool fd_tells; /* HV_CAP_EVENT_FD */
	uint64_t tsc_per_us;
	uint64_t spin;       /* TSC */
	bool busy;           /* the last round found work, of items that are not slow */
	bool slow;           /* since the last sleep, slow items had work */
	bool plenty;         /* and a round found a lot of work */
	uint64_t rest_from;  /* TSC of the first round that found none */
	uint64_t next_fds;   /* TSC */
	struct poller_stats stats;
};

/* The event channels' descriptor only ends the sleep: events are fetched in each round. */
static struct poll_fd wake_only = {.fd = -1};

static int watch_fd(struct poller *p, int fd, void *ctx)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = ctx};

	return epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &ev) == 0 ? 0 : -errno;
}

static void wake_drain(struct poll_fd *pfd)
{
	eventfd_t count;

	eventfd_read(pfd->fd, &count);
}

static int open_wake(struct poller *p)
{
	int rc;

	p->wake = (struct poll_fd){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = wake_drain};
	if (p->wake.fd < 0)
		return -errno;
	rc = watch_fd(p, p->wake.fd, &p->wake);
	if (rc)
		close(p->wake.fd);
	return rc;
}

int poller_create(struct hv *hv, void (*flush)(void *ctx), void *ctx, struct poller **out)
{
	struct poller *p = calloc(1, sizeof(*p));
	int rc = -ENOMEM;

	if (!p)
		return rc;
	p->hv = hv;
	p->fd_tells = hv->ops->caps(hv) & HV_CAP_EVENT_FD;
	p->flush = flush;
	p->flush_ctx = ctx;
	p->tsc_per_us = rte_get_tsc_hz() / 1000000 ? rte_get_tsc_hz() / 1000000 : 1000;
	p->spin = (p->fd_tells ? SPIN_FD_US : SPIN_MIN_US) * p->tsc_per_us;
	TAILQ_INIT(&p->active);
	TAILQ_INIT(&p->timers);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (p->epoll < 0) {
		rc = -errno;
		goto free_poller;
	}
	rc = open_wake(p);
	if (rc)
		goto close_epoll;
	rc = hv->ops->evtchn_open(hv, &p->events);
	if (rc)
		goto close_wake;
	rc = watch_fd(p, hv->ops->evtchn_fd(p->events), &wake_only);
	if (rc)
		goto close_events;
	p->first = p;
	pthread_mutex_init(&p->gate, NULL);
	*out = p;
	return 0;

close_events:
	hv->ops->evtchn_close(p->events);
close_wake:
	close(p->wake.fd);
close_epoll:
	close(p->epoll);
free_poller:
	free(p);
	return rc;
}

int poller_create_beside(struct poller *first, struct poller **out)
{
	int rc = poller_create(first->hv, first->flush, first->flush_ctx, out);

	if (rc)
		return rc;
	(*out)->first = first;
	(*out)->beside = first->beside;
	first->beside = *out;
	return 0;
}

static void leave_first(struct poller *p)
{
	struct poller *before = p->first;

	while (before->beside != p)
		before = before->beside;
	before->beside = p->beside;
}

void poller_destroy(struct poller *p)
{
	if (!p)
		return;
	if (p->first != p)
		leave_first(p);
	p->hv->ops->evtchn_close(p->events);
	pthread_mutex_destroy(&p->gate);
	close(p->wake.fd);
	close(p->epoll);
	free(p->by_port);
	free(p);
}

/* ---- pauses ---- */

/* Begin rounds, after the end of a pause. The gate orders: what was changed in the pause before our look at it. */
static void enter(struct poller *p)
{
	struct poller *first = p->first;

	if (p == first)
		return;
	pthread_mutex_lock(&first->gate);
	__atomic_store_n(&p->running, true, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&first->gate);
}

/* No round until `enter`. Orders: all that we did before poller_pause returns. */
static void leave(struct poller *p)
{
	__atomic_store_n(&p->running, false, __ATOMIC_RELEASE);
}

static void stand_aside(struct poller *p)
{
	if (!__atomic_load_n(&p->first->paused, __ATOMIC_RELAXED) || p == p->first || !p->running)
		return;
	leave(p);
	enter(p);
}

void poller_pause(struct poller *p)
{
	if (p->pauses++)
		return;
	pthread_mutex_lock(&p->gate);
	__atomic_store_n(&p->paused, true, __ATOMIC_RELAXED);
	for (struct poller *other = p->beside; other; other = other->beside)
		for (unsigned tries = 1; __atomic_load_n(&other->running, __ATOMIC_ACQUIRE); tries++)
			tries % 1024 ? rte_pause() : (void)sched_yield();
}

void poller_resume(struct poller *p)
{
	if (--p->pauses)
		return;
	__atomic_store_n(&p->paused, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&p->gate);
}

/* ---- items and their events ---- */

/* Room for `port` in the table of who hears it. */
static int ports_grow(struct poller *p, evtchn_t port)
{
	uint32_t nr = p->nr_ports ? p->nr_ports : 256;
	struct poll_item **table;

	if (port < p->nr_ports)
		return 0;
	if (port >= PORTS_MAX)
		return -ENOSPC;
	while (nr <= port)
		nr *= 2;
	table = realloc(p->by_port, nr * sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table + p->nr_ports, 0, (nr - p->nr_ports) * sizeof(*table));
	p->by_port = table;
	p->nr_ports = nr;
	return 0;
}

int poller_bind(struct poller *p, struct poll_item *item, domid_t domid, evtchn_t remote, evtchn_t *port)
{
	int rc = p->hv->ops->evtchn_bind(p->events, domid, remote, port);

	if (rc == 0)
		rc = ports_grow(p, *port);
	else
		*port = 0;
	if (rc && *port) {
		p->hv->ops->evtchn_unbind(p->events, *port);
		*port = 0;
	}
	if (rc == 0)
		p->by_port[*port] = item;
	return rc;
}

void poller_unbind(struct poller *p, evtchn_t port)
{
	if (!port)
		return;
	p->by_port[port] = NULL;
	p->hv->ops->evtchn_unbind(p->events, port);
}

void poller_notify(struct poller *p, evtchn_t port)
{
	p->hv->ops->evtchn_notify(p->events, port); /* a guest that closed its end misses its own events */
}

void poller_activate(struct poller *p, struct poll_item *item)
{
	if (item->active)
		return;
	item->active = item->busy = true;
	TAILQ_INSERT_TAIL(&p->active, item, next);
}

static void deactivate(struct poller *p, struct poll_item *item)
{
	if (!item->active)
		return;
	item->active = false;
	TAILQ_REMOVE(&p->active, item, next);
}

static void wake(struct poller *p)
{
	eventfd_write(p->wake.fd, 1);
}

void poller_kick(struct poller *p, struct poll_item *item)
{
	bridge_lock(&p->kick_lock);
	if (!item->kicked) {
		item->kicked = true;
		item->next_kicked = p->kicks;
		__atomic_store_n(&p->kicks, item, __ATOMIC_RELAXED);
	}
	bridge_unlock(&p->kick_lock);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our kick before our look at asleep: sleep_a_while does it the other way round */
	if (__atomic_load_n(&p->asleep, __ATOMIC_RELAXED))
		wake(p);
}

static void take_kicks(struct poller *p)
{
	struct poll_item *item, *following;

	if (!__atomic_load_n(&p->kicks, __ATOMIC_RELAXED))
		return;
	bridge_lock(&p->kick_lock);
	for (item = p->kicks; item; item = following) {
		following = item->next_kicked;
		item->kicked = false;
		poller_activate(p, item);
	}
	p->kicks = NULL;
	bridge_unlock(&p->kick_lock);
}

void poller_remove(struct poller *p, struct poll_item *item)
{
	take_kicks(p); /* it may be among them */
	deactivate(p, item);
	for (uint32_t i = 0; i < p->nr_ports; i++)
		if (p->by_port[i] == item)
			p->by_port[i] = NULL;
}

/* Activate what fired; how many there were. At most as many as fit the array: the rest comes in the next round. */
static unsigned take_events(struct poller *p, bool arm)
{
	evtchn_t ports[EVENTS];
	unsigned n = p->hv->ops->evtchn_pending(p->events, ports, EVENTS, arm);

	for (unsigned i = 0; i < n; i++)
		if (ports[i] < p->nr_ports && p->by_port[ports[i]])
			poller_activate(p, p->by_port[ports[i]]);
	p->stats.events += n;
	return n;
}

/* Idle time counts from the first poll that found nothing: the work before it may have taken longer than any spin, or have lost the core. */
static void rest(struct poller *p, struct poll_item *item, uint64_t now)
{
	item->busy = false;
	item->rest_until = item->slow ? now : now + p->spin;
}

static unsigned poll_items(struct poller *p, uint64_t now)
{
	struct poll_item *item, *following;
	unsigned work = 0;

	for (item = TAILQ_FIRST(&p->active); item; item = following) {
		unsigned n = item->poll(item);

		following = TAILQ_NEXT(item, next);
		work += item->slow ? 0 : n;
		p->slow |= n && item->slow;
		if (n)
			item->busy = true;
		else if (item->busy)
			rest(p, item, now);
		else if (now > item->rest_until && !(item->slow && p->busy) && !item->arm(item)) /* beside busy ones a slow item costs little, and descriptors are looked at rarely */
			deactivate(p, item);
	}
	return work;
}

/* ---- timers ---- */

void poller_timer_set(struct poller *p, struct poll_timer *timer, uint64_t us)
{
	poller_timer_cancel(p, timer);
	timer->set = true;
	timer->at = rte_rdtsc() + us * p->tsc_per_us;
	TAILQ_INSERT_TAIL(&p->timers, timer, next);
}

void poller_timer_cancel(struct poller *p, struct poll_timer *timer)
{
	if (!timer->set)
		return;
	timer->set = false;
	TAILQ_REMOVE(&p->timers, timer, next);
}

/* Only the timers that are due now: one that is set anew by its own callback waits for the next round. A callback may free other timers, so
 * the list is looked through from its head each time; few are ever set. */
static void fire_timers(struct poller *p, uint64_t now)
{
	struct poll_timer *timer = TAILQ_FIRST(&p->timers);

	while (timer) {
		if (timer->at <= now) {
			poller_timer_cancel(p, timer);
			timer->fire(timer);
			timer = TAILQ_FIRST(&p->timers);
		} else {
			timer = TAILQ_NEXT(timer, next);
		}
	}
}

/* Microseconds to the next timer, or until it is time for a look at what cannot wake us. */
static uint64_t sleep_us(struct poller *p, uint64_t now)
{
	uint64_t most = !TAILQ_EMPTY(&p->active) ? BREATH_US : p->nap ? NAP_US : 3600000000;
	struct poll_timer *timer;

	TAILQ_FOREACH(timer, &p->timers, next) {
		uint64_t us = timer->at > now ? (timer->at - now) / p->tsc_per_us + 1 : 0;

		most = us < most ? us : most;
	}
	return most;
}

/* ---- file descriptors and uplinks ---- */

int poller_add_fd(struct poller *p, struct poll_fd *pfd)
{
	return watch_fd(p, pfd->fd, pfd);
}

void poller_remove_fd(struct poller *p, struct poll_fd *pfd)
{
	epoll_ctl(p->epoll, EPOLL_CTL_DEL, pfd->fd, NULL);
	for (int i = 0; i < p->nr_ready; i++)
		if (p->ready[i].data.ptr == pfd)
			p->ready[i].data.ptr = &wake_only; /* it may be gone when its turn comes */
}

int poller_add_uplink(struct poller *p, struct uplink *u, unsigned lcore)
{
	int fd = uplink_wait_fd(u, lcore);

	if (p->nr_uplinks == UPLINKS)
		return -ENOSPC;
	p->uplink[p->nr_uplinks].uplink = u;
	p->uplink[p->nr_uplinks++].lcore = lcore;
	if (fd < 0 && lcore < uplink_queues(u))
		p->nap = true;
	return fd < 0 ? 0 : watch_fd(p, fd, &wake_only);
}

static unsigned poll_uplinks(struct poller *p)
{
	unsigned work = 0;

	for (unsigned i = 0; i < p->nr_uplinks; i++)
		work += uplink_poll(p->uplink[i].uplink, p->uplink[i].lcore);
	return work;
}

/* For less than a millisecond, where the kernel can (since Linux 5.11; valgrind cannot), else for whole ones. */
static int wait_epoll(struct poller *p, struct epoll_event *ready, int most, uint64_t us)
{
	struct timespec t = {.tv_nsec = (long)(us * 1000)};
	int nr;

	if (us == 0 || us >= 1000)
		return epoll_wait(p->epoll, ready, most, (int)((us + 999) / 1000));
	nr = epoll_pwait2(p->epoll, ready, most, &t, NULL);
	return nr < 0 && errno == ENOSYS ? epoll_wait(p->epoll, ready, most, 1) : nr;
}

/* How many were ready. */
static int wait_fds(struct poller *p, uint64_t us)
{
	int nr = wait_epoll(p, p->ready, FDS_READY, us);

	p->nr_ready = nr;
	for (int i = 0; i < p->nr_ready; i++) {
		struct poll_fd *pfd = p->ready[i].data.ptr;

		if (pfd->ready)
			pfd->ready(pfd);
	}
	p->nr_ready = 0;
	p->next_fds = rte_rdtsc() + FD_CHECK_US * p->tsc_per_us;
	return nr;
}

/* ---- the loop ---- */

/* A sleep that ends within what we could have spun was not worth its wake-up: spin longer. One that lasts shows that spinning is waste. */
static void adapt_spin(struct poller *p, uint64_t slept)
{
	if (slept < SPIN_MAX_US * p->tsc_per_us)
		p->spin *= 2;
	else
		p->spin /= 2;
	if (p->spin > SPIN_MAX_US * p->tsc_per_us)
		p->spin = SPIN_MAX_US * p->tsc_per_us;
	if (p->spin < SPIN_MIN_US * p->tsc_per_us)
		p->spin = (p->fd_tells ? SPIN_FD_US : SPIN_MIN_US) * p->tsc_per_us;
}

static bool stopped(const struct poller *p)
{
	return __atomic_load_n(&p->stop, __ATOMIC_RELAXED);
}

/* Others may pause us meanwhile. Nothing that wakes us is dealt with before that is over. False: only the time was over. */
static bool doze(struct poller *p, uint64_t us)
{
	struct epoll_event ready;
	bool running = p->running;
	int nr;

	if (!running)
		return wait_fds(p, us) != 0;
	leave(p);
	nr = wait_epoll(p, &ready, 1, us);
	enter(p);
	wait_fds(p, 0);
	return nr != 0;
}

/* What is to follow a sleep: spinning, in which more work may come, or the next sleep at once. */
static void wake_up(struct poller *p, uint64_t from, bool woken)
{
	p->rest_from = rte_rdtsc();
	if (p->slow || (p->nap && !woken))
		p->rest_from = 0; /* what woke us is probably for slow items again; or it was time for a look at the uplinks, which may find nothing */
	else if (!p->fd_tells)
		adapt_spin(p, p->rest_from - from);
	p->slow = p->plenty = false;
}

/* Is nobody to be polled, for long enough? Or is it time to take a breath: a guest that has sent a lot will send more, and raises no event for it while it is polled. Poll it later, when
 * there is more of it, instead of at each packet: so a NIC of today waits some 50 us before it interrupts. */
static bool may_rest(const struct poller *p, uint64_t now)
{
	if (TAILQ_EMPTY(&p->active))
		return now - p->rest_from > p->spin;
	return p->plenty && !p->busy;
}

/* False: only the time was over. */
static bool sleep_a_while(struct poller *p)
{
	uint64_t from = rte_rdtsc();
	bool woken = true;

	if (!p->fd_tells && take_events(p, true) > 0)
		return true;
	__atomic_store_n(&p->asleep, true, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our asleep before our look at kicks and stop: whoever sets those does it the other way round */
	if (!__atomic_load_n(&p->kicks, __ATOMIC_RELAXED) && !stopped(p)) {
		p->stats.sleeps++;
		woken = doze(p, sleep_us(p, from));
	}
	__atomic_store_n(&p->asleep, false, __ATOMIC_RELAXED);
	wake_up(p, from, woken);
	return woken;
}

void poller_round(struct poller *p, bool may_sleep)
{
	uint64_t now = rte_rdtsc();
	bool slept, woken = true;
	unsigned work;

	stand_aside(p);
	p->stats.rounds++;
	if (p->busy)
		p->rest_from = now;
	slept = may_sleep && may_rest(p, now);
	if (slept) {
		woken = sleep_a_while(p);
		now = rte_rdtsc();
	} else if (now >= p->next_fds) {
		wait_fds(p, 0);
	}
	if (woken)
		take_events(p, slept && p->fd_tells);
	take_kicks(p);
	fire_timers(p, now);
	work = poll_items(p, now) + poll_uplinks(p);
	p->busy = work > 0;
	p->plenty |= p->fd_tells && work >= BREATH_WORK;
	p->flush(p->flush_ctx);
}

void poller_run(struct poller *p)
{
	enter(p);
	while (!stopped(p))
		poller_round(p, true);
	leave(p);
}

void poller_stop(struct poller *p)
{
	__atomic_store_n(&p->stop, true, __ATOMIC_SEQ_CST);
	wake(p);
}

void poller_stats(struct poller *p, struct poller_stats *out)
{
	*out = p->stats;
	out->spin_us = p->spin / p->tsc_per_us;
}

bool poller_asleep(const struct poller *p)
{
	return __atomic_load_n(&p->asleep, __ATOMIC_RELAXED);
}
