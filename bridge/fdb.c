/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forwarding table (fdb.h): an rte_hash from address to a position, and an entry at each position. The address heard last and the address looked
 * up last are remembered with their positions: packets come in runs. An entry that is too old is dropped when it is met, and when the table is
 * full, by a hand that moves a few entries on with each address that found no room.
 */
#include "fdb.h"
#include <errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HAND_STEP 8u /* entries looked at for each address that found no room: bounds the work that a hostile sender can cause */

struct entry {
	uint64_t key; /* 0: free; no address that is learnt has it */
	uint32_t seen;
	uint16_t port;
};

struct recent {
	uint64_t key;
	int32_t at;
};

struct fdb {
	struct rte_hash *hash;
	uint32_t ageing, entries, port_share, hand;
	struct recent src, dst;
	uint32_t *per_port;
	struct entry *entry;
};

static uint64_t key_of(const struct rte_ether_addr *a)
{
	uint64_t key = 0;

	memcpy(&key, a->addr_bytes, sizeof(a->addr_bytes));
	return key;
}

struct fdb *fdb_create(const char *name, unsigned entries, unsigned port_share, unsigned nr_ports, unsigned ageing_s)
{
	struct rte_hash_parameters hp = { .entries = entries, .key_len = sizeof(uint64_t), .hash_func = rte_hash_crc };
	char hash_name[RTE_HASH_NAMESIZE];
	struct fdb *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	snprintf(hash_name, sizeof(hash_name), "fdb_%s", name);
	hp.name = hash_name;
	f->hash = rte_hash_create(&hp);
	if (!f->hash)
		goto fail;
	f->ageing = ageing_s;
	f->port_share = port_share;
	f->entries = (uint32_t)rte_hash_max_key_id(f->hash) + 1;
	f->entry = calloc(f->entries, sizeof(*f->entry));
	f->per_port = calloc(nr_ports, sizeof(*f->per_port));
	if (f->entry && f->per_port)
		return f;
fail:
	fdb_destroy(f);
	return NULL;
}

void fdb_destroy(struct fdb *f)
{
	if (!f)
		return;
	rte_hash_free(f->hash);
	free(f->entry);
	free(f->per_port);
	free(f);
}

unsigned fdb_count(const struct fdb *f)
{
	return (unsigned)rte_hash_count(f->hash);
}

static void forget(struct fdb *f, int32_t at)
{
	struct entry *e = &f->entry[at];

	rte_hash_del_key(f->hash, &e->key);
	f->per_port[e->port]--;
	if (f->src.key == e->key)
		f->src.key = 0;
	if (f->dst.key == e->key)
		f->dst.key = 0;
	e->key = 0;
}

static bool too_old(const struct fdb *f, const struct entry *e, uint32_t now)
{
	return now - e->seen > f->ageing;
}

/* Position of a key, or negative; r: what was found last by the same kind of caller. */
static int32_t find(const struct fdb *f, struct recent *r, uint64_t key)
{
	int32_t at;

	if (r->key == key)
		return r->at;
	at = rte_hash_lookup(f->hash, &key);
	if (at >= 0)
		*r = (struct recent){ key, at };
	return at;
}

/* Drop what is too old among the next few entries. */
static void move_hand(struct fdb *f, uint32_t now)
{
	for (unsigned i = 0; i < HAND_STEP; i++) {
		struct entry *e = &f->entry[f->hand];

		if (e->key && too_old(f, e, now))
			forget(f, (int32_t)f->hand);
		f->hand = f->hand + 1 < f->entries ? f->hand + 1 : 0;
	}
}

static void insert(struct fdb *f, uint64_t key, uint16_t port, uint32_t now)
{
	int32_t at;

	if (f->per_port[port] >= f->port_share) {
		move_hand(f, now);
		return;
	}
	at = rte_hash_add_key(f->hash, &key);
	if (at < 0) {
		move_hand(f, now);
		return;
	}
	f->entry[at] = (struct entry){ .key = key, .port = port, .seen = now };
	f->per_port[port]++;
}

void fdb_learn(struct fdb *f, const struct rte_ether_addr *src, uint16_t port, uint32_t now)
{
	uint64_t key = key_of(src);
	struct entry *e;
	int32_t at;

	if (!key || rte_is_multicast_ether_addr(src))
		return;
	at = find(f, &f->src, key);
	if (at < 0) {
		insert(f, key, port, now);
		return;
	}
	e = &f->entry[at];
	e->seen = now;
	if (e->port == port)
		return;
	if (f->per_port[port] >= f->port_share) {
		forget(f, at); /* it is no longer where it was */
		return;
	}
	f->per_port[e->port]--;
	f->per_port[port]++;
	e->port = port;
}

int fdb_lookup(struct fdb *f, const struct rte_ether_addr *dst, uint32_t now)
{
	uint64_t key = key_of(dst);
	int32_t at;

	if (!key) /* 0 marks what is free, in entries and in what was found last */
		return -1;
	at = find(f, &f->dst, key);
	if (at < 0)
		return -1;
	if (too_old(f, &f->entry[at], now)) {
		forget(f, at);
		return -1;
	}
	return f->entry[at].port;
}

void fdb_forget_port(struct fdb *f, uint16_t port)
{
	for (uint32_t i = 0; i < f->entries && f->per_port[port]; i++)
		if (f->entry[i].key && f->entry[i].port == port)
			forget(f, (int32_t)i);
}
