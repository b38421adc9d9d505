/* SPDX-License-Identifier: Apache-2.0 */
/* Rules and their parts (rules_parts.c) as one list of rules, each with a condition of its own. */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

/* Nodes that join conditions of the rules, which stay the rules'. */
static struct expr *
join(struct compiler *c, enum expr_op op, const struct expr *a, const struct expr *b)
{
	struct expr *expr = compiler_take(c, sizeof(*expr));
	union {
		const struct expr *in;
		struct expr *out;
	} left = {.in = a}, right = {.in = b};

	if (expr == NULL)
		return NULL;
	*expr = (struct expr){.op = op, .a = left.out, .b = right.out};
	if (a != NULL) {
		expr->file = a->file;
		expr->line = a->line;
		expr->column = a->column;
	}
	return expr;
}

static const struct expr *
both(struct compiler *c, const struct expr *a, const struct expr *b)
{
	return a == NULL ? b : b == NULL ? a : join(c, EXPR_AND, a, b);
}

/* proc.unit glob [...] */
static const struct expr *
in_units(struct compiler *c, const struct rule *rule)
{
	struct expr *test = join(c, EXPR_TEST, NULL, NULL);
	struct expr_value *values = compiler_take(c, rule->n_observe_in * sizeof(*values));

	if (test == NULL || values == NULL)
		return NULL;
	for (size_t i = 0; i < rule->n_observe_in; i++)
		values[i] = (struct expr_value){.text = rule->observe_in[i],
						.len = strlen(rule->observe_in[i])};
	test->field = PYAUDIT_F_PROC_UNIT;
	test->cmp = CMP_GLOB;
	test->values = values;
	test->n_values = rule->n_observe_in;
	test->file = rule->owner_file;
	test->line = rule->line;
	test->column = rule->column;
	return test;
}

static const struct expr *
all_conditions(struct compiler *c, const struct rule *rule)
{
	const struct expr *expr = NULL;

	for (size_t i = 0; i < rule->n_conditions; i++)
		expr = both(c, expr, rule->conditions[i].expr);
	return expr;
}

/* A rule that asks for a record and for nothing else. */
static struct rule
telling(const struct rule *rule, const struct expr *when)
{
	union {
		const struct expr *in;
		struct expr *out;
	} condition = {.in = when};
	struct rule part = *rule;

	part.when = condition.out;
	part.action = PYAUDIT_ACTION_RECORD;
	part.allow = part.observe = false;
	part.n_over = 0;
	return part;
}

static void
never(struct rule *part)
{
	memset(part->events, 0, sizeof(part->events));
	part->n_other_events = 0;
	part->when = NULL;
}

static struct rule
step_part(struct compiler *c, const struct rule *rule, const struct rule_step *step)
{
	/* The conditions of a sequence are those of each step; those of an absence are of its start. */
	const struct expr *common =
		rule->memory.kind == RULE_SEQUENCE ? rule->when : NULL;
	struct rule part = telling(rule, both(c, common, step->when));

	memcpy(part.events, step->events, sizeof(part.events));
	part.other_events = step->other_events;
	part.n_other_events = step->n_other_events;
	if (rule->disabled)
		never(&part);
	return part;
}

static struct rule
exception_part(struct compiler *c, const struct rule *rule, const struct rule_exception *exception)
{
	const struct expr *when = exception->when;
	struct rule part =
		telling(rule, when != NULL ? both(c, all_conditions(c, rule), when) : NULL);

	part.memory.kind = RULE_NO_MEMORY; /* nothing comes of it */
	if (when == NULL || !c->options->tells_exceptions)
		never(&part);
	return part;
}

static void
split_by_unit(struct compiler *c, struct rule *rule, struct rule *ret_part)
{
	const struct expr *units = in_units(c, rule);
	const struct expr *others = units != NULL ? join(c, EXPR_NOT, units, NULL) : NULL;
	union {
		const struct expr *in;
		struct expr *out;
	} within = {.in = both(c, rule->when, units)},
	  without = {.in = both(c, rule->when, others)};

	*ret_part = *rule;
	if (rule->action < PYAUDIT_ACTION_BLOCK || others == NULL) {
		never(ret_part); /* there is nothing to weaken */
		return;
	}
	ret_part->when = within.out;
	ret_part->observe = true;
	rule->when = without.out;
}

/* Where the rule holds in some units alone, so do its parts. The bit of the unit is asked for first. */
static void
within_scope(struct compiler *c, const struct rule *rule, struct rule *part)
{
	union {
		const struct expr *in;
		struct expr *out;
	} when = {.in = both(c, rule->scope, part->when)};

	part->when = when.out;
}

bool
compile_expand(struct compiler *c, const struct rule_set *set, struct rule_set *ret)
{
	size_t n = set->n_rules, n_parts = 0;
	struct rule *rules;

	for (size_t i = 0; i < set->n_rules; i++)
		n_parts += rule_n_parts(&set->rules[i]);
	*ret = *set;
	ret->n_rules = n + n_parts;
	if (ret->n_rules > PYAUDIT_RULES_MAX)
		return true; /* told by the caller */
	rules = calloc(ret->n_rules + 1, sizeof(*rules));
	ret->rules = rules;
	if (rules == NULL)
		return false;
	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];

		rules[i] = *rule;
		if (rule->memory.kind != RULE_NO_MEMORY)
			rules[i].action = PYAUDIT_ACTION_RECORD;
		for (size_t k = 0; k < rule->memory.n_steps; k++)
			rules[n++] = step_part(c, rule, &rule->memory.steps[k]);
		for (size_t k = 0; k < rule->n_exceptions; k++)
			rules[n++] = exception_part(c, rule, &rule->exceptions[k]);
		if (rule->n_observe_in > 0)
			split_by_unit(c, &rules[i], &rules[n++]);
		if (rule->scope == NULL)
			continue;
		within_scope(c, rule, &rules[i]);
		for (size_t k = n - rule_n_parts(rule); k < n; k++)
			within_scope(c, rule, &rules[k]);
	}
	return !c->no_memory;
}
