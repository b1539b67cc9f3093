/* SPDX-License-Identifier: BSD-3-Clause */
/* Wake-up by a packet socket (wake.h). It holds a few bytes of the first few packets since it was drained; the kernel drops the rest at once. */
#include "wake.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_MOST 64u /* more than fit into the smallest receive buffer */

int wake_open(unsigned ifindex)
{
	struct sock_filter one_byte = BPF_STMT(BPF_RET | BPF_K, 1);
	struct sock_fprog filter = { .len = 1, .filter = &one_byte };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), smallest = 0, yes = 1, rc;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof(smallest)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes)) || bind(fd, (struct sockaddr *)&to, sizeof(to))) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

bool wake_drain(int fd)
{
	char byte;

	for (unsigned i = 0; i < DRAIN_MOST; i++)
		if (recv(fd, &byte, 1, MSG_TRUNC) < 0)
			return i;
	return true;
}
