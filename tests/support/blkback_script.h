/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back end for blkfront's tests: honest calls for what a blkback does on a disk in memory, and the raw ring for what a lying one would. It runs in the test's
 * own thread, on hv_fake, as domain 0 for the guest of port_fake.
 */
#ifndef TESTS_BLKBACK_SCRIPT_H
#define TESTS_BLKBACK_SCRIPT_H

#include <backend/hv/hv_fake.h>
#include <rings/back_ring.h>

#define BLK_SCRIPT_DOMID 3
#define BLK_SCRIPT_NUMBER 51712
#define BLK_SCRIPT_FRONT "/local/domain/3/device/vbd/51712"
#define BLK_SCRIPT_BACK "/local/domain/0/backend/vbd/3/51712"
#define BLK_SCRIPT_SECTORS 16384u

struct blkback_script {
	struct hv *hv;
	struct hv_evtchn *channel;
	evtchn_t port;
	void *pages;
	unsigned nr_pages;
	struct back_ring ring;
	bool connected;
	/* the disk: it survives a disconnect */
	uint8_t *disk;
	unsigned served, flushes, discards, indirect, most_segments;
};

/* What the toolstack writes for a vbd; the back end's state is Initialising. */
void blk_script_device(struct hv *hv);
/* A key below the back end's or the front end's node. */
void blk_script_back(struct hv *hv, const char *key, const char *value);
void blk_script_front(struct hv *hv, const char *key, const char *value);
/* -1 when it is absent or no number. */
long blk_script_front_number(struct hv *hv, const char *key);

/* Map and bind what the front end has written; sectors, state Connected. 0 or -errno. The disk is made at the first time. */
int blk_script_connect(struct blkback_script *s, struct hv *hv);
/* Unmap and unbind; the state is left alone. */
void blk_script_disconnect(struct blkback_script *s);
/* Disconnects and frees the disk. */
void blk_script_free(struct blkback_script *s);

/* The next request, taken; false when there is none. */
bool blk_script_take(struct blkback_script *s, struct blkif_request *req);
/* Do what it asks, on the disk. A BLKIF_RSP_*. */
int16_t blk_script_execute(struct blkback_script *s, const struct blkif_request *req);
/* The operation that its answer echoes. */
uint8_t blk_script_echo(const struct blkif_request *req);
void blk_script_answer(struct blkback_script *s, uint64_t id, uint8_t op, int16_t status);
/* Show the answers; notify where the front end asked for it. */
void blk_script_push(struct blkback_script *s);
/* Take, do and answer all requests that are there; returns how many. */
unsigned blk_script_serve(struct blkback_script *s);

#endif
