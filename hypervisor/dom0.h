/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The socket <run_dir>/hv.sock, by which privileged processes of domain 0 (hv_sluice in a back end) attach: the messages of hvshare.h.
 * What a process held is given back when its connection ends, whatever ended it. Main loop only.
 */
#ifndef SLUICE_DOM0_H
#define SLUICE_DOM0_H

/* 0 or -errno after a line in the log. */
int dom0_init(const char *run_dir);
/* Detaches everybody and removes the socket. hv_lock held. */
void dom0_fini(void);

#endif
