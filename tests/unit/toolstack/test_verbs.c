/* SPDX-License-Identifier: BSD-3-Clause */
/* toolstack/verbs.c: every verb can be found, and misspelt ones are guessed, but not at any price. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "toolstack/verbs.h"

static void each_verb_is_found_and_documented(void **state)
{
	(void)state;
	for (unsigned i = 0; i < nr_verbs; i++) {
		assert_ptr_equal(verb_find(verbs[i].name), &verbs[i]);
		assert_non_null(strstr(verbs[i].help, "Example"));
		assert_true(verbs[i].min <= verbs[i].max);
		assert_non_null(verbs[i].run);
	}
	assert_null(verb_find("creat"));
	assert_null(verb_find(""));
}

static void guessed(const char *typed, const char *meant)
{
	const struct verb *v = verb_guess(typed);

	if (!meant)
		assert_null(v);
	else
		assert_string_equal(v ? v->name : "nothing", meant);
}

static void guesses(void **state)
{
	(void)state;
	guessed("creat", "create");
	guessed("craete", "create");
	guessed("lst", "list");
	guessed("unpuase", "unpause");
	guessed("network-atach", "network-attach");
	guessed("frobnicate", NULL);
	guessed("a-word-that-is-longer-than-any-verb-could-be", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_verb_is_found_and_documented),
		cmocka_unit_test(guesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
