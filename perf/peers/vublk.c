/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a user would pick instead of a vbd: a vhost-user-blk disk of a storage daemon. This is its guest: a vhost-user client with one split virtqueue that
 * polls and keeps so many random reads under way. Started by scripts/perf, measures as sluice-perf blk does.
 *
 *	vublk SOCKET SIZE DEPTH SECONDS CPU
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <perf/tool/histogram.h>
#include <perf/tool/sample.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MEMORY (64u << 20)
#define QUEUE 128u
#define DEPTH_MAX (QUEUE / 4u) /* three descriptors each */
#define HEADERS_AT (512u << 10)
#define STATUS_AT (600u << 10)
#define DATA_AT (1u << 20)
#define SECTOR 512u
#define CONFIG_BYTES 60u

/* The requests of QEMU's docs/interop/vhost-user.rst that it takes. */
enum {
	GET_FEATURES = 1, SET_FEATURES = 2, SET_OWNER = 3, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR = 9, SET_VRING_BASE = 10, SET_VRING_KICK = 12,
	SET_VRING_CALL = 13, GET_PROTOCOL_FEATURES = 15, SET_PROTOCOL_FEATURES = 16, SET_VRING_ENABLE = 18, GET_CONFIG = 24
};
#define VERSION 1u
#define F_PROTOCOL_FEATURES (1ull << 30)
#define PROTOCOL_F_CONFIG (1ull << 9)

struct header {
	uint32_t request, flags, size;
};
struct vring_number {
	uint32_t index, number;
};
struct vring_address {
	uint32_t index, flags;
	uint64_t desc, used, avail, log;
};
struct mem_table {
	uint32_t regions, padding;
	uint64_t guest_address, size, user_address, offset;
};
struct config {
	uint32_t offset, size, flags;
	uint8_t bytes[CONFIG_BYTES];
};

struct disk {
	int socket, kick;
	uint8_t *memory;
	int memory_fd;
	struct vring ring;
	uint16_t avail, used;
	uint64_t places, state; /* where reads fit; random numbers */
	unsigned size, depth;
	uint64_t began[DEPTH_MAX], errors;
	struct sampler s;
	struct histogram latency;
};

/* ---- messages ---- */

static int say(struct disk *d, uint32_t request, const void *body, uint32_t size, int fd)
{
	struct header h = { request, VERSION, size };
	struct iovec parts[] = { { &h, sizeof(h) }, { (void *)(uintptr_t)body, size } };
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = sizeof(control);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	return sendmsg(d->socket, &m, MSG_NOSIGNAL) == (ssize_t)(sizeof(h) + size) ? 0 : -EIO;
}

static int ask(struct disk *d, uint32_t request, void *body, uint32_t size, uint32_t send)
{
	struct header h;

	if (say(d, request, body, send, -1) || recv(d->socket, &h, sizeof(h), MSG_WAITALL) != sizeof(h))
		return -EIO;
	return h.request == request && h.size == size && recv(d->socket, body, size, MSG_WAITALL) == (ssize_t)size ? 0 : -EPROTO;
}

static int say_number(struct disk *d, uint32_t request, uint32_t number)
{
	struct vring_number n = { 0, number };

	return say(d, request, &n, sizeof(n), -1);
}

static int say_word(struct disk *d, uint32_t request, uint64_t word, int fd)
{
	return say(d, request, &word, sizeof(word), fd);
}

/* ---- connecting ---- */

static int negotiate(struct disk *d)
{
	struct config config = { .size = CONFIG_BYTES };
	uint64_t features = 0, protocol = 0, capacity;
	int rc = say(d, SET_OWNER, NULL, 0, -1);

	if (!rc)
		rc = ask(d, GET_FEATURES, &features, sizeof(features), 0);
	if (!rc)
		rc = ask(d, GET_PROTOCOL_FEATURES, &protocol, sizeof(protocol), 0);
	if (!rc)
		rc = say_word(d, SET_PROTOCOL_FEATURES, protocol & PROTOCOL_F_CONFIG, -1);
	if (!rc)
		rc = ask(d, GET_CONFIG, &config, sizeof(config), sizeof(config));
	if (!rc)
		rc = say_word(d, SET_FEATURES, features & (1ull << VIRTIO_F_VERSION_1 | F_PROTOCOL_FEATURES), -1);
	memcpy(&capacity, config.bytes, sizeof(capacity)); /* struct virtio_blk_config begins with it */
	d->places = capacity / (d->size / SECTOR);
	return rc ? rc : d->places ? 0 : -EINVAL;
}

static int share_memory(struct disk *d)
{
	struct mem_table table = { .regions = 1, .size = MEMORY };

	d->memory_fd = memfd_create("guest", MFD_CLOEXEC);
	if (d->memory_fd < 0 || ftruncate(d->memory_fd, MEMORY))
		return -errno;
	d->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, d->memory_fd, 0);
	if (d->memory == MAP_FAILED)
		return -errno;
	table.user_address = (uintptr_t)d->memory;
	return say(d, SET_MEM_TABLE, &table, sizeof(table), d->memory_fd);
}

static int start_ring(struct disk *d)
{
	struct vring_address a;
	int call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), rc;

	d->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (call < 0 || d->kick < 0)
		return -errno;
	vring_init(&d->ring, QUEUE, d->memory, 4096);
	d->ring.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	a = (struct vring_address){ .desc = (uintptr_t)d->ring.desc, .used = (uintptr_t)d->ring.used, .avail = (uintptr_t)d->ring.avail };
	rc = say_number(d, SET_VRING_NUM, QUEUE);
	if (!rc)
		rc = say_number(d, SET_VRING_BASE, 0);
	if (!rc)
		rc = say(d, SET_VRING_ADDR, &a, sizeof(a), -1);
	if (!rc)
		rc = say_word(d, SET_VRING_CALL, 0, call);
	if (!rc)
		rc = say_word(d, SET_VRING_KICK, 0, d->kick);
	return rc ? rc : say_number(d, SET_VRING_ENABLE, 1);
}

static int connect_to(struct disk *d, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	d->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (d->socket < 0 || connect(d->socket, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	rc = negotiate(d);
	if (!rc)
		rc = share_memory(d);
	return rc ? rc : start_ring(d);
}

/* ---- the loop ---- */

static void prepare(struct disk *d, uint16_t i)
{
	uint16_t at = (uint16_t)(3 * i);

	d->ring.desc[at] = (struct vring_desc){ HEADERS_AT + i * sizeof(struct virtio_blk_outhdr), sizeof(struct virtio_blk_outhdr), VRING_DESC_F_NEXT, (uint16_t)(at + 1) };
	d->ring.desc[at + 1] = (struct vring_desc){ DATA_AT + (uint64_t)i * d->size, d->size, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, (uint16_t)(at + 2) };
	d->ring.desc[at + 2] = (struct vring_desc){ STATUS_AT + i, 1, VRING_DESC_F_WRITE, 0 };
}

static void submit(struct disk *d, unsigned i)
{
	struct virtio_blk_outhdr *header = (struct virtio_blk_outhdr *)(void *)(d->memory + HEADERS_AT) + i;

	d->state ^= d->state << 13; /* xorshift64 */
	d->state ^= d->state >> 7;
	d->state ^= d->state << 17;
	*header = (struct virtio_blk_outhdr){ .type = VIRTIO_BLK_T_IN, .sector = d->state % d->places * (d->size / SECTOR) };
	d->memory[STATUS_AT + i] = 0xff;
	d->began[i] = __rdtsc();
	d->ring.avail->ring[d->avail++ % QUEUE] = (uint16_t)(3 * i);
}

static void publish(struct disk *d)
{
	uint64_t one = 1;

	__atomic_store_n(&d->ring.avail->idx, d->avail, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* our index before our look at the daemon's wish for kicks */
	if (!(__atomic_load_n(&d->ring.used->flags, __ATOMIC_RELAXED) & VRING_USED_F_NO_NOTIFY) && write(d->kick, &one, sizeof(one)) < 0)
		d->errors++;
}

static unsigned turn(struct disk *d)
{
	uint16_t end = __atomic_load_n(&d->ring.used->idx, __ATOMIC_ACQUIRE);
	uint64_t now = __rdtsc();
	unsigned n = 0;

	for (; d->used != end; n++) {
		uint32_t i = d->ring.used->ring[d->used++ % QUEUE].id / 3;

		if (i >= d->depth)
			continue;
		d->errors += d->memory[STATUS_AT + i] != VIRTIO_BLK_S_OK;
		if (d->s.total_from)
			histogram_add(&d->latency, now - d->began[i]);
		submit(d, i);
	}
	if (n)
		publish(d);
	return n;
}

static int measure(struct disk *d, double seconds)
{
	if (sampler_init(&d->s, tsc_calibrate(), seconds))
		return -ENOMEM;
	for (unsigned i = 0; i < d->depth; i++) {
		prepare(d, (uint16_t)i);
		submit(d, i);
	}
	publish(d);
	while (sampler_tick(&d->s, turn(d)))
		;
	return d->errors ? -EIO : d->s.nr_windows ? 0 : -ENODATA;
}

static void report(struct disk *d)
{
	struct rate r = sampler_rate(&d->s);

	printf("{\"tool\": \"vublk\", \"size\": %u, \"depth\": %u, \"unit\": \"IOPS\", \"p50\": %.0f, \"p90\": %.0f, \"mean\": %.0f, \"latency_p50_us\": %.2f, "
	       "\"windows\": {\"clean\": %u, \"all\": %u}}\n", d->size, d->depth, r.p50, r.p90, r.mean,
	       (double)histogram_percentile(&d->latency, 0.5) / d->s.tsc_per_ns / 1e3, r.clean, r.windows);
}

int main(int argc, char **argv)
{
	static struct disk d = { .state = 88172645463325252ull };
	cpu_set_t set;
	int rc;

	if (argc != 6) {
		fprintf(stderr, "usage: vublk SOCKET SIZE DEPTH SECONDS CPU\n");
		return 2;
	}
	d.size = (unsigned)strtoul(argv[2], NULL, 10);
	d.depth = (unsigned)strtoul(argv[3], NULL, 10);
	if (d.size < SECTOR || d.size % SECTOR || d.size > 1u << 20 || !d.depth || d.depth > DEPTH_MAX) {
		fprintf(stderr, "vublk: error: the size is a multiple of 512 up to 1 MiB, the depth 1 to %u\n", DEPTH_MAX);
		return 2;
	}
	CPU_ZERO(&set);
	CPU_SET(strtoul(argv[5], NULL, 10), &set);
	sched_setaffinity(0, sizeof(set), &set);
	rc = connect_to(&d, argv[1]);
	if (!rc)
		rc = measure(&d, strtod(argv[4], NULL));
	if (!rc)
		report(&d);
	else
		fprintf(stderr, "vublk: error: %s: %s\n", argv[1], strerror(-rc));
	return rc ? 1 : 0;
}
