/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Opening a disk takes as long as its server likes to think, so it is done in a thread of its own, and the poller goes on serving the other vbds. Called by
 * blkback_connect.c. The thread touches its own `struct blkback_open` and nothing else; the poller looks at that only once the thread has ended.
 */
#include "blkback.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct blkback_open {
	struct poll_fd ended; /* an eventfd that the thread writes last of all */
	struct blkback *bb;
	struct blkback_vbd *vbd; /* NULL: nobody wants it any more */
	pthread_t thread;
	bool over;
	char *params;
	bool readonly;
	int rc;
	struct blkdev *disk;
	char why[256];
	TAILQ_ENTRY(blkback_open) next;
};

static void *open_thread(void *ctx)
{
	struct blkback_open *o = ctx;

	o->rc = o->bb->open(o->params, o->readonly, &o->disk, o->why);
	if (o->rc)
		o->disk = NULL;
	eventfd_write(o->ended.fd, 1);
	return NULL;
}

static void open_free(struct blkback_open *o)
{
	TAILQ_REMOVE(&o->bb->opens, o, next);
	if (o->disk)
		o->disk->ops->close(o->disk);
	free(o->params);
	free(o);
}

static void open_join(struct blkback_open *o)
{
	pthread_join(o->thread, NULL);
	poller_remove_fd(o->bb->poller, &o->ended);
	close(o->ended.fd);
	o->over = true;
}

static void open_ended(struct poll_fd *pfd)
{
	struct blkback_open *o = (struct blkback_open *)pfd;

	open_join(o);
	if (o->vbd)
		device_look(o->vbd->dev);
	else
		open_free(o);
}

int blkback_open_start(struct blkback_vbd *vbd, const char *params, bool readonly)
{
	struct blkback_open *o = calloc(1, sizeof(*o));
	int rc = -ENOMEM;

	if (!o)
		return rc;
	*o = (struct blkback_open){.bb = vbd->bb, .vbd = vbd, .readonly = readonly, .params = strdup(params)};
	if (!o->params)
		goto free_open;
	o->ended = (struct poll_fd){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), .ready = open_ended};
	rc = -errno;
	if (o->ended.fd < 0)
		goto free_params;
	rc = poller_add_fd(vbd->bb->poller, &o->ended);
	if (rc)
		goto close_fd;
	rc = -pthread_create(&o->thread, NULL, open_thread, o);
	if (rc)
		goto remove_fd;
	TAILQ_INSERT_TAIL(&vbd->bb->opens, o, next);
	vbd->opening = o;
	return -EINPROGRESS;

remove_fd:
	poller_remove_fd(vbd->bb->poller, &o->ended);
close_fd:
	close(o->ended.fd);
free_params:
	free(o->params);
free_open:
	free(o);
	return rc;
}

bool blkback_open_is(const struct blkback_vbd *vbd, const char *params, bool readonly)
{
	return vbd->opening && vbd->opening->readonly == readonly && strcmp(vbd->opening->params, params) == 0;
}

int blkback_open_take(struct blkback_vbd *vbd)
{
	struct blkback_open *o = vbd->opening;
	int rc = o->rc;

	if (!o->over)
		return -EINPROGRESS;
	vbd->disk = o->disk;
	vbd->opening = NULL;
	memcpy(vbd->why, o->why, sizeof(vbd->why));
	o->disk = NULL;
	open_free(o);
	return rc;
}

void blkback_open_abandon(struct blkback_vbd *vbd)
{
	struct blkback_open *o = vbd->opening;

	vbd->opening = NULL;
	if (!o)
		return;
	o->vbd = NULL;
	if (o->over)
		open_free(o);
}

void blkback_open_fini(struct blkback *bb)
{
	while (!TAILQ_EMPTY(&bb->opens)) {
		struct blkback_open *o = TAILQ_FIRST(&bb->opens);

		if (!o->over)
			open_join(o);
		open_free(o);
	}
}
