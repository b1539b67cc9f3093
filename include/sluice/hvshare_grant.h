/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The grant-table protocol (version 1) on memory shared by sluiced and domain 0: check an entry, pin it, let it go. Callers:
 * hypervisor/grant*.c for the guests' hypercalls, backend/hv/hv_sluice_grant.c without a trap, hypervisor/mmu.c for frames that change
 * their use. Everything that a guest can write is read once, and its entries change only by the ABI's compare-and-exchange.
 */
#ifndef SLUICE_HVSHARE_GRANT_H
#define SLUICE_HVSHARE_GRANT_H

#include <errno.h>
#include <sluice/hvshare.h>
#include <sluice/shm.h>

/* Both memories as the calling process has them mapped. */
struct hvshare_view {
	struct hvshare *share;
	uint8_t *machine;
};

static inline uint8_t *hvshare_page(const struct hvshare_view *w, mfn_t mfn)
{
	return w->machine + (mfn << SLUICE_PAGE_SHIFT);
}

/* Flags and domid of an entry are one word, so that a pin cannot slip in between a guest's change of either. */
static inline uint32_t *hvshare_grant_word(const struct hvshare_view *w, const struct hvshare_domain *d, gref_t gref)
{
	return (uint32_t *)(hvshare_page(w, d->grant_mfn[gref / SLUICE_GRANTS_PER_FRAME]) +
	                    gref % SLUICE_GRANTS_PER_FRAME * sizeof(grant_entry_v1_t));
}

static inline bool hvshare_gref_valid(const struct hvshare_domain *d, gref_t gref)
{
	return gref < d->nr_grant_frames * SLUICE_GRANTS_PER_FRAME && gref < HVSHARE_GRANTS;
}

/* ---- recovery: the holder of a grant_lock died ---- */

static inline void hvshare_recount(struct hvshare *s, struct hvshare_domain *d, domid_t domid, const struct hvshare_map *map, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!__atomic_load_n(&map[i].used, __ATOMIC_ACQUIRE) || map[i].domid != domid || map[i].gref >= HVSHARE_GRANTS)
			continue;
		uint32_t pin = HVSHARE_PIN_READ + (map[i].readonly ? 0 : HVSHARE_PIN_WRITE);

		d->pin[map[i].gref] = (struct hvshare_pin){d->pin[map[i].gref].count + pin, (uint32_t)map[i].mfn};
		s->frame_use[map[i].mfn] += pin;
		d->nr_pins++;
	}
}

/* The bits that a pin shows in the guest's entry. */
static inline uint32_t hvshare_pin_bits(uint32_t count)
{
	return (count & HVSHARE_PIN_READS ? GTF_reading : 0) | (count & HVSHARE_PIN_WRITES ? GTF_writing : 0);
}

/* The maptracks are the truth: count every pin of domid from them and make the bits in its entries agree. */
static inline void hvshare_grants_repair(const struct hvshare_view *w, domid_t domid)
{
	struct hvshare *s = w->share;
	struct hvshare_domain *d = &s->domain[domid];

	for (gref_t gref = 0; gref < HVSHARE_GRANTS; gref++) {
		uint32_t mfn = d->pin[gref].mfn;

		/* A pin that is long gone may name a frame which is no longer the domain's. */
		if (mfn < HVSHARE_ALL_FRAMES && s->frame_owner[mfn] == domid)
			s->frame_use[mfn] &= ~HVSHARE_FRAME_PINS;
		d->pin[gref].count = 0;
	}
	d->nr_pins = 0;
	for (unsigned c = 0; c < HVSHARE_CLIENTS; c++)
		hvshare_recount(s, d, domid, s->client[c].map, HVSHARE_MAPTRACK);
	hvshare_recount(s, d, domid, s->guest_map, HVSHARE_GUEST_MAPS);
	for (gref_t gref = 0; hvshare_gref_valid(d, gref); gref++) {
		uint32_t *word = hvshare_grant_word(w, d, gref);
		uint32_t stale = (GTF_reading | GTF_writing) & ~hvshare_pin_bits(d->pin[gref].count);

		if ((shm_load(word) & GTF_type_mask) == GTF_permit_access)
			__atomic_fetch_and(word, ~stale, __ATOMIC_RELEASE);
	}
}

/* ---- locks ---- */

static inline void hvshare_grant_lock(const struct hvshare_view *w, domid_t domid)
{
	pthread_mutex_t *lock = &w->share->domain[domid].grant_lock;

	if (pthread_mutex_lock(lock) == EOWNERDEAD) {
		hvshare_grants_repair(w, domid);
		pthread_mutex_consistent(lock);
	}
}

static inline void hvshare_grant_unlock(const struct hvshare_view *w, domid_t domid)
{
	pthread_mutex_unlock(&w->share->domain[domid].grant_lock);
}

/* May domid's grants be used? To be asked again under its lock: a domain dies under it. */
static inline bool hvshare_domain_usable(const struct hvshare *s, domid_t domid)
{
	return domid != 0 && domid < HVSHARE_DOMAINS && __atomic_load_n(&s->domain[domid].alive, __ATOMIC_ACQUIRE);
}

#define HVSHARE_NO_DOMAIN 0u      /* domain 0 has no table to lock */
#define HVSHARE_BATCH_UNDER_LOCK 64u /* segments of up to a page each: some 30 us at most while others wait */

/* The one or two grant_locks that a batch holds; kept from one operation to the next while they are the same. */
struct hvshare_locks {
	domid_t held[2]; /* ascending; HVSHARE_NO_DOMAIN: none */
	unsigned uses;
};

static inline void hvshare_locks_drop(const struct hvshare_view *w, struct hvshare_locks *l)
{
	for (unsigned i = 2; i-- > 0;) {
		if (l->held[i] != HVSHARE_NO_DOMAIN)
			hvshare_grant_unlock(w, l->held[i]);
		l->held[i] = HVSHARE_NO_DOMAIN;
	}
	l->uses = 0;
}

/* Are the locks held that an operation on a and b needs, and not for too long yet? */
static inline bool hvshare_locks_have(struct hvshare_locks *l, domid_t a, domid_t b)
{
	domid_t low = a < b ? a : b, high = a < b ? b : a;

	return l->held[0] == (low == high ? HVSHARE_NO_DOMAIN : low) && l->held[1] == high && l->uses++ < HVSHARE_BATCH_UNDER_LOCK;
}

/* Have the locks of a and b (either may be HVSHARE_NO_DOMAIN, both may be the same), both below HVSHARE_DOMAINS. */
static inline void hvshare_locks_want(const struct hvshare_view *w, struct hvshare_locks *l, domid_t a, domid_t b)
{
	domid_t low = a < b ? a : b, high = a < b ? b : a;

	if (hvshare_locks_have(l, a, b))
		return;
	if (low == high)
		low = HVSHARE_NO_DOMAIN;
	hvshare_locks_drop(w, l);
	if (low != HVSHARE_NO_DOMAIN)
		hvshare_grant_lock(w, low);
	if (high != HVSHARE_NO_DOMAIN)
		hvshare_grant_lock(w, high);
	l->held[0] = low;
	l->held[1] = high;
}

/* ---- entries. The caller holds the grant_lock of domid. ---- */

/* May a grant give access to this frame? Grant tables and shared_info have no owner here, so they are never granted. */
static inline bool hvshare_frame_grantable(const struct hvshare *s, domid_t domid, uint32_t mfn, bool readonly)
{
	return mfn < HVSHARE_ALL_FRAMES && s->frame_owner[mfn] == domid &&
	       (readonly || !(s->frame_use[mfn] & HVSHARE_FRAME_SEALED));
}

/* Set GTF_reading (and GTF_writing) in an entry that permits it. *before: its flags until now. */
static inline int16_t hvshare_entry_mark(uint32_t *word, domid_t grantee, bool readonly, uint16_t *before)
{
	uint32_t mark = GTF_reading | (readonly ? 0 : GTF_writing);
	uint32_t seen = shm_load_acquire(word);

	for (unsigned tries = 0; tries < 5; tries++) {
		if ((seen & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access || seen >> 16 != grantee ||
		    (!readonly && (seen & GTF_readonly)))
			return GNTST_general_error;
		*before = (uint16_t)seen;
		if ((seen & mark) == mark || __atomic_compare_exchange_n(word, &seen, seen | mark, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE))
			return GNTST_okay;
	}
	return GNTST_general_error; /* the guest changes it faster than we look */
}

/* Take the marks away that no pin stands for. Orders: our accesses to the page before the guest's sight of an unused entry. */
static inline void hvshare_entry_unmark(const struct hvshare_view *w, struct hvshare_domain *d, gref_t gref)
{
	uint32_t unused = (GTF_reading | GTF_writing) & ~hvshare_pin_bits(d->pin[gref].count);

	if (unused && hvshare_gref_valid(d, gref))
		__atomic_fetch_and(hvshare_grant_word(w, d, gref), ~unused, __ATOMIC_RELEASE);
}

/* A page in use: the frame, and the marks that were set for this use alone: who sets none takes none off. */
struct hvshare_use {
	mfn_t mfn;
	uint32_t *word;
	uint32_t marks;
	uint16_t flags; /* of the entry before */
};

/*
 * Orders: our accesses to the page before the guest's sight of an unused entry. A guest must not change an entry with GTF_writing (grant_table.h): if that and GTF_reading are ours, its flags
 * can be put back as they were, with no locked instruction, which would wait for all stores to the page. One with GTF_reading alone may become read-only or writable meanwhile.
 */
static inline void hvshare_grant_end(const struct hvshare_use *use)
{
	if (use->marks == (GTF_reading | GTF_writing))
		__atomic_store_n((uint16_t *)use->word, use->flags, __ATOMIC_RELEASE);
	else if (use->marks)
		__atomic_fetch_and(use->word, ~use->marks, __ATOMIC_RELEASE);
}

/*
 * Begin to use the page behind gref: the entry is checked and marked. Nothing is counted, so the lock must be held until hvshare_grant_end, and no pin comes or
 * goes meanwhile. GNTST_okay or why not.
 */
static inline __attribute__((always_inline)) int16_t hvshare_grant_begin(const struct hvshare_view *w, domid_t domid, gref_t gref, domid_t grantee, bool readonly,
                                          struct hvshare_use *use)
{
	struct hvshare_domain *d = &w->share->domain[domid];
	const struct hvshare_pin *pin;
	int16_t status;

	if (!d->alive)
		return GNTST_bad_domain;
	if (!hvshare_gref_valid(d, gref))
		return GNTST_bad_gntref;
	pin = &d->pin[gref];
	use->word = hvshare_grant_word(w, d, gref);
	status = hvshare_entry_mark(use->word, grantee, readonly, &use->flags);
	if (status != GNTST_okay)
		return status;
	use->marks = (GTF_reading | (readonly ? 0 : GTF_writing)) & ~use->flags & ~hvshare_pin_bits(pin->count);
	use->mfn = pin->count ? pin->mfn : shm_load(use->word + 1);
	if (!hvshare_frame_grantable(w->share, domid, (uint32_t)use->mfn, readonly)) {
		hvshare_grant_end(use);
		return GNTST_bad_page;
	}
	return GNTST_okay;
}

/*
 * Pin the page behind gref for as long as *map is used: from here on map says what is held, for hvshare_grant_unpin and for whoever
 * cleans up after us. map->domid, gref, readonly (and holder) are filled in by the caller, mfn and used here.
 */
static inline int16_t hvshare_grant_pin(const struct hvshare_view *w, struct hvshare_map *map, domid_t grantee)
{
	struct hvshare_domain *d = &w->share->domain[map->domid];
	uint32_t pin = HVSHARE_PIN_READ + (map->readonly ? 0 : HVSHARE_PIN_WRITE);
	struct hvshare_use page;
	int16_t status = hvshare_grant_begin(w, map->domid, map->gref, grantee, map->readonly, &page);
	uint32_t *use;

	if (status != GNTST_okay)
		return status;
	use = &w->share->frame_use[page.mfn];
	if ((*use & HVSHARE_PIN_READS) == HVSHARE_PIN_READS) { /* and so is no pin of a single gref more */
		hvshare_grant_end(&page);
		return GNTST_no_space;
	}
	map->mfn = page.mfn;
	d->pin[map->gref].mfn = (uint32_t)map->mfn;
	__atomic_store_n(&map->used, 1, __ATOMIC_RELEASE); /* after what it stands for, before the counts that are made from it */
	d->pin[map->gref].count += pin;
	*use += pin;
	d->nr_pins++;
	return GNTST_okay;
}

/* Let go of it. True when this was the last pin of a domain that is dead: its frames can be freed. */
static inline bool hvshare_grant_unpin(const struct hvshare_view *w, struct hvshare_map *map)
{
	struct hvshare_domain *d = &w->share->domain[map->domid];
	uint32_t pin = HVSHARE_PIN_READ + (map->readonly ? 0 : HVSHARE_PIN_WRITE);

	__atomic_store_n(&map->used, 0, __ATOMIC_RELEASE);
	d->pin[map->gref].count -= pin;
	w->share->frame_use[map->mfn] -= pin;
	d->nr_pins--;
	hvshare_entry_unmark(w, d, map->gref);
	return !d->nr_pins && !d->alive;
}

/* ---- frames that change their use: sluiced only, hv_lock held, no grant_lock held ---- */

static inline bool hvshare_frame_locked(const struct hvshare_view *w, mfn_t mfn, domid_t *owner)
{
	*owner = mfn < HVSHARE_ALL_FRAMES ? w->share->frame_owner[mfn] : DOMID_INVALID;
	if (*owner == 0 || *owner >= HVSHARE_DOMAINS)
		return false;
	hvshare_grant_lock(w, *owner);
	return true;
}

/* The frame becomes a page table or a descriptor table. -EBUSY while somebody holds it mapped writable. */
static inline int hvshare_frame_seal(const struct hvshare_view *w, mfn_t mfn)
{
	domid_t owner;
	int rc = 0;

	if (!hvshare_frame_locked(w, mfn, &owner))
		return -EINVAL;
	if (w->share->frame_use[mfn] & HVSHARE_PIN_WRITES)
		rc = -EBUSY;
	else
		w->share->frame_use[mfn] |= HVSHARE_FRAME_SEALED;
	hvshare_grant_unlock(w, owner);
	return rc;
}

/* It is an ordinary page again. */
static inline void hvshare_frame_unseal(const struct hvshare_view *w, mfn_t mfn)
{
	domid_t owner;

	if (!hvshare_frame_locked(w, mfn, &owner))
		return;
	w->share->frame_use[mfn] &= ~HVSHARE_FRAME_SEALED;
	hvshare_grant_unlock(w, owner);
}

/* The frame leaves its owner (freed, transferred): it is nobody's after, so that no new grant of it works. -EBUSY while pinned. */
static inline int hvshare_frame_take(const struct hvshare_view *w, mfn_t mfn)
{
	domid_t owner;
	int rc = 0;

	if (!hvshare_frame_locked(w, mfn, &owner))
		return -EINVAL;
	if (w->share->frame_use[mfn] & (HVSHARE_FRAME_PINS | HVSHARE_FRAME_SEALED))
		rc = -EBUSY;
	else
		__atomic_store_n(&w->share->frame_owner[mfn], DOMID_INVALID, __ATOMIC_RELEASE);
	hvshare_grant_unlock(w, owner);
	return rc;
}

#endif
