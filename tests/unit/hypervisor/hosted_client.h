/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For tests of hosted domains: sluiced's parts that serve them, in this process, with its main loop in a thread; a client that speaks the socket's
 * messages as they are (any lie included); and hv_sluice as domain 0.
 */
#ifndef TESTS_HOSTED_CLIENT_H
#define TESTS_HOSTED_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sluice/hosted_abi.h>
#include <sluice/hv.h>
#include <sluice/hvshare.h>
#include <sluice/shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/dom0.h"
#include "hypervisor/hosted.h"
#include "hypervisor/hosted_memory.h"
#include "hypervisor/loop.h"
#include "hypervisor/machine.h"
#include "hypervisor/server_domain.h"
#include "hypervisor/time.h"
#include "hypervisor/xenstore/store.h"

#define HOSTED_PAGES 512u /* of each client's domain */
#define SOON_MS 3000

struct hosted_client {
	int sock, bell, memory_fd;
	struct hosted_reply reply; /* to the attach */
	uint8_t *memory;
};

static char hosted_dir[] = "/tmp/sluice-test-hosted-XXXXXX";
static pthread_t hosted_loop;
static struct hv *hosted_hv; /* domain 0 */

static void *hosted_loop_main(void *arg)
{
	loop_run();
	return arg;
}

static inline int hosted_world_start(void)
{
	signal(SIGPIPE, SIG_IGN); /* as sluiced */
	if (!mkdtemp(hosted_dir) || machine_init(32u << 20) || time_init() || store_init(hosted_dir) || server_domain_init() || dom0_init(hosted_dir) ||
	    hosted_init(hosted_dir) || pthread_create(&hosted_loop, NULL, hosted_loop_main, NULL))
		return -1;
	return hv_sluice_open(hosted_dir, &hosted_hv);
}

static inline int hosted_world_stop(void)
{
	hosted_hv->ops->close(hosted_hv);
	loop_stop();
	pthread_join(hosted_loop, NULL);
	hv_lock_acquire();
	hosted_fini();
	server_domain_fini();
	dom0_fini();
	store_fini();
	machine_fini();
	hv_lock_release();
	return rmdir(hosted_dir);
}

/* ---- a client ---- */

static inline int hosted_connect(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/hosted.sock", hosted_dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* A message and its reply with the fds that came. -EPIPE: hung up. */
static inline int hosted_ask(int sock, const struct hosted_request *req, struct hosted_reply *reply, int fds[2])
{
	union {
		char space[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec iov = {reply, sizeof(*reply)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
	struct cmsghdr *c;

	fds[0] = fds[1] = -1;
	if (send(sock, req, sizeof(*req), MSG_NOSIGNAL) != sizeof(*req) || recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != sizeof(*reply))
		return -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (c)
		memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return reply->rc;
}

static inline int hosted_attach_as(struct hosted_client *c, const char *name, uint64_t nr_pages)
{
	struct hosted_request req = {.op = HOSTED_ATTACH, .version = HOSTED_VERSION, .nr_pages = nr_pages};
	int fds[2], rc;

	for (size_t i = 0; i < sizeof(req.name) && name[i]; i++) /* also names that leave no room for a NUL */
		req.name[i] = name[i];
	c->sock = hosted_connect();
	rc = hosted_ask(c->sock, &req, &c->reply, fds);
	if (rc) {
		close(c->sock);
		return rc;
	}
	c->memory_fd = fds[0];
	c->bell = fds[1];
	c->memory = mmap(NULL, c->reply.nr_pages << SLUICE_PAGE_SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory_fd, 0);
	assert_ptr_not_equal(c->memory, MAP_FAILED);
	return 0;
}

/* As the kernel does it for a process that dies. */
static inline void hosted_die(struct hosted_client *c)
{
	munmap(c->memory, c->reply.nr_pages << SLUICE_PAGE_SHIFT);
	close(c->memory_fd);
	close(c->bell);
	close(c->sock);
}

static inline domid_t hosted_id(const struct hosted_client *c)
{
	return (domid_t)c->reply.domid;
}

static inline void *hosted_at(const struct hosted_client *c, pfn_t pfn)
{
	return c->memory + (pfn << SLUICE_PAGE_SHIFT);
}

static inline struct shared_info *hosted_si(const struct hosted_client *c)
{
	return hosted_at(c, HOSTED_PFN_SHARED_INFO);
}

/* Let domain 0 use this machine frame, whoever's it is. */
static inline void hosted_grant(const struct hosted_client *c, gref_t gref, uint32_t mfn)
{
	grant_entry_v1_t *e = (grant_entry_v1_t *)hosted_at(c, HOSTED_PFN_GRANT) + gref;
	grant_entry_v1_t entry = {.flags = GTF_permit_access, .domid = 0, .frame = mfn};

	shm_copy_out(e, &entry, sizeof(entry));
}

static inline uint16_t hosted_grant_flags(const struct hosted_client *c, gref_t gref)
{
	return shm_load(&((grant_entry_v1_t *)hosted_at(c, HOSTED_PFN_GRANT) + gref)->flags);
}

static inline int hosted_message(const struct hosted_client *c, uint32_t op, uint32_t domid, uint32_t port, uint32_t *out)
{
	struct hosted_request req = {.op = op, .domid = domid, .port = port};
	struct hosted_reply reply;
	int fds[2], rc = hosted_ask(c->sock, &req, &reply, fds);

	if (out)
		*out = reply.port;
	return rc;
}

static inline void hosted_ring(const struct hosted_client *c, evtchn_t port)
{
	struct hosted_doorbell *bell = hosted_at(c, HOSTED_PFN_DOORBELL);

	__atomic_fetch_or(&bell->port[port / 64], 1ull << port % 64, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&bell->sel, 1ull << port / 64, __ATOMIC_SEQ_CST);
	send(c->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static inline bool hosted_readable(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1 && (p.revents & POLLIN);
}

/* ---- domain 0 ---- */

static inline int16_t dom0_copy(const struct hosted_client *c, gref_t gref, void *local, uint16_t len, bool in)
{
	struct hv_copy_end guest = {.domid = hosted_id(c), .gref = gref}, ours = {.local = local};
	struct hv_copy_op op = {.src = in ? guest : ours, .dst = in ? ours : guest, .len = len, .status = 1};

	assert_int_equal(hosted_hv->ops->copy(hosted_hv, &op, 1), 0);
	return op.status;
}

static inline struct hv_map_op dom0_map(const struct hosted_client *c, gref_t gref)
{
	struct hv_map_op op = {.domid = hosted_id(c), .gref = gref, .status = 1};

	assert_int_equal(hosted_hv->ops->map(hosted_hv, &op, 1), 0);
	return op;
}

static inline int16_t dom0_unmap(const struct hv_map_op *m)
{
	struct hv_unmap_op op = {.va = m->va, .handle = m->handle, .status = 1};

	assert_int_equal(hosted_hv->ops->unmap(hosted_hv, &op, 1), 0);
	return op.status;
}

/* ---- sluiced, seen from inside ---- */

static inline bool hosted_alive(domid_t domid)
{
	bool is;

	hv_lock_acquire();
	is = domain_find(domid);
	hv_lock_release();
	return is;
}

static inline void hosted_wait_gone(domid_t domid)
{
	for (unsigned ms = 0; hosted_alive(domid) && ms < SOON_MS; ms += 2)
		usleep(2000);
	assert_false(hosted_alive(domid));
}

static inline uint64_t hosted_free_frames(void)
{
	uint64_t n;

	hv_lock_acquire();
	n = machine_free_frames();
	hv_lock_release();
	return n;
}

static inline unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
