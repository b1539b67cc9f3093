/* SPDX-License-Identifier: BSD-3-Clause */
/* toolstack/config.c, vif.c and config_keys.c: from a file in xl's syntax to the request that sluiced gets. */
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
#include "toolstack/toolstack.h"

static char dir[] = "/tmp/sluice-test-config-XXXXXX";
static char file[64], kernel[64];
static char told[4096]; /* what went to standard error */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/guest.cfg", dir);
	snprintf(kernel, sizeof(kernel), "%s/kernel", dir);
	write_file(kernel, "");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(file);
	unlink(kernel);
	return rmdir(dir);
}

/* config_read with standard error caught in told. */
static int read_config(struct guest_config *g, const char *text, char **settings, int n)
{
	int catch = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO), status;
	ssize_t len;

	if (text)
		write_file(file, text);
	fflush(stderr);
	dup2(catch, STDERR_FILENO);
	status = config_read(g, file, settings, n);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	len = pread(catch, told, sizeof(told) - 1, 0);
	told[len > 0 ? len : 0] = 0;
	close(catch);
	close(saved);
	return status;
}

/* A configuration with name and kernel, and text. */
static int read_more(struct guest_config *g, const char *text, char **settings, int n)
{
	char all[2048];

	snprintf(all, sizeof(all), "name = \"g\"\nkernel = \"%s\"\n%s", kernel, text);
	return read_config(g, all, settings, n);
}

static void refused(const char *text, const char *word)
{
	struct guest_config g;

	assert_int_equal(read_more(&g, text, NULL, 0), 1);
	if (!strstr(told, word))
		fail_msg("'%s' is not in: %s", word, told);
	assert_ptr_equal(strchr(told, '\n'), told + strlen(told) - 1); /* one line */
	config_free(&g);
}

static void least(void **state)
{
	struct json_object *request;
	struct guest_config g;

	(void)state;
	assert_int_equal(read_more(&g, "", NULL, 0), 0);
	assert_string_equal(told, "");
	assert_string_equal(g.name, "g");
	assert_string_equal(g.kernel, kernel);
	assert_null(g.ramdisk);
	assert_string_equal(g.cmdline, "");
	assert_int_equal(g.memory_mib, 32);
	assert_int_equal(g.nr_vifs, 0);
	request = config_request(&g);
	assert_string_equal(member_string(request, "command"), "create");
	assert_string_equal(member_string(request, "name"), "g");
	assert_string_equal(member_string(request, "kernel"), kernel);
	assert_int_equal(member_int(request, "memory_mib"), 32);
	assert_null(json_object_object_get(request, "ramdisk"));
	assert_null(json_object_object_get(request, "on_crash"));
	json_object_put(request);
	config_free(&g);
}

static void all_keys(void **state)
{
	char text[1024];
	struct json_object *request;
	struct guest_config g;

	(void)state;
	snprintf(text, sizeof(text),
		 "type='pv'; vcpus = 1\nmemory = 64 # not 128\nramdisk = '%s'\nroot='/dev/xvda'\nextra=\"quiet # no comment\"\n"
		 "on_poweroff='preserve'\non_reboot = 'destroy'\non_crash='coredump-destroy'\n"
		 "vif = [ 'mac=00:16:3E:aa:bb:cc, bridge=br1,mtu=9000,vifname=v0,script=/x/y,ip=10.0.0.1,rate=1Mb/s,backend=0,type=vif,model=e1000',\n\n  '' ]\n",
		 kernel);
	assert_int_equal(read_more(&g, text, NULL, 0), 0);
	assert_string_equal(told, "");
	assert_string_equal(g.ramdisk, kernel);
	assert_string_equal(g.cmdline, "root=/dev/xvda quiet # no comment");
	assert_int_equal(g.memory_mib, 64);
	assert_int_equal(g.nr_vifs, 2);
	assert_memory_equal(g.vif[0].mac, "\x00\x16\x3e\xaa\xbb\xcc", 6);
	assert_string_equal(g.vif[0].bridge, "br1");
	assert_string_equal(g.vif[0].vifname, "v0");
	assert_string_equal(g.vif[0].script, "/x/y");
	assert_string_equal(g.vif[0].ip, "10.0.0.1");
	assert_string_equal(g.vif[0].rate, "1Mb/s");
	assert_int_equal(g.vif[0].mtu, 9000);
	request = config_request(&g);
	assert_string_equal(member_string(request, "on_poweroff"), "preserve");
	assert_string_equal(member_string(request, "on_reboot"), "destroy");
	assert_string_equal(member_string(request, "on_crash"), "destroy");
	json_object_put(request);
	config_free(&g);
}

static void vif_defaults(void **state)
{
	struct vif_config a, b;

	(void)state;
	assert_int_equal(vif_parse(&a, ""), 0);
	assert_int_equal(vif_parse(&b, ""), 0);
	assert_string_equal(a.bridge, "xenbr0");
	assert_string_equal(a.script, "/etc/xen/scripts/vif-bridge");
	assert_int_equal(a.mtu, 0);
	assert_memory_equal(a.mac, "\x00\x16\x3e", 3);
	assert_int_equal(a.mac[3] & 0x80, 0);
	assert_memory_not_equal(a.mac, b.mac, 6); /* once in 8 million runs it is */
	assert_int_equal(vif_parse(&a, "script=vif-route"), 0);
	assert_string_equal(a.script, "/etc/xen/scripts/vif-route");
}

static void bad_vifs(void **state)
{
	(void)state;
	refused("vif=['mac=zz']", "mac=zz");
	refused("vif=['mac=00:16:3e:00:00:0']", "MAC address");
	refused("vif=['mac=00:16:3e:00:00:01:02']", "MAC address");
	refused("vif=['mac=01:16:3e:00:00:01']", "multicast");
	refused("vif=['mtu=67']", "mtu=67");
	refused("vif=['mtu=1500x']", "mtu=1500x");
	refused("vif=['mtu=']", "mtu=");
	refused("vif=['backend=driverdom']", "backend=driverdom");
	refused("vif=['type=ioemu']", "type=ioemu");
	refused("vif=['bridge']", "has no value");
	refused("vif=['colour=red']", "colour");
	refused("vif=['bridge=0123456789012345678901234567890123456789012345678901234567890123']", "bridge=");
	refused("vif=['','','','','','','','','','','','','','','','','']", "at most 16");
}

static void disks(void **state)
{
	struct guest_config g;

	(void)state;
	assert_int_equal(read_more(&g, "disk=['memory:8M,raw,xvda,rw', 'vdev=xvdb,access=ro,target=null:1G' ]", NULL, 0), 0);
	assert_string_equal(told, "");
	assert_int_equal(g.nr_disks, 2);
	assert_string_equal(g.disk[0].target, "memory:8M");
	assert_int_equal(g.disk[1].number, 51728);
	assert_true(g.disk[1].readonly);
	config_free(&g);
	refused("disk=['/nonexistent.img,raw,xvda,rw']", "/nonexistent.img");
	refused("disk=['memory:1M,raw,xvda,rw','memory:1M,raw,0xca00,rw']", "twice");
	refused("disk=['','','','','','','','','','','','','','','','','']", "at most 16");
	refused("disk=[['memory:1M']]", "not a string");
}

static void impossible(void **state)
{
	(void)state;
	refused("vcpus=2", "vcpus=2");
	refused("type='hvm'", "hvm");
	refused("memory=0", "memory=");
	refused("memory='much'", "memory=");
	refused("on_crash='explode'", "explode");
	refused("ramdisk='/nonexistent'", "/nonexistent");
	refused("kernel='/nonexistent'", "/nonexistent");
	refused("a = [", "syntax error");
}

static void without_name_or_kernel(void **state)
{
	struct guest_config g;

	(void)state;
	assert_int_equal(read_config(&g, "name='x'\n", NULL, 0), 1);
	assert_non_null(strstr(told, "kernel="));
	config_free(&g);
	assert_int_equal(read_config(&g, "", NULL, 0), 1);
	assert_non_null(strstr(told, "name="));
	config_free(&g);
}

/* The command line wins, and its values need no quotes. */
static void settings(void **state)
{
	char *words[] = { (char *)"name=two", (char *)"memory=48", (char *)"extra=a=\"b\" c", (char *)"vif=['mtu=1400']" };
	char *no_setting[] = { (char *)"paused" };
	struct guest_config g;

	(void)state;
	assert_int_equal(read_more(&g, "memory=16\nextra='x'", words, 4), 0);
	assert_string_equal(g.name, "two");
	assert_int_equal(g.memory_mib, 48);
	assert_string_equal(g.cmdline, "a=\"b\" c");
	assert_int_equal(g.vif[0].mtu, 1400);
	config_free(&g);
	assert_int_equal(read_more(&g, "", no_setting, 1), 1);
	assert_non_null(strstr(told, "paused"));
	config_free(&g);
}

static void files(void **state)
{
	struct guest_config g;

	(void)state;
	unlink(file);
	assert_int_equal(read_config(&g, NULL, NULL, 0), 1);
	assert_non_null(strstr(told, "guest.cfg: cannot be read: No such file"));
	assert_int_equal(config_read(&g, dir, NULL, 0), 1);
}

static void collect(const char *key, void *arg)
{
	strcat(strcat(arg, key), ",");
}

static void keys(void **state)
{
	struct guest_config g;
	char found[256] = "";

	(void)state;
	config_each_key("a=1;b = 'x;y=2'\n# c=3\nd = [ 'e=4',\n\"f\\\"=5\", # g=6 ]\n 'h' ]; i=7\n\tj += 'k'", collect, found);
	assert_string_equal(found, "a,b,d,i,j,");
	found[0] = 0;
	config_each_key("a='never closed\n b=2", collect, found);
	assert_string_equal(found, "a,");
	assert_int_equal(read_more(&g, "memmory = 64\ncmdline='x'\nroot='y'", NULL, 0), 0);
	assert_non_null(strstr(told, "'memmory'"));
	assert_non_null(strstr(told, "root= and extra= are ignored"));
	assert_null(strstr(told, "'cmdline'"));
	config_free(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(least),
		cmocka_unit_test(all_keys),
		cmocka_unit_test(vif_defaults),
		cmocka_unit_test(bad_vifs),
		cmocka_unit_test(disks),
		cmocka_unit_test(impossible),
		cmocka_unit_test(without_name_or_kernel),
		cmocka_unit_test(settings),
		cmocka_unit_test(files),
		cmocka_unit_test(keys),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
