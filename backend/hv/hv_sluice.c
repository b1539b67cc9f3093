/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hv.h on our own hypervisor. The process attaches to sluiced by <run_dir>/hv.sock, which gives it the machine memory and struct hvshare; grants
 * (hv_sluice_grant.c) and notifications (hv_sluice_event.c) then need neither sluiced nor the kernel. This file: attaching and asking.
 */
#include "hv_sluice_private.h"

#include <errno.h>
#include <sluice/huge.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/log.h"

/* ---- asking sluiced ---- */

void hv_sluice_close_fds(int fds[HV_SLUICE_FDS])
{
	for (unsigned i = 0; i < HV_SLUICE_FDS; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void take_fds(struct msghdr *msg, int fds[HV_SLUICE_FDS])
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && n <= HV_SLUICE_FDS)
			memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	}
}

/* One reply with its file descriptors. False: there is nobody at the other end. */
static bool receive(int sock, struct hvsock_reply *reply, int fds[HV_SLUICE_FDS])
{
	union {
		char space[CMSG_SPACE(HV_SLUICE_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {reply, sizeof(*reply)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
	ssize_t got;

	for (unsigned i = 0; i < HV_SLUICE_FDS; i++)
		fds[i] = -1;
	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return false;
	take_fds(&msg, fds);
	return got == (ssize_t)sizeof(*reply);
}

static int lost(struct hv_sluice *s)
{
	if (!s->lost)
		backend_error("the hypervisor is gone (hv.sock hung up); start sluiced again, then this program");
	s->lost = true;
	return -ENOTCONN;
}

int hv_sluice_call(struct hv_sluice *s, const struct hvsock_request *req, struct hvsock_reply *reply, int fds[HV_SLUICE_FDS])
{
	int rc;

	pthread_mutex_lock(&s->call_lock);
	if (!s->lost && send(s->sock, req, sizeof(*req), MSG_NOSIGNAL) == (ssize_t)sizeof(*req) && receive(s->sock, reply, fds)) {
		rc = reply->rc;
		if (rc)
			hv_sluice_close_fds(fds);
	} else {
		rc = lost(s);
	}
	pthread_mutex_unlock(&s->call_lock);
	return rc;
}

/* ---- attaching ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int sock;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&addr, sizeof(addr))) {
		int rc = -errno;

		close(sock);
		return rc;
	}
	return sock;
}

static int map_whole(int fd, size_t min, size_t *bytes, void **at)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if (!st.st_size || (size_t)st.st_size < min)
		return -EPROTO;
	*bytes = (size_t)st.st_size;
	*at = huge_map(fd, *bytes);
	if (*at == MAP_FAILED) {
		*at = NULL;
		return -errno;
	}
	return 0;
}

static int map_memories(struct hv_sluice *s, const int fds[HV_SLUICE_FDS])
{
	size_t share_bytes;
	void *machine, *share;
	int rc = map_whole(fds[1], sizeof(struct hvshare), &share_bytes, &share);

	if (rc)
		return rc;
	s->view.share = share;
	if (s->view.share->magic != HVSHARE_MAGIC || s->view.share->version != HVSHARE_VERSION)
		return -EPROTO;
	rc = map_whole(fds[0], (size_t)HVSHARE_ALL_FRAMES << SLUICE_PAGE_SHIFT, &s->machine_bytes, &machine);
	if (!rc)
		s->view.machine = machine;
	return rc;
}

static int attach(struct hv_sluice *s)
{
	struct hvsock_request req = {.op = HVSOCK_ATTACH};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];
	int rc = hv_sluice_call(s, &req, &reply, fds);

	if (rc)
		return rc;
	rc = reply.client < HVSHARE_CLIENTS && fds[0] >= 0 && fds[1] >= 0 ? map_memories(s, fds) : -EPROTO;
	if (rc) {
		hv_sluice_close_fds(fds);
		return rc;
	}
	s->client = reply.client;
	s->me = &s->view.share->client[s->client];
	s->machine_fd = fds[0];
	close(fds[1]);
	hv_sluice_grant_init(s);
	return 0;
}

static void sluice_free(struct hv_sluice *s)
{
	hv_sluice_memory_fini(s);
	if (s->view.machine)
		munmap(s->view.machine, s->machine_bytes);
	if (s->view.share)
		munmap(s->view.share, sizeof(struct hvshare));
	if (s->machine_fd >= 0)
		close(s->machine_fd);
	if (s->sock >= 0)
		close(s->sock);
	if (s->store.xs)
		hv_store_close(&s->store);
	pthread_mutex_destroy(&s->call_lock);
	pthread_mutex_destroy(&s->map_lock);
	pthread_mutex_destroy(&s->memory_lock);
	free(s);
}

static void sluice_close(struct hv *hv)
{
	struct hv_sluice *s = hv_sluice_of(hv);

	if (!s)
		return;
	for (unsigned i = 0; i < HVSHARE_CHANNELS; i++)
		if (s->evtchn[i])
			hv_sluice_evtchn_close(&s->evtchn[i]->base);
	hv_sluice_grant_fini(s);
	sluice_free(s);
}

static unsigned sluice_caps(struct hv *hv)
{
	(void)hv;
	return HV_CAP_FAST_COPY | HV_CAP_FAST_MAP;
}

static const struct hv_ops sluice_ops = {
	.name = "sluice",
	.close = sluice_close,
	.caps = sluice_caps,
	.map = hv_sluice_map,
	.unmap = hv_sluice_unmap,
	.map_ring = hv_sluice_map_ring,
	.unmap_ring = hv_sluice_unmap_ring,
	.copy = hv_sluice_copy,
	.evtchn_open = hv_sluice_evtchn_open,
	.evtchn_close = hv_sluice_evtchn_close,
	.evtchn_fd = hv_sluice_evtchn_fd,
	.evtchn_bind = hv_sluice_evtchn_bind,
	.evtchn_unbind = hv_sluice_evtchn_unbind,
	.evtchn_notify = hv_sluice_evtchn_notify,
	.evtchn_pending = hv_sluice_evtchn_pending,
	.store_read = hv_store_read,
	.store_write = hv_store_write,
	.store_rm = hv_store_rm,
	.store_directory = hv_store_directory,
	.txn_start = hv_store_txn_start,
	.txn_end = hv_store_txn_end,
	.store_watch = hv_store_watch,
	.store_unwatch = hv_store_unwatch,
	.store_fd = hv_store_fd,
	.store_event = hv_store_event,
};

static struct hv_sluice *sluice_new(void)
{
	struct hv_sluice *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->store.hv.ops = &sluice_ops;
	s->sock = s->machine_fd = -1;
	pthread_mutex_init(&s->call_lock, NULL);
	pthread_mutex_init(&s->map_lock, NULL);
	pthread_mutex_init(&s->memory_lock, NULL);
	return s;
}

static const char *advice(int rc)
{
	switch (rc) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "start sluiced, or give its --run-dir";
	case -EACCES:
	case -EPERM:
		return "run as root, or as the user that runs sluiced";
	case -EPROTO:
		return "it is another version of sluiced; install both from one build";
	case -EUSERS:
		return "too many processes are attached; stop one";
	default:
		return "see sluiced's log";
	}
}

int hv_sluice_open(const char *run_dir, struct hv **out)
{
	struct hv_sluice *s = sluice_new();
	char path[256];
	int rc;

	if (!s)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/hv.sock", run_dir);
	rc = s->sock = connect_to(path);
	if (s->sock >= 0)
		rc = attach(s);
	if (rc < 0) {
		backend_error("no hypervisor at %s: %s; %s", path, strerror(-rc), advice(rc));
		sluice_free(s);
		return rc;
	}
	snprintf(path, sizeof(path), "%s/xenstore.sock", run_dir);
	rc = hv_store_open(&s->store, path);
	if (rc) {
		sluice_close(&s->store.hv);
		return rc;
	}
	*out = &s->store.hv;
	return 0;
}
