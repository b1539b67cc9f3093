/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Hosted domains' connections, bells and messages (hosted.h). The process is as hostile as a guest: a message costs at most one search for a port, a ring
 * at most one send for each port, and no call here can be made to wait by what the process does with its ends of the sockets.
 */
#include "hosted.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sluice/shm.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "event.h"
#include "hosted_memory.h"
#include "log.h"
#include "loop.h"
#include "machine.h"
#include "server.h"
#include "server_domain.h"

#define FDS 2
#define BELL_BYTES 64

struct guest {
	int fd;
	pid_t pid;
	struct domain *d; /* NULL until it attached */
};

struct answer {
	struct hosted_reply reply;
	int fds[FDS];
	unsigned nr_fds;
};

static struct guest *guests[HVSHARE_DOMAINS]; /* a connection is one domain at most */
static struct server_socket listener = SERVER_SOCKET_CLOSED;

/* ---- the bell ---- */

static void notify_ports(struct domain *d, struct hosted_doorbell *bell, unsigned word)
{
	uint64_t bits = __atomic_exchange_n(&bell->port[word], 0, __ATOMIC_SEQ_CST);

	for (; bits; bits &= bits - 1)
		evtchn_send(d, word * 64 + (unsigned)__builtin_ctzll(bits)); /* a port that it has not: nothing happens */
}

static void bell_rung(int fd, uint32_t events, void *arg)
{
	struct domain *d = arg;
	struct hosted_doorbell *bell = machine_ptr(hosted_memory_of(d->domid)->first + HOSTED_PFN_DOORBELL);
	uint8_t bytes[BELL_BYTES];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)events;
	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		loop_remove(fd); /* it closed its end: whether the domain lives is for its connection to say */
		return;
	}
	/* Orders: the bytes before the bits; the process sets the bits before it rings. */
	for (uint64_t sel = __atomic_exchange_n(&bell->sel, 0, __ATOMIC_SEQ_CST); sel; sel &= sel - 1)
		notify_ports(d, bell, (unsigned)__builtin_ctzll(sel));
}

/* d->bell is our end; the other one is the process's. */
static int bell_make(struct domain *d, int *theirs)
{
	int fds[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds))
		return -errno;
	rc = loop_add(fds[0], EPOLLIN, bell_rung, d);
	if (rc) {
		close(fds[0]);
		close(fds[1]);
		return rc;
	}
	d->bell = fds[0];
	*theirs = fds[1];
	return 0;
}

static void bell_close(struct domain *d)
{
	if (d->bell < 0)
		return;
	loop_remove(d->bell);
	close(d->bell);
	d->bell = -1;
}

/* ---- messages ---- */

static void say_attached(const struct domain *d, struct answer *a, int bell)
{
	const struct hosted_memory *m = hosted_memory_of(d->domid);

	a->reply.domid = d->domid;
	a->reply.store_port = d->store_port;
	a->reply.first_mfn = m->first;
	a->reply.nr_pages = m->frames;
	a->fds[a->nr_fds++] = m->fd;
	a->fds[a->nr_fds++] = bell;
}

static int attach(struct guest *g, struct hosted_request *req, struct answer *a)
{
	struct domain *d;
	int rc, bell = -1;

	if (g->d || req->version != HOSTED_VERSION) {
		snprintf(a->reply.error, sizeof(a->reply.error), g->d ? "attached already: one connection is one domain"
								      : "another version of sluiced: build the program anew");
		return g->d ? -EALREADY : -EPROTO;
	}
	req->name[sizeof(req->name) - 1] = '\0';
	rc = server_domain_create_hosted(req->name, req->nr_pages, &d, a->reply.error);
	if (rc)
		return rc;
	rc = bell_make(d, &bell);
	if (rc) {
		server_domain_destroy(d);
		return rc;
	}
	g->d = d;
	say_attached(d, a, bell);
	log_info("domain %u (%s): process %d attached, %lu pages", d->domid, d->name, (int)g->pid, (unsigned long)d->nr_pages);
	return 0;
}

static int evtchn_alloc(struct guest *g, const struct hosted_request *req, struct answer *a)
{
	long rc = req->domid <= 0xffff ? evtchn_alloc_unbound(g->d, (domid_t)req->domid) : -ESRCH;

	if (rc < 0)
		return (int)rc;
	a->reply.port = (uint32_t)rc;
	return 0;
}

static int serve(struct guest *g, struct hosted_request *req, struct answer *a)
{
	if (req->op == HOSTED_ATTACH)
		return attach(g, req, a);
	if (!g->d)
		return -ENOTCONN;
	switch (req->op) {
	case HOSTED_EVTCHN_ALLOC:
		return evtchn_alloc(g, req, a);
	case HOSTED_EVTCHN_CLOSE:
		return req->port == g->d->store_port ? -EPERM : (int)evtchn_close(g->d, req->port);
	default:
		return -ENOSYS;
	}
}

static bool send_answer(int fd, struct answer *a)
{
	union {
		char space[CMSG_SPACE(FDS * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { &a->reply, sizeof(a->reply) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (a->nr_fds) {
		struct cmsghdr *c;

		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(a->nr_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(a->nr_fds * sizeof(int));
		memcpy(CMSG_DATA(c), a->fds, a->nr_fds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* ---- connections ---- */

static void guest_free(struct guest *g)
{
	for (unsigned i = 0; i < HVSHARE_DOMAINS; i++)
		if (guests[i] == g)
			guests[i] = NULL;
	loop_remove(g->fd);
	close(g->fd);
	free(g);
}

void hosted_hang_up(struct domain *d)
{
	if (!d->hosted)
		return;
	bell_close(d);
	for (unsigned i = 0; i < HVSHARE_DOMAINS; i++)
		if (guests[i] && guests[i]->d == d)
			guest_free(guests[i]);
}

static void guest_end(struct guest *g)
{
	struct domain *d = g->d;

	if (!d) {
		guest_free(g);
		return;
	}
	log_info("domain %u (%s): process %d is gone: destroyed", d->domid, d->name, (int)g->pid);
	server_domain_destroy(d); /* hangs up */
}

static void guest_ready(int fd, uint32_t events, void *arg)
{
	struct guest *g = arg;
	struct hosted_request req;
	struct answer a = { 0 };
	ssize_t n = recv(fd, &req, sizeof(req), MSG_DONTWAIT | MSG_TRUNC);
	bool sent;

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n != (ssize_t)sizeof(req)) {
		guest_end(g); /* hung up, or speaks another protocol */
		return;
	}
	a.reply.rc = serve(g, &req, &a);
	if (a.reply.rc && !a.reply.error[0])
		snprintf(a.reply.error, sizeof(a.reply.error), "%s", strerror(-a.reply.rc));
	sent = send_answer(fd, &a);
	if (a.nr_fds == FDS)
		close(a.fds[1]); /* its end of the bell */
	if (!sent)
		guest_end(g); /* does not take its replies */
}

static struct guest *guest_make(int fd)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);

	if (!g)
		return NULL;
	g->fd = fd;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		g->pid = who.pid;
	return g;
}

static void guest_new(int fd, uint32_t events, void *arg)
{
	static bool said; /* until there is room again */
	struct guest *g;
	unsigned i = 0;

	(void)events;
	(void)arg;
	fd = server_accept(fd);
	if (fd < 0)
		return;
	while (i < HVSHARE_DOMAINS && guests[i])
		i++;
	g = i < HVSHARE_DOMAINS ? guest_make(fd) : NULL;
	if (!g || loop_add(fd, EPOLLIN, guest_ready, g)) {
		if (!said)
			log_error("a process cannot attach as a domain: at most %u can: stop another", HVSHARE_DOMAINS);
		said = true;
		free(g);
		close(fd);
		return;
	}
	said = false;
	guests[i] = g;
}

int hosted_init(const char *run_dir)
{
	return server_listen(&listener, run_dir, "hosted.sock", SOCK_SEQPACKET, guest_new);
}

void hosted_fini(void)
{
	for (unsigned i = 0; i < HVSHARE_DOMAINS; i++)
		if (guests[i])
			guest_end(guests[i]);
	server_unlisten(&listener);
}
