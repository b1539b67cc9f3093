/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/dom0.c: attach, channels, bindings over a real socket, and that nothing is left of who hangs up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "hypervisor/dom0.h"
#include "hypervisor/event_private.h"
#include "hypervisor/loop.h"
#include "hypervisor/machine.h"

#define OFFER 5

static char dir[] = "/tmp/sluice-test-dom0-XXXXXX";
static pthread_t loop_thread;

static void *loop_main(void *arg)
{
	loop_run();
	return arg;
}

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(dir) || machine_init(32u << 20) || dom0_init(dir))
		return -1;
	return pthread_create(&loop_thread, NULL, loop_main, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	loop_stop();
	pthread_join(loop_thread, NULL);
	hv_lock_acquire();
	dom0_fini();
	machine_fini();
	hv_lock_release();
	return rmdir(dir);
}

static int connect_hv(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/hv.sock", dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Sends and receives; the fds that came are in fds[0..*n). False: hung up. */
static bool ask(int fd, struct hvsock_request req, struct hvsock_reply *reply, int fds[4], unsigned *n)
{
	union {
		char space[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { reply, sizeof(*reply) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c;

	*n = 0;
	if (send(fd, &req, sizeof(req), MSG_NOSIGNAL) != sizeof(req) || recvmsg(fd, &msg, 0) != sizeof(*reply))
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (c) {
		*n = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(c), *n * sizeof(int));
	}
	return true;
}

/* The reply's code; fds are closed. */
static int code(int fd, struct hvsock_request req)
{
	struct hvsock_reply reply;
	int fds[4];
	unsigned n;

	if (!ask(fd, req, &reply, fds, &n))
		return -EPIPE;
	while (n)
		close(fds[--n]);
	return reply.rc;
}

static int attached(void)
{
	int fd = connect_hv();

	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_ATTACH }), 0);
	return fd;
}

static unsigned nr_used(void)
{
	unsigned used = 0;

	for (unsigned i = 0; i < HVSHARE_CLIENTS; i++)
		used += __atomic_load_n(&machine.share->client[i].used, __ATOMIC_ACQUIRE);
	return used;
}

/* The main loop notices a hang-up in its own time. */
static void wait_used(unsigned n)
{
	for (unsigned i = 0; i < 500 && nr_used() != n; i++)
		usleep(2000);
	assert_int_equal(nr_used(), n);
}

static void attach_gives_both_memories(void **state)
{
	struct hvsock_reply reply;
	int fd = connect_hv(), fds[4];
	struct hvshare *share;
	struct stat st;
	unsigned n;

	(void)state;
	assert_true(ask(fd, (struct hvsock_request){ .op = HVSOCK_ATTACH }, &reply, fds, &n));
	assert_int_equal(reply.rc, 0);
	assert_int_equal(n, 2);
	assert_int_equal(fstat(fds[0], &st), 0);
	assert_int_equal(st.st_size, (off_t)HVSHARE_ALL_FRAMES << SLUICE_PAGE_SHIFT);
	share = mmap(NULL, sizeof(*share), PROT_READ, MAP_SHARED, fds[1], 0);
	assert_ptr_not_equal(share, MAP_FAILED);
	assert_int_equal(share->magic, HVSHARE_MAGIC);
	assert_int_equal(share->client[reply.client].used, 1);
	munmap(share, sizeof(*share));
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_ATTACH }), -EALREADY);
	close(fd);
	wait_used(0);
}

static void nothing_before_attach(void **state)
{
	int fd = connect_hv();

	(void)state;
	for (uint32_t op = HVSOCK_CHANNEL_OPEN; op < 12; op++)
		assert_int_equal(code(fd, (struct hvsock_request){ .op = op }), -ENOTCONN);
	close(fd);
}

static void channels(void **state)
{
	int fd = attached();

	(void)state;
	for (unsigned i = 0; i < HVSHARE_CHANNELS; i++)
		assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_OPEN }), 0);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_OPEN }), -ENOSPC);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_CLOSE, .channel = 3 }), 0);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_CLOSE, .channel = 3 }), -EINVAL);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_CLOSE, .channel = 1000 }), -EINVAL);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_OPEN }), 0);
	close(fd);
	wait_used(0);
}

static void bindings_are_checked(void **state)
{
	int fd = attached();

	(void)state;
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_OPEN }), 0);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_BIND, .domid = 1, .port = 3 }), -EINVAL); /* no such domain */
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_BIND, .domid = 0x10001, .port = 3 }), -EINVAL);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_BIND, .channel = 5, .domid = 1, .port = 3 }), -EINVAL);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_BIND, .channel = ~0u, .domid = 1, .port = 3 }), -EINVAL);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_UNBIND, .port = ~0u }), -EINVAL);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_RELEASED }), 0);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_MEMORY, .domid = 1 }), -ESRCH);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_MEMORY, .domid = ~0u }), -ESRCH);
	assert_int_equal(code(fd, (struct hvsock_request){ .op = 99 }), -ENOSYS);
	close(fd);
	wait_used(0);
}

/* A guest's offer to domain 0 is bound once, and is free again when its owner is gone. */
static void a_binding_ends_with_its_owner(void **state)
{
	struct hvsock_request bind = { .op = HVSOCK_BIND };
	struct domain *d;
	char err[256];

	(void)state;
	hv_lock_acquire();
	assert_int_equal(domain_create("test", 256, &d, err), 0);
	d->evtchn->port[OFFER] = (struct port){ .state = PORT_UNBOUND, .remote = 0 }; /* EVTCHNOP_alloc_unbound for domain 0 */
	hv_lock_release();
	bind.domid = d->domid;
	bind.port = OFFER;
	for (unsigned round = 0; round < 3; round++) {
		int fd = attached();

		assert_int_equal(code(fd, (struct hvsock_request){ .op = HVSOCK_CHANNEL_OPEN }), 0);
		assert_int_equal(code(fd, bind), 0);
		assert_int_equal(code(fd, bind), -EINVAL);
		close(fd);
		wait_used(0);
		for (unsigned i = 0; i < HVSHARE_PORTS; i++)
			assert_int_equal(machine.share->port[i].state, HVSHARE_PORT_FREE);
	}
	hv_lock_acquire();
	domain_destroy(d);
	hv_lock_release();
}

static void one_too_many(void **state)
{
	int fd[HVSHARE_CLIENTS], extra;

	(void)state;
	for (unsigned i = 0; i < HVSHARE_CLIENTS; i++)
		fd[i] = attached();
	wait_used(HVSHARE_CLIENTS);
	extra = connect_hv();
	assert_int_equal(code(extra, (struct hvsock_request){ .op = HVSOCK_ATTACH }), -EPIPE);
	close(extra);
	for (unsigned i = 0; i < HVSHARE_CLIENTS; i++)
		close(fd[i]);
	wait_used(0);
}

static void another_protocol(void **state)
{
	int fd = attached();
	char byte;

	(void)state;
	assert_int_equal(send(fd, "hello", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
	wait_used(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attach_gives_both_memories),
		cmocka_unit_test(nothing_before_attach),
		cmocka_unit_test(channels),
		cmocka_unit_test(bindings_are_checked),
		cmocka_unit_test(a_binding_ends_with_its_owner),
		cmocka_unit_test(one_too_many),
		cmocka_unit_test(another_protocol),
	};

	alarm(60);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
