/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * XenStore: one tree, served to guests on their rings and to domain 0's programs on the Unix socket xenstore.sock (the protocol of
 * xen/io/xs_wire.h, which libxenstore speaks; XENSTORED_PATH points it there). Main loop only.
 */
#ifndef SLUICE_STORE_H
#define SLUICE_STORE_H

#include "../domain.h"

/* Makes the tree and listens on <run_dir>/xenstore.sock. 0 or -errno after a line in the log. */
int store_init(const char *run_dir);
void store_fini(void);

/* Serve d's ring (its page at d->store_mfn, its port d->store_port made with evtchn_bind_internal) until store_release; fires
 * @introduceDomain. */
int store_introduce(struct domain *d);
/* Forget its connection, watches and transactions; fires @releaseDomain. Nodes stay until the toolstack removes them. */
void store_release(struct domain *d);
/* Fires @releaseDomain: a domain's state changed (shutdown). */
void store_domain_changed(struct domain *d);
/* Port of the eventfd that a guest's store event must write (for evtchn_bind_internal). */
int store_event_fd(void);

/* For sluiced itself, as domain 0 and outside any transaction; fires watches. */
int store_write(const char *path, const char *value);
int store_rm(const char *path);
/* The domain owns the node and may read and write below it; others may not, dom0 always may. */
int store_set_owner(const char *path, domid_t owner);
/* Domain 0 keeps the node, the domain may read it; nodes made below it later are the same. */
int store_set_reader(const char *path, domid_t reader);

#endif
