/* SPDX-License-Identifier: BSD-3-Clause */
/* The directory of sluiced's sockets and console logs, which one sluiced at a time holds. Called by main.c. */
#ifndef SLUICE_RUN_DIR_H
#define SLUICE_RUN_DIR_H

/* Make (0700) and lock it. 0 or -errno after a line in the log: no permission, served by another, not safe to use. */
int run_dir_take(const char *path);
/* Give it back; the directory goes too when nothing is left in it. */
void run_dir_release(void);

#endif
