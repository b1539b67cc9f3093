/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The run directory (run_dir.h). The lock is on sluiced.pid inside it: it ends with the process that holds it, so a killed sluiced leaves
 * nothing that would stop the next one.
 */
#include "run_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define OTHERS_MAY_WRITE (S_IWGRP | S_IWOTH)

static char dir[PATH_MAX], lock_path[PATH_MAX + 16];
static int lock_fd = -1;

static int make_dir(const char *path)
{
	struct stat st;
	int rc = mkdir(path, 0700) && errno != EEXIST ? -errno : 0;

	if (rc) {
		log_error("%s: cannot be made: %s: %s", path, strerror(-rc),
			  rc == -EACCES || rc == -EROFS ? "run as root, or give a --run-dir where you may write" : "give another --run-dir");
		return rc;
	}
	if (stat(path, &st)) {
		rc = -errno;
		log_error("%s: %s: give another --run-dir", path, strerror(-rc));
		return rc;
	}
	if (!S_ISDIR(st.st_mode) || (st.st_uid != geteuid() && st.st_uid) || (st.st_mode & OTHERS_MAY_WRITE)) {
		log_error("%s: not a directory that only you may write to: give another --run-dir", path);
		return -EPERM;
	}
	return 0;
}

static void say_taken(int fd, const char *path)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n > 0 ? strspn(pid, "0123456789") : 0] = 0;
	log_error("another sluiced serves %s (pid %s); stop it or give another --run-dir", path, pid[0] ? pid : "unknown");
}

/* The locked file must still be the one at the path: its last holder may have removed it meanwhile. */
static bool still_there(int fd)
{
	struct stat ours, theirs;

	return !fstat(fd, &ours) && !stat(lock_path, &theirs) && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static int take_lock(const char *path)
{
	int rc;

	do {
		if (lock_fd >= 0)
			close(lock_fd);
		lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (lock_fd < 0 || flock(lock_fd, LOCK_EX | LOCK_NB)) {
			rc = -errno;
			if (rc == -EWOULDBLOCK)
				say_taken(lock_fd, path);
			else
				log_error("%s: cannot be locked: %s: run as root, or give another --run-dir", lock_path, strerror(-rc));
			if (lock_fd >= 0)
				close(lock_fd);
			lock_fd = -1;
			return rc;
		}
	} while (!still_there(lock_fd));
	return 0;
}

int run_dir_take(const char *path)
{
	char pid[16];
	int n, rc;

	if (strlen(path) >= sizeof(dir)) {
		log_error("--run-dir: the path is too long");
		return -ENAMETOOLONG;
	}
	strcpy(dir, path);
	snprintf(lock_path, sizeof(lock_path), "%s/sluiced.pid", dir);
	rc = make_dir(dir);
	if (!rc)
		rc = take_lock(dir);
	if (rc)
		return rc;
	n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(lock_fd, 0) || pwrite(lock_fd, pid, (size_t)n, 0) != n) {
		rc = -errno;
		log_error("%s: cannot be written: %s", lock_path, strerror(errno));
		run_dir_release();
	}
	return rc;
}

void run_dir_release(void)
{
	if (lock_fd < 0)
		return;
	unlink(lock_path);
	close(lock_fd);
	lock_fd = -1;
	if (rmdir(dir) && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
		log_debug("%s: not removed: %s", dir, strerror(errno));
}
