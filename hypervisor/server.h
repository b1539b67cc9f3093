/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control socket <run_dir>/control.sock, for the toolstack: a request is one line of JSON, {"command": ..., ...}, its reply another,
 * {"ok": true, ...} or {"ok": false, "error": "one line"}. A connection may carry several requests. The commands are in
 * server_commands.c. Main loop only.
 */
#ifndef SLUICE_SERVER_H
#define SLUICE_SERVER_H

/* 0 or -errno after a line in the log. */
int server_init(const char *run_dir);
/* Destroys every domain, hangs up and removes the socket. hv_lock held. */
void server_fini(void);

/* A listening Unix socket <run_dir>/<name>, mode 0600, of type SOCK_STREAM or SOCK_SEQPACKET: its fd, or -errno after a line in the log.
 * Shared with dom0.c and hosted.c; server_socket.c has both. */
int server_listen(const char *run_dir, const char *name, int type);
/* Accept a peer that may command us: root, or who we are. Its non-blocking fd, or -errno (the others are hung up). For xenstore.sock too. */
int server_accept(int listener);

#endif
