/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "diag.h"

/* What diag_print writes; the caller frees it. */
static char *
printed(const struct diag *diag)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	diag_print(diag, out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
assert_printed(const struct diag *diag, const char *expected)
{
	char *text = printed(diag);

	assert_string_equal(text, expected);
	free(text);
}

static void
nothing_prints_nothing(void **state)
{
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_printed(&diag, "");
	diag_fini(&diag);
}

static void
mistakes_are_sorted_by_place(void **state)
{
	struct diag diag;

	(void)state;
	diag_init(&diag);
	diag_add(&diag, DIAG_ERROR, "b", 1, 1, "four");
	diag_add(&diag, DIAG_ERROR, "a", 2, 7, "three");
	diag_add(&diag, DIAG_WARNING, "a", 2, 3, "two");
	diag_add(&diag, DIAG_ERROR, "a", 0, 0, "one");
	diag_add(&diag, DIAG_ERROR, "b", 1, 1, "five");
	assert_printed(&diag, "a: one\n"
			      "a:2:3: warning: two\n"
			      "a:2:7: three\n"
			      "b:1:1: four\n"
			      "b:1:1: five\n");
	assert_int_equal(diag.n_errors, 4);
	assert_int_equal(diag.n_warnings, 1);
	diag_fini(&diag);
}

static void
mistakes_beyond_the_limit_are_counted(void **state)
{
	struct diag diag;
	char *text;

	(void)state;
	diag_init(&diag);
	for (unsigned i = 0; i < DIAG_MAX + 23; i++)
		diag_add(&diag, DIAG_ERROR, "a", i + 1, 1, "mistake %u", i);
	assert_int_equal(diag.n_entries, DIAG_MAX);
	assert_int_equal(diag.n_errors, DIAG_MAX + 23);
	text = printed(&diag);
	assert_non_null(strstr(text, "\n23 more not shown\n"));
	free(text);
	diag_fini(&diag);
}

static void
control_and_reordering_characters_are_escaped(void **state)
{
	struct diag diag;

	(void)state;
	diag_init(&diag);
	diag_add(&diag, DIAG_ERROR, "x\033[31m", 1, 1,
		 "a\nb\x7f \xc2\x9b \xe2\x80\xae \xff \xc3\xa9 \\d");
	assert_printed(
		&diag,
		"x\\x1b[31m:1:1: a\\x0ab\\x7f \\xc2\\x9b \\xe2\\x80\\xae \\xff \xc3\xa9 \\d\n");
	diag_fini(&diag);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_prints_nothing),
		cmocka_unit_test(mistakes_are_sorted_by_place),
		cmocka_unit_test(mistakes_beyond_the_limit_are_counted),
		cmocka_unit_test(control_and_reordering_characters_are_escaped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
