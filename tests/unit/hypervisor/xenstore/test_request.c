/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

static struct conn *dom0, *one;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(db_init(), 0);
	dom0 = client_add(0);
	one = client_add(1);
	client_ask(dom0, XS_MKDIR, 0, "/local/domain/1\0");
	return strcmp(client_ask(dom0, XS_SET_PERMS, 0, "/local/domain/1\0n1\0r2\0"), "OK|");
}

static int teardown(void **state)
{
	(void)state;
	client_remove_all();
	db_fini();
	return 0;
}

static void database(void **state)
{
	(void)state;
	assert_string_equal(client_ask(one, XS_WRITE, 0, "a/b\0va\0ue"), "OK|");
	assert_string_equal(client_ask(one, XS_READ, 0, "a/b\0"), "va|ue");
	assert_string_equal(client_ask(one, XS_READ, 0, "/local/domain/1/a\0"), "");
	assert_string_equal(client_ask(one, XS_READ, 0, "a/c\0"), "ENOENT|");
	assert_string_equal(client_ask(one, XS_MKDIR, 0, "a/a\0"), "OK|");
	assert_string_equal(client_ask(one, XS_DIRECTORY, 0, "a\0"), "a|b|");
	assert_string_equal(client_ask(one, XS_DIRECTORY, 0, "a/a\0"), "");
	assert_string_equal(client_ask(one, XS_GET_PERMS, 0, "a\0"), "n1|r2|");
	assert_string_equal(client_ask(one, XS_RM, 0, "a\0"), "OK|");
	assert_string_equal(client_ask(one, XS_DIRECTORY, 0, "a\0"), "ENOENT|");
	assert_string_equal(client_ask(dom0, XS_READ, 0, "name\0"), "Domain-0"); /* relative to /local/domain/0 */
}

static void reply_header(void **state)
{
	struct xsd_sockmsg h;

	(void)state;
	client_ask(one, XS_READ, 77, "x\0");
	memcpy(&h, one->out, sizeof(h)); /* what was queued last */
	assert_int_equal(h.type, XS_ERROR);
	assert_int_equal(h.req_id, 7);
	assert_int_equal(h.tx_id, 77);
	client_ask(one, XS_MKDIR, 0, "x\0");
	memcpy(&h, one->out, sizeof(h));
	assert_int_equal(h.type, XS_MKDIR);
	assert_int_equal(h.len, 3);
}

static void malformed(void **state)
{
	static const uint32_t one_string[] = { XS_READ, XS_DIRECTORY, XS_GET_PERMS, XS_MKDIR, XS_RM };

	(void)state;
	for (unsigned i = 0; i < sizeof(one_string) / sizeof(one_string[0]); i++) {
		assert_string_equal(client_ask(one, one_string[i], 0, ""), "EINVAL|");
		assert_string_equal(client_ask(one, one_string[i], 0, "abc"), "EINVAL|");
		assert_string_equal(client_ask(one, one_string[i], 0, "a\0b\0"), "EINVAL|");
		assert_string_equal(client_ask(one, one_string[i], 0, "/local/domain/1\0b"), "EINVAL|");
		assert_string_equal(client_ask(one, one_string[i], 0, "\0"), "EINVAL|");
		assert_string_equal(client_ask(one, one_string[i], 9, "a\0"), "ENOENT|"); /* no such transaction */
	}
	assert_string_equal(client_ask(one, XS_WRITE, 0, "no-nul"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_SET_PERMS, 0, "a\0"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_SET_PERMS, 0, "\0n1"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_SET_PERMS, 0, "/local/domain/1\0z1\0"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_SET_PERMS, 0, "/local/domain/1\0n1\0r2"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_WATCH, 0, "a\0"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_WATCH, 0, "a\0no-nul"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_DIRECTORY_PART, 0, "/local/domain/1\0x\0"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_GET_DOMAIN_PATH, 0, "70000\0"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_TRANSACTION_END, 0, "T\0"), "ENOENT|");
	assert_string_equal(client_ask(one, XS_WATCH_EVENT, 0, "a\0"), "ENOSYS|");
	assert_string_equal(client_ask(one, XS_ERROR, 0, "a\0"), "ENOSYS|");
	assert_string_equal(client_ask(one, XS_TYPE_COUNT, 0, "a\0"), "ENOSYS|");
	assert_string_equal(client_ask(one, 0xffffffff, 0, "a\0"), "ENOSYS|");
}

static void too_many_perms(void **state)
{
	char payload[XENSTORE_PAYLOAD_MAX] = "/local/domain/1";
	size_t len = strlen(payload) + 1;

	(void)state;
	for (; len + 3 <= sizeof(payload); len += 3)
		memcpy(payload + len, "r1", 3);
	assert_string_equal(client_ask_len(dom0, XS_SET_PERMS, 0, payload, len), "ENOSPC|");
	assert_string_equal(client_ask(dom0, XS_GET_PERMS, 0, "/local/domain/1\0"), "n1|r2|");
}

static void transactions(void **state)
{
	const char *id_text;
	uint32_t id;

	(void)state;
	id_text = client_ask(one, XS_TRANSACTION_START, 0, "\0");
	id = (uint32_t)atoi(id_text);
	assert_int_not_equal(id, 0);
	assert_string_equal(client_ask(one, XS_TRANSACTION_START, id, "\0"), "EBUSY|");
	assert_string_equal(client_ask(one, XS_WRITE, id, "a\0v"), "OK|");
	assert_string_equal(client_ask(one, XS_READ, 0, "a\0"), "ENOENT|");
	assert_string_equal(client_ask(dom0, XS_READ, id, "/local/domain/1/a\0"), "ENOENT|"); /* not its transaction */
	assert_string_equal(client_ask(one, XS_TRANSACTION_END, id, "X\0"), "EINVAL|");
	assert_string_equal(client_ask(one, XS_TRANSACTION_END, id, "T\0"), "OK|");
	assert_string_equal(client_ask(one, XS_TRANSACTION_END, id, "T\0"), "ENOENT|");
	assert_string_equal(client_ask(one, XS_READ, 0, "a\0"), "v");
}

static void domains(void **state)
{
	(void)state;
	assert_string_equal(client_ask(one, XS_GET_DOMAIN_PATH, 0, "0005\0"), "/local/domain/5|");
	assert_string_equal(client_ask(one, XS_IS_DOMAIN_INTRODUCED, 0, "0\0"), "T|");
	assert_string_equal(client_ask(one, XS_IS_DOMAIN_INTRODUCED, 0, "9\0"), "F|");
	assert_string_equal(client_ask(dom0, XS_CONTROL, 0, "check\0"), "OK|");
	assert_string_equal(client_ask(dom0, XS_CONTROL, 0, "explode\0"), "EINVAL|");
	assert_string_equal(client_ask(dom0, XS_INTRODUCE, 0, "1\0002\0003\0"), "EINVAL|");
}

static void only_for_domain_0(void **state)
{
	static const uint32_t types[] = { XS_CONTROL, XS_INTRODUCE, XS_RELEASE, XS_RESUME, XS_SET_TARGET };

	(void)state;
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_string_equal(client_ask(one, types[i], 0, "1\0002\0"), "EACCES|");
}

/* A list of children that is longer than a message, fetched in parts as libxenstore does. */
static void directory_part(void **state)
{
	char payload[96], *list = calloc(1, 65536);
	const char *reply;
	unsigned n = 0, names = 600;
	size_t at = 0;

	(void)state;
	for (unsigned i = 0; i < names; i++) {
		int len = snprintf(payload, sizeof(payload), "/big/child-number-%u", i) + 1;

		client_ask_len(dom0, XS_WRITE, 0, payload, (size_t)len);
	}
	assert_string_equal(client_ask(dom0, XS_DIRECTORY, 0, "/big\0"), "E2BIG|");
	for (bool end = false; !end;) {
		int len = snprintf(payload, sizeof(payload), "/big%c%zu", 0, at) + 1;

		reply = strchr(client_ask_len(dom0, XS_DIRECTORY_PART, 0, payload, (size_t)len), '|') + 1;
		end = !strcmp(reply, "|") || strstr(reply, "||");
		strcpy(list + at, reply);
		at = strlen(list) - (end ? 1 : 0);
		assert_true(at < 60000);
	}
	for (const char *p = list; (p = strchr(p, '|')); p++)
		n++;
	assert_int_equal(n, names + 1);
	assert_non_null(strstr(list, "|child-number-599|"));
	free(list);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(database), TEST(reply_header), TEST(malformed), TEST(too_many_perms), TEST(transactions), TEST(domains),
		TEST(only_for_domain_0), TEST(directory_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
