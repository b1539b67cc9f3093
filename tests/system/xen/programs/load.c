/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The loads of the scenario cpu_time, each a fixed amount of work; linked statically, since it runs in a Linux guest that has no libraries to speak of. `sink` is the
 * other end of `tcp`, in dom0. Built by images.py, started by scenarios/cpu.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FRAME_PAYLOAD 22 /* with the headers of UDP, IPv4 and Ethernet 64 bytes */
#define BATCH 32u
#define CHUNK (64u << 10)
#define WAKE_BYTES (64 << 10)
#define BLOCK 4096u
#define DEPTH_MAX 64u
#define MIB (1u << 20)

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int connected(int type, const char *ip, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET, type, 0);

	to.sin_addr.s_addr = inet_addr(ip);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die(ip);
	return fd;
}

/* A full queue of the interface makes sendmmsg wait: the socket's buffer is the limit, and nothing is dropped. */
static void udp(const char *ip, const char *port, unsigned long n)
{
	static char payload[FRAME_PAYLOAD];
	struct iovec part = {payload, sizeof(payload)};
	struct mmsghdr message[BATCH] = {0};
	int fd = connected(SOCK_DGRAM, ip, port);

	for (unsigned i = 0; i < BATCH; i++)
		message[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	while (n) {
		int sent = sendmmsg(fd, message, n < BATCH ? (unsigned)n : BATCH, 0);

		if (sent < 0 && errno != ENOBUFS)
			die("sendmmsg");
		n -= sent < 0 ? 0 : (unsigned long)sent;
	}
}

/* Ends when the other side has taken it all: sink closes then. */
static void tcp(const char *ip, const char *port, unsigned long mib)
{
	static char chunk[CHUNK];
	int fd = connected(SOCK_STREAM, ip, port);

	for (unsigned long left = mib * MIB; left;) {
		ssize_t sent = write(fd, chunk, left < CHUNK ? left : CHUNK);

		if (sent < 0)
			die("write");
		left -= (unsigned long)sent;
	}
	shutdown(fd, SHUT_WR);
	if (read(fd, chunk, 1) != 0)
		die("the end of the connection");
}

/*
 * One connection after the other, with as little of dom0's time as can be, since that is measured and is no back end's: MSG_TRUNC throws the bytes away without copying
 * them, SO_RCVLOWAT wakes us once for many, in whatever sizes they come.
 */
static void sink(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
	int listener = socket(AF_INET, SOCK_STREAM, 0), many = WAKE_BYTES;

	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_RCVLOWAT, &many, sizeof(many)) || bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1))
		die("listen");
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		unsigned long long bytes = 0;
		ssize_t got;

		if (fd < 0)
			die("accept");
		while ((got = recv(fd, NULL, MIB, MSG_TRUNC)) > 0)
			bytes += (unsigned long long)got;
		close(fd);
		printf("%llu\n", bytes);
		fflush(stdout);
	}
}

static void submit(aio_context_t aio, struct iocb *io, unsigned long *seed, unsigned long blocks)
{
	*seed = (*seed * 1103515245 + 12345) % blocks;
	io->aio_offset = (int64_t)(*seed * BLOCK);
	if (syscall(SYS_io_submit, aio, 1L, &io) != 1)
		die("io_submit");
}

/* `depth` reads under way all the time, from all over the first `mib` MiB of the disk, in the same order each time. */
static void reads(const char *path, unsigned long mib, unsigned long n, unsigned depth)
{
	unsigned long blocks = mib * (MIB / BLOCK), seed = 0, begun = 0;
	int fd = open(path, O_RDONLY | O_DIRECT);
	char *room = aligned_alloc(BLOCK, DEPTH_MAX * BLOCK);
	struct io_event done[DEPTH_MAX];
	struct iocb io[DEPTH_MAX];
	aio_context_t aio = 0;

	if (fd < 0 || !room || depth > DEPTH_MAX || syscall(SYS_io_setup, DEPTH_MAX, &aio))
		die(path);
	for (; begun < n && begun < depth; begun++) {
		io[begun] = (struct iocb){.aio_fildes = (uint32_t)fd, .aio_lio_opcode = IOCB_CMD_PREAD, .aio_nbytes = BLOCK};
		io[begun].aio_buf = (uintptr_t)(room + begun * BLOCK);
		submit(aio, &io[begun], &seed, blocks);
	}
	for (unsigned long ended = 0; ended < n;) {
		long got = syscall(SYS_io_getevents, aio, 1L, (long)DEPTH_MAX, done, NULL);

		if (got < 0)
			die("io_getevents");
		for (long i = 0; i < got; i++, ended++) {
			if (done[i].res != BLOCK)
				die("a read");
			if (begun < n && ++begun)
				submit(aio, (struct iocb *)(uintptr_t)done[i].obj, &seed, blocks);
		}
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "udp") == 0 && argc == 5)
		udp(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	else if (strcmp(what, "tcp") == 0 && argc == 5)
		tcp(argv[2], argv[3], strtoul(argv[4], NULL, 10));
	else if (strcmp(what, "sink") == 0 && argc == 3)
		sink(argv[2]);
	else if (strcmp(what, "read") == 0 && argc == 6)
		reads(argv[2], strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), (unsigned)atoi(argv[5]));
	else
		return fprintf(stderr, "usage: load udp IP PORT PACKETS | tcp IP PORT MIB | sink PORT | read DEVICE MIB READS DEPTH\n"), 2;
	return 0;
}
