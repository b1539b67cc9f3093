/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The puppet: a guest whose every move is typed on its console, so that a test can play the peer of a back end with pages, grants and event channels that are
 * real. Commands and answers (each answer is "puppet: ok ..." or "puppet: error ..."):
 *
 *	page                                  ok <n>         a new page of ours
 *	poke <n> <offset> <byte> <count>      ok             fill bytes of it
 *	peek <n> <offset>                     ok <byte>
 *	grant <n> <domid> <readonly 0|1>      ok <gref>
 *	ungrant <gref>                        ok | busy
 *	evtchn <domid>                        ok <port>
 *	send <port>  take <port>  close <port>   ok | ok 0|1 | ok
 *	store <path> <value>                  ok             write to XenStore
 */
#include "app.h"
#include "kernel.h"
#include "text.h"
#include <errno.h>
#include <frontend/xenbus.h>
#include <sluice/port.h>
#include <sluice/shm.h>

#define PAGES 1024u
#define PORTS 64u
#define WORDS 4u

static struct xenbus *store;
static bool active;
static uint8_t *pages[PAGES];
static unsigned nr_pages;
static struct {
	evtchn_t port; /* 0: free */
	bool fired;
} ports[PORTS];

/* What a command gave: an error, or a number to print when there is one. */
struct answer {
	int rc;
	bool has_value;
	uint64_t value;
};

static struct answer ok(void)
{
	return (struct answer){ 0 };
}

static struct answer value(uint64_t v)
{
	return (struct answer){ .has_value = true, .value = v };
}

static struct answer error(int rc)
{
	return (struct answer){ .rc = rc };
}

static struct answer do_page(const uint64_t *a)
{
	(void)a;
	if (nr_pages == PAGES)
		return error(-ENOSPC);
	pages[nr_pages] = port_pages_alloc(1);
	return pages[nr_pages] ? value(nr_pages++) : error(-ENOMEM);
}

/* poke n offset byte count */
static struct answer do_poke(const uint64_t *a)
{
	if (a[0] >= nr_pages || a[1] > SLUICE_PAGE_SIZE || a[2] > 255 || a[3] > SLUICE_PAGE_SIZE - a[1])
		return error(-EINVAL);
	for (uint64_t i = 0; i < a[3]; i++)
		shm_store(&pages[a[0]][a[1] + i], (uint8_t)a[2]);
	return ok();
}

static struct answer do_peek(const uint64_t *a)
{
	if (a[0] >= nr_pages || a[1] >= SLUICE_PAGE_SIZE)
		return error(-EINVAL);
	return value(shm_load(&pages[a[0]][a[1]]));
}

/* grant n domid readonly */
static struct answer do_grant(const uint64_t *a)
{
	gref_t gref;
	int rc;

	if (a[0] >= nr_pages || a[1] >= DOMID_FIRST_RESERVED || a[2] > 1)
		return error(-EINVAL);
	rc = port_grant((domid_t)a[1], pages[a[0]], a[2], &gref);
	return rc ? error(rc) : value(gref);
}

static struct answer do_ungrant(const uint64_t *a)
{
	return error(a[0] > UINT32_MAX ? -EINVAL : port_grant_end((gref_t)a[0]));
}

static int find_port(uint64_t port)
{
	for (unsigned i = 0; i < PORTS; i++)
		if (ports[i].port == port)
			return (int)i;
	return -1;
}

static struct answer do_evtchn(const uint64_t *a)
{
	int i = find_port(0), rc;

	if (i < 0 || a[0] >= DOMID_FIRST_RESERVED)
		return error(i < 0 ? -ENOSPC : -EINVAL);
	rc = port_evtchn_alloc((domid_t)a[0], &ports[i].port);
	ports[i].fired = false;
	return rc ? error(rc) : value(ports[i].port);
}

static struct answer do_send(const uint64_t *a)
{
	if (!a[0] || find_port(a[0]) < 0)
		return error(-EINVAL);
	port_evtchn_notify((evtchn_t)a[0]);
	return ok();
}

static struct answer do_take(const uint64_t *a)
{
	int i = find_port(a[0]);
	bool fired;

	if (!a[0] || i < 0)
		return error(-EINVAL);
	puppet_poll();
	fired = ports[i].fired;
	ports[i].fired = false;
	return value(fired);
}

static struct answer do_close(const uint64_t *a)
{
	int i = find_port(a[0]);

	if (!a[0] || i < 0)
		return error(-EINVAL);
	port_evtchn_close((evtchn_t)a[0]);
	ports[i].port = 0;
	return ok();
}

static const struct {
	const char *word;
	unsigned arguments;
	struct answer (*run)(const uint64_t *arguments);
} moves[] = {
	{ "page", 0, do_page },     { "poke", 4, do_poke }, { "peek", 2, do_peek }, { "grant", 3, do_grant }, { "ungrant", 1, do_ungrant },
	{ "evtchn", 1, do_evtchn }, { "send", 1, do_send }, { "take", 1, do_take }, { "close", 1, do_close },
};

static void print_answer(struct answer a)
{
	if (a.rc == -EBUSY)
		print_line("puppet: busy");
	else if (a.rc)
		print_line("puppet: error %d", a.rc);
	else if (a.has_value)
		print_line("puppet: ok %lu", a.value);
	else
		print_line("puppet: ok");
}

static struct answer run_store(const char *arguments)
{
	char path[XENBUS_PATH_MAX];

	if (!text_word(&arguments, path, sizeof(path)))
		return error(-EINVAL);
	return error(xenbus_write(store, XENBUS_NO_TXN, path, NULL, arguments));
}

static struct answer run_move(unsigned i, const char *arguments)
{
	uint64_t a[WORDS] = { 0 };

	for (unsigned n = 0; n < moves[i].arguments; n++)
		if (!text_take(&arguments, &a[n]))
			return error(-EINVAL);
	return *arguments ? error(-EINVAL) : moves[i].run(a);
}

void puppet_command(const char *line)
{
	const char *arguments = text_command(line, "store");

	if (arguments)
		return print_answer(run_store(arguments));
	for (unsigned i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		arguments = text_command(line, moves[i].word);
		if (arguments)
			return print_answer(run_move(i, arguments));
	}
	print_line("puppet: error no such command");
}

void puppet_start(struct xenbus *xb)
{
	store = xb;
	active = true;
	print_line("puppet: ready");
}

bool puppet_active(void)
{
	return active;
}

void puppet_poll(void)
{
	for (unsigned i = 0; active && i < PORTS; i++)
		if (ports[i].port && port_evtchn_take(ports[i].port))
			ports[i].fired = true;
}
