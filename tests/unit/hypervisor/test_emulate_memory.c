/* SPDX-License-Identifier: BSD-3-Clause */
/* Reads of the machine-to-physical table and stores to page tables, on a fake guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/machine.h>
#include <hypervisor/vcpu.h>
#include "tests/support/hypervisor_fakes.h"

#define CODE_PAGE 3u
#define RIP fake_va(CODE_PAGE)
#define SLOT 9u /* of the L1 table: a page that the tests remap */

static struct domain *d;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	fake_machine_start(8);
	d = fake_guest("memory", 512);
	v = &d->vcpu[0];
	v->regs.user = (struct cpu_user_regs){ .rflags = 0x202 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_audit_counts(d, NULL);
	fake_machine_stop();
	return 0;
}

static void code(const void *bytes, size_t n)
{
	memset(fake_page(d, CODE_PAGE), 0xcc, SLUICE_PAGE_SIZE);
	memcpy(fake_page(d, CODE_PAGE), bytes, n);
	v->regs.user.rip = RIP;
}
#define BYTES(...) (uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ })

static void done(gva_t va, const void *bytes, size_t n)
{
	code(bytes, n);
	assert_true(emulate_memory(v, va));
	assert_int_equal(v->regs.user.rip, RIP + n);
}

static void refused(gva_t va, const void *bytes, size_t n)
{
	struct engine_regs before;

	code(bytes, n);
	before = v->regs;
	assert_false(emulate_memory(v, va));
	assert_memory_equal(&before, &v->regs, sizeof(before));
}

static gva_t m2p(mfn_t mfn)
{
	return MACH2PHYS_VIRT_START + mfn * 8;
}

static gva_t slot_va(void)
{
	return fake_va(FAKE_L1) + SLOT * 8;
}

static uint64_t slot(void)
{
	return ((uint64_t *)fake_page(d, FAKE_L1))[SLOT];
}

static void m2p_is_read(void **state)
{
	struct cpu_user_regs *u = &v->regs.user;

	(void)state;
	for (pfn_t pfn = 0; pfn < 512; pfn += 37) {
		done(m2p(fake_frame(d, pfn)), BYTES(0x48, 0x8b, 0x04, 0xc8)); /* mov rax, [rax+rcx*8] */
		assert_int_equal(u->rax, pfn);
	}
	u->r9 = ~0ull;
	done(m2p(fake_frame(d, 300)), BYTES(0x44, 0x8b, 0x0f)); /* mov r9d, [rdi]: the upper half goes */
	assert_int_equal(u->r9, 300);
	done(m2p(fake_frame(d, 300)) + 4, BYTES(0x44, 0x8b, 0x0f));
	assert_int_equal(u->r9, 0);
	u->rax = 300;
	done(m2p(fake_frame(d, 300)), BYTES(0x48, 0x3b, 0x07)); /* cmp rax, [rdi] */
	assert_int_equal(u->rflags & 0x8d5, 0x44);
	done(m2p(fake_frame(d, 300)), BYTES(0x48, 0x81, 0x3f, 0x2d, 1, 0, 0)); /* cmp qword [rdi], 301 */
	assert_int_equal(u->rflags & 0x8d5, 0x95);
	done(m2p(fake_frame(d, 300)), BYTES(0x48, 0x03, 0x07)); /* add rax, [rdi] */
	assert_int_equal(u->rax, 600);
}

/* Frames of nobody, of others, past the end: no word of them. */
static void m2p_tells_nothing_of_others(void **state)
{
	struct domain *other = fake_guest("other", 512);

	(void)state;
	done(m2p(fake_frame(other, 5)), BYTES(0x48, 0x8b, 0x07));
	assert_int_equal(v->regs.user.rax, ~0ull);
	done(m2p(fake_frame(other, 5)), BYTES(0x48, 0x63, 0x07)); /* movslq */
	assert_int_equal(v->regs.user.rax, ~0ull);
	refused(m2p(machine.nr_frames), BYTES(0x48, 0x8b, 0x07));
	refused(MACH2PHYS_VIRT_END, BYTES(0x48, 0x8b, 0x07));
	refused(m2p(fake_frame(d, 5)), BYTES(0x48, 0x89, 0x07)); /* a store */
	refused(m2p(fake_frame(d, 5)) + 1, BYTES(0x48, 0x8b, 0x07));
}

static void page_table_stores(void **state)
{
	struct cpu_user_regs *u = &v->regs.user;
	uint64_t old = slot(), other = fake_pte(fake_frame(d, 20), FAKE_RO);

	(void)state;
	u->rax = other;
	done(slot_va(), BYTES(0x48, 0x89, 0x07)); /* mov [rdi], rax */
	assert_int_equal(slot(), other);
	done(slot_va(), BYTES(0x48, 0x83, 0x27, 0xfe)); /* and qword [rdi], ~1 */
	assert_int_equal(slot(), other & ~1ull);
	done(slot_va(), BYTES(0xf0, 0x48, 0x83, 0x0f, 0x01)); /* lock or qword [rdi], 1 */
	assert_int_equal(slot(), other);
	u->rax = old;
	done(slot_va(), BYTES(0x48, 0x87, 0x07)); /* xchg */
	assert_true(slot() == old && u->rax == other);
	done(slot_va(), BYTES(0x48, 0xc7, 0x07, 0, 0, 0, 0)); /* mov qword [rdi], 0 */
	assert_int_equal(slot(), 0);
	u->rax = (uint32_t)old;
	done(slot_va(), BYTES(0x89, 0x07)); /* its lower half */
	assert_int_equal(slot(), (uint32_t)old);
}

/* What mmu_update would refuse is a page fault here, and nothing has changed. */
static void bad_page_table_stores_are_refused(void **state)
{
	struct domain *other = fake_guest("other", 512);
	uint64_t old = slot();

	(void)state;
	v->regs.user.rax = fake_pte(fake_frame(other, 20), FAKE_RO);
	refused(slot_va(), BYTES(0x48, 0x89, 0x07));
	v->regs.user.rax = fake_pte(fake_frame(d, FAKE_L1), FAKE_RW);
	refused(slot_va(), BYTES(0x48, 0x89, 0x07));
	v->regs.user.rax = fake_pte(machine.nr_frames, FAKE_RO);
	refused(slot_va(), BYTES(0x48, 0x87, 0x07));
	refused(slot_va() + 4, BYTES(0x48, 0x89, 0x07)); /* across two entries */
	refused(slot_va(), BYTES(0x66, 0x89, 0x07));     /* two bytes */
	refused(slot_va(), BYTES(0x88, 0x07));           /* one */
	refused(slot_va(), BYTES(0x48, 0x11, 0x07));     /* adc */
	refused(slot_va(), BYTES(0x48, 0xab));           /* stos */
	refused(fake_va(20), BYTES(0x48, 0x89, 0x07));   /* no page table */
	refused(0x3000000000ull, BYTES(0x48, 0x89, 0x07));
	refused(0x3000000000ull, BYTES(0x48, 0x8b, 0x07));
	assert_int_equal(slot(), old);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(m2p_is_read), T(m2p_tells_nothing_of_others), T(page_table_stores), T(bad_page_table_stores_are_refused) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
