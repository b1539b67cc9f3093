/* SPDX-License-Identifier: BSD-3-Clause */
/* A vCPU of the process engine with a little machine memory, and no hypervisor around it. For the engine's unit tests and tests/hostile/test_cage.c. */
#ifndef SLUICE_TEST_PROCESS_RIG_H
#define SLUICE_TEST_PROCESS_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include <sluice/engine.h>
#include "hypervisor/engine/process/process.h"

#define RIG_FRAMES 64u
#define RIG_CODE 0x400000ull  /* frame 1 */
#define RIG_DATA 0x500000ull  /* frame 2 */
#define RIG_RO 0x600000ull    /* frame 3, read-only */
#define RIG_WX (ENGINE_PROT_WRITE | ENGINE_PROT_EXEC)
#define RIG_RFLAGS 0x202u

struct rig {
	int fd;
	uint8_t *mem;
	struct engine_vcpu *v;
	struct engine_regs regs;
	struct engine_exit exit;
};

static inline uint8_t *rig_frame(struct rig *r, mfn_t mfn)
{
	return r->mem + (mfn << SLUICE_PAGE_SHIFT);
}

/* The memory stays; the vCPU is new, with code, data and a read-only page mapped. */
static inline void rig_new_vcpu(struct rig *r)
{
	assert_int_equal(engine_process.create(r->fd, -1, &r->v), 0);
	assert_int_equal(engine_process.map(r->v, RIG_CODE, 1, 1, ENGINE_PROT_EXEC), 0);
	assert_int_equal(engine_process.map(r->v, RIG_DATA, 2, 1, ENGINE_PROT_WRITE), 0);
	assert_int_equal(engine_process.map(r->v, RIG_RO, 3, 1, 0), 0);
	memset(&r->regs, 0, sizeof(r->regs));
	r->regs.user.rip = RIG_CODE;
	r->regs.user.rsp = RIG_DATA + 0x800;
	r->regs.user.rflags = RIG_RFLAGS;
}

static inline void rig_open(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->fd = memfd_create("test-machine", MFD_CLOEXEC);
	assert_true(r->fd >= 0);
	assert_int_equal(ftruncate(r->fd, RIG_FRAMES * SLUICE_PAGE_SIZE), 0);
	r->mem = mmap(NULL, RIG_FRAMES * SLUICE_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, 0);
	assert_true(r->mem != MAP_FAILED);
	rig_new_vcpu(r);
}

static inline void rig_close(struct rig *r)
{
	engine_process.destroy(r->v);
	munmap(r->mem, RIG_FRAMES * SLUICE_PAGE_SIZE);
	close(r->fd);
}

/* Put code at the start of the code page and point rip at it. */
static inline void rig_code(struct rig *r, const void *code, size_t n)
{
	memset(rig_frame(r, 1), 0xcc, SLUICE_PAGE_SIZE);
	memcpy(rig_frame(r, 1), code, n);
	r->regs.user.rip = RIG_CODE;
}

static inline void rig_run(struct rig *r)
{
	engine_process.run(r->v, &r->regs, &r->exit);
}

/* Run and expect this exception. */
static inline void rig_run_exception(struct rig *r, unsigned vector)
{
	rig_run(r);
	assert_int_equal(r->exit.reason, ENGINE_EXIT_EXCEPTION);
	assert_int_equal(r->exit.vector, vector);
}

/* A file of the guest's process in /proc, whole. */
static inline size_t rig_proc(struct rig *r, const char *name, char *buf, size_t size)
{
	char path[64];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)r->v->pid, name);
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(buf, 1, size - 1, f);
	fclose(f);
	buf[n] = 0;
	return n;
}

#endif
