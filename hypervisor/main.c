/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sluiced, the hypervisor: options, start, main loop, end. Everything that a signal or a failed start leaves half done is undone by the
 * one ladder in serve(); the kernel does the rest (caged processes die with us, the run directory's lock ends with us).
 */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "console.h"
#include "dom0.h"
#include "hosted.h"
#include "log.h"
#include "loop.h"
#include "machine.h"
#include "run_dir.h"
#include "server.h"
#include "time.h"
#include "xenstore/store.h"

#define DEFAULT_RUN_DIR "/run/sluice"
#define DEFAULT_MEMORY_MIB 512
#define MEMORY_MIB_MAX ((HVSHARE_FRAMES - MACHINE_FIRST_FRAME) >> 8)

const char *argp_program_version = "sluiced 0.1";

struct options {
	const char *run_dir;
	unsigned memory_mib;
};

static const struct argp_option option_table[] = {
	{ "run-dir", 'd', "DIR", 0, "Directory for sockets and console logs (default: $SLUICE_RUN_DIR or " DEFAULT_RUN_DIR ")", 0 },
	{ "memory", 'm', "MiB", 0, "Memory for all guests together (default 512, at most 16368)", 0 },
	{ "verbose", 'v', NULL, 0, "Log what is only of interest when something goes wrong", 0 },
	{ 0 },
};

static const char doc[] = "Run Xen paravirtual guests: the hypervisor of Sluice."
			  "\vExample:\n"
			  "  sluiced --run-dir /run/sluice --memory 1024 &\n"
			  "  sluice-backend --run-dir /run/sluice &\n"
			  "  sluice --run-dir /run/sluice create guest.cfg\n\n"
			  "SIGINT or SIGTERM ends every guest and then sluiced.";

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	char *end;
	unsigned long mib;

	switch (key) {
	case 'd':
		o->run_dir = arg;
		return 0;
	case 'm':
		mib = strtoul(arg, &end, 10);
		if (!*arg || *end || mib < 8 || mib > MEMORY_MIB_MAX)
			argp_failure(state, 1, 0, "error: --memory '%s': give a number of MiB between 8 and %u", arg, MEMORY_MIB_MAX);
		o->memory_mib = (unsigned)mib;
		return 0;
	case 'v':
		log_verbose = true;
		return 0;
	case ARGP_KEY_ARG:
		argp_failure(state, 1, 0, "error: '%s' is not expected: see sluiced --help", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (!getrlimit(RLIMIT_NOFILE, &lim) && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &lim))
			log_debug("the limit of open files stays at its default: %s", strerror(errno));
	}
}

static void told_to_stop(int fd, uint32_t events, void *arg)
{
	struct signalfd_siginfo si;

	(void)events;
	(void)arg;
	if (read(fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		log_info("%s: ending", si.ssi_signo == SIGINT ? "interrupted" : "told to stop");
	loop_stop();
}

/* Blocked in every thread that is made later, so that only the main loop sees them. */
static int watch_signals(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd < 0 ? -errno : loop_add(fd, EPOLLIN, told_to_stop, NULL);
}

/* Takes down what is up; each part of it may be called when its init was not. */
static void take_down(void)
{
	hv_lock_acquire();
	hosted_fini();
	server_fini();
	dom0_fini();
	store_fini();
	machine_fini();
	hv_lock_release();
}

static int serve(const struct options *o)
{
	int rc = machine_init((uint64_t)o->memory_mib << 20);

	if (!rc)
		rc = time_init();
	if (!rc)
		rc = store_init(o->run_dir);
	if (!rc)
		rc = console_init(o->run_dir);
	if (!rc)
		rc = server_init(o->run_dir);
	if (!rc)
		rc = dom0_init(o->run_dir);
	if (!rc)
		rc = hosted_init(o->run_dir);
	if (!rc) {
		log_info("ready: %u MiB for guests, sockets in %s", o->memory_mib, o->run_dir);
		rc = loop_run();
		if (rc)
			log_error("the main loop ended: %s", strerror(-rc));
	}
	take_down();
	return rc;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { option_table, parse_option, NULL, doc, NULL, NULL, NULL };
	const char *env = getenv("SLUICE_RUN_DIR");
	struct options o = { .run_dir = env && *env ? env : DEFAULT_RUN_DIR, .memory_mib = DEFAULT_MEMORY_MIB };
	int rc;

	argp_err_exit_status = 1;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	raise_fd_limit();
	rc = watch_signals();
	if (rc)
		log_error("signals cannot be watched: %s", strerror(-rc));
	if (!rc)
		rc = run_dir_take(o.run_dir);
	if (rc)
		return 1;
	rc = serve(&o);
	run_dir_release();
	return rc ? 1 : 0;
}
