/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another evaluator of rules, as plain and slow as can be: every rule, every condition, every
 * event. It shares no code with compiler, image and pattern.c, so that where both agree on random
 * rules and events, both are likely right.
 */
#ifndef TEST_REFERENCE_H
#define TEST_REFERENCE_H

#include "compile.h"
#include "rules.h"
#include "verdict.h"

/* Does @text match? The pattern must be sound. */
bool reference_regex(const char *pattern, size_t pattern_len, const char *text, size_t len);
bool reference_glob(const char *pattern, size_t pattern_len, const char *text, size_t len);
bool reference_under(const char *dir, size_t dir_len, const char *path, size_t len);

bool reference_expr(const struct expr *expr, const struct pyaudit_facts *facts,
		    struct pyaudit_event *event);
void reference_judge(const struct rule_set *set, const struct compile_options *options,
		     const struct pyaudit_facts *facts, struct pyaudit_event *event,
		     struct pyaudit_verdict *ret);

#endif
