/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/build/pv.c and page_tables.c: the start-of-day layout of xen.h, looked at as the guest would, through its own page tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <errno.h>
#include <unistd.h>

#include "hypervisor/build/pv.h"
#include "hypervisor/guest_access.h"
#include "hypervisor/machine.h"
#include "hypervisor/mmu.h"
#include "hypervisor/time.h"

#include "kernel_file.h"

#define MIB 16u
#define PAGES_PER_MIB 256u
#define ROOM (512u << 10)
#define REGION (4u << 20)

static char dir[] = "/tmp/sluice-test-pv-XXXXXX";
static char kernel_path[64], ramdisk_path[64];

static void write_file(const char *path, const void *bytes, size_t n)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(kernel_path, sizeof(kernel_path), "%s/kernel", dir);
	snprintf(ramdisk_path, sizeof(ramdisk_path), "%s/ramdisk", dir);
	hv_lock_acquire();
	return machine_init(64u << 20) || time_init();
}

static int tear_down(void **state)
{
	(void)state;
	unlink(kernel_path);
	unlink(ramdisk_path);
	rmdir(dir);
	machine_fini();
	hv_lock_release();
	return 0;
}

/* A domain of mib with this kernel, ramdisk_size bytes of ramdisk. NULL and the reason in err when it is refused. */
static struct domain *build(struct kernel_file *k, unsigned mib, size_t ramdisk_size, const char *cmdline, char err[256])
{
	uint8_t *ramdisk = malloc(ramdisk_size + 1);
	struct domain *d;
	int rc;

	kernel_file_make(k);
	write_file(kernel_path, k->bytes, k->size);
	memset(ramdisk, 0xa5, ramdisk_size);
	write_file(ramdisk_path, ramdisk, ramdisk_size);
	free(ramdisk);
	assert_int_equal(domain_create("test", mib * PAGES_PER_MIB, &d, err), 0);
	err[0] = 0;
	rc = build_pv(d, kernel_path, ramdisk_size ? ramdisk_path : NULL, cmdline, err);
	free(k->bytes);
	if (!rc)
		return d;
	assert_true(rc < 0 && err[0] && !strchr(err, '\n'));
	domain_destroy(d);
	return NULL;
}

static mfn_t frame_at(struct vcpu *v, gva_t va, bool *write)
{
	struct mmu_walk w;

	assert_int_equal(mmu_walk(v, va, &w), 0);
	*write = w.write;
	return w.mfn;
}

/* Everything in [base, end) is mapped to the domain's pages in order; only the page tables are read-only. Nothing is mapped beyond. */
static void check_mappings(struct domain *d, gva_t base, const struct start_info *si, gva_t end)
{
	struct vcpu *v = &d->vcpu[0];
	struct mmu_walk w;

	for (gva_t va = base; va < end; va += SLUICE_PAGE_SIZE) {
		bool write, table = va >= si->pt_base && va < si->pt_base + si->nr_pt_frames * SLUICE_PAGE_SIZE;

		assert_int_equal(frame_at(v, va, &write), d->p2m[(va - base) / SLUICE_PAGE_SIZE]);
		assert_int_equal(write, !table);
	}
	assert_int_equal(mmu_walk(v, end, &w), -EFAULT);
	if (base)
		assert_int_equal(mmu_walk(v, base - 1, &w), -EFAULT);
}

static void check_start_info(struct domain *d, const struct start_info *si)
{
	assert_string_equal(si->magic, "xen-3.0-x86_64");
	assert_int_equal(si->nr_pages, d->nr_pages);
	assert_int_equal(si->shared_info, d->shared_info_mfn << SLUICE_PAGE_SHIFT);
	assert_int_equal(si->flags, 0);
	assert_int_equal(si->store_mfn, d->store_mfn);
	assert_int_equal(si->store_evtchn, d->store_port);
	assert_int_equal(si->console.domU.mfn, d->console_mfn);
	assert_int_equal(si->console.domU.evtchn, d->console_port);
	assert_true(d->store_port && d->console_port && d->store_port != d->console_port);
}

/* In the ABI's order: kernel, ramdisk, p2m, start_info, store, console, page tables, stack. */
static gva_t check_order(struct domain *d, gva_t base, const struct start_info *si, size_t ramdisk_size)
{
	gva_t at = base + KERNEL_TEXT_AT + KERNEL_MEMSZ, info = d->vcpu[0].regs.user.rsi;

	if (ramdisk_size) {
		assert_int_equal(si->mod_start, at);
		assert_int_equal(si->mod_len, ramdisk_size);
		at += (ramdisk_size + SLUICE_PAGE_SIZE - 1) & ~(uint64_t)(SLUICE_PAGE_SIZE - 1);
	}
	assert_int_equal(si->mfn_list, at);
	assert_int_equal(si->first_p2m_pfn, (at - base) / SLUICE_PAGE_SIZE);
	assert_int_equal(si->nr_p2m_frames, (d->nr_pages * 8 + SLUICE_PAGE_SIZE - 1) / SLUICE_PAGE_SIZE);
	at += si->nr_p2m_frames * SLUICE_PAGE_SIZE;
	assert_int_equal(info, at);
	assert_int_equal(d->store_mfn, d->p2m[(at - base) / SLUICE_PAGE_SIZE + 1]);
	assert_int_equal(d->console_mfn, d->p2m[(at - base) / SLUICE_PAGE_SIZE + 2]);
	assert_int_equal(si->pt_base, at + 3 * SLUICE_PAGE_SIZE);
	at = si->pt_base + si->nr_pt_frames * SLUICE_PAGE_SIZE + SLUICE_PAGE_SIZE;
	assert_int_equal(d->vcpu[0].regs.user.rsp, at);
	return (at + ROOM + REGION - 1) & ~(uint64_t)(REGION - 1);
}

static void check_contents(struct domain *d, gva_t base, const struct start_info *si, const struct kernel_file *k)
{
	struct kernel_file again = *k;
	uint8_t text[KERNEL_MEMSZ];
	mfn_t mfn;

	assert_int_equal(copy_from_guest(&d->vcpu[0], text, base + KERNEL_TEXT_AT, sizeof(text)), 0);
	kernel_file_make(&again);
	assert_memory_equal(text, again.bytes + KERNEL_TEXT_AT, KERNEL_HYPERCALL_PAGE - KERNEL_TEXT_AT);
	assert_memory_equal(text + 0x2000, again.bytes + KERNEL_TEXT_AT + 0x2000, KERNEL_TEXT_SIZE - 0x2000);
	free(again.bytes);
	for (size_t i = KERNEL_TEXT_SIZE; i < KERNEL_MEMSZ; i++)
		assert_int_equal(text[i], 0);
	assert_non_null(memmem(text + 0x1000, 32, "\x0f\x05", 2)); /* the first hypercall stub has a syscall in it */
	for (pfn_t pfn = 0; pfn < d->nr_pages; pfn++) {
		assert_int_equal(get_guest(&d->vcpu[0], mfn, si->mfn_list + pfn * sizeof(mfn)), 0);
		assert_int_equal(mfn, d->p2m[pfn]);
		assert_int_equal(machine.m2p[mfn], pfn);
	}
}

static void check_domain(struct domain *d, const struct kernel_file *k, size_t ramdisk_size, const char *cmdline)
{
	struct vcpu *v = &d->vcpu[0];
	struct start_info si;
	gva_t end;

	assert_int_equal(get_guest(v, si, v->regs.user.rsi), 0);
	check_start_info(d, &si);
	assert_string_equal((char *)si.cmd_line, cmdline);
	end = check_order(d, k->virt_base, &si, ramdisk_size);
	check_mappings(d, k->virt_base, &si, end);
	check_contents(d, k->virt_base, &si, k);
	assert_int_equal(v->regs.user.rip, k->virt_base + KERNEL_ENTRY);
	assert_int_equal(v->cr3, d->p2m[(si.pt_base - k->virt_base) / SLUICE_PAGE_SIZE]);
	assert_int_equal(v->info->evtchn_upcall_mask, 1);
	assert_int_equal(v->info->time.version % 2, 0);
	assert_int_not_equal(v->info->time.tsc_to_system_mul, 0);
	assert_int_not_equal(d->shared_info->wc_sec, 0);
}

static void layout(void **state)
{
	/* 0x3ff000: tables of more than one L1 and L2 boundary; 0x7fffe00000: of two L3 entries' worth */
	static const uint64_t bases[] = { 0, 0x400000, 0x3ff000, 0x100000000000, 0x7fffe00000, 0x3fe00000 };
	char err[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bases) / sizeof(*bases); i++) {
		struct kernel_file k = { .virt_base = bases[i], .paddr_offset = i % 2 ? bases[i] : 0 };
		size_t ramdisk_size = i % 2 ? 0 : 5000;
		struct domain *d = build(&k, MIB, ramdisk_size, "a=1 b", err);

		if (!d)
			fail_msg("%s", err);
		check_domain(d, &k, ramdisk_size, "a=1 b");
		domain_destroy(d);
	}
}

static void ramdisk(void **state)
{
	struct kernel_file k = { .virt_base = 0x400000 };
	char err[256];
	struct domain *d = build(&k, MIB, 9001, NULL, err);
	uint8_t bytes[9002];
	struct start_info si;

	(void)state;
	assert_non_null(d);
	assert_int_equal(get_guest(&d->vcpu[0], si, d->vcpu[0].regs.user.rsi), 0);
	assert_int_equal(copy_from_guest(&d->vcpu[0], bytes, si.mod_start, sizeof(bytes)), 0);
	for (size_t i = 0; i < 9001; i++)
		assert_int_equal(bytes[i], 0xa5);
	assert_int_equal(bytes[9001], 0);
	domain_destroy(d);
}

/* What it says is enough is enough, and a MiB less is not. */
static void too_little_memory(void **state)
{
	struct kernel_file k = { .virt_base = 0x400000 };
	unsigned least = 0;
	struct domain *d;
	char err[256];

	(void)state;
	assert_null(build(&k, 1, 3u << 18, NULL, err));
	assert_non_null(strstr(err, "memory="));
	assert_int_equal(sscanf(strstr(err, "at least "), "at least %u MiB", &least), 1);
	assert_null(build(&k, least - 1, 3u << 18, NULL, err));
	d = build(&k, least, 3u << 18, NULL, err);
	assert_non_null(d);
	domain_destroy(d);
	assert_null(build(&k, 1, 3u << 20, NULL, err)); /* the ramdisk alone is larger */
}

static void refused(void **state)
{
	struct kernel_file linux_like = { .virt_base = 0xffffffff80000000 }, p2m = { .init_p2m = true }, fine = { 0 };
	char err[256], cmdline[1025];

	(void)state;
	assert_null(build(&linux_like, MIB, 0, NULL, err));
	assert_non_null(strstr(err, "process engine"));
	assert_null(build(&p2m, MIB, 0, NULL, err));
	assert_non_null(strstr(err, "INIT_P2M"));
	memset(cmdline, 'x', 1024);
	cmdline[1024] = 0;
	assert_null(build(&fine, MIB, 0, cmdline, err));
	assert_non_null(strstr(err, "1023"));
}

static void files_that_cannot_be_read(void **state)
{
	struct domain *d;
	char err[256];

	(void)state;
	assert_int_equal(domain_create("test", MIB * PAGES_PER_MIB, &d, err), 0);
	assert_int_equal(build_pv(d, "/nonexistent/kernel", NULL, NULL, err), -ENOENT);
	assert_non_null(strstr(err, "/nonexistent/kernel"));
	assert_int_equal(build_pv(d, dir, NULL, NULL, err), -EINVAL);
	assert_non_null(strstr(err, "regular file"));
	domain_destroy(d);
}

/* A domain that was built and destroyed gives back all its memory. */
static void memory_comes_back(void **state)
{
	uint64_t before = machine_free_frames();
	struct kernel_file k = { .virt_base = 0x400000 };
	char err[256];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		domain_destroy(build(&k, MIB, 0, NULL, err));
	assert_int_equal(machine_free_frames(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout),
		cmocka_unit_test(ramdisk),
		cmocka_unit_test(too_little_memory),
		cmocka_unit_test(refused),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(memory_comes_back),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
