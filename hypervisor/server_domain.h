/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The life of a domain as the control socket sees it: build, its first XenStore nodes, console, what happens when its guest is over, and
 * its end. Main loop only, hv_lock held.
 */
#ifndef SLUICE_SERVER_DOMAIN_H
#define SLUICE_SERVER_DOMAIN_H

#include "domain.h"

/* What to do when a guest is over: xl's words. */
enum end_action { END_DESTROY, END_PRESERVE, END_RESTART, END_ACTIONS };
extern const char *const end_action_names[END_ACTIONS];

struct domain_request {
	const char *name, *kernel;
	const char *ramdisk, *cmdline; /* may be NULL */
	unsigned memory_mib;
	enum end_action on_poweroff, on_reboot, on_crash;
};

int server_domain_init(void);
void server_domain_fini(void); /* destroys all domains */

/* The domain is built, known to XenStore, and paused. 0 or -errno with one line in err. */
int server_domain_create(const struct domain_request *req, struct domain **out, char err[256]);
/* The domain of a process that attached (hosted.c). */
int server_domain_create_hosted(const char *name, uint64_t nr_pages, struct domain **out, char err[256]);
void server_domain_destroy(struct domain *d);
/* Can this be the name of a new domain? 0 or -errno with one line in err. */
int server_domain_check_name(const char *name, char err[256]);

/* server_nodes.c: the nodes of a domain that is not about devices, as libxl writes them, and the end of all its nodes. */
int server_nodes_write(const struct domain *d);
void server_nodes_remove(const struct domain *d);
/* Ask the guest to end: "poweroff", "reboot". */
int server_nodes_shutdown(const struct domain *d, const char *how);
void server_uuid_format(const uint8_t uuid[16], char out[37]);

#endif
