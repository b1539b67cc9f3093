/* SPDX-License-Identifier: BSD-3-Clause */
/* Storage for tests: see storage_world.h. */
#include "storage_world.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS 32
#define START_MS 10000

int scratch_make(const char *parent, char out[STORAGE_PATH])
{
	snprintf(out, STORAGE_PATH, "%s/sluice-storage-XXXXXX", parent);
	return mkdtemp(out) ? 0 : -errno;
}

void scratch_remove(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(folder);
}

int scratch_file(const char *folder, const char *name, uint64_t size, char out[STORAGE_PATH])
{
	int fd, rc = 0;

	if (snprintf(out, STORAGE_PATH, "%s/%s", folder, name) >= STORAGE_PATH)
		return -ENAMETOOLONG;
	fd = open(out, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size))
		rc = -errno;
	close(fd);
	return rc;
}

int loop_make(const char *file, unsigned sector_size, char out[STORAGE_PATH])
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), backing = -1, loop = -1, rc = 0;
	struct loop_config config = {.block_size = sector_size};

	if (control < 0)
		return -errno;
	backing = open(file, O_RDWR | O_CLOEXEC);
	for (unsigned tries = 0; tries < 16; tries++) { /* somebody else may take the one that was free */
		int n = ioctl(control, LOOP_CTL_GET_FREE);

		rc = n < 0 ? -errno : 0;
		if (rc)
			break;
		snprintf(out, STORAGE_PATH, "/dev/loop%d", n);
		loop = open(out, O_RDWR | O_CLOEXEC);
		config.fd = (uint32_t)backing;
		rc = loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) ? -errno : 0;
		if (loop >= 0)
			close(loop);
		if (rc != -EBUSY)
			break;
	}
	close(backing);
	close(control);
	return rc;
}

void loop_device_remove(const char *device)
{
	int fd = open(device, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return;
	ioctl(fd, LOOP_CLR_FD, 0);
	close(fd);
}

int run_program(const char *const *argv)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

static bool accepts(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool yes;

	snprintf(address.sun_path, sizeof(address.sun_path), "%.107s", path);
	yes = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return yes;
}

static void become(const struct nbd_server *s, const char *const *argv)
{
	char *args[ARGS] = {NULL};
	int null = open("/dev/null", O_RDWR);

	for (unsigned i = 0; argv[i] && i < ARGS - 1; i++)
		args[i] = strdup(strcmp(argv[i], "SOCKET") == 0 ? s->socket : argv[i]);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!getenv("STORAGE_WORLD_VERBOSE"))
		dup2(null, STDERR_FILENO);
	unsetenv("LD_PRELOAD");
	execvp(args[0], args);
	_exit(errno == ENOENT ? 127 : 126);
}

static int wait_for_socket(struct nbd_server *s)
{
	int status;

	for (unsigned ms = 0; ms < START_MS; ms += 5) {
		if (accepts(s->socket))
			return 0;
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			return WIFEXITED(status) && WEXITSTATUS(status) == 127 ? -ENOENT : -ECONNREFUSED;
		}
		usleep(5000);
	}
	nbd_server_stop(s, SIGKILL);
	return -ETIMEDOUT;
}

int nbd_server_start(struct nbd_server *s, const char *folder, const char *const *argv)
{
	snprintf(s->socket, sizeof(s->socket), "%.100s/nbd.sock", folder);
	snprintf(s->uri, sizeof(s->uri), "nbd+unix:///?socket=%s", s->socket);
	unlink(s->socket);
	s->pid = fork();
	if (s->pid < 0)
		return -errno;
	if (s->pid == 0)
		become(s, argv);
	return wait_for_socket(s);
}

void nbd_server_stop(struct nbd_server *s, int signal)
{
	if (s->pid <= 0)
		return;
	kill(s->pid, signal);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}
