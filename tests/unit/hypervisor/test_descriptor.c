/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/descriptor.c: what a guest may have in its descriptor tables, and who may write there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>

static int setup(void **state)
{
	fake_machine_start(32);
	*state = fake_guest("one", 1024);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

#define CODE64_RING0 0x00af9b000000ffffull
#define CODE64_RING3 0x00affb000000ffffull
#define TSS 0x00008b0000000067ull
#define GATE_RING0 0x00008c0000080000ull /* call gate to selector 0x08 */
#define GATE_RING3 0x0000ec00000b0000ull /* to 0x0b, DPL 3 */
#define INTERRUPT_GATE 0x00008e0000080000ull

static long set_gdt(struct domain *d, const mfn_t *mfn, unsigned n, unsigned entries)
{
	memcpy(fake_page(d, 0), mfn, n * sizeof(*mfn));
	return do_set_gdt(&d->vcpu[0], fake_va(0), entries);
}

static void test_set_and_replace(void **state)
{
	struct domain *d = *state;
	mfn_t mfn[2] = { fake_frame(d, 600), fake_frame(d, 601) }, other = fake_frame(d, 602);
	uint64_t *gdt = fake_page(d, 600);

	gdt[1] = CODE64_RING0;
	assert_int_equal(set_gdt(d, mfn, 2, 513), 0);
	assert_true(gdt[1] == CODE64_RING3); /* a PV kernel's segments are in ring 3 */
	assert_int_equal(page_of(mfn[1])->type, PAGE_DESCRIPTORS);
	fake_audit_counts(d, NULL);
	assert_int_equal(set_gdt(d, &other, 1, 10), 0);
	assert_int_equal(page_of(mfn[0])->type, PAGE_NONE);
	assert_int_equal(set_gdt(d, &other, 0, 0), 0);
	assert_int_equal(page_of(other)->type, PAGE_NONE);
	fake_audit_counts(d, NULL);
}

static void test_refusals_change_nothing(void **state)
{
	struct domain *d = *state;
	mfn_t mfn[2] = { fake_frame(d, 600), fake_frame(d, 601) }, mapped[2] = { mfn[0], fake_frame(d, 9) };
	static const uint64_t bad[] = { TSS, GATE_RING0, INTERRUPT_GATE, GATE_RING3 | 1ull << 37 };
	uint64_t *gdt = fake_page(d, 601);

	assert_int_equal(set_gdt(d, mfn, 1, 512), 0);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		gdt[511] = bad[i];
		assert_int_equal(set_gdt(d, mfn, 2, 1024), -EINVAL);
		fake_audit_counts(d, NULL);
	}
	gdt[511] = GATE_RING3;
	assert_int_equal(set_gdt(d, mfn, 2, 1024), 0);
	assert_int_equal(set_gdt(d, mapped, 2, 1024), -EINVAL); /* it is mapped writable */
	mapped[1] = d->shared_info_mfn;
	assert_int_equal(set_gdt(d, mapped, 2, 1024), -EPERM);
	assert_int_equal(set_gdt(d, mfn, 2, FIRST_RESERVED_GDT_ENTRY + 1), -EINVAL);
	assert_int_equal(set_gdt(d, mfn, 2, ~0u), -EINVAL);
	assert_int_equal(do_set_gdt(&d->vcpu[0], 0, 1), -EFAULT);
	assert_int_equal(d->mmu->gdt_frames, 2);
	fake_audit_counts(d, NULL);
}

static void test_update(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	mfn_t mfn = fake_frame(d, 600);
	uint64_t at = mfn << SLUICE_PAGE_SHIFT, *gdt = fake_page(d, 600);

	assert_int_equal(do_update_descriptor(v, at + 8, CODE64_RING0), 0); /* an ordinary page */
	assert_true(gdt[1] == CODE64_RING3);
	assert_int_equal(set_gdt(d, &mfn, 1, 512), 0);
	assert_int_equal(do_update_descriptor(v, at + 16, CODE64_RING0), 0);
	assert_true(gdt[2] == CODE64_RING3);
	assert_int_equal(do_update_descriptor(v, at + 24, TSS), -EINVAL);
	assert_int_equal(do_update_descriptor(v, at + 4, 0), -EINVAL);
	assert_int_equal(do_update_descriptor(v, fake_entry_maddr(d, FAKE_L1, 3), 0), -EINVAL);
	assert_int_equal(do_update_descriptor(v, d->shared_info_mfn << SLUICE_PAGE_SHIFT, 0), -EPERM);
	assert_int_equal(do_update_descriptor(v, ~7ull, 0), -EPERM);
	fake_audit_counts(d, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_set_and_replace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
