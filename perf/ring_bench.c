/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The slot loops by themselves: our netfront and our netback over hv_fake in one process and one thread, guest to guest through the bridge (two vifs of one
 * domain). For counting instructions, which a busy machine does not disturb, and for profiles:
 *
 *	valgrind --tool=callgrind --toggle-collect=measured ring_bench BYTES BURSTS [copy]
 *
 * BYTES: size of a packet. BURSTS: how many, of 32 packets. copy: without static grants. Prints packets and nanoseconds a packet, and instructions where
 * the processor counts them.
 */
#include <errno.h>
#include <frontend/netfront.h>
#include <linux/perf_event.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <tests/support/netback_world.h>
#include <tests/support/port_fake.h>
#include <time.h>
#include <unistd.h>

#define DOMID 1
#define BURST 32u

static struct world w;
static struct xenbus *xb;
static struct netfront *nf[2];
static uint64_t received;

/* ---- hv_fake has one queue of watch events; here two read it: the back end, whose tokens are its class, and the guest ---- */

struct event {
	char *path, *token;
	struct event *next;
};
static struct event *kept[2]; /* for the guest, for the back end */
static struct hv_ops ops;
static const struct hv_ops *fake_ops;
static bool in_backend;

static void keep(char *path, char *token)
{
	bool ours = strncmp(token, "vif", 3) == 0 && (token[3] == '\0' || token[3] == '/');
	struct event *e = malloc(sizeof(*e)), **at = &kept[ours];

	*e = (struct event){ .path = path, .token = token };
	while (*at)
		at = &(*at)->next;
	*at = e;
}

static int next_event(struct hv *hv, char **path, char **token)
{
	struct event *e;

	while (fake_ops->store_event(hv, path, token) == 0)
		keep(*path, *token);
	if (!in_backend && kept[1])
		eventfd_write(fake_ops->store_fd(hv), 1);
	e = kept[in_backend];
	if (!e)
		return -EAGAIN;
	kept[in_backend] = e->next;
	*path = e->path;
	*token = e->token;
	free(e);
	return 0;
}

static void split_events(void)
{
	fake_ops = w.hv->ops;
	ops = *fake_ops;
	ops.store_event = next_event;
	w.hv->ops = &ops;
}

static void backend(void)
{
	in_backend = true;
	poller_round(w.nb.poller, false);
	in_backend = false;
}

static void world_step(void *arg)
{
	(void)arg;
	backend();
}

static int count_open(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE, .size = sizeof(attr), .config = PERF_COUNT_HW_INSTRUCTIONS, .exclude_kernel = 1 };

	return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t count_read(int fd)
{
	uint64_t n = 0;

	return fd >= 0 && read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void connect_all(void)
{
	struct netfront_options options = { .csum_blank = true };
	bool done = false;

	for (unsigned i = 0; i < 2; i++) {
		toolstack_add_vif(w.hv, DOMID, i, "mtu=9000");
		nf[i] = netfront_create(xb, i, &options);
	}
	for (unsigned i = 0; i < 3000 && !done; i++) {
		backend();
		usleep(1000);
		done = true;
		for (unsigned k = 0; k < 2; k++)
			done &= netfront_step(nf[k]) == NETFRONT_CONNECTED && netfront_stats(nf[k])->static_pages > 0;
	}
	if (!done) {
		fprintf(stderr, "ring_bench: the vifs do not connect; run the tests of netback_ctrl and netfront_ctrl\n");
		exit(1);
	}
}

static void forget_static(void)
{
	for (unsigned i = 0; i < 2; i++) {
		struct netback_vif *vif = devices_find(w.devices, DOMID, i)->priv;

		static_grants_fini(&vif->queue[0].grants, w.hv, w.nb.ctrl);
	}
}

static void receive(struct netfront *f)
{
	struct netfront_buf bufs[NETFRONT_BURST];
	unsigned n = netfront_rx(f, bufs, NETFRONT_BURST);

	received += n;
	netfront_rx_done(f, bufs, n);
}

/* One burst from vif 0 to vif 1; the sender writes only the header of each packet. */
static __attribute__((noinline)) void burst(uint16_t bytes, domid_t from, domid_t to, struct netfront *src, struct netfront *dst)
{
	struct netfront_buf bufs[BURST];
	unsigned n = netfront_tx_alloc(src, bufs, BURST);
	uint8_t head[64];

	world_frame(head, sizeof(head), from, to);
	for (unsigned i = 0; i < n; i++) {
		shm_copy_bulk(bufs[i].data, head, sizeof(head));
		bufs[i].len = bytes;
	}
	netfront_tx(src, bufs, n);
	backend();
	receive(dst);
}

/* What tests/system/test_instructions.py counts: no set-up, no warming up. */
static __attribute__((noinline)) void measured(uint16_t bytes, unsigned bursts)
{
	for (unsigned i = 0; i < bursts; i++)
		burst(bytes, 2, 3, nf[0], nf[1]);
}

int main(int argc, char **argv)
{
	uint16_t bytes = argc > 1 ? (uint16_t)atoi(argv[1]) : 64;
	unsigned bursts = argc > 2 ? (unsigned)atoi(argv[2]) : 10000;
	bool copy = argc > 3 && strcmp(argv[3], "copy") == 0;
	uint64_t ns, instructions;
	int fd;

	world_create(&w);
	split_events();
	port_fake_open(w.hv, DOMID);
	port_fake_set_world(world_step, NULL);
	xb = xenbus_create();
	connect_all();
	if (copy)
		forget_static();
	for (unsigned i = 0; i < 64; i++) { /* the bridge learns, caches fill */
		burst(bytes, 2, 3, nf[0], nf[1]);
		burst(bytes, 3, 2, nf[1], nf[0]);
	}
	received = 0;
	fd = count_open();
	instructions = count_read(fd);
	ns = now_ns();
	measured(bytes, bursts);
	ns = now_ns() - ns;
	instructions = count_read(fd) - instructions;
	printf("bytes=%u packets=%lu of %u ns_per_packet=%.1f", bytes, (unsigned long)received, bursts * BURST, (double)ns / (double)received);
	if (fd >= 0)
		printf(" instructions_per_packet=%.1f", (double)instructions / (double)received);
	printf("\n");
	fflush(stdout);
	_exit(received == (uint64_t)bursts * BURST ? 0 : 1);
}
