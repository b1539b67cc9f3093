/* SPDX-License-Identifier: BSD-3-Clause */
/* toolstack/disk.c: xl's disk syntax, the numbers of virtual devices, and what is refused with one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "toolstack/config.h"

static char image[] = "/tmp/sluice-test-disk-XXXXXX";
static char told[4096]; /* what went to standard error */

static int set_up(void **state)
{
	int fd = mkstemp(image);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(image);
}

/* fn with standard error caught in told. */
static int caught(int (*fn)(void *arg), void *arg)
{
	int catch = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO), status;
	ssize_t len;

	fflush(stderr);
	dup2(catch, STDERR_FILENO);
	status = fn(arg);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	len = pread(catch, told, sizeof(told) - 1, 0);
	told[len > 0 ? len : 0] = 0;
	close(catch);
	close(saved);
	return status;
}

struct parse {
	struct disk_config *disk;
	const char *const *specs;
	int n;
};

static int do_parse(void *arg)
{
	struct parse *p = arg;

	return disk_parse(p->disk, p->specs, p->n);
}

static int parse(struct disk_config *disk, const char *const *specs, int n)
{
	struct parse p = { disk, specs, n };

	return caught(do_parse, &p);
}

static struct disk_config good(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct disk_config good(const char *fmt, ...)
{
	struct disk_config disk;
	const char *one;
	char spec[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(spec, sizeof(spec), fmt, ap);
	va_end(ap);
	one = spec;
	if (parse(&disk, &one, 1))
		fail_msg("%s: %s", spec, told);
	assert_string_equal(told, "");
	return disk;
}

static void files(void **state)
{
	struct disk_config d = good("%s,raw,xvda,rw", image);

	(void)state;
	assert_string_equal(d.target, image);
	assert_string_equal(d.vdev, "xvda");
	assert_int_equal(d.number, 51712);
	assert_true(d.discard);
	assert_false(d.readonly || d.cdrom || d.removable || d.block_device || d.direct_io_safe);
	d = good("%s,,xvdb,r", image);
	assert_true(d.readonly);
	assert_false(d.discard);
	d = good("%s,raw,hdc,ro,cdrom", image);
	assert_true(d.cdrom && d.removable && d.readonly);
	assert_int_equal(d.number, 22 << 8);
	d = good("%s,raw,xvda,rw,no-discard,direct-io-safe", image);
	assert_true(d.direct_io_safe);
	assert_false(d.discard);
	assert_true(good("%s,raw,xvda,ro,discard", image).discard);
	assert_string_equal(good("phy:%s,xvda,w", image).target, image);
}

/* sluice-backend runs in another folder. */
static void relative_paths(void **state)
{
	char *here = getcwd(NULL, 0);

	(void)state;
	assert_int_equal(chdir("/tmp"), 0);
	assert_string_equal(good("%s,raw,xvda,rw", image + strlen("/tmp/")).target, image);
	assert_int_equal(chdir(here), 0);
	free(here);
}

static void other_targets(void **state)
{
	(void)state;
	assert_string_equal(good("memory:64M,raw,xvda,rw").target, "memory:64M");
	assert_string_equal(good("null:1G,,xvda,rw").target, "null:1G");
	assert_string_equal(good("vdev=xvda,target=nbd://host/a,b=c").target, "nbd://host/a,b=c");
	assert_string_equal(good("vdev=xvda,access=ro,target=nbd+unix:///?socket=/x").target, "nbd+unix:///?socket=/x");
}

static void in_pieces(void **state)
{
	const char *const words[] = { "vdev=xvdc", "access=ro", "target=memory:1M" };
	struct disk_config d;

	(void)state;
	assert_int_equal(parse(&d, words, 3), 0);
	assert_true(d.readonly);
	assert_int_equal(d.number, 51712 + 32);
	assert_string_equal(d.target, "memory:1M");
}

static void refused(const char *spec, const char *word)
{
	struct disk_config d;

	assert_int_equal(parse(&d, &spec, 1), 1);
	if (!strstr(told, word))
		fail_msg("%s: '%s' is not in: %s", spec, word, told);
	assert_ptr_equal(strchr(told, '\n'), told + strlen(told) - 1); /* one line */
}

static void what_is_refused(void **state)
{
	(void)state;
	refused("/nonexistent.img,raw,xvda,rw", "/nonexistent.img: cannot be found");
	refused("null.img,raw,xvda,rw", "null.img: cannot be found");
	refused("memory:1M,qcow2,xvda,rw", "qemu-nbd");
	refused("memory:1M,raw,bogus,rw", "'bogus'");
	refused("memory:1M,raw,xvda,maybe", "maybe");
	refused("memory:1M,raw,xvda,rw,colour=red", "colour=r");
	refused("memory:1M,raw,xvda,rw,script=x", "script=x");
	refused("memory:1M,raw,xvda,rw,backend=storage", "backend=storage");
	refused("memory:1M", "vdev");
	refused("vdev=xvda", "target");
	refused("vdev=hdc,devtype=cdrom", "hdc");
	refused("nbd://host/x,raw,xvda,rw", "target=nbd://host/x");
	refused("nbd+unix:///?socket=/x,raw,xvda,rw", "target=nbd+unix");
}

static void numbered(const char *vdev, unsigned expected)
{
	unsigned number = 0;

	assert_int_equal(disk_number(vdev, &number), 0);
	if (number != expected)
		fail_msg("%s is %u, not %u", vdev, number, expected);
}

static int do_number(void *vdev)
{
	unsigned number;

	return disk_number(vdev, &number);
}

static void numbers(void **state)
{
	static const char *const wrong[] = { "", "xvd", "xvd1", "xvda0", "xvda256", "xvdA", "xvdaxaxaxaxaxa", "hde", "hda64", "sdq", "sda16", "xvda1x",
					     "0x20000000", "0x80000000", "-1", "vda" };

	(void)state;
	numbered("xvda", 51712);
	numbered("xvda1", 51713);
	numbered("xvdb", 51728);
	numbered("xvdp15", 51967);
	numbered("xvdq", 1 << 28 | 16 << 8);
	numbered("xvda16", 1 << 28 | 16);
	numbered("xvdaa", 1 << 28 | 26 << 8);
	numbered("xvdba3", 1 << 28 | 52 << 8 | 3);
	numbered("hda", 768);
	numbered("hdb2", 834);
	numbered("hdd", 5696);
	numbered("sda", 2048);
	numbered("sdp15", 2303);
	numbered("51712", 51712);
	numbered("0xca00", 51712);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (!caught(do_number, (void *)wrong[i]))
			fail_msg("'%s' is taken for a disk", wrong[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
		cmocka_unit_test(relative_paths),
		cmocka_unit_test(other_targets),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
