/* SPDX-License-Identifier: BSD-3-Clause */
/* What a path can be, and the line that each wrong one gets. */
#include <backend/storage/file.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <tests/support/storage_world.h>
#include <cmocka.h>

static char folder[STORAGE_PATH];

static int setup(void **state)
{
	(void)state;
	return scratch_make("/var/tmp", folder);
}

static int teardown(void **state)
{
	(void)state;
	scratch_remove(folder);
	return 0;
}

static void says(const char *path, bool readonly, int rc, const char *words)
{
	struct storage_file f;
	struct blkdev_info info;
	char err[STORAGE_ERR] = "";

	assert_int_equal(storage_file_open(path, readonly, &f, &info, err), rc);
	assert_int_equal(f.buffered, -1);
	if (!strstr(err, words) || strchr(err, '\n'))
		fail_msg("'%s' does not say '%s'", err, words);
}

static void wrong_paths(void **state)
{
	char path[STORAGE_PATH], below[STORAGE_PATH + 8];

	(void)state;
	says(folder, false, -EISDIR, "is a directory; name a file");
	says("/dev/null", false, -ENOTBLK, "neither a file nor a block device");
	snprintf(path, sizeof(path), "%.100s/absent.img", folder);
	says(path, false, -ENOENT, "no such file; correct the path, or make the disk with `truncate");
	snprintf(path, sizeof(path), "%.100s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	says(path, true, -ENOTBLK, "neither a file nor a block device"); /* and does not wait for a writer */
	assert_int_equal(scratch_file(folder, "disk.img", 4096, path), 0);
	snprintf(below, sizeof(below), "%s/x", path);
	says(below, false, -ENOTDIR, "no such file");
}

static void wrong_sizes(void **state)
{
	char path[STORAGE_PATH];

	(void)state;
	assert_int_equal(scratch_file(folder, "disk.img", 0, path), 0);
	says(path, false, -EINVAL, "is empty; give it a size");
	assert_int_equal(scratch_file(folder, "disk.img", 1000, path), 0);
	says(path, false, -EINVAL, "1000 bytes is not a multiple of the sector size 512; make it one with `truncate -s 1024 ");
	assert_int_equal(scratch_file(folder, "disk.img", 511, path), 0);
	says(path, true, -EINVAL, "`truncate -s 512 ");
}

/* As an ordinary user; root may open everything. */
static void no_permission(void **state)
{
	char path[STORAGE_PATH];
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(scratch_file(folder, "disk.img", 4096, path), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(chmod(path, 0444), 0);
	pid = fork();
	if (pid == 0) {
		struct storage_file f;
		struct blkdev_info info;
		char err[STORAGE_ERR] = "";
		bool good = setuid(65534) == 0 && storage_file_open(path, false, &f, &info, err) == -EACCES && strstr(err, "attach the disk with mode r");

		good = good && storage_file_open(path, true, &f, &info, err) == 0;
		_exit(good ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* A file system that Linux mounted read-only, in a mount name space of its own. */
static void readonly_file_system(void **state)
{
	char path[STORAGE_PATH];
	int status;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(scratch_file(folder, "disk.img", 4096, path), 0);
	pid = fork();
	if (pid == 0) {
		struct storage_file f;
		struct blkdev_info info;
		char err[STORAGE_ERR] = "";

		if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount(folder, folder, NULL, MS_BIND, NULL) ||
		    mount(NULL, folder, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
			_exit(77);
		if (storage_file_open(path, false, &f, &info, err) != -EROFS || !strstr(err, "mount it read-write, or attach the disk with mode r"))
			_exit(1);
		_exit(storage_file_open(path, true, &f, &info, err) == 0 ? 0 : 2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

static void a_file(void **state)
{
	char path[STORAGE_PATH];
	struct storage_file f;
	struct blkdev_info info;
	char err[STORAGE_ERR];
	struct stat before, after;
	uint64_t size;

	(void)state;
	assert_int_equal(scratch_file(folder, "disk.img", 5 * 512, path), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_int_equal(storage_file_open(path, false, &f, &info, err), 0);
	assert_int_equal(info.size, 5 * 512);
	assert_int_equal(info.sector_size, 512);
	assert_false(f.block);
	assert_true(info.can_flush && !info.can_secure_discard);
	if (f.direct >= 0) {
		assert_true(fcntl(f.direct, F_GETFL) & O_DIRECT);
		assert_true(f.memory_align && !(f.memory_align & (f.memory_align - 1)));
		assert_true(f.offset_align && !(f.offset_align & (f.offset_align - 1)));
	}
	assert_int_equal(ftruncate(f.buffered, 9 * 512), 0);
	assert_int_equal(storage_file_size(&f, &size), 0);
	assert_int_equal(size, 9 * 512);
	storage_file_close(&f);
	assert_int_equal(f.buffered, -1);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_blocks, after.st_blocks); /* asking for holes made none and filled none */
}

static void a_readonly_file(void **state)
{
	char path[STORAGE_PATH];
	struct storage_file f;
	struct blkdev_info info;
	char err[STORAGE_ERR];

	(void)state;
	assert_int_equal(scratch_file(folder, "disk.img", 4096, path), 0);
	assert_int_equal(storage_file_open(path, true, &f, &info, err), 0);
	assert_true(info.readonly && !info.can_discard);
	assert_int_equal(fcntl(f.buffered, F_GETFL) & O_ACCMODE, O_RDONLY);
	storage_file_close(&f);
}

static void a_block_device(void **state)
{
	char file[STORAGE_PATH], device[STORAGE_PATH];
	struct storage_file f;
	struct blkdev_info info;
	char err[STORAGE_ERR];

	(void)state;
	assert_int_equal(scratch_file(folder, "loop.img", 1 << 20, file), 0);
	if (loop_make(file, 4096, device))
		skip();
	assert_int_equal(storage_file_open(device, false, &f, &info, err), 0);
	assert_true(f.block);
	assert_int_equal(info.size, 1 << 20);
	assert_int_equal(info.sector_size, 4096);
	assert_true(info.physical_sector_size >= 4096);
	assert_true(f.direct >= 0);
	assert_true(info.can_discard && info.discard_granularity >= 512); /* a loop device on this file system makes holes */
	storage_file_close(&f);
	loop_device_remove(device);
}

/* Reads leave the file's access time alone, where the file is ours; another's is opened all the same. */
static void no_access_times(void **state)
{
	char path[STORAGE_PATH], err[STORAGE_ERR];
	struct blkdev_info info;
	struct storage_file f;

	(void)state;
	assert_int_equal(scratch_file(folder, "disk.img", 4096, path), 0);
	assert_int_equal(storage_file_open(path, true, &f, &info, err), 0);
	assert_true(fcntl(f.buffered, F_GETFL) & O_NOATIME);
	storage_file_close(&f);
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(folder, 0755) | chmod(path, 0644), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(storage_file_open(path, true, &f, &info, err), 0);
	assert_int_equal(seteuid(0), 0);
	assert_false(fcntl(f.buffered, F_GETFL) & O_NOATIME);
	storage_file_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(wrong_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_sizes, setup, teardown),
		cmocka_unit_test_setup_teardown(no_permission, setup, teardown),
		cmocka_unit_test_setup_teardown(readonly_file_system, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_readonly_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_block_device, setup, teardown),
		cmocka_unit_test_setup_teardown(no_access_times, setup, teardown),
	};

	return cmocka_run_group_tests_name("storage: file", tests, NULL, NULL);
}
