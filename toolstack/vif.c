/* SPDX-License-Identifier: BSD-3-Clause */
/* A vif as xl's configuration writes it: "mac=00:16:3e:...,bridge=xenbr0,...". Called by config.c and network.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config.h"
#include "toolstack.h"

#define DEFAULT_BRIDGE "xenbr0"
#define DEFAULT_SCRIPT "vif-bridge"
#define SCRIPT_DIR "/etc/xen/scripts"
#define MTU_MIN 68
#define MTU_MAX 65535

void vif_mac_format(const uint8_t mac[6], char out[18])
{
	snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static int mac_parse(uint8_t mac[6], const char *text)
{
	unsigned byte[6];
	int end = 0;

	if (strlen(text) != 17 || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &end) != 6 ||
	    end != 17)
		return complain("vif: mac=%s is no MAC address: write six bytes as 00:16:3e:00:00:01", text);
	if (byte[0] & 1)
		return complain("vif: mac=%s is a multicast address: the first byte must be even", text);
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)byte[i];
	return 0;
}

/* Xen's range for such: 00:16:3e, then three bytes of which the first is below 0x80. */
static int mac_random(uint8_t mac[6])
{
	static const uint8_t xen[3] = { 0x00, 0x16, 0x3e };

	memcpy(mac, xen, sizeof(xen));
	if (getrandom(mac + 3, 3, 0) != 3)
		return complain("vif: no random numbers for a MAC address: give mac=");
	mac[3] &= 0x7f;
	return 0;
}

static int copy(char *out, size_t size, const char *key, const char *value)
{
	if (strlen(value) >= size)
		return complain("vif: %s=%.32s...: at most %zu characters are possible", key, value, size - 1);
	strcpy(out, value);
	return 0;
}

static int mtu_parse(unsigned *mtu, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (!*text || *end || v < MTU_MIN || v > MTU_MAX)
		return complain("vif: mtu=%s: between %d and %d is possible", text, MTU_MIN, MTU_MAX);
	*mtu = (unsigned)v;
	return 0;
}

static int set_key(struct vif_config *vif, const char *key, const char *value, bool *has_mac)
{
	if (!strcmp(key, "mac")) {
		*has_mac = true;
		return mac_parse(vif->mac, value);
	}
	if (!strcmp(key, "bridge"))
		return copy(vif->bridge, sizeof(vif->bridge), key, value);
	if (!strcmp(key, "vifname"))
		return copy(vif->vifname, sizeof(vif->vifname), key, value);
	if (!strcmp(key, "script"))
		return copy(vif->script, sizeof(vif->script), key, value);
	if (!strcmp(key, "ip"))
		return copy(vif->ip, sizeof(vif->ip), key, value);
	if (!strcmp(key, "rate"))
		return copy(vif->rate, sizeof(vif->rate), key, value);
	if (!strcmp(key, "mtu"))
		return mtu_parse(&vif->mtu, value);
	if (!strcmp(key, "backend"))
		return !strcmp(value, "0") || !strcmp(value, "Domain-0") ? 0 : complain("vif: backend=%s: only domain 0 has back ends", value);
	if (!strcmp(key, "type"))
		return !strcmp(value, "vif") ? 0 : complain("vif: type=%s: a PV guest has only type=vif", value);
	if (!strcmp(key, "model"))
		return 0; /* of an emulated card, which a PV guest has not: xl ignores it too */
	return complain("vif: '%s' is not known: mac, bridge, vifname, script, ip, rate, mtu, backend, type, model are", key);
}

/* A script without a path is one of Xen's. */
static int set_defaults(struct vif_config *vif, bool has_mac)
{
	char name[sizeof(vif->script)];

	if (!vif->bridge[0])
		strcpy(vif->bridge, DEFAULT_BRIDGE);
	strcpy(name, vif->script[0] ? vif->script : DEFAULT_SCRIPT);
	if (name[0] != '/' && (size_t)snprintf(vif->script, sizeof(vif->script), "%s/%s", SCRIPT_DIR, name) >= sizeof(vif->script))
		return complain("vif: script=%.32s...: too long", name);
	return has_mac ? 0 : mac_random(vif->mac);
}

int vif_parse(struct vif_config *vif, const char *spec)
{
	char *words = strdup(spec), *rest = words, *word;
	bool has_mac = false;
	int status = words ? 0 : complain("out of memory");

	memset(vif, 0, sizeof(*vif));
	while (!status && (word = strsep(&rest, ","))) {
		char *value;

		word += strspn(word, " \t");
		value = strchr(word, '=');
		if (!*word)
			continue;
		if (!value)
			status = complain("vif: '%s' has no value: write key=value, with commas between", word);
		else {
			*value++ = 0;
			status = set_key(vif, word, value, &has_mac);
		}
	}
	free(words);
	return status ? status : set_defaults(vif, has_mac);
}
