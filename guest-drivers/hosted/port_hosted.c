/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * port.h for an ordinary process: events, time, the store's ring and the log. Events are the 2-level ABI in the domain's shared_info, looked at with upcalls
 * masked; to sleep is to unmask them, look once more, and poll the bell (hosted_abi.h). So a process that is awake is never rung for.
 */
#include <errno.h>
#include <poll.h>
#include <rings/xenstore_ring.h>
#include <sluice/shm.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "hosted_private.h"

#define WORDS (HOSTED_PORTS / 64)
#define OWN_FDS 3u
#define NS_PER_S 1000000000ull

static uint64_t fired[WORDS]; /* fetched from shared_info, not yet taken */
static uint64_t fired_sel;    /* bit w: fired[w] is not 0 */
static struct xenstore_ring store;
static enum port_log_level log_level = PORT_LOG_INFO;

static struct shared_info *shared_info(void)
{
	return hosted_page(HOSTED_PFN_SHARED_INFO);
}

static struct vcpu_info *vcpu(void)
{
	return &shared_info()->vcpu_info[0];
}

/* ---- events ---- */

/* A port that fired while it was masked raised nothing: do it now. */
static void unmask(evtchn_t port)
{
	unsigned w = port / 64;

	__atomic_fetch_and(&shared_info()->evtchn_mask[w], ~(1ull << port % 64), __ATOMIC_SEQ_CST);
	if (shm_load(&shared_info()->evtchn_pending[w]) >> port % 64 & 1) {
		__atomic_fetch_or(&vcpu()->evtchn_pending_sel, 1ull << w, __ATOMIC_SEQ_CST);
		shm_store(&vcpu()->evtchn_upcall_pending, 1);
	}
}

void hosted_events_init(void)
{
	fired_sel = 0;
	for (unsigned w = 0; w < WORDS; w++) {
		fired[w] = 0;
		shm_store(&shared_info()->evtchn_mask[w], ~0ull);
	}
	shm_store(&vcpu()->evtchn_upcall_mask, 1);
	xenstore_ring_attach(&store, hosted_page(HOSTED_PFN_STORE), XENSTORE_RING_GUEST);
	unmask(hosted.store_port);
}

/* Move what is pending into our own words. The flag is cleared before the words are read: what comes later sets it again. */
static void scan(void)
{
	uint64_t sel;

	if (!shm_load(&vcpu()->evtchn_upcall_pending))
		return;
	shm_store(&vcpu()->evtchn_upcall_pending, 0);
	shm_mb(); /* our clearing of the flag before our look at the selectors */
	sel = __atomic_exchange_n(&vcpu()->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
	fired_sel |= sel;
	for (; sel; sel &= sel - 1) {
		unsigned w = (unsigned)__builtin_ctzll(sel);
		uint64_t bits = shm_load(&shared_info()->evtchn_pending[w]) & ~shm_load(&shared_info()->evtchn_mask[w]);

		__atomic_fetch_and(&shared_info()->evtchn_pending[w], ~bits, __ATOMIC_SEQ_CST);
		fired[w] |= bits;
	}
}

bool port_evtchn_take(evtchn_t port)
{
	unsigned w = port / 64;
	uint64_t bit = 1ull << port % 64;

	if (!hosted.attached)
		return false;
	scan();
	if (port >= HOSTED_PORTS || !(fired[w] & bit))
		return false;
	fired[w] &= ~bit;
	if (!fired[w])
		fired_sel &= ~(1ull << w);
	return true;
}

static bool any_fired(void)
{
	scan();
	for (uint64_t sel = fired_sel; sel; sel &= sel - 1)
		if (fired[__builtin_ctzll(sel)])
			return true;
	return false;
}

int port_evtchn_alloc(domid_t remote, evtchn_t *port)
{
	struct hosted_request req = { .op = HOSTED_EVTCHN_ALLOC, .domid = remote };
	struct hosted_reply reply;
	int rc = hosted_call(&req, &reply);

	if (rc)
		return rc;
	if (reply.port >= HOSTED_PORTS)
		return -EPROTO;
	*port = reply.port;
	unmask(*port);
	return 0;
}

void port_evtchn_close(evtchn_t port)
{
	struct hosted_request req = { .op = HOSTED_EVTCHN_CLOSE, .port = port };
	struct hosted_reply reply;

	if (port >= HOSTED_PORTS || !hosted.attached)
		return;
	__atomic_fetch_or(&shared_info()->evtchn_mask[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
	hosted_call(&req, &reply);
	port_evtchn_take(port);
}

/* Whoever finds sel not 0 knows that a bell rings which sluiced has not answered yet. */
void port_evtchn_notify(evtchn_t port)
{
	struct hosted_doorbell *bell = hosted_page(HOSTED_PFN_DOORBELL);

	if (port >= HOSTED_PORTS || !hosted.attached)
		return;
	__atomic_fetch_or(&bell->port[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
	if (!__atomic_fetch_or(&bell->sel, 1ull << port / 64, __ATOMIC_SEQ_CST))
		send(hosted.bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* fails when it is full, and so is rung, or when we are lost */
}

/* ---- sleeping ---- */

/* What came is only noise. */
static void bell_drain(void)
{
	uint8_t bytes[256];

	while (recv(hosted.bell, bytes, sizeof(bytes), MSG_DONTWAIT) == (ssize_t)sizeof(bytes))
		;
}

static void kick_drain(void)
{
	uint64_t count;

	while (read(hosted.kick_fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

static void sleep_until(uint64_t deadline_ns)
{
	struct pollfd fds[OWN_FDS + HOSTED_WATCHED_FDS] = {
		{ .fd = hosted.bell, .events = POLLIN }, { .fd = hosted.kick_fd, .events = POLLIN }, { .fd = hosted.sock, .events = POLLRDHUP },
	};
	uint64_t now = port_now_ns(), rest = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec timeout = { .tv_sec = (time_t)(rest / NS_PER_S), .tv_nsec = (long)(rest % NS_PER_S) };

	for (unsigned i = 0; i < hosted.nr_watched; i++)
		fds[OWN_FDS + i] = (struct pollfd){ .fd = hosted.watched[i], .events = POLLIN };
	if (ppoll(fds, OWN_FDS + hosted.nr_watched, deadline_ns == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
		return;
	if (fds[0].revents)
		bell_drain();
	if (fds[1].revents)
		kick_drain();
	if (fds[2].revents)
		hosted_set_lost(); /* the bell's other end may still be open in a back end */
}

void port_wait(uint64_t deadline_ns)
{
	if (!hosted.attached || hosted.lost || any_fired())
		return;
	/* Orders: the mask before our look at the flag; whoever raises an event sets the flag before it looks at the mask. */
	__atomic_store_n(&vcpu()->evtchn_upcall_mask, 0, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&vcpu()->evtchn_upcall_pending, __ATOMIC_SEQ_CST))
		sleep_until(deadline_ns);
	shm_store(&vcpu()->evtchn_upcall_mask, 1);
}

uint64_t port_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* ---- XenStore's byte stream ---- */

size_t port_store_send(const void *buf, size_t n)
{
	int moved = hosted.attached ? xenstore_ring_write(&store, buf, n) : 0;

	if (moved <= 0)
		return 0;
	port_evtchn_notify(hosted.store_port);
	return (size_t)moved;
}

/*
 * The store waits for us to make room only when it has filled the ring: else it need not be told. When it is gone for good, what comes is no message,
 * so that whoever waits for a reply gives up at once.
 */
size_t port_store_recv(void *buf, size_t n)
{
	uint32_t before = store.in_cons;
	int moved = hosted.attached ? xenstore_ring_read(&store, buf, n) : 0;

	if (hosted.lost) {
		memset(buf, 0xff, n);
		return n;
	}
	if (moved <= 0)
		return 0;
	shm_mb(); /* our index before our look at the store's: it looks at ours before it waits */
	if (shm_load(&store.shared->rsp_prod) - before >= XENSTORE_RING_SIZE)
		port_evtchn_notify(hosted.store_port);
	return (size_t)moved;
}

bool port_store_take(void)
{
	return port_evtchn_take(hosted.store_port);
}

/* ---- devices ---- */

int hosted_wait_device(struct xenbus *xb, const char *type, unsigned index, unsigned timeout_ms)
{
	uint64_t deadline = port_now_ns() + (uint64_t)timeout_ms * 1000000u;
	bool there = false;
	char dir[64];
	int watch;

	snprintf(dir, sizeof(dir), "device/%s/%u", type, index);
	watch = xenbus_watch(xb, dir, NULL);
	if (watch < 0)
		return hosted.lost ? -EPIPE : watch;
	while (!there && !hosted.lost && port_now_ns() < deadline) {
		if (xenbus_watch_take(xb, watch))
			there = xenbus_read_state(xb, dir) != XenbusStateUnknown;
		else
			port_wait(deadline);
	}
	xenbus_unwatch(xb, watch);
	return there ? 0 : hosted.lost ? -EPIPE : -ETIMEDOUT;
}

/* ---- the log ---- */

void hosted_set_log_level(enum port_log_level level)
{
	log_level = level;
}

void port_log(enum port_log_level level, const char *fmt, ...)
{
	va_list args;
	char text[512];

	if (level > log_level)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fprintf(stderr, "%s%s\n", level == PORT_LOG_ERROR ? "error: " : "", text);
}
