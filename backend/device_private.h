/* SPDX-License-Identifier: BSD-3-Clause */
/* Between device.c (one device and its states) and devices.c (all of a class, and the store's events). */
#ifndef BACKEND_DEVICE_PRIVATE_H
#define BACKEND_DEVICE_PRIVATE_H

#include "device.h"

#define DEVICE_ID_MAX 0x1fffffffu /* a vbd's: its extended device numbers have bit 28 set */
#define DEVICES_MAX 1024u

struct devices {
	struct hv *hv;
	struct poller *poller;
	const struct device_class *cls;
	void *ctx;
	char root[32]; /* "backend/vif" */
	struct devices *first;  /* who reads the store for us; itself when we do */
	struct devices *beside; /* the next class that shares the store, in a list from `first` on */
	struct poll_fd store;
	struct poll_timer work; /* set while something is marked outside of the store's turn */
	bool closing;
	unsigned count;
	TAILQ_HEAD(, device) list;
};

/* A node that we do not know yet: made a device of ours if it is to be. */
void device_probe(struct devices *d, domid_t domid, uint32_t devid);
/* All the work of a device that is marked or has failed. It may be gone after. */
void device_update(struct device *dev);
/* The stop in good order begins. */
void device_close(struct device *dev);
void device_free(struct device *dev);

#endif
