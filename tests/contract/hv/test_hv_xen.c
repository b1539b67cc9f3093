/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of hv.h on hv_xen: run in Xen's domain 0, where xl makes real guests from our minimal kernel, whose every move is typed on their consoles
 * (guest-drivers/kernel/puppet.c). The Xen rig starts it (tests/system/xen); SLUICE_GUEST names the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "suite_puppet.h"

#define ANSWER_MS 20000
#define GUEST_MIB 32
#define CONFIG "/tmp/sluice-contract.cfg"

static bool skipped(void)
{
	if (access("/proc/xen/capabilities", F_OK) == 0 || access("/dev/xen/gntdev", F_OK) == 0)
		return false;
	printf("ok 1 # SKIP this is not a domain of Xen: tests/system/xen/rig.py runs it in one\n");
	return true;
}

/* ---- a guest's console ---- */

/* xenconsoled holds the other end of this terminal. */
static int open_console(struct hv *hv, domid_t domid)
{
	char path[64], *name;
	struct termios raw;
	int fd;

	snprintf(path, sizeof(path), "/local/domain/%u/console/tty", domid);
	name = hv->ops->store_read(hv, HV_TXN_NONE, path, NULL);
	fd = name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
	free(name);
	if (fd < 0 || tcgetattr(fd, &raw))
		return -1;
	cfmakeraw(&raw);
	tcsetattr(fd, TCSANOW, &raw);
	return fd;
}

/* ---- domains ---- */

static bool write_config(unsigned nr)
{
	const char *kernel = getenv("SLUICE_GUEST");
	FILE *f = fopen(CONFIG, "w");

	if (!f)
		return false;
	fprintf(f, "name=\"puppet%u\"\ntype=\"pv\"\nmemory=%d\nvcpus=1\nkernel=\"%s\"\nextra=\"app=puppet\"\non_crash=\"preserve\"\n", nr, GUEST_MIB,
		kernel ? kernel : "/guest/sluice-guest.elf");
	return fclose(f) == 0;
}

/* xl's last word is not the id: ask for it by name. */
static int domid_of(unsigned nr)
{
	char cmd[64], text[16] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "xl domid puppet%u", nr);
	f = popen(cmd, "r");
	if (!f || !fgets(text, sizeof(text), f))
		text[0] = '\0';
	if (f)
		pclose(f);
	return text[0] ? atoi(text) : -1;
}

static int domain_create(struct hv_peer *p, domid_t *domid)
{
	static unsigned nr;
	char said[64];
	int id, fd;

	if (!write_config(++nr) || system("xl create -q -p " CONFIG))
		return -EIO;
	id = domid_of(nr);
	if (id <= 0 || id >= (int)PUPPETS)
		return -EPROTO;
	*domid = (domid_t)id;
	fd = open_console(p->hv, *domid);
	if (fd < 0)
		return -EIO;
	puppet_open(*domid, fd, ANSWER_MS);
	snprintf(said, sizeof(said), "xl unpause %d", id);
	return system(said) ? -EIO : puppet_ready(*domid);
}

static void domain_destroy(struct hv_peer *p, domid_t domid)
{
	char cmd[64];

	(void)p;
	puppet_close(domid);
	snprintf(cmd, sizeof(cmd), "xl destroy %u", domid);
	if (system(cmd))
		fprintf(stderr, "%s failed\n", cmd);
}

static int second(struct hv_peer *p, struct hv **out)
{
	(void)p;
	return hv_xen_open(out);
}

static const struct hv_peer_ops ops = {
	.domain_create = domain_create,
	.domain_destroy = domain_destroy,
	PUPPET_MOVES,
	.second = second,
};

int main(void)
{
	struct hv_peer p = {.ops = &ops, .quirks = HV_QUIRK_SILENT_NOTIFY | HV_QUIRK_REPEATS | HV_QUIRK_ZOMBIES};
	int rc;

	if (skipped())
		return 0;
	if (hv_xen_open(&p.hv))
		return 1;
	rc = hv_suite_run(&p);
	p.hv->ops->close(p.hv);
	return rc;
}
