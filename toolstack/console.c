/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * console, and the end of create -c: copies bytes between the terminal and the guest's console. On a terminal keys go to the guest one by
 * one, ^] leaves; with pipes, the end of the input leaves the output going until the guest ends or the command is stopped.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "toolstack.h"

#define LEAVE 0x1d /* ^] */

static struct termios before;
static bool raw;

static void terminal_restore(void)
{
	if (raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	raw = false;
}

/* Not a terminal that we may put back into order: end at once, as the signal wants it. */
static void on_signal(int sig)
{
	terminal_restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void terminal_raw(void)
{
	struct termios now;

	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before))
		return;
	signal(SIGTERM, on_signal);
	signal(SIGHUP, on_signal);
	now = before;
	cfmakeraw(&now);
	raw = !tcsetattr(STDIN_FILENO, TCSANOW, &now);
}

static int write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Guest to us. False: over. */
static bool copy_out(int fd)
{
	char bytes[4096];
	ssize_t n = read(fd, bytes, sizeof(bytes));

	return n > 0 && !write_all(STDOUT_FILENO, bytes, (size_t)n);
}

/* Us to guest. False: leave. *open: false when there is no more to come. */
static bool copy_in(int fd, bool *open)
{
	char bytes[512];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
	const char *leave = n > 0 && raw ? memchr(bytes, LEAVE, (size_t)n) : NULL;

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		*open = false;
		return !raw;
	}
	return !write_all(fd, bytes, leave ? (size_t)(leave - bytes) : (size_t)n) && !leave;
}

int console_run(int fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
	bool open = true, go_on = true;

	signal(SIGPIPE, SIG_IGN);
	fflush(stdout);
	terminal_raw();
	while (go_on) {
		p[1].fd = open ? STDIN_FILENO : -1;
		if (poll(p, 2, -1) < 0) {
			go_on = errno == EINTR;
			continue;
		}
		if (p[0].revents)
			go_on = copy_out(fd);
		if (go_on && p[1].revents)
			go_on = copy_in(fd, &open);
	}
	terminal_restore();
	return 0;
}

int verb_console(struct call *c)
{
	int fd = control_console(c, c->argv[0]), status;

	if (fd < 0)
		return 1;
	status = console_run(fd);
	close(fd);
	return status;
}
