/* SPDX-License-Identifier: BSD-3-Clause */
/* A process becomes a domain and stops being one (hosted.h): the socket, the memory, the bell, and messages to sluiced. */
#include <errno.h>
#include <sluice/huge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hosted_private.h"

#define FDS 2
#define PAGES_PER_MIB 256u
#define DEFAULT_RUN_DIR "/run/sluice"

struct hosted hosted = { .sock = -1, .bell = -1, .memory_fd = -1, .kick_fd = -1 };

/* ---- messages ---- */

void hosted_set_lost(void)
{
	if (!hosted.lost)
		port_log(PORT_LOG_ERROR, "sluiced has ended this domain, or ended itself: start it, then this program again");
	hosted.lost = true;
}

static void take_fds(struct msghdr *msg, int fds[FDS])
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && n <= FDS)
			memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	}
}

static bool receive(struct hosted_reply *reply, int fds[FDS])
{
	union {
		char space[CMSG_SPACE(FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { reply, sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space) };
	ssize_t got;

	fds[0] = fds[1] = -1;
	do
		got = recvmsg(hosted.sock, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return false;
	take_fds(&msg, fds);
	return got == (ssize_t)sizeof(*reply);
}

static int call_with_fds(const struct hosted_request *req, struct hosted_reply *reply, int fds[FDS])
{
	if (hosted.lost || send(hosted.sock, req, sizeof(*req), MSG_NOSIGNAL) != (ssize_t)sizeof(*req) || !receive(reply, fds))
		return -EPIPE;
	reply->error[sizeof(reply->error) - 1] = '\0';
	return reply->rc;
}

int hosted_call(const struct hosted_request *req, struct hosted_reply *reply)
{
	int fds[FDS];
	int rc = call_with_fds(req, reply, fds);

	if (rc == -EPIPE)
		hosted_set_lost();
	return rc;
}

/* ---- attaching ---- */

static int connect_to(const char *run_dir)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/hosted.sock", run_dir), rc;

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	hosted.sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (hosted.sock >= 0 && !connect(hosted.sock, (struct sockaddr *)&addr, sizeof(addr)))
		return 0;
	rc = -errno;
	return rc;
}

static int ask(const char *name, unsigned memory_mib, struct hosted_reply *reply)
{
	struct hosted_request req = { .op = HOSTED_ATTACH, .version = HOSTED_VERSION, .nr_pages = (uint64_t)memory_mib * PAGES_PER_MIB };
	int fds[FDS], rc;

	if (strlen(name) >= sizeof(req.name))
		return -ENAMETOOLONG;
	strcpy(req.name, name);
	rc = call_with_fds(&req, reply, fds);
	if (rc)
		return rc;
	hosted.memory_fd = fds[0];
	hosted.bell = fds[1];
	return fds[0] < 0 || fds[1] < 0 ? -EPROTO : 0;
}

static int set_up(const struct hosted_reply *reply)
{
	void *memory = huge_map(hosted.memory_fd, reply->nr_pages << SLUICE_PAGE_SHIFT);
	int rc;

	if (memory == MAP_FAILED)
		return -errno;
	hosted.memory = memory;
	hosted.nr_pages = reply->nr_pages;
	hosted.first_mfn = reply->first_mfn;
	hosted.domid = (domid_t)reply->domid;
	hosted.store_port = reply->store_port;
	hosted.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (hosted.kick_fd < 0)
		return -errno;
	rc = hosted_pages_init();
	if (!rc)
		rc = hosted_grant_init();
	if (!rc)
		hosted_events_init();
	return rc;
}

static const char *advice(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "start sluiced, or name its run directory";
	case -EACCES:
	case -EPERM:
	case -EPIPE:
		return "run as the user that runs sluiced, or as root";
	case -ENAMETOOLONG:
		return "give a shorter name or run directory";
	default:
		return "see sluiced's log";
	}
}

int hosted_attach(const char *run_dir, const char *name, unsigned memory_mib)
{
	const char *env = getenv("SLUICE_RUN_DIR");
	struct hosted_reply reply = { .rc = 0 };
	int rc;

	if (hosted.attached)
		return -EALREADY;
	if (!run_dir)
		run_dir = env && *env ? env : DEFAULT_RUN_DIR;
	rc = connect_to(run_dir);
	if (!rc)
		rc = ask(name, memory_mib, &reply);
	if (!rc)
		rc = set_up(&reply);
	if (rc) {
		port_log(PORT_LOG_ERROR, "cannot become the domain '%s' of the sluiced at %s: %s", name, run_dir, reply.error[0] ? reply.error : strerror(-rc));
		if (!reply.error[0])
			port_log(PORT_LOG_ERROR, "%s", advice(rc));
		hosted_detach();
		return rc;
	}
	hosted.attached = true;
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void hosted_detach(void)
{
	hosted_grant_fini();
	hosted_pages_fini();
	if (hosted.memory)
		munmap(hosted.memory, hosted.nr_pages << SLUICE_PAGE_SHIFT);
	close_fd(&hosted.sock);
	close_fd(&hosted.bell);
	close_fd(&hosted.memory_fd);
	close_fd(&hosted.kick_fd);
	hosted = (struct hosted){ .sock = -1, .bell = -1, .memory_fd = -1, .kick_fd = -1 };
}

/* ---- the rest of hosted.h ---- */

domid_t hosted_domid(void)
{
	return hosted.domid;
}

bool hosted_lost(void)
{
	return hosted.lost;
}

void hosted_kick(void)
{
	uint64_t one = 1;
	int saved = errno;

	if (write(hosted.kick_fd, &one, sizeof(one)) < 0)
		errno = saved; /* EAGAIN: it is readable all the same */
}

int hosted_watch_fd(int fd)
{
	if (hosted.nr_watched == HOSTED_WATCHED_FDS)
		return -ENOSPC;
	hosted.watched[hosted.nr_watched++] = fd;
	return 0;
}

void hosted_unwatch_fd(int fd)
{
	for (unsigned i = 0; i < hosted.nr_watched; i++)
		if (hosted.watched[i] == fd)
			hosted.watched[i--] = hosted.watched[--hosted.nr_watched];
}
