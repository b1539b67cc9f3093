/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Consoles (console.h). The ring is struct xencons_interface, at d->console_mfn: `out` is what the guest says, `in` what is typed. The
 * guest's bytes leave the ring at once, to the log and to each attached client's own bounded buffer; a client that does not read
 * loses what does not fit. Typed bytes are taken from a client only as far as the ring has room. Called by the main loop and by server.c.
 */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sluice/shm.h>

#include "event.h"
#include "guest_access.h"
#include "hypercall.h"
#include "log.h"
#include "loop.h"
#include "machine.h"
#include "mmu.h"

#define LOG_LIMIT (1u << 20)
#define TAIL_BYTES (16u << 10)   /* of the log, that a new client sees */
#define CLIENT_BUFFER (64u << 10)
#define CLIENTS 4
#define CONSOLE_IO_LINE 256u

_Static_assert(sizeof(((struct xencons_interface *)0)->in) == 1024 && sizeof(((struct xencons_interface *)0)->out) == 2048,
	       "console ring is not 1024 in, 2048 out");

struct client {
	struct console *con;
	int fd;            /* -1: free */
	uint32_t events;   /* that the loop waits for */
	size_t len;        /* bytes in buffer */
	char buffer[CLIENT_BUFFER];
};

struct console {
	struct console *next;
	struct domain *domain;
	struct xencons_interface *ring;
	uint32_t out_cons, in_prod; /* ours, private */
	bool broken;                /* the guest's indices make no sense: it is not served any more */
	int log_fd;
	size_t log_size;
	char log_path[PATH_MAX];
	struct client *clients[CLIENTS];
};

static char run_dir[PATH_MAX];
static struct console *consoles;
static int event_fd = -1;

/* ---- the log ---- */

/* Begin a fresh log; the one before, of this domain or of an earlier one with its name, stays beside it: at most 2 MiB a name. */
static void log_begin(struct console *con)
{
	char old[PATH_MAX + 2];

	snprintf(old, sizeof(old), "%s.1", con->log_path);
	if (rename(con->log_path, old) && errno != ENOENT)
		log_error("cannot rename %s: %s; it is emptied", con->log_path, strerror(errno));
	con->log_size = 0;
	con->log_fd = open(con->log_path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_TRUNC, 0600);
	if (con->log_fd < 0)
		log_error("cannot write %s: %s; the console of %s is not logged", con->log_path, strerror(errno), con->domain->name);
}

static void log_append(struct console *con, const char *bytes, size_t n)
{
	ssize_t done;

	if (con->log_fd < 0)
		return;
	if (con->log_size + n > LOG_LIMIT) {
		close(con->log_fd);
		log_begin(con);
	}
	done = con->log_fd >= 0 ? write(con->log_fd, bytes, n) : 0;
	if (done > 0)
		con->log_size += (size_t)done;
}

/* ---- clients ---- */

static void client_close(struct client *cl)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (cl->con->clients[i] == cl)
			cl->con->clients[i] = NULL;
	loop_remove(cl->fd);
	close(cl->fd);
	free(cl);
}

static uint32_t in_room(const struct console *con)
{
	uint32_t used = con->in_prod - shm_load_acquire(&con->ring->in_cons);

	return used > sizeof(con->ring->in) ? 0 : (uint32_t)sizeof(con->ring->in) - used;
}

/* Read from the client only while the guest has room for it, write only while something waits. */
static void client_wait(struct client *cl)
{
	uint32_t events = (!cl->con->broken && in_room(cl->con) ? EPOLLIN : 0) | (cl->len ? EPOLLOUT : 0);

	if (events != cl->events && !loop_modify(cl->fd, events))
		cl->events = events;
}

/* False: the client is gone (and closed). */
static bool client_flush(struct client *cl)
{
	ssize_t n = cl->len ? send(cl->fd, cl->buffer, cl->len, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;

	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		client_close(cl);
		return false;
	}
	if (n > 0) {
		cl->len -= (size_t)n;
		memmove(cl->buffer, cl->buffer + n, cl->len);
	}
	client_wait(cl);
	return true;
}

static void client_add(struct client *cl, const char *bytes, size_t n)
{
	size_t room = sizeof(cl->buffer) - cl->len;

	if (n > room)
		n = room;
	memcpy(cl->buffer + cl->len, bytes, n);
	cl->len += n;
}

/* Bytes that a client typed go to the guest; at most as many as there is room for are given. */
static void ring_type(struct console *con, const char *bytes, size_t n)
{
	struct xencons_interface *r = con->ring;

	for (size_t i = 0; i < n; i++)
		shm_store(&r->in[(con->in_prod + i) % sizeof(r->in)], bytes[i]);
	con->in_prod += (uint32_t)n;
	shm_store_release(&r->in_prod, con->in_prod);
	evtchn_raise(con->domain, con->domain->console_port);
}

/* False: the client is gone (and closed). */
static bool client_read(struct client *cl)
{
	char bytes[1024];
	uint32_t room = in_room(cl->con);
	ssize_t n;

	if (!room || cl->con->broken)
		return true;
	n = recv(cl->fd, bytes, room < sizeof(bytes) ? room : sizeof(bytes), MSG_DONTWAIT);
	if (!n || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		client_close(cl);
		return false;
	}
	if (n > 0)
		ring_type(cl->con, bytes, (size_t)n);
	return true;
}

static void on_client(int fd, uint32_t events, void *arg)
{
	struct client *cl = arg;

	(void)fd;
	if (events & EPOLLERR || (events & EPOLLHUP && !(events & EPOLLIN))) {
		client_close(cl);
		return;
	}
	if (events & EPOLLIN && !client_read(cl))
		return;
	client_flush(cl);
}

/* ---- the guest's ring ---- */

/* Take what the guest wrote, at most a ring full. */
static size_t ring_take(struct console *con, char bytes[2048])
{
	struct xencons_interface *r = con->ring;
	uint32_t n = shm_load_acquire(&r->out_prod) - con->out_cons;

	if (n > sizeof(r->out)) {
		con->broken = true;
		log_domain_limited(con->domain, "its console is closed: an index beyond the ring");
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = shm_load(&r->out[(con->out_cons + i) % sizeof(r->out)]);
	con->out_cons += n;
	shm_store_release(&r->out_cons, con->out_cons); /* our loads of the bytes before the guest may overwrite them */
	return n;
}

static void console_serve(struct console *con)
{
	char bytes[2048];
	size_t n = con->broken ? 0 : ring_take(con, bytes);

	if (n) {
		evtchn_raise(con->domain, con->domain->console_port);
		log_append(con, bytes, n);
	}
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *cl = con->clients[i];

		if (!cl)
			continue;
		client_add(cl, bytes, n);
		client_flush(cl);
	}
}

static void on_event(int fd, uint32_t events, void *arg)
{
	uint64_t count;

	(void)events;
	(void)arg;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	for (struct console *con = consoles; con; con = con->next)
		console_serve(con);
}

/* ---- console.h ---- */

int console_init(const char *dir)
{
	int rc;

	if (snprintf(run_dir, sizeof(run_dir), "%s", dir) >= (int)sizeof(run_dir)) {
		log_error("the path %s is too long: choose a shorter --run-dir", dir);
		return -ENAMETOOLONG;
	}
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = event_fd < 0 ? -errno : loop_add(event_fd, EPOLLIN, on_event, NULL);
	if (rc)
		log_error("consoles cannot start: %s", strerror(-rc));
	return rc;
}

int console_event_fd(void)
{
	return event_fd;
}

/* console-<name>.log in the run directory; a name must not lead out of it. */
static int log_name(struct console *con, const char *name)
{
	int n = snprintf(con->log_path, sizeof(con->log_path), "%s/console-%s.log", run_dir, name);

	if (n >= (int)sizeof(con->log_path))
		return -ENAMETOOLONG;
	for (char *p = con->log_path + strlen(run_dir) + 1; *p; p++)
		if (*p == '/')
			*p = '_';
	return 0;
}

int console_open(struct domain *d)
{
	struct console *con = calloc(1, sizeof(*con));
	int rc = con ? log_name(con, d->name) : -ENOMEM;

	if (!rc)
		rc = mmu_get_granted(d, d->console_mfn, true); /* the frame stays the domain's as long as we use it */
	if (rc) {
		free(con);
		return rc;
	}
	con->domain = d;
	con->ring = machine_ptr(d->console_mfn);
	con->out_cons = shm_load(&con->ring->out_cons);
	con->in_prod = shm_load(&con->ring->in_prod);
	log_begin(con);
	con->next = consoles;
	consoles = con;
	d->console = con;
	return 0;
}

void console_close(struct domain *d)
{
	struct console *con = d->console, **at = &consoles;

	if (!con)
		return;
	console_serve(con);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (con->clients[i])
			client_close(con->clients[i]);
	while (*at != con)
		at = &(*at)->next;
	*at = con->next;
	if (con->log_fd >= 0)
		close(con->log_fd);
	mmu_put_granted(d, d->console_mfn, true);
	d->console = NULL;
	free(con);
}

static void send_tail(struct client *cl)
{
	struct console *con = cl->con;
	char tail[TAIL_BYTES];
	size_t n = con->log_size < sizeof(tail) ? con->log_size : sizeof(tail);
	ssize_t got = con->log_fd >= 0 ? pread(con->log_fd, tail, n, (off_t)(con->log_size - n)) : 0;

	if (got > 0)
		client_add(cl, tail, (size_t)got);
}

int console_attach(struct domain *d, int fd)
{
	struct console *con = d->console;
	struct client *cl;
	unsigned i = 0;

	if (!con)
		return -ENOENT;
	while (i < CLIENTS && con->clients[i])
		i++;
	if (i == CLIENTS)
		return -EBUSY;
	cl = calloc(1, sizeof(*cl));
	if (!cl)
		return -ENOMEM;
	cl->con = con;
	cl->fd = fd;
	if (loop_add(fd, 0, on_client, cl)) {
		free(cl);
		return -ENOMEM;
	}
	con->clients[i] = cl;
	send_tail(cl);
	client_flush(cl);
	return 0;
}

/* ---- the hypervisor's own console ---- */

/* A domU's output is dropped, as Xen has it, unless somebody debugs. */
long do_console_io(struct vcpu *v, unsigned cmd, unsigned count, gva_t buf)
{
	char line[CONSOLE_IO_LINE + 1];

	if (cmd == CONSOLEIO_read)
		return 0;
	if (cmd != CONSOLEIO_write)
		return -ENOSYS;
	if (!log_verbose || !count)
		return 0;
	if (count > CONSOLE_IO_LINE)
		count = CONSOLE_IO_LINE;
	if (copy_from_guest(v, line, buf, count))
		return -EFAULT;
	line[count] = '\0';
	log_domain_limited(v->domain, "says: %s", line);
	return 0;
}
