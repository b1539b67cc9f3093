/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libsluice-hosted: any program attaches a virtual interface or a virtual disk. The calling process becomes an unprivileged domain of sluiced, with
 * memory of its own that it shares with nobody but through grants, and uses the same front ends as a guest kernel does:
 *
 *	hosted_attach(NULL, "my-program", 16);
 *	struct xenbus *xb = xenbus_create();
 *	                                    (now, in a shell: sluice network-attach my-program mac=00:16:3e:00:00:21)
 *	hosted_wait_device(xb, "vif", 0, 10000);
 *	struct netfront *nf = netfront_create(xb, 0, &options);    and so on, as frontend/netfront.h says
 *	...
 *	hosted_detach();
 *
 * A process is one domain at most. All calls, and those of the front ends, come from one thread; only hosted_kick may come from any. The domain ends
 * with hosted_detach or with the process, however that ends. Link with libsluice-hosted.a, which has the front ends in it. Messages go to stderr.
 */
#ifndef GUEST_HOSTED_H
#define GUEST_HOSTED_H

#include <frontend/xenbus.h>
#include <sluice/port.h>

#define HOSTED_MEMORY_MIN_MIB 1u
#define HOSTED_WATCHED_FDS 16u

/*
 * Become a domain. run_dir: where sluiced's sockets are; NULL: $SLUICE_RUN_DIR or /run/sluice. name: the domain's, for `sluice list` and friends.
 * memory_mib: for rings and granted pages, at least 1; pages that are never touched cost nothing. Each queue of a vif takes 3.1 MiB, a vbd frontend/blkfront.h says.
 * 0 or -errno after one line on stderr.
 */
int hosted_attach(const char *run_dir, const char *name, unsigned memory_mib);
/* The domain ends; front ends must be destroyed before. Fine when there is none. */
void hosted_detach(void);

domid_t hosted_domid(void);

/* Has sluiced gone, or destroyed this domain? Nothing works any more then; port_wait returns at once. */
bool hosted_lost(void);

/*
 * Wait until the toolstack has made device/<type>/<index> ("vif", "vbd"). 0, -ETIMEDOUT after timeout_ms, or -EPIPE when the domain is lost.
 */
int hosted_wait_device(struct xenbus *xb, const char *type, unsigned index, unsigned timeout_ms);

/* Make the port_wait that runs, or the next one, return soon. Any thread, also a signal handler. */
void hosted_kick(void);

/* port_wait returns also when fd is readable. -ENOSPC for more than HOSTED_WATCHED_FDS. */
int hosted_watch_fd(int fd);
void hosted_unwatch_fd(int fd);

/* Which lines go to stderr: those up to this level; PORT_LOG_INFO unless set. */
void hosted_set_log_level(enum port_log_level level);

#endif
