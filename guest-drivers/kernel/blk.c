/* SPDX-License-Identifier: BSD-3-Clause */
/* The disks (every vbd that XenStore has for us, at most four) and the words of the command "blk". Called by app.c. */
#include "blk.h"
#include "kernel.h"
#include "string.h"
#include "text.h"
#include <sluice/port.h>

#define DISKS 4u
#define NAMES_MAX 512u

struct disk {
	struct blkfront *bf;
	uint32_t number; /* virtual-device, 51712 for xvda */
	enum blkfront_state state;
	uint64_t sectors;
};

static struct {
	struct xenbus *xb;
	int watch;
	struct disk disk[DISKS]; /* by number */
	unsigned nr;
} blk;

/* ---- finding them ---- */

static bool known(uint64_t number)
{
	for (unsigned i = 0; i < blk.nr; i++)
		if (blk.disk[i].number == number)
			return true;
	return false;
}

static void add(uint64_t number)
{
	struct blkfront_options options = { 0 };
	struct disk d = { .number = (uint32_t)number };
	unsigned at = blk.nr;

	d.bf = blkfront_create(blk.xb, d.number, &options);
	if (!d.bf) {
		print_line("blk: error vbd%lu: no memory for its driver", number);
		return;
	}
	for (; at && blk.disk[at - 1].number > number; at--)
		blk.disk[at] = blk.disk[at - 1];
	blk.disk[at] = d;
	blk.nr++;
}

static void find(void)
{
	char names[NAMES_MAX];
	const char *at = names;
	uint64_t number;
	int n;

	if (!xenbus_watch_take(blk.xb, blk.watch))
		return;
	n = xenbus_directory(blk.xb, XENBUS_NO_TXN, "device/vbd", NULL, names, sizeof(names));
	for (; n > 0 && blk.nr < DISKS; n--, at += strlen(at) + 1)
		if (text_parse_number(at, &number) && number <= UINT32_MAX && !known(number))
			add(number);
}

void blk_init(struct xenbus *xb)
{
	blk.xb = xb;
	blk.watch = xenbus_watch(xb, "device/vbd", NULL);
	find(); /* those that are there already: a command on the kernel's command line may name them */
}

/* ---- looking after them ---- */

/* True when something has changed, and it was said. */
static bool announce(struct disk *d, enum blkfront_state state)
{
	const struct blkfront_info *info = blkfront_info(d->bf);
	bool connected = state == BLKFRONT_CONNECTED, before = d->state == BLKFRONT_CONNECTED;

	d->state = state;
	if (connected != before)
		print_line("vbd%u: %s sectors=%lu sector_size=%u", d->number, connected ? "connected" : "disconnected", info->sectors, info->sector_size);
	else if (connected && d->sectors != info->sectors)
		print_line("vbd%u: resized sectors=%lu", d->number, info->sectors);
	else
		return false;
	d->sectors = info->sectors;
	return true;
}

bool blk_poll(uint64_t *deadline_ns)
{
	bool work = false;

	find();
	for (unsigned i = 0; i < blk.nr; i++) {
		struct disk *d = &blk.disk[i];

		work |= announce(d, blkfront_step(d->bf));
		if (blk_job_on(d->bf))
			work |= blk_job_step(d->state == BLKFRONT_CONNECTED, deadline_ns);
	}
	return work;
}

bool blk_arm(void)
{
	bool quiet = true;

	for (unsigned i = 0; i < blk.nr; i++)
		quiet &= blkfront_arm(blk.disk[i].bf);
	return quiet;
}

/* ---- the commands ---- */

static void info(struct disk *d)
{
	static const char *const states[] = { "absent", "connecting", "connected", "closed" };
	const struct blkfront_info *i = blkfront_info(d->bf);
	const struct blkfront_stats *s = blkfront_stats(d->bf);

	print_line("blk: info dev=%u state=%s sectors=%lu sector_size=%u physical=%u readonly=%d cdrom=%d removable=%d flush=%d discard=%d secure=%d persistent=%d "
		   "segments=%u slots=%u connections=%lu requeued=%lu errors=%lu", d->number, states[d->state], i->sectors, i->sector_size, i->physical_sector_size,
		   i->readonly, i->cdrom, i->removable, i->can_flush, i->can_discard, i->can_secure_discard, i->persistent, i->max_segments, i->ring_slots,
		   s->connections, s->requeued, s->errors);
}

/* dev= is a place in the order of their numbers, 0 for the first, or a number itself. */
static struct disk *choose(const char *arguments)
{
	uint64_t n;

	if (!text_number(arguments, "dev", 0, &n)) {
		print_line("blk: error dev= wants a number: 0 for the first disk, or its own, such as 51712");
		return NULL;
	}
	for (unsigned i = 0; i < blk.nr; i++)
		if (i == n || blk.disk[i].number == n)
			return &blk.disk[i];
	print_line("blk: error no such disk: there are %u; does the domain's configuration name one in disk=?", blk.nr);
	return NULL;
}

static const struct {
	const char *word;
	struct blk_job *job;
} jobs[] = {
	{ "write", &blk_write_job }, { "verify", &blk_verify_job },   { "flush", &blk_flush_job },         { "discard", &blk_discard_job },
	{ "bench", &blk_bench_job }, { "journal", &blk_journal_job }, { "journal-check", &blk_journal_check_job },
};

static void command_info(const char *arguments)
{
	uint64_t n;

	if (blk.nr && text_number(arguments, "dev", UINT64_MAX, &n) && n == UINT64_MAX)
		for (unsigned i = 0; i < blk.nr; i++)
			info(&blk.disk[i]);
	else if (choose(arguments))
		info(choose(arguments));
}

void blk_command(const char *arguments)
{
	const char *rest = text_command(arguments, "info");
	struct disk *d;

	if (rest)
		return command_info(rest);
	if (text_command(arguments, "stop"))
		return blk_job_stop();
	for (unsigned i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
		rest = text_command(arguments, jobs[i].word);
		if (!rest)
			continue;
		d = choose(rest);
		if (d)
			blk_job_begin(jobs[i].job, d->bf, rest);
		return;
	}
	print_line("blk: error no such command: there are info, write, verify, flush, discard, bench, journal, journal-check, stop");
}
