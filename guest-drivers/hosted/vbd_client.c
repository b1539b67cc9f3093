/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A vbd for programs with many threads (vbd_client.h). Requests stand on the stacks of the threads that wait for them, in a list; so there are never more
 * than threads. The front end's thread takes the whole list at a time, submits it as one burst, and sleeps in port_wait when nothing is left to do.
 */
#include "vbd_client.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "hosted.h"

#define BURST 64u
#define DATA_PAGES_PER_MIB 192u /* of 256; rings, tables and shared_info have the rest */
#define DATA_MIB_MAX 6u         /* from here on blkfront's own choice, which is as much as back ends keep mapped */

struct request {
	struct blkfront_io io;
	sem_t answered;
	struct request *next, **at; /* in `fresh` or in `running` */
};

static struct {
	pthread_t thread;
	bool started;
	struct xenbus *xb;
	struct blkfront *bf;

	pthread_mutex_t lock; /* what follows */
	struct request *fresh, **fresh_end; /* not seen by the front end's thread; fresh_end: where the next one goes */
	bool sleeping, stop, dead; /* dead: everything fails */
	struct blkfront_info info;

	struct request *running; /* the thread's own: submitted and not answered */
} vbd = { .lock = PTHREAD_MUTEX_INITIALIZER, .fresh_end = &vbd.fresh };

/* ---- the callers' side ---- */

static void push(struct request *r)
{
	bool wake;

	pthread_mutex_lock(&vbd.lock);
	if (vbd.dead) {
		r->io.result = -EIO;
		sem_post(&r->answered);
		pthread_mutex_unlock(&vbd.lock);
		return;
	}
	*vbd.fresh_end = r;
	vbd.fresh_end = &r->next;
	wake = vbd.sleeping;
	vbd.sleeping = false;
	pthread_mutex_unlock(&vbd.lock);
	if (wake)
		hosted_kick();
}

static int one_io(enum blkfront_op op, uint64_t sector, uint64_t len, void *data)
{
	struct request r = { .io = { .op = op, .sector = sector, .len = len, .data = data } };

	r.io.owner = &r;
	sem_init(&r.answered, 0, 0);
	push(&r);
	while (sem_wait(&r.answered) && errno == EINTR)
		;
	sem_destroy(&r.answered);
	return r.io.result;
}

int vbd_io(enum blkfront_op op, uint64_t sector, uint64_t len, void *data)
{
	bool moves = op == BLKFRONT_READ || op == BLKFRONT_WRITE;
	uint64_t done = 0;
	int rc;

	do {
		uint64_t now = moves && len - done > BLKFRONT_IO_MAX ? BLKFRONT_IO_MAX : len - done;

		rc = one_io(op, sector + done / BLKFRONT_SECTOR, now, data ? (uint8_t *)data + done : NULL);
		done += now;
	} while (!rc && done < len);
	return rc;
}

struct blkfront_info vbd_client_info(void)
{
	struct blkfront_info info;

	pthread_mutex_lock(&vbd.lock);
	info = vbd.info;
	pthread_mutex_unlock(&vbd.lock);
	return info;
}

/* ---- the thread of the front end ---- */

static void answer(struct request *r)
{
	*r->at = r->next;
	if (r->next)
		r->next->at = r->at;
	sem_post(&r->answered); /* r is its caller's again */
}

/* True when there was something. */
static bool submit_fresh(void)
{
	struct request *r, *next;

	pthread_mutex_lock(&vbd.lock);
	r = vbd.fresh;
	vbd.fresh = NULL;
	vbd.fresh_end = &vbd.fresh;
	pthread_mutex_unlock(&vbd.lock);
	if (!r)
		return false;
	for (; r; r = next) {
		next = r->next;
		r->next = vbd.running;
		r->at = &vbd.running;
		if (r->next)
			r->next->at = &r->next;
		vbd.running = r;
		blkfront_submit(vbd.bf, &r->io);
	}
	blkfront_kick(vbd.bf);
	return true;
}

static bool answer_done(void)
{
	struct blkfront_io *done[BURST];
	unsigned n = blkfront_poll(vbd.bf, done, BURST);

	for (unsigned i = 0; i < n; i++)
		answer(done[i]->owner);
	return n;
}

/* False: there is something to do. A push after this kicks. */
static bool may_sleep(void)
{
	bool may;

	pthread_mutex_lock(&vbd.lock);
	may = vbd.sleeping = !vbd.fresh && !vbd.stop;
	pthread_mutex_unlock(&vbd.lock);
	return may;
}

static void step(void)
{
	if (blkfront_step(vbd.bf) != BLKFRONT_CONNECTED)
		return;
	pthread_mutex_lock(&vbd.lock);
	vbd.info = *blkfront_info(vbd.bf);
	pthread_mutex_unlock(&vbd.lock);
}

static bool stopping(void)
{
	bool stop;

	pthread_mutex_lock(&vbd.lock);
	stop = vbd.stop;
	pthread_mutex_unlock(&vbd.lock);
	return stop || hosted_lost();
}

/* Those that wait, and all to come, fail. */
static void die(void)
{
	struct request *r;

	blkfront_destroy(vbd.bf);
	vbd.bf = NULL;
	pthread_mutex_lock(&vbd.lock);
	vbd.dead = true;
	while ((r = vbd.fresh)) {
		vbd.fresh = r->next;
		r->io.result = -EIO;
		sem_post(&r->answered);
	}
	pthread_mutex_unlock(&vbd.lock);
	while ((r = vbd.running)) {
		r->io.result = -EIO;
		answer(r);
	}
}

static void *run(void *arg)
{
	while (!stopping()) {
		bool busy;

		step();
		busy = submit_fresh();
		busy |= answer_done();
		if (!busy && may_sleep() && blkfront_arm(vbd.bf))
			port_wait(UINT64_MAX);
	}
	die();
	return arg;
}

/* ---- beginning and end ---- */

/* Signals are for the program's own threads. */
static int start_thread(void)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&vbd.thread, NULL, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	vbd.started = !rc;
	return rc;
}

static int connect_disk(const struct vbd_client_config *c)
{
	uint64_t deadline = port_now_ns() + (uint64_t)c->wait_s * 1000000000u;
	int rc = hosted_wait_device(vbd.xb, "vbd", c->number, c->wait_s * 1000);

	if (rc) {
		port_log(PORT_LOG_ERROR, "no disk %u within %u s: sluice block-attach %s TARGET,raw,xvda,rw", c->number, c->wait_s, c->name);
		return rc;
	}
	while (blkfront_step(vbd.bf) != BLKFRONT_CONNECTED) {
		if (hosted_lost() || port_now_ns() >= deadline) {
			port_log(PORT_LOG_ERROR, "disk %u of %s is not served within %u s: see sluice-backend's log", c->number, c->name, c->wait_s);
			return -ETIMEDOUT;
		}
		if (blkfront_arm(vbd.bf))
			port_wait(deadline);
	}
	vbd.info = *blkfront_info(vbd.bf);
	return 0;
}

int vbd_client_start(const struct vbd_client_config *c)
{
	struct blkfront_options options = { .pages = c->memory_mib < DATA_MIB_MAX ? c->memory_mib * DATA_PAGES_PER_MIB : 0 };
	int rc = hosted_attach(c->run_dir, c->name, c->memory_mib);

	if (rc)
		return rc;
	vbd.xb = xenbus_create();
	vbd.bf = vbd.xb ? blkfront_create(vbd.xb, c->number, &options) : NULL;
	rc = vbd.bf ? connect_disk(c) : -ENOMEM;
	if (!rc)
		rc = start_thread();
	if (rc)
		vbd_client_stop();
	return rc;
}

void vbd_client_stop(void)
{
	if (vbd.started) {
		pthread_mutex_lock(&vbd.lock);
		vbd.stop = true;
		pthread_mutex_unlock(&vbd.lock);
		hosted_kick();
		pthread_join(vbd.thread, NULL);
		vbd.started = false;
	}
	blkfront_destroy(vbd.bf);
	vbd.bf = NULL;
	xenbus_destroy(vbd.xb);
	vbd.xb = NULL;
	hosted_detach();
}

/* As Linux numbers them: xvda to xvdp have 16 minors each under major 202, those after them the extended scheme. */
uint32_t vbd_number(const char *text)
{
	bool named = !strncmp(text, "xvd", 3);
	unsigned disk = 0;
	unsigned long partition;
	char *end;

	for (text += named ? 3 : 0; named && *text >= 'a' && *text <= 'z' && disk < 1u << 16; text++)
		disk = disk * 26 + (unsigned)(*text - 'a') + 1;
	partition = strtoul(text, &end, 10); /* 0 when there is none */
	if (!named)
		return *text && !*end && partition <= UINT32_MAX ? (uint32_t)partition : 0;
	if (!disk-- || disk >= 1u << 16 || *end || partition > 255)
		return 0;
	return disk < 16 && partition < 16 ? 202u << 8 | disk << 4 | (uint32_t)partition : 1u << 28 | disk << 8 | (uint32_t)partition;
}
