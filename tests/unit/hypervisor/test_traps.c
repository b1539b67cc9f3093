/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames on a guest's stack and the way back, on a fake guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <errno.h>
#include <string.h>
#include <cmocka.h>
#include <hypervisor/vcpu.h>
#include "tests/support/hypervisor_fakes.h"

#define HANDLER 0x123450ull
#define STACK_PAGE 7u
#define NOT_CANONICAL 0x800000000000ull

static struct domain *d;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	fake_machine_start(8);
	d = fake_guest("traps", 512);
	v = &d->vcpu[0];
	v->regs.user = (struct cpu_user_regs){ .rip = 0x1111, .rsp = fake_va(STACK_PAGE) + 0x80b, .rflags = 0x50346, .rcx = 0xcc, .r11 = 0xbb };
	v->info->evtchn_upcall_mask = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_machine_stop();
	return 0;
}

static const uint64_t *stack_at(gva_t sp)
{
	return (const uint64_t *)((uint8_t *)fake_page(d, STACK_PAGE) + (sp - fake_va(STACK_PAGE)));
}

static void set_handler(unsigned vector, unsigned flags)
{
	struct trap_info *t = fake_page(d, 1);

	memset(t, 0, 2 * sizeof(*t));
	*t = (struct trap_info){ .vector = (uint8_t)vector, .flags = (uint8_t)flags, .cs = FLAT_KERNEL_CS, .address = HANDLER };
	assert_int_equal(do_set_trap_table(v, fake_va(1)), 0);
}

static void frame_with_error_code(void **state)
{
	const uint64_t *f;

	(void)state;
	set_handler(14, 0);
	trap_deliver(v, 14, true, 2, 0xdeadbeef);
	assert_int_equal(d->run, DOMAIN_RUNNING);
	assert_int_equal(v->regs.user.rip, HANDLER);
	assert_int_equal(v->regs.user.rsp, fake_va(STACK_PAGE) + 0x800 - 64);
	assert_int_equal(v->info->arch.cr2, 0xdeadbeef);
	f = stack_at(v->regs.user.rsp);
	assert_true(f[0] == 0xcc && f[1] == 0xbb && f[2] == 2 && f[3] == 0x1111);
	assert_int_equal(f[4], 0x30);               /* RPL 0, saved mask 0 */
	assert_int_equal(f[5], 0x50346 & ~0x3000u); /* as it was, IF set */
	assert_int_equal(f[6], fake_va(STACK_PAGE) + 0x80b);
	assert_int_equal(f[7], 0x2b);
	assert_int_equal(v->regs.user.rflags & 0x54100, 0); /* the handler starts without TF, NT, RF, AC */
	assert_int_equal(v->info->evtchn_upcall_mask, 0);
}

static void frame_with_events_masked(void **state)
{
	const uint64_t *f;

	(void)state;
	set_handler(6, 4); /* its gate turns events off */
	v->info->evtchn_upcall_mask = 1;
	trap_deliver(v, 6, false, 0, 0);
	f = stack_at(v->regs.user.rsp);
	assert_int_equal(v->regs.user.rsp, fake_va(STACK_PAGE) + 0x800 - 56);
	assert_int_equal(f[3], 0x30 | 1ull << 32); /* saved_upcall_mask in byte 4 */
	assert_int_equal(f[4] & 0x200, 0);
	v->info->evtchn_upcall_mask = 0;
	trap_deliver(v, 6, false, 0, 0);
	assert_int_equal(v->info->evtchn_upcall_mask, 1);
}

static void upcall_masks_events(void **state)
{
	const uint64_t *f;

	(void)state;
	assert_int_equal(do_set_callbacks(v, HANDLER, HANDLER + 1, HANDLER + 2), 0);
	trap_upcall(v);
	f = stack_at(v->regs.user.rsp);
	assert_int_equal(v->regs.user.rip, HANDLER);
	assert_int_equal(v->info->evtchn_upcall_mask, 1);
	assert_int_equal(f[3], 0x30);
	assert_true(f[4] & 0x200);
}

/* iret undoes what a frame did. */
static void iret_returns(void **state)
{
	struct iret_context c = { .rax = 0xaa, .r11 = 0x11, .rcx = 0x22, .rip = 0x3333, .cs = 0x30, .rflags = 0x3246, .rsp = 0x4444, .ss = 0x2b };

	(void)state;
	v->regs.user.rsp = fake_va(STACK_PAGE) + 0x100;
	v->info->evtchn_upcall_mask = 1;
	memcpy((uint8_t *)fake_page(d, STACK_PAGE) + 0x100, &c, sizeof(c));
	assert_int_equal(do_iret(v), 0xaa);
	assert_true(v->regs.user.rip == 0x3333 && v->regs.user.rsp == 0x4444 && v->regs.user.r11 == 0x11 && v->regs.user.rcx == 0x22);
	assert_int_equal(v->regs.user.rflags, 0x246); /* no IOPL */
	assert_int_equal(v->info->evtchn_upcall_mask, 0);
	c.flags = VGCF_in_syscall;
	c.rflags &= ~0x200ull;
	memcpy((uint8_t *)fake_page(d, STACK_PAGE) + 0x100, &c, sizeof(c));
	v->regs.user.rsp = fake_va(STACK_PAGE) + 0x100;
	v->regs.user.r11 = v->regs.user.rcx = 7;
	assert_int_equal(do_iret(v), 0xaa);
	assert_true(v->regs.user.r11 == 7 && v->regs.user.rcx == 7);
	assert_int_equal(v->info->evtchn_upcall_mask, 1);
}

static void iret_to_nowhere_crashes(void **state)
{
	(void)state;
	v->regs.user.rsp = 0x3000000000ull;
	do_iret(v);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_crash);
}

static void iret_to_user_mode_crashes(void **state)
{
	struct iret_context c = { .cs = FLAT_USER_CS };

	(void)state;
	v->regs.user.rsp = fake_va(STACK_PAGE);
	memcpy(fake_page(d, STACK_PAGE), &c, sizeof(c));
	do_iret(v);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
}

static void no_handler_crashes(void **state)
{
	(void)state;
	trap_deliver(v, 13, true, 0, 0);
	assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	assert_int_equal(d->shutdown_reason, SHUTDOWN_crash);
}

/* Unmapped, read-only (its page table), and over the edge between the two. */
static void bad_stacks_crash(void **state)
{
	static const gva_t stacks[] = { 0x3000000000ull, 0, 8, NOT_CANONICAL, 0xffff800000001000ull, 0x600000 + 32 };

	(void)state;
	for (unsigned i = 0; i <= sizeof(stacks) / sizeof(stacks[0]); i++) {
		gva_t sp = i ? stacks[i - 1] : fake_va(FAKE_L1) + 0x800;
		struct cpu_user_regs before;

		d->run = DOMAIN_RUNNING;
		set_handler(6, 0);
		v->regs.user.rsp = sp;
		before = v->regs.user;
		trap_deliver(v, 6, false, 0, 0);
		assert_int_equal(d->run, DOMAIN_SHUTDOWN);
		assert_memory_equal(&before, &v->regs.user, sizeof(before));
		d->run = DOMAIN_RUNNING;
		v->event_callback = HANDLER;
		trap_upcall(v);
		assert_int_equal(d->run, DOMAIN_SHUTDOWN);
	}
}

static void trap_table_is_bounded(void **state)
{
	struct trap_info *t = fake_page(d, 1);

	(void)state;
	for (unsigned i = 0; i < 300; i++) /* two adjacent pages, no end mark */
		((struct trap_info *)fake_page(d, 1 + i / 256))[i % 256] = (struct trap_info){ .vector = (uint8_t)i, .address = HANDLER + i };
	assert_int_equal(do_set_trap_table(v, fake_va(1)), -EINVAL);
	assert_int_equal(v->traps[44].address, HANDLER + 44);
	assert_int_equal(do_set_trap_table(v, 0), 0); /* NULL resets */
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(v->traps[i].address, 0);
	assert_int_equal(do_set_trap_table(v, 0x3000000000ull), -EFAULT);
	t->address = NOT_CANONICAL;
	assert_int_equal(do_set_trap_table(v, fake_va(1)), -EINVAL);
}

static void callbacks(void **state)
{
	struct callback_register *reg = fake_page(d, 1);

	(void)state;
	assert_int_equal(do_set_callbacks(v, NOT_CANONICAL, 0, 0), -EINVAL);
	for (unsigned type = 0; type < 16; type++) {
		bool known = type == CALLBACKTYPE_event || type == CALLBACKTYPE_failsafe || type == CALLBACKTYPE_syscall || type == CALLBACKTYPE_nmi;

		*reg = (struct callback_register){ .type = (uint16_t)type, .address = HANDLER };
		assert_int_equal(do_callback_op(v, CALLBACKOP_register, fake_va(1)), known ? 0 : -ENOSYS);
		reg->address = NOT_CANONICAL;
		assert_int_equal(do_callback_op(v, CALLBACKOP_register, fake_va(1)), -EINVAL);
		assert_int_equal(do_callback_op(v, CALLBACKOP_unregister, fake_va(1)), !known ? -ENOSYS : type == CALLBACKTYPE_nmi ? 0 : -EINVAL);
	}
	assert_true(v->event_callback == HANDLER && v->failsafe_callback == HANDLER && v->syscall_callback == HANDLER);
	assert_int_equal(do_callback_op(v, CALLBACKOP_register, 0x3000000000ull), -EFAULT);
	assert_int_equal(do_callback_op(v, 7, fake_va(1)), -ENOSYS);
}

static void segment_bases(void **state)
{
	(void)state;
	v->engine = &engine_process; /* for its va_limit */
	assert_int_equal(do_set_segment_base(v, SEGBASE_FS, 0x1000), 0);
	assert_int_equal(do_set_segment_base(v, SEGBASE_GS_KERNEL, 0x2000), 0);
	assert_int_equal(do_set_segment_base(v, SEGBASE_GS_USER, 0x3000), 0);
	assert_int_equal(do_set_segment_base(v, SEGBASE_GS_USER_SEL, 0), 0);
	assert_true(v->regs.fs_base == 0x1000 && v->regs.gs_base == 0x2000 && v->gs_base_user == 0x3000);
	assert_int_equal(do_set_segment_base(v, SEGBASE_FS, NOT_CANONICAL), -EINVAL);
	assert_int_equal(do_set_segment_base(v, SEGBASE_GS_KERNEL, 0xffff800000000000ull), -EINVAL);
	assert_int_equal(do_set_segment_base(v, 9, 0), -EINVAL);
	assert_int_equal(do_stack_switch(v, FLAT_KERNEL_SS, 0x7000), 0);
	assert_int_equal(v->kernel_sp, 0x7000);
	v->engine = &fake_engine_ops;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(frame_with_error_code), T(frame_with_events_masked), T(upcall_masks_events), T(iret_returns), T(iret_to_nowhere_crashes),
		T(iret_to_user_mode_crashes), T(no_handler_crashes), T(bad_stacks_crash), T(trap_table_is_bounded), T(callbacks), T(segment_bases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
