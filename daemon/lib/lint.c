/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions are evaluated with what is sure of every event of the rule: a field that none of its
 * events has, a name that none of them bears. What is not sure may hold. A comparison never holds of
 * a field without a value, and `not` of it then does: so `not a = 'x' or not a = 'y'` holds always.
 */
#include "lint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "event_fields.h"
#include "pattern.h"
#include "unparse.h"

#define CHAIN_MAX 128 /* members of one `and` or `or` that are compared with each other */

enum sure {
	MAYBE,
	NEVER,
	ALWAYS,
};

struct lint {
	const struct rule_set *set;
	const struct lint_options *options;
	const struct rule *rule;
	struct diag *diag;
};

/* ---- what events have ---- */

static unsigned
count_args(const char *names)
{
	unsigned n = *names != '\0';

	for (; *names != '\0'; names++)
		n += *names == ',';
	return n;
}

/* Whether the event may have a value for the field, if it has the arguments that CPython gives it. */
static bool
may_have(unsigned event, unsigned field)
{
	if (field >= PYAUDIT_F_ARG0 && field <= PYAUDIT_F_ARG7)
		return field - PYAUDIT_F_ARG0 < count_args(pyaudit_events[event].args);
	return event_may_have(event, field);
}

static bool
looks_at(const struct rule *rule, unsigned event)
{
	return (rule->events[event / 8] >> event % 8 & 1) != 0;
}

static bool
is_event_field(unsigned field)
{
	return field != PYAUDIT_F_EVENT && field != PYAUDIT_F_LAYER &&
	       pyaudit_fields[field].scope == PYAUDIT_SCOPE_EVENT;
}

/* Whether some event of the rule may have the field. */
static bool
rule_may_have(const struct rule *rule, unsigned field)
{
	if (!is_event_field(field))
		return true;
	if (rule->n_other_events > 0 && field >= PYAUDIT_F_ARG0 && field <= PYAUDIT_F_ARG7)
		return true;
	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++)
		if (looks_at(rule, event) && may_have(event, field))
			return true;
	return false;
}

/* `event = ...` with names that none of the rule's events bears. */
static enum sure
event_named(const struct rule *rule, const struct expr *test)
{
	bool some = false, all = true;

	if (test->cmp != CMP_EQ || rule->n_other_events > 0)
		return MAYBE;
	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++) {
		bool named = false;

		if (!looks_at(rule, event))
			continue;
		for (size_t i = 0; i < test->n_values; i++)
			named = named || (!test->values[i].is_int &&
					  strcmp(test->values[i].text, pyaudit_events[event].name) == 0);
		some = some || named;
		all = all && named;
	}
	return !some ? NEVER : all ? ALWAYS : MAYBE;
}

/* ---- two tests of one field ---- */

static bool
same_value(const struct expr_value *a, const struct expr_value *b)
{
	if (a->is_int != b->is_int)
		return false;
	return a->is_int ? a->number == b->number
			 : a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool
value_fits(const struct expr_value *value, const struct expr *test)
{
	if (test->cmp == CMP_EQ) {
		for (size_t i = 0; i < test->n_values; i++)
			if (same_value(value, &test->values[i]))
				return true;
		return false;
	}
	if (!value->is_int || test->n_values != 1 || !test->values[0].is_int)
		return true; /* not said here */
	switch (test->cmp) {
	case CMP_LT:
		return value->number < test->values[0].number;
	case CMP_LE:
		return value->number <= test->values[0].number;
	case CMP_GT:
		return value->number > test->values[0].number;
	case CMP_GE:
		return value->number >= test->values[0].number;
	default:
		return true;
	}
}

static bool
is_lower_bound(const struct expr *test)
{
	return test->cmp == CMP_GT || test->cmp == CMP_GE;
}

static bool
is_upper_bound(const struct expr *test)
{
	return test->cmp == CMP_LT || test->cmp == CMP_LE;
}

/* Can no value fulfil both? Of a list, one element may fulfil the one and another the other. */
static bool
exclude_each_other(const struct expr *a, const struct expr *b)
{
	if (a->op != EXPR_TEST || b->op != EXPR_TEST || a->field != b->field ||
	    pyaudit_fields[a->field].type == PYAUDIT_TYPE_LIST)
		return false;
	if (a->cmp != CMP_EQ && b->cmp == CMP_EQ)
		return exclude_each_other(b, a);
	if (a->cmp == CMP_EQ) {
		if (a->n_values > CHAIN_MAX || b->n_values > CHAIN_MAX)
			return false;
		for (size_t i = 0; i < a->n_values; i++)
			if (value_fits(&a->values[i], b))
				return false;
		return a->n_values > 0;
	}
	if (is_lower_bound(b) && is_upper_bound(a))
		return exclude_each_other(b, a);
	if (!is_lower_bound(a) || !is_upper_bound(b) || a->n_values != 1 || b->n_values != 1 ||
	    !a->values[0].is_int || !b->values[0].is_int)
		return false;
	/* The least that the lower bound lets through. */
	if (a->cmp == CMP_GT && a->values[0].number == INT64_MAX)
		return true;
	return !value_fits(&(struct expr_value){.is_int = true,
						.number = a->values[0].number +
							  (a->cmp == CMP_GT)},
			   b);
}

/* The members of a chain of one operator. */
static size_t
members(const struct expr *expr, enum expr_op op, const struct expr **out, size_t n)
{
	if (expr->op == op) {
		n = members(expr->a, op, out, n);
		return members(expr->b, op, out, n);
	}
	if (n < CHAIN_MAX)
		out[n++] = expr;
	return n;
}

/* Two members of an `and` that exclude each other, or of an `or` of which one always holds. */
static bool
find_pair(const struct expr *chain, enum expr_op op, const struct expr **ret_a,
	  const struct expr **ret_b)
{
	const struct expr *all[CHAIN_MAX];
	size_t n = members(chain, op, all, 0);

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			const struct expr *a = all[i], *b = all[j];

			if (op == EXPR_OR) {
				if (a->op != EXPR_NOT || b->op != EXPR_NOT)
					continue;
				a = a->a;
				b = b->a;
			}
			if (exclude_each_other(a, b)) {
				*ret_a = a;
				*ret_b = b;
				return true;
			}
		}
	return false;
}

/* ---- conditions ---- */

__attribute__((format(printf, 5, 6))) static void
warn(struct lint *lint, const char *code, const struct expr *at, const char *file,
     const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	diag_vadd(lint->diag, DIAG_WARNING, at->file != NULL ? at->file : file, at->line, at->column,
		  format, ap);
	va_end(ap);
	diag_code(lint->diag, code);
}

static enum sure
opposite(enum sure sure)
{
	return sure == MAYBE ? MAYBE : sure == NEVER ? ALWAYS : NEVER;
}

static enum sure
judge_test(const struct lint *lint, const struct expr *test)
{
	if (test->field == PYAUDIT_F_EVENT)
		return event_named(lint->rule, test);
	return rule_may_have(lint->rule, test->field) ? MAYBE : NEVER;
}

static enum sure
judge(const struct lint *lint, const struct expr *expr)
{
	const struct expr *a, *b;
	enum sure x, y;

	switch (expr->op) {
	case EXPR_TRUE:
		return ALWAYS;
	case EXPR_NOT:
		return opposite(judge(lint, expr->a));
	case EXPR_TEST:
		return judge_test(lint, expr);
	default:
		break;
	}
	x = judge(lint, expr->a);
	y = judge(lint, expr->b);
	if (expr->op == EXPR_AND) {
		if (x == NEVER || y == NEVER || find_pair(expr, EXPR_AND, &a, &b))
			return NEVER;
		return x == ALWAYS && y == ALWAYS ? ALWAYS : MAYBE;
	}
	if (x == ALWAYS || y == ALWAYS || find_pair(expr, EXPR_OR, &a, &b))
		return ALWAYS;
	return x == NEVER && y == NEVER ? NEVER : MAYBE;
}

/* The field that makes a condition impossible, for the message; NULL: it is something else. */
static const struct expr *
find_missing(const struct lint *lint, const struct expr *expr)
{
	const struct expr *found;

	if (expr->op == EXPR_TEST)
		return is_event_field(expr->field) && !rule_may_have(lint->rule, expr->field)
			       ? expr
			       : NULL;
	found = expr->a != NULL ? find_missing(lint, expr->a) : NULL;
	return found != NULL || expr->b == NULL ? found : find_missing(lint, expr->b);
}

static void
check_condition(struct lint *lint, const struct expr *expr, const char *file, const char *what)
{
	enum sure sure = judge(lint, expr);
	const struct expr *missing, *a, *b;

	if (sure == MAYBE || lint->rule->memory.kind == RULE_SEQUENCE)
		return; /* the events are those of its steps */
	missing = find_missing(lint, expr);
	if (sure == NEVER && missing != NULL)
		warn(lint, "never-true", missing, file,
		     "this %s never holds: no event of rule '%s' has %s", what, lint->rule->id,
		     pyaudit_fields[missing->field].name);
	else if (sure == NEVER && find_pair(expr, EXPR_AND, &a, &b))
		warn(lint, "never-true", b, file,
		     "this %s never holds: %s cannot be both; alternatives are joined by 'or'", what,
		     pyaudit_fields[b->field].name);
	else if (sure == NEVER)
		warn(lint, "never-true", expr, file, "this %s never holds", what);
	else if (find_pair(expr, EXPR_OR, &a, &b))
		warn(lint, "always-true", b, file,
		     "this %s always holds: %s always differs from one of them; 'and' is meant?",
		     what, pyaudit_fields[b->field].name);
	else if (missing != NULL)
		warn(lint, "always-true", missing, file,
		     "this %s always holds: no event of rule '%s' has %s", what, lint->rule->id,
		     pyaudit_fields[missing->field].name);
	else
		warn(lint, "always-true", expr, file, "this %s always holds", what);
}

/* Conditions of one rule that exclude each other. */
static void
check_together(struct lint *lint)
{
	const struct rule *rule = lint->rule;

	for (size_t i = 0; i < rule->n_conditions; i++)
		for (size_t j = i + 1; j < rule->n_conditions; j++) {
			const struct expr *x = rule->conditions[i].expr, *y = rule->conditions[j].expr;

			if (x != NULL && y != NULL && exclude_each_other(x, y)) {
				warn(lint, "never-true", y, rule->conditions[j].file,
				     "rule '%s' never matches: all conditions have to hold, and %s "
				     "cannot be both",
				     rule->id, pyaudit_fields[y->field].name);
				return;
			}
		}
}

static void
check_patterns(struct lint *lint, const struct expr *expr, const char *file)
{
	if (expr->a != NULL)
		check_patterns(lint, expr->a, file);
	if (expr->b != NULL)
		check_patterns(lint, expr->b, file);
	if (expr->op != EXPR_TEST || expr->cmp != CMP_MATCHES)
		return;
	for (size_t i = 0; i < expr->n_values; i++) {
		CLEANUP(pattern_freep) struct pattern *pattern = NULL;
		struct pattern_error error;
		struct dfa dfa;

		if (pattern_parse(&pattern, PATTERN_REGEX, expr->values[i].text, expr->values[i].len,
				  &error) != 0 ||
		    pattern_dfa(&dfa, pattern) != 0)
			continue; /* told by others */
		if (dfa.n_states > PATTERN_STATES_MAX / 2 ||
		    dfa.n_states * dfa.n_classes > PATTERN_TABLE_MAX / 2) {
			diag_add(lint->diag, DIAG_WARNING, expr->file != NULL ? expr->file : file,
				 expr->values[i].line, expr->values[i].column,
				 "this pattern needs an automaton of %u states, %d are allowed: its "
				 "counted repetitions or alternatives multiply; * in their place is "
				 "cheaper",
				 dfa.n_states, PATTERN_STATES_MAX);
			diag_code(lint->diag, "pattern-large");
		}
		dfa_fini(&dfa);
	}
}

static bool
is_normal_package(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if ((*c >= 'A' && *c <= 'Z') || *c == '_' || *c == '.' || (*c == '-' && c[1] == '-'))
			return false;
	return true;
}

/* Names of packages are compared as the package index does: lower case, with one '-' for each run of
 * '-', '_' and '.'. */
static void
check_packages(struct lint *lint, const struct expr *expr, const char *file)
{
	if (expr->a != NULL)
		check_packages(lint, expr->a, file);
	if (expr->b != NULL)
		check_packages(lint, expr->b, file);
	if (expr->op != EXPR_TEST || expr->cmp != CMP_EQ ||
	    (expr->field != PYAUDIT_F_CALLER_PACKAGE && expr->field != PYAUDIT_F_STACK_PACKAGE))
		return;
	for (size_t i = 0; i < expr->n_values; i++)
		if (!expr->values[i].is_int && !is_normal_package(expr->values[i].text))
			warn(lint, "package-name", expr, file,
			     "no package is called '%s': names are in lower case, with '-' for '_' and "
			     "'.'",
			     expr->values[i].text);
}

/* ---- rules among each other ---- */

/* What two rules are compared by. */
struct outline {
	const struct rule *rule;
	char **conditions; /* as text, sorted; exceptions among them as `not ...` */
	size_t n_conditions;
};

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *
text_of(const struct expr *expr, const char *before)
{
	struct buf text;

	buf_init(&text);
	buf_add_str(&text, before);
	unparse_whole(&text, expr);
	buf_add_char(&text, '\0');
	if (text.failed)
		buf_fini(&text);
	return text.data;
}

static int
outline_make(struct outline *ret, const struct rule *rule)
{
	size_t n = 0;

	ret->rule = rule;
	ret->conditions = calloc(rule->n_conditions + rule->n_exceptions + 1, sizeof(char *));
	if (ret->conditions == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < rule->n_conditions + rule->n_exceptions; i++) {
		bool exception = i >= rule->n_conditions;
		const struct expr *expr = exception
						  ? rule->exceptions[i - rule->n_conditions].when
						  : rule->conditions[i].expr;

		if (expr == NULL)
			continue;
		ret->conditions[n] = text_of(expr, exception ? "except " : "");
		if (ret->conditions[n] == NULL)
			return -ENOMEM;
		ret->n_conditions = ++n;
	}
	qsort(ret->conditions, n, sizeof(char *), compare_texts);
	return 0;
}

static void
outlines_free(struct outline *outlines, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < outlines[i].n_conditions; j++)
			free(outlines[i].conditions[j]);
		free(outlines[i].conditions);
	}
	free(outlines);
}

/* Are all conditions of @few among those of @many? */
static bool
within(const struct outline *few, const struct outline *many)
{
	size_t j = 0;

	for (size_t i = 0; i < few->n_conditions; i++) {
		while (j < many->n_conditions &&
		       strcmp(many->conditions[j], few->conditions[i]) < 0)
			j++;
		if (j == many->n_conditions || strcmp(many->conditions[j], few->conditions[i]) != 0)
			return false;
		j++;
	}
	return true;
}

static bool
events_within(const struct rule *few, const struct rule *many)
{
	for (size_t i = 0; i < sizeof(few->events); i++)
		if ((few->events[i] & ~many->events[i]) != 0)
			return false;
	for (size_t i = 0; i < few->n_other_events; i++) {
		bool found = false;

		for (size_t j = 0; j < many->n_other_events; j++)
			found = found || strcmp(few->other_events[i], many->other_events[j]) == 0;
		if (!found)
			return false;
	}
	return true;
}

/* Does @other act at least as strongly wherever @one does? */
static bool
covers(const struct outline *other, const struct outline *one)
{
	const struct rule *a = other->rule, *b = one->rule;

	if (a->memory.kind != RULE_NO_MEMORY || b->memory.kind != RULE_NO_MEMORY)
		return false; /* what they add up to is something else */
	return !a->allow && !b->allow && a->action >= b->action && a->observe <= b->observe &&
	       a->severity >= b->severity && a->limit.burst == 0 && within(other, one) &&
	       events_within(b, a);
}

static void
warn_rule(struct lint *lint, const char *code, const struct rule *rule, const struct rule *other,
	  const char *format)
{
	struct buf text;

	buf_init(&text);
	buf_addf(&text, "rule '%s' %s '%s' (%s:%u)", rule->id, format, other->id, other->owner_file,
		 other->line);
	buf_add_char(&text, '\0');
	if (!text.failed) {
		diag_add(lint->diag, DIAG_WARNING, rule->owner_file, rule->line, rule->column, "%s",
			 text.data);
		diag_code(lint->diag, code);
	}
	buf_fini(&text);
}

static int
compare_rules(struct lint *lint)
{
	const struct rule_set *set = lint->set;
	struct outline *outlines = calloc(set->n_rules + 1, sizeof(*outlines));
	size_t n = 0;
	int r = 0;

	if (outlines == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < set->n_rules && n < LINT_COMPARED_MAX; i++)
		if (!set->rules[i].disabled)
			r = outline_make(&outlines[n++], &set->rules[i]);
	for (size_t i = 0; r == 0 && i < n; i++)
		for (size_t j = 0; j < n; j++) {
			bool both;

			if (i == j || !covers(&outlines[j], &outlines[i]))
				continue;
			/* One without conditions is a ban, and others say more of what was banned. */
			if (outlines[j].n_conditions == 0 && outlines[i].n_conditions > 0)
				continue;
			both = covers(&outlines[i], &outlines[j]);
			if (both && j > i)
				continue; /* told at the later one */
			if (both)
				warn_rule(lint, "duplicate", outlines[i].rule, outlines[j].rule,
					  "says the same as");
			else
				warn_rule(lint, "shadowed", outlines[i].rule, outlines[j].rule,
					  "adds nothing: wherever it matches, so does");
			break;
		}
	outlines_free(outlines, n);
	return r;
}

/* ---- versions ---- */

/* Events that are not CPython's have no versions. */
static bool
is_of_cpython(unsigned event)
{
	return strncmp(pyaudit_events[event].first_version, "3.", 2) == 0;
}

static unsigned
minor_of(const char *version)
{
	return (unsigned)strtoul(version + 2, NULL, 10); /* "3.12" */
}

/* Told where every event of the rule is missing in some version. */
static void
note_versions(struct lint *lint)
{
	const struct rule *rule = lint->rule;
	unsigned first = ~0u, last = 0, newest = 0;
	const char *name = NULL;

	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++)
		if (is_of_cpython(event) && minor_of(pyaudit_events[event].last_version) > newest)
			newest = minor_of(pyaudit_events[event].last_version);
	for (unsigned event = 1; event < PYAUDIT_N_EVENTS; event++) {
		const struct pyaudit_event_info *info = &pyaudit_events[event];

		if (!looks_at(rule, event))
			continue;
		if (!is_of_cpython(event))
			return;
		if (minor_of(info->first_version) < first)
			first = minor_of(info->first_version);
		if (minor_of(info->last_version) > last)
			last = minor_of(info->last_version);
		name = info->name;
	}
	if (name == NULL || rule->n_other_events > 0 || (first <= 8 && last >= newest))
		return;
	diag_add(lint->diag, DIAG_NOTE, rule->owner_file, rule->line, rule->column,
		 "rule '%s' sees nothing in some versions: CPython 3.%u to 3.%u raise its events (%s)",
		 rule->id, first, last, name);
	diag_code(lint->diag, "some-versions");
}

static void
check_rule(struct lint *lint)
{
	const struct rule *rule = lint->rule;

	for (size_t i = 0; i < rule->n_conditions; i++) {
		const struct rule_condition *condition = &rule->conditions[i];

		if (condition->expr == NULL)
			continue;
		check_condition(lint, condition->expr, condition->file, "condition");
		check_patterns(lint, condition->expr, condition->file);
		check_packages(lint, condition->expr, condition->file);
	}
	for (size_t i = 0; i < rule->n_exceptions; i++)
		if (rule->exceptions[i].when != NULL) {
			check_condition(lint, rule->exceptions[i].when, rule->exceptions[i].file,
					"exception");
			check_packages(lint, rule->exceptions[i].when, rule->exceptions[i].file);
		}
	check_together(lint);
	if (lint->options->notes)
		note_versions(lint);
}

int
lint_rules(const struct rule_set *set, const struct lint_options *options, struct diag *diag)
{
	struct lint lint = {.set = set, .options = options, .diag = diag};

	for (size_t i = 0; i < set->n_rules; i++) {
		lint.rule = &set->rules[i];
		if (!lint.rule->disabled)
			check_rule(&lint);
	}
	return compare_rules(&lint);
}
