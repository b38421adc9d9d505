/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ruletest.h"

#define RULES_DIR PYAUDIT_FIXTURES "/../../config/rules.d"

struct run {
	struct rule_set *set;
	struct ruletest tests;
	struct diag diag;
};

static void
run(struct run *run, const char *text)
{
	*run = (struct run){0};
	diag_init(&run->diag);
	if (rules_parse(&run->set, "t", text, strlen(text), &run->diag) != 0)
		fail_msg("%u:%u: %s", run->diag.entries[0].line, run->diag.entries[0].column,
			 run->diag.entries[0].message);
	assert_int_equal(ruletest_run(&run->tests, run->set, &run->diag), 0);
}

static void
fini(struct run *run)
{
	ruletest_fini(&run->tests);
	rules_free(run->set);
	diag_fini(&run->diag);
}

#define RULE(on, when, action, tests)                                                              \
	"{\"version\": 1, \"rules\": [\n"                                                          \
	"{\"id\": \"r\", \"title\": \"t\", \"on\": \"" on "\", \"when\": \"" when "\",\n"          \
	" \"action\": \"" action "\", \"tests\": [\n" tests "]}]}"

/* One rule whose tests all pass, each hit before each look-alike. */
static void
assert_pass(const char *text, size_t n_hits, size_t n_lookalikes)
{
	struct run r;

	run(&r, text);
	if (r.tests.n_failed > 0)
		fail_msg("%u: %s", r.diag.entries[0].line, r.diag.entries[0].message);
	assert_int_equal(r.tests.rules[0].n_hits, n_hits);
	assert_int_equal(r.tests.rules[0].n_lookalikes, n_lookalikes);
	assert_int_equal(r.diag.n_entries, 0);
	fini(&r);
}

static void
arguments_of_every_kind_are_understood(void **state)
{
	(void)state;
	assert_pass(RULE("os.system", "exec.cmdline contains 'id'", "block",
			 "{\"event\": \"os.system\", \"args\": [\"id\"], \"expect\": \"block\"},"
			 "{\"event\": \"os.system\", \"args\": [{\"bytes\": \"id\"}], \"expect\": "
			 "\"block\"},"
			 "{\"event\": \"os.system\", \"args\": [{\"object\": \"id\"}], \"expect\": "
			 "\"none\"},"
			 "{\"event\": \"os.system\", \"args\": [null], \"expect\": \"none\"},"
			 "{\"event\": \"os.system\", \"expect\": \"none\"}"),
		    2, 3);
	assert_pass(
		RULE("open", "file.write and not exists file.fd", "alert",
		     "{\"event\": \"open\", \"args\": [\"/x\", \"w\", 0], \"expect\": \"alert\"},"
		     "{\"event\": \"open\", \"args\": [\"/x\", null, 1], \"expect\": \"alert\"},"
		     "{\"event\": \"open\", \"args\": [3, \"w\", 0], \"expect\": \"none\"},"
		     "{\"event\": \"open\", \"args\": [\"/x\", \"r\", 524288], \"expect\": "
		     "\"none\"}"),
		2, 2);
	assert_pass(RULE("subprocess.Popen", "exec.argv = '-c'", "record",
			 "{\"event\": \"subprocess.Popen\", \"args\": [\"sh\", [\"sh\", \"-c\", "
			 "\"x\"], null, null],"
			 " \"expect\": \"record\"},"
			 "{\"event\": \"subprocess.Popen\", \"args\": [\"sh\", [\"sh\", 7, true, "
			 "1.5]], \"expect\": \"none\"}"),
		    1, 1);
	assert_pass(RULE("exec", "code.filename = 'x.py'", "record",
			 "{\"event\": \"exec\", \"args\": [{\"code\": \"x.py\"}], \"expect\": "
			 "\"record\"},"
			 "{\"event\": \"exec\", \"args\": [{\"code\": \"y.py\"}], \"expect\": "
			 "\"none\"}"),
		    1, 1);
	assert_pass(RULE("socket.connect", "net.ip cidr '10.0.0.0/8' and net.port < 1024", "record",
			 "{\"event\": \"socket.connect\", \"args\": [{\"object\": \"socket\"}, "
			 "[\"10.1.2.3\", 80]],"
			 " \"expect\": \"record\"},"
			 "{\"event\": \"socket.connect\", \"args\": [{\"object\": \"socket\"}, "
			 "[\"10.1.2.3\", 8080]],"
			 " \"expect\": \"none\"}"),
		    1, 1);
	assert_pass(RULE("os.system", "exec.shell", "kill",
			 "{\"event\": \"os.system\", \"args\": [\"id\"], \"expect\": \"kill\"}"),
		    1, 0);
	assert_pass(RULE("os.kill", "arg[1] = 9", "record",
			 "{\"event\": \"os.kill\", \"args\": [1, 9], \"expect\": \"record\"},"
			 "{\"event\": \"os.kill\", \"args\": [9, 1], \"expect\": \"none\"}"),
		    1, 1);
}

static void
process_caller_and_stack_come_from_the_test(void **state)
{
	(void)state;
	assert_pass(RULE("open",
			 "proc.unit glob 'gunicorn*' and proc.uid >= 1000 and proc.name = 'python3'"
			 " and proc.argv = '--debug'",
			 "alert",
			 "{\"event\": \"open\", \"proc\": {\"unit\": \"gunicorn.service\", "
			 "\"uid\": 1000,"
			 " \"exe\": \"/usr/bin/python3\", \"argv\": [\"python3\", \"--debug\"]}, "
			 "\"expect\": \"alert\"},"
			 "{\"event\": \"open\", \"proc\": {\"unit\": \"cron.service\"}, "
			 "\"expect\": \"none\"},"
			 "{\"event\": \"open\", \"expect\": \"none\"}"),
		    1, 2);
	assert_pass(RULE("open",
			 "caller.module = 'm' and caller.line = 3 and caller.function = 'f'"
			 " and caller.file endswith '.py' and stack.module = 'outer' and "
			 "stack.module = 'm'",
			 "alert",
			 "{\"event\": \"open\", \"caller\": {\"module\": \"m\", \"line\": 3, "
			 "\"function\": \"f\","
			 " \"file\": \"m.py\"}, \"stack\": [{\"module\": \"x\"}, {\"module\": "
			 "\"outer\"}],"
			 " \"expect\": \"alert\"},"
			 "{\"event\": \"open\", \"caller\": {\"module\": \"outer\"}, \"expect\": "
			 "\"none\"}"),
		    1, 1);
	assert_pass(RULE("open", "layer = libc", "alert",
			 "{\"event\": \"open\", \"layer\": \"libc\", \"expect\": \"alert\"},"
			 "{\"event\": \"open\", \"expect\": \"none\"}"),
		    1, 1);
}

static void
events_of_libraries_can_be_tested(void **state)
{
	(void)state;
	assert_pass(
		RULE("custom:my.event", "arg[0] = 'x'", "alert",
		     "{\"event\": \"custom:my.event\", \"args\": [\"x\"], \"expect\": \"alert\"},"
		     "{\"event\": \"custom:my.event\", \"args\": [\"y\"], \"expect\": \"none\"}"),
		1, 1);
}

static void
observe_mode_does_not_change_what_tests_say(void **state)
{
	(void)state;
	assert_pass("{\"version\": 1, \"mode\": \"observe\", \"rules\": [{\"id\": \"r\", "
		    "\"title\": \"t\","
		    " \"on\": \"open\", \"action\": \"block\", \"tests\": ["
		    "{\"event\": \"open\", \"expect\": \"block\"}]}]}",
		    1, 0);
}

static void
a_rule_that_allows_is_tested_alone(void **state)
{
	struct run r;

	(void)state;
	run(&r, "{\"version\": 1, \"rules\": ["
		"{\"id\": \"a\", \"title\": \"t\", \"on\": \"open\", \"when\": \"file.write\", "
		"\"action\": \"allow\","
		" \"over\": [\"b\"], \"tests\": ["
		"{\"event\": \"open\", \"args\": [\"x\", \"w\", 0], \"expect\": \"allow\"},"
		"{\"event\": \"open\", \"args\": [\"x\", \"r\", 0], \"expect\": \"none\"},\n"
		"{\"event\": \"open\", \"args\": [\"x\", \"r\", 0], \"expect\": \"allow\"}]},"
		"{\"id\": \"b\", \"title\": \"t\", \"on\": \"open\", \"action\": \"block\", "
		"\"tests\": ["
		"{\"event\": \"open\", \"args\": [\"x\", \"w\", 0], \"expect\": \"block\"}]}]}");
	assert_int_equal(r.tests.n_failed, 1);
	assert_string_equal(r.diag.entries[0].message,
			    "rule 'a' on open: expected 'allow', got 'none'");
	assert_int_equal(r.diag.entries[0].line, 2);
	assert_int_equal(r.diag.entries[0].column, 1);
	fini(&r);
}

static void
a_failed_test_names_place_and_both_outcomes(void **state)
{
	struct run r;

	(void)state;
	run(&r,
	    RULE("open", "file.path = '/x'", "block",
		 "\n {\"event\": \"open\", \"args\": [\"/y\", \"r\", 0], \"expect\": \"block\"},"
		 "\n {\"event\": \"open\", \"args\": [\"/x\", \"r\", 0], \"expect\": \"none\"}"));
	assert_int_equal(r.tests.n_tests, 2);
	assert_int_equal(r.tests.n_failed, 2);
	assert_int_equal(r.tests.n_reached, 0);
	assert_int_equal(r.diag.n_errors, 2);
	assert_string_equal(r.diag.entries[0].file, "t");
	assert_int_equal(r.diag.entries[0].line, 5);
	assert_int_equal(r.diag.entries[0].column, 2);
	assert_string_equal(r.diag.entries[0].message,
			    "rule 'r' on open: expected 'block', got 'none'");
	assert_string_equal(r.diag.entries[1].message,
			    "rule 'r' on open: expected 'none', got 'block'");
	fini(&r);
}

static void
rules_that_no_test_reaches_are_warned_of(void **state)
{
	struct run r;

	(void)state;
	run(&r,
	    "{\"version\": 1, \"rules\": ["
	    "{\"id\": \"bare\", \"title\": \"t\", \"on\": \"open\", \"action\": \"block\"},"
	    "{\"id\": \"quiet\", \"title\": \"t\", \"on\": \"open\", \"when\": \"file.write\","
	    " \"action\": \"block\", \"tests\": [{\"event\": \"open\", \"expect\": \"none\"}]}]}");
	assert_int_equal(r.tests.n_untested, 1);
	assert_int_equal(r.tests.n_reached, 0);
	assert_int_equal(r.diag.n_warnings, 2);
	assert_string_equal(r.diag.entries[0].message, "rule 'bare' has no tests");
	assert_string_equal(r.diag.entries[1].message, "no test of rule 'quiet' makes it act");
	fini(&r);
}

static void
shipped_rules_pass_with_hits_and_lookalikes_each(void **state)
{
	static const char *const paths[] = {RULES_DIR};
	struct run r = {0};

	(void)state;
	diag_init(&r.diag);
	if (rules_load(&r.set, paths, 1, &r.diag) != 0)
		fail_msg("%s: %s", r.diag.entries[0].file, r.diag.entries[0].message);
	assert_int_equal(ruletest_run(&r.tests, r.set, &r.diag), 0);
	if (r.diag.n_entries > 0)
		fail_msg("%s", r.diag.entries[0].message);
	assert_true(r.tests.n_rules >= 14);
	for (size_t i = 0; i < r.tests.n_rules; i++) {
		const struct ruletest_rule *result = &r.tests.rules[i];

		if (result->n_hits == 0 || result->n_lookalikes == 0)
			fail_msg("rule '%s' needs a hit and a look-alike", result->rule->id);
		if (result->rule->n_attack == 0 || result->rule->title[0] == '\0')
			fail_msg("rule '%s' needs a title and an ATT&CK id", result->rule->id);
	}
	fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arguments_of_every_kind_are_understood),
		cmocka_unit_test(process_caller_and_stack_come_from_the_test),
		cmocka_unit_test(events_of_libraries_can_be_tested),
		cmocka_unit_test(observe_mode_does_not_change_what_tests_say),
		cmocka_unit_test(a_rule_that_allows_is_tested_alone),
		cmocka_unit_test(a_failed_test_names_place_and_both_outcomes),
		cmocka_unit_test(rules_that_no_test_reaches_are_warned_of),
		cmocka_unit_test(shipped_rules_pass_with_hits_and_lookalikes_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
