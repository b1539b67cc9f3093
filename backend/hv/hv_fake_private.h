/* SPDX-License-Identifier: BSD-3-Clause */
/* What hv_fake.c (memory, grants), hv_fake_event.c and hv_fake_store.c share. One mutex guards all of it. */
#ifndef SLUICE_HV_FAKE_PRIVATE_H
#define SLUICE_HV_FAKE_PRIVATE_H

#include "hv_fake.h"
#include <pthread.h>
#include <sys/queue.h>

#define FAKE_DOMAINS 256u
#define FAKE_MAPTRACK 16384u
#define FAKE_TXNS 16u

struct fake_grant {
	bool used, readonly;
	domid_t to;
	unsigned page;
	unsigned pins; /* mappings of it */
};

/* A guest's event channel. `bound` is the back end's port at the other end, 0 while there is none. */
struct fake_guest_port {
	bool used, pending;
	domid_t remote;
	evtchn_t bound;
};

struct fake_domain {
	domid_t domid;
	bool dead; /* kept for what is still mapped of it */
	int memfd;
	uint8_t *memory;
	unsigned pages; /* given out so far */
	struct fake_grant grant[HV_FAKE_GRANTS];
	struct fake_guest_port port[HV_FAKE_PORTS];
	TAILQ_ENTRY(fake_domain) next;
};

struct fake_mapping {
	struct fake_domain *owner; /* NULL: this handle is free */
	gref_t gref;
	bool ring;
	void *va;
};

struct fake_evtchn {
	struct hv_evtchn base;
	int fd;
	TAILQ_ENTRY(fake_evtchn) next;
};

/* A port of the back end. */
struct fake_port {
	struct fake_evtchn *channel; /* NULL: free */
	domid_t domid;
	evtchn_t remote; /* 0: the other end has gone */
	bool pending;
};

struct fake_node {
	char *path, *value;
	uint64_t generation; /* of the last change to it or to the list of its children */
	TAILQ_ENTRY(fake_node) next;
};
TAILQ_HEAD(fake_tree, fake_node);

struct fake_access; /* what a transaction read or wrote, in order */
TAILQ_HEAD(fake_accesses, fake_access);

struct fake_txn {
	bool used;
	struct fake_tree view;
	struct fake_accesses accesses;
};

struct fake_watch {
	char *path, *token;
	bool relative;
	TAILQ_ENTRY(fake_watch) next;
};

struct fake_event {
	char *path, *token;
	TAILQ_ENTRY(fake_event) next;
};

struct fake_store {
	struct fake_tree tree;
	uint64_t generation;
	struct fake_txn txn[FAKE_TXNS];
	TAILQ_HEAD(, fake_watch) watches;
	TAILQ_HEAD(, fake_event) events;
	int fd;
};

struct fake_fault {
	unsigned in; /* 0: none; else counts down */
	int rc;
};

struct hv_fake {
	struct hv base;
	pthread_mutex_t lock;
	struct fake_domain *domain[FAKE_DOMAINS];
	TAILQ_HEAD(, fake_domain) domains; /* dead ones too */
	struct fake_mapping mapping[FAKE_MAPTRACK];
	TAILQ_HEAD(, fake_evtchn) channels;
	struct fake_port port[HV_FAKE_PORTS];
	struct fake_store store;
	struct fake_fault fault[HV_FAKE_CALLS];
	uint64_t count[HV_FAKE_CALLS];
};

static inline struct hv_fake *fake_lock(struct hv *hv)
{
	struct hv_fake *f = (struct hv_fake *)hv;

	pthread_mutex_lock(&f->lock);
	return f;
}

static inline void fake_unlock(struct hv_fake *f)
{
	pthread_mutex_unlock(&f->lock);
}

/* Count a call; 0, or the error that a test wants of it. */
static inline int fake_called(struct hv_fake *f, enum hv_fake_call call)
{
	struct fake_fault *fault = &f->fault[call];

	f->count[call]++;
	return fault->in && --fault->in == 0 ? fault->rc : 0;
}

static inline struct fake_domain *fake_domain(struct hv_fake *f, domid_t domid)
{
	return domid < FAKE_DOMAINS ? f->domain[domid] : NULL;
}

/* hv_fake_event.c; the caller holds the lock. */
void fake_ports_of_domain_close(struct hv_fake *f, struct fake_domain *d);
void fake_events_destroy(struct hv_fake *f);

int fake_evtchn_open(struct hv *hv, struct hv_evtchn **out);
void fake_evtchn_close(struct hv_evtchn *e);
int fake_evtchn_fd(struct hv_evtchn *e);
int fake_evtchn_bind(struct hv_evtchn *e, domid_t domid, evtchn_t remote, evtchn_t *port);
int fake_evtchn_unbind(struct hv_evtchn *e, evtchn_t port);
int fake_evtchn_notify(struct hv_evtchn *e, evtchn_t port);
unsigned fake_evtchn_pending(struct hv_evtchn *e, evtchn_t *ports, unsigned max, bool arm);

/* hv_fake_store.c */
int fake_store_init(struct fake_store *s);
void fake_store_destroy(struct fake_store *s);
/* The caller holds the lock. */
int fake_store_set(struct fake_store *s, const char *path, const char *value);
int fake_store_remove(struct fake_store *s, const char *path);

char *fake_store_read(struct hv *hv, hv_txn_t t, const char *path, size_t *len);
int fake_store_write(struct hv *hv, hv_txn_t t, const char *path, const char *value);
int fake_store_rm(struct hv *hv, hv_txn_t t, const char *path);
char **fake_store_directory(struct hv *hv, hv_txn_t t, const char *path, unsigned *n);
int fake_txn_start(struct hv *hv, hv_txn_t *t);
int fake_txn_end(struct hv *hv, hv_txn_t t, bool abort);
int fake_store_watch(struct hv *hv, const char *path, const char *token);
int fake_store_unwatch(struct hv *hv, const char *path, const char *token);
int fake_store_fd(struct hv *hv);
int fake_store_event(struct hv *hv, char **path, char **token);

#endif
