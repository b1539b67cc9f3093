/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of hosted domains (hvshare.h): each is a memfd of its own, that sluiced hands out by HVSOCK_MEMORY, mapped at its place in the window above
 * the machine memory. From then on its frames are used like any others. Ranges of live domains never overlap, and sluiced gives the range of a dead one
 * away only when nothing in it is pinned: so to map over what is stale harms nobody.
 */
#include "hv_sluice_private.h"

#include <sluice/hosted_abi.h>
#include <sluice/huge.h>
#include <unistd.h>

static int map_at(struct hv_sluice *s, mfn_t mfn, uint64_t n, int fd, mfn_t offset)
{
	return huge_map_at(hvshare_page(&s->view, mfn), n << SLUICE_PAGE_SHIFT, fd, (off_t)(offset << SLUICE_PAGE_SHIFT));
}

/* Where nobody's memory is, the window is the rest of the machine memory: a late notification goes nowhere. */
static void forget(struct hv_sluice *s, domid_t domid)
{
	struct sluice_memory *m = &s->memory[domid];

	if (!m->generation)
		return;
	__atomic_store_n(&m->generation, 0, __ATOMIC_RELEASE);
	map_at(s, HVSHARE_HOSTED_FIRST + domid, 1, s->machine_fd, HVSHARE_HOSTED_FIRST + domid);
	map_at(s, m->first, m->frames, s->machine_fd, m->first);
	close(m->fd);
	s->nr_memories--;
}

/* What was another's and is stale, but not yet let go of. */
static void forget_overlapping(struct hv_sluice *s, mfn_t first, uint64_t frames)
{
	for (domid_t domid = 1; domid < HVSHARE_DOMAINS && s->nr_memories; domid++) {
		const struct sluice_memory *m = &s->memory[domid];

		if (m->generation && m->first < first + frames && first < m->first + m->frames)
			forget(s, domid);
	}
}

static int keep(struct hv_sluice *s, domid_t domid, const struct hvsock_reply *reply, int fd)
{
	struct sluice_memory *m = &s->memory[domid];
	int rc;

	if (fd < 0 || reply->first < HVSHARE_HOSTED_FIRST + HVSHARE_DOMAINS || reply->first > HVSHARE_ALL_FRAMES ||
	    reply->frames > HVSHARE_ALL_FRAMES - reply->first)
		return -EPROTO;
	forget_overlapping(s, reply->first, reply->frames);
	rc = map_at(s, reply->first, reply->frames, fd, 0);
	if (!rc)
		rc = map_at(s, HVSHARE_HOSTED_FIRST + domid, 1, fd, HOSTED_PFN_SHARED_INFO);
	if (rc)
		return rc;
	m->fd = fd;
	m->first = reply->first;
	m->frames = reply->frames;
	s->nr_memories++;
	/* Orders: the mapping before others are told that it is there. */
	__atomic_store_n(&m->generation, reply->generation, __ATOMIC_RELEASE);
	return 0;
}

static int fetch(struct hv_sluice *s, domid_t domid)
{
	struct hvsock_request req = {.op = HVSOCK_MEMORY, .domid = domid};
	struct hvsock_reply reply;
	int fds[HV_SLUICE_FDS];
	int rc = hv_sluice_call(s, &req, &reply, fds);

	if (rc)
		return rc;
	forget(s, domid);
	if (!reply.generation)
		return 0;
	rc = keep(s, domid, &reply, fds[0]);
	if (rc)
		hv_sluice_close_fds(fds);
	return rc;
}

int hv_sluice_memory_map(struct hv_sluice *s, domid_t domid)
{
	int rc = 0;

	if (domid >= HVSHARE_DOMAINS)
		return -ESRCH;
	if (hv_sluice_memory_current(s, domid))
		return 0;
	pthread_mutex_lock(&s->memory_lock);
	if (!hv_sluice_memory_current(s, domid))
		rc = fetch(s, domid);
	pthread_mutex_unlock(&s->memory_lock);
	return rc;
}

void hv_sluice_memory_trim(struct hv_sluice *s)
{
	if (!__atomic_load_n(&s->nr_memories, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&s->memory_lock);
	for (domid_t domid = 1; domid < HVSHARE_DOMAINS; domid++)
		if (!hv_sluice_memory_current(s, domid))
			forget(s, domid);
	pthread_mutex_unlock(&s->memory_lock);
}

void hv_sluice_memory_fini(struct hv_sluice *s)
{
	for (domid_t domid = 1; domid < HVSHARE_DOMAINS; domid++)
		if (s->memory[domid].generation)
			close(s->memory[domid].fd);
}

int hv_sluice_memory_fd(const struct hv_sluice *s, domid_t domid, mfn_t mfn, off_t *offset)
{
	const struct sluice_memory *m = &s->memory[domid];

	if (!m->generation) {
		*offset = (off_t)(mfn << SLUICE_PAGE_SHIFT);
		return s->machine_fd;
	}
	*offset = (off_t)((mfn - m->first) << SLUICE_PAGE_SHIFT);
	return m->fd;
}
