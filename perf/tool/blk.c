/* SPDX-License-Identifier: BSD-3-Clause */
/* sluice-perf blk: this process becomes a domain with one disk and keeps so many reads or writes of one size under way, in blkfront's own pages. */
#include "tool.h"
#include <argp.h>
#include <errno.h>
#include <frontend/blkfront.h>
#include <guest-drivers/hosted/hosted.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XVDA 51712u
#define DEPTH_MAX 256u
#define MEMORY_MIB 64u
#define DATA_PAGES 8192u
#define CONNECT_NS 10000000000ull
#define STEP_EVERY 1024u
#define POLL 32u
#define SPIN_NS 20000u         /* about what a sleep and a wake-up cost */
#define IDLE_WAIT_NS 50000000u

struct blk_options {
	const char *run_dir, *target, *rw;
	unsigned size, depth;
	unsigned writes; /* of 100 ios */
	unsigned mix;    /* what --writes said; above 100: nothing */
	double seconds;
	bool json, random, poll;
	int cpu;
};

struct blk_run {
	const struct blk_options *o;
	struct xenbus *xb;
	struct blkfront *bf;
	struct blkfront_io *ios;
	uint64_t *began;                 /* TSC, for each io */
	uint64_t places, at, state;      /* where ios fit, one behind the other; the next one; random numbers */
	uint64_t errors;
	struct sampler s;
	struct histogram latency;
};

/* ---- options ---- */

static const struct argp_option option_table[] = {
	{ "run-dir", 'r', "DIR", 0, "Where sluiced's sockets are (default $SLUICE_RUN_DIR, else /run/sluice)", 0 },
	{ "target", 'f', "TARGET", 0, "The disk: a path, memory:SIZE, null:SIZE or an NBD URI (default null:1G). Writes destroy what is on it", 0 },
	{ "rw", 'w', "read|write|randread|randwrite", 0, "What (default randread)", 0 },
	{ "writes", 'W', "N", 0, "So many of 100 ios are writes, the others reads, in a random order (default: as --rw says)", 0 },
	{ "size", 's', "N", 0, "Bytes of an io, up to 1M (default 4k)", 0 },
	{ "depth", 'd', "N", 0, "Ios under way, up to 256 (default 32)", 0 },
	{ "seconds", 't', "S", 0, "How long (default 3)", 0 },
	{ "poll", 'p', NULL, 0, "Look for answers all the time (default: sleep when none has come for 20 us)", 0 },
	{ "cpu", 'c', "N", 0, "Run on this core", 0 },
	{ "json", 'j', NULL, 0, "Print JSON", 0 },
	{ 0 },
};

static void parse_rw(struct blk_options *o, const char *arg, struct argp_state *state)
{
	const char *what = arg + (strncmp(arg, "rand", 4) ? 0 : 4);

	o->rw = arg;
	o->random = what != arg;
	o->writes = strcmp(what, "write") ? 0 : 100;
	if (!o->writes && strcmp(what, "read") != 0)
		argp_failure(state, 2, 0, "--rw %s: it is read, write, randread or randwrite", arg);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct blk_options *o = state->input;

	switch (key) {
	case 'r':
		o->run_dir = arg;
		return 0;
	case 'f':
		o->target = arg;
		return 0;
	case 'w':
		parse_rw(o, arg, state);
		return 0;
	case 'W':
		o->mix = parse_number("writes", arg, 0, 100);
		return 0;
	case ARGP_KEY_END:
		o->writes = o->mix <= 100 ? o->mix : o->writes;
		return 0;
	case 's':
		o->size = parse_size("size", arg, BLKFRONT_SECTOR, BLKFRONT_IO_MAX);
		return 0;
	case 'd':
		o->depth = parse_number("depth", arg, 1, DEPTH_MAX);
		return 0;
	case 't':
		o->seconds = parse_number("seconds", arg, 1, 3600);
		return 0;
	case 'c':
		o->cpu = (int)parse_number("cpu", arg, 0, 1023);
		return 0;
	case 'p':
		o->poll = true;
		return 0;
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, 2, 0, "%s: unexpected argument; see --help", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- the disk ---- */

static int connect_disk(struct blk_run *run)
{
	struct blkfront_options options = { .pages = DATA_PAGES };
	uint64_t deadline = port_now_ns() + CONNECT_NS;
	int rc = hosted_wait_device(run->xb, "vbd", XVDA, CONNECT_NS / 1000000);

	if (rc)
		return rc;
	run->bf = blkfront_create(run->xb, XVDA, &options);
	if (!run->bf)
		return -ENOMEM;
	while (blkfront_step(run->bf) != BLKFRONT_CONNECTED) {
		if (hosted_lost() || port_now_ns() >= deadline)
			return hosted_lost() ? -EPIPE : -ETIMEDOUT;
		if (blkfront_arm(run->bf))
			port_wait(deadline);
	}
	return 0;
}

static int up(struct blk_run *run)
{
	char name[32], target[1024];
	const char *words[] = { "block-attach", name, "vdev=xvda", "access=rw", target, NULL };
	int rc;

	snprintf(name, sizeof(name), "perf-blk-%d", getpid());
	if ((size_t)snprintf(target, sizeof(target), "target=%s", run->o->target) >= sizeof(target))
		return -ENAMETOOLONG;
	hosted_set_log_level(PORT_LOG_ERROR);
	rc = hosted_attach(run->o->run_dir, name, MEMORY_MIB);
	if (rc)
		return rc;
	run->xb = xenbus_create();
	rc = run->xb ? toolstack(run->o->run_dir, words) : -ENOMEM;
	return rc ? rc : connect_disk(run);
}

static void down(struct blk_run *run)
{
	blkfront_destroy(run->bf);
	xenbus_destroy(run->xb);
	hosted_detach();
	free(run->ios);
	free(run->began);
}

/* ---- the loop ---- */

/* xorshift64 */
static uint64_t noise(struct blk_run *run)
{
	run->state ^= run->state << 13;
	run->state ^= run->state >> 7;
	run->state ^= run->state << 17;
	return run->state;
}

static bool writes(struct blk_run *run)
{
	unsigned part = run->o->writes;

	return part == 100 || (part && noise(run) >> 32 < ((uint64_t)part << 32) / 100);
}

static uint64_t place(struct blk_run *run)
{
	uint64_t n = run->o->random ? noise(run) : run->at++;

	return n % run->places * (run->o->size / BLKFRONT_SECTOR);
}

static void submit(struct blk_run *run, struct blkfront_io *io)
{
	io->op = writes(run) ? BLKFRONT_WRITE : BLKFRONT_READ;
	io->sector = place(run);
	io->len = run->o->size;
	run->began[io - run->ios] = __rdtsc();
	blkfront_submit(run->bf, io);
}

static int start(struct blk_run *run)
{
	const struct blkfront_info *info = blkfront_info(run->bf);
	unsigned size = run->o->size;

	run->places = info->sectors / (size / BLKFRONT_SECTOR);
	if (size % info->sector_size || !run->places || (run->o->writes && info->readonly)) {
		fprintf(stderr, "sluice-perf: error: the disk has %lu sectors, written and read in multiples of %u B%s; give another --size or --target\n", info->sectors,
			info->sector_size, info->readonly ? ", and is read-only" : "");
		return -EINVAL;
	}
	run->ios = calloc(run->o->depth, sizeof(*run->ios));
	run->began = calloc(run->o->depth, sizeof(*run->began));
	if (!run->ios || !run->began)
		return -ENOMEM;
	for (unsigned i = 0; i < run->o->depth; i++) {
		int rc;

		run->ios[i].len = size;
		rc = blkfront_pages_take(run->bf, &run->ios[i]);
		if (rc)
			return rc;
		submit(run, &run->ios[i]);
	}
	blkfront_kick(run->bf);
	return 0;
}

/* What was answered is measured and sent again. */
static unsigned turn(struct blk_run *run)
{
	struct blkfront_io *done[POLL];
	unsigned n = blkfront_poll(run->bf, done, POLL);
	uint64_t now = __rdtsc();

	for (unsigned i = 0; i < n; i++) {
		run->errors += done[i]->result != 0;
		if (run->s.total_from)
			histogram_add(&run->latency, now - run->began[done[i] - run->ios]);
		submit(run, done[i]);
	}
	if (n)
		blkfront_kick(run->bf);
	return n;
}

/* Nothing was answered: after a while the core goes to whoever works for us. What we sleep is not taken from us. */
static void rest(struct blk_run *run, uint64_t *idle_since)
{
	uint64_t now;

	if (run->o->poll)
		return;
	now = port_now_ns();
	if (!*idle_since)
		*idle_since = now;
	if (now - *idle_since < SPIN_NS || !blkfront_arm(run->bf))
		return;
	port_wait(now + IDLE_WAIT_NS);
	sampler_excuse(&run->s, IDLE_WAIT_NS + SPIN_NS);
	*idle_since = 0;
}

/* One turn; how many were answered. */
static unsigned work(struct blk_run *run, uint64_t *idle_since)
{
	unsigned n = turn(run);

	if (n)
		*idle_since = 0;
	else
		rest(run, idle_since);
	return n;
}

static int measure(struct blk_run *run)
{
	bool connected = true;
	uint64_t idle_since = 0;
	unsigned turns = 0;
	int rc = sampler_init(&run->s, tsc_calibrate(), run->o->seconds);

	if (!rc)
		rc = start(run);
	if (rc)
		return rc;
	while (sampler_tick(&run->s, work(run, &idle_since)) && connected)
		connected = ++turns % STEP_EVERY || blkfront_step(run->bf) == BLKFRONT_CONNECTED;
	return !connected ? -EPIPE : run->errors ? -EIO : run->latency.n ? 0 : -ENODATA;
}

/* ---- the report ---- */

static void report(struct blk_run *run)
{
	const struct blk_options *o = run->o;
	const struct blkfront_info *info = blkfront_info(run->bf);
	struct rate r = sampler_rate(&run->s);

	if (o->json) {
		printf("{\"tool\": \"blk\", \"target\": \"%s\", \"rw\": \"%s\", \"writes\": %u, \"size\": %u, \"depth\": %u, \"poll\": %s, \"seconds\": %.0f, ", o->target, o->rw, o->writes, o->size, o->depth,
		       o->poll ? "true" : "false", o->seconds);
		printf("\"unit\": \"IOPS\", \"p50\": %.0f, \"p90\": %.0f, \"mean\": %.0f, \"mb_s_p50\": %.1f, \"latency\": {", r.p50, r.p90, r.mean, r.p50 * o->size / 1e6);
		print_latency_json(&run->latency, run->s.tsc_per_ns);
		printf("}, \"windows\": {\"clean\": %u, \"all\": %u}, \"persistent\": %s, \"ring_slots\": %u}\n", r.clean, r.windows,
		       info->persistent ? "true" : "false", info->ring_slots);
		return;
	}
	printf("%s, %u %% writes, %u B, depth %u, %s\n  IOPS: p50 %.0f  p90 %.0f  mean %.0f   MB/s: p50 %.1f\n", o->rw, o->writes, o->size, o->depth, o->target, r.p50, r.p90, r.mean,
	       r.p50 * o->size / 1e6);
	print_latency(&run->latency, run->s.tsc_per_ns);
	printf("  %u of %u windows clean, %s grants, %u ring slots\n", r.clean, r.windows, info->persistent ? "persistent" : "one-time", info->ring_slots);
}

int blk_main(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse_option, NULL, "sluice-perf blk -- a disk of a hosted domain", NULL, NULL, NULL };
	struct blk_options o = { .target = "null:1G", .rw = "randread", .random = true, .size = 4096, .depth = 32, .mix = UINT32_MAX, .seconds = 3, .cpu = -1 };
	static struct blk_run run;
	int rc;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	run.o = &o;
	run.state = 88172645463325252ull;
	rc = pin_to(o.cpu);
	if (!rc)
		rc = up(&run);
	if (!rc)
		rc = measure(&run);
	if (!rc)
		report(&run);
	else
		fprintf(stderr, "sluice-perf: error: disk %s: %s; see sluice-backend's log\n", o.target,
			rc == -ENODATA ? "no answer" : rc == -EPIPE ? "it was closed" : strerror(-rc));
	sampler_fini(&run.s);
	down(&run);
	return rc ? 1 : 0;
}
