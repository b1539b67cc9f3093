/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of hv.h on hv_xen: run in Xen's domain 0, where xl makes real guests from our minimal kernel, whose every move is typed on their consoles
 * (guest-drivers/kernel/puppet.c). The Xen rig starts it (tests/system/xen); SLUICE_GUEST names the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "suite.h"

#define DOMAINS 256u
#define ANSWER_MS 20000
#define GUEST_MIB 32
#define CONFIG "/tmp/sluice-contract.cfg"

/* A guest's console, and what came of it that was not looked at yet. */
static struct console {
	int fd_plus_1;
	char text[16384];
	size_t len;
} consoles[DOMAINS];

static bool skipped(void)
{
	if (access("/proc/xen/capabilities", F_OK) == 0 || access("/dev/xen/gntdev", F_OK) == 0)
		return false;
	printf("ok 1 # SKIP this is not a domain of Xen: tests/system/xen/rig.py runs it in one\n");
	return true;
}

/* ---- a guest's console ---- */

static bool console_more(struct console *c)
{
	struct pollfd p = {.fd = c->fd_plus_1 - 1, .events = POLLIN};
	ssize_t n;

	if (c->len == sizeof(c->text) - 1) { /* what is old was looked at */
		memmove(c->text, c->text + c->len / 2, c->len - c->len / 2);
		c->len -= c->len / 2;
	}
	if (poll(&p, 1, ANSWER_MS) != 1)
		return false;
	n = read(c->fd_plus_1 - 1, c->text + c->len, sizeof(c->text) - 1 - c->len);
	if (n <= 0)
		return false;
	c->len += (size_t)n;
	c->text[c->len] = '\0';
	return true;
}

/* The guest's next answer: what follows "puppet: " on a whole line. Everything up to it is forgotten. */
static bool answer(struct console *c, char *out, size_t max)
{
	static const char prefix[] = "puppet: ";

	for (;;) {
		char *at = strstr(c->text, prefix), *end = at ? strpbrk(at, "\r\n") : NULL;

		if (end) {
			snprintf(out, max, "%.*s", (int)(end - at - (ptrdiff_t)strlen(prefix)), at + strlen(prefix));
			c->len -= (size_t)(end - c->text);
			memmove(c->text, end, c->len + 1);
			return true;
		}
		if (!console_more(c)) {
			fprintf(stderr, "no answer from the guest; it said: %s\n", c->text);
			return false;
		}
	}
}

/* One move of the puppet. 0 with what follows "ok" in *value, or -errno. */
static int move(domid_t domid, uint64_t *value, const char *fmt, ...)
{
	struct console *c = &consoles[domid % DOMAINS];
	char said[256];
	va_list ap;

	va_start(ap, fmt);
	vdprintf(c->fd_plus_1 - 1, fmt, ap);
	va_end(ap);
	if (!answer(c, said, sizeof(said)))
		return -EIO;
	if (!strcmp(said, "busy"))
		return -EBUSY;
	if (strncmp(said, "ok", 2)) {
		fprintf(stderr, "the guest says: %s\n", said);
		return -EINVAL;
	}
	if (value)
		*value = strtoull(said + 2, NULL, 10);
	return 0;
}

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
	struct console *c;
	int id;

	if (!write_config(++nr) || system("xl create -q -p " CONFIG))
		return -EIO;
	id = domid_of(nr);
	if (id <= 0 || id >= (int)DOMAINS)
		return -EPROTO;
	*domid = (domid_t)id;
	c = &consoles[id];
	c->len = 0;
	c->text[0] = '\0';
	c->fd_plus_1 = 1 + open_console(p->hv, *domid);
	snprintf(said, sizeof(said), "xl unpause %d", id);
	if (!c->fd_plus_1 || system(said))
		return -EIO;
	return answer(c, said, sizeof(said)) && !strcmp(said, "ready") ? 0 : -EIO;
}

static void domain_destroy(struct hv_peer *p, domid_t domid)
{
	char cmd[64];

	(void)p;
	if (consoles[domid % DOMAINS].fd_plus_1)
		close(consoles[domid % DOMAINS].fd_plus_1 - 1);
	consoles[domid % DOMAINS].fd_plus_1 = 0;
	snprintf(cmd, sizeof(cmd), "xl destroy %u", domid);
	if (system(cmd))
		fprintf(stderr, "%s failed\n", cmd);
}

/* ---- the puppet's moves ---- */

static int page(struct hv_peer *p, domid_t domid, unsigned *n)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "page\n");

	(void)p;
	*n = (unsigned)value;
	return rc;
}

static int poke(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset, uint8_t byte, unsigned count)
{
	(void)p;
	return move(domid, NULL, "poke %u %u %u %u\n", n, offset, byte, count);
}

static int peek(struct hv_peer *p, domid_t domid, unsigned n, unsigned offset)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "peek %u %u\n", n, offset);

	(void)p;
	return rc ? rc : (int)value;
}

static int grant(struct hv_peer *p, domid_t domid, unsigned n, domid_t to, bool readonly, gref_t *gref)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "grant %u %u %u\n", n, to, readonly);

	(void)p;
	*gref = (gref_t)value;
	return rc;
}

static int ungrant(struct hv_peer *p, domid_t domid, gref_t gref)
{
	(void)p;
	return move(domid, NULL, "ungrant %u\n", gref);
}

static int evtchn(struct hv_peer *p, domid_t domid, domid_t remote, evtchn_t *port)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "evtchn %u\n", remote);

	(void)p;
	*port = (evtchn_t)value;
	return rc;
}

static int send_event(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	(void)p;
	return move(domid, NULL, "send %u\n", port);
}

static int take(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	uint64_t value = 0;
	int rc = move(domid, &value, "take %u\n", port);

	(void)p;
	return rc ? rc : (int)value;
}

static int close_port(struct hv_peer *p, domid_t domid, evtchn_t port)
{
	(void)p;
	return move(domid, NULL, "close %u\n", port);
}

static int store(struct hv_peer *p, domid_t domid, const char *path, const char *value)
{
	(void)p;
	return move(domid, NULL, "store %s %s\n", path, value);
}

static int second(struct hv_peer *p, struct hv **out)
{
	(void)p;
	return hv_xen_open(out);
}

static const struct hv_peer_ops ops = {
	.domain_create = domain_create,
	.domain_destroy = domain_destroy,
	.page = page,
	.poke = poke,
	.peek = peek,
	.grant = grant,
	.ungrant = ungrant,
	.evtchn = evtchn,
	.send = send_event,
	.take = take,
	.close = close_port,
	.store = store,
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
