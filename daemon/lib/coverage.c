/* SPDX-License-Identifier: Apache-2.0 */
#include "coverage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "compile.h"
#include "explain.h"
#include "stage.h"

bool
coverage_is_covered(const struct coverage_part *part)
{
	return part->n_true > 0 && (part->n_false > 0 || part->kind != COVERAGE_CONDITION);
}

const char *
coverage_kind_name(enum coverage_kind kind)
{
	static const char *const names[] = {"condition", "test", "exception"};

	return names[kind];
}

void
coverage_fini(struct coverage *coverage)
{
	free(coverage->parts);
	*coverage = (struct coverage){0};
}

/* Judges the part by every test of its rule that it can be asked of. */
static int
count(struct coverage_part *part, struct stage *stage, struct diag *diag)
{
	CLEANUP(image_fini) struct image image = {0};
	int r = explain_compile(&image, part->rule, part->expr, diag);

	for (size_t i = 0; r == 0 && i < part->rule->n_tests; i++) {
		const struct rule_test *test = &part->rule->tests[i];
		struct pyaudit_verdict verdict;

		if (!explain_looks_at(part->rule, test->event,
				      pyaudit_event_by_name(test->event, strlen(test->event))))
			continue;
		stage_set(stage, test);
		stage_judge(image.bytes, test->event, &stage->facts, &stage->event, &verdict);
		if (verdict.n_hits > 0)
			part->n_true++;
		else
			part->n_false++;
	}
	return r;
}

static int
add(struct coverage *coverage, const struct coverage_part *part, struct stage *stage,
    struct diag *diag)
{
	struct coverage_part *parts = coverage->parts;
	int r;

	if (coverage->n_parts == coverage->size) {
		size_t size = coverage->size == 0 ? 64 : 2 * coverage->size;

		parts = realloc(parts, size * sizeof(*parts));
		if (parts == NULL)
			return -ENOMEM;
		coverage->parts = parts;
		coverage->size = size;
	}
	parts[coverage->n_parts] = *part;
	r = count(&parts[coverage->n_parts], stage, diag);
	coverage->kinds[part->kind].n++;
	coverage->kinds[part->kind].n_covered += coverage_is_covered(&parts[coverage->n_parts]);
	coverage->n_parts++;
	return r;
}

static int
add_tests(struct coverage *coverage, const struct coverage_part *like, const struct expr *expr,
	  struct stage *stage, struct diag *diag)
{
	struct coverage_part part = *like;
	int r;

	if (expr->op == EXPR_TEST) {
		part.kind = COVERAGE_TEST;
		part.expr = expr;
		part.text = NULL;
		return add(coverage, &part, stage, diag);
	}
	r = expr->a != NULL ? add_tests(coverage, like, expr->a, stage, diag) : 0;
	return r == 0 && expr->b != NULL ? add_tests(coverage, like, expr->b, stage, diag) : r;
}

static int
add_rule(struct coverage *coverage, const struct rule *rule, struct stage *stage,
	 struct diag *diag)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < rule->n_conditions; i++) {
		const struct rule_condition *c = &rule->conditions[i];
		struct coverage_part part = {COVERAGE_CONDITION, rule, c->expr, c->text,
					     c->file, c->line, c->column, 0, 0};

		if (c->expr == NULL)
			continue;
		r = add(coverage, &part, stage, diag);
		if (r == 0 && c->expr->op != EXPR_TEST)
			r = add_tests(coverage, &part, c->expr, stage, diag);
	}
	for (size_t i = 0; r == 0 && i < rule->n_exceptions; i++) {
		const struct rule_exception *e = &rule->exceptions[i];
		struct coverage_part part = {COVERAGE_EXCEPTION, rule, e->when, NULL,
					     e->file, e->line, e->column, 0, 0};

		if (e->when != NULL) /* else it has expired */
			r = add(coverage, &part, stage, diag);
	}
	return r;
}

int
coverage_measure(struct coverage *ret, const struct rule_set *set, struct diag *diag)
{
	CLEANUP(coverage_fini) struct coverage coverage = {0};
	CLEANUP(stage_freep) struct stage *stage = calloc(1, sizeof(*stage));
	int r = stage != NULL ? 0 : -ENOMEM;

	for (size_t i = 0; r == 0 && i < set->n_rules; i++)
		if (!set->rules[i].disabled)
			r = add_rule(&coverage, &set->rules[i], stage, diag);
	if (r != 0)
		return r;
	*ret = coverage;
	coverage = (struct coverage){0};
	return 0;
}
