/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests beside rules reach. A condition is covered where one test makes it hold and another
 * one does not; one of its tests of a field, and an exception, where some test makes it hold.
 */
#ifndef LIB_COVERAGE_H
#define LIB_COVERAGE_H

#include "rules.h"

enum coverage_kind {
	COVERAGE_CONDITION,
	COVERAGE_TEST, /* a comparison, of a condition that has several */
	COVERAGE_EXCEPTION,
	COVERAGE_KINDS,
};

struct coverage_part {
	enum coverage_kind kind;
	const struct rule *rule;
	const struct expr *expr;
	const char *text; /* of a condition as written; NULL: unparse it */
	const char *file;
	unsigned line, column;
	size_t n_true, n_false;
};

struct coverage {
	struct coverage_part *parts; /* in order of the rules */
	size_t n_parts, size;
	struct {
		size_t n, n_covered;
	} kinds[COVERAGE_KINDS];
};

/* 0, RULES_E_INVALID (mistakes in @diag) or a negative errno. @ret borrows @set. */
int coverage_measure(struct coverage *ret, const struct rule_set *set, struct diag *diag);
void coverage_fini(struct coverage *coverage);
bool coverage_is_covered(const struct coverage_part *part);
const char *coverage_kind_name(enum coverage_kind kind);

#endif
