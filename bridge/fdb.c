/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forwarding table (fdb.h): an rte_hash from address to a position, and an entry at each position. The address heard last and the address looked
 * up last are remembered with their positions, by each lcore for itself: packets come in runs. An entry that is too old is dropped when it is met, and when the
 * table is full, by a hand that moves a few entries on with each address that found no room.
 *
 * Any lcore looks up without a lock; the few changes (an address that is new, has moved or is too old) take it. A position may change hands under somebody who
 * looks it up: so an entry holds its address and its port in one word, and a position whose word has another address counts as not found. That holds for
 * rte_hash's own slots too, so they are used again at once.
 */
#include "fdb.h"
#include "lcore.h"
#include <errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HAND_STEP 8u /* entries looked at for each address that found no room: bounds the work that a hostile sender can cause */
#define PORT_SHIFT 48
#define KEY_MASK ((1ull << PORT_SHIFT) - 1)

struct entry {
	uint64_t word; /* address, and port above PORT_SHIFT; 0: free, no address that is learnt has it */
	uint32_t seen;
};

struct recent {
	uint64_t key;
	int32_t at;
};

struct recents {
	struct recent src, dst;
} __rte_cache_aligned;

struct fdb {
	struct rte_hash *hash;
	uint32_t ageing, entries, port_share;
	uint64_t changes; /* from 1 on, so that 0 is never what it was */
	struct recents recents[BRIDGE_LCORES];
	struct entry *entry;
	/* under the lock, as all changes of the above */
	rte_spinlock_t lock;
	uint32_t hand;
	uint32_t *per_port;
};

static uint64_t key_of(const struct rte_ether_addr *a)
{
	uint64_t key = 0;

	memcpy(&key, a->addr_bytes, sizeof(a->addr_bytes));
	return key;
}

struct fdb *fdb_create(const char *name, unsigned entries, unsigned port_share, unsigned nr_ports, unsigned ageing_s)
{
	struct rte_hash_parameters hp = { .entries = entries, .key_len = sizeof(uint64_t), .hash_func = rte_hash_crc,
					  .extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF };
	char hash_name[RTE_HASH_NAMESIZE];
	struct fdb *f = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*f));

	if (!f)
		return NULL;
	memset(f, 0, sizeof(*f));
	snprintf(hash_name, sizeof(hash_name), "fdb_%s", name);
	hp.name = hash_name;
	f->hash = rte_hash_create(&hp);
	if (!f->hash)
		goto fail;
	f->changes = 1;
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

static uint64_t word_at(const struct fdb *f, int32_t at)
{
	return __atomic_load_n(&f->entry[at].word, __ATOMIC_RELAXED);
}

static void set_word(struct fdb *f, int32_t at, uint64_t word)
{
	__atomic_store_n(&f->entry[at].word, word, __ATOMIC_RELAXED);
	__atomic_fetch_add(&f->changes, 1, __ATOMIC_RELEASE); /* after what has changed */
}

static void see(struct entry *e, uint32_t now)
{
	if (__atomic_load_n(&e->seen, __ATOMIC_RELAXED) != now) /* once a second: the line stays with its readers */
		__atomic_store_n(&e->seen, now, __ATOMIC_RELAXED);
}

static bool too_old(const struct fdb *f, int32_t at, uint32_t now)
{
	uint32_t seen = __atomic_load_n(&f->entry[at].seen, __ATOMIC_RELAXED);

	return (int32_t)(now - seen) > (int32_t)f->ageing; /* another lcore's clock may be a second ahead */
}

/* Position of a key, or negative; r: what this lcore found last in the same way. *word: its entry. */
static int32_t find(const struct fdb *f, struct recent *r, uint64_t key, uint64_t *word)
{
	int32_t at = r->at;

	if (r->key == key) {
		*word = word_at(f, at);
		if ((*word & KEY_MASK) == key)
			return at;
	}
	at = rte_hash_lookup(f->hash, &key);
	if (at < 0)
		return at;
	*word = word_at(f, at);
	if ((*word & KEY_MASK) != key)
		return -1;
	*r = (struct recent){ key, at };
	return at;
}

/* ---- changes, under the lock ---- */

static void forget(struct fdb *f, int32_t at)
{
	uint64_t word = word_at(f, at), key = word & KEY_MASK;

	set_word(f, at, 0);
	f->per_port[word >> PORT_SHIFT]--;
	rte_hash_del_key(f->hash, &key);
	rte_hash_free_key_with_position(f->hash, at);
}

/* Drop what is too old among the next few entries. */
static void move_hand(struct fdb *f, uint32_t now)
{
	for (unsigned i = 0; i < HAND_STEP; i++) {
		int32_t at = (int32_t)f->hand;

		if (word_at(f, at) && too_old(f, at, now))
			forget(f, at);
		f->hand = f->hand + 1 < f->entries ? f->hand + 1 : 0;
	}
}

static bool insert(struct fdb *f, uint64_t key, uint16_t port, uint32_t now)
{
	int32_t at;

	if (f->per_port[port] >= f->port_share) {
		move_hand(f, now);
		return false;
	}
	at = rte_hash_add_key(f->hash, &key);
	if (at < 0) {
		move_hand(f, now);
		return false;
	}
	see(&f->entry[at], now);
	set_word(f, at, key | (uint64_t)port << PORT_SHIFT);
	f->per_port[port]++;
	return true;
}

static bool move(struct fdb *f, int32_t at, uint64_t key, uint16_t port)
{
	if (f->per_port[port] >= f->port_share) {
		forget(f, at); /* it is no longer where it was */
		return false;
	}
	f->per_port[word_at(f, at) >> PORT_SHIFT]--;
	f->per_port[port]++;
	set_word(f, at, key | (uint64_t)port << PORT_SHIFT);
	return true;
}

/* Another lcore may have been here first. */
static __attribute__((noinline)) bool change(struct fdb *f, uint64_t key, uint16_t port, uint32_t now)
{
	bool learnt = true;
	int32_t at;

	bridge_lock(&f->lock);
	at = rte_hash_lookup(f->hash, &key);
	if (at < 0)
		learnt = insert(f, key, port, now);
	else if (word_at(f, at) >> PORT_SHIFT != port)
		learnt = move(f, at, key, port);
	bridge_unlock(&f->lock);
	return learnt;
}

static __attribute__((noinline)) void expire(struct fdb *f, int32_t at, uint64_t key, uint32_t now)
{
	bridge_lock(&f->lock);
	if ((word_at(f, at) & KEY_MASK) == key && too_old(f, at, now))
		forget(f, at);
	bridge_unlock(&f->lock);
}

/* ---- what the bridge calls ---- */

bool fdb_learn(struct fdb *f, const struct rte_ether_addr *src, uint16_t port, uint32_t now)
{
	uint64_t key = key_of(src), word;
	int32_t at;

	if (!key || rte_is_multicast_ether_addr(src))
		return true;
	at = find(f, &f->recents[bridge_lcore()].src, key, &word);
	if (at >= 0)
		see(&f->entry[at], now);
	return (at >= 0 && word >> PORT_SHIFT == port) || change(f, key, port, now);
}

int fdb_lookup(struct fdb *f, const struct rte_ether_addr *dst, uint32_t now)
{
	uint64_t key = key_of(dst), word;
	int32_t at;

	if (!key) /* 0 marks what is free, in entries and in what was found last */
		return -1;
	at = find(f, &f->recents[bridge_lcore()].dst, key, &word);
	if (at < 0)
		return -1;
	if (too_old(f, at, now)) {
		expire(f, at, key, now);
		return -1;
	}
	return (int)(word >> PORT_SHIFT);
}

uint64_t fdb_changes(const struct fdb *f)
{
	return __atomic_load_n(&f->changes, __ATOMIC_ACQUIRE);
}

void fdb_forget_port(struct fdb *f, uint16_t port)
{
	bridge_lock(&f->lock);
	for (uint32_t i = 0; i < f->entries && f->per_port[port]; i++) {
		uint64_t word = word_at(f, (int32_t)i);

		if (word && word >> PORT_SHIFT == port)
			forget(f, (int32_t)i);
	}
	__atomic_fetch_add(&f->changes, 1, __ATOMIC_RELEASE); /* its index may be another port's soon, whether or not it was learnt on */
	bridge_unlock(&f->lock);
}
