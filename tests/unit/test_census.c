/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "census.h"

static void
names_of_pythons(void **state)
{
	static const struct {
		const char *name;
		bool python, cpython;
	} cases[] = {
		{"python", true, true},	       {"python3", true, true},
		{"python3.11", true, true},    {"python3.13t", true, true},
		{"python3.13d", true, true},   {"python3.11-dbg", true, true},
		{"pypy3", true, false},	       {"pypy3.10", true, false},
		{"python-config", false, false}, {"python3.11-config", false, false},
		{"pythonic", false, false},    {"ipython", false, false},
		{"", false, false},	       {"sh", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool cpython = false;

		if (census_is_python_name(cases[i].name, &cpython) != cases[i].python ||
		    cpython != cases[i].cpython)
			fail_msg("'%s'", cases[i].name);
	}
}

static void
this_process_is_none_and_a_missing_one_is_gone(void **state)
{
	struct census census;

	(void)state;
	census_look(&census, "/proc", getpid(), true);
	assert_int_equal(census.state, CENSUS_OTHER);
	assert_true(census.has_linker);
	assert_true(census_started_ns("/proc", getpid()) > 0);
	census_look(&census, "/nowhere", getpid(), true);
	assert_int_equal(census.state, CENSUS_GONE);
	assert_int_equal(census_started_ns("/nowhere", getpid()), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_pythons),
		cmocka_unit_test(this_process_is_none_and_a_missing_one_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
