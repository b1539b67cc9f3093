/* SPDX-License-Identifier: BSD-3-Clause */
/* guest-drivers/kernel/inet.c: checksums and IPv4 headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "guest-drivers/kernel/inet.c"

static void test_checksum(void **state)
{
	static const uint8_t rfc1071[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 }; /* RFC 1071, section 3: sum ddf2 */
	static uint8_t ones[65536];

	(void)state;
	assert_int_equal(inet_checksum(rfc1071, sizeof(rfc1071)), (uint16_t)~0xddf2);
	assert_int_equal(inet_checksum(rfc1071, 0), 0xffff);
	assert_int_equal(inet_checksum(rfc1071 + 2, 1), (uint16_t)~0xf200);
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(inet_checksum(ones, sizeof(ones)), 0);
}

static void test_update_equals_sum_anew(void **state)
{
	uint8_t bytes[20];

	(void)state;
	srand(1);
	for (unsigned i = 0; i < 10000; i++) {
		uint16_t before, old, new = (uint16_t)(i % 3 ? rand() : (i % 2 ? 0 : 0xffff));

		for (unsigned k = 0; k < sizeof(bytes); k++)
			bytes[k] = (uint8_t)(rand() >> 4);
		bytes[0] |= 1; /* not all zeroes: then the two ways of writing 0 do not matter */
		before = inet_checksum(bytes, sizeof(bytes));
		old = get_be16(bytes + 8);
		put_be16(bytes + 8, new);
		assert_int_equal(inet_checksum_update(before, old, new), inet_checksum(bytes, sizeof(bytes)));
	}
}

static void test_header(void **state)
{
	/* A header computed by hand: 10.0.0.1 to 10.0.0.2, UDP, 8 bytes of payload. */
	static const uint8_t want[20] = { 0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0x26, 0xcf, 10, 0, 0, 1, 10, 0, 0, 2 };
	uint8_t frame[64];

	(void)state;
	memset(frame, 0xee, sizeof(frame));
	inet_ip_header(frame, IP_UDP, 0x0a000001, 0x0a000002, 8);
	assert_memory_equal(frame + 14, want, 20);
	assert_int_equal(frame[13], 0xee);
	assert_int_equal(frame[34], 0xee);
	assert_int_equal(inet_checksum(frame + 14, 20), 0);
}

static void test_plain(void **state)
{
	uint8_t frame[64];

	(void)state;
	inet_ip_header(frame, IP_UDP, 1, 2, 8);
	assert_true(inet_ip_plain(frame, 42));
	assert_true(inet_ip_plain(frame, 60)); /* padded */
	assert_false(inet_ip_plain(frame, 41));
	assert_false(inet_ip_plain(frame, 33));
	frame[IP_VERSION] = 0x46;
	assert_false(inet_ip_plain(frame, 60)); /* options */
	frame[IP_VERSION] = 0x65;
	assert_false(inet_ip_plain(frame, 60));
	frame[IP_VERSION] = 0x45;
	put_be16(frame + IP_FRAGMENT, 0x2000);
	assert_false(inet_ip_plain(frame, 60)); /* more fragments */
	put_be16(frame + IP_FRAGMENT, 1);
	assert_false(inet_ip_plain(frame, 60)); /* a later fragment */
	put_be16(frame + IP_FRAGMENT, 0x4000);
	put_be16(frame + IP_TOTAL, 19);
	assert_false(inet_ip_plain(frame, 60));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checksum), cmocka_unit_test(test_update_equals_sum_anew), cmocka_unit_test(test_header), cmocka_unit_test(test_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
