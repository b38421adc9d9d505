/* SPDX-License-Identifier: Apache-2.0 */
#include "explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "stage.h"
#include "unparse.h"

/* What every step needs. */
struct asked {
	const char *name;
	const struct pyaudit_facts *facts;
	struct pyaudit_event *event;
	struct diag *diag;
};

static void
part_fini(struct explain_part *part)
{
	for (size_t i = 0; i < part->n_tests; i++)
		free(part->tests[i].value);
	free(part->tests);
	free(part->made);
}

void
explain_fini(struct explain *explain)
{
	for (size_t i = 0; i < explain->n_rules; i++) {
		for (size_t j = 0; j < explain->rules[i].n_parts; j++)
			part_fini(&explain->rules[i].parts[j]);
		free(explain->rules[i].parts);
	}
	free(explain->rules);
	*explain = (struct explain){0};
}

static bool
is_among(const uint8_t *events, char *const *others, size_t n_others, const char *name, unsigned event)
{
	if (event != PYAUDIT_EV_OTHER)
		return (events[event / 8] >> event % 8 & 1) != 0;
	for (size_t i = 0; i < n_others; i++)
		if (strcmp(others[i], name) == 0)
			return true;
	return false;
}

static bool
step_looks_at(const struct rule_step *step, const char *name, unsigned event)
{
	return is_among(step->events, step->other_events, step->n_other_events, name, event);
}

bool
explain_looks_at(const struct rule *rule, const char *name, unsigned event)
{
	return !rule->disabled &&
	       is_among(rule->events, rule->other_events, rule->n_other_events, name, event);
}

/* The first step of its memory that looks at the event, or NULL. */
static const struct rule_step *
step_of(const struct rule *rule, const struct asked *asked)
{
	for (unsigned i = 0; !rule->disabled && i < rule->memory.n_steps; i++)
		if (step_looks_at(&rule->memory.steps[i], asked->name, asked->event->id))
			return &rule->memory.steps[i];
	return NULL;
}

int
explain_compile(struct image *ret, const struct rule *rule, const struct expr *expr,
		struct diag *diag)
{
	union {
		const struct expr *in;
		struct expr *out; /* compiling changes nothing */
	} when = {.in = expr};
	struct rule alone = *rule;
	struct rule_set set = {.rules = &alone, .n_rules = 1};
	struct compile_options options = {.generation = 1};

	alone.when = when.out;
	alone.observe = alone.allow = alone.disabled = false;
	alone.memory = (struct rule_memory){0};
	alone.n_observe_in = alone.n_exceptions = 0;
	alone.action = PYAUDIT_ACTION_RECORD;
	alone.n_over = 0;
	return compile_rules(ret, &set, &options, diag);
}

static int
holds(bool *ret, const struct asked *asked, const struct rule *rule, const struct expr *expr)
{
	CLEANUP(image_fini) struct image image = {0};
	struct pyaudit_verdict verdict;
	int r = explain_compile(&image, rule, expr, asked->diag);

	if (r != 0)
		return r;
	stage_judge(image.bytes, asked->name, asked->facts, asked->event, &verdict);
	*ret = verdict.n_hits > 0;
	return 0;
}

static char *
value_of(const struct asked *asked, unsigned field)
{
	struct pyaudit_value value = {0};
	struct buf text;
	bool has;

	buf_init(&text);
	asked->event->scratch_len = 0;
	if (pyaudit_fields[field].scope == PYAUDIT_SCOPE_PROC) {
		value = asked->facts->fact[field - PYAUDIT_F_PROC_PID];
		has = value.type != 0;
	} else {
		has = pyaudit_field(asked->event, field, &value);
	}
	unparse_value(&text, has, &value);
	buf_add_char(&text, '\0');
	if (text.failed)
		buf_fini(&text);
	return text.data;
}

/* The single tests of an expression, left to right. */
static int
add_tests(const struct asked *asked, const struct rule *rule, const struct expr *expr,
	  struct explain_part *part)
{
	struct explain_test *tests, *test;
	int r;

	if (expr->op != EXPR_TEST) {
		r = expr->a != NULL ? add_tests(asked, rule, expr->a, part) : 0;
		return r == 0 && expr->b != NULL ? add_tests(asked, rule, expr->b, part) : r;
	}
	if (part->n_tests == EXPLAIN_TESTS_MAX)
		return 0;
	tests = realloc(part->tests, (part->n_tests + 1) * sizeof(*tests));
	if (tests == NULL)
		return -ENOMEM;
	part->tests = tests;
	test = &tests[part->n_tests];
	*test = (struct explain_test){.expr = expr};
	r = holds(&test->holds, asked, rule, expr);
	if (r != 0)
		return r;
	test->value = value_of(asked, expr->field);
	if (test->value == NULL)
		return -ENOMEM;
	part->n_tests++;
	return 0;
}

static int
fill_part(const struct asked *asked, const struct rule *rule, struct explain_part *part)
{
	int r;

	if (part->expr == NULL)
		return 0;
	r = holds(&part->holds, asked, rule, part->expr);
	return r == 0 ? add_tests(asked, rule, part->expr, part) : r;
}

static int
add_exception(const struct asked *asked, const struct rule *rule,
	      const struct rule_exception *exception, struct explain_part *part)
{
	struct buf text;

	*part = (struct explain_part){.expr = exception->when,
				      .exception = exception,
				      .file = exception->file,
				      .line = exception->line,
				      .column = exception->column};
	if (exception->when != NULL) {
		buf_init(&text);
		unparse_expr(&text, exception->when);
		buf_add_char(&text, '\0');
		if (text.failed) {
			buf_fini(&text);
			return -ENOMEM;
		}
		part->text = part->made = text.data;
	}
	return fill_part(asked, rule, part);
}

/* The rule's conditions or a step's alone are asked of the events that the step looks at. */
static struct rule
seen_by(const struct rule *rule, const struct rule_step *step)
{
	struct rule view = *rule;

	memcpy(view.events, step->events, sizeof(view.events));
	view.other_events = step->other_events;
	view.n_other_events = step->n_other_events;
	return view;
}

static int
add_step(const struct asked *asked, const struct rule *rule, unsigned i, struct explain_part *part)
{
	const struct rule_step *step = &rule->memory.steps[i];
	struct rule view = seen_by(rule, step);
	struct buf text;

	*part = (struct explain_part){.expr = step->when,
				      .step = step,
				      .step_number = i + 1,
				      .file = step->when != NULL ? step->when->file : rule->owner_file,
				      .line = step->when != NULL ? step->when->line : rule->line,
				      .holds = step_looks_at(step, asked->name, asked->event->id)};
	if (step->when == NULL)
		return 0;
	buf_init(&text);
	unparse_expr(&text, step->when);
	buf_add_char(&text, '\0');
	if (text.failed) {
		buf_fini(&text);
		return -ENOMEM;
	}
	part->text = part->made = text.data;
	return part->holds ? fill_part(asked, &view, part) : 0;
}

/* What of a rule with memory matches: its own conditions and steps, as its records say. */
static int
match_memory(const struct asked *asked, const struct rule *rule, unsigned *ret)
{
	CLEANUP(image_fini) struct image image = {0};
	struct rule alone = *rule;
	struct rule_set set = {.rules = &alone, .n_rules = 1};
	struct compile_options options = {.generation = 1};
	struct pyaudit_verdict verdict;
	enum rule_part part;
	unsigned index;
	int r;

	(void)rules_number(&set);
	r = compile_rules(&image, &set, &options, asked->diag);
	if (r != 0)
		return r;
	stage_judge(image.bytes, asked->name, asked->facts, asked->event, &verdict);
	for (unsigned i = 0; i < verdict.n_hits; i++)
		if (rules_at(&set, verdict.hits[i], &part, &index) != NULL && part != RULE_EXCEPTED)
			*ret |= part == RULE_STEP ? 2u << index : 1u;
	return 0;
}

/* Conditions and exceptions; those of a sequence go for each step, those of an absence for its start. */
static int
add_conditions(const struct asked *asked, const struct rule *rule, struct explain_rule *ret)
{
	struct rule view = rule->memory.kind == RULE_SEQUENCE ? seen_by(rule, step_of(rule, asked))
							      : *rule;
	int r = 0;

	for (size_t i = 0; r == 0 && i < rule->n_conditions; i++) {
		const struct rule_condition *condition = &rule->conditions[i];

		ret->parts[ret->n_parts] = (struct explain_part){.expr = condition->expr,
								 .text = condition->text,
								 .file = condition->file,
								 .line = condition->line,
								 .column = condition->column};
		r = fill_part(asked, &view, &ret->parts[ret->n_parts++]);
	}
	for (size_t i = 0; r == 0 && i < rule->n_exceptions; i++)
		r = add_exception(asked, &view, &rule->exceptions[i], &ret->parts[ret->n_parts++]);
	return r;
}

static int
explain_rule(const struct asked *asked, const struct rule *rule, struct explain_rule *ret)
{
	int r = 0;

	if (rule->memory.kind != RULE_NO_MEMORY) {
		r = match_memory(asked, rule, &ret->matched);
		ret->holds = ret->matched != 0;
	} else if (rule->when != NULL) {
		r = holds(&ret->holds, asked, rule, rule->when);
	}
	ret->rule = rule;
	ret->parts = calloc(rule->n_conditions + rule->n_exceptions + rule->memory.n_steps + 1,
			    sizeof(*ret->parts));
	if (ret->parts == NULL)
		return -ENOMEM;
	if (r == 0 && (rule->memory.kind == RULE_SEQUENCE ||
		       explain_looks_at(rule, asked->name, asked->event->id)))
		r = add_conditions(asked, rule, ret);
	for (unsigned i = 0; r == 0 && i < rule->memory.n_steps; i++)
		r = add_step(asked, rule, i, &ret->parts[ret->n_parts++]);
	return r;
}

/* Says which rules count, and who took the others out. */
static void
attribute(struct explain *explain, const struct rule_set *set)
{
	for (size_t i = 0; i < explain->n_rules; i++) {
		struct explain_rule *one = &explain->rules[i];
		bool counts = false;
		enum rule_part part;
		unsigned index;

		for (unsigned h = 0; h < explain->verdict.n_hits; h++)
			counts = counts ||
				 rules_at(set, explain->verdict.hits[h], &part, &index) == one->rule;
		one->decides = counts && rules_at(set, explain->verdict.hits[0], &part, &index) ==
						 one->rule;
		if (!one->holds || counts || one->rule->memory.kind != RULE_NO_MEMORY)
			continue;
		for (size_t j = 0; j < explain->n_rules && one->allowed_by == NULL; j++) {
			const struct explain_rule *other = &explain->rules[j];

			for (size_t k = 0; other->holds && k < other->rule->n_over; k++)
				if (strcmp(other->rule->over[k], one->rule->id) == 0)
					one->allowed_by = other->rule;
		}
	}
}

/* Memories and exceptions are recorded, and told to nobody. */
static void
take_out_silent(struct pyaudit_verdict *verdict, const struct rule_set *set)
{
	unsigned n = 0;

	for (unsigned i = 0; i < verdict->n_hits; i++) {
		enum rule_part part;
		unsigned index;
		const struct rule *rule = rules_at(set, verdict->hits[i], &part, &index);

		if (rule == NULL || !rule_part_is_silent(rule, part))
			verdict->hits[n++] = verdict->hits[i];
	}
	if (n == 0 && verdict->n_hits > 0 && verdict->action == PYAUDIT_ACTION_RECORD)
		verdict->action = PYAUDIT_ACTION_NONE;
	verdict->n_hits = (uint8_t)n;
}

int
explain_event(struct explain *ret, const struct rule_set *set, bool observe, const char *name,
	      const struct pyaudit_facts *facts, struct pyaudit_event *event, struct diag *diag)
{
	struct asked asked = {.name = name, .facts = facts, .event = event, .diag = diag};
	struct compile_options options = {.generation = 1, .observe = observe};
	CLEANUP(explain_fini) struct explain explain = {0};
	CLEANUP(image_fini) struct image image = {0};
	int r = compile_rules(&image, set, &options, diag);

	if (r != 0)
		return r;
	stage_judge(image.bytes, name, facts, event, &explain.verdict);
	take_out_silent(&explain.verdict, set);
	explain.rules = calloc(set->n_rules + 1, sizeof(*explain.rules));
	if (explain.rules == NULL)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < set->n_rules; i++) {
		if (!explain_looks_at(&set->rules[i], name, event->id) &&
		    step_of(&set->rules[i], &asked) == NULL)
			continue;
		explain.rules[explain.n_rules].number = (unsigned)i;
		r = explain_rule(&asked, &set->rules[i], &explain.rules[explain.n_rules++]);
	}
	if (r != 0)
		return r;
	attribute(&explain, set);
	*ret = explain;
	explain = (struct explain){0};
	return 0;
}
