/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each rule is compiled into an image of its own, so that a test says what this rule does and
 * stays true whatever else is installed. Observe mode is left out for the same reason. A rule that
 * allows does nothing alone: its copy records instead, which shows whether it applies.
 */
#include "ruletest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "compile.h"
#include "stage.h"
#include "timeline.h"

static enum pyaudit_action
run_test(struct stage *stage, const struct image *image, const struct rule_test *test)
{
	struct pyaudit_verdict verdict;

	stage_set(stage, test);
	stage_judge(image->bytes, test->event, &stage->facts, &stage->event, &verdict);
	return verdict.n_hits > 0 ? (enum pyaudit_action)verdict.action : PYAUDIT_ACTION_NONE;
}

/* A rule that allows is tested as one that records. */
static const char *
effect_name(const struct rule *rule, enum pyaudit_action action)
{
	return rule->allow && action != PYAUDIT_ACTION_NONE ? "allow" : action_name(action);
}

static int
test_timelines(struct ruletest *tests, struct ruletest_rule *result, struct stage *stage,
	       const struct image *image, const struct rule_set *alone, struct diag *diag)
{
	const struct rule *rule = &alone->rules[0];

	for (size_t i = 0; i < rule->n_timelines; i++) {
		const struct rule_timeline *timeline = &rule->timelines[i];
		uint32_t times;
		int r = timeline_run(&times, stage, image->bytes, alone, timeline);

		if (r < 0)
			return r;
		tests->n_tests++;
		if (times != timeline->times) {
			result->n_failed++;
			diag_add(diag, DIAG_ERROR, timeline->file, timeline->line, timeline->column,
				 "rule '%s': expected to act %u times, acted %u times", rule->id,
				 timeline->times, times);
		} else if (times > 0) {
			result->n_hits++;
		} else {
			result->n_lookalikes++;
		}
	}
	return 0;
}

static int
test_rule(struct ruletest *tests, struct ruletest_rule *result, struct stage *stage,
	  const struct rule *rule, struct diag *diag)
{
	struct rule copy = *rule;
	struct rule_set alone = {.rules = &copy, .n_rules = 1};
	struct compile_options options = {.generation = 1};
	CLEANUP(image_fini) struct image image = {0};
	int r;

	copy.observe = false;
	copy.n_observe_in = 0;
	(void)rules_number(&alone);
	copy.n_over = 0;
	if (copy.allow) {
		copy.allow = false;
		copy.action = PYAUDIT_ACTION_RECORD;
	}
	r = compile_rules(&image, &alone, &options, diag);
	if (r != 0)
		return r;
	for (size_t i = 0; i < rule->n_tests; i++) {
		const struct rule_test *test = &rule->tests[i];
		enum pyaudit_action got = run_test(stage, &image, test);

		tests->n_tests++;
		if (got != test->expect) {
			result->n_failed++;
			diag_add(diag, DIAG_ERROR, rule->owner_file, test->line, test->column,
				 "rule '%s' on %s: expected '%s', got '%s'", rule->id, test->event,
				 effect_name(rule, test->expect), effect_name(rule, got));
		} else if (got != PYAUDIT_ACTION_NONE) {
			result->n_hits++;
		} else {
			result->n_lookalikes++;
		}
	}
	return test_timelines(tests, result, stage, &image, &alone, diag);
}

int
ruletest_run(struct ruletest *ret, const struct rule_set *set, struct diag *diag)
{
	CLEANUP(ruletest_fini) struct ruletest tests = {0};
	CLEANUP(stage_freep) struct stage *stage = calloc(1, sizeof(*stage));
	int r, outcome = 0;

	tests.rules = calloc(set->n_rules + 1, sizeof(*tests.rules));
	if (stage == NULL || tests.rules == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];
		struct ruletest_rule *result;

		if (rule->disabled)
			continue; /* by an override: its tests speak of what it was */
		result = &tests.rules[tests.n_rules++];
		result->rule = rule;
		r = test_rule(&tests, result, stage, rule, diag);
		if (r < 0)
			return r;
		if (r > 0)
			outcome = r;
		tests.n_failed += result->n_failed;
		tests.n_reached += result->n_hits > 0;
		tests.n_untested += rule->n_tests + rule->n_timelines == 0;
		if (rule->n_tests + rule->n_timelines == 0)
			diag_add(diag, DIAG_WARNING, rule->owner_file, rule->line, rule->column,
				 "rule '%s' has no tests", rule->id);
		else if (result->n_hits == 0 && result->n_failed == 0 && r == 0)
			diag_add(diag, DIAG_WARNING, rule->owner_file, rule->line, rule->column,
				 "no test of rule '%s' makes it act", rule->id);
	}
	*ret = tests;
	tests = (struct ruletest){0};
	return outcome;
}

void
ruletest_fini(struct ruletest *tests)
{
	free(tests->rules);
	*tests = (struct ruletest){0};
}
