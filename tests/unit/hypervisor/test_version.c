/* SPDX-License-Identifier: BSD-3-Clause */
/* hypervisor/version.c: every answer, whole and zero-padded: no byte of sluiced's stack goes out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tests/support/hypervisor_fakes.h>
#include <hypervisor/hypercall.h>

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

static void expect_text(struct domain *d, unsigned cmd, const char *text, size_t size)
{
	char *page = fake_page(d, 5);

	memset(page, 0x5a, SLUICE_PAGE_SIZE);
	assert_int_equal(do_xen_version(&d->vcpu[0], cmd, fake_va(5)), 0);
	assert_string_equal(page, text);
	for (size_t i = strlen(text); i < size; i++)
		assert_int_equal(page[i], 0);
	assert_int_equal(page[size], 0x5a);
}

static void test_texts(void **state)
{
	struct domain *d = *state;

	expect_text(d, XENVER_extraversion, ".7-sluice", 16);
	expect_text(d, XENVER_capabilities, "xen-3.0-x86_64 ", 1024);
	expect_text(d, XENVER_changeset, "unavailable", 64);
	expect_text(d, XENVER_commandline, "", 1024);
}

static void test_compile_info(void **state)
{
	static const uint8_t zero[64];
	struct domain *d = *state;
	struct xen_compile_info *c = fake_page(d, 5);

	memset(c, 0x5a, sizeof(*c) + 1);
	assert_int_equal(do_xen_version(&d->vcpu[0], XENVER_compile_info, fake_va(5)), 0);
	assert_string_equal(c->compiler, "gcc or clang");
	assert_string_equal(c->compile_by, "sluice");
	assert_memory_equal(c->compiler + 12, zero, 64 - 12);
	assert_memory_equal(c->compile_by + 6, zero, 16 - 6);
	assert_memory_equal(c->compile_domain, zero, 64);
	assert_int_equal(((uint8_t *)(c + 1))[0], 0x5a);
}

static void test_numbers(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	uint64_t *start = fake_page(d, 5);

	assert_int_equal(do_xen_version(v, XENVER_version, 0), 4 << 16 | 17);
	assert_int_equal(do_xen_version(v, XENVER_pagesize, 0), 4096);
	assert_int_equal(do_xen_version(v, XENVER_platform_parameters, fake_va(5)), 0);
	assert_true(*start == 0xffff800000000000);
	assert_int_equal(do_xen_version(v, XENVER_guest_handle, fake_va(6)), 0);
	assert_memory_equal(fake_page(d, 6), d->uuid, 16);
	assert_int_equal(do_xen_version(v, XENVER_build_id, 0), -ENODATA);
	assert_int_equal(do_xen_version(v, 99, 0), -ENOSYS);
	assert_int_equal(do_xen_version(v, XENVER_capabilities, fake_va(FAKE_L1)), -EFAULT);
}

static void test_features(void **state)
{
	struct domain *d = *state;
	struct vcpu *v = &d->vcpu[0];
	struct xen_feature_info *f = fake_page(d, 5);
	uint32_t always = 1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_highmem_assist | 1u << XENFEAT_gnttab_map_avail_bits;

	f->submap_idx = 0;
	assert_int_equal(do_xen_version(v, XENVER_get_features, fake_va(5)), 0);
	assert_int_equal(f->submap, always);
	assert_int_equal(do_vm_assist(v, VMASST_CMD_enable, VMASST_TYPE_pae_extended_cr3), 0);
	assert_int_equal(do_xen_version(v, XENVER_get_features, fake_va(5)), 0);
	assert_int_equal(f->submap, always | 1u << XENFEAT_pae_pgdir_above_4gb);
	f->submap_idx = 1;
	assert_int_equal(do_xen_version(v, XENVER_get_features, fake_va(5)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_texts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_compile_info, setup, teardown),
		cmocka_unit_test_setup_teardown(test_numbers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_features, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
