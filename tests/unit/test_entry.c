/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "entry.h"

#define NAMED "SYSLOG_IDENTIFIER=pyauditd\n"

static void
only_entries_of_ours_pass(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *why; /* a part of it; NULL: passes */
	} rows[] = {
#define ROW(text, why) {text, sizeof(text) - 1, why}
		ROW(NAMED "MESSAGE=text\nPRIORITY=2\nPYAUDIT_RULE=x\nOBJECT_PID=7\n", NULL),
		ROW(NAMED "PYAUDIT_STACK\n\3\0\0\0\0\0\0\0a\nb\n", NULL),
		ROW(NAMED "PYAUDIT_STACK\n\0\0\0\0\0\0\0\0\n", NULL),
		ROW(NAMED "PYAUDIT_STACK=\n", NULL),
		ROW("", "names no program"),
		ROW("MESSAGE=text\n", "names no program"),
		ROW("SYSLOG_IDENTIFIER=sshd\n", "another program"),
		ROW(NAMED "SYSLOG_IDENTIFIER=sshd\n", "another program"),
		ROW(NAMED "SYSLOG_IDENTIFIER\n\4\0\0\0\0\0\0\0sshd\n", "another program"),
		ROW(NAMED "COREDUMP_UNIT=x\n", "none of pyauditd's"),
		ROW(NAMED "UNIT=x\n", "none of pyauditd's"),
		ROW(NAMED "_UID=0\n", "none of pyauditd's"),
		ROW(NAMED "OBJECT_UID=0\n", "none of pyauditd's"),
		ROW(NAMED "PYAUDIT_=x\n", "none of pyauditd's"),
		ROW(NAMED "PYAUDIT_rule=x\n", "none of pyauditd's"),
		ROW(NAMED "=x\n", "none of pyauditd's"),
		ROW(NAMED "\n", "cut off"),
		ROW(NAMED "MESSAGE=text", "cut off"),
		ROW(NAMED "MESSAGE\n\1\0\0", "cut off"),
		ROW(NAMED "MESSAGE\n\4\0\0\0\0\0\0\0sshd", "cut off"),
		ROW(NAMED "MESSAGE\n\3\0\0\0\0\0\0\0sshd\n", "cut off"),
		ROW(NAMED "MESSAGE\n\377\377\377\377\377\377\377\377sshd\n", "cut off"),
#undef ROW
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *why = entry_check(rows[i].bytes, rows[i].size);

		if (rows[i].why == NULL && why != NULL)
			fail_msg("row %zu: %s", i, why);
		if (rows[i].why != NULL && (why == NULL || strstr(why, rows[i].why) == NULL))
			fail_msg("row %zu: %s", i, why != NULL ? why : "passes");
	}
}

static void
fields_are_counted_and_measured(void **state)
{
	static char text[ENTRY_FIELD_SIZE_MAX + sizeof(NAMED) + 2];
	const size_t at = sizeof(NAMED) - 1;
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; i < ENTRY_FIELDS_MAX; i++)
		n += (size_t)sprintf(text + n, NAMED);
	assert_null(entry_check(text, n));
	n += (size_t)sprintf(text + n, NAMED);
	assert_string_equal(entry_check(text, n), "it has too many fields");

	memcpy(text, NAMED "MESSAGE=", at + 8);
	memset(text + at + 8, 'x', sizeof(text) - at - 8);
	text[at + ENTRY_FIELD_SIZE_MAX] = '\n';
	assert_null(entry_check(text, at + ENTRY_FIELD_SIZE_MAX + 1));
	text[at + ENTRY_FIELD_SIZE_MAX] = 'x';
	text[at + ENTRY_FIELD_SIZE_MAX + 1] = '\n';
	assert_string_equal(entry_check(text, at + ENTRY_FIELD_SIZE_MAX + 2), "a field is too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_entries_of_ours_pass),
		cmocka_unit_test(fields_are_counted_and_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
