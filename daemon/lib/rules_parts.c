/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers that stand in records. A rule's number is its place in the set; behind all rules come
 * parts of rules that the agent tells of as if they were rules: the steps of a rule with memory, the
 * exceptions of a rule, and its double for units in which it only observes.
 */
#include <stdlib.h>
#include <string.h>

#include "rules.h"

const char *
rule_memory_name(enum rule_memory_kind kind)
{
	static const char *const names[] = {NULL, "threshold", "sequence", "first_seen", "absence"};

	return names[kind];
}

const char *
rule_scope_name(enum rule_memory_scope scope)
{
	static const char *const names[] = {
		[RULE_IN_PROCESS] = "process",
		[RULE_IN_TREE] = "tree",
		[RULE_IN_HOST] = "host",
	};

	return names[scope];
}

bool
rule_part_is_silent(const struct rule *rule, enum rule_part part)
{
	return part == RULE_STEP || part == RULE_EXCEPTED ||
	       (part == RULE_WHOLE && rule->memory.kind != RULE_NO_MEMORY);
}

size_t
rule_n_parts(const struct rule *rule)
{
	return rule->memory.n_steps + rule->n_exceptions + (rule->n_observe_in > 0);
}

size_t
rules_number(struct rule_set *set)
{
	size_t n = set->n_rules;

	for (size_t i = 0; i < set->n_rules; i++) {
		set->rules[i].first_part = (uint32_t)n;
		n += rule_n_parts(&set->rules[i]);
	}
	return n;
}

size_t
rules_n_numbers(const struct rule_set *set)
{
	const struct rule *last = set->n_rules > 0 ? &set->rules[set->n_rules - 1] : NULL;

	return last != NULL && last->first_part > 0 ? last->first_part + rule_n_parts(last)
						    : set->n_rules;
}

const struct rule *
rules_at(const struct rule_set *set, unsigned number, enum rule_part *ret_part, unsigned *ret_index)
{
	size_t low = 0, high = set->n_rules;
	const struct rule *rule;
	unsigned at;

	*ret_part = RULE_WHOLE;
	*ret_index = 0;
	if (number < set->n_rules)
		return &set->rules[number];
	while (low < high) { /* the last whose parts begin at or before the number */
		size_t middle = low + (high - low) / 2;

		if (set->rules[middle].first_part <= number)
			low = middle + 1;
		else
			high = middle;
	}
	/* Those without parts share their first number with the one behind them. */
	while (low > 0 && rule_n_parts(&set->rules[low - 1]) == 0)
		low--;
	if (low == 0)
		return NULL;
	rule = &set->rules[low - 1];
	at = number - rule->first_part;
	if (at >= rule_n_parts(rule))
		return NULL;
	if (at < rule->memory.n_steps) {
		*ret_part = RULE_STEP;
		*ret_index = at;
	} else if (at < rule->memory.n_steps + rule->n_exceptions) {
		*ret_part = RULE_EXCEPTED;
		*ret_index = at - rule->memory.n_steps;
	} else {
		*ret_part = RULE_OBSERVED;
	}
	return rule;
}

const char *
rules_id_at(const struct rule_set *set, unsigned number)
{
	enum rule_part part;
	unsigned index;
	const struct rule *rule = rules_at(set, number, &part, &index);

	return rule != NULL ? rule->id : "";
}

struct rule_count *
rule_count_new(void)
{
	struct rule_count *count = calloc(1, sizeof(*count));

	if (count != NULL)
		count->n_refs = 1;
	return count;
}

void
rule_count_unref(struct rule_count *count)
{
	if (count != NULL && --count->n_refs == 0)
		free(count);
}

static bool
same_exception(const struct rule_exception *a, const struct rule_exception *b)
{
	return strcmp(a->owner, b->owner) == 0 && strcmp(a->reason, b->reason) == 0 &&
	       strcmp(a->expires, b->expires) == 0 && strcmp(a->text, b->text) == 0;
}

static void
share(struct rule *rule, const struct rule *old)
{
	for (size_t i = 0; i < rule->n_exceptions; i++)
		for (size_t k = 0; k < old->n_exceptions; k++) {
			struct rule_count *count = old->exceptions[k].count;

			if (!same_exception(&rule->exceptions[i], &old->exceptions[k]))
				continue;
			rule_count_unref(rule->exceptions[i].count);
			rule->exceptions[i].count = count;
			count->n_refs++;
			break;
		}
}

/* Where units have profiles of their own, a rule may stand there in more than one form. */
static const struct rule *
earlier_form(const struct rule_set *set, size_t n)
{
	for (size_t i = 0; set->n_scopes > 0 && i < n; i++)
		if (strcmp(set->rules[i].id, set->rules[n].id) == 0)
			return &set->rules[i];
	return NULL;
}

static void
count_as(struct rule *rule, const struct rule *other)
{
	if (rule->count != NULL || other == NULL || other->count == NULL)
		return;
	rule->count = other->count;
	rule->count->n_refs++;
}

void
rules_share_counts(struct rule_set *set, const struct rule_set *old)
{
	size_t next = 0, n_old = old != NULL ? old->n_rules : 0;

	for (size_t i = 0; i < set->n_rules; i++) {
		struct rule *rule = &set->rules[i];

		for (size_t k = 0; k < n_old; k++) {
			size_t at = (next + k) % n_old; /* most often they stand in the same order */

			if (strcmp(rule->id, old->rules[at].id) != 0)
				continue;
			count_as(rule, &old->rules[at]);
			share(rule, &old->rules[at]);
			next = at + 1;
			if (old->n_scopes == 0)
				break;
		}
		count_as(rule, earlier_form(set, i));
		if (rule->count == NULL)
			rule->count = rule_count_new(); /* NULL: not counted */
	}
}
