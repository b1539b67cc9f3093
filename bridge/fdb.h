/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The forwarding table of a bridge: which port was an address last heard on. Used by bridge.c alone. Bounded: when it is full, or one port has used
 * up its share, new addresses are not learnt and packets to them are flooded. Times are whole seconds of any monotonic clock. Safe from several lcores at once.
 */
#ifndef BRIDGE_FDB_H
#define BRIDGE_FDB_H

#include <rte_ether.h>
#include <stdbool.h>
#include <stdint.h>

#define FDB_ENTRIES 4096u    /* addresses in a bridge's table */
#define FDB_PORT_SHARE 2048u /* addresses on one port: a guest that invents addresses cannot push the others' out */

struct fdb;

/* name is unique among the process's tables. NULL when there is no memory. */
struct fdb *fdb_create(const char *name, unsigned entries, unsigned port_share, unsigned nr_ports, unsigned ageing_s);
void fdb_destroy(struct fdb *f); /* NULL is fine */

/* src was heard on port. Group addresses and the all-zero one are ignored. False when there was no room for it: another try may find some. */
bool fdb_learn(struct fdb *f, const struct rte_ether_addr *src, uint16_t port, uint32_t now);
/* The port, or -1 when the address is unknown or has been silent for too long. */
int fdb_lookup(struct fdb *f, const struct rte_ether_addr *dst, uint32_t now);
void fdb_forget_port(struct fdb *f, uint16_t port);
/* Another number, never 0, after each change of what a lookup may find; ageing is none. */
uint64_t fdb_changes(const struct fdb *f);
unsigned fdb_count(const struct fdb *f);

#endif
