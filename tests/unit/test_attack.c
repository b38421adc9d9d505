/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "attack.h"

static void
techniques_are_found_by_id(void **state)
{
	(void)state;
	assert_string_equal(attack_name("T1059.006"), "Python");
	assert_string_equal(attack_name("T1546.018"), "Python Startup Hooks");
	assert_null(attack_name("T1059.999"));
	assert_null(attack_name("T0000"));
	assert_null(attack_name(""));
}

/* The look-up halves the table: an entry out of order would not be found. */
static void
every_technique_is_found(void **state)
{
	static const char *const ids[] = {
#define ATTACK_TECHNIQUE(id, name) id,
#include "attack.def"
#undef ATTACK_TECHNIQUE
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
		assert_non_null(attack_name(ids[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(techniques_are_found_by_id),
		cmocka_unit_test(every_technique_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
