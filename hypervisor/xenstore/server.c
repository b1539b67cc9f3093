/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The XenStore server (store.h): the list of connections, the socket xenstore.sock, and sluiced's own access to the tree. Every entry
 * ends in settle(), which sends the events that it caused and closes what broke.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <sluice/shm.h>

#include "../event.h"
#include "../log.h"
#include "../loop.h"
#include "../machine.h"
#include "../mmu.h"
#include "../server.h"
#include "private.h"

struct conn *store_conns;

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int listen_fd = -1, event_fd = -1;
static unsigned nr_sockets;

/* sluiced itself, as a client. */
static struct conn self = { .fd = -1, .who = { .domid = 0, .target = DOMID_INVALID, .privileged = true } };

struct conn *store_guest(domid_t domid)
{
	struct conn *c = store_conns;

	while (c && (!c->domain || c->who.domid != domid))
		c = c->next;
	return c;
}

static void conn_unlink(struct conn *c)
{
	struct conn **at = &store_conns;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	if (c->fd >= 0) {
		loop_remove(c->fd);
		nr_sockets--;
	}
	conn_free(c);
}

/* Pump, then tell the other side or wait for it. */
static bool serve(struct conn *c, unsigned budget)
{
	bool more = conn_pump(c, budget);
	uint32_t want = conn_has_output(c) ? EPOLLOUT : EPOLLIN;

	if (c->moved)
		evtchn_raise(c->domain, c->domain->store_port);
	c->moved = false;
	if (c->fd >= 0 && want != c->epoll_events && !loop_modify(c->fd, want))
		c->epoll_events = want;
	return more;
}

static void settle(void)
{
	for (struct conn *c = store_conns, *next; c; c = next) {
		next = c->next;
		if (!c->broken)
			serve(c, 0);
		if (c->broken && c->fd >= 0)
			conn_unlink(c);
	}
}

/* ---- guests ---- */

static void on_guest_event(int fd, uint32_t events, void *arg)
{
	uint64_t one = 1, count;
	bool more = false;

	(void)events;
	(void)arg;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	for (struct conn *c = store_conns; c; c = c->next)
		if (c->domain)
			more |= serve(c, CONN_BUDGET);
	if (more && write(fd, &one, sizeof(one)) < 0) /* come back, after others had their turn */
		log_error("the XenStore event could not be raised again: %s", strerror(errno));
	settle();
}

static int event_open(void)
{
	event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return event_fd < 0 ? -errno : loop_add(event_fd, EPOLLIN, on_guest_event, NULL);
}

int store_introduce(struct domain *d)
{
	struct actor who = { .domid = d->domid, .target = DOMID_INVALID };
	struct xenstore_domain_interface *page;
	struct conn *c;

	if (store_guest(d->domid))
		return -EEXIST;
	if (mmu_get_granted(d, d->store_mfn, true)) /* the frame stays the domain's as long as we use it */
		return -EINVAL;
	c = conn_new(&who);
	if (!c) {
		mmu_put_granted(d, d->store_mfn, true);
		return -ENOMEM;
	}
	page = machine_ptr(d->store_mfn);
	shm_store(&page->server_features, XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
	shm_store(&page->error, XENSTORE_ERROR_NONE);
	shm_store(&page->connection, XENSTORE_CONNECTED);
	xenstore_ring_attach(&c->ring, page, XENSTORE_RING_STORE);
	c->domain = d;
	c->next = store_conns;
	store_conns = c;
	watch_fire_special("@introduceDomain");
	settle();
	return 0;
}

void store_release(struct domain *d)
{
	struct conn *c = store_guest(d->domid);

	if (!c)
		return;
	for (struct conn *other = store_conns; other; other = other->next)
		if (other->who.target == d->domid)
			other->who.target = DOMID_INVALID;
	conn_unlink(c);
	mmu_put_granted(d, d->store_mfn, true);
	if (db_forget_domain(d->domid))
		log_error("no memory to take domain %u out of XenStore's permissions: the next domain %u can use its nodes", d->domid, d->domid);
	watch_fire_special("@releaseDomain");
	settle();
}

void store_domain_changed(struct domain *d)
{
	(void)d;
	watch_fire_special("@releaseDomain");
	settle();
}

int store_event_fd(void)
{
	return event_fd;
}

/* ---- sluiced itself ---- */

static int self_change(const char *given, struct change ch)
{
	char path[STORE_PATH_SIZE];
	int rc = path_resolve(0, given, path);

	ch.path = path;
	if (!rc)
		rc = db_change(&self, NULL, &ch);
	settle();
	return rc;
}

int store_write(const char *path, const char *value)
{
	return self_change(path, (struct change){ .kind = CHANGE_WRITE, .value = value, .value_len = strlen(value) });
}

int store_rm(const char *path)
{
	return self_change(path, (struct change){ .kind = CHANGE_RM });
}

static int set_perms(const char *path, const struct store_perm *perms, unsigned n)
{
	int rc = self_change(path, (struct change){ .kind = CHANGE_MKDIR });

	return rc ? rc : self_change(path, (struct change){ .kind = CHANGE_PERMS, .perms = perms, .nr_perms = n });
}

int store_set_owner(const char *path, domid_t owner)
{
	struct store_perm perm = { .domid = owner };

	return set_perms(path, &perm, 1);
}

int store_set_reader(const char *path, domid_t reader)
{
	struct store_perm perms[] = { { .domid = 0 }, { .domid = reader, .bits = PERM_READ } };

	return set_perms(path, perms, 2);
}

/* ---- the socket ---- */

static void on_client(int fd, uint32_t events, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (events & (EPOLLHUP | EPOLLERR) && conn_has_output(c))
		c->broken = true; /* nobody will ever take it */
	else
		serve(c, CONN_BUDGET);
	settle();
}

static int client_add(int fd)
{
	struct conn *c;

	if (nr_sockets >= SOCKET_CLIENTS)
		return -EUSERS;
	c = conn_new(&self.who);
	if (!c)
		return -ENOMEM;
	if (loop_add(fd, EPOLLIN, on_client, c)) {
		conn_free(c);
		return -ENOMEM;
	}
	c->fd = fd;
	c->epoll_events = EPOLLIN;
	c->next = store_conns;
	store_conns = c;
	nr_sockets++;
	return 0;
}

static void on_listen(int fd, uint32_t events, void *arg)
{
	int client = server_accept(fd);
	int rc;

	(void)events;
	(void)arg;
	if (client < 0)
		return;
	rc = client_add(client);
	if (rc) {
		log_error("a XenStore client is turned away: %s", strerror(-rc));
		close(client);
	}
}

/* Is a socket file without a server in our way? Then it goes. */
static int clear_stale(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = 0;

	if (fd < 0)
		return -errno;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		log_error("another sluiced serves %s: stop it, or choose another --run-dir", address.sun_path);
		rc = -EADDRINUSE;
	} else if (errno == ECONNREFUSED && unlink(address.sun_path)) {
		rc = -errno;
		log_error("%s is left over and cannot be removed (%s): remove it", address.sun_path, strerror(errno));
	}
	close(fd);
	return rc;
}

static int listen_open(void)
{
	int rc = clear_stale();

	if (rc)
		return rc;
	listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listen_fd < 0 || fchmod(listen_fd, 0600) || bind(listen_fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(listen_fd, 64)) {
		rc = -errno;
		log_error("cannot listen on %s: %s; is its folder there and writable?", address.sun_path, strerror(errno));
		return rc;
	}
	rc = loop_add(listen_fd, EPOLLIN, on_listen, NULL);
	if (rc)
		log_error("cannot wait for clients on %s: %s", address.sun_path, strerror(-rc));
	return rc;
}

int store_init(const char *run_dir)
{
	int rc;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/xenstore.sock", run_dir) >= (int)sizeof(address.sun_path)) {
		log_error("the path %s is too long for a socket: choose a shorter --run-dir", run_dir);
		return -ENAMETOOLONG;
	}
	rc = db_init();
	if (!rc)
		rc = event_open();
	if (rc)
		log_error("XenStore cannot start: %s", strerror(-rc));
	else
		rc = listen_open();
	if (rc)
		store_fini();
	return rc;
}

static void close_watched(int *fd)
{
	if (*fd < 0)
		return;
	loop_remove(*fd);
	close(*fd);
	*fd = -1;
}

void store_fini(void)
{
	struct sockaddr_un bound = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(bound);

	while (store_conns)
		conn_unlink(store_conns);
	if (listen_fd >= 0 && !getsockname(listen_fd, (struct sockaddr *)&bound, &len) && bound.sun_path[0])
		unlink(bound.sun_path); /* ours; not that of a sluiced that was there first */
	close_watched(&listen_fd);
	close_watched(&event_fd);
	db_fini();
}
