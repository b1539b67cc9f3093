/* SPDX-License-Identifier: BSD-3-Clause */
/* The connection to an NBD server: see nbd_link.h. Called by nbd.c. */
#include "nbd_link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MS 1000000ull
#define BACKOFF_MIN (100 * MS)
#define BACKOFF_MAX (2000 * MS)
#define TRY_TIME (5000 * MS)
#define TURN_ROUNDS 256u           /* replies taken in one turn, so that other devices have theirs */
#define PAYLOAD_DEFAULT (32u << 20) /* what every server takes that says nothing, by the NBD protocol */

uint64_t nbd_link_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* libnbd's text of what went wrong last in this thread, without its function name. */
static const char *why(void)
{
	const char *text = nbd_get_error(), *colon;

	if (!text)
		return "no reason given";
	colon = strstr(text, ": ");
	return colon ? colon + 2 : text;
}

static int why_errno(void)
{
	int e = nbd_get_errno();

	return e ? -e : -EIO;
}

static struct nbd_handle *start_connect(const char *uri)
{
	struct nbd_handle *h = nbd_create();

	if (!h)
		return NULL;
	nbd_set_uri_allow_local_file(h, true); /* keys that the administrator names */
	nbd_set_pread_initialize(h, false);    /* a failed read's content is nobody's business, and clearing costs */
	if (nbd_aio_connect_uri(h, uri) == 0)
		return h;
	nbd_close(h);
	return NULL;
}

/* ---- the handshake's outcome ---- */

static int check_export(const struct nbd_link *l, const struct blkdev_info *info, bool server_readonly, char err[STORAGE_ERR])
{
	if (server_readonly && !l->readonly)
		return storage_error(err, -EROFS, "%.120s: the export is read-only; attach the disk with mode r, or export it for writing", l->uri);
	if (info->sector_size > 4096)
		return storage_error(err, -EINVAL, "%.120s: blocks of at least %u bytes; only 512 and 4096 can be given to a guest", l->uri, info->sector_size);
	if (info->size == 0)
		return storage_error(err, -EINVAL, "%.120s: the export is empty; give it a size", l->uri);
	if (info->size % info->sector_size)
		return storage_error(err, -EINVAL, "%.100s: %" PRIu64 " bytes is not a multiple of the sector size %u; resize it, or serve it through `nbdkit"
				     " --filter=truncate ... round-up=%u`", l->uri, info->size, info->sector_size, info->sector_size);
	return 0;
}

static uint32_t block_size(struct nbd_handle *h, int type, uint32_t otherwise)
{
	int64_t n = nbd_get_block_size(h, type);

	return n > 0 && n <= INT32_MAX ? (uint32_t)n : otherwise;
}

/* What the handshake said. 0, or -errno and a line. */
static int describe(struct nbd_link *l, char err[STORAGE_ERR])
{
	struct blkdev_info info = {.readonly = l->readonly};
	int64_t size = nbd_get_size(l->h);
	uint32_t minimum = block_size(l->h, LIBNBD_SIZE_MINIMUM, STORAGE_SECTOR), preferred = block_size(l->h, LIBNBD_SIZE_PREFERRED, 4096);
	int rc;

	if (size < 0)
		return storage_error(err, why_errno(), "%.120s: tells no size: %.80s", l->uri, why());
	info.size = (uint64_t)size;
	info.sector_size = minimum <= STORAGE_SECTOR ? STORAGE_SECTOR : minimum <= 4096 ? 4096 : minimum;
	info.physical_sector_size = preferred > info.sector_size ? 4096 : info.sector_size;
	info.can_flush = nbd_can_flush(l->h) == 1;
	info.can_discard = !l->readonly && nbd_can_trim(l->h) == 1;
	info.discard_granularity = info.physical_sector_size;
	rc = check_export(l, &info, nbd_is_read_only(l->h) == 1, err);
	if (rc)
		return rc;
	l->info = info;
	l->max_payload = block_size(l->h, LIBNBD_SIZE_MAXIMUM, PAYLOAD_DEFAULT);
	l->max_payload -= l->max_payload % info.sector_size;
	return l->max_payload ? 0 : storage_error(err, -EINVAL, "%.120s: takes less than a sector at once", l->uri);
}

/* The guest was told once what its disk can do: a server that comes back with less cannot serve it. */
static int same_kind(const struct nbd_link *l, const struct blkdev_info *before, char err[STORAGE_ERR])
{
	if (l->info.sector_size > before->sector_size || l->info.can_flush < before->can_flush)
		return storage_error(err, -EINVAL, "%.120s: came back with another sector size or without flush; serve it as before", l->uri);
	return 0;
}

/* ---- connecting ---- */

/* nbd://name:port/export with the address that the name had; TLS keeps the name, which its certificate is checked against. */
static char *numeric_uri(const char *uri, struct nbd_handle *h)
{
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} peer;
	socklen_t len = sizeof(peer);
	char host[INET6_ADDRSTRLEN], *out = NULL;
	const char *rest;

	if (strncmp(uri, "nbd://", 6) != 0 || getpeername(nbd_aio_get_fd(h), &peer.any, &len))
		return strdup(uri);
	rest = uri + 6 + strcspn(uri + 6, "/?");
	if (peer.any.sa_family == AF_INET && inet_ntop(AF_INET, &peer.in.sin_addr, host, sizeof(host))) {
		if (asprintf(&out, "nbd://%s:%u%s", host, ntohs(peer.in.sin_port), rest) < 0)
			return NULL;
	} else if (peer.any.sa_family == AF_INET6 && inet_ntop(AF_INET6, &peer.in6.sin6_addr, host, sizeof(host))) {
		if (asprintf(&out, "nbd://[%s]:%u%s", host, ntohs(peer.in6.sin6_port), rest) < 0)
			return NULL;
	} else {
		return strdup(uri);
	}
	return out;
}

static int wait_until_up(struct nbd_link *l, char err[STORAGE_ERR])
{
	uint64_t now = nbd_link_now(), deadline = now + BLKDEV_OPEN_MS * MS;

	while (!nbd_aio_is_ready(l->h)) {
		if (nbd_aio_is_dead(l->h) || nbd_aio_is_closed(l->h))
			return storage_error(err, why_errno(), "%.100s: no NBD connection: %.100s; see that the server runs and has this export", l->uri, why());
		now = nbd_link_now();
		if (now >= deadline)
			return storage_error(err, -ETIMEDOUT, "%.120s: no answer for %d s; see that the server runs and can be reached", l->uri,
					     BLKDEV_OPEN_MS / 1000);
		nbd_poll(l->h, (int)((deadline - now) / MS) + 1); /* an error shows as a dead handle */
	}
	return 0;
}

static int open_events(struct nbd_link *l)
{
	struct epoll_event ev = {.events = EPOLLIN};

	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (l->epoll < 0 || l->timer < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->timer, &ev))
		return -errno;
	return 0;
}

int nbd_link_open(struct nbd_link *l, const char *uri, bool readonly, char err[STORAGE_ERR])
{
	int rc;

	*l = (struct nbd_link){.uri = strdup(uri), .readonly = readonly, .epoll = -1, .timer = -1, .watched_fd = -1, .backoff = BACKOFF_MIN};
	rc = l->uri ? open_events(l) : -ENOMEM;
	if (rc) {
		storage_error(err, rc, "%.120s: %s", uri, strerror(-rc));
		goto fail;
	}
	l->h = start_connect(uri);
	if (!l->h) {
		rc = why_errno();
		storage_error(err, rc, "%.100s: no NBD connection: %.100s; see that the server runs and has this export", uri, why());
		goto fail;
	}
	rc = wait_until_up(l, err);
	if (rc == 0)
		rc = describe(l, err);
	if (rc)
		goto fail;
	l->again = numeric_uri(uri, l->h);
	if (!l->again) {
		rc = storage_error(err, -ENOMEM, "%.120s: out of memory", uri);
		goto fail;
	}
	l->state = NBD_LINK_UP;
	return 0;

fail:
	nbd_link_close(l);
	return rc;
}

void nbd_link_close(struct nbd_link *l)
{
	if (l->h)
		nbd_close(l->h);
	if (l->timer >= 0)
		close(l->timer);
	if (l->epoll >= 0)
		close(l->epoll);
	free(l->again);
	free(l->uri);
}

/* ---- turns ---- */

static void hang_up(struct nbd_link *l)
{
	if (l->h)
		nbd_close(l->h);
	l->h = NULL;
	l->lost = false;
	l->watched_fd = -1;
}

static void wait_then_retry(struct nbd_link *l)
{
	hang_up(l);
	l->state = NBD_LINK_WAITING;
	l->until = nbd_link_now() + l->backoff;
	l->backoff = l->backoff * 2 < BACKOFF_MAX ? l->backoff * 2 : BACKOFF_MAX;
}

static void try_again(struct nbd_link *l)
{
	l->h = start_connect(l->again);
	if (!l->h) {
		wait_then_retry(l);
		return;
	}
	l->state = NBD_LINK_CONNECTING;
	l->until = nbd_link_now() + TRY_TIME;
}

/* One look at the socket. False: there was nothing to do. */
static bool look(struct nbd_link *l)
{
	unsigned direction = nbd_aio_get_direction(l->h);
	struct pollfd p = {.fd = nbd_aio_get_fd(l->h)};

	if (direction & LIBNBD_AIO_DIRECTION_READ)
		p.events |= POLLIN;
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		p.events |= POLLOUT;
	if (p.fd < 0 || poll(&p, 1, 0) <= 0)
		return false;
	if ((direction & LIBNBD_AIO_DIRECTION_READ) && (p.revents & (POLLIN | POLLHUP)))
		return nbd_aio_notify_read(l->h) == 0;
	if ((direction & LIBNBD_AIO_DIRECTION_WRITE) && (p.revents & (POLLOUT | POLLHUP | POLLERR)))
		return nbd_aio_notify_write(l->h) == 0;
	l->lost = true;
	return false;
}

static bool gone(const struct nbd_link *l)
{
	return l->lost || nbd_aio_is_dead(l->h) || nbd_aio_is_closed(l->h);
}

static void connected(struct nbd_link *l)
{
	struct blkdev_info before = l->info;
	char err[STORAGE_ERR];
	int rc = describe(l, err);

	if (rc == 0)
		rc = same_kind(l, &before, err);
	if (rc == 0) {
		l->state = NBD_LINK_UP;
		return;
	}
	l->info = before;
	if (backend_log_allowed(&l->limit))
		backend_error("%s", err);
	wait_then_retry(l);
}

static void turn_connecting(struct nbd_link *l)
{
	for (unsigned i = 0; i < TURN_ROUNDS && !nbd_aio_is_ready(l->h) && look(l); i++)
		;
	if (gone(l) || (nbd_link_now() >= l->until && !nbd_aio_is_ready(l->h)))
		wait_then_retry(l);
	else if (nbd_aio_is_ready(l->h))
		connected(l);
}

/* The first try comes at once: most losses are restarts. */
static bool turn_up(struct nbd_link *l)
{
	for (unsigned i = 0; i < TURN_ROUNDS && !l->lost && look(l); i++)
		;
	if (!gone(l))
		return true;
	hang_up(l);
	l->state = NBD_LINK_WAITING;
	l->until = 0;
	return false;
}

static void drain_timer(struct nbd_link *l)
{
	uint64_t expirations;

	if (l->timer_at == 0 || l->timer_at > nbd_link_now())
		return;
	if (read(l->timer, &expirations, sizeof(expirations)) > 0) /* EAGAIN: it has a moment to go */
		l->timer_at = 0;
}

bool nbd_link_turn(struct nbd_link *l)
{
	drain_timer(l);
	if (l->state == NBD_LINK_UP)
		return turn_up(l);
	if (l->state == NBD_LINK_WAITING && nbd_link_now() >= l->until)
		try_again(l);
	if (l->state == NBD_LINK_CONNECTING)
		turn_connecting(l);
	return true;
}

void nbd_link_works(struct nbd_link *l)
{
	l->backoff = BACKOFF_MIN;
}

/* ---- sleeping ---- */

static void watch_socket(struct nbd_link *l)
{
	unsigned direction = nbd_aio_get_direction(l->h);
	struct epoll_event ev = {0};
	int fd = nbd_aio_get_fd(l->h);

	if (direction & LIBNBD_AIO_DIRECTION_READ)
		ev.events |= EPOLLIN;
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		ev.events |= EPOLLOUT;
	if (fd < 0 || (l->state == NBD_LINK_UP && fd == l->watched_fd && ev.events == l->watched))
		return;
	/* While it connects, libnbd may close a socket and open the next under the same number. */
	if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, fd, &ev) && epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &ev))
		l->lost = true;
	l->watched_fd = fd;
	l->watched = ev.events;
}

static void set_timer(struct nbd_link *l, uint64_t at)
{
	struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000ull), .tv_nsec = (long)(at % 1000000000ull)}};

	if (l->timer_at == at)
		return;
	timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &when, NULL);
	l->timer_at = at;
}

void nbd_link_watch(struct nbd_link *l, bool now, uint64_t at)
{
	if (l->h)
		watch_socket(l);
	if (l->state != NBD_LINK_UP && (at == 0 || l->until < at))
		at = l->until ? l->until : 1;
	set_timer(l, now || l->lost ? 1 : at);
}
