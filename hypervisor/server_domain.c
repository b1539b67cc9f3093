/* SPDX-License-Identifier: BSD-3-Clause */
/* Birth and death of domains (server_domain.h), for server_commands.c and for guests that end by themselves. */
#include "server_domain.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "build/pv.h"
#include "console.h"
#include "event.h"
#include "hosted.h"
#include "log.h"
#include "loop.h"
#include "xenstore/store.h"

#define PAGES_PER_MIB 256u

const char *const end_action_names[END_ACTIONS] = { "destroy", "preserve", "restart" };

/* What its creator wanted done at its end, by domid. */
static struct end_policy {
	enum end_action on_poweroff, on_reboot, on_crash;
	bool told; /* its shutdown was seen */
} policies[HVSHARE_DOMAINS];

static int shutdown_fd = -1;

/* In the thread of a vCPU: the rest happens in the main loop. */
static void domain_is_over(struct domain *d)
{
	uint64_t one = 1;

	if (write(shutdown_fd, &one, sizeof(one)) < 0)
		log_error("domain %u (%s): its end cannot be told: %s", d->domid, d->name, strerror(errno));
}

static enum end_action choose(const struct domain *d, const char **how)
{
	const struct end_policy *p = &policies[d->domid];

	switch (d->shutdown_reason) {
	case SHUTDOWN_poweroff:
		*how = "powered off";
		return p->on_poweroff;
	case SHUTDOWN_reboot:
		*how = "asked for a reboot";
		return p->on_reboot;
	case SHUTDOWN_suspend:
		*how = "suspended itself";
		return END_PRESERVE;
	default:
		*how = "crashed";
		return p->on_crash;
	}
}

static void finish(struct domain *d)
{
	const char *how;
	enum end_action action = choose(d, &how);

	policies[d->domid].told = true;
	store_domain_changed(d);
	log_info("domain %u (%s) %s: %s", d->domid, d->name, how,
		 action == END_PRESERVE ? "preserved until sluice destroy" :
		 action == END_RESTART ? "destroyed (sluiced cannot restart it yet: use sluice create)" : "destroyed");
	if (action != END_PRESERVE)
		server_domain_destroy(d);
}

static void some_domain_over(int fd, uint32_t events, void *arg)
{
	struct domain *d, *next;
	uint64_t n;

	(void)events;
	(void)arg;
	if (read(fd, &n, sizeof(n)) < 0)
		return;
	for (d = domain_next(NULL); d; d = next) {
		next = domain_next(d);
		if (d->run == DOMAIN_SHUTDOWN && !policies[d->domid].told)
			finish(d);
	}
}

int server_domain_init(void)
{
	int rc;

	shutdown_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	rc = shutdown_fd < 0 ? -errno : loop_add(shutdown_fd, EPOLLIN, some_domain_over, NULL);
	if (rc)
		log_error("cannot watch for the end of domains: %s", strerror(-rc));
	return rc;
}

void server_domain_fini(void)
{
	struct domain *d;

	while ((d = domain_next(NULL)))
		server_domain_destroy(d);
	if (shutdown_fd < 0)
		return;
	loop_remove(shutdown_fd);
	close(shutdown_fd);
	shutdown_fd = -1;
}

/* Names become file names and words of the command line, and must not look like a domid. */
int server_domain_check_name(const char *name, char err[256])
{
	size_t len = strlen(name), digits = strspn(name, "0123456789");
	const char *p = name;

	while (isalnum((unsigned char)*p) || (*p && strchr("._-+", *p)))
		p++;
	if (!len || len > 63 || digits == len || name[0] == '.' || name[0] == '-') {
		snprintf(err, 256, "'%.64s' cannot be a domain's name: 1 to 63 characters, not all digits, no '.' or '-' at the start", name);
		return -EINVAL;
	}
	if (*p) {
		snprintf(err, 256, "'%.64s' cannot be a domain's name: letters, digits and . _ - + are possible", name);
		return -EINVAL;
	}
	if (domain_find_name(name)) {
		snprintf(err, 256, "a domain '%s' exists: choose another name, or destroy it", name);
		return -EEXIST;
	}
	return 0;
}

/* XenStore, and for a PV domain console and threads, of a domain that is built. What failed is undone by the caller. */
static int bring_up(struct domain *d, char err[256])
{
	const char *what = "its XenStore nodes cannot be written";
	int rc = server_nodes_write(d);

	if (!rc) {
		what = "its XenStore ring cannot be served";
		rc = store_introduce(d);
	}
	if (!rc && !d->hosted) {
		what = "its console cannot be opened";
		rc = console_open(d);
	}
	if (!rc && !d->hosted) {
		what = "its vCPU cannot be started";
		rc = domain_start(d);
	}
	if (rc)
		snprintf(err, 256, "domain '%s': %s: %s", d->name, what, strerror(-rc));
	return rc;
}

int server_domain_create(const struct domain_request *req, struct domain **out, char err[256])
{
	struct domain *d;
	int rc = domain_create(req->name, (uint64_t)req->memory_mib * PAGES_PER_MIB, &d, err);

	if (rc)
		return rc;
	policies[d->domid] = (struct end_policy){ req->on_poweroff, req->on_reboot, req->on_crash, false };
	d->on_shutdown = domain_is_over;
	rc = build_pv(d, req->kernel, req->ramdisk, req->cmdline, err);
	if (!rc)
		rc = bring_up(d, err);
	if (rc) {
		server_domain_destroy(d);
		return rc;
	}
	log_info("domain %u (%s): created, %u MiB, %s", d->domid, d->name, req->memory_mib, req->kernel);
	*out = d;
	return 0;
}

int server_domain_create_hosted(const char *name, uint64_t nr_pages, struct domain **out, char err[256])
{
	struct domain *d;
	int rc = server_domain_check_name(name, err);

	if (!rc)
		rc = domain_create_hosted(name, nr_pages, &d, err);
	if (rc)
		return rc;
	policies[d->domid] = (struct end_policy){ .told = false };
	rc = evtchn_bind_internal(d, store_event_fd(), &d->store_port);
	if (!rc)
		rc = bring_up(d, err);
	if (rc) {
		server_domain_destroy(d);
		return rc;
	}
	*out = d;
	return 0;
}

void server_domain_destroy(struct domain *d)
{
	char name[sizeof(d->name)];
	domid_t domid = d->domid;

	memcpy(name, d->name, sizeof(name));
	domain_pause(d); /* it writes no node and no console line any more */
	hosted_hang_up(d);
	console_close(d);
	store_release(d);
	server_nodes_remove(d);
	domain_destroy(d);
	log_debug("domain %u (%s): destroyed", domid, name);
}
