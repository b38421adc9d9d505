/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <unistd.h>

#include "switch.h"

static void
the_word_counts_whole(void **state)
{
	static const struct {
		const char *cmdline;
		bool off;
	} cases[] = {
		{"", false},
		{"BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro quiet\n", false},
		{"pyaudit=off", true},
		{"pyaudit=off\n", true},
		{"ro pyaudit=off quiet\n", true},
		{"ro  quiet   pyaudit=off\n", true},
		{"pyaudit=offline\n", false},
		{"xpyaudit=off\n", false},
		{"pyaudit=on\n", false},
		{"pyaudit=of", false},
		{"append=pyaudit=off\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* At the end of its memory: what reads beyond is found. */
		size_t len = strlen(cases[i].cmdline);
		char *copy = malloc(len + (len == 0));

		memcpy(copy, cases[i].cmdline, len);
		if (switch_off_in(copy, len) != cases[i].off)
			fail_msg("'%s'", cases[i].cmdline);
		free(copy);
	}
}

static void
the_variable_and_the_file_count(void **state)
{
	char dir[] = "/tmp/pyaudit-switch-XXXXXX", path[64];
	int fd;

	(void)state;
	if (access("/etc/pyaudit/disable", F_OK) == 0)
		skip();
	assert_non_null(mkdtemp(dir));
	assert_int_equal(unsetenv("PYAUDIT_DISABLE"), 0);
	assert_false(switch_is_off(dir));
	assert_int_equal(setenv("PYAUDIT_DISABLE", "", 1), 0);
	assert_false(switch_is_off(dir));
	assert_int_equal(setenv("PYAUDIT_DISABLE", "1", 1), 0);
	assert_true(switch_is_off(dir));
	assert_int_equal(unsetenv("PYAUDIT_DISABLE"), 0);

	(void)snprintf(path, sizeof(path), "%s/disable", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_true(switch_is_off(dir));
	assert_int_equal(unlink(path), 0);
	assert_false(switch_is_off(dir));
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_word_counts_whole),
		cmocka_unit_test(the_variable_and_the_file_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
