/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "log.h"
#include "pyaudit/events.h"

static int
parse(struct conf *conf, struct diag *diag, const char *text)
{
	assert_int_equal(conf_init(conf), 0);
	diag_init(diag);
	return conf_parse(conf, "test.conf", text, strlen(text), diag);
}

static void
values_comments_and_blanks(void **state)
{
	struct conf conf;
	struct diag diag;

	(void)state;
	assert_int_equal(parse(&conf, &diag,
			       "# a comment\n"
			       "\n"
			       "dir=/tmp/a # another\n"
			       "\trules = /x/y#z\r\n"
			       "rules = /second one\n"
			       "observe = yes\n"
			       "record = exec, @file network\n"
			       "memory = 2M\n"
			       "log_level = debug\n"
			       "drain_ms = 10"),
			 CONF_OK);
	assert_string_equal(conf.dir, "/tmp/a");
	assert_int_equal(conf.n_rules, 2);
	assert_string_equal(conf.rules[0], "/x/y#z");
	assert_string_equal(conf.rules[1], "/second one");
	assert_true(conf.observe);
	assert_true(conf.default_rules);
	assert_int_equal(conf.record,
			 PYAUDIT_CLASS_EXEC | PYAUDIT_CLASS_FILE | PYAUDIT_CLASS_NETWORK);
	assert_false(conf.record_all);
	assert_int_equal(conf.memory, 2 << 20);
	assert_int_equal(conf.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(conf.drain_ms, 10);
	diag_fini(&diag);
	conf_fini(&conf);
}

static void
every_mistake_has_its_place(void **state)
{
	static const struct {
		unsigned line, column;
		const char *message;
	} wanted[] = {
		{1, 1, "unknown key 'dri'"},
		{2, 11, "'observe': expected yes or no"},
		{3, 8, "expected 'key = value'"},
		{4, 10, "'record': expected classes such as exec, file, network, or all, or none"},
		{5, 12, "'drain_ms' must be between 1 and 1000"},
		{6, 11, "'memory': expected a number"},
		{7, 1, "'dir': a value is missing"},
		{8, 1, "expected 'key = value'"},
		{9, 10, "'memory': out of range"},
		{10, 7, "expected 'key = value'"},
	};
	struct conf conf;
	struct diag diag;

	(void)state;
	assert_int_equal(parse(&conf, &diag,
			       "dri = /tmp\n"
			       "observe = perhaps\n"
			       "journal\n"
			       "record = everything\n"
			       "drain_ms = 0\n"
			       "memory  = 8X\n"
			       "dir =\n"
			       "= value\n"
			       "memory = 99999999999G\n"
			       "\xc3\xa4\xc3\xb6\xc3\xbc   x\n"),
			 CONF_E_INVALID);
	assert_int_equal(diag.n_errors, sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < diag.n_entries; i++) {
		assert_string_equal(diag.entries[i].file, "test.conf");
		assert_string_equal(diag.entries[i].message, wanted[i].message);
		assert_int_equal(diag.entries[i].line, wanted[i].line);
		assert_int_equal(diag.entries[i].column, wanted[i].column);
	}
	diag_fini(&diag);
	conf_fini(&conf);
}

static void
a_nul_byte_is_a_mistake(void **state)
{
	struct conf conf;
	struct diag diag;

	(void)state;
	assert_int_equal(conf_init(&conf), 0);
	diag_init(&diag);
	assert_int_equal(conf_parse(&conf, "t", "dir = /a\0b\n", 11, &diag), CONF_E_INVALID);
	assert_int_equal(diag.n_errors, 1);
	assert_string_equal(conf.dir, "/run/pyaudit");
	diag_fini(&diag);
	conf_fini(&conf);
}

/* Each `#key = value` of the shipped file, uncommented, changes nothing but where it says so. */
static void
the_shipped_file_shows_the_defaults(void **state)
{
	FILE *file = fopen(PYAUDIT_FIXTURES "/../../config/pyauditd.conf", "re");
	struct conf conf, plain;
	struct diag diag;
	char line[512];
	unsigned n = 0;

	(void)state;
	assert_non_null(file);
	assert_int_equal(conf_init(&conf), 0);
	assert_int_equal(conf_init(&plain), 0);
	diag_init(&diag);
	while (fgets(line, sizeof(line), file) != NULL) {
		assert_true(line[0] == '#' || line[0] == '\n');
		if (line[0] != '#' || line[1] == ' ' || line[1] == '\n')
			continue;
		n++;
		assert_int_equal(conf_parse(&conf, "pyauditd.conf", line + 1, strlen(line + 1),
					    &diag),
				 CONF_OK);
	}
	(void)fclose(file);
	assert_int_equal(n, 34);
	assert_string_equal(conf.profile, plain.profile);
	assert_int_equal(diag.n_errors, 0);
	assert_string_equal(conf.dir, plain.dir);
	assert_int_equal(conf.default_rules, plain.default_rules);
	assert_int_equal(conf.observe, plain.observe);
	assert_int_equal(conf.watch_ms, plain.watch_ms);
	assert_int_equal(conf.record, plain.record);
	assert_int_equal(conf.record_all, plain.record_all);
	assert_int_equal(conf.ring, plain.ring);
	assert_int_equal(conf.journal, plain.journal);
	assert_int_equal(conf.log_level, plain.log_level);
	assert_int_equal(conf.memory, plain.memory);
	assert_int_equal(conf.sink_queue, plain.sink_queue);
	assert_int_equal(conf.client_buffer, plain.client_buffer);
	assert_int_equal(conf.max_agents, plain.max_agents);
	assert_int_equal(conf.max_clients, plain.max_clients);
	assert_int_equal(conf.user_agents, plain.user_agents);
	assert_int_equal(conf.user_memory, plain.user_memory);
	assert_int_equal(conf.user_events, plain.user_events);
	assert_int_equal(conf.user_alerts, plain.user_alerts);
	assert_int_equal(conf.drain_ms, plain.drain_ms);
	assert_int_equal(conf.idle_ms, plain.idle_ms);
	assert_int_equal(conf.verify_ms, plain.verify_ms);
	diag_fini(&diag);
	conf_fini(&conf);
	conf_fini(&plain);
}

static void
a_file_that_is_not_there_is_said(void **state)
{
	struct conf conf;
	struct diag diag;

	(void)state;
	assert_int_equal(conf_init(&conf), 0);
	diag_init(&diag);
	assert_int_equal(conf_load(&conf, "/nonexistent/pyauditd.conf", &diag), -ENOENT);
	diag_fini(&diag);
	conf_fini(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_comments_and_blanks),
		cmocka_unit_test(every_mistake_has_its_place),
		cmocka_unit_test(a_nul_byte_is_a_mistake),
		cmocka_unit_test(the_shipped_file_shows_the_defaults),
		cmocka_unit_test(a_file_that_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
