/* SPDX-License-Identifier: BSD-3-Clause */
/* The table of verbs (verbs.h). Names and options are xl's where xl has them. */
#include "verbs.h"

#include <limits.h>
#include <string.h>

#define NAME_MAX_LEN 32
#define GUESS_DISTANCE 3

const struct verb verbs[] = {
	{ "create", "pcj", 1, INT_MAX, "FILE [KEY=VALUE]...", "make a domain from a configuration file and start it",
	  "Options:\n"
	  "  -p, --paused   leave it paused: see unpause\n"
	  "  -c, --console  attach to its console\n"
	  "  -j, --json     print the new domain as JSON\n"
	  "KEY=VALUE overrides what the file says. Keys, in xl's syntax: name, kernel, ramdisk, cmdline, root, extra, memory (MiB), vif, disk,\n"
	  "on_poweroff, on_reboot, on_crash (destroy, preserve or restart). A vif has mac, bridge, vifname, script, ip, rate and mtu. A disk is\n"
	  "TARGET,raw,VDEV,rw or ro or key=value with target= last; TARGET is a file, a block device, null:SIZE, memory:SIZE or an NBD URI.\n"
	  "\n"
	  "Example:\n"
	  "  cat > one.cfg <<END\n"
	  "  name   = \"one\"\n"
	  "  kernel = \"build/guest/sluice-guest.elf\"\n"
	  "  memory = 32\n"
	  "  extra  = \"ip=10.77.0.11/24\"\n"
	  "  vif    = [ 'mac=00:16:3e:00:00:01,bridge=xenbr0' ]\n"
	  "  disk   = [ '/var/lib/one.img,raw,xvda,rw', 'vdev=xvdb,target=nbd://server/export' ]\n"
	  "  END\n"
	  "  sluice create one.cfg\n"
	  "  sluice create -c one.cfg name=two memory=64\n",
	  verb_create },
	{ "list", "j", 0, 1, "[DOMAIN]", "show the domains",
	  "State: r running, b blocked, p paused, s shut down, c crashed, d dying.\n\n"
	  "Example:\n  sluice list\n  sluice list --json | jq '.[].name'\n",
	  verb_list },
	{ "console", "", 1, 1, "DOMAIN", "attach to a domain's console",
	  "^] leaves. With pipes, each line goes to the guest and what it prints comes out until it ends.\n\n"
	  "Example:\n  sluice console one\n  echo help | timeout 1 sluice console one\n",
	  verb_console },
	{ "destroy", "", 1, 1, "DOMAIN", "end a domain at once", "Example:\n  sluice destroy one\n", verb_destroy },
	{ "shutdown", "w", 1, 1, "DOMAIN", "ask a domain to power off",
	  "Options:\n  -w, --wait  until it is over\n\nExample:\n  sluice shutdown -w one\n", verb_shutdown },
	{ "reboot", "w", 1, 1, "DOMAIN", "ask a domain to reboot",
	  "Options:\n  -w, --wait  until it is over\n\nExample:\n  sluice reboot one\n", verb_reboot },
	{ "pause", "", 1, 1, "DOMAIN", "let a domain not run for now", "Example:\n  sluice pause one\n", verb_pause },
	{ "unpause", "", 1, 1, "DOMAIN", "let a paused domain run", "Example:\n  sluice create -p one.cfg && sluice unpause one\n", verb_unpause },
	{ "domid", "j", 1, 1, "NAME", "a domain's number", "Example:\n  sluice domid one\n", verb_domid },
	{ "domname", "j", 1, 1, "DOMID", "a domain's name", "Example:\n  sluice domname 1\n", verb_domname },
	{ "info", "j", 0, 0, "", "memory and domains of sluiced", "Example:\n  sluice info --json\n", verb_info },
	{ "network-attach", "j", 1, INT_MAX, "DOMAIN [KEY=VALUE]...", "give a running domain another vif",
	  "Keys are those of vif in a configuration.\n\nExample:\n  sluice network-attach one mac=00:16:3e:00:00:02 bridge=xenbr0\n", verb_network_attach },
	{ "network-detach", "", 2, 2, "DOMAIN HANDLE|MAC", "take a vif away", "Example:\n  sluice network-detach one 1\n", verb_network_detach },
	{ "network-list", "j", 1, 1, "DOMAIN", "show a domain's vifs", "Example:\n  sluice network-list one\n", verb_network_list },
	{ "block-attach", "j", 2, INT_MAX, "DOMAIN DISK...", "give a running domain another disk",
	  "DISK is one in a configuration; more words go on with it.\n\n"
	  "Example:\n  sluice block-attach one /var/lib/two.img,raw,xvdb,rw\n  sluice block-attach one vdev=xvdc access=ro target=memory:64M\n",
	  verb_block_attach },
	{ "block-detach", "", 2, 2, "DOMAIN VDEV", "take a disk away", "VDEV is its name or its number.\n\nExample:\n  sluice block-detach one xvdb\n",
	  verb_block_detach },
	{ "block-list", "j", 1, 1, "DOMAIN", "show a domain's disks", "Example:\n  sluice block-list one\n", verb_block_list },
};
const unsigned nr_verbs = sizeof(verbs) / sizeof(*verbs);

const struct verb *verb_find(const char *name)
{
	for (unsigned i = 0; i < nr_verbs; i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	a = b < a ? b : a;
	return c < a ? c : a;
}

/* Levenshtein's; neither is longer than NAME_MAX_LEN. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t len = strlen(b);

	for (unsigned j = 0; j <= len; j++)
		row[j] = j;
	for (unsigned i = 1; *a; a++, i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= len; j++) {
			unsigned above = row[j];

			row[j] = least(row[j] + 1, row[j - 1] + 1, diagonal + (*a != b[j - 1]));
			diagonal = above;
		}
	}
	return row[len];
}

const struct verb *verb_guess(const char *name)
{
	const struct verb *best = NULL;
	unsigned best_distance = GUESS_DISTANCE;

	if (strlen(name) > NAME_MAX_LEN)
		return NULL;
	for (unsigned i = 0; i < nr_verbs; i++) {
		unsigned d = distance(name, verbs[i].name);

		if (d < best_distance) {
			best_distance = d;
			best = &verbs[i];
		}
	}
	return best;
}
