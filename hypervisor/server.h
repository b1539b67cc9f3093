/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket <run_dir>/control.sock, for the toolstack: a request is one line of JSON, {"command": ..., ...}, its reply another,
 * {"ok": true, ...} or {"ok": false, "error": "one line"}. A connection may carry several requests. The commands are in
 * server_commands.c. Main loop only.
 */
#ifndef SLUICE_SERVER_H
#define SLUICE_SERVER_H

#include <sys/socket.h>
#include <sys/un.h>
#include "loop.h"

/* 0 or -errno after a line in the log. */
int server_init(const char *run_dir);
/* Destroys every domain, hangs up and removes the socket. hv_lock held. */
void server_fini(void);

/* A listening Unix socket of sluiced and where it is. server_socket.c has all three functions, for dom0.c and hosted.c too. */
struct server_socket {
	int fd; /* -1: not open */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};
#define SERVER_SOCKET_CLOSED { .fd = -1 }

/* Listen on <run_dir>/<name>, mode 0600, of type SOCK_STREAM or SOCK_SEQPACKET; on_peer is called when one waits. 0, or -errno after a line in the log. */
int server_listen(struct server_socket *s, const char *run_dir, const char *name, int type, loop_fn *on_peer);
/* Closes and removes it; fine when it is not open. */
void server_unlisten(struct server_socket *s);
/* Accept a peer that may command us: root, or who we are. Its non-blocking fd, or -errno (the others are hung up). For xenstore.sock too. */
int server_accept(int listener);

#endif
