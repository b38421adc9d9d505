/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is allowed in rules and yet can hardly be meant. Each finding is a warning (or a note) with a
 * code that stays the same:
 *
 *   never-true      a condition that no event of the rule can fulfil
 *   always-true     one that every event fulfils
 *   duplicate       the same events, conditions and action as another rule
 *   shadowed        another rule acts at least as strongly wherever this one does
 *   pattern-large   a pattern whose automaton is near the limit
 *   some-versions   (note) an event that some versions of CPython do not raise
 */
#ifndef LIB_LINT_H
#define LIB_LINT_H

#include "rules.h"

#define LINT_COMPARED_MAX 2048 /* rules that are compared with each other */

struct lint_options {
	bool notes;
};

/* Adds to @diag. 0 or -ENOMEM. */
int lint_rules(const struct rule_set *set, const struct lint_options *options, struct diag *diag);

#endif
