/* SPDX-License-Identifier: BSD-3-Clause */
/* Privileged instructions, cpuid and page faults of a fake guest: emulate.c, cpuid.c, and fault.c, which chooses among them. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/machine.h>
#include <hypervisor/vcpu.h>
#include "tests/support/hypervisor_fakes.h"

#define CODE_PAGE 3u
#define DATA_PAGE 4u
#define STACK_PAGE 5u
#define HANDLER 0x123450ull
#define RIP fake_va(CODE_PAGE)

static struct domain *d;
static struct vcpu *v;
static struct engine_ops engine; /* the fake one, with the process engine's va_limit */

static int setup(void **state)
{
	(void)state;
	fake_machine_start(8);
	d = fake_guest("emulate", 512);
	v = &d->vcpu[0];
	engine = fake_engine_ops;
	engine.va_limit = engine_process.va_limit;
	v->engine = &engine;
	v->regs.user = (struct cpu_user_regs){ .rsp = fake_va(STACK_PAGE) + 0x800, .rflags = 0x202 };
	v->info->evtchn_upcall_mask = 1;
	for (unsigned i = 0; i < 32; i++)
		v->traps[i] = (struct trap_info){ .vector = (uint8_t)i, .address = HANDLER + i };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static void code(const void *bytes, size_t n)
{
	memset(fake_page(d, CODE_PAGE), 0xcc, SLUICE_PAGE_SIZE);
	memcpy(fake_page(d, CODE_PAGE), bytes, n);
	v->regs.user.rip = RIP;
}
#define CODE(...) code((uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

/* Emulated, and rip behind it. */
#define DONE(...) \
	do { CODE(__VA_ARGS__); assert_true(emulate_privileged(v)); assert_int_equal(v->regs.user.rip, RIP + sizeof((uint8_t[]){ __VA_ARGS__ })); } while (0)
/* Not emulated, and nothing changed. */
#define REFUSED(...) \
	do { \
		struct engine_regs before_; \
		CODE(__VA_ARGS__); \
		before_ = v->regs; \
		assert_false(emulate_privileged(v)); \
		assert_memory_equal(&before_, &v->regs, sizeof(before_)); \
	} while (0)

static void msrs(void **state)
{
	struct cpu_user_regs *u = &v->regs.user;
	uint64_t *const base[] = { &v->regs.fs_base, &v->regs.gs_base, &v->gs_base_user };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		u->rcx = 0xc0000100 + i, u->rax = 0x56789000 + i, u->rdx = 0x1234;
		DONE(0x0f, 0x30);
		assert_int_equal(*base[i], 0x123456789000ull + i);
		u->rax = u->rdx = 0;
		DONE(0x0f, 0x32);
		assert_true(u->rax == 0x56789000 + i && u->rdx == 0x1234);
		u->rdx = 0xffff8000; /* the upper half, and what is not canonical, fit no process */
		REFUSED(0x0f, 0x30);
		u->rdx = 0x8000;
		REFUSED(0x0f, 0x30);
	}
	u->rcx = 0xc0000080;
	DONE(0x0f, 0x32);
	assert_true(u->rax & 1 << 10); /* EFER.LMA */
	DONE(0x0f, 0x30); /* what it read */
	u->rax ^= 1 << 11;
	REFUSED(0x0f, 0x30);
	u->rcx = 0x10; /* any other */
	REFUSED(0x0f, 0x30);
	REFUSED(0x0f, 0x32);
}

static void control_registers(void **state)
{
	struct cpu_user_regs *u = &v->regs.user;

	(void)state;
	DONE(0x0f, 0x20, 0xc0);
	assert_int_equal(u->rax & 0x80000001, 0x80000001);
	DONE(0x0f, 0x22, 0xc0);
	u->rax |= 8; /* TS */
	DONE(0x0f, 0x22, 0xc0);
	u->rax &= ~0x80000000ull; /* paging off */
	REFUSED(0x0f, 0x22, 0xc0);
	v->info->arch.cr2 = 0x1234;
	DONE(0x41, 0x0f, 0x20, 0xd1); /* mov r9, cr2 */
	assert_int_equal(u->r9, 0x1234);
	DONE(0x0f, 0x20, 0xdb); /* mov rbx, cr3 */
	assert_int_equal(u->rbx, v->cr3 << 12);
	REFUSED(0x0f, 0x22, 0xdb); /* only by MMUEXT_NEW_BASEPTR */
	DONE(0x0f, 0x20, 0xe0);
	assert_true(u->rax & 0x20); /* PAE */
	DONE(0x0f, 0x22, 0xe0);
	REFUSED(0x44, 0x0f, 0x20, 0xc0); /* cr8 */
	DONE(0x0f, 0x06);
	DONE(0x0f, 0x09);
}

static void events_are_not_masked_by_cli(void **state)
{
	(void)state;
	v->info->evtchn_upcall_mask = 0;
	DONE(0xfa);
	assert_int_equal(v->info->evtchn_upcall_mask, 0);
	DONE(0xfb);
}

/* hlt is SCHEDOP_block: with an event due it goes on at once. */
static void hlt_blocks(void **state)
{
	(void)state;
	v->info->evtchn_upcall_pending = 1;
	DONE(0xf4);
	assert_int_equal(v->info->evtchn_upcall_mask, 0);
}

static void selectors(void **state)
{
	struct cpu_user_regs *u = &v->regs.user;
	uint64_t *stack = fake_page(d, STACK_PAGE);

	(void)state;
	u->rax = FLAT_KERNEL_SS;
	DONE(0x8e, 0xd8); /* mov ds, eax */
	DONE(0x8e, 0xd0); /* mov ss, eax */
	u->rax = 0x10;
	REFUSED(0x8e, 0xd8);
	u->rax = FLAT_KERNEL_SS;
	REFUSED(0x8e, 0xc8); /* mov cs */
	u->rsp = fake_va(STACK_PAGE) + 64;
	memcpy(stack + 8, (uint64_t[]){ 0x7777, FLAT_KERNEL_CS, 0x3246, 0x8888, FLAT_KERNEL_SS }, 40);
	CODE(0x48, 0xcf);
	assert_true(emulate_privileged(v));
	assert_true(u->rip == 0x7777 && u->rsp == 0x8888 && u->rflags == 0x246);
	u->rsp = fake_va(STACK_PAGE) + 64;
	stack[9] = 0x23; /* a 32-bit segment */
	REFUSED(0x48, 0xcf);
	REFUSED(0x48, 0xcb);
	stack[9] = FLAT_KERNEL_CS;
	REFUSED(0xcf); /* 32-bit iret */
	CODE(0x48, 0xcb);
	assert_true(emulate_privileged(v));
	assert_true(u->rip == 0x7777 && u->rsp == fake_va(STACK_PAGE) + 80);
	u->rsp = 0x3000000000ull;
	REFUSED(0x48, 0xcf);
}

static void devices_are_refused(void **state)
{
	(void)state;
	REFUSED(0xe4, 0x40);
	REFUSED(0xee);
	REFUSED(0x0f, 0x01, 0xf8); /* swapgs */
	REFUSED(0x0f, 0x33);       /* rdpmc */
	REFUSED(0x0f, 0x0b);       /* ud2 by itself */
	v->regs.user.rip = 0x3000000000ull;
	assert_false(emulate_privileged(v));
}

#define FORCED_CPUID 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2

static void cpuid_shows_xen(void **state)
{
	struct cpu_user_regs *u = &v->regs.user;
	char name[13] = "";

	(void)state;
	u->rax = 0x40000000;
	DONE(FORCED_CPUID);
	memcpy(name, &u->rbx, 4), memcpy(name + 4, &u->rcx, 4), memcpy(name + 8, &u->rdx, 4);
	assert_string_equal(name, "XenVMMXenVMM");
	assert_true(u->rax >= 0x40000002);
	u->rax = 0x40000001;
	DONE(FORCED_CPUID);
	assert_int_equal(u->rax >> 16, 4);
	u->rax = 1, u->rcx = 0;
	DONE(FORCED_CPUID);
	assert_int_equal(u->rcx & (1u << 31 | 1u << 5 | 1u << 3 | 1u << 21), 1u << 31); /* hypervisor; no VMX, MONITOR, x2APIC */
	u->rax = 0x80000001, u->rcx = 0;
	DONE(FORCED_CPUID);
	assert_int_equal(u->rcx & 4, 0); /* no SVM */
	assert_true(u->rdx & 1u << 29);  /* long mode */
}

/* The instruction may end at the last byte that is mapped. */
static void fetch_stops_at_the_end_of_memory(void **state)
{
	uint8_t bytes[15];

	(void)state;
	v->regs.user.rip = fake_va(FAKE_MAPPED) - 2;
	assert_int_equal(emulate_fetch(v, bytes), 2);
	v->regs.user.rip = fake_va(FAKE_MAPPED);
	assert_int_equal(emulate_fetch(v, bytes), 0);
	v->regs.user.rip = fake_va(CODE_PAGE + 1) - 2; /* over a boundary between pages that both are */
	assert_int_equal(emulate_fetch(v, bytes), 15);
}

/* ---- fault.c ---- */

static void fault(unsigned vector, gva_t cr2, bool not_present)
{
	struct engine_exit e = { .reason = ENGINE_EXIT_EXCEPTION, .vector = (uint8_t)vector, .cr2 = cr2, .not_present = not_present };

	vcpu_fault(v, &e);
}

/* The error code in the frame just built. */
static uint64_t frame_error_code(void)
{
	const uint64_t *f = (const uint64_t *)((uint8_t *)fake_page(d, STACK_PAGE) + (v->regs.user.rsp - fake_va(STACK_PAGE)));

	return f[2];
}

static void a_miss_is_filled(void **state)
{
	(void)state;
	CODE(0x48, 0x8b, 0x07);
	fault(14, fake_va(DATA_PAGE) + 8, true);
	assert_int_equal(v->regs.user.rip, RIP); /* again */
	assert_non_null(fake_engine_at(d, fake_va(DATA_PAGE)));
}

static void a_stale_entry_is_refreshed(void **state)
{
	(void)state;
	CODE(0x48, 0x89, 0x07);
	hv_lock_release(); /* engines are called without it */
	assert_int_equal(engine.map(v->ev, fake_va(DATA_PAGE), fake_frame(d, DATA_PAGE), 1, 0), 0);
	hv_lock_acquire();
	fault(14, fake_va(DATA_PAGE), false);
	assert_int_equal(v->regs.user.rip, RIP);
	assert_true(fake_engine_at(d, fake_va(DATA_PAGE))->prot & ENGINE_PROT_WRITE);
}

static void page_fault_error_codes(void **state)
{
	static const gva_t nowhere = 0x3000000000ull;

	(void)state;
	CODE(0x48, 0x8b, 0x07); /* load */
	fault(14, nowhere, true);
	assert_int_equal(v->regs.user.rip, HANDLER + 14);
	assert_int_equal(frame_error_code(), 0);
	assert_int_equal(v->info->arch.cr2, nowhere);
	CODE(0x48, 0x89, 0x07); /* store */
	fault(14, nowhere, true);
	assert_int_equal(frame_error_code(), 2);
	CODE(0x66, 0x89, 0x07); /* 2 bytes into a page table: refused */
	fault(14, fake_va(FAKE_L1), false);
	assert_int_equal(frame_error_code(), 3);
	v->regs.user.rip = nowhere;
	fault(14, nowhere, true);
	assert_int_equal(frame_error_code(), 16);
}

static void other_exceptions_reach_their_handlers(void **state)
{
	static const unsigned vectors[] = { 0, 1, 3, 6, 12, 13, 16, 17, 19 };

	(void)state;
	for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		bool with_code = vectors[i] == 12 || vectors[i] == 13 || vectors[i] == 17;

		CODE(0xee);
		v->regs.user.rsp = fake_va(STACK_PAGE) + 0x800;
		fault(vectors[i], 0, false);
		assert_int_equal(v->regs.user.rip, HANDLER + vectors[i]);
		assert_int_equal(v->regs.user.rsp, fake_va(STACK_PAGE) + 0x800 - (with_code ? 64 : 56));
	}
}

static void software_interrupts(void **state)
{
	(void)state;
	v->traps[0x80] = (struct trap_info){ .vector = 0x80, .flags = 3, .address = HANDLER + 0x80 };
	CODE(0xcd, 0x80);
	fault(13, 0, false);
	assert_int_equal(v->regs.user.rip, HANDLER + 0x80);
	v->traps[0x80].flags = 0; /* nobody may enter */
	CODE(0xcd, 0x80);
	fault(13, 0, false);
	assert_int_equal(v->regs.user.rip, HANDLER + 13);
	assert_int_equal(frame_error_code(), 0x80 << 3 | 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(msrs), T(control_registers), T(events_are_not_masked_by_cli), T(hlt_blocks), T(selectors), T(devices_are_refused), T(cpuid_shows_xen),
		T(fetch_stops_at_the_end_of_memory), T(a_miss_is_filled), T(a_stale_entry_is_refreshed), T(page_fault_error_codes),
		T(other_exceptions_reach_their_handlers), T(software_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
