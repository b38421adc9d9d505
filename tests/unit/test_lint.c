/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lint.h"

/* Codes of all findings in @text, joined by blanks. */
static void
assert_findings(const char *rules, const char *expected)
{
	static const struct lint_options options = {.notes = true};
	struct rule_set *set = NULL;
	char text[4096], found[256] = "";
	struct diag diag;

	diag_init(&diag);
	(void)snprintf(text, sizeof(text), "{\"version\":1,\"rules\":[%s]}", rules);
	assert_int_equal(rules_parse_at(&set, "t.json", text, strlen(text), 1800000000, &diag), 0);
	assert_int_equal(lint_rules(set, &options, &diag), 0);
	for (size_t i = 0; i < diag.n_entries; i++) {
		assert_non_null(diag.entries[i].code);
		assert_int_not_equal(diag.entries[i].line, 0);
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%s",
			       i > 0 ? " " : "", diag.entries[i].code);
	}
	if (strcmp(found, expected) != 0)
		print_error("%s\n", rules);
	assert_string_equal(found, expected);
	rules_free(set);
	diag_fini(&diag);
}

static void
assert_condition(const char *on, const char *when, const char *expected)
{
	char rule[2048];

	(void)snprintf(rule, sizeof(rule),
		       "{\"id\":\"a\",\"title\":\"t\",\"on\":[\"%s\"],\"when\":[%s],"
		       "\"action\":\"record\"}",
		       on, when);
	assert_findings(rule, expected);
}

static void
fields_that_no_event_has_never_hold(void **state)
{
	(void)state;
	assert_condition("open", "\"exec.name = 'x'\"", "never-true");
	assert_condition("open", "\"file.path = 'x'\"", "");
	assert_condition("@file", "\"file.target under '/etc'\"", "");
	assert_condition("@exec", "\"exec.shell\"", "");
	assert_condition("@network", "\"net.family = 'unix' or net.port = 1\"", "");
	assert_condition("os.system", "\"arg[1] = 'x'\"", "never-true");
	assert_condition("os.system", "\"arg[0] = 'x'\"", "");
	assert_condition("custom:x.y", "\"arg[7] = 'x'\"", "");
	assert_condition("custom:x.y", "\"file.path = 'x'\"", "never-true");
	/* One of them may. */
	assert_condition("open\",\"os.system", "\"exec.name = 'x'\"", "");
	assert_condition("open", "\"exec.name = 'x' or file.name = 'y'\"", "");
	assert_condition("open", "\"exec.name = 'x' and file.name = 'y'\"", "never-true");
	assert_condition("open", "\"not exec.name = 'x'\"", "always-true");
	assert_condition("open", "\"event = 'os.system'\"", "never-true");
	assert_condition("open", "\"event = 'open'\"", "always-true");
	assert_condition("open\",\"os.system", "\"event = 'open'\"", "");
	assert_condition("open", "\"proc.unit = 'x' and caller.module = 'y'\"", "");
}

static void
packages_are_named_as_the_index_does(void **state)
{
	(void)state;
	assert_condition("open", "\"caller.package = 'zope-interface'\"", "");
	assert_condition("open", "\"caller.package in ['pyyaml', 'zope.interface']\"", "package-name");
	assert_condition("open", "\"not stack.package = 'PyYAML'\"", "package-name");
	assert_condition("open", "\"caller.package = 'a_b' or caller.package glob 'A_*'\"", "package-name");
}

static void
contradictions_never_hold(void **state)
{
	(void)state;
	assert_condition("@network", "\"net.port = 1 and net.port = 2\"", "never-true");
	assert_condition("@network", "\"net.port = 1\",\"net.port in [2, 3]\"", "never-true");
	assert_condition("@network", "\"net.port in [1, 2]\",\"net.port in [2, 3]\"", "");
	assert_condition("@network", "\"net.port > 10 and net.port < 5\"", "never-true");
	assert_condition("@network", "\"net.port > 4 and net.port < 5\"", "never-true");
	assert_condition("@network", "\"net.port >= 5 and net.port <= 5\"", "");
	assert_condition("@network", "\"net.port = 80 and net.port > 1024\"", "never-true");
	assert_condition("@network", "\"net.port = 80 or net.port > 1024\"", "");
	assert_condition("@exec", "\"exec.name = 'a' and not exec.name = 'b'\"", "");
	/* Elements of a list: one may be the one, another the other. */
	assert_condition("@exec", "\"exec.argv = 'a' and exec.argv = 'b'\"", "");
	assert_condition("@exec", "\"exec.name = 'a' and exec.name glob 'b*'\"", "");
}

static void
differing_from_one_of_two_always_holds(void **state)
{
	(void)state;
	assert_condition("@exec", "\"exec.name != 'a' or exec.name != 'b'\"", "always-true");
	assert_condition("@exec", "\"not exec.name in ['a', 'b'] or exec.name != 'c'\"", "always-true");
	assert_condition("@exec", "\"exec.name != 'a' and exec.name != 'b'\"", "");
	assert_condition("@exec", "\"exec.name != 'a' or exec.path != 'b'\"", "");
}

#define RULE(id, on, when, action)                                                                 \
	"{\"id\":\"" id "\",\"title\":\"t\",\"on\":[\"" on "\"],\"when\":[" when                    \
	"],\"action\":\"" action "\"}"

static void
rules_that_add_nothing_are_named(void **state)
{
	(void)state;
	assert_findings(RULE("a", "@exec", "\"exec.shell\"", "alert") ","
			RULE("b", "@exec", "\"exec.shell\"", "alert"), "duplicate");
	assert_findings(RULE("a", "@exec", "\"exec.shell\"", "block") ","
			RULE("b", "os.exec", "\"exec.shell\",\"exec.name = 'x'\"", "alert"),
			"shadowed");
	/* Stronger, or elsewhere, or of other conditions: that is something. */
	assert_findings(RULE("a", "@exec", "\"exec.shell\"", "alert") ","
			RULE("b", "os.exec", "\"exec.shell\",\"exec.name = 'x'\"", "block"), "");
	assert_findings(RULE("a", "os.exec", "\"exec.shell\"", "block") ","
			RULE("b", "@exec", "\"exec.shell\",\"exec.name = 'x'\"", "alert"), "");
	assert_findings(RULE("a", "@exec", "\"exec.shell\"", "block") ","
			RULE("b", "@exec", "\"exec.name = 'x'\"", "alert"), "");
	/* An exception of the one leaves something for the other. */
	assert_findings("{\"id\":\"a\",\"title\":\"t\",\"on\":\"@exec\",\"when\":\"exec.shell\",\"action\":"
			"\"alert\",\"exceptions\":[{\"when\":\"exec.name = 'x'\",\"owner\":\"o\","
			"\"reason\":\"r\"}]}," RULE("b", "@exec", "\"exec.shell\"", "alert"),
			"shadowed"); /* a, by b */
	/* Long lists are compared whole. */
	assert_findings(RULE("a", "@network", "\"net.port in [1,2,3,4,5,6,7,8,9]\"", "alert") ","
			RULE("b", "@network", "\"net.port in [1,2,3,4,5,6,7,8,10]\"", "alert"), "");
}

static void
patterns_near_the_limit_are_named(void **state)
{
	(void)state;
	assert_condition("compile", "\"code.source matches '(a|b)*a(a|b){9}$'\"", "pattern-large");
	assert_condition("compile", "\"code.source matches 'ab*c{1,20}'\"", "");
}

static void
events_of_some_versions_are_noted(void **state)
{
	(void)state;
	assert_condition("sys.remote_exec", "\"arg[0] = 1\"", "some-versions");
	assert_condition("sys.remote_exec\",\"open", "\"arg[0] = 'x'\"", "");
	assert_condition("custom:own.event", "\"arg[0] = 'x'\"", "");
}

static void
exceptions_are_looked_at(void **state)
{
	(void)state;
	assert_findings("{\"id\":\"a\",\"title\":\"t\",\"on\":\"@exec\",\"when\":\"exec.shell\",\"action\":"
			"\"alert\",\"exceptions\":[{\"when\":\"file.name = 'x'\",\"owner\":\"o\","
			"\"reason\":\"r\"}]}",
			"never-true");
	assert_findings("{\"id\":\"a\",\"title\":\"t\",\"on\":\"@exec\",\"when\":\"exec.shell\",\"action\":"
			"\"alert\",\"exceptions\":[{\"when\":\"exec.name = 'x'\",\"owner\":\"o\","
			"\"reason\":\"r\",\"expires\":\"2020-01-01\"}]}",
			"expired-exception");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_that_no_event_has_never_hold),
		cmocka_unit_test(packages_are_named_as_the_index_does),
		cmocka_unit_test(contradictions_never_hold),
		cmocka_unit_test(differing_from_one_of_two_always_holds),
		cmocka_unit_test(rules_that_add_nothing_are_named),
		cmocka_unit_test(patterns_near_the_limit_are_named),
		cmocka_unit_test(events_of_some_versions_are_noted),
		cmocka_unit_test(exceptions_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
