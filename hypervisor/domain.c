/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Birth, running state and death of domains, and hv_lock (domain.h). The control server creates and destroys, in the main loop; a vCPU's
 * own thread shuts down or crashes its domain.
 */
#include "domain.h"

#include <errno.h>
#include <sluice/shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "event.h"
#include "grant.h"
#include "hosted_memory.h"
#include "log.h"
#include "machine.h"
#include "mmu.h"
#include "time.h"
#include "vcpu.h"

#define ERR_LEN 256
#define BREATH_NS 50000
#define BREATHS_MAX 20u
#define FREE_CHUNK 512u /* frames given back at a time: some 400 us */

/* ---- the lock ---- */

pthread_mutex_t hv_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned waiting; /* threads that did not get it at once */

void hv_lock_acquire(void)
{
	if (!pthread_mutex_trylock(&hv_lock))
		return;
	__atomic_add_fetch(&waiting, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&hv_lock);
	__atomic_sub_fetch(&waiting, 1, __ATOMIC_RELAXED);
}

void hv_lock_release(void)
{
	pthread_mutex_unlock(&hv_lock);
}

/* The mutex is not fair: whoever takes it again at once keeps the others out, so it is left alone until they had it. */
void hv_lock_breathe(void)
{
	const struct timespec breath = { .tv_nsec = BREATH_NS };

	if (!__atomic_load_n(&waiting, __ATOMIC_RELAXED))
		return;
	hv_lock_release();
	for (unsigned i = 0; i < BREATHS_MAX && __atomic_load_n(&waiting, __ATOMIC_RELAXED); i++)
		nanosleep(&breath, NULL);
	hv_lock_acquire();
}

/* ---- the list ---- */

static struct domain *domains; /* ascending domid */

struct domain *domain_next(const struct domain *d)
{
	return d ? d->next : domains;
}

struct domain *domain_find(domid_t domid)
{
	for (struct domain *d = domains; d; d = d->next)
		if (d->domid == domid)
			return d->run == DOMAIN_DYING ? NULL : d;
	return NULL;
}

struct domain *domain_find_name(const char *name)
{
	for (struct domain *d = domains; d; d = d->next)
		if (d->run != DOMAIN_DYING && !strcmp(d->name, name))
			return d;
	return NULL;
}

static bool domid_listed(domid_t domid)
{
	for (struct domain *d = domains; d; d = d->next)
		if (d->domid == domid)
			return true;
	return false;
}

static void list_insert(struct domain *d)
{
	struct domain **at = &domains;

	while (*at && (*at)->domid < d->domid)
		at = &(*at)->next;
	d->next = *at;
	*at = d;
}

static void list_remove(struct domain *d)
{
	struct domain **at = &domains;

	while (*at && *at != d)
		at = &(*at)->next;
	if (*at)
		*at = d->next;
}

/* In turn, so that a domid that others still remember is not at once somebody else's. 0: all are in use. */
static domid_t next_domid(void)
{
	static domid_t last;

	grant_sweep_dead();
	for (unsigned tries = 1; tries < HVSHARE_DOMAINS; tries++) {
		last = (domid_t)(last % (HVSHARE_DOMAINS - 1) + 1);
		if (!domid_listed(last) && grant_domid_free(last))
			return last;
	}
	return 0;
}

/* ---- birth ---- */

static int alloc_memory(struct domain *d)
{
	int rc;

	d->p2m = malloc(d->max_pages * sizeof(*d->p2m));
	if (!d->p2m)
		return -ENOMEM;
	rc = machine_alloc(d->domid, d->p2m, d->max_pages);
	if (rc)
		return rc;
	d->nr_pages = d->max_pages;
	for (pfn_t pfn = 0; pfn < d->nr_pages; pfn++)
		machine.m2p[d->p2m[pfn]] = pfn;
	return 0;
}

static int alloc_shared_info(struct domain *d)
{
	int rc = machine_alloc_xenheap(XENHEAP_SHARED_INFO, d->domid, &d->shared_info_mfn);

	if (rc)
		return rc;
	d->shared_info = machine_ptr(d->shared_info_mfn);
	d->share->shared_info_mfn = d->shared_info_mfn;
	d->vcpu[0].info = &d->shared_info->vcpu_info[0];
	shm_store(&d->vcpu[0].info->evtchn_upcall_mask, 1); /* as Xen: a kernel asks for events when it is ready */
	return 0;
}

static struct domain *domain_alloc(const char *name, uint64_t max_pages, bool hosted)
{
	struct domain *d = calloc(1, sizeof(*d));
	struct timespec now;

	if (!d)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(d->name, sizeof(d->name), "%s", name);
	d->hosted = hosted;
	d->bell = -1;
	d->pause_count = !hosted;
	d->run = DOMAIN_RUNNING;
	d->max_pages = max_pages;
	d->created_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
	d->vcpu[0].domain = d;
	d->vcpu[0].engine = &engine_process;
	return d;
}

/* Memory last: the rest is small, and this is what fails. */
static int fill_pv(struct domain *d)
{
	int rc = alloc_shared_info(d);

	if (!rc)
		rc = mmu_domain_init(d);
	if (!rc)
		rc = evtchn_domain_init(d);
	if (!rc)
		rc = grant_domain_init(d);
	return rc ? rc : alloc_memory(d);
}

/* The grant table lies in its memory. */
static int fill_hosted(struct domain *d)
{
	int rc = hosted_memory_create(d);

	if (!rc)
		rc = evtchn_domain_init(d);
	if (!rc)
		rc = grant_domain_init(d);
	__atomic_add_fetch(&d->share->vcpu[0].generation, 1, __ATOMIC_SEQ_CST);
	return rc;
}

/* Version 4, variant 1 (RFC 4122). */
static int random_uuid(uint8_t uuid[16])
{
	if (getrandom(uuid, 16, 0) != 16)
		return -EIO;
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	return 0;
}

static int domain_fill(struct domain *d, char err[ERR_LEN])
{
	int rc;

	d->domid = next_domid();
	if (!d->domid) {
		snprintf(err, ERR_LEN, "no domain id is free: at most %u domains are possible, destroy some", HVSHARE_DOMAINS - 1);
		return -ENOSPC;
	}
	d->share = &machine.share->domain[d->domid];
	d->vcpu[0].share = &d->share->vcpu[0];
	__atomic_store_n(&d->share->vcpu[0].run_state, d->hosted ? HVSHARE_RUN_HOSTED : HVSHARE_RUN_HYPERVISOR, __ATOMIC_SEQ_CST);
	rc = random_uuid(d->uuid);
	if (rc)
		return rc;
	rc = d->hosted ? fill_hosted(d) : fill_pv(d);
	if (rc == -ENOMEM)
		snprintf(err, ERR_LEN, "domain '%.64s' needs %lu MiB, %lu MiB of machine memory are free: lower its memory= or destroy others",
			 d->name, d->max_pages >> 8, machine_free_frames() >> 8);
	return rc;
}

/* Frames that others hold mapped stay with the domid: grant.c frees them. */
static void free_memory(struct domain *d)
{
	size_t run = 0;

	for (mfn_t mfn = MACHINE_FIRST_FRAME; mfn <= machine.nr_frames; mfn++) {
		bool ours = machine_owner(mfn) == d->domid && !grant_frame_pinned(d, mfn);

		if (run && (!ours || run == FREE_CHUNK)) {
			machine_free_run(mfn - run, run);
			run = 0;
			hv_lock_breathe();
			ours = ours && machine_owner(mfn) == d->domid;
		}
		run += ours;
	}
	if (d->shared_info_mfn)
		machine_free_xenheap(XENHEAP_SHARED_INFO, d->shared_info_mfn);
}

/* What a domain has, whole or half made; in the reverse order of its making, but the grants before the memory that they name. */
static void domain_release(struct domain *d)
{
	if (d->evtchn)
		evtchn_domain_fini(d);
	grant_domain_fini(d);
	if (d->mmu)
		mmu_domain_fini(d);
	if (d->share && !d->hosted)
		free_memory(d);
	free(d->p2m);
	free(d);
}

static int create(const char *name, uint64_t max_pages, bool hosted, struct domain **out, char err[ERR_LEN])
{
	struct domain *d;
	int rc;

	if (!name[0] || strlen(name) >= sizeof(d->name) || domain_find_name(name)) {
		snprintf(err, ERR_LEN, "'%.64s' cannot be the name of a domain: it is in use, empty or longer than %zu characters", name,
			 sizeof(d->name) - 1);
		return domain_find_name(name) ? -EEXIST : -EINVAL;
	}
	if (!max_pages || max_pages > HVSHARE_FRAMES) {
		snprintf(err, ERR_LEN, "domain '%s' cannot have %lu MiB of memory: give 1 to %u", name, max_pages >> 8, HVSHARE_FRAMES >> 8);
		return -EINVAL;
	}
	d = domain_alloc(name, max_pages, hosted);
	err[0] = '\0';
	rc = d ? domain_fill(d, err) : -ENOMEM;
	if (rc) {
		if (!err[0])
			snprintf(err, ERR_LEN, "domain '%s' cannot be made: %s", name, strerror(-rc));
		if (d)
			domain_release(d);
		return rc;
	}
	time_domain_init(d);
	list_insert(d);
	__atomic_store_n(&d->share->alive, 1, __ATOMIC_RELEASE);
	*out = d;
	return 0;
}

int domain_create(const char *name, uint64_t max_pages, struct domain **out, char err[ERR_LEN])
{
	return create(name, max_pages, false, out, err);
}

int domain_create_hosted(const char *name, uint64_t nr_pages, struct domain **out, char err[ERR_LEN])
{
	return create(name, nr_pages, true, out, err);
}

/* ---- running ---- */

int domain_start(struct domain *d)
{
	return vcpu_start(&d->vcpu[0]);
}

void domain_pause(struct domain *d)
{
	d->pause_count++;
	vcpu_kick(&d->vcpu[0]);
}

void domain_unpause(struct domain *d)
{
	if (d->pause_count)
		d->pause_count--;
	vcpu_kick(&d->vcpu[0]);
}

void domain_shutdown(struct domain *d, unsigned reason)
{
	if (d->run != DOMAIN_RUNNING)
		return;
	d->run = DOMAIN_SHUTDOWN;
	if (!d->shutdown_reason_latched)
		d->shutdown_reason = reason;
	vcpu_kick(&d->vcpu[0]);
	if (d->on_shutdown)
		d->on_shutdown(d);
}

static void log_registers(const struct domain *d)
{
	const struct engine_regs *e = &d->vcpu[0].regs;
	const struct cpu_user_regs *r = &e->user;

	log_error("domain %u (%s): rip %016lx rsp %016lx rflags %08lx cr3 frame %lx", d->domid, d->name, r->rip, r->rsp, r->rflags,
		  d->vcpu[0].cr3);
	log_error("domain %u (%s): rax %016lx rbx %016lx rcx %016lx rdx %016lx", d->domid, d->name, r->rax, r->rbx, r->rcx, r->rdx);
	log_error("domain %u (%s): rsi %016lx rdi %016lx rbp %016lx r8  %016lx", d->domid, d->name, r->rsi, r->rdi, r->rbp, r->r8);
	log_error("domain %u (%s): r9  %016lx r10 %016lx r11 %016lx r12 %016lx", d->domid, d->name, r->r9, r->r10, r->r11, r->r12);
	log_error("domain %u (%s): r13 %016lx r14 %016lx r15 %016lx fs %016lx gs %016lx", d->domid, d->name, r->r13, r->r14, r->r15,
		  e->fs_base, e->gs_base);
}

void domain_crash(struct domain *d, const char *why)
{
	if (d->run != DOMAIN_RUNNING)
		return;
	log_error("domain %u (%s) crashed: %s", d->domid, d->name, why);
	log_registers(d);
	d->shutdown_reason_latched = false;
	domain_shutdown(d, SHUTDOWN_crash);
}

/* ---- death ---- */

void domain_destroy(struct domain *d)
{
	__atomic_store_n(&d->share->alive, 0, __ATOMIC_RELEASE);
	d->run = DOMAIN_DYING;
	if (d->vcpu[0].thread_started) {
		hv_lock_release();
		vcpu_stop(&d->vcpu[0]);
		hv_lock_acquire();
	}
	list_remove(d);
	domain_release(d);
}
