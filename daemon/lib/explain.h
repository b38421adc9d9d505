/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why an event was judged as it was: every rule that looks at it, every condition, exception and
 * single test of these with what it came to. Each part is compiled and judged for itself by the
 * evaluator that judges the whole, so that the explanation cannot differ from the verdict.
 */
#ifndef LIB_EXPLAIN_H
#define LIB_EXPLAIN_H

#include "compile.h"
#include "event.h"
#include "rules.h"
#include "verdict.h"

#define EXPLAIN_TESTS_MAX 256 /* of one condition that are told one by one */

/* One comparison of a field. */
struct explain_test {
	const struct expr *expr;
	bool holds;
	char *value; /* the field's, as JSON, or "no value" */
};

struct explain_part {
	const struct expr *expr; /* NULL: an exception that has expired */
	const char *text;	 /* as written; of an exception: made from its expression */
	char *made;
	const struct rule_exception *exception; /* or NULL */
	const struct rule_step *step; /* of a memory; or NULL */
	unsigned step_number;	      /* from 1 */
	const char *file;
	unsigned line, column;
	bool holds;
	struct explain_test *tests;
	size_t n_tests;
};

struct explain_rule {
	const struct rule *rule;
	unsigned number;
	bool holds;   /* alone */
	bool decides; /* its action is the verdict's */
	unsigned matched; /* with memory: bit 0 its own conditions, the others its steps */
	const struct rule *allowed_by; /* that took it out of the verdict, or NULL */
	struct explain_part *parts;    /* conditions, then exceptions, then steps */
	size_t n_parts;
};

struct explain {
	struct pyaudit_verdict verdict; /* of all rules without memory together */
	struct explain_rule *rules;	/* that look at the event; in order of reading */
	size_t n_rules;
};

/* @name is the event's name, NUL terminated. 0, RULES_E_INVALID (mistakes in @diag) or a negative
 * errno. @ret borrows the set. */
int explain_event(struct explain *ret, const struct rule_set *set, bool observe, const char *name,
		  const struct pyaudit_facts *facts, struct pyaudit_event *event,
		  struct diag *diag);
void explain_fini(struct explain *explain);

/* An image that says whether @expr alone holds of events that @rule looks at: a hit if so. */
int explain_compile(struct image *ret, const struct rule *rule, const struct expr *expr,
		    struct diag *diag);

bool explain_looks_at(const struct rule *rule, const char *name, unsigned event);

#endif
