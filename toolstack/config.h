/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's configuration file in xl's syntax, and one vif and one disk of it. */
#ifndef SLUICE_TOOLSTACK_CONFIG_H
#define SLUICE_TOOLSTACK_CONFIG_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define CONFIG_VIFS_MAX 16
#define CONFIG_DISKS_MAX 16
#define CONFIG_KEY_MAX 64

struct vif_config {
	uint8_t mac[6];
	char bridge[64], script[256], vifname[32], ip[128], rate[64];
	unsigned mtu; /* 0: not given */
};

struct disk_config {
	char vdev[16], target[1024];
	unsigned number;   /* the virtual device's, which names the vbd in XenStore */
	bool block_device; /* the target is one */
	bool readonly, cdrom, removable, discard, direct_io_safe;
};

struct guest_config {
	char *name, *kernel, *ramdisk, *cmdline; /* malloc'd; ramdisk and cmdline may be NULL */
	unsigned memory_mib;
	const char *on_poweroff, *on_reboot, *on_crash; /* NULL: sluiced's default */
	unsigned nr_vifs;
	struct vif_config vif[CONFIG_VIFS_MAX];
	unsigned nr_disks;
	struct disk_config disk[CONFIG_DISKS_MAX];
};

/* Read file, then the settings "key=value" of the command line, which win. 0, or 1 after a line; free it in both cases. */
int config_read(struct guest_config *g, const char *file, char **settings, int nr_settings);
void config_free(struct guest_config *g);
/* The request that makes this guest. */
struct json_object *config_request(const struct guest_config *g);

/* Call found for each key that is set at the top level of text. */
void config_each_key(const char *text, void (*found)(const char *key, void *arg), void *arg);

/* vif.c: one vif out of "mac=...,bridge=..." (the element of vif= in a configuration). 0, or 1 after a line. What is not given gets
 * libxl's default: a random MAC of Xen's range, bridge xenbr0, script vif-bridge. */
int vif_parse(struct vif_config *vif, const char *spec);
void vif_mac_format(const uint8_t mac[6], char out[18]);

/* disk.c: one disk out of n pieces of xl's disk specification ("/path,raw,xvda,rw"), which all mean the same disk. 0, or 1 after a line. */
int disk_parse(struct disk_config *disk, const char *const *specs, int n);
/* xvda is 51712: the number of a virtual device by its name. 0, or 1 after a line. */
int disk_number(const char *vdev, unsigned *number);

#endif
