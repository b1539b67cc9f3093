/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Consoles: what a guest writes on its console ring goes to <run_dir>/console-<name>.log (bounded: rotated at 1 MiB) and to whoever is
 * attached (`sluice console`); what they type goes to the ring. A slow or absent reader never stalls the guest or another console. Main loop only.
 */
#ifndef SLUICE_CONSOLE_H
#define SLUICE_CONSOLE_H

#include "domain.h"

int console_init(const char *run_dir);
int console_open(struct domain *d);       /* ring at d->console_mfn, port d->console_port */
void console_close(struct domain *d);     /* drains first */
int console_event_fd(void);               /* for evtchn_bind_internal */
/* Takes over fd (a stream socket): sends the tail of the log so far, then lives until either side closes. */
int console_attach(struct domain *d, int fd);

#endif
