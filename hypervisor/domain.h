/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Domains and their vCPUs: the objects that everything else in the hypervisor hangs its state on. One vCPU a domain for now.
 *
 * hv_lock is the one lock of the hypervisor: a vCPU thread takes it for the handling of each exit, the main loop for each
 * event. Only a domain's grant_lock (hvshare.h) nests inside it. Nothing sleeps under hv_lock: tlb.c lets go
 * of it while the engine works.
 */
#ifndef SLUICE_DOMAIN_H
#define SLUICE_DOMAIN_H

#include <pthread.h>
#include <sluice/engine.h>
#include <sluice/hvshare.h>

struct evtchn_table; /* event.c */
struct grant_state;  /* grant.c */
struct mmu_state;    /* mmu.c */
struct console;      /* console.c */
struct vcpu_run;     /* vcpu.c */

extern pthread_mutex_t hv_lock;
void hv_lock_acquire(void);
void hv_lock_release(void);
/* In the middle of long work, at a point where everything is consistent: let those who wait for hv_lock have it first. */
void hv_lock_breathe(void);

struct vcpu {
	struct domain *domain;
	unsigned id;
	const struct engine_ops *engine;
	struct engine_vcpu *ev;      /* NULL until its thread made it */
	struct engine_regs regs;     /* valid while it does not run */
	struct hvshare_vcpu *share;
	struct vcpu_info *info;      /* in the shared_info page (or where VCPUOP_register_vcpu_info put it) */
	mfn_t cr3;                   /* root of the page tables in use: a validated, typed L4 frame */
	struct trap_info traps[256];
	gva_t event_callback, failsafe_callback, syscall_callback; /* 0: none */
	gva_t kernel_sp;
	uint64_t timer_deadline;     /* system time in ns of the singleshot timer; 0: none */
	pthread_t thread;
	bool thread_started;
	uint64_t gs_base_user;       /* SEGBASE_GS_USER: kept for the guest, in force only outside its kernel */
	struct vcpu_run *run;        /* of its thread; NULL before vcpu_start and after vcpu_stop */
};

enum domain_run { DOMAIN_RUNNING, DOMAIN_SHUTDOWN, DOMAIN_DYING };

struct domain {
	domid_t domid;
	char name[64];
	uint8_t uuid[16];
	struct hvshare_domain *share;
	struct vcpu vcpu[1];
	unsigned pause_count;        /* > 0: vCPUs do not enter the guest */
	enum domain_run run;
	unsigned shutdown_reason;    /* SHUTDOWN_*, when run is DOMAIN_SHUTDOWN */
	bool shutdown_reason_latched; /* SCHEDOP_shutdown_code said it beforehand */
	bool hosted;                 /* a process of the host, in memory of its own (hosted.h): no vCPU thread, page tables, console */
	int bell;                    /* hosted: the socket that wakes it; -1: none. Owned by hosted.c */
	uint64_t nr_pages, max_pages;
	mfn_t *p2m;                  /* the builder's map, max_pages entries; SLUICE_INVALID_MFN for holes. Kept up to date by memory_op and transfer. NULL when hosted */
	struct shared_info *shared_info;
	mfn_t shared_info_mfn;
	uint64_t created_ns;         /* CLOCK_MONOTONIC */
	uint64_t cpu_time_ns;        /* spent in the guest by its vCPUs */
	/* what the builder told the guest */
	mfn_t store_mfn, console_mfn;
	evtchn_t store_port, console_port; /* the guest's ends */
	uint64_t vm_assist;          /* OR of 1 << VMASST_TYPE_* */
	struct evtchn_table *evtchn;
	struct grant_state *grant;
	struct mmu_state *mmu;
	struct console *console;
	struct domain *next;         /* list of domains (domain.c), ascending domid */
	unsigned log_lines;          /* log_domain_limited */
	uint64_t unknown_hypercalls; /* bit n: its absence was logged (63: any above) */
	void (*on_shutdown)(struct domain *d); /* server.c: the main loop is told through an eventfd; may be NULL */
};

/* A new paused domain (pause_count 1) with max_pages of memory, shared_info, an empty grant table and event channels, no
 * kernel, no vCPU thread. 0 or -errno; err: one line that says what is wrong and what to do. */
int domain_create(const char *name, uint64_t max_pages, struct domain **out, char err[256]);
/* The same for a hosted domain: not paused, its memory laid out as hosted_abi.h says. */
int domain_create_hosted(const char *name, uint64_t nr_pages, struct domain **out, char err[256]);

struct domain *domain_find(domid_t domid);          /* NULL when there is none, or it is dying */
struct domain *domain_find_name(const char *name);
struct domain *domain_next(const struct domain *d); /* NULL starts; ascending domid; skips none */

/* Start the vCPU threads (once, after the builder set regs and cr3). They stay paused until domain_unpause. */
int domain_start(struct domain *d);
void domain_pause(struct domain *d);
void domain_unpause(struct domain *d);

/* The guest is over (SCHEDOP_shutdown, crash): vCPUs stop, memory stays until domain_destroy. Called by its own vCPU. */
void domain_shutdown(struct domain *d, unsigned reason);
/* domain_shutdown(SHUTDOWN_crash) with why and the registers in the log. */
void domain_crash(struct domain *d, const char *why);

/* Ends it: joins the threads (releases hv_lock for that), closes its event channels, takes back its grants, frees its
 * frames (those that another domain holds mapped are freed when that lets go). Main loop only. */
void domain_destroy(struct domain *d);

#endif
