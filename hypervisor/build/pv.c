/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Places a Xen PV kernel in a new domain (pv.h; called by the control server's create). The order is that of xen.h's start-of-day
 * comment: kernel, ramdisk, p2m list, start_info, store page, console page, page tables, stack, at least 512 KiB of room, up to 4 MiB.
 */
#include "pv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sluice/shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../console.h"
#include "../event.h"
#include "../grant.h"
#include "../hypercall.h"
#include "../machine.h"
#include "../mmu.h"
#include "../time.h"
#include "../xenstore/store.h"
#include "image.h"
#include "page_tables.h"

#define KERNEL_FILE_MAX (512ull << 20)
#define ROOM_AFTER_STACK (512ull << 10)
#define REGION_ALIGN (4ull << 20)
#define PAGES_PER_MIB 256u
#define EFLAGS_START 0x202ull /* IF and the bit that is always set; whether events come is evtchn_upcall_mask's business */

struct blob {
	uint8_t *bytes;
	size_t size;
};

struct layout {
	pfn_t ramdisk, p2m, start_info, store, console, stack;
	struct boot_tables tables;
	uint64_t pages; /* mapped at start */
};

static uint64_t pages_of(uint64_t bytes)
{
	return (bytes + SLUICE_PAGE_SIZE - 1) >> SLUICE_PAGE_SHIFT;
}

static int read_all(int fd, struct blob *b)
{
	size_t done = 0;

	while (done < b->size) {
		ssize_t n = pread(fd, b->bytes + done, b->size - done, (off_t)done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO; /* it shrank meanwhile */
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* A regular file, whole. O_NONBLOCK: a FIFO must not stop the main loop. */
static int read_file(const char *path, uint64_t max, struct blob *b, char err[BUILD_ERR])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	int rc = fd < 0 || fstat(fd, &st) ? -errno : 0;

	if (!rc && !S_ISREG(st.st_mode)) {
		snprintf(err, BUILD_ERR, "%.100s: not a regular file", path);
		rc = -EINVAL;
	} else if (!rc && (uint64_t)st.st_size > max) {
		snprintf(err, BUILD_ERR, "%.100s: too large (%" PRIu64 " MiB): at most %" PRIu64 " MiB", path, (uint64_t)st.st_size >> 20, max >> 20);
		rc = -EFBIG;
	} else if (!rc) {
		b->size = (size_t)st.st_size;
		b->bytes = malloc(b->size + 1);
		rc = b->bytes ? read_all(fd, b) : -ENOMEM;
		if (rc)
			snprintf(err, BUILD_ERR, "%.100s: cannot be read: %s", path, strerror(-rc));
	} else {
		snprintf(err, BUILD_ERR, "%.100s: cannot be opened: %s", path, strerror(-rc));
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Disks are slow and the guests should not wait for them: d is paused and only the main loop, which is here, could destroy it. */
static int read_files(struct domain *d, const char *kernel, const char *ramdisk, struct blob *k, struct blob *r, char err[BUILD_ERR])
{
	uint64_t memory = d->nr_pages << SLUICE_PAGE_SHIFT;
	int rc;

	hv_lock_release();
	rc = read_file(kernel, KERNEL_FILE_MAX, k, err);
	if (!rc && ramdisk)
		rc = read_file(ramdisk, memory, r, err);
	hv_lock_acquire();
	return rc;
}

/* Can the engine map it at all? Before anything else is said about the kernel: Linux fails here. */
static int check_reach(const struct pv_image *img, gva_t limit, char err[BUILD_ERR])
{
	if (img->virt_base >= limit || img->end > limit - img->virt_base) {
		snprintf(err, BUILD_ERR, "%.100s: linked at 0x%" PRIx64 ", in the upper half of the address space, which the process engine cannot run: "
			 "give a kernel linked below 0x%" PRIx64, img->path, img->virt_base, limit);
		return -ENOEXEC;
	}
	if (img->has_init_p2m) {
		snprintf(err, BUILD_ERR, "%.100s: wants its p2m list at 0x%" PRIx64 " (note INIT_P2M), which sluiced cannot do: "
			 "build the kernel without that note", img->path, img->init_p2m);
		return -ENOEXEC;
	}
	return 0;
}

static void lay_out(struct layout *lay, const struct pv_image *img, uint64_t ramdisk_size, uint64_t nr_pages)
{
	uint64_t tables = 0, count = 0;
	pfn_t pfn = pages_of(img->end);

	lay->ramdisk = pfn;
	pfn += pages_of(ramdisk_size);
	lay->p2m = pfn;
	pfn += pages_of(nr_pages * sizeof(mfn_t));
	lay->start_info = pfn++;
	lay->store = pfn++;
	lay->console = pfn++;
	lay->tables.first = pfn;
	lay->tables.start = img->virt_base;
	do { /* the tables are themselves in what they map: grows until it fits, twice at most in practice */
		tables = count;
		lay->stack = pfn + tables;
		lay->tables.end = img->virt_base + ((lay->stack + 1) << SLUICE_PAGE_SHIFT) + ROOM_AFTER_STACK;
		lay->tables.end = (lay->tables.end + REGION_ALIGN - 1) & ~(REGION_ALIGN - 1);
		count = boot_tables_count(&lay->tables);
	} while (count != tables);
	lay->pages = (lay->tables.end - lay->tables.start) >> SLUICE_PAGE_SHIFT;
}

static int check_room(const struct pv_image *img, uint64_t ramdisk_size, uint64_t nr_pages, uint64_t mapped, char err[BUILD_ERR])
{
	uint64_t need = pages_of(mapped << SLUICE_PAGE_SHIFT), mib = 0;
	struct layout lay;

	if (mapped <= nr_pages)
		return 0;
	while (mib * PAGES_PER_MIB < need) { /* a larger domain has a longer p2m list */
		mib = (need + PAGES_PER_MIB - 1) / PAGES_PER_MIB;
		lay_out(&lay, img, ramdisk_size, mib * PAGES_PER_MIB);
		need = lay.pages;
	}
	snprintf(err, BUILD_ERR, "%.100s: needs at least %" PRIu64 " MiB to start, the domain has %" PRIu64 ": raise memory=", img->path, mib,
		 nr_pages / PAGES_PER_MIB);
	return -ENOMEM;
}

/* Bytes to pseudo-physical memory. */
static void put(struct domain *d, uint64_t at, const void *src, size_t n)
{
	const uint8_t *from = src;

	while (n) {
		size_t in_page = at % SLUICE_PAGE_SIZE, len = SLUICE_PAGE_SIZE - in_page < n ? SLUICE_PAGE_SIZE - in_page : n;

		shm_copy_bulk((uint8_t *)machine_ptr(d->p2m[at >> SLUICE_PAGE_SHIFT]) + in_page, from, len);
		at += len;
		from += len;
		n -= len;
	}
}

/* Frames come zeroed: what a segment has beyond its file bytes needs no work. */
static void load_kernel(struct domain *d, const struct pv_image *img)
{
	uint8_t stubs[SLUICE_PAGE_SIZE];
	Elf64_Phdr ph;

	for (unsigned i = 0; image_load_segment(img, i, &ph); i++)
		put(d, image_segment_at(img, &ph), img->file + ph.p_offset, ph.p_filesz);
	if (img->has_hypercall_page) {
		hypercall_page_fill(stubs);
		put(d, img->hypercall_page - img->virt_base, stubs, sizeof(stubs));
	}
}

static void write_start_info(struct domain *d, const struct layout *lay, size_t ramdisk_size, const char *cmdline)
{
	gva_t base = lay->tables.start;
	struct start_info si = {
		.magic = "xen-3.0-x86_64",
		.nr_pages = d->nr_pages,
		.shared_info = d->shared_info_mfn << SLUICE_PAGE_SHIFT,
		.store_mfn = d->store_mfn,
		.store_evtchn = d->store_port,
		.console.domU = { .mfn = d->console_mfn, .evtchn = d->console_port },
		.pt_base = base + (lay->tables.first << SLUICE_PAGE_SHIFT),
		.nr_pt_frames = lay->stack - lay->tables.first,
		.mfn_list = base + (lay->p2m << SLUICE_PAGE_SHIFT),
		.mod_start = ramdisk_size ? base + (lay->ramdisk << SLUICE_PAGE_SHIFT) : 0,
		.mod_len = ramdisk_size,
		.first_p2m_pfn = lay->p2m,
		.nr_p2m_frames = lay->start_info - lay->p2m,
	};

	snprintf((char *)si.cmd_line, sizeof(si.cmd_line), "%s", cmdline ? cmdline : "");
	put(d, lay->start_info << SLUICE_PAGE_SHIFT, &si, sizeof(si));
}

static void set_vcpu(struct domain *d, const struct pv_image *img, const struct layout *lay)
{
	struct vcpu *v = &d->vcpu[0];

	memset(&v->regs, 0, sizeof(v->regs));
	v->regs.user.rip = img->entry;
	v->regs.user.rsi = img->virt_base + (lay->start_info << SLUICE_PAGE_SHIFT);
	v->regs.user.rsp = img->virt_base + ((lay->stack + 1) << SLUICE_PAGE_SHIFT);
	v->regs.user.rflags = EFLAGS_START;
	v->kernel_sp = v->regs.user.rsp;
	shm_store(&v->info->evtchn_upcall_mask, 1);
}

static int bind_ports(struct domain *d)
{
	int rc = evtchn_bind_internal(d, store_event_fd(), &d->store_port);

	return rc ? rc : evtchn_bind_internal(d, console_event_fd(), &d->console_port);
}

static int place(struct domain *d, const struct pv_image *img, const struct layout *lay, const struct blob *ramdisk, const char *cmdline)
{
	int rc = bind_ports(d);

	if (rc)
		return rc;
	d->store_mfn = d->p2m[lay->store];
	d->console_mfn = d->p2m[lay->console];
	load_kernel(d, img);
	put(d, lay->ramdisk << SLUICE_PAGE_SHIFT, ramdisk->bytes, ramdisk->size);
	put(d, lay->p2m << SLUICE_PAGE_SHIFT, d->p2m, d->nr_pages * sizeof(mfn_t));
	write_start_info(d, lay, ramdisk->size, cmdline);
	boot_tables_write(&lay->tables, d);
	grant_seed_reserved(d, d->console_mfn, d->store_mfn);
	set_vcpu(d, img, lay);
	time_domain_init(d);
	time_update_vcpu(&d->vcpu[0]);
	return mmu_adopt_tables(&d->vcpu[0], d->p2m[lay->tables.first]);
}

int build_pv(struct domain *d, const char *kernel, const char *ramdisk, const char *cmdline, char err[256])
{
	struct blob k = { 0 }, r = { 0 };
	struct pv_image img;
	struct layout lay;
	int rc;

	if (cmdline && strlen(cmdline) >= MAX_GUEST_CMDLINE) {
		snprintf(err, BUILD_ERR, "the kernel command line has %zu characters: at most %u are possible", strlen(cmdline), MAX_GUEST_CMDLINE - 1);
		return -E2BIG;
	}
	rc = read_files(d, kernel, ramdisk, &k, &r, err);
	if (!rc)
		rc = image_parse(&img, kernel, k.bytes, k.size, err);
	if (!rc)
		rc = check_reach(&img, d->vcpu[0].engine->va_limit, err);
	if (!rc) {
		lay_out(&lay, &img, r.size, d->nr_pages);
		rc = check_room(&img, r.size, d->nr_pages, lay.pages, err);
	}
	if (!rc) {
		rc = place(d, &img, &lay, &r, cmdline);
		if (rc)
			snprintf(err, BUILD_ERR, "%.100s: cannot be placed in memory: %s", kernel, strerror(-rc));
	}
	free(k.bytes);
	free(r.bytes);
	return rc;
}
