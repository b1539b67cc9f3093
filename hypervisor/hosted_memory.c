/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of hosted domains (hosted_memory.h). Its size is sealed: a process that shortened it would make everybody else fault. Where no hosted
 * domain is, the window is the (sparse) rest of the machine memory, so that a late access of a client to a dead domain does no harm.
 */
#include "hosted_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sluice/huge.h>
#include <sluice/shm.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "machine.h"

#define WINDOW_FIRST huge_round(HVSHARE_HOSTED_FIRST + HVSHARE_DOMAINS) /* behind the shared_info frames */

static struct hosted_memory memories[HVSHARE_DOMAINS]; /* by domid; generation 0: none */

const struct hosted_memory *hosted_memory_of(domid_t domid)
{
	return domid < HVSHARE_DOMAINS && memories[domid].generation ? &memories[domid] : NULL;
}

static mfn_t huge_round(mfn_t mfn)
{
	return (mfn + HUGE_FRAMES - 1) & ~(mfn_t)(HUGE_FRAMES - 1);
}

/* The first place in the window where n frames fit, from a huge page's start. */
static mfn_t find_place(uint64_t n)
{
	mfn_t at = WINDOW_FIRST;

	for (unsigned i = 0; i < HVSHARE_DOMAINS; i++) {
		const struct hosted_memory *m = &memories[i];

		if (m->generation && at < m->first + m->frames && m->first < at + n) {
			at = huge_round(m->first + m->frames);
			i = ~0u; /* from the start: another may be in the way there */
		}
	}
	return n <= HVSHARE_ALL_FRAMES && at + n <= HVSHARE_ALL_FRAMES ? at : SLUICE_INVALID_MFN;
}

static int make_memfd(uint64_t frames)
{
	int fd = memfd_create("sluice-hosted", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	if (fd < 0)
		return -errno;
	if (!ftruncate(fd, (off_t)(frames << SLUICE_PAGE_SHIFT)) && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int map_at(mfn_t mfn, uint64_t n, int fd, mfn_t offset)
{
	return huge_map_at(machine_ptr(mfn), n << SLUICE_PAGE_SHIFT, fd, (off_t)(offset << SLUICE_PAGE_SHIFT));
}

static mfn_t shared_info_frame(domid_t domid)
{
	return HVSHARE_HOSTED_FIRST + domid;
}

static void unmap(const struct hosted_memory *m, domid_t domid)
{
	map_at(shared_info_frame(domid), 1, machine.fd, shared_info_frame(domid));
	map_at(m->first, m->frames, machine.fd, m->first);
}

static int map(const struct hosted_memory *m, domid_t domid)
{
	int rc = map_at(m->first, m->frames, m->fd, 0);

	if (!rc)
		rc = map_at(shared_info_frame(domid), 1, m->fd, HOSTED_PFN_SHARED_INFO);
	if (rc)
		unmap(m, domid);
	return rc;
}

static void set_owner(const struct hosted_memory *m, domid_t store, domid_t others)
{
	uint16_t *owner = machine.share->frame_owner;

	shm_store(&owner[m->first + HOSTED_PFN_STORE], store);
	for (pfn_t pfn = HOSTED_PFN_FREE; pfn < m->frames; pfn++)
		__atomic_store_n(&owner[m->first + pfn], others, __ATOMIC_RELEASE);
}

/* What domain_create does with xenheap frames for other domains. */
static void place_parts(struct domain *d, const struct hosted_memory *m)
{
	d->shared_info_mfn = shared_info_frame(d->domid);
	d->share->shared_info_mfn = d->shared_info_mfn;
	d->shared_info = machine_ptr(d->shared_info_mfn);
	d->vcpu[0].info = &d->shared_info->vcpu_info[0];
	shm_store(&d->vcpu[0].info->evtchn_upcall_mask, 1);
	for (unsigned i = 0; i < HOSTED_GRANT_FRAMES; i++)
		d->share->grant_mfn[i] = m->first + HOSTED_PFN_GRANT + i;
	__atomic_store_n(&d->share->nr_grant_frames, HOSTED_GRANT_FRAMES, __ATOMIC_RELEASE);
	d->store_mfn = m->first + HOSTED_PFN_STORE;
	d->nr_pages = d->max_pages;
}

_Static_assert(HOSTED_GRANT_FRAMES <= HVSHARE_GRANT_FRAMES && HOSTED_PORTS == HVSHARE_PORTS, "the two headers differ");

int hosted_memory_create(struct domain *d)
{
	static uint32_t last_generation;
	struct hosted_memory m = { .first = find_place(d->max_pages), .frames = d->max_pages };
	int rc;

	if (m.frames <= HOSTED_PFN_FREE)
		return -EINVAL;
	rc = m.first == SLUICE_INVALID_MFN ? -ENOMEM : machine_lend(m.frames);
	if (rc)
		return rc;
	m.fd = rc = make_memfd(m.frames);
	if (rc < 0)
		goto unlend;
	rc = map(&m, d->domid);
	if (rc)
		goto close_fd;
	m.generation = ++last_generation ? last_generation : ++last_generation;
	memories[d->domid] = m;
	set_owner(&m, d->domid, d->domid);
	place_parts(d, &m);
	__atomic_store_n(&d->share->memory_generation, m.generation, __ATOMIC_RELEASE); /* all of it before the domain is alive */
	return 0;
close_fd:
	close(m.fd);
unlend:
	machine_lend_end(m.frames);
	return rc;
}

void hosted_memory_release(domid_t domid)
{
	struct hosted_memory *m = domid < HVSHARE_DOMAINS ? &memories[domid] : NULL;

	if (!m || !m->generation)
		return;
	__atomic_store_n(&machine.share->domain[domid].memory_generation, 0, __ATOMIC_RELEASE);
	set_owner(m, 0, 0);
	memset(&machine.share->frame_use[m->first], 0, m->frames * sizeof(machine.share->frame_use[0]));
	unmap(m, domid);
	close(m->fd);
	machine_lend_end(m->frames);
	*m = (struct hosted_memory){ .generation = 0 };
}

bool hosted_memory_owns(const struct domain *d, mfn_t mfn)
{
	return d->hosted && mfn < HVSHARE_ALL_FRAMES && machine.share->frame_owner[mfn] == d->domid;
}
