/* SPDX-License-Identifier: BSD-3-Clause */
/* Domain 0's attached processes (dom0.h): slots of hvshare, channels and their eventfds, bindings. */
#include "dom0.h"

#include <errno.h>
#include <sluice/hvshare.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "event.h"
#include "grant.h"
#include "hosted_memory.h"
#include "log.h"
#include "loop.h"
#include "machine.h"
#include "server.h"

#define NOT_ATTACHED HVSHARE_CLIENTS
#define REPLY_FDS 2

struct peer {
	int fd;
	pid_t pid;
	unsigned client; /* slot in hvshare, or NOT_ATTACHED */
	int channel_fd[HVSHARE_CHANNELS]; /* -1: closed */
};

struct answer {
	struct hvsock_reply reply;
	int fds[REPLY_FDS];
	unsigned nr_fds;
};

static struct peer *peers[HVSHARE_CLIENTS]; /* a connection may attach once, so more of them make no sense */
static struct server_socket listener = SERVER_SOCKET_CLOSED;

static int attach(struct peer *p, struct answer *a)
{
	unsigned client = 0;

	if (p->client != NOT_ATTACHED)
		return -EALREADY;
	while (client < HVSHARE_CLIENTS && machine.share->client[client].used)
		client++;
	if (client == HVSHARE_CLIENTS)
		return -EUSERS;
	p->client = client;
	machine.share->client[client].used = 1;
	a->reply.client = client;
	a->fds[a->nr_fds++] = machine.fd;
	a->fds[a->nr_fds++] = machine.share_fd;
	log_info("process %d of domain 0 attached (client %u)", (int)p->pid, client);
	return 0;
}

static int channel_open(struct peer *p, struct answer *a)
{
	unsigned channel = 0;
	int fd;

	while (channel < HVSHARE_CHANNELS && p->channel_fd[channel] >= 0)
		channel++;
	if (channel == HVSHARE_CHANNELS)
		return -ENOSPC;
	fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	p->channel_fd[channel] = fd;
	evtchn_dom0_set_fd(p->client, channel, fd);
	a->reply.channel = channel;
	a->fds[a->nr_fds++] = fd;
	return 0;
}

static int channel_close(struct peer *p, unsigned channel)
{
	if (channel >= HVSHARE_CHANNELS || p->channel_fd[channel] < 0)
		return -EINVAL;
	evtchn_dom0_channel_gone(p->client, channel);
	evtchn_dom0_set_fd(p->client, channel, -1);
	close(p->channel_fd[channel]);
	p->channel_fd[channel] = -1;
	return 0;
}

static int bind_port(struct peer *p, const struct hvsock_request *req, struct answer *a)
{
	struct domain *d = req->domid < HVSHARE_DOMAINS ? domain_find((domid_t)req->domid) : NULL;
	struct vcpu *v;
	evtchn_t port;
	int rc;

	if (!d || req->channel >= HVSHARE_CHANNELS || p->channel_fd[req->channel] < 0)
		return -EINVAL;
	rc = evtchn_dom0_bind(p->client, req->channel, d->domid, req->port, &port);
	if (rc)
		return rc;
	v = &d->vcpu[0];
	a->reply.port = port;
	if (d->hosted && d->bell >= 0)
		a->fds[a->nr_fds++] = d->bell;
	else if (v->ev && v->engine->kick_fd(v->ev) >= 0)
		a->fds[a->nr_fds++] = v->engine->kick_fd(v->ev);
	return 0;
}

static int memory(const struct hvsock_request *req, struct answer *a)
{
	struct domain *d = req->domid < HVSHARE_DOMAINS ? domain_find((domid_t)req->domid) : NULL;
	const struct hosted_memory *m = d ? hosted_memory_of(d->domid) : NULL;

	if (!d)
		return -ESRCH;
	if (!m)
		return 0;
	a->reply.generation = m->generation;
	a->reply.first = m->first;
	a->reply.frames = m->frames;
	a->fds[a->nr_fds++] = m->fd;
	return 0;
}

static int serve(struct peer *p, const struct hvsock_request *req, struct answer *a)
{
	if (req->op == HVSOCK_ATTACH)
		return attach(p, a);
	if (p->client == NOT_ATTACHED)
		return -ENOTCONN;
	switch (req->op) {
	case HVSOCK_CHANNEL_OPEN:
		return channel_open(p, a);
	case HVSOCK_CHANNEL_CLOSE:
		return channel_close(p, req->channel);
	case HVSOCK_BIND:
		return bind_port(p, req, a);
	case HVSOCK_UNBIND:
		return evtchn_dom0_unbind(p->client, req->port);
	case HVSOCK_RELEASED:
		grant_sweep_dead();
		return 0;
	case HVSOCK_MEMORY:
		return memory(req, a);
	default:
		return -ENOSYS;
	}
}

static int send_answer(int fd, struct answer *a)
{
	union {
		char space[CMSG_SPACE(REPLY_FDS * sizeof(int))];
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
	return sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Its event channels and its pins go first: they are found through its slot, which is scrubbed for the next. */
static void detach(struct peer *p)
{
	if (p->client == NOT_ATTACHED)
		return;
	evtchn_dom0_client_gone(p->client);
	for (unsigned i = 0; i < HVSHARE_CHANNELS; i++) {
		evtchn_dom0_set_fd(p->client, i, -1);
		if (p->channel_fd[i] >= 0)
			close(p->channel_fd[i]);
	}
	grant_client_gone(p->client);
	memset(&machine.share->client[p->client], 0, sizeof(struct hvshare_client));
	log_info("process %d of domain 0 detached (client %u)", (int)p->pid, p->client);
}

static void peer_close(struct peer *p)
{
	for (unsigned i = 0; i < HVSHARE_CLIENTS; i++)
		if (peers[i] == p)
			peers[i] = NULL;
	loop_remove(p->fd);
	detach(p);
	close(p->fd);
	free(p);
}

static void peer_ready(int fd, uint32_t events, void *arg)
{
	struct peer *p = arg;
	struct hvsock_request req;
	struct answer a = { 0 };
	ssize_t n = recv(fd, &req, sizeof(req), 0);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == (ssize_t)sizeof(req)) {
		a.reply.rc = serve(p, &req, &a);
		if (!send_answer(fd, &a))
			return;
	}
	peer_close(p); /* hung up, speaks another protocol, or does not take its replies */
}

static struct peer *peer_make(int fd)
{
	struct peer *p = calloc(1, sizeof(*p));
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);

	if (!p)
		return NULL;
	p->fd = fd;
	p->client = NOT_ATTACHED;
	for (unsigned i = 0; i < HVSHARE_CHANNELS; i++)
		p->channel_fd[i] = -1;
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len))
		p->pid = who.pid;
	return p;
}

static void peer_new(int fd, uint32_t events, void *arg)
{
	struct peer *p;
	unsigned i = 0;

	(void)events;
	(void)arg;
	fd = server_accept(fd);
	if (fd < 0)
		return;
	while (i < HVSHARE_CLIENTS && peers[i])
		i++;
	p = i < HVSHARE_CLIENTS ? peer_make(fd) : NULL;
	if (!p || loop_add(fd, EPOLLIN, peer_ready, p)) {
		log_error("a process of domain 0 cannot attach: at most %u can: stop another", HVSHARE_CLIENTS);
		free(p);
		close(fd);
		return;
	}
	peers[i] = p;
}

int dom0_init(const char *run_dir)
{
	return server_listen(&listener, run_dir, "hv.sock", SOCK_SEQPACKET, peer_new);
}

void dom0_fini(void)
{
	for (unsigned i = 0; i < HVSHARE_CLIENTS; i++)
		if (peers[i])
			peer_close(peers[i]);
	server_unlisten(&listener);
}
