/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of hv.h on hv_sluice: starts a sluiced of its own and makes real guests, whose every move is typed on their consoles
 * (guest-drivers/kernel/puppet.c). Programs are found beside this one; SLUICED and SLUICE_GUEST name others.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite_puppet.h"

#define ANSWER_MS 10000
#define GUEST_MIB 16

static char run_dir[] = "/tmp/sluice-contract-XXXXXX";
static char guest_kernel[4096];
static pid_t sluiced;

static int complain(const char *what)
{
	int rc = errno ? -errno : -EIO;

	fprintf(stderr, "%s: %s\n", what, strerror(-rc));
	return rc;
}

/* ---- sluiced ---- */

static int connect_control(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/control.sock", run_dir);
	if (fd < 0 || !connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fd;
	close(fd);
	return -1;
}

/* The next line, without its end, into text. */
static bool read_line(int fd, char *text, size_t max)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t n = 0;

	while (n < max - 1 && poll(&p, 1, ANSWER_MS) == 1 && read(fd, &text[n], 1) == 1) {
		if (text[n] == '\n') {
			text[n] = '\0';
			return true;
		}
		n++;
	}
	text[n] = '\0';
	return false;
}

/* A request on a connection of its own, which stays open. The fd, or -1 after a complaint. */
static int request(char *reply, size_t max, const char *fmt, ...)
{
	int fd = connect_control();
	va_list ap;

	if (fd < 0) {
		complain("control.sock");
		return -1;
	}
	va_start(ap, fmt);
	vdprintf(fd, fmt, ap);
	va_end(ap);
	if (read_line(fd, reply, max) && strstr(reply, "true"))
		return fd;
	fprintf(stderr, "sluiced says: %s\n", reply);
	close(fd);
	return -1;
}

static bool command(char *reply, size_t max, const char *verb, unsigned domid)
{
	int fd = request(reply, max, "{\"command\":\"%s\",\"domain\":%u}\n", verb, domid);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void start_sluiced(const char *path)
{
	sluiced = fork();
	if (sluiced)
		return;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execl(path, path, "--run-dir", run_dir, "--memory", "256", (char *)NULL);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

static bool wait_for_sluiced(void)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	for (unsigned i = 0; i < 500; i++) {
		int fd = connect_control();

		if (fd >= 0) {
			close(fd);
			return true;
		}
		if (waitpid(sluiced, NULL, WNOHANG) == sluiced) {
			sluiced = 0;
			return false;
		}
		nanosleep(&pause, NULL);
	}
	return false;
}

static void stop_sluiced(void)
{
	char cmd[64];

	if (sluiced > 0) {
		kill(sluiced, SIGTERM);
		waitpid(sluiced, NULL, 0);
	}
	snprintf(cmd, sizeof(cmd), "rm -rf %s", run_dir);
	if (system(cmd))
		fprintf(stderr, "%s is left behind\n", run_dir);
}

/* ---- a guest ---- */

static int domain_create(struct hv_peer *p, domid_t *domid)
{
	static unsigned nr;
	char reply[1024];
	const char *id;
	int fd = request(reply, sizeof(reply), "{\"command\":\"create\",\"name\":\"puppet%u\",\"kernel\":\"%s\",\"cmdline\":\"app=puppet\","
	                 "\"memory_mib\":%u,\"on_crash\":\"preserve\"}\n", ++nr, guest_kernel, GUEST_MIB);

	(void)p;
	if (fd < 0)
		return -EIO;
	close(fd);
	id = strstr(reply, "\"domid\":");
	if (!id)
		return -EPROTO;
	*domid = (domid_t)strtoul(id + strlen("\"domid\":"), NULL, 10);
	fd = request(reply, sizeof(reply), "{\"command\":\"console\",\"domain\":%u}\n", *domid);
	if (fd < 0)
		return -EIO;
	puppet_open(*domid, fd, ANSWER_MS);
	return command(reply, sizeof(reply), "unpause", *domid) ? puppet_ready(*domid) : -EIO;
}

static void domain_destroy(struct hv_peer *p, domid_t domid)
{
	char reply[1024];

	(void)p;
	command(reply, sizeof(reply), "destroy", domid);
	puppet_close(domid);
}

static int second(struct hv_peer *p, struct hv **out)
{
	(void)p;
	return hv_sluice_open(run_dir, out);
}

static const struct hv_peer_ops ops = {
	.domain_create = domain_create,
	.domain_destroy = domain_destroy,
	PUPPET_MOVES,
	.second = second,
};

/* ---- beginning and end ---- */

/* build/<variant>/tests/contract/hv/test_hv_sluice: sluiced is in build/<variant>, the guest in build/guest. */
static bool find_programs(char *daemon, size_t max)
{
	const char *daemon_env = getenv("SLUICED"), *guest_env = getenv("SLUICE_GUEST");
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *dir;

	if (n < 0)
		return false;
	self[n] = '\0';
	dir = dirname(self);
	if (daemon_env)
		snprintf(daemon, max, "%s", daemon_env);
	else
		snprintf(daemon, max, "%s/../../../sluiced", dir);
	if (guest_env)
		snprintf(guest_kernel, sizeof(guest_kernel), "%s", guest_env);
	else
		snprintf(guest_kernel, sizeof(guest_kernel), "%s/../../../../guest/sluice-guest.elf", dir);
	if (access(daemon, X_OK))
		complain(daemon);
	else if (access(guest_kernel, R_OK))
		complain(guest_kernel);
	else
		return true;
	return false;
}

int main(void)
{
	struct hv_peer p = {.ops = &ops};
	char daemon[4200];
	int rc = 1;

	if (!find_programs(daemon, sizeof(daemon)) || !mkdtemp(run_dir))
		return 1;
	start_sluiced(daemon);
	if (wait_for_sluiced() && !hv_sluice_open(run_dir, &p.hv)) {
		rc = hv_suite_run(&p);
		p.hv->ops->close(p.hv);
	}
	stop_sluiced();
	return rc;
}
