/* SPDX-License-Identifier: BSD-3-Clause */
/* What a guest's process is left with: one page of ours, one descriptor, no rights. Read from /proc, so as Linux sees it. */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "rig.h"

static int setup(void **state)
{
	static struct rig r;

	rig_open(&r);
	*state = &r;
	return 0;
}

static int teardown(void **state)
{
	rig_close(*state);
	return 0;
}

static void only_the_launcher_is_mapped(void **state)
{
	struct rig *r = *state;
	char maps[4096], *line, *rest = maps;
	bool launcher = false;

	assert_int_equal(engine_process.flush_all(r->v), 0);
	rig_proc(r, "maps", maps, sizeof(maps));
	while ((line = strsep(&rest, "\n")) && *line) {
		if (strstr(line, "[vsyscall]"))
			continue;
		assert_int_equal(strncmp(line, "7ffe00000000-7ffe00001000 r-xp", 30), 0);
		launcher = true;
	}
	assert_true(launcher);
}

static void only_machine_memory_is_open(void **state)
{
	struct rig *r = *state;
	char path[64];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)r->v->pid);
	d = opendir(path);
	if (!d) {
		print_message("          no right to look into %s: skipped\n", path);
		skip();
	}
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.') {
			assert_string_equal(e->d_name, "3");
			n++;
		}
	closedir(d);
	assert_int_equal(n, 1);
}

static uint64_t status_field(const char *status, const char *name, int base)
{
	const char *at = strstr(status, name);

	assert_non_null(at);
	return strtoull(at + strlen(name), NULL, base);
}

static void no_rights_are_left(void **state)
{
	struct rig *r = *state;
	char s[8192];

	rig_proc(r, "status", s, sizeof(s));
	assert_int_equal(status_field(s, "NoNewPrivs:", 10), 1);
	assert_int_equal(status_field(s, "Seccomp:", 10), 2);
	assert_int_equal(status_field(s, "TracerPid:", 10), getpid());
	assert_int_equal(status_field(s, "CapEff:", 16) & ~(1ull << 17), 0); /* at most CAP_SYS_RAWIO, for address 0 */
	assert_int_equal(status_field(s, "CapPrm:", 16) & ~(1ull << 17), 0);
	assert_int_equal(status_field(s, "CapInh:", 16), 0);
	assert_int_equal(status_field(s, "CapAmb:", 16), 0);
	if (!geteuid()) {
		assert_int_equal(status_field(s, "Uid:", 10), CAGE_UID);
		assert_int_equal(status_field(s, "Gid:", 10), CAGE_UID);
	}
}

static void handlers_and_masks_are_not_inherited(void **state)
{
	struct rig *r = *state;
	char s[8192];
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	engine_process.destroy(r->v);
	rig_new_vcpu(r);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	rig_proc(r, "status", s, sizeof(s));
	assert_int_equal(status_field(s, "SigBlk:", 16), 0);
	assert_int_equal(status_field(s, "SigIgn:", 16), 0);
	assert_int_equal(status_field(s, "SigCgt:", 16), 0);
}

/* The soft limit in /proc/<pid>/limits; prlimit itself may not be ours to call any more. */
static uint64_t limit_of(const char *limits, const char *name)
{
	const char *at = strstr(limits, name);

	assert_non_null(at);
	at += strlen(name);
	return strncmp(at + strspn(at, " "), "unlimited", 9) ? strtoull(at, NULL, 10) : ~0ull;
}

static void limits_are_set(void **state)
{
	struct rig *r = *state;
	char s[4096];

	rig_proc(r, "limits", s, sizeof(s));
	assert_int_equal(limit_of(s, "Max core file size"), 0);
	assert_int_equal(limit_of(s, "Max file size"), 0);
	assert_int_equal(limit_of(s, "Max processes"), 0);
	assert_int_equal(limit_of(s, "Max open files"), CAGE_MACHINE_FD + 1);
}

/* Even with SYSEMU out of the way: the filter lets nothing through but our two calls in our own form. */
static void the_filter_is_a_second_wall(void **state)
{
	struct rig *r = *state;

	assert_int_equal(inject(r->v, 39 /* getpid */, 0, 0, 0, 0, 0, 0), -ESRCH); /* refused: the vCPU is condemned */
	assert_true(r->v->dead);
	engine_process.destroy(r->v);
	rig_new_vcpu(r);
	assert_int_equal(inject(r->v, 9, 0x1000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~0ull, 0), -ESRCH);
	engine_process.destroy(r->v);
	rig_new_vcpu(r);
	assert_int_equal(inject(r->v, 9, 0x1000000, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, 0, 0), -ESRCH);
	engine_process.destroy(r->v);
	rig_new_vcpu(r);
	assert_int_equal(inject(r->v, 9, 0x1000000, 4096, PROT_READ, MAP_SHARED | MAP_FIXED, CAGE_MACHINE_FD, 0), 0x1000000);
}

static void pinned_where_it_was_told(void **state)
{
	struct rig *r = *state;
	cpu_set_t all, mine;
	int cpu = 0;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	engine_process.destroy(r->v);
	assert_int_equal(engine_process.create(r->fd, cpu, &r->v), 0);
	assert_int_equal(sched_getaffinity(r->v->pid, sizeof(mine), &mine), 0);
	assert_int_equal(CPU_COUNT(&mine), 1);
	assert_true(CPU_ISSET(cpu, &mine));
}

/* GRUB is linked at address 0: root can run it, others are told that they cannot. */
static void address_zero_needs_the_privilege(void **state)
{
	struct rig *r = *state;

	assert_int_equal(engine_process.map(r->v, 0, 5, 1, RIG_WX), geteuid() ? -EINVAL : 0);
}

/* Whatever happens to us, no guest stays behind. */
static void dies_with_its_supervisor(void **state)
{
	int pipes[2], status;
	pid_t supervisor, guest = 0;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	supervisor = fork();
	if (!supervisor) {
		struct rig r;

		rig_open(&r);
		guest = r.v->pid;
		if (write(pipes[1], &guest, sizeof(guest)) != sizeof(guest))
			_exit(1);
		pause();
	}
	assert_int_equal(read(pipes[0], &guest, sizeof(guest)), sizeof(guest));
	assert_int_equal(kill(guest, 0), 0);
	kill(supervisor, SIGKILL);
	assert_int_equal(waitpid(supervisor, &status, 0), supervisor);
	for (unsigned i = 0; i < 200 && !kill(guest, 0); i++) {
		char path[64], line[256] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)guest);
		f = fopen(path, "r");
		if (f && fgets(line, sizeof(line), f) && strstr(line, ") Z "))
			i = 200; /* dead; init has not reaped it yet */
		if (f)
			fclose(f);
		usleep(10000);
		if (i == 199)
			fail_msg("process %d outlived its supervisor", (int)guest);
	}
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(only_the_launcher_is_mapped), T(only_machine_memory_is_open), T(no_rights_are_left), T(handlers_and_masks_are_not_inherited),
		T(limits_are_set), T(the_filter_is_a_second_wall), T(pinned_where_it_was_told), T(address_zero_needs_the_privilege),
		cmocka_unit_test(dies_with_its_supervisor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
