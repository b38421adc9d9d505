/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coverage.h"
#include "explain.h"
#include "stage.h"
#include "unparse.h"

static struct rule_set *
parse(const char *text)
{
	struct rule_set *rules = NULL;
	struct diag diag;

	diag_init(&diag);
	assert_int_equal(rules_parse(&rules, "t.json", text, strlen(text), &diag), 0);
	diag_fini(&diag);
	return rules;
}

static void
assert_unparsed(const char *condition, const char *expected)
{
	struct expr *expr = NULL, *again = NULL;
	struct diag diag;
	struct buf text, second;

	diag_init(&diag);
	buf_init(&text);
	buf_init(&second);
	assert_int_equal(rules_parse_filter(&expr, condition, &diag), 0);
	unparse_expr(&text, expr);
	buf_add_char(&text, '\0');
	assert_string_equal(text.data, expected);
	/* What is read from it is the same again. */
	assert_int_equal(rules_parse_filter(&again, text.data, &diag), 0);
	unparse_expr(&second, again);
	buf_add_char(&second, '\0');
	assert_string_equal(second.data, expected);
	expr_free(expr);
	expr_free(again);
	buf_fini(&text);
	buf_fini(&second);
	diag_fini(&diag);
}

static void
conditions_become_text_again(void **state)
{
	(void)state;
	assert_unparsed("exec.name='id'", "exec.name = 'id'");
	assert_unparsed("exec.name != 'id'", "not exec.name = 'id'");
	assert_unparsed("exec.name in ['a', 'b']", "exec.name in ['a', 'b']");
	assert_unparsed("exec.shell and net.port >= 1024", "exec.shell = true and net.port >= 1024");
	assert_unparsed("exists net.host", "exists net.host");
	assert_unparsed("(exec.name = 'a' or exec.name = 'b') and not (net.port = 1 and net.port = 2)",
			"(exec.name = 'a' or exec.name = 'b') and not (net.port = 1 and net.port = 2)");
	assert_unparsed("exec.name = 'it\\'s \\\\ \\n'", "exec.name = 'it\\'s \\\\ \\x0a'");
	assert_unparsed("code.source matches 'a\\.b\\d'", "code.source matches 'a\\.b\\d'");
	assert_unparsed("net.ip cidr '10.0.0.0/8'", "net.ip cidr '10.0.0.0/8'");
	assert_unparsed("severity >= warning", "severity >= warning");
}

static void
long_lists_are_cut(void **state)
{
	struct rule_set *rules = parse("{\"version\":1,\"lists\":{\"many\":[1,2,3,4,5,6,7,8,9]},\"rules\":[{\"id\":\"a\","
				       "\"title\":\"t\",\"on\":\"@network\",\"when\":\"net.port in $many\","
				       "\"action\":\"record\"}]}");
	struct buf text;

	(void)state;
	buf_init(&text);
	unparse_expr(&text, rules->rules[0].conditions[0].expr);
	buf_add_char(&text, '\0');
	assert_string_equal(text.data, "net.port in [1, 2, 3, 4, 5, 6, ... 3 more]");
	buf_fini(&text);
	rules_free(rules);
}

static const char shop[] =
	"{\"version\":1,\"rules\":["
	"{\"id\":\"no-shell\",\"title\":\"t\",\"on\":[\"@exec\"],\"when\":[\"exec.shell\","
	"\"proc.unit = 'a' or proc.unit = 'b'\"],\"action\":\"block\",\"exceptions\":[{\"when\":"
	"\"caller.module = 'x'\",\"owner\":\"o\",\"reason\":\"r\"}],\"tests\":["
	"{\"event\":\"os.system\",\"args\":[\"id\"],\"proc\":{\"unit\":\"a\"},\"expect\":\"block\"},"
	"{\"event\":\"os.system\",\"args\":[\"id\"],\"proc\":{\"unit\":\"c\"},\"expect\":\"none\"}]},"
	"{\"id\":\"system\",\"title\":\"t\",\"on\":\"os.system\",\"action\":\"alert\"},"
	"{\"id\":\"fine\",\"title\":\"t\",\"on\":\"os.system\",\"when\":\"exec.cmdline = 'id'\","
	"\"action\":\"allow\",\"over\":\"system\"},"
	"{\"id\":\"other\",\"title\":\"t\",\"on\":\"open\",\"action\":\"record\"}]}";

static void
every_rule_that_looks_is_explained(void **state)
{
	struct rule_set *rules = parse(shop);
	struct stage *stage = calloc(1, sizeof(*stage));
	struct explain explain = {0};
	struct diag diag;

	(void)state;
	diag_init(&diag);
	stage_set(stage, &rules->rules[0].tests[0]);
	assert_int_equal(explain_event(&explain, rules, false, "os.system", &stage->facts,
				       &stage->event, &diag),
			 0);
	assert_int_equal(explain.verdict.action, PYAUDIT_ACTION_BLOCK);
	assert_int_equal(explain.n_rules, 3);
	assert_true(explain.rules[0].holds && explain.rules[0].decides);
	assert_int_equal(explain.rules[0].n_parts, 3);
	assert_true(explain.rules[0].parts[0].holds);
	assert_int_equal(explain.rules[0].parts[1].n_tests, 2);
	assert_true(explain.rules[0].parts[1].tests[0].holds);
	assert_false(explain.rules[0].parts[1].tests[1].holds);
	assert_string_equal(explain.rules[0].parts[1].tests[1].value, "\"a\"");
	assert_string_equal(explain.rules[0].parts[2].text, "caller.module = 'x'");
	assert_false(explain.rules[0].parts[2].holds);
	assert_string_equal(explain.rules[0].parts[2].tests[0].value, "no value");
	/* One that holds and is taken out says by whom. */
	assert_true(explain.rules[1].holds && !explain.rules[1].decides);
	assert_string_equal(explain.rules[1].allowed_by->id, "fine");
	explain_fini(&explain);

	/* Under observe mode the verdict is another, the conditions are the same. */
	assert_int_equal(explain_event(&explain, rules, true, "os.system", &stage->facts,
				       &stage->event, &diag),
			 0);
	assert_int_equal(explain.verdict.action, PYAUDIT_ACTION_ALERT);
	assert_true(explain.verdict.observed);
	assert_true(explain.rules[0].holds);
	explain_fini(&explain);
	diag_fini(&diag);
	free(stage);
	rules_free(rules);
}

static const char remembering[] =
	"{\"version\":1,\"rules\":["
	"{\"id\":\"burst\",\"title\":\"t\",\"on\":\"os.system\",\"when\":\"exec.cmdline contains 'a'\",\"action\":\"alert\","
	"\"threshold\":{\"count\":5,\"within\":\"1s\"}},"
	"{\"id\":\"chain\",\"title\":\"t\",\"when\":\"proc.unit = 'a.service'\",\"action\":\"alert\",\"sequence\":{"
	"\"within\":\"1s\",\"steps\":[{\"on\":\"open\"},{\"on\":\"os.system\",\"when\":\"exec.cmdline endswith 'a'\"}]}},"
	"{\"id\":\"left\",\"title\":\"t\",\"on\":\"open\",\"action\":\"alert\",\"absence\":{\"on\":\"os.system\",\"within\":\"1s\"}},"
	"{\"id\":\"all\",\"title\":\"t\",\"on\":\"os.system\",\"action\":\"record\",\"tests\":["
	"{\"event\":\"os.system\",\"args\":[\"a\"],\"proc\":{\"unit\":\"a.service\"},\"expect\":\"record\"}]}]}";

static void
what_a_memory_counts_is_no_match_but_said(void **state)
{
	struct rule_set *rules = parse(remembering);
	struct stage *stage = calloc(1, sizeof(*stage));
	struct explain explain = {0};
	struct diag diag;

	(void)state;
	diag_init(&diag);
	stage_set(stage, &rules->rules[3].tests[0]);
	assert_int_equal(explain_event(&explain, rules, false, "os.system", &stage->facts,
				       &stage->event, &diag),
			 0);
	assert_int_equal(explain.verdict.n_hits, 1);
	assert_int_equal(explain.n_rules, 4);
	assert_int_equal(explain.rules[0].matched, 1); /* itself */
	assert_true(explain.rules[0].parts[0].holds && !explain.rules[0].decides);
	assert_int_equal(explain.rules[1].matched, 4); /* its second step */
	assert_int_equal(explain.rules[1].n_parts, 3);
	assert_true(explain.rules[1].parts[0].holds); /* a condition of the whole sequence */
	assert_false(explain.rules[1].parts[1].holds);
	assert_true(explain.rules[1].parts[2].holds);
	assert_string_equal(explain.rules[1].parts[2].text, "exec.cmdline endswith 'a'");
	assert_int_equal(explain.rules[2].matched, 2); /* what it waits for */
	assert_int_equal(explain.rules[2].n_parts, 1);
	assert_true(explain.rules[3].decides && explain.rules[3].matched == 0);
	explain_fini(&explain);

	/* Without the last rule nobody is told of it. */
	rules->n_rules = 3;
	(void)rules_number(rules);
	assert_int_equal(explain_event(&explain, rules, false, "os.system", &stage->facts,
				       &stage->event, &diag),
			 0);
	assert_int_equal(explain.verdict.action, PYAUDIT_ACTION_NONE);
	assert_int_equal(explain.verdict.n_hits, 0);
	explain_fini(&explain);
	rules->n_rules = 4;
	diag_fini(&diag);
	free(stage);
	rules_free(rules);
}

static void
coverage_counts_what_tests_reach(void **state)
{
	struct rule_set *rules = parse(shop);
	struct coverage coverage = {0};
	struct diag diag;

	(void)state;
	diag_init(&diag);
	assert_int_equal(coverage_measure(&coverage, rules, &diag), 0);
	/* exec.shell never fails, the units do and do not; unit b is never asked for; no exception. */
	assert_int_equal(coverage.kinds[COVERAGE_CONDITION].n, 3);
	assert_int_equal(coverage.kinds[COVERAGE_CONDITION].n_covered, 1);
	assert_int_equal(coverage.kinds[COVERAGE_TEST].n, 2);
	assert_int_equal(coverage.kinds[COVERAGE_TEST].n_covered, 1);
	assert_int_equal(coverage.kinds[COVERAGE_EXCEPTION].n, 1);
	assert_int_equal(coverage.kinds[COVERAGE_EXCEPTION].n_covered, 0);
	assert_int_equal(coverage.parts[0].n_true, 2);
	coverage_fini(&coverage);
	diag_fini(&diag);
	rules_free(rules);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conditions_become_text_again),
		cmocka_unit_test(long_lists_are_cut),
		cmocka_unit_test(every_rule_that_looks_is_explained),
		cmocka_unit_test(what_a_memory_counts_is_no_match_but_said),
		cmocka_unit_test(coverage_counts_what_tests_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
