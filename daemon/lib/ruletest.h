/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the tests that stand beside rules, each rule alone, through a compiled image and the same
 * evaluator that the agent uses.
 */
#ifndef LIB_RULETEST_H
#define LIB_RULETEST_H

#include "rules.h"

struct ruletest_rule {
	const struct rule *rule;
	size_t n_hits;	     /* tests that expect the rule to act, and passed */
	size_t n_lookalikes; /* tests that expect it to be quiet, and passed */
	size_t n_failed;
};

struct ruletest {
	struct ruletest_rule *rules; /* in the order of the set */
	size_t n_rules;
	size_t n_tests, n_failed;
	size_t n_reached;  /* rules that a test made act */
	size_t n_untested; /* rules without tests */
};

/* 0, also where tests fail: each is an error in @diag, and a rule that no test makes act a
 * warning. RULES_E_INVALID where a rule does not compile; or a negative errno. @ret borrows
 * @set. */
int ruletest_run(struct ruletest *ret, const struct rule_set *set, struct diag *diag);
void ruletest_fini(struct ruletest *tests);

#endif
