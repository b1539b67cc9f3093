/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The Unix sockets of sluiced and who may use them (server.h): control.sock, hv.sock, hosted.sock and xenstore.sock. Called by the file of each.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

/* Of no use but to be closed when no other is left: a peer that is never accepted would wake the main loop for ever. */
static int spare_fd = -1;

static void spare_open(void)
{
	if (spare_fd < 0)
		spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Its fd, or -errno after a line in the log. */
static int listen_at(const struct sockaddr_un *addr, int type)
{
	int fd, rc;

	unlink(addr->sun_path); /* what a killed sluiced left: we hold the run directory's lock */
	spare_open();
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) && !chmod(addr->sun_path, 0600) && !listen(fd, 64))
		return fd;
	rc = -errno;
	log_error("%s: cannot listen: %s", addr->sun_path, strerror(-rc));
	if (fd >= 0)
		close(fd);
	return rc;
}

int server_listen(struct server_socket *s, const char *run_dir, const char *name, int type, loop_fn *on_peer)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", run_dir, name), rc;

	if (n < 0 || (size_t)n >= sizeof(addr.sun_path)) {
		log_error("%s/%s: longer than a socket's path may be (%zu): give a shorter --run-dir", run_dir, name, sizeof(addr.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	rc = listen_at(&addr, type);
	if (rc < 0)
		return rc;
	s->fd = rc;
	memcpy(s->path, addr.sun_path, sizeof(s->path));
	rc = loop_add(s->fd, EPOLLIN, on_peer, NULL);
	if (rc)
		log_error("%s: cannot be watched: %s", s->path, strerror(-rc));
	return rc;
}

void server_unlisten(struct server_socket *s)
{
	if (s->fd < 0)
		return;
	loop_remove(s->fd);
	close(s->fd);
	s->fd = -1;
	unlink(s->path);
}

/* Take the peer in to hang up on it. */
static void turn_away(int listening)
{
	int fd;

	if (spare_fd < 0)
		return;
	close(spare_fd);
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	spare_fd = -1;
	spare_open();
	log_error("a connection is turned away: too many files are open: raise the limit (ulimit -n) and start sluiced again");
}

int server_accept(int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), rc = -errno;
	struct ucred who;
	socklen_t len = sizeof(who);

	if (fd < 0 && (rc == -EMFILE || rc == -ENFILE))
		turn_away(listening);
	if (fd < 0)
		return rc;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) && (who.uid == 0 || who.uid == geteuid()))
		return fd;
	close(fd);
	return -EPERM;
}
